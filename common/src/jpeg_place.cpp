// Moves decoded rows to their place in the tensor, for the images that libjpeg cannot write there itself.
#include "jpeg_place.hpp"

#include <cstring>

namespace tensorwire::jpeg {
namespace {

// djpeg's formula, (double)c * k / 255.0 + 0.5 rounded down, in integers: a tie cannot occur, 255 being odd.
std::uint8_t attenuate(unsigned ink, unsigned black) noexcept {
  return static_cast<std::uint8_t>((2 * ink * black + 255) / 510);
}

// ITU-R BT.601 with libjpeg's own 16-bit weights.
std::uint8_t luma(unsigned red, unsigned green, unsigned blue) noexcept {
  return static_cast<std::uint8_t>((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16);
}

template <int channels>
void copy_row(std::byte* to, std::ptrdiff_t step, const std::uint8_t* from, std::uint32_t width) noexcept {
  for (std::uint32_t x = 0; x < width; ++x) std::memcpy(to + step * x, from + std::size_t{channels} * x, channels);
}

void widen_row(std::byte* to, std::ptrdiff_t step, const std::uint8_t* from, std::uint32_t width,
               std::size_t channels) noexcept {
  for (std::uint32_t x = 0; x < width; ++x, to += step) {
    for (std::size_t c = 0; c < channels; ++c) {
      const auto value = static_cast<std::uint16_t>(*from++ * 257);
      std::memcpy(to + 2 * c, &value, sizeof value);
    }
  }
}

void place_row(std::byte* to, std::ptrdiff_t step, const std::uint8_t* from, std::uint32_t width,
               const PixelLayout& layout) noexcept {
  if (layout.bits == 16) return widen_row(to, step, from, width, static_cast<std::size_t>(layout.channels));
  switch (layout.channels) {
    case 1:
      return copy_row<1>(to, step, from, width);
    case 3:
      return copy_row<3>(to, step, from, width);
    default:
      return copy_row<4>(to, step, from, width);
  }
}

}  // namespace

Placement place(std::byte* pixels, std::uint32_t width, std::uint32_t height, std::size_t pixel_bytes,
                int orientation) noexcept {
  const auto pixel = static_cast<std::ptrdiff_t>(pixel_bytes);
  const bool turned = orientation >= 5;
  const bool mirrored_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool mirrored_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  // Upright, one stored step along x goes one pixel right (or, turned, one row down), and the same for y.
  const std::ptrdiff_t row = pixel * static_cast<std::ptrdiff_t>(turned ? height : width);
  Placement to{pixels, turned ? row : pixel, turned ? pixel : row};
  if (mirrored_x) {
    to.origin += to.x_step * static_cast<std::ptrdiff_t>(width - 1);
    to.x_step = -to.x_step;
  }
  if (mirrored_y) {
    to.origin += to.y_step * static_cast<std::ptrdiff_t>(height - 1);
    to.y_step = -to.y_step;
  }
  return to;
}

void convert_cmyk(std::uint8_t* pixels, std::size_t count, const PixelLayout& layout) noexcept {
  const std::size_t red = layout.bgr ? 2 : 0;
  std::uint8_t* to = pixels;
  for (std::size_t i = 0; i < count; ++i, to += layout.channels) {
    const std::uint8_t* from = pixels + 4 * i;
    const unsigned black = from[3];
    const std::uint8_t rgb[] = {attenuate(from[0], black), attenuate(from[1], black), attenuate(from[2], black)};
    if (layout.channels == 1) {
      to[0] = luma(rgb[0], rgb[1], rgb[2]);
      continue;
    }
    to[red] = rgb[0];
    to[1] = rgb[1];
    to[2 - red] = rgb[2];
    if (layout.channels == 4) to[3] = 255;
  }
}

void place_rows(const Placement& to, const std::uint8_t* from, std::uint32_t width, std::uint32_t first,
                std::uint32_t rows, const PixelLayout& layout) noexcept {
  const std::size_t stride = std::size_t{width} * static_cast<std::size_t>(layout.channels);
  for (std::uint32_t row = 0; row < rows; ++row) {
    std::byte* start = to.origin + to.y_step * static_cast<std::ptrdiff_t>(first + row);
    place_row(start, to.x_step, from + stride * row, width, layout);
  }
}

}  // namespace tensorwire::jpeg
