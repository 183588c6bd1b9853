// What image.cpp asks of the two codecs, and the small tools that both of them share.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "tensorwire/image.hpp"

namespace tensorwire {

// What a pixel format makes of an image: samples per pixel and their width. Native has no fixed layout.
struct PixelLayout {
  int channels;
  int bits;  // per sample: 8 or 16
  bool bgr;
};
[[nodiscard]] PixelLayout layout_of(PixelFormat format) noexcept;  // format must not be native

// `image_too_large`, saying both sides, when width × height × channels exceeds limits.max_pixels.
[[nodiscard]] Result<void> check_pixel_limit(std::int64_t width, std::int64_t height, int channels,
                                             const Limits& limits);

// The moment when the decoding of one image has to be over. Trivially destructible: it lives beside setjmp.
class Deadline {
 public:
  explicit Deadline(std::uint32_t milliseconds) noexcept
      : end_(std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds)) {}
  // To be asked once for every few rows. It looks at the clock at first and then every 16th time: looking each time
  // costs 2 % of a small image.
  [[nodiscard]] bool passed() noexcept { return asked_++ % 16 == 0 && std::chrono::steady_clock::now() > end_; }

 private:
  std::chrono::steady_clock::time_point end_;
  unsigned asked_ = 0;
};
[[nodiscard]] Error deadline_error(const Limits& limits);

// Memory that a library takes for itself, charged to the pool's budget as long as this lives.
class BudgetCharge {
 public:
  BudgetCharge() noexcept = default;
  BudgetCharge(BudgetCharge&& other) noexcept;
  BudgetCharge& operator=(BudgetCharge&&) = delete;
  BudgetCharge(const BudgetCharge&) = delete;
  BudgetCharge& operator=(const BudgetCharge&) = delete;
  ~BudgetCharge();
  // `overloaded` when the budget has no room; a pool without budget has always.
  [[nodiscard]] static Result<BudgetCharge> take(BufferPool& pool, std::uint64_t bytes);

 private:
  MemoryBudget* budget_ = nullptr;
  std::uint64_t bytes_ = 0;
};

// Pixels as an encoder wants them; they belong to the caller.
struct PixelRows {
  const std::byte* data;
  std::uint32_t width;
  std::uint32_t height;
  int channels;
  int bits;  // per sample: 8 or 16, in host order
};

namespace png {
[[nodiscard]] bool has_signature(std::span<const std::byte> file) noexcept;
[[nodiscard]] Result<ImageInfo> inspect(std::span<const std::byte> file, const ImageOptions& options,
                                        const Limits& limits);
[[nodiscard]] Result<DecodedImage> decode(std::span<const std::byte> file, const ImageOptions& options,
                                          const Limits& limits, BufferPool& pool);
[[nodiscard]] Result<Buffer> encode(const PixelRows& pixels, const EncodeOptions& options, BufferPool& pool);
}  // namespace png

namespace jpeg {
[[nodiscard]] bool has_signature(std::span<const std::byte> file) noexcept;
[[nodiscard]] Result<ImageInfo> inspect(std::span<const std::byte> file, const ImageOptions& options,
                                        const Limits& limits);
[[nodiscard]] Result<DecodedImage> decode(std::span<const std::byte> file, const ImageOptions& options,
                                          const Limits& limits, BufferPool& pool);
[[nodiscard]] Result<Buffer> encode(const PixelRows& pixels, const EncodeOptions& options, BufferPool& pool);
}  // namespace jpeg

}  // namespace tensorwire
