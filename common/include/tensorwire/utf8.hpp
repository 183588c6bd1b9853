// UTF-8 as RFC 3629 has it (no overlong forms, no surrogates, nothing above U+10FFFF): a check that takes one byte at a
// time, and one character off a text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tensorwire {

// Follows a text byte by byte, over as many pieces as it comes in.
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

// One character and the bytes that it takes; length 0 where there is none.
struct Utf8Character {
  char32_t code = 0;
  std::size_t length = 0;
};

// The character that text begins with; none where text is empty or its first bytes are not UTF-8.
[[nodiscard]] inline Utf8Character first_character(std::string_view text) noexcept {
  Utf8State state;
  char32_t bits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (!state.take(byte)) return {};
    bits = i == 0 ? byte : bits << 6U | (byte & 0x3FU);
    if (!state.complete()) continue;
    const std::size_t width = i == 0 ? 7 : 5 * (i + 1) + 1;  // without the first byte's mark of the length
    return {bits & ((char32_t{1} << width) - 1), i + 1};
  }
  return {};
}

}  // namespace tensorwire
