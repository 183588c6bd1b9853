// Decodes JPEG with libjpeg-turbo's libjpeg API, which (unlike TurboJPEG's) tells warnings, scans and progress.
//
// libjpeg reports errors through a hook that must not return: it leaves by longjmp. Every function that calls setjmp
// therefore has only trivially destructible locals, and calls nothing but libjpeg.
#include <cstdio>  // before jpeglib.h, which needs FILE

#include <jpeglib.h>

#include <jerror.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>
#include <utility>

#include "image_codec.hpp"
#include "jpeg_markers.hpp"
#include "jpeg_place.hpp"

namespace tensorwire::jpeg {
namespace {

// Rows between two visits: enough that a strip keeps whole cache lines together when it is turned on its side, few
// enough that it stays in the cache.
constexpr std::uint32_t kStripRows = 16;

enum class Failure : std::uint8_t { none, library, damaged, late, too_many_scans };

// One file on its way through libjpeg. The bool functions return false when it failed; failure() then says how.
class Reader {
 public:
  Reader(std::span<const std::byte> file, const ImageOptions& options, const Limits& limits) noexcept
      : file_(file), options_(options), max_scans_(limits.max_jpeg_scans), deadline_(limits.max_image_ms) {
    decoder_.err = jpeg_std_error(&errors_);
    decoder_.client_data = this;
    errors_.error_exit = &on_error;
    errors_.emit_message = &on_message;
    errors_.output_message = &on_output;
  }
  ~Reader() { jpeg_destroy_decompress(&decoder_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // Reads everything before the first scan's data.
  [[nodiscard]] bool read_header() noexcept {
    if (setjmp(jump_) != 0) return false;
    jpeg_create_decompress(&decoder_);
    decoder_.client_data = this;  // jpeg_create_decompress keeps it, but does not promise to
    progress_.progress_monitor = &on_progress;
    decoder_.progress = &progress_;
    jpeg_mem_src(&decoder_, reinterpret_cast<const unsigned char*>(file_.data()), file_.size());
    jpeg_read_header(&decoder_, TRUE);
    decoder_.scale_num = 1;
    decoder_.scale_denom = static_cast<unsigned>(options_.scale);
    jpeg_calc_output_dimensions(&decoder_);
    return true;
  }

  // For a file with several scans this does most of the work.
  [[nodiscard]] bool start(J_COLOR_SPACE color_space) noexcept {
    if (setjmp(jump_) != 0) return false;
    decoder_.out_color_space = color_space;
    jpeg_start_decompress(&decoder_);
    return true;
  }

  [[nodiscard]] bool read_rows(JSAMPROW* rows, std::uint32_t count) noexcept {
    if (setjmp(jump_) != 0) return false;
    for (std::uint32_t done = 0; done < count;) {
      done += jpeg_read_scanlines(&decoder_, rows + done, count - done);
    }
    return true;
  }

  // Reads what stands behind the pixels, up to the end-of-image marker.
  [[nodiscard]] bool finish() noexcept {
    if (setjmp(jump_) != 0) return false;
    jpeg_finish_decompress(&decoder_);
    return true;
  }

  [[nodiscard]] std::uint32_t width() const noexcept { return decoder_.image_width; }
  [[nodiscard]] std::uint32_t height() const noexcept { return decoder_.image_height; }
  [[nodiscard]] std::uint32_t output_width() const noexcept { return decoder_.output_width; }
  [[nodiscard]] std::uint32_t output_height() const noexcept { return decoder_.output_height; }
  [[nodiscard]] int components() const noexcept { return decoder_.num_components; }
  [[nodiscard]] int output_components() const noexcept { return decoder_.output_components; }
  [[nodiscard]] bool is_cmyk() const noexcept { return components() == 4; }
  [[nodiscard]] bool has_multiple_scans() noexcept { return jpeg_has_multiple_scans(&decoder_) != FALSE; }

  // Bytes of the coefficients that libjpeg keeps of the whole image when it comes in several scans.
  [[nodiscard]] std::uint64_t coefficient_bytes() noexcept {
    if (!has_multiple_scans()) return 0;
    std::uint64_t blocks = 0;
    for (int i = 0; i < components(); ++i) {
      const jpeg_component_info& component = decoder_.comp_info[i];
      blocks += round_up(component.width_in_blocks, component.h_samp_factor) *
                round_up(component.height_in_blocks, component.v_samp_factor);
    }
    return blocks * sizeof(JBLOCK);
  }

  [[nodiscard]] Failure failure() const noexcept { return failure_; }
  [[nodiscard]] const char* message() const noexcept { return message_; }
  [[nodiscard]] const char* warning() const noexcept { return warning_; }

 private:
  static std::uint64_t round_up(JDIMENSION value, int multiple) noexcept {
    const auto step = static_cast<std::uint64_t>(multiple);
    return (value + step - 1) / step * step;
  }

  static Reader& of(j_common_ptr decoder) noexcept { return *static_cast<Reader*>(decoder->client_data); }

  [[noreturn]] void leave(Failure failure) noexcept {
    failure_ = failure;
    longjmp(jump_, 1);
  }

  [[noreturn]] static void on_error(j_common_ptr decoder) {
    Reader& self = of(decoder);
    decoder->err->format_message(decoder, self.message_);
    self.leave(Failure::library);
  }

  // A negative level is a warning: data is damaged, and libjpeg has guessed. Others are traces.
  static void on_message(j_common_ptr decoder, int level) {
    if (level >= 0) return;
    Reader& self = of(decoder);
    ++decoder->err->num_warnings;
    if (!self.options_.allow_damaged) {
      decoder->err->format_message(decoder, self.message_);
      self.leave(Failure::damaged);
    }
    if (self.warning_[0] == '\0') decoder->err->format_message(decoder, self.warning_);
  }

  static void on_output(j_common_ptr /*decoder*/) {}  // nothing of ours goes to stderr

  static void on_progress(j_common_ptr decoder) {
    Reader& self = of(decoder);
    if (self.decoder_.input_scan_number > self.max_scans_) self.leave(Failure::too_many_scans);
    if (self.deadline_.passed()) self.leave(Failure::late);
  }

  jpeg_decompress_struct decoder_{};
  jpeg_error_mgr errors_{};
  jpeg_progress_mgr progress_{};
  std::jmp_buf jump_{};
  std::span<const std::byte> file_;
  ImageOptions options_;
  int max_scans_;
  Deadline deadline_;
  Failure failure_ = Failure::none;
  char message_[JMSG_LENGTH_MAX] = {};
  char warning_[JMSG_LENGTH_MAX] = {};
};

Error bad(std::string message) { return {ErrorCode::bad_image, std::move(message), ""}; }

Error too_many_scans_error(const Limits& limits) {
  return {ErrorCode::image_too_large,
          "this JPEG has more than " + std::to_string(limits.max_jpeg_scans) +
              " scans, which is the limit; photographs have about 10",
          ""};
}

Error reader_error(const Reader& reader, const Limits& limits) {
  switch (reader.failure()) {
    case Failure::late:
      return deadline_error(limits);
    case Failure::too_many_scans:
      return too_many_scans_error(limits);
    case Failure::damaged:
      return bad("libjpeg: " + std::string(reader.message()) +
                 " (a damaged JPEG; \"allow_damaged\": true takes what can be read)");
    case Failure::library:
    case Failure::none:
      break;
  }
  return bad("libjpeg: " + std::string(reader.message()));
}

const char* unsupported_process(std::uint8_t marker) noexcept {
  switch (marker) {
    case 0xc3:
    case 0xcb:
      return "a lossless JPEG";
    case 0xc5:
    case 0xc6:
    case 0xc7:
    case 0xcd:
    case 0xce:
    case 0xcf:
      return "a hierarchical JPEG";
    default:
      return nullptr;
  }
}

// What the frame header alone forbids, before libjpeg is asked at all.
Result<void> check_frame(const Frame& frame, const Limits& limits) {
  if (const char* process = unsupported_process(frame.marker)) {
    return bad(std::string("this is ") + process + "; baseline, progressive and arithmetic ones can be read");
  }
  if (frame.precision != 8) {
    return bad("this JPEG has " + std::to_string(frame.precision) +
               " bits per sample, only 8 can be read: send 16-bit images as PNG or as a tensor");
  }
  return check_pixel_limit(frame.width, frame.height, std::max(frame.components, 1), limits);
}

// What decoding yields: native is grey or RGB.
PixelLayout output_layout(const Reader& reader, PixelFormat format) noexcept {
  if (format != PixelFormat::native) return layout_of(format);
  return {reader.components() == 1 ? 1 : 3, 8, false};
}

struct Opened {
  ImageInfo info;
  PixelLayout layout{};
};

Opened describe(const Reader& reader, const ImageOptions& options, int orientation) {
  Opened opened;
  opened.layout = output_layout(reader, options.pixel_format);
  ImageInfo& info = opened.info;
  info.format = ImageFormat::jpeg;
  info.width = reader.width();
  info.height = reader.height();
  info.channels = reader.components() == 1 ? 1 : 3;
  info.orientation = orientation;
  info.dtype = opened.layout.bits == 16 ? DType::uint16 : DType::uint8;
  std::int64_t rows = reader.output_height();
  std::int64_t columns = reader.output_width();
  if (options.exif_orientation && orientation >= 5) std::swap(rows, columns);
  info.shape = Shape{rows, columns, opened.layout.channels};
  return opened;
}

// Reads the header and checks it against the limits: what inspect() and decode() have in common.
Result<Opened> open(Reader& reader, std::span<const std::byte> file, const ImageOptions& options,
                    const Limits& limits) {
  const Markers markers = read_markers(file);
  if (markers.frame) {
    Result<void> checked = check_frame(*markers.frame, limits);
    if (!checked.ok()) return std::move(checked).error();
  }
  if (!reader.read_header()) return reader_error(reader, limits);
  const int components = reader.components();
  if (components != 1 && components != 3 && components != 4) {
    return bad("this JPEG has " + std::to_string(components) +
               " components; 1 (grey), 3 (RGB or YCbCr) and 4 (CMYK or YCCK) can be read");
  }
  Opened opened = describe(reader, options, markers.orientation);
  const int channels = std::max(components, opened.layout.channels);
  Result<void> checked = check_pixel_limit(reader.width(), reader.height(), channels, limits);
  if (!checked.ok()) return std::move(checked).error();
  return opened;
}

J_COLOR_SPACE library_color_space(const Reader& reader, const PixelLayout& layout) noexcept {
  if (reader.is_cmyk()) return JCS_CMYK;  // convert_cmyk() does the rest
  if (layout.channels == 1) return JCS_GRAYSCALE;
  if (layout.channels == 3) return layout.bgr ? JCS_EXT_BGR : JCS_RGB;
  return layout.bgr ? JCS_EXT_BGRA : JCS_EXT_RGBA;
}

// Rows go straight into the tensor.
bool read_direct(Reader& reader, std::span<std::byte> pixels) noexcept {
  const std::uint32_t height = reader.output_height();
  const std::size_t stride = pixels.size() / height;
  JSAMPROW rows[kStripRows];
  for (std::uint32_t y = 0; y < height; y += kStripRows) {
    const std::uint32_t count = std::min(kStripRows, height - y);
    for (std::uint32_t i = 0; i < count; ++i) rows[i] = reinterpret_cast<JSAMPROW>(pixels.data() + stride * (y + i));
    if (!reader.read_rows(rows, count)) return false;
  }
  return true;
}

// Rows go through a strip that stays in the cache, and from there to their place.
bool read_through_strip(Reader& reader, std::span<std::byte> strip, const Placement& to,
                        const PixelLayout& layout) noexcept {
  const std::uint32_t width = reader.output_width();
  const std::uint32_t height = reader.output_height();
  auto* samples = reinterpret_cast<std::uint8_t*>(strip.data());
  JSAMPROW rows[kStripRows];
  for (std::uint32_t i = 0; i < kStripRows; ++i) rows[i] = samples + strip.size() / kStripRows * i;
  for (std::uint32_t y = 0; y < height; y += kStripRows) {
    const std::uint32_t count = std::min(kStripRows, height - y);
    if (!reader.read_rows(rows, count)) return false;
    if (reader.is_cmyk()) convert_cmyk(samples, std::size_t{width} * count, layout);
    place_rows(to, samples, width, y, count, layout);
  }
  return true;
}

Result<bool> read_pixels(Reader& reader, const PixelLayout& layout, int orientation, std::span<std::byte> pixels,
                         BufferPool& pool) {
  if (orientation == 1 && layout.bits == 8 && !reader.is_cmyk()) return read_direct(reader, pixels);
  const std::size_t row = std::size_t{reader.output_width()} * static_cast<unsigned>(reader.output_components());
  Result<Buffer> strip = pool.allocate(row * kStripRows);
  if (!strip.ok()) return std::move(strip).error();
  const auto pixel_bytes = static_cast<std::size_t>(layout.channels * layout.bits / 8);
  const Placement to = place(pixels.data(), reader.output_width(), reader.output_height(), pixel_bytes, orientation);
  return read_through_strip(reader, strip->bytes(), to, layout);
}

}  // namespace

Result<ImageInfo> inspect(std::span<const std::byte> file, const ImageOptions& options, const Limits& limits) {
  Reader reader(file, options, limits);
  const Result<Opened> opened = open(reader, file, options, limits);
  if (!opened.ok()) return opened.error();
  return opened->info;
}

Result<DecodedImage> decode(std::span<const std::byte> file, const ImageOptions& options, const Limits& limits,
                            BufferPool& pool) {
  Reader reader(file, options, limits);
  const Result<Opened> opened = open(reader, file, options, limits);
  if (!opened.ok()) return opened.error();
  if (reader.has_multiple_scans() && count_scans(file, limits.max_jpeg_scans + 1) > limits.max_jpeg_scans) {
    return too_many_scans_error(limits);
  }
  const Result<BudgetCharge> coefficients = BudgetCharge::take(pool, reader.coefficient_bytes());
  if (!coefficients.ok()) return coefficients.error();
  Result<Tensor> pixels = Tensor::allocate(opened->info.dtype, opened->info.shape, pool);
  if (!pixels.ok()) return std::move(pixels).error();
  if (!reader.start(library_color_space(reader, opened->layout))) return reader_error(reader, limits);
  const int orientation = options.exif_orientation ? opened->info.orientation : 1;
  const Result<bool> done = read_pixels(reader, opened->layout, orientation, pixels->bytes(), pool);
  if (!done.ok()) return done.error();
  if (!*done || !reader.finish()) return reader_error(reader, limits);
  return DecodedImage{*std::move(pixels), reader.warning()};
}

}  // namespace tensorwire::jpeg
