// Short decimals to correctly rounded floats: exactly, in 128 bits.
#include <array>
#include <bit>

#include "number_run.hpp"

namespace tensorwire {
namespace {

__extension__ using Wide = unsigned __int128;

// 5^27 is the largest that fits in 64 bits.
constexpr int kExactFive = 27;
constexpr std::array<std::uint64_t, kExactFive + 1> kFives = [] {
  std::array<std::uint64_t, kExactFive + 1> powers{1};
  for (std::size_t i = 1; i < powers.size(); ++i) powers[i] = powers[i - 1] * 5;
  return powers;
}();

// (top + less than one, if inexact) × 2^exponent, where top has its highest bit set.
struct Scaled {
  std::uint64_t top = 0;
  int exponent = 0;
  bool inexact = false;
};

Scaled multiply(std::uint64_t digits, int power) noexcept {
  const int shift = std::countl_zero(digits);
  const Wide product = Wide{digits << shift} * kFives[static_cast<std::size_t>(power)];
  const auto high = static_cast<std::uint64_t>(product >> 64);
  const auto low = static_cast<std::uint64_t>(product);
  if (high == 0) return {low, power - shift, false};  // only where power is 0: then low is digits << shift
  const int up = std::countl_zero(high);
  const auto top = static_cast<std::uint64_t>(product >> (64 - up));
  return {top, power - shift + 64 - up, (low << up) != 0};
}

// digits / 10^power: both normalised, so that the quotient has 63 or 64 bits, and the remainder tells whether it is
// exact.
Scaled divide(std::uint64_t digits, int power) noexcept {
  const std::uint64_t five = kFives[static_cast<std::size_t>(power)];
  const int shift = std::countl_zero(digits);
  const int five_shift = std::countl_zero(five);
  const Wide dividend = Wide{digits << shift} << 63;
  const std::uint64_t divisor = five << five_shift;
  const auto quotient = static_cast<std::uint64_t>(dividend / divisor);
  const bool inexact = dividend % divisor != 0;
  const int up = std::countl_zero(quotient);
  return {quotient << up, five_shift - shift - power - 63 - up, inexact};
}

// To 53 bits, nearest even. The exponent is far from the ends of double's range.
double round_scaled(const Scaled& value) noexcept {
  constexpr std::uint64_t kRest = 0x7FF;
  constexpr std::uint64_t kHalf = 0x400;
  const std::uint64_t rest = value.top & kRest;
  std::uint64_t mantissa = value.top >> 11;
  if (rest > kHalf || (rest == kHalf && (value.inexact || (mantissa & 1) != 0))) ++mantissa;
  // The implicit bit (and a carry out of the mantissa) adds one to the exponent field.
  const std::uint64_t field = std::uint64_t{11 + 52 + 1022} + static_cast<std::uint64_t>(value.exponent);
  return std::bit_cast<double>((field << 52) + mantissa);
}

}  // namespace

bool round_plain(std::uint64_t digits, int exponent, double& out) noexcept {
  if (digits == 0) {
    out = 0;
    return true;
  }
  if (digits <= (std::uint64_t{1} << 53) && exponent >= -kExactPower && exponent <= kExactPower) {
    out = scale(digits, exponent);
    return true;
  }
  if (exponent < -kExactFive || exponent > kExactFive) return false;
  out = round_scaled(exponent < 0 ? divide(digits, -exponent) : multiply(digits, exponent));
  return true;
}

}  // namespace tensorwire
