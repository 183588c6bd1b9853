// Expands arguments to files and loads each by its extension.
#include "inputs.hpp"

#include <glob.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <map>
#include <numeric>
#include <system_error>

#include "tensorwire/npy.hpp"
#include "tensorwire/reader.hpp"

namespace tensorctl {

namespace fs = std::filesystem;
using tensorwire::Error;
using tensorwire::ErrorCode;
using tensorwire::Json;
using tensorwire::Result;
using tensorwire::Shape;
using tensorwire::Tensor;

namespace {

constexpr const char* kStandardInput = "/dev/stdin";

Error problem(std::string sentence) { return {ErrorCode::bad_message, std::move(sentence), {}}; }

Error in_file(const std::string& path, const Error& error) {
  const bool said = error.at.empty() || error.message.find(error.at) != std::string::npos;
  const std::string place = said ? "" : " (at " + error.at + ")";
  return {error.code, path + ": " + error.message + place, {}};
}

std::string extension_of(const std::string& path) {
  std::string extension = fs::path(path).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension;
}

bool is_image(const std::string& extension) {
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg";
}

bool is_known(const std::string& path) {
  const std::string extension = extension_of(path);
  return is_image(extension) || extension == ".npy" || extension == ".json";
}

Result<std::vector<std::string>> files_of_folder(const std::string& folder, bool any_file) {
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->is_regular_file(ignored) && (any_file || is_known(it->path().string())))
      found.push_back(it->path().string());
  }
  if (error) return problem("cannot read the folder '" + folder + "': " + error.message());
  if (found.empty()) return problem("the folder '" + folder + "' holds no .npy, .png, .jpg or .json file");
  std::sort(found.begin(), found.end());
  return found;
}

Result<std::vector<std::string>> files_of_glob(const std::string& pattern) {
  glob_t matches{};
  const int code = ::glob(pattern.c_str(), GLOB_TILDE, nullptr, &matches);
  std::vector<std::string> found;
  if (code == 0) found.assign(matches.gl_pathv, matches.gl_pathv + matches.gl_pathc);
  ::globfree(&matches);
  if (found.empty()) return problem("no file matches '" + pattern + "'");
  return found;
}

Result<std::vector<std::string>> paths_of(const std::string& argument, bool any_file) {
  if (argument == "-") return std::vector<std::string>{kStandardInput};
  std::error_code error;
  if (fs::is_directory(argument, error)) return files_of_folder(argument, any_file);
  if (fs::exists(argument, error)) return std::vector<std::string>{argument};
  if (argument.find_first_of("*?[") != std::string::npos) return files_of_glob(argument);
  return problem("cannot read '" + argument + "': No such file or directory");
}

// NAME=PATH, unless a file of that whole name is there.
std::pair<std::string, std::string> split_name(const std::string& argument) {
  std::error_code error;
  const auto equals = argument.find('=');
  if (equals == std::string::npos || equals == 0 || fs::exists(argument, error)) return {"", argument};
  return {argument.substr(0, equals), argument.substr(equals + 1)};
}

// Names are unique within a request: files that differ in their extension or folder only go by more of their path.
void make_unique(std::vector<Input>& inputs) {
  std::map<std::string, int> stems;
  std::map<std::string, int> filenames;
  for (const Input& input : inputs) {
    ++stems[input.name];
    ++filenames[fs::path(input.path).filename().string()];
  }
  for (Input& input : inputs) {
    if (stems[input.name] < 2) continue;
    std::string filename = fs::path(input.path).filename().string();
    input.name = filenames[filename] < 2 ? std::move(filename) : input.path;
  }
}

}  // namespace

Result<std::vector<Input>> expand(const InputSettings& settings) {
  std::vector<Input> inputs;
  for (const std::string& argument : settings.files) {
    const auto [name, target] = split_name(argument);
    auto paths = paths_of(target, !settings.dtype.empty());
    if (!paths.ok()) return std::move(paths).error();
    if (!name.empty() && paths->size() > 1) {
      return problem("'" + argument + "' names " + std::to_string(paths->size()) +
                     " files alike: a name is for one file");
    }
    for (std::string& path : *paths) {
      std::string own = name.empty() ? fs::path(path).stem().string() : name;
      inputs.push_back({std::move(path), settings.nameless ? std::string() : std::move(own)});
    }
  }
  if (!settings.nameless) make_unique(inputs);
  return inputs;
}

