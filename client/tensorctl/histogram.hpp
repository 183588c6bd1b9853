// Counts durations so that any percentile can be read from them, in constant memory and within 1.6 %.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace tensorctl {

// Nanoseconds in buckets of which each power of two has 64.
class Histogram {
 public:
  void add(std::uint64_t nanoseconds) noexcept {
    ++counts_[bucket_of(nanoseconds)];
    ++total_;
    sum_ += static_cast<double>(nanoseconds);
    if (nanoseconds < min_ || total_ == 1) min_ = nanoseconds;
    if (nanoseconds > max_) max_ = nanoseconds;
  }

  void merge(const Histogram& other) noexcept {
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    if (other.total_ > 0 && (other.min_ < min_ || total_ == 0)) min_ = other.min_;
    if (other.max_ > max_) max_ = other.max_;
    total_ += other.total_;
    sum_ += other.sum_;
  }

  [[nodiscard]] std::uint64_t total() const noexcept { return total_; }
  [[nodiscard]] std::uint64_t min() const noexcept { return min_; }
  [[nodiscard]] std::uint64_t max() const noexcept { return max_; }
  [[nodiscard]] double mean() const noexcept { return total_ == 0 ? 0 : sum_ / static_cast<double>(total_); }

  // The duration that `percent` of all do not exceed: the upper edge of its bucket, never beyond max().
  [[nodiscard]] std::uint64_t percentile(double percent) const noexcept {
    const auto wanted = static_cast<std::uint64_t>(std::ceil(static_cast<double>(total_) * percent / 100));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= wanted && seen > 0) return upper_edge(i) < max_ ? upper_edge(i) : max_;
    }
    return max_;
  }

 private:
  static constexpr std::size_t kSub = 64;

  // Below 64 each value has its own bucket; above, the six bits behind the leading one choose it.
  static std::size_t bucket_of(std::uint64_t value) noexcept {
    if (value < kSub) return static_cast<std::size_t>(value);
    const auto shift = static_cast<std::size_t>(std::bit_width(value)) - 7;
    return shift * kSub + static_cast<std::size_t>(value >> shift);
  }
  static std::uint64_t upper_edge(std::size_t bucket) noexcept {
    if (bucket < 2 * kSub) return bucket;
    const std::size_t shift = bucket / kSub - 1;
    const std::uint64_t mantissa = bucket - shift * kSub;
    return ((mantissa + 1) << shift) - 1;
  }

  std::array<std::uint64_t, kSub * 59> counts_{};
  std::uint64_t total_ = 0;
  std::uint64_t min_ = 0;
  std::uint64_t max_ = 0;
  double sum_ = 0;
};

}  // namespace tensorctl
