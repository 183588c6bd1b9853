// Decodes PNG with libpng into the final tensor, converting pixel formats by libpng's own transforms.
//
// libpng reports errors with longjmp. Every function that calls setjmp therefore has only trivially destructible
// locals, and calls nothing but libpng: no C++ frame with a destructor to run lies between the jump and its target.
#include <png.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "image_codec.hpp"
#include "png_chunks.hpp"

namespace tensorwire::png {
namespace {

// libpng's own default. Its two row buffers lie outside the memory budget; this keeps each of them below 8 MB.
constexpr std::uint32_t kMaxSide = 1'000'000;

// Of what libpng keeps of a chunk only PLTE and tRNS are read here, and they are below 1 KiB.
constexpr png_alloc_size_t kMaxChunkMemory = 1U << 20;
constexpr png_uint_32 kMaxChunksKept = 16;

// ITU-R BT.601 luma in libpng's 100,000ths, so that grey means the same as for a JPEG.
constexpr png_fixed_point kLumaRed = 29'900;
constexpr png_fixed_point kLumaGreen = 58'700;

// What libpng says after the last row of files whose pixels are all there and whose checksum held.
constexpr const char* kHarmless[] = {"IDAT: Extra compressed data", "IDAT: Too much image data"};

bool is_harmless(const char* message) noexcept {
  return std::strncmp(message, "IDAT: ", 6) != 0 ||
         std::any_of(std::begin(kHarmless), std::end(kHarmless),
                     [message](const char* text) { return std::strcmp(message, text) == 0; });
}

// One file on its way through libpng. The bool functions return false when libpng failed; message() then says why.
class Reader {
 public:
  Reader(std::span<const std::byte> file, const ImageOptions& options, const Limits& limits) noexcept
      : rest_(file), options_(options), deadline_(limits.max_image_ms) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, &on_error, &on_warning);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
  }
  ~Reader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  [[nodiscard]] bool ready() const noexcept { return info_ != nullptr; }

  // Reads everything before the first IDAT.
  [[nodiscard]] bool read_header() noexcept {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_read_fn(png_, this, &on_read);
    set_limits();
    png_read_info(png_, info_);
    return true;
  }

  // Sets up the transforms for the asked pixel format.
  [[nodiscard]] bool start() noexcept {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    if (options_.pixel_format == PixelFormat::native) {
      png_set_expand(png_);
    } else {
      request(layout_of(options_.pixel_format));
    }
    png_set_swap(png_);  // 16-bit samples to little-endian, which is the host order
    passes_ = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    in_pixels_ = true;
    return true;
  }

  // Reads all rows to pixels, which has room for height × row_bytes(), and the rest of the file.
  [[nodiscard]] bool read_pixels(std::byte* pixels) noexcept {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    const png_uint_32 height = png_get_image_height(png_, info_);
    const std::size_t stride = row_bytes();
    for (int pass = 0; pass < passes_; ++pass) {
      for (png_uint_32 y = 0; y < height; ++y) {
        if (deadline_.passed()) return give_up_late();
        png_read_row(png_, reinterpret_cast<png_bytep>(pixels + stride * y), nullptr);
      }
    }
    png_read_end(png_, nullptr);
    return true;
  }

  [[nodiscard]] std::uint32_t width() const noexcept { return png_get_image_width(png_, info_); }
  [[nodiscard]] std::uint32_t height() const noexcept { return png_get_image_height(png_, info_); }
  [[nodiscard]] int bit_depth() const noexcept { return png_get_bit_depth(png_, info_); }
  [[nodiscard]] std::size_t row_bytes() const noexcept { return png_get_rowbytes(png_, info_); }
  // Channels after libpng's expansion.
  [[nodiscard]] int native_channels() const noexcept { return (has_color() ? 3 : 1) + (has_alpha() ? 1 : 0); }
  [[nodiscard]] const char* message() const noexcept { return message_; }
  [[nodiscard]] bool late() const noexcept { return late_; }

 private:
  [[nodiscard]] bool has_color() const noexcept {
    return (png_get_color_type(png_, info_) & PNG_COLOR_MASK_COLOR) != 0;
  }
  [[nodiscard]] bool has_alpha() const noexcept {
    return (png_get_color_type(png_, info_) & PNG_COLOR_MASK_ALPHA) != 0 ||
           png_get_valid(png_, info_, PNG_INFO_tRNS) != 0;
  }

