// For following JSON strings byte by byte: hexadecimal digits, and a resumable check that bytes are UTF-8 (RFC 3629: no
// overlong forms, no surrogates, nothing above U+10FFFF).
#pragma once

#include <cstdint>

namespace tensorwire {

class Utf8State {
 public:
  // False when this byte cannot stand here.
  [[nodiscard]] bool take(unsigned char byte) noexcept {
    if (left_ == 0) return begin(byte);
    if (byte < low_ || byte > high_) return false;
    low_ = 0x80;
    high_ = 0xBF;
    --left_;
    return true;
  }
  // True between characters.
  [[nodiscard]] bool complete() const noexcept { return left_ == 0; }

 private:
  bool begin(unsigned char byte) noexcept {
    low_ = 0x80;
    high_ = 0xBF;
    if (byte < 0x80) return true;
    if (byte >= 0xC2 && byte <= 0xDF) return expect(1);
    if (byte >= 0xE0 && byte <= 0xEF) {
      if (byte == 0xE0) low_ = 0xA0;
      if (byte == 0xED) high_ = 0x9F;
      return expect(2);
    }
    if (byte >= 0xF0 && byte <= 0xF4) {
      if (byte == 0xF0) low_ = 0x90;
      if (byte == 0xF4) high_ = 0x8F;
      return expect(3);
    }
    return false;
  }
  bool expect(std::uint8_t count) noexcept {
    left_ = count;
    return true;
  }

  std::uint8_t left_ = 0;
  unsigned char low_ = 0x80;
  unsigned char high_ = 0xBF;
};

// The value of a hexadecimal digit, as in \uXXXX; -1 for anything else.
[[nodiscard]] constexpr int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace tensorwire
