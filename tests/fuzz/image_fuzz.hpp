// What the PNG and the JPEG fuzz target have in common: options from the input's first bytes, and the promises checked.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>

#include "tensorwire/image.hpp"

namespace image_fuzz {

// The input is two bytes of options and a file.
inline constexpr std::size_t kOptionBytes = 2;

inline tensorwire::ImageOptions options_of(const std::uint8_t* data) {
  tensorwire::ImageOptions options;
  options.pixel_format = static_cast<tensorwire::PixelFormat>(data[0] % 9);
  options.exif_orientation = (data[1] & 1) != 0;
  options.allow_damaged = (data[1] & 2) != 0;
  options.scale = 1 << (data[1] >> 2 & 3);
  return options;
}

// Small enough to make thousands of executions each second, large enough for several rows of everything.
inline tensorwire::Limits limits() {
  tensorwire::Limits limits;
  limits.max_pixels = 100'000;
  limits.max_image_ms = 1'000;
  return limits;
}

[[noreturn]] inline void broken(const char* promise) {
  std::fprintf(stderr, "broken: %s\n", promise);
  std::abort();
}

inline void check_whole(const tensorwire::DecodedImage& decoded, const tensorwire::ImageInfo& info,
                        const tensorwire::ImageOptions& options) {
  if (decoded.pixels.shape() != info.shape || decoded.pixels.dtype() != info.dtype)
    broken("the header tells the shape");
  if (!options.allow_damaged && !decoded.warning.empty()) broken("damage is taken on request only");
  unsigned sum = 0;  // every byte was written: a memory sanitizer sees it if not
  for (const std::byte byte : decoded.pixels.bytes()) sum += std::to_integer<unsigned>(byte);
  if (sum == 1) std::fputs("", stderr);
}

// Decodes under a budget, and checks that nothing of it is kept and that header and pixels agree.
inline void decode(std::span<const std::byte> file, const tensorwire::ImageOptions& options) {
  static const auto budget = std::make_shared<tensorwire::MemoryBudget>(16 << 20);
  static const auto pool = std::make_shared<tensorwire::BufferPool>(tensorwire::BufferPool::Options{0}, budget);
  {
    const auto info = tensorwire::inspect_image(file, options, limits());
    const auto decoded = tensorwire::decode_image(file, options, limits(), *pool);
    if (!decoded.ok() && decoded.error().message.empty()) broken("an error has a sentence");
    if (decoded.ok() && !info.ok()) broken("what decodes has a header");
    if (decoded.ok()) check_whole(*decoded, *info, options);
  }
  if (budget->used() != 0) broken("the budget is given back");
}

}  // namespace image_fuzz