namespace {

// The axis written as -1 (at most one), from how many elements there are.
Result<Shape> fill_open_axis(std::vector<std::int64_t> dims, std::int64_t elements, const std::string& text) {
  const auto open = std::find(dims.begin(), dims.end(), -1);
  if (open != dims.end()) {
    *open = 1;
    auto known = Shape::from(dims);
    if (!known.ok()) return known;
    auto count = known->element_count();
    if (!count.ok()) return std::move(count).error();
    if (elements < 0 || *count == 0 || elements % *count != 0) {
      return problem("shape " + text + " cannot be completed: " + std::to_string(elements) + " elements do not fit it");
    }
    *open = elements / *count;
  }
  return Shape::from(dims);
}

}  // namespace

Result<Shape> parse_shape(const std::string& text, std::int64_t elements) {
  std::string_view rest = text;
  if (rest.starts_with('[') && rest.ends_with(']')) rest = rest.substr(1, rest.size() - 2);
  std::vector<std::int64_t> dims;
  while (!rest.empty()) {
    while (rest.starts_with(' ')) rest.remove_prefix(1);
    std::int64_t dim = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), dim);
    if (error != std::errc()) return problem("'" + text + "' is no shape: expected axes such as 480,640,3");
    dims.push_back(dim);
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    if (rest.empty()) break;
    const bool separated = rest.front() == ',' || rest.front() == 'x';
    rest.remove_prefix(1);
    if (!separated || rest.empty()) return problem("'" + text + "' is no shape: expected axes such as 480,640,3");
  }
  return fill_open_axis(std::move(dims), elements, text);
}

