// Value types for the floating-point formats that C++20 has no type for: they hold exact bits and convert with one
// rounding.
#pragma once

#include <cstdint>

namespace tensorwire {

// IEEE 754 binary16. from(double) rounds to nearest even; overflow gives infinity, NaN a quiet NaN.
struct Float16 {
  std::uint16_t bits = 0;
  [[nodiscard]] static Float16 from(double value) noexcept;
  [[nodiscard]] float to_float() const noexcept;
  friend bool operator==(Float16, Float16) = default;  // by bits: -0 differs from +0, a NaN equals itself
};

// bfloat16: the upper half of an IEEE 754 binary32.
struct BFloat16 {
  std::uint16_t bits = 0;
  [[nodiscard]] static BFloat16 from(double value) noexcept;
  [[nodiscard]] float to_float() const noexcept;
  friend bool operator==(BFloat16, BFloat16) = default;
};

// OCP 8-bit floating point, E4M3 without infinities: 0x7F and 0xFF are NaN, the largest finite value is 448.
// from() gives NaN for what does not fit, as torch does.
struct Float8E4M3 {
  std::uint8_t bits = 0;
  [[nodiscard]] static Float8E4M3 from(double value) noexcept;
  [[nodiscard]] float to_float() const noexcept;
  friend bool operator==(Float8E4M3, Float8E4M3) = default;
};

// OCP 8-bit floating point, E5M2: IEEE-like with infinities; the largest finite value is 57344.
struct Float8E5M2 {
  std::uint8_t bits = 0;
  [[nodiscard]] static Float8E5M2 from(double value) noexcept;
  [[nodiscard]] float to_float() const noexcept;
  friend bool operator==(Float8E5M2, Float8E5M2) = default;
};

}  // namespace tensorwire
