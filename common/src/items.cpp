// Checks a payload against its dtype and shape, swaps big-endian bytes, opens images; each refusal names the likeliest
// mistake.
#include "items.hpp"

#include <algorithm>
#include <cstring>

namespace tensorwire {
namespace {

Error at_place(Error error, const std::string& at) {
  if (error.at.empty()) error.at = at;
  return error;
}

// "float64 sent as float32?" where another dtype of the same kind explains the byte count.
std::string guess_dtype(DType said, std::uint64_t elements, std::uint64_t got) {
  for (const auto& other : all_dtypes()) {
    const bool fits =
        other.itemsize != 0 && other.kind == info(said).kind && elements != 0 && other.itemsize * elements == got;
    if (fits && other.dtype != said)
      return ": " + std::string(other.name) + " sent as " + std::string(to_string(said)) + "?";
  }
  const auto size = itemsize(said);
  if (got % size != 0) return "";
  return ", which are " + std::to_string(got / size) + " values";
}

Error size_mismatch(DType dtype, const Shape& shape, std::uint64_t needed, std::uint64_t got, const std::string& at) {
  const auto elements = needed / itemsize(dtype);
  return {ErrorCode::size_mismatch,
          "shape " + shape.to_string() + " of " + std::string(to_string(dtype)) + " needs " + std::to_string(needed) +
              " bytes, got " + std::to_string(got) + guess_dtype(dtype, elements, got),
          at + "/tensor"};
}

// A byte that is neither 0 nor 1 is no bool: a C++ handler that reads one has undefined behaviour.
Result<void> check_booleans(std::span<const std::byte> bytes, const std::string& at) {
  unsigned any = 0;
  for (const auto byte : bytes) any |= std::to_integer<unsigned>(byte);
  if (any <= 1) return {};
  const auto bad =
      std::find_if(bytes.begin(), bytes.end(), [](std::byte byte) { return std::to_integer<int>(byte) > 1; });
  return Error{ErrorCode::value_out_of_range,
               "byte " + std::to_string(bad - bytes.begin()) + " of a bool tensor is " +
                   std::to_string(std::to_integer<int>(*bad)) + "; it must be 0 or 1 (send it as uint8)",
               at + "/tensor"};
}

std::string missing(const char* member, const TensorParts& parts) {
  std::string message = std::string("a tensor given by `tensor` needs `") + member + "`";
  if (!parts.unknown_key.empty()) message += "; is \"" + std::string(parts.unknown_key.substr(0, 64)) + "\" misspelt?";
  return message;
}

Result<Shape> read_shape(const TensorParts& parts, const std::string& at) {
  auto shape = Shape::from(*parts.shape);
  if (!shape.ok()) return at_place(std::move(shape).error(), at + "/shape");
  return shape;
}

Result<ParsedDType> read_dtype(const TensorParts& parts, const std::string& at) {
  auto dtype = parse_dtype(*parts.dtype);
  if (!dtype.ok()) return at_place(std::move(dtype).error(), at + "/dtype");
  return dtype;
}

Result<Buffer> take_bytes(Payload& payload, const std::string& at) {
  auto bytes = payload.ready ? std::move(*payload.ready) : payload.text->finish();
  if (!bytes.ok()) return at_place(std::move(bytes).error(), at);
  return bytes;
}

Result<Item> build_tensor(const TensorParts& parts, Payload& payload, const std::string& at) {
  if (!parts.dtype) return Error{ErrorCode::bad_message, missing("dtype", parts), at};
  if (!parts.shape) return Error{ErrorCode::bad_message, missing("shape", parts), at};
  auto dtype = read_dtype(parts, at);
  if (!dtype.ok()) return std::move(dtype).error();
  if (dtype->dtype == DType::string) {
    return Error{ErrorCode::bad_dtype, "strings travel as `data`, not as base64 in `tensor`", at + "/dtype"};
  }
  auto shape = read_shape(parts, at);
  if (!shape.ok()) return std::move(shape).error();
  auto needed = shape->byte_count(dtype->dtype);
  if (!needed.ok()) return at_place(std::move(needed).error(), at + "/shape");
  auto bytes = take_bytes(payload, at + "/tensor");
  if (!bytes.ok()) return std::move(bytes).error();
  if (bytes->size() != *needed) return size_mismatch(dtype->dtype, *shape, *needed, bytes->size(), at);
  if (dtype->big_endian) swap_bytes(bytes->bytes(), info(dtype->dtype).swap_unit);
  if (dtype->dtype == DType::boolean) {
    auto sound = check_booleans(bytes->bytes(), at);
    if (!sound.ok()) return std::move(sound).error();
  }
  auto tensor = Tensor::adopt(dtype->dtype, *shape, *std::move(bytes));
  if (!tensor.ok()) return at_place(std::move(tensor).error(), at);
  return Item(*std::move(tensor));
}

Result<Item> build_list(const TensorParts& parts, Payload& payload, const std::string& at) {
  std::optional<DType> dtype;
  if (parts.dtype) {
    auto parsed = read_dtype(parts, at);
    if (!parsed.ok()) return std::move(parsed).error();
    dtype = parsed->dtype;
  }
  std::optional<Shape> shape;
  if (parts.shape) {
    auto parsed = read_shape(parts, at);
    if (!parsed.ok()) return std::move(parsed).error();
    auto count = parsed->element_count();
    if (!count.ok()) return at_place(std::move(count).error(), at + "/shape");
    shape = *parsed;
  }
  auto tensor = payload.list->finish(dtype, shape, at + "/data");
  if (!tensor.ok()) return at_place(std::move(tensor).error(), at + "/data");
  return Item(*std::move(tensor));
}

Result<void> check_format(std::string_view said, ImageFormat is, const std::string& at) {
  auto format = parse_image_format(said);
  if (!format.ok()) return at_place(std::move(format).error(), at);
  if (*format == is) return {};
  return Error{
      ErrorCode::bad_image,
      "the image is called " + std::string(to_string(*format)) + ", but the file is a " + std::string(to_string(is)),
      at};
}

Result<Item> build_image(const TensorParts& parts, Payload& payload, const std::string& at, const Limits& limits,
                         const std::shared_ptr<BufferPool>& pool) {
  auto bytes = take_bytes(payload, at + "/image");
  if (!bytes.ok()) return std::move(bytes).error();
  auto image = Image::open(*std::move(bytes), parts.image_options, limits, pool);
  if (!image.ok()) return at_place(std::move(image).error(), at + "/image");
  const auto format = image->info().format;
  auto agrees = parts.format ? check_format(*parts.format, format, at + "/format") : Result<void>{};
  if (agrees.ok() && payload.text && !payload.text->url_subtype().empty()) {
    agrees = check_format(payload.text->url_subtype(), format, at + "/image");
  }
  if (!agrees.ok()) return std::move(agrees).error();
  return Item(*std::move(image));
}

}  // namespace

Result<Item> build_item(TensorParts& parts, Payload& payload, const std::string& at, const Limits& limits,
                        const std::shared_ptr<BufferPool>& pool) {
  auto item = parts.form == TensorParts::Form::tensor  ? build_tensor(parts, payload, at)
              : parts.form == TensorParts::Form::image ? build_image(parts, payload, at, limits, pool)
                                                       : build_list(parts, payload, at);
  if (item.ok()) {
    if (parts.name) item->name = *parts.name;
    item->at = at;
  }
  return item;
}

}  // namespace tensorwire