namespace {

Result<tensorwire::Buffer> contents(const std::string& path) {
  auto file = tensorclient::read_file(path);
  if (!file.ok()) return problem(file.failure().message);
  return std::move(file).value();
}

Result<void> load_npy(const Input& input, const tensorwire::Buffer& file, tensorclient::Call& call) {
  auto tensor = tensorwire::read_npy(file.bytes());
  if (!tensor.ok()) return in_file(input.path, tensor.error());
  call.tensor(input.name, std::move(tensor).value());
  return {};
}

Result<void> load_image(const Input& input, tensorwire::Buffer file, tensorclient::Call& call) {
  const auto header = tensorwire::inspect_image(file.bytes());
  if (!header.ok()) return in_file(input.path, header.error());
  call.image(input.name, std::move(file));
  return {};
}

Result<void> load_bytes(const Input& input, tensorwire::Buffer file, const InputSettings& settings,
                        tensorclient::Call& call) {
  auto dtype = tensorwire::parse_dtype(settings.dtype);
  if (!dtype.ok()) return std::move(dtype).error();
  const std::size_t item = tensorwire::itemsize(dtype->dtype);
  if (item == 0) return problem("a raw file cannot hold strings: send them as a .json data list");
  const auto elements = static_cast<std::int64_t>(file.size() / item);
  auto shape = settings.shape.empty() ? Result<Shape>(Shape{elements}) : parse_shape(settings.shape, elements);
  if (!shape.ok()) return std::move(shape).error();
  if (dtype->big_endian) tensorwire::swap_bytes(file.bytes(), tensorwire::info(dtype->dtype).swap_unit);
  auto tensor = Tensor::adopt(dtype->dtype, *shape, std::move(file));
  if (!tensor.ok()) return in_file(input.path, tensor.error());
  call.tensor(input.name, std::move(tensor).value());
  return {};
}

std::string_view text_of(const tensorwire::Buffer& file) {
  return {reinterpret_cast<const char*>(file.data()), file.size()};
}

// A data list becomes a request around it: {"data": ..., "dtype": ..., "shape": [...]}.
Result<std::string> request_around(std::string_view list, const InputSettings& settings) {
  std::string text = "{";
  if (!settings.dtype.empty()) text += "\"dtype\":" + Json(settings.dtype).dump() + ",";
  if (!settings.shape.empty()) {
    auto shape = parse_shape(settings.shape);
    if (!shape.ok()) return std::move(shape).error();
    text += "\"shape\":" + shape->to_string() + ",";
  }
  text += "\"data\":";
  text += list;
  return text + "}";
}

// The wire's own reader judges the file, exactly as a server would.
Result<tensorwire::Request> decode(std::string_view text) {
  tensorwire::Limits limits;
  limits.max_frame = tensorwire::kHardMaxFrame;
  tensorwire::MessageReader reader(tensorwire::Dialect::raw_json, limits, tensorwire::BufferPool::shared());
  if (reader.feed(text) == tensorwire::MessageReader::Status::need_more) return problem("the JSON ends too early");
  tensorwire::IncomingRequest incoming = reader.take_request();
  if (incoming.error) return std::move(*incoming.error);
  if (text.find_first_not_of(" \t\r\n") != std::string_view::npos) {
    return problem("there is more behind the first JSON object; put each request into a file of its own");
  }
  return std::move(incoming.request);
}

Result<void> add_item(tensorwire::Item& item, std::string name, tensorclient::Call& call) {
  if (const tensorwire::Image* image = item.image()) {
    auto copy = tensorwire::BufferPool::shared()->allocate(image->file().size());
    if (!copy.ok()) return std::move(copy).error();
    std::copy(image->file().begin(), image->file().end(), copy->data());
    call.image(std::move(name), std::move(copy).value(), image->options());
    return {};
  }
  auto tensor = item.take_tensor();
  if (!tensor.ok()) return std::move(tensor).error();
  call.tensor(std::move(name), std::move(tensor).value());
  return {};
}

// What the file says beside its tensors counts where the command line says nothing.
void take_over(tensorwire::Request& request, tensorclient::Call& call) {
  if (call.handler().empty()) call.handler(std::move(request.handler));
  if (const Json::Object* members = request.params.as_object()) {
    for (const auto& [name, value] : *members) {
      if (call.params().find(name) == nullptr) call.param(name, value);
    }
  }
  if (request.id.index() != 0) call.id(std::move(request.id));
  if (request.encoding == tensorwire::TensorEncoding::list) call.encoding(request.encoding);
}

Result<void> load_json(const Input& input, const tensorwire::Buffer& file, const InputSettings& settings,
                       tensorclient::Call& call) {
  const std::string_view text = text_of(file);
  const auto first = text.find_first_not_of(" \t\r\n");
  const bool is_request = first != std::string_view::npos && text[first] == '{';
  std::string around;
  if (!is_request) {
    auto made = request_around(text, settings);
    if (!made.ok()) return std::move(made).error();
    around = std::move(made).value();
  }
  auto request = decode(is_request ? text : std::string_view(around));
  if (!request.ok()) return in_file(input.path, request.error());
  for (tensorwire::Item& item : request->tensors) {
    std::string name = is_request ? item.name : input.name;
    if (auto added = add_item(item, std::move(name), call); !added.ok()) return in_file(input.path, added.error());
  }
  if (is_request) take_over(*request, call);
  return {};
}

}  // namespace

Result<std::uint64_t> load(const Input& input, const InputSettings& settings, tensorclient::Call& call) {
  auto file = contents(input.path);
  if (!file.ok()) return std::move(file).error();
  const std::uint64_t size = file->size();
  const std::string extension = extension_of(input.path);
  Result<void> loaded;
  if (extension == ".npy") {
    loaded = load_npy(input, *file, call);
  } else if (is_image(extension)) {
    loaded = load_image(input, std::move(file).value(), call);
  } else if (extension == ".json" || (input.path == kStandardInput && settings.dtype.empty())) {
    loaded = load_json(input, *file, settings, call);
  } else if (!settings.dtype.empty()) {
    loaded = load_bytes(input, std::move(file).value(), settings, call);
  } else {
    loaded =
        problem("'" + input.path +
                "' is no .npy, .png, .jpg or .json file; for raw bytes say what they are: --dtype float32 --shape 3,3");
  }
  if (!loaded.ok()) return std::move(loaded).error();
  return size;
}

Result<tensorclient::Call> make_call(const RequestSettings& settings) {
  tensorclient::Call call(settings.handler);
  call.payload(settings.payload).encoding(settings.encoding);
  for (const std::string& param : settings.params) {
    const auto equals = param.find('=');
    if (equals == std::string::npos || equals == 0) return problem("--param wants KEY=VALUE, got '" + param + "'");
    const std::string value = param.substr(equals + 1);
    auto json = Json::parse(value);
    call.param(param.substr(0, equals), json.ok() ? std::move(json).value() : Json(value));
  }
  return call;
}

}  // namespace tensorctl
