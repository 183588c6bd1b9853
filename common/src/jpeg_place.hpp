// Puts rows of decoded samples where they belong: turned by an EXIF orientation, from CMYK, or widened to 16 bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "image_codec.hpp"

namespace tensorwire::jpeg {

// Where the stored pixel (x, y) goes: origin + x × x_step + y × y_step, in bytes.
struct Placement {
  std::byte* origin;
  std::ptrdiff_t x_step;
  std::ptrdiff_t y_step;
};

// For an image stored as width × height, turned upright by an EXIF orientation (1…8) into `pixels`.
[[nodiscard]] Placement place(std::byte* pixels, std::uint32_t width, std::uint32_t height, std::size_t pixel_bytes,
                              int orientation) noexcept;

// Converts `count` inverted-CMYK pixels (as Adobe writes them) in place to layout.channels 8-bit samples each.
void convert_cmyk(std::uint8_t* pixels, std::size_t count, const PixelLayout& layout) noexcept;

// Places `rows` rows of `width` pixels, of layout.channels 8-bit samples each, the first of them being row `first`.
void place_rows(const Placement& to, const std::uint8_t* from, std::uint32_t width, std::uint32_t first,
                std::uint32_t rows, const PixelLayout& layout) noexcept;

}  // namespace tensorwire::jpeg
