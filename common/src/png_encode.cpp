// Encodes pixels as PNG with libpng, straight into a pooled buffer.
#include <png.h>

#include <cstring>
#include <utility>

#include "image_codec.hpp"

namespace tensorwire::png {
namespace {

// One file being written. Functions with setjmp hold nothing that has a destructor (see png.cpp).
class Writer {
 public:
  explicit Writer(BufferPool& pool) : out_(pool.empty_buffer()) {
    png_ = png_create_write_struct(PNG_LIBPNG_VER_STRING, this, &on_error, &on_warning);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
  }
  ~Writer() { png_destroy_write_struct(&png_, &info_); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  [[nodiscard]] bool ready() const noexcept { return info_ != nullptr; }

  [[nodiscard]] bool write(const PixelRows& pixels, int level) noexcept {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_write_fn(png_, this, &on_write, nullptr);
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // the pixels are there already
    png_set_compression_level(png_, level);
    png_set_IHDR(png_, info_, pixels.width, pixels.height, pixels.bits, color_type(pixels.channels), PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png_, info_);
    if (pixels.bits == 16) png_set_swap(png_);  // the host order is little-endian
    const std::size_t stride = std::size_t{pixels.width} * static_cast<unsigned>(pixels.channels * pixels.bits / 8);
    for (std::uint32_t y = 0; y < pixels.height; ++y) {
      png_write_row(png_, reinterpret_cast<png_const_bytep>(pixels.data + stride * y));
    }
    png_write_end(png_, info_);
    return true;
  }

  [[nodiscard]] Error error() const {
    if (full_) return {ErrorCode::overloaded, "no memory for the encoded PNG", ""};
    return {ErrorCode::internal, "libpng: " + std::string(message_), ""};
  }
  [[nodiscard]] Buffer take() noexcept { return std::move(out_); }

 private:
  static int color_type(int channels) noexcept {
    constexpr int types[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                             PNG_COLOR_TYPE_RGB_ALPHA};
    return types[channels - 1];
  }

  // Apart from on_write, so that the Result is gone before png_error jumps.
  [[nodiscard]] bool append(const png_byte* bytes, std::size_t length) noexcept {
    const std::size_t size = out_.size();
    if (!out_.resize(size + length).ok()) return false;
    std::memcpy(out_.data() + size, bytes, length);
    return true;
  }

  static void on_write(png_structp png, png_bytep bytes, std::size_t length) {
    auto* self = static_cast<Writer*>(png_get_io_ptr(png));
    if (self->append(bytes, length)) return;
    self->full_ = true;
    png_error(png, "no memory");
  }

  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    auto* self = static_cast<Writer*>(png_get_error_ptr(png));
    std::strncpy(self->message_, message, sizeof self->message_ - 1);
    png_longjmp(png, 1);
  }
  static void on_warning(png_structp /*png*/, png_const_charp /*message*/) {}

  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  Buffer out_;
  bool full_ = false;
  char message_[128] = {};
};

}  // namespace

Result<Buffer> encode(const PixelRows& pixels, const EncodeOptions& options, BufferPool& pool) {
  Writer writer(pool);
  if (!writer.ready()) return Error{ErrorCode::overloaded, "libpng found no memory for its state", ""};
  if (!writer.write(pixels, options.png_level)) return writer.error();
  return writer.take();
}

}  // namespace tensorwire::png