  void set_limits() noexcept {
    png_set_user_limits(png_, kMaxSide, kMaxSide);
    png_set_chunk_malloc_max(png_, kMaxChunkMemory);
    png_set_chunk_cache_max(png_, kMaxChunksKept);
    png_set_benign_errors(png_, 1);  // to on_warning, which decides
    png_set_crc_action(png_, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    // Everything but IHDR, PLTE, tRNS, IDAT and IEND is passed over: no text or profile is unpacked, and no gamma
    // known.
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  }

  void request(const PixelLayout& layout) noexcept {
    png_set_expand(png_);
    if (layout.channels == 1 && has_color()) {
      png_set_rgb_to_gray_fixed(png_, PNG_ERROR_ACTION_NONE, kLumaRed, kLumaGreen);
    }
    if (layout.channels != 1 && !has_color()) png_set_gray_to_rgb(png_);
    if (layout.channels != 4 && has_alpha()) png_set_strip_alpha(png_);
    if (layout.channels == 4 && !has_alpha()) png_set_add_alpha(png_, 0xffff, PNG_FILLER_AFTER);
    if (layout.bits == 8 && bit_depth() == 16) png_set_scale_16(png_);
    if (layout.bits == 16 && bit_depth() != 16) png_set_expand_16(png_);
    if (layout.bgr) png_set_bgr(png_);
  }

  [[nodiscard]] bool give_up_late() noexcept {
    late_ = true;
    return false;
  }

  static void on_read(png_structp png, png_bytep out, std::size_t length) {
    auto* self = static_cast<Reader*>(png_get_io_ptr(png));
    if (length > self->rest_.size()) png_error(png, "unexpected end of file");
    std::memcpy(out, self->rest_.data(), length);
    self->rest_ = self->rest_.subspan(length);
  }

  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    auto* self = static_cast<Reader*>(png_get_error_ptr(png));
    std::strncpy(self->message_, message, sizeof self->message_ - 1);
    png_longjmp(png, 1);
  }

  // Damage to the compressed pixels that libpng would take with a warning is damage still.
  static void on_warning(png_structp png, png_const_charp message) {
    const auto* self = static_cast<Reader*>(png_get_error_ptr(png));
    if (self->in_pixels_ && !is_harmless(message)) on_error(png, message);
  }

  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::span<const std::byte> rest_;  // what libpng has not read yet
  ImageOptions options_;
  Deadline deadline_;
  int passes_ = 1;
  bool in_pixels_ = false;
  bool late_ = false;
  char message_[128] = {};
};

Error library_error(const Reader& reader, const Limits& limits) {
  if (reader.late()) return deadline_error(limits);
  return {ErrorCode::bad_image, "libpng: " + std::string(reader.message()), ""};
}

Result<void> check_size(const Header& header, const ImageOptions& options, const Limits& limits) {
  if (header.width > kMaxSide || header.height > kMaxSide) {
    return Error{ErrorCode::image_too_large,
                 "a PNG of " + std::to_string(header.width) + " × " + std::to_string(header.height) +
                     " pixels: no side may exceed " + std::to_string(kMaxSide),
                 ""};
  }
  const bool native = options.pixel_format == PixelFormat::native;
  return check_pixel_limit(header.width, header.height, native ? 1 : layout_of(options.pixel_format).channels, limits);
}

// Reads the header and checks it against the limits: what inspect() and decode() have in common.
Result<ImageInfo> open(Reader& reader, std::span<const std::byte> file, const ImageOptions& options,
                       const Limits& limits) {
  const Result<Header> header = check_chunks(file);
  if (!header.ok()) return header.error();
  Result<void> checked = check_size(*header, options, limits);
  if (!checked.ok()) return std::move(checked).error();
  if (!reader.ready()) return Error{ErrorCode::overloaded, "libpng found no memory for its state", ""};
  if (!reader.read_header()) return library_error(reader, limits);

  ImageInfo info;
  info.format = ImageFormat::png;
  info.width = reader.width();
  info.height = reader.height();
  info.channels = reader.native_channels();
  info.bit_depth = reader.bit_depth();
  const bool native = options.pixel_format == PixelFormat::native;
  const PixelLayout layout =
      native ? PixelLayout{info.channels, info.bit_depth == 16 ? 16 : 8, false} : layout_of(options.pixel_format);
  checked = check_pixel_limit(info.width, info.height, std::max(info.channels, layout.channels), limits);
  if (!checked.ok()) return std::move(checked).error();
  info.dtype = layout.bits == 16 ? DType::uint16 : DType::uint8;
  info.shape = Shape{info.height, info.width, layout.channels};
  return info;
}

}  // namespace

Result<ImageInfo> inspect(std::span<const std::byte> file, const ImageOptions& options, const Limits& limits) {
  Reader reader(file, options, limits);
  return open(reader, file, options, limits);
}

Result<DecodedImage> decode(std::span<const std::byte> file, const ImageOptions& options, const Limits& limits,
                            BufferPool& pool) {
  Reader reader(file, options, limits);
  const Result<ImageInfo> info = open(reader, file, options, limits);
  if (!info.ok()) return info.error();
  Result<Tensor> pixels = Tensor::allocate(info->dtype, info->shape, pool);
  if (!pixels.ok()) return std::move(pixels).error();
  if (!reader.start()) return library_error(reader, limits);
  if (reader.row_bytes() * reader.height() != pixels->bytes().size()) {
    return Error{ErrorCode::internal, "libpng's rows are not as long as its header said", ""};
  }
  if (!reader.read_pixels(pixels->bytes().data())) return library_error(reader, limits);
  return DecodedImage{*std::move(pixels), {}};
}

}  // namespace tensorwire::png
