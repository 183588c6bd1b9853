// Hexadecimal digits, read and written.
#pragma once

namespace tensorwire {

// The value of a hexadecimal digit, as in \uXXXX; -1 for anything else.
[[nodiscard]] constexpr int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The digit of value's low four bits.
[[nodiscard]] constexpr char hex_digit(unsigned value) noexcept { return "0123456789abcdef"[value & 15U]; }

}  // namespace tensorwire
