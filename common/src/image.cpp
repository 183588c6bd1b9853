// Images whatever their format: names, limits, the choice of codec, and the Image that decodes when first asked.
#include "tensorwire/image.hpp"

#include <array>
#include <utility>

#include "hex.hpp"
#include "image_codec.hpp"

namespace tensorwire {
namespace {

struct PixelFormatName {
  PixelFormat format;
  std::string_view name;
};
constexpr std::array kPixelFormats = {
    PixelFormatName{PixelFormat::native, "native"}, PixelFormatName{PixelFormat::mono8, "mono8"},
    PixelFormatName{PixelFormat::rgb8, "rgb8"},     PixelFormatName{PixelFormat::bgr8, "bgr8"},
    PixelFormatName{PixelFormat::rgba8, "rgba8"},   PixelFormatName{PixelFormat::bgra8, "bgra8"},
    PixelFormatName{PixelFormat::mono16, "mono16"}, PixelFormatName{PixelFormat::rgb16, "rgb16"},
    PixelFormatName{PixelFormat::rgba16, "rgba16"},
};

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equals_ignoring_case(std::string_view text, std::string_view lower_name) noexcept {
  if (text.size() != lower_name.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (lower(text[i]) != lower_name[i]) return false;
  }
  return true;
}

std::string quote(std::string_view text) {
  constexpr std::size_t longest = 40;
  return '"' + std::string(text.substr(0, longest)) + (text.size() > longest ? "…\"" : "\"");
}

std::string hex_of_front(std::span<const std::byte> file) {
  std::string text;
  for (const std::byte byte : file.first(std::min<std::size_t>(file.size(), 8))) {
    if (!text.empty()) text += ' ';
    text += hex_digit(std::to_integer<unsigned>(byte) >> 4U);
    text += hex_digit(std::to_integer<unsigned>(byte));
  }
  return text;
}

bool begins_with(std::span<const std::byte> file, std::string_view magic) noexcept {
  if (file.size() < magic.size()) return false;
  for (std::size_t i = 0; i < magic.size(); ++i) {
    if (file[i] != static_cast<std::byte>(magic[i])) return false;
  }
  return true;
}

// The other picture formats that people have at hand, so that the error can name what came.
std::string_view other_format(std::span<const std::byte> file) noexcept {
  if (begins_with(file, "GIF8")) return "a GIF";
  if (begins_with(file, "BM")) return "a BMP";
  if (begins_with(file, "RIFF")) return "a WebP";
  if (begins_with(file, "II*") || begins_with(file, std::string_view("MM\0*", 4))) return "a TIFF";
  if (begins_with(file, "\x93NUMPY")) return "a .npy file: send its elements as a tensor";
  if (begins_with(file, "%PDF")) return "a PDF";
  if (begins_with(file, "data:")) return "a data URL inside the base64";
  if (begins_with(file, "iVBOR") || begins_with(file, "/9j/")) return "base64 once more: encoded twice?";
  return {};
}

Error unknown_format_error(std::span<const std::byte> file) {
  if (file.empty()) return {ErrorCode::bad_image, "expected a whole PNG or JPEG file, got 0 bytes", ""};
  std::string message = "expected a whole PNG or JPEG file, got ";
  const std::string_view other = other_format(file);
  if (!other.empty()) {
    message += other;
  } else {
    message += std::to_string(file.size()) + " bytes that begin with " + hex_of_front(file) +
               ": raw pixels go as `tensor` with dtype and shape";
  }
  return {ErrorCode::bad_image, std::move(message), ""};
}

Result<ImageFormat> format_of(std::span<const std::byte> file) {
  if (png::has_signature(file)) return ImageFormat::png;
  if (jpeg::has_signature(file)) return ImageFormat::jpeg;
  return unknown_format_error(file);
}

Result<void> check_options(ImageFormat format, const ImageOptions& options) {
  const int scale = options.scale;
  if (scale != 1 && scale != 2 && scale != 4 && scale != 8) {
    return Error{ErrorCode::bad_message, "scale must be 1, 2, 4 or 8, got " + std::to_string(scale), ""};
  }
  if (scale != 1 && format == ImageFormat::png) {
    return Error{ErrorCode::bad_message, "scale " + std::to_string(scale) + " is for JPEG only; this is a PNG", ""};
  }
  return {};
}

// The format, when the options suit it.
Result<ImageFormat> choose_codec(std::span<const std::byte> file, const ImageOptions& options) {
  Result<ImageFormat> format = format_of(file);
  if (!format.ok()) return format;
  Result<void> checked = check_options(*format, options);
  if (!checked.ok()) return std::move(checked).error();
  return format;
}

Error pixels_shape_error(const TensorView& pixels) {
  return {ErrorCode::bad_shape,
          "an image needs shape [height, width] or [height, width, channels] with 1 to 4 channels and no empty side, "
          "got " +
              pixels.shape().to_string(),
          ""};
}

Result<PixelRows> rows_of(const TensorView& pixels) {
  if (pixels.dtype() != DType::uint8 && pixels.dtype() != DType::uint16) {
    return Error{ErrorCode::bad_dtype,
                 "an image needs uint8 or uint16 pixels, got " + std::string(to_string(pixels.dtype())), ""};
  }
  const Shape& shape = pixels.shape();
  if (shape.rank() != 2 && shape.rank() != 3) return pixels_shape_error(pixels);
  const std::int64_t channels = shape.rank() == 3 ? shape[2] : 1;
  constexpr std::int64_t longest = 0x7fff'ffff;  // what PNG can say
  if (shape[0] < 1 || shape[1] < 1 || shape[0] > longest || shape[1] > longest || channels < 1 || channels > 4) {
    return pixels_shape_error(pixels);
  }
  return PixelRows{pixels.bytes().data(), static_cast<std::uint32_t>(shape[1]), static_cast<std::uint32_t>(shape[0]),
                   static_cast<int>(channels), pixels.dtype() == DType::uint16 ? 16 : 8};
}

Result<void> check_number(const char* name, int value, int lowest, int highest) {
  if (value >= lowest && value <= highest) return {};
  return Error{ErrorCode::bad_message,
               std::string(name) + " must be " + std::to_string(lowest) + " to " + std::to_string(highest) + ", got " +
                   std::to_string(value),
               ""};
}

}  // namespace

std::string_view to_string(ImageFormat format) noexcept { return format == ImageFormat::png ? "png" : "jpeg"; }

Result<ImageFormat> parse_image_format(std::string_view text) {
  if (equals_ignoring_case(text, "png")) return ImageFormat::png;
  if (equals_ignoring_case(text, "jpeg") || equals_ignoring_case(text, "jpg")) return ImageFormat::jpeg;
  return Error{ErrorCode::bad_image, "expected image format png, jpeg or jpg, got " + quote(text), ""};
}

std::string_view to_string(PixelFormat format) noexcept { return kPixelFormats[static_cast<std::size_t>(format)].name; }

Result<PixelFormat> parse_pixel_format(std::string_view text) {
  std::string known;
  for (const PixelFormatName& entry : kPixelFormats) {
    if (equals_ignoring_case(text, entry.name)) return entry.format;
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  return Error{ErrorCode::bad_message, "pixel_format " + quote(text) + " is unknown; known are " + known, ""};
}

PixelLayout layout_of(PixelFormat format) noexcept {
  switch (format) {
    case PixelFormat::mono8:
      return {1, 8, false};
    case PixelFormat::bgr8:
      return {3, 8, true};
    case PixelFormat::rgba8:
      return {4, 8, false};
    case PixelFormat::bgra8:
      return {4, 8, true};
    case PixelFormat::mono16:
      return {1, 16, false};
    case PixelFormat::rgb16:
      return {3, 16, false};
    case PixelFormat::rgba16:
      return {4, 16, false};
    case PixelFormat::native:
    case PixelFormat::rgb8:
      break;
  }
  return {3, 8, false};
}

Result<void> check_pixel_limit(std::int64_t width, std::int64_t height, int channels, const Limits& limits) {
  // Both sides are below 2^31 in either format, so three of the factors fit 64 bits.
  const auto samples =
      static_cast<std::uint64_t>(width) * static_cast<std::uint64_t>(height) * static_cast<std::uint64_t>(channels);
  const auto side = std::uint64_t{1} << 31;
  const bool absurd = static_cast<std::uint64_t>(width) >= side || static_cast<std::uint64_t>(height) >= side;
  if (!absurd && samples <= limits.max_pixels) return {};
  return Error{ErrorCode::image_too_large,
               std::to_string(width) + " × " + std::to_string(height) + " × " + std::to_string(channels) +
                   " samples are more than the limit of " + std::to_string(limits.max_pixels) + " (--max-pixels)",
               ""};
}

Error deadline_error(const Limits& limits) {
  return {ErrorCode::image_too_large,
          "decoding took longer than the limit of " + std::to_string(limits.max_image_ms) + " ms", ""};
}

BudgetCharge::BudgetCharge(BudgetCharge&& other) noexcept
    : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

BudgetCharge::~BudgetCharge() {
  if (budget_ != nullptr) budget_->release(bytes_);
}

Result<BudgetCharge> BudgetCharge::take(BufferPool& pool, std::uint64_t bytes) {
  BudgetCharge charge;
  if (pool.budget() == nullptr || bytes == 0) return charge;
  if (!pool.budget()->try_charge(bytes)) {
    return Error{ErrorCode::overloaded,
                 "decoding this image needs " + std::to_string(bytes) +
                     " bytes of working memory, and the budget has " +
                     std::to_string(pool.budget()->limit() - pool.budget()->used()) + " left: send it again later",
                 ""};
  }
  charge.budget_ = pool.budget();
  charge.bytes_ = bytes;
  return charge;
}

Result<ImageInfo> inspect_image(std::span<const std::byte> file, const ImageOptions& options, const Limits& limits) {
  const Result<ImageFormat> format = choose_codec(file, options);
  if (!format.ok()) return format.error();
  return *format == ImageFormat::png ? png::inspect(file, options, limits) : jpeg::inspect(file, options, limits);
}

Result<DecodedImage> decode_image(std::span<const std::byte> file, const ImageOptions& options, const Limits& limits,
                                  BufferPool& pool) {
  const Result<ImageFormat> format = choose_codec(file, options);
  if (!format.ok()) return format.error();
  return *format == ImageFormat::png ? png::decode(file, options, limits, pool)
                                     : jpeg::decode(file, options, limits, pool);
}

Result<Buffer> encode_image(const TensorView& pixels, ImageFormat format, const EncodeOptions& options,
                            BufferPool& pool) {
  Result<PixelRows> rows = rows_of(pixels);
  if (!rows.ok()) return std::move(rows).error();
  const bool as_png = format == ImageFormat::png;
  Result<void> checked = as_png ? check_number("PNG level", options.png_level, 0, 9)
                                : check_number("JPEG quality", options.jpeg_quality, 1, 100);
  if (!checked.ok()) return std::move(checked).error();
  return as_png ? png::encode(*rows, options, pool) : jpeg::encode(*rows, options, pool);
}

struct Image::State {
  Buffer file;
  ImageOptions options;
  Limits limits;
  ImageInfo info;
  std::shared_ptr<BufferPool> pool;
  DecodedImage decoded;
  bool is_decoded = false;
  std::optional<Error> failure;
};

Image::Image() noexcept = default;
Image::~Image() = default;
Image::Image(Image&&) noexcept = default;
Image& Image::operator=(Image&&) noexcept = default;

const Image::State& Image::state() const noexcept {
  static const State nothing;
  return state_ ? *state_ : nothing;
}

const ImageInfo& Image::info() const noexcept { return state().info; }
const ImageOptions& Image::options() const noexcept { return state().options; }
std::span<const std::byte> Image::file() const noexcept { return state().file.bytes(); }
const std::string& Image::warning() const noexcept { return state().decoded.warning; }

Result<Image> Image::open(Buffer file, const ImageOptions& options, const Limits& limits,
                          std::shared_ptr<BufferPool> pool) {
  Result<ImageInfo> info = inspect_image(file.bytes(), options, limits);
  if (!info.ok()) return std::move(info).error();
  Image image;
  image.state_ = std::make_unique<State>();
  auto& state = *image.state_;
  state.file = std::move(file);
  state.options = options;
  state.limits = limits;
  state.info = *std::move(info);
  state.pool = std::move(pool);
  return image;
}

Result<void> Image::decode() const {
  if (!state_) return Error{ErrorCode::internal, "this Image was never opened: it has no file to decode", ""};
  if (state_->failure) return *state_->failure;
  if (state_->is_decoded) return {};
  Result<DecodedImage> decoded = decode_image(state_->file.bytes(), state_->options, state_->limits, *state_->pool);
  if (!decoded.ok()) {
    // A full budget may have room again later; what is wrong with the file stays wrong.
    if (decoded.error().code != ErrorCode::overloaded) state_->failure = decoded.error();
    return std::move(decoded).error();
  }
  state_->decoded = *std::move(decoded);
  state_->is_decoded = true;
  return {};
}

Result<const Tensor*> Image::pixels() const {
  Result<void> done = decode();
  if (!done.ok()) return std::move(done).error();
  return &state_->decoded.pixels;
}

Result<Tensor> Image::take_pixels() {
  Result<void> done = decode();
  if (!done.ok()) return std::move(done).error();
  state_->is_decoded = false;
  return std::move(state_->decoded.pixels);
}

}  // namespace tensorwire
