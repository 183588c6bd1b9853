// Encodes pixels as baseline JPEG with libjpeg-turbo, straight into a pooled buffer.
#include <cstdio>  // before jpeglib.h, which needs FILE

#include <jpeglib.h>

#include <algorithm>
#include <csetjmp>
#include <utility>

#include "image_codec.hpp"

namespace tensorwire::jpeg {
namespace {

constexpr std::size_t kFirstPiece = 64 << 10;

// One file being written. Functions with setjmp hold nothing that has a destructor (see jpeg.cpp).
class Writer {
 public:
  explicit Writer(BufferPool& pool) : out_(pool.empty_buffer()) {
    encoder_.err = jpeg_std_error(&errors_);
    encoder_.client_data = this;
    errors_.error_exit = &on_error;
    errors_.emit_message = [](j_common_ptr, int) {};
    destination_.init_destination = [](j_compress_ptr encoder) { of(encoder).make_room(); };
    destination_.empty_output_buffer = [](j_compress_ptr encoder) -> boolean {
      of(encoder).make_room();
      return TRUE;
    };
    destination_.term_destination = [](j_compress_ptr encoder) { of(encoder).cut(); };
  }
  ~Writer() { jpeg_destroy_compress(&encoder_); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  [[nodiscard]] bool write(const PixelRows& pixels, const EncodeOptions& options) noexcept {
    if (setjmp(jump_) != 0) return false;
    jpeg_create_compress(&encoder_);
    encoder_.dest = &destination_;
    encoder_.image_width = pixels.width;
    encoder_.image_height = pixels.height;
    encoder_.input_components = pixels.channels;
    encoder_.in_color_space = pixels.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&encoder_);
    jpeg_set_quality(&encoder_, options.jpeg_quality, TRUE);
    if (pixels.channels == 3) set_subsampling(options.subsampling);
    jpeg_start_compress(&encoder_, TRUE);
    const std::size_t stride = std::size_t{pixels.width} * static_cast<unsigned>(pixels.channels);
    while (encoder_.next_scanline < encoder_.image_height) {
      // libjpeg's rows are not const, but it only reads them.
      auto* row = const_cast<JSAMPLE*>(reinterpret_cast<const JSAMPLE*>(pixels.data + stride * encoder_.next_scanline));
      jpeg_write_scanlines(&encoder_, &row, 1);
    }
    jpeg_finish_compress(&encoder_);
    return true;
  }

  [[nodiscard]] Error error() const {
    if (full_) return {ErrorCode::overloaded, "no memory for the encoded JPEG", ""};
    return {ErrorCode::bad_shape, "libjpeg: " + std::string(message_), ""};
  }
  [[nodiscard]] Buffer take() noexcept { return std::move(out_); }

 private:
  static Writer& of(j_compress_ptr encoder) noexcept { return *static_cast<Writer*>(encoder->client_data); }

  void set_subsampling(Subsampling subsampling) noexcept {
    encoder_.comp_info[0].h_samp_factor = subsampling == Subsampling::s444 ? 1 : 2;
    encoder_.comp_info[0].v_samp_factor = subsampling == Subsampling::s420 ? 2 : 1;
  }

  // Apart from make_room(), so that the Result is gone before longjmp.
  [[nodiscard]] bool grow() noexcept { return out_.resize(std::max(kFirstPiece, out_.size() * 2)).ok(); }

  // libjpeg calls this when the whole room is filled.
  void make_room() {
    const std::size_t filled = out_.size();
    if (!grow()) {
      full_ = true;
      longjmp(jump_, 1);
    }
    destination_.next_output_byte = reinterpret_cast<JOCTET*>(out_.data()) + filled;
    destination_.free_in_buffer = out_.size() - filled;
  }

  void cut() noexcept {
    // Shrinking needs no memory.
    static_cast<void>(out_.resize(out_.size() - destination_.free_in_buffer));
  }

  [[noreturn]] static void on_error(j_common_ptr encoder) {
    auto* self = static_cast<Writer*>(encoder->client_data);
    encoder->err->format_message(encoder, self->message_);
    longjmp(self->jump_, 1);
  }

  jpeg_compress_struct encoder_{};
  jpeg_error_mgr errors_{};
  jpeg_destination_mgr destination_{};
  std::jmp_buf jump_{};
  Buffer out_;
  bool full_ = false;
  char message_[JMSG_LENGTH_MAX] = {};
};

}  // namespace

Result<Buffer> encode(const PixelRows& pixels, const EncodeOptions& options, BufferPool& pool) {
  if (pixels.bits != 8) {
    return Error{ErrorCode::bad_dtype, "JPEG takes uint8 pixels, got uint16: encode as PNG", ""};
  }
  if (pixels.channels != 1 && pixels.channels != 3) {
    return Error{ErrorCode::bad_shape,
                 "JPEG takes 1 or 3 channels, got " + std::to_string(pixels.channels) + ": encode as PNG", ""};
  }
  Writer writer(pool);
  if (!writer.write(pixels, options)) return writer.error();
  return writer.take();
}

}  // namespace tensorwire::jpeg
