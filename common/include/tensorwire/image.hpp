// PNG and JPEG files to typed pixel tensors and back: header only, pixels on demand, limits checked before work.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tensorwire/buffer.hpp"
#include "tensorwire/error.hpp"
#include "tensorwire/limits.hpp"
#include "tensorwire/tensor.hpp"

namespace tensorwire {

enum class ImageFormat : std::uint8_t { png, jpeg };
[[nodiscard]] std::string_view to_string(ImageFormat format) noexcept;  // "png", "jpeg"
// png, jpeg, jpg in any letter case; `bad_image` otherwise.
[[nodiscard]] Result<ImageFormat> parse_image_format(std::string_view text);

// What the pixels are to become. Grey of a colour is its ITU-R BT.601 luma (for a YCbCr JPEG its own Y); an alpha
// channel that the format lacks is dropped, not blended, and one that the file lacks is opaque; 8 bits become 16 as v ×
// 257, and 16 become 8 as v ÷ 257, rounded.
enum class PixelFormat : std::uint8_t { native, mono8, rgb8, bgr8, rgba8, bgra8, mono16, rgb16, rgba16 };
[[nodiscard]] std::string_view to_string(PixelFormat format) noexcept;
// Letter case ignored; `bad_message` naming all known ones otherwise.
[[nodiscard]] Result<PixelFormat> parse_pixel_format(std::string_view text);

// How an image is to be decoded, as its sender asks.
struct ImageOptions {
  PixelFormat pixel_format = PixelFormat::native;
  bool exif_orientation = false;  // apply a JPEG's EXIF orientation (default: pixels as they are stored)
  bool allow_damaged = false;     // take a JPEG that decodes with warnings only
  int scale = 1;                  // JPEG only: 1, 2, 4 or 8; width and height are divided by it, rounded up
};

// What the header says; nothing is decoded for it.
struct ImageInfo {
  ImageFormat format = ImageFormat::png;
  std::int64_t width = 0;  // of the file, before scale and orientation
  std::int64_t height = 0;
  int channels = 0;     // of the native decoding: 1 grey, 2 grey+alpha, 3 RGB, 4 RGBA
  int bit_depth = 8;    // bits per sample in the file
  int orientation = 1;  // EXIF orientation 1…8; 1 when the file names none
  // What decoding with the given options yields: [height, width, channels], uint8 or uint16.
  DType dtype = DType::uint8;
  Shape shape;
};

// Reads the header; of a PNG also the chunks' lengths up to its end. `bad_image` when it is no PNG or JPEG or is
// damaged there, `image_too_large` when width × height × channels exceeds limits.max_pixels. Allocates no pixels.
[[nodiscard]] Result<ImageInfo> inspect_image(std::span<const std::byte> file, const ImageOptions& options = {},
                                              const Limits& limits = {});

struct DecodedImage {
  Tensor pixels;        // [height, width, channels], C order; uint8, or uint16 in host order
  std::string warning;  // the library's words when a damaged file was taken (allow_damaged), else empty
};

// Decodes the whole file. `bad_image` with the library's own reason, `image_too_large` when it exceeds a limit (pixels,
// scans, time), or `overloaded` when the pool's budget has no room for the pixels and, of a JPEG in several scans, its
// coefficients (2 bytes a sample). What the libraries take beyond that is a few rows.
[[nodiscard]] Result<DecodedImage> decode_image(std::span<const std::byte> file, const ImageOptions& options = {},
                                                const Limits& limits = {}, BufferPool& pool = *BufferPool::shared());

enum class Subsampling : std::uint8_t { s444, s422, s420 };

struct EncodeOptions {
  int png_level = 3;      // zlib level 0…9
  int jpeg_quality = 90;  // 1…100
  Subsampling subsampling = Subsampling::s420;
};

// Encodes pixels of shape [height, width] or [height, width, channels] (1, 2, 3 or 4 channels; uint8, or uint16 for
// PNG). JPEG takes 1 or 3 channels of uint8. `bad_shape`, `bad_dtype` or `bad_message` when that does not fit.
[[nodiscard]] Result<Buffer> encode_image(const TensorView& pixels, ImageFormat format,
                                          const EncodeOptions& options = {}, BufferPool& pool = *BufferPool::shared());

// An image as it arrived: the original file, its header, and its pixels from the first time that someone asks.
// Move-only; not thread-safe (one handler at a time owns it).
class Image {
 public:
  Image() noexcept;
  ~Image();
  Image(Image&&) noexcept;
  Image& operator=(Image&&) noexcept;
  // Reads the header at once (errors as inspect_image). pool must not be null; it serves the pixels later.
  [[nodiscard]] static Result<Image> open(Buffer file, const ImageOptions& options = {}, const Limits& limits = {},
                                          std::shared_ptr<BufferPool> pool = BufferPool::shared());

  [[nodiscard]] const ImageInfo& info() const noexcept;
  [[nodiscard]] const ImageOptions& options() const noexcept;
  [[nodiscard]] std::span<const std::byte> file() const noexcept;
  // Decodes on the first call (errors as decode_image, remembered); later calls give the same tensor.
  [[nodiscard]] Result<const Tensor*> pixels() const;
  // The pixels, moved out; the image is header and file only from then on, and decodes anew when asked again.
  [[nodiscard]] Result<Tensor> take_pixels();
  // After pixels(): what the decoder warned of, or empty.
  [[nodiscard]] const std::string& warning() const noexcept;

 private:
  struct State;
  [[nodiscard]] const State& state() const noexcept;
  [[nodiscard]] Result<void> decode() const;
  std::unique_ptr<State> state_;  // null: never opened, or moved from
};

}  // namespace tensorwire
