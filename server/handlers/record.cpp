// record: appends each request to a TFRecord file as one tensorflow.Example.
#include <utility>
#include <vector>

#include "handlers/builtin.hpp"
#include "handlers/files.hpp"
#include "handlers/tfrecord.hpp"

namespace tensord::handlers {
namespace {

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string file_param(const Request& request) {
  const Json* const given = param(request, "file");
  if (given == nullptr) return "data.tfrecord";
  if (const auto text = given->as_string()) return std::string(*text);
  throw ErrorException(
      Error{ErrorCode::bad_message, "params.file must be the name of a file below --save-dir", "/params/file"});
}

void add_image(ExampleBuilder& example, const std::string& name, const Image& image) {
  const tensorwire::ImageInfo& info = image.info();
  const std::int64_t size[] = {info.height, info.width, info.channels};
  example.add_bytes(name + "/encoded", text_of(image.file()));
  example.add_bytes(name + "/format", tensorwire::to_string(info.format));
  example.add_integers(name + "/shape", size);
}

void add_tensor(ExampleBuilder& example, const std::string& name, const Tensor& tensor) {
  example.add_bytes(name + "/dtype", tensorwire::to_string(tensor.dtype()));
  example.add_integers(name + "/shape", tensor.shape().dims());
  if (tensor.dtype() != tensorwire::DType::string) {
    example.add_bytes(name, text_of(tensor.bytes()));
    return;
  }
  const auto strings = tensor.strings().value();
  example.add_bytes(name, std::vector<std::string_view>(strings.begin(), strings.end()));
}

std::string to_example(const Request& request) {
  ExampleBuilder example;
  for (std::size_t i = 0; i < request.tensors.size(); ++i) {
    const Item& item = request.tensors[i];
    if (const Image* const image = item.image()) {
      add_image(example, label(item, i), *image);
    } else {
      add_tensor(example, label(item, i), *item.tensor().value());
    }
  }
  return example.finish();
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
  std::string bytes;
  append_record(bytes, to_example(request));
  if (auto appended = append_whole(save_dir, path, std::as_bytes(std::span(bytes))); !appended.ok()) {
    throw ErrorException(Error{appended.error().code, appended.error().message, "/params/file"});
  }
  return Json::object({{"path", path}, {"nbytes", std::uint64_t{bytes.size()}}});
}

}  // namespace tensord::handlers
