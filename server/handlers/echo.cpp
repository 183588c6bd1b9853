// echo: gives the tensors back as they arrived, images as their pixels, or all encoded as PNG or JPEG.
#include <optional>
#include <utility>

#include "handlers/builtin.hpp"

namespace tensord::handlers {
namespace {

std::optional<tensorwire::ImageFormat> wanted_format(const Request& request) {
  const Json* const format = param(request, "format");
  if (format == nullptr) return std::nullopt;
  const auto text = format->as_string();
  Result<tensorwire::ImageFormat> parsed =
      text ? tensorwire::parse_image_format(*text)
           : Error{ErrorCode::bad_message, "params.format must be \"png\" or \"jpeg\"", ""};
  if (!parsed.ok()) throw ErrorException(Error{ErrorCode::bad_message, parsed.error().message, "/params/format"});
  return *parsed;
}

int number_param(const Request& request, const char* name, int least, int most, int otherwise) {
  const Json* const given = param(request, name);
  if (given == nullptr) return otherwise;
  const auto number = given->as_int();
  if (number && *number >= least && *number <= most) return static_cast<int>(*number);
  throw ErrorException(Error{ErrorCode::bad_message,
                             std::string("params.") + name + " must be a whole number from " + std::to_string(least) +
                                 " to " + std::to_string(most),
                             std::string("/params/") + name});
}

Image encode(Item& item, tensorwire::ImageFormat format, const tensorwire::EncodeOptions& options) {
  const Tensor& pixels = *item.tensor().value();
  auto file = tensorwire::encode_image(pixels.view(), format, options);
  if (!file.ok()) {
    if (file.error().at.empty()) file.error().at = item.at;
    throw ErrorException(std::move(file).error());
  }
  // Our own encoder's output: what the decoder's limits would refuse has just been held as pixels.
  tensorwire::Limits limits;
  limits.max_pixels = UINT64_MAX;
  return Image::open(std::move(*file), {}, limits).value();
}

}  // namespace

Reply echo(Request request) {
  require_tensors(request, "echo");
  const auto format = wanted_format(request);
  tensorwire::EncodeOptions options;
  options.jpeg_quality = number_param(request, "quality", 1, 100, options.jpeg_quality);
  options.png_level = number_param(request, "level", 0, 9, options.png_level);
  Reply reply;
  Json result;
  reply.tensors.reserve(request.tensors.size());
  for (Item& item : request.tensors) {
    if (format) {
      reply.tensors.emplace_back(item.name, encode(item, *format, options));
    } else if (item.image() == nullptr) {
      reply.tensors.push_back(std::move(item));
    } else {
      reply.tensors.emplace_back(item.name, item.take_tensor().value());
    }
  }
  add_warnings(request, result);
  reply.result = std::move(result);
  return reply;
}

}  // namespace tensord::handlers
