// record: appends each request to a TFRecord file as one tf.train.Example.
#include <utility>

#include "handlers/builtin.hpp"
#include "handlers/files.hpp"
#include "tensorwire/tfrecord.hpp"

namespace tensord::handlers {
namespace {

std::string file_param(const Request& request) {
  const Json* const given = param(request, "file");
  if (given == nullptr) return "data.tfrecord";
  if (const auto text = given->as_string()) return std::string(*text);
  throw ErrorException(
      Error{ErrorCode::bad_message, "params.file must be the name of a file below --save-dir", "/params/file"});
}

}  // namespace

Reply record(Request request, const std::string& save_dir) {
  allow_params(request, {"file"});
  require_tensors(request, "record");
  if (save_dir.empty()) {
    throw ErrorException(
        Error{ErrorCode::handler_failed, "this server was started without --save-dir, so it records nothing", ""});
  }
  const std::string path = file_param(request);
  auto encoded = tensorwire::encode_tfrecord(request.tensors);
  if (!encoded.ok()) throw ErrorException(std::move(encoded).error());
  if (auto appended = append_whole(save_dir, path, encoded->bytes()); !appended.ok()) {
    throw ErrorException(Error{appended.error().code, appended.error().message, "/params/file"});
  }
  return Json::object({{"path", path}, {"nbytes", std::uint64_t{encoded->size()}}});
}

}  // namespace tensord::handlers
