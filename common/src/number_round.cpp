// Short decimals to correctly rounded floats: exact in 128 bits, or in double with proof that the float cannot differ.
#include <array>
#include <bit>
#include <cfloat>
#include <cmath>

#include "number_run.hpp"

namespace tensorwire {
namespace {

__extension__ using Wide = unsigned __int128;

// 10^0 ... 10^22 are exact in double.
constexpr int kExactDouble = 22;
constexpr std::array<double, kExactDouble + 1> kTens = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                        1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                        1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

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
  const auto field = static_cast<std::uint64_t>(value.exponent + 11 + 52 + 1022);
  return std::bit_cast<double>((field << 52) + mantissa);
}

}  // namespace

bool round_plain(std::uint64_t digits, int exponent, float& out) noexcept {
  if (exponent < -kExactDouble || exponent > kExactDouble || (digits >> 63) != 0) return false;
  const auto exact = static_cast<double>(static_cast<std::int64_t>(digits));
  const double value = exponent < 0 ? exact / kTens[static_cast<std::size_t>(-exponent)]
                                    : exact * kTens[static_cast<std::size_t>(exponent)];
  out = static_cast<float>(value);
  if (digits == 0) return true;
  // Two roundings put the double less than three units away from the decimal. Rounding it to float gives the float next
  // to the decimal unless a halfway point (this bit pattern of the 29 bits that are dropped) may lie between them.
  constexpr std::uint64_t kDropped = 0x1FFF'FFFF;
  constexpr std::uint64_t kHalf = 0x1000'0000;
  const std::uint64_t distance = (std::bit_cast<std::uint64_t>(value) & kDropped) - kHalf + 4;
  return distance > 8 && value >= double{FLT_MIN} && std::isfinite(out);
}

bool round_plain(std::uint64_t digits, int exponent, double& out) noexcept {
  if (digits <= (std::uint64_t{1} << 53) && exponent >= -kExactDouble && exponent <= kExactDouble) {
    const auto exact = static_cast<double>(static_cast<std::int64_t>(digits));
    out = exponent < 0 ? exact / kTens[static_cast<std::size_t>(-exponent)]
                       : exact * kTens[static_cast<std::size_t>(exponent)];
    return true;  // both operands are exact, so this is the one rounding
  }
  if (exponent < -kExactFive || exponent > kExactFive) return false;
  out = round_scaled(exponent < 0 ? divide(digits, -exponent) : multiply(digits, exponent));
  return true;
}

}  // namespace tensorwire
