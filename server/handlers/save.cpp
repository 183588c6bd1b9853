// save: writes each tensor as .npy and each image as its original file, below one folder only.
#include <array>
#include <set>
#include <utility>
#include <vector>

#include "handlers/builtin.hpp"
#include "handlers/files.hpp"
#include "tensorwire/npy.hpp"

namespace tensord::handlers {
namespace {

[[noreturn]] void refuse(std::string sentence, std::string at) {
  throw ErrorException(Error{ErrorCode::bad_message, std::move(sentence), std::move(at)});
}

bool flag_param(const Request& request, const char* name) {
  const Json* const given = param(request, name);
  if (given == nullptr) return false;
  if (const auto value = given->as_bool()) return *value;
  refuse(std::string("params.") + name + " must be true or false", std::string("/params/") + name);
}

std::string prefix_param(const Request& request) {
  const Json* const given = param(request, "prefix");
  if (given == nullptr) return "";
  if (const auto text = given->as_string()) return std::string(*text);
  refuse("params.prefix must be a string that is put before each name", "/params/prefix");
}

// One file to be written; the pieces point into the request and into header.
struct Plan {
  const Item* item;
  std::string path;
  std::string header;
  std::vector<std::span<const std::byte>> pieces;
};

bool ends_with_any(const std::string& name, std::initializer_list<std::string_view> endings) {
  for (const std::string_view ending : endings) {
    if (name.size() > ending.size() && name.ends_with(ending)) return true;
  }
  return false;
}

void plan_image(Plan& plan, const Image& image) {
  const bool png = image.info().format == tensorwire::ImageFormat::png;
  const bool named = png ? ends_with_any(plan.path, {".png"}) : ends_with_any(plan.path, {".jpg", ".jpeg"});
  if (!named) plan.path += png ? ".png" : ".jpg";
  plan.pieces = {image.file()};
}

void plan_tensor(Plan& plan) {
  const Tensor& tensor = *plan.item->tensor().value();
  auto header = tensorwire::npy_header(tensor.dtype(), tensor.shape());
  if (!header.ok()) throw ErrorException(Error{header.error().code, header.error().message, plan.item->at});
  if (!ends_with_any(plan.path, {".npy"})) plan.path += ".npy";
  plan.header = std::move(*header);
}

Plan plan_item(const Item& item, std::size_t index, const std::string& prefix) {
  Plan plan{&item, prefix + label(item, index), {}, {}};
  if (const Image* const image = item.image()) {
    plan_image(plan, *image);
  } else {
    plan_tensor(plan);
  }
  if (const auto verdict = split_safe_path(plan.path); !verdict.ok()) {
    throw ErrorException(Error{verdict.error().code, verdict.error().message, item.at + "/name"});
  }
  return plan;
}

// All are planned before the first is written: a bad name among them writes nothing.
std::vector<Plan> plan_all(const Request& request) {
  const std::string prefix = prefix_param(request);
  std::vector<Plan> plans;
  std::set<std::string> paths;
  for (std::size_t i = 0; i < request.tensors.size(); ++i) {
    plans.push_back(plan_item(request.tensors[i], i, prefix));
    if (!paths.insert(plans.back().path).second) {
      refuse("two tensors of this request would be written to \"" + plans.back().path + "\"", request.tensors[i].at);
    }
  }
  return plans;
}

Json write(const Plan& plan, const std::string& save_dir, bool overwrite) {
  std::vector<std::span<const std::byte>> pieces = plan.pieces;
  if (!plan.header.empty()) {
    pieces = {std::as_bytes(std::span(plan.header)), (*plan.item->tensor().value()).bytes()};
  }
  std::uint64_t bytes = 0;
  for (const auto piece : pieces) bytes += piece.size();
  if (auto written = write_whole(save_dir, plan.path, overwrite, pieces); !written.ok()) {
    if (written.error().at.empty()) written.error().at = plan.item->at;
    throw ErrorException(written.error());
  }
  return Json::object({{"path", plan.path}, {"nbytes", bytes}});
}

}  // namespace

Reply save(Request request, const std::string& save_dir) {
  allow_params(request, {"prefix", "overwrite"});
  require_tensors(request, "save");
  if (save_dir.empty()) {
    throw ErrorException(
        Error{ErrorCode::handler_failed, "this server was started without --save-dir, so it saves nothing", ""});
  }
  const bool overwrite = flag_param(request, "overwrite");
  Json files = Json::array();
  for (const Plan& plan : plan_all(request)) files.push(write(plan, save_dir, overwrite));
  return Json::object({{"files", std::move(files)}});
}

}  // namespace tensord::handlers
