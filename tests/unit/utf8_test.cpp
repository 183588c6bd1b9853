// UTF-8: every character reads as itself, and nothing else reads as a character.
#include "tensorwire/utf8.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace tensorwire {
namespace {

// Written out by the table of RFC 3629, section 3; `length` may be longer than the character needs.
std::string encoded(char32_t code, std::size_t length) {
  if (length == 1) return {static_cast<char>(code)};
  std::string bytes(length, '\0');
  for (std::size_t i = length - 1; i > 0; --i, code >>= 6U) bytes[i] = static_cast<char>(0x80U | (code & 0x3FU));
  bytes[0] = static_cast<char>((0xF00U >> length & 0xFFU) | code);
  return bytes;
}

std::size_t shortest(char32_t code) { return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4; }

TEST(Utf8, EveryCharacterReadsAsItself) {
  for (char32_t code = 0; code <= 0x10FFFF; ++code) {
    if (code == 0xD800) code = 0xE000;
    const auto read = first_character(encoded(code, shortest(code)) + "rest");
    ASSERT_EQ(read.code, code);
    ASSERT_EQ(read.length, shortest(code));
  }
}

TEST(Utf8, FormsLongerThanNeededAreNone) {
  for (std::size_t length = 2; length <= 4; ++length) {
    for (char32_t code = 0; shortest(code) < length; ++code) {
      ASSERT_EQ(first_character(encoded(code, length)).length, 0U) << std::uint32_t{code} << " in " << length;
    }
  }
}

TEST(Utf8, SurrogatesAndWhatLiesAboveTheLastCharacterAreNone) {
  for (char32_t code = 0xD800; code < 0xE000; ++code)
    ASSERT_EQ(first_character(encoded(code, 3)).length, 0U) << std::uint32_t{code};
  for (char32_t code = 0x110000; code < 0x200000; ++code) {
    ASSERT_EQ(first_character(encoded(code, 4)).length, 0U) << std::uint32_t{code};
  }
  EXPECT_EQ(first_character("\xF8\x88\x80\x80\x80").length, 0U);
}

TEST(Utf8, ACharacterCutShortOrBrokenByAnotherIsNone) {
  EXPECT_EQ(first_character("").length, 0U);
  for (const char32_t code : {U'\u00FC', U'\u20AC', U'\U0001F600'}) {
    const std::string whole = encoded(code, shortest(code));
    for (std::size_t i = 1; i < whole.size(); ++i) {
      EXPECT_EQ(first_character(whole.substr(0, i)).length, 0U);
      EXPECT_EQ(first_character(whole.substr(0, i) + "a").length, 0U);
      EXPECT_EQ(first_character(whole.substr(i)).length, 0U);
    }
  }
}

TEST(Utf8, TheStateTakesACharacterInPieces) {
  Utf8State state;
  for (const char byte : encoded(U'\U0001F600', 4)) {
    EXPECT_TRUE(state.take(static_cast<unsigned char>(byte)));
    EXPECT_EQ(state.complete(), byte == '\x80');
  }
}

}  // namespace
}  // namespace tensorwire
