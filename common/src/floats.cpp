// Conversions of the small floating-point formats: from double with one rounding, to float without any.
#include "tensorwire/floats.hpp"

#include <bit>

namespace tensorwire {
namespace {

// A binary format below double: sign, exponent, mantissa, with denormals.
struct Format {
  int mantissa_bits;
  int bias;
  std::uint32_t infinity;   // what an overflow becomes: the infinity, or the NaN of a format that has none
  std::uint32_t quiet_nan;  // without payload
  int sign_bit;
};
constexpr Format kFloat16{10, 15, 0x7C00, 0x7E00, 15};
constexpr Format kBFloat16{7, 127, 0x7F80, 0x7FC0, 15};
constexpr Format kE4M3{3, 7, 0x7F, 0x7F, 7};
constexpr Format kE5M2{2, 15, 0x7C, 0x7E, 7};

constexpr int kDoubleMantissa = 52;

// sig / 2^shift, rounded to nearest, ties to even; sig < 2^53.
std::uint64_t shift_rounding(std::uint64_t sig, int shift) noexcept {
  if (shift > kDoubleMantissa + 1) return 0;  // below half of the smallest denormal
  const std::uint64_t quotient = sig >> shift;
  const std::uint64_t rest = sig & ((1ULL << shift) - 1);
  const std::uint64_t half = 1ULL << (shift - 1);
  const bool up = rest > half || (rest == half && (quotient & 1) != 0);
  return quotient + (up ? 1 : 0);
}

// The magnitude's bits. A carry out of the mantissa runs into the exponent, as it should.
std::uint32_t round_finite(std::uint64_t mantissa, int exponent, const Format& format) noexcept {
  const std::uint64_t sig = mantissa | (1ULL << kDoubleMantissa);
  const int smallest_normal = 1 - format.bias;
  const int narrowing = kDoubleMantissa - format.mantissa_bits;
  if (exponent < smallest_normal) {
    return static_cast<std::uint32_t>(shift_rounding(sig, narrowing + (smallest_normal - exponent)));
  }
  const auto lead = static_cast<std::uint64_t>(exponent - smallest_normal) << format.mantissa_bits;
  const std::uint64_t bits = lead + shift_rounding(sig, narrowing);
  return bits >= format.infinity ? format.infinity : static_cast<std::uint32_t>(bits);
}

std::uint32_t narrow(double value, const Format& format) noexcept {
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const auto sign = static_cast<std::uint32_t>(bits >> 63) << format.sign_bit;
  const std::uint64_t mantissa = bits & ((1ULL << kDoubleMantissa) - 1);
  const int biased = static_cast<int>((bits >> kDoubleMantissa) & 0x7FF);
  if (biased == 0) return sign;  // zero, or a double's denormal, which is far below all of ours
  if (biased != 0x7FF) return sign | round_finite(mantissa, biased - 1023, format);
  if (mantissa == 0) return sign | format.infinity;
  const auto payload = static_cast<std::uint32_t>(mantissa >> (kDoubleMantissa - format.mantissa_bits));
  return sign | format.quiet_nan | payload;
}

// A float from its parts; sign is 0 or 1.
float assemble(std::uint32_t sign, std::uint32_t biased_exponent, std::uint32_t mantissa) noexcept {
  return std::bit_cast<float>((sign << 31) | (biased_exponent << 23) | mantissa);
}

}  // namespace

Float16 Float16::from(double value) noexcept { return {static_cast<std::uint16_t>(narrow(value, kFloat16))}; }

float Float16::to_float() const noexcept {
  const std::uint32_t sign = bits >> 15;
  const std::uint32_t exponent = (bits >> 10) & 0x1FU;
  const std::uint32_t mantissa = bits & 0x3FFU;
  if (exponent == 0) return (sign != 0 ? -0x1p-24F : 0x1p-24F) * static_cast<float>(mantissa);
  if (exponent == 0x1F) return assemble(sign, 0xFF, mantissa << 13);
  return assemble(sign, exponent - 15 + 127, mantissa << 13);
}

BFloat16 BFloat16::from(double value) noexcept { return {static_cast<std::uint16_t>(narrow(value, kBFloat16))}; }

float BFloat16::to_float() const noexcept { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

Float8E4M3 Float8E4M3::from(double value) noexcept { return {static_cast<std::uint8_t>(narrow(value, kE4M3))}; }

float Float8E4M3::to_float() const noexcept {
  const std::uint32_t sign = bits >> 7;
  const std::uint32_t exponent = (bits >> 3) & 0xFU;
  const std::uint32_t mantissa = bits & 0x7U;
  if ((bits & 0x7FU) == 0x7FU) return assemble(sign, 0xFF, 0x400000);
  if (exponent == 0) return (sign != 0 ? -0x1p-9F : 0x1p-9F) * static_cast<float>(mantissa);
  return assemble(sign, exponent - 7 + 127, mantissa << 20);
}

Float8E5M2 Float8E5M2::from(double value) noexcept { return {static_cast<std::uint8_t>(narrow(value, kE5M2))}; }

// E5M2 is the upper half of binary16.
float Float8E5M2::to_float() const noexcept { return Float16{static_cast<std::uint16_t>(bits << 8)}.to_float(); }

}  // namespace tensorwire
