// Every decimal text becomes the integer that it says, or the float that rounding it once gives.
#include "numbers.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "number_run.hpp"

namespace tensorwire {
namespace {

template <class T>
struct Read {
  Fit fit = Fit::ok;
  T value{};
  friend bool operator==(const Read&, const Read&) = default;
};

template <class T>
Read<T> read(std::string_view text) {
  EXPECT_TRUE(is_json_number(text)) << text;
  Read<T> result;
  result.fit = parse_number(text, result.value);
  return result;
}

// The same through the inner loop of list reading; nothing when it leaves the number to the general path.
template <class T>
std::optional<T> read_fast(const std::string& text) {
  const std::string piece = text + "]" + std::string(kRunSlack, ' ');
  T value{};
  const Run run = read_run(piece.data(), piece.data() + piece.size(), &value, 1);
  if (run.count == 0) return std::nullopt;
  EXPECT_EQ(run.next, piece.data() + text.size()) << text;
  EXPECT_TRUE(run.closes);
  return value;
}

template <class T>
std::string digits_of(T value) {
  std::array<char, 64> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

TEST(Numbers, TheGrammarIsThatOfRfc8259) {
  for (const char* text :
       {"0", "-0", "1", "-1", "10", "0.5", "1.25e10", "1E+5", "1e-5", "0e0", "-0.0e-0", "123456789"}) {
    EXPECT_TRUE(is_json_number(text)) << text;
  }
  for (const char* text :
       {"",   "-",   "+1",  "01",    "-01",   "1.",  ".5",       "1e",  "1e+", "1.e5", "0x10",  "1_000", " 1",
        "1 ", "1,5", "--1", "1.5.2", "1e5.5", "NaN", "Infinity", "inf", "１",  "1f",   "1e5e5", "00"}) {
    EXPECT_FALSE(is_json_number(text)) << text;
  }
}

template <class T>
class Integers : public testing::Test {};
using IntegerTypes = testing::Types<std::int8_t, std::int16_t, std::int32_t, std::int64_t, std::uint8_t, std::uint16_t,
                                    std::uint32_t, std::uint64_t>;
TYPED_TEST_SUITE(Integers, IntegerTypes);

// One more (or less) than a decimal text says.
std::string beyond(std::string text) {
  for (std::size_t i = text.size(); i-- > 0;) {
    if (text[i] != '9') {
      ++text[i];
      return text;
    }
    text[i] = '0';
  }
  return "1" + text;
}

TYPED_TEST(Integers, EndWhereTheTypeEnds) {
  constexpr TypeParam kMin = std::numeric_limits<TypeParam>::min();
  constexpr TypeParam kMax = std::numeric_limits<TypeParam>::max();
  for (const TypeParam value :
       {kMin, static_cast<TypeParam>(kMin + 1), TypeParam{0}, TypeParam{1}, static_cast<TypeParam>(kMax - 1), kMax}) {
    const std::string text = digits_of(value);
    EXPECT_EQ(read<TypeParam>(text), (Read<TypeParam>{Fit::ok, value})) << text;
    EXPECT_EQ(read<TypeParam>(text + ".0"), (Read<TypeParam>{Fit::ok, value})) << text;
    EXPECT_EQ(read<TypeParam>(text + "e0"), (Read<TypeParam>{Fit::ok, value})) << text;
    EXPECT_EQ(read_fast<TypeParam>(text).value_or(value), value) << text;
  }
  const std::string above = beyond(digits_of(kMax));
  const std::string below = kMin == 0 ? "-1" : beyond(digits_of(kMin));
  for (const std::string& text : {above, below, above + ".0", below + "e0", above + "0e-1", std::string("1e20")}) {
    EXPECT_EQ(read<TypeParam>(text).fit, Fit::range) << text;
    EXPECT_EQ(read_fast<TypeParam>(text), std::nullopt) << text;
  }
}

TYPED_TEST(Integers, TakeWholeNumbersHoweverTheyAreWritten) {
  for (const char* text :
       {"100", "1e2", "1E2", "1e+2", "1.0e2", "100.000", "0.1e3", "1000e-1", "0.00100e5", "1e0002"}) {
    EXPECT_EQ(read<TypeParam>(text), (Read<TypeParam>{Fit::ok, TypeParam{100}})) << text;
  }
  for (const char* text : {"0", "-0", "0.0", "-0.0", "0e5", "0e999999999999999999999", "-0e-99999999999999999999"}) {
    EXPECT_EQ(read<TypeParam>(text), (Read<TypeParam>{Fit::ok, TypeParam{0}})) << text;
  }
  for (const char* text :
       {"1.5", "0.1", "1e-1", "12345e-3", "99.999999999999999999999999", "1e-99999999999999999999"}) {
    EXPECT_EQ(read<TypeParam>(text).fit, Fit::fraction) << text;
  }
  for (const char* text : {"1e99999999999999999999", "1e400", "100000000000000000000000000000"}) {
    EXPECT_EQ(read<TypeParam>(text).fit, Fit::range) << text;
  }
}

TEST(Numbers, DigitsNeverGoThroughADouble) {
  EXPECT_EQ(read<std::int64_t>("9223372036854775807.0").value, INT64_MAX);
  EXPECT_EQ(read<std::int64_t>("9223372036854775808.0").fit, Fit::range);
  EXPECT_EQ(read<std::int64_t>("9223372036854775807.000000000000000000000001").fit, Fit::fraction);
  EXPECT_EQ(read<std::int64_t>("9007199254740993").value, 9007199254740993);
  EXPECT_EQ(read<std::int64_t>("9.007199254740993e15").value, 9007199254740993);
  EXPECT_EQ(read<std::uint64_t>("18446744073709551615").value, UINT64_MAX);
  EXPECT_EQ(read<std::uint64_t>("1.8446744073709551615E19").value, UINT64_MAX);
  EXPECT_EQ(read<std::uint64_t>("18446744073709551616").fit, Fit::range);
}

TEST(Numbers, FloatsBeyondTheRangeAreRefusedAndTinyOnesRoundToZero) {
  EXPECT_EQ(read<double>("1e400").fit, Fit::range);
  EXPECT_EQ(read<double>("-1e99999999999999999999").fit, Fit::range);
  EXPECT_EQ(read<double>("1.7976931348623157e308").value, std::numeric_limits<double>::max());
  EXPECT_EQ(read<double>("1.7976931348623158e308").value, std::numeric_limits<double>::max());
  EXPECT_EQ(read<double>("1.7976931348623159e308").fit, Fit::range);
  EXPECT_EQ(read<float>("3.4028235677973367e38").fit, Fit::range);
  EXPECT_EQ(read<float>("3.4028235677973366e38").value, std::numeric_limits<float>::max());
  // Halfway to the next power of two, and one below.
  EXPECT_EQ(read<float>("340282356779733661637539395458142568447").value, std::numeric_limits<float>::max());
  EXPECT_EQ(read<float>("340282356779733661637539395458142568448").fit, Fit::range);
  EXPECT_EQ(read<double>("1e-400"), (Read<double>{Fit::ok, 0.0}));
  EXPECT_TRUE(std::signbit(read<double>("-1e-400").value));
  EXPECT_TRUE(std::signbit(read<float>("-0.0").value));
  EXPECT_EQ(read<double>("4.9406564584124654e-324").value, std::numeric_limits<double>::denorm_min());
  EXPECT_EQ(read<double>("2.4703282292062327e-324").value, 0.0);
  EXPECT_EQ(read<double>("2.4703282292062328e-324").value, std::numeric_limits<double>::denorm_min());
  EXPECT_EQ(read<double>("0e99999999999999999999").value, 0.0);
}

TEST(Numbers, SmallFloatsRoundFromTheDouble) {
  EXPECT_EQ(read<Float16>("65504").value.bits, 0x7BFF);
  EXPECT_EQ(read<Float16>("65519.999").value.bits, 0x7BFF);
  EXPECT_EQ(read<Float16>("65520").fit, Fit::range);
  EXPECT_EQ(read<Float16>("-1e5").fit, Fit::range);
  EXPECT_EQ(read<Float16>("1e400").fit, Fit::range);
  EXPECT_EQ(read<Float16>("5.9604644775390625e-8").value.bits, 0x0001);
  EXPECT_EQ(read<BFloat16>("3.3895313892515355e38").value.bits, 0x7F7F);
  EXPECT_EQ(read<BFloat16>("3.4e38").fit, Fit::range);
  EXPECT_EQ(read<Float8E4M3>("448").value.bits, 0x7E);
  EXPECT_EQ(read<Float8E4M3>("464").value.bits, 0x7E);  // halfway to 480, which would be NaN: to even
  EXPECT_EQ(read<Float8E4M3>("464.1").fit, Fit::range);
  EXPECT_EQ(read<Float8E5M2>("57344").value.bits, 0x7B);
  EXPECT_EQ(read<Float8E5M2>("61440").fit, Fit::range);
}

// Checks both paths against the C library, which rounds the text once, to the type that it is asked for.
void expect_rounded_once(const std::string& text) {
  const double expected = std::strtod(text.c_str(), nullptr);
  const float expected_float = std::strtof(text.c_str(), nullptr);
  const auto as_double = read<double>(text);
  const auto as_float = read<float>(text);
  EXPECT_EQ(as_double.fit, std::isinf(expected) ? Fit::range : Fit::ok) << text;
  EXPECT_EQ(as_float.fit, std::isinf(expected_float) ? Fit::range : Fit::ok) << text;
  if (as_double.fit == Fit::ok) {
    EXPECT_EQ(std::bit_cast<std::uint64_t>(as_double.value), std::bit_cast<std::uint64_t>(expected)) << text;
  }
  if (as_float.fit == Fit::ok) {
    EXPECT_EQ(std::bit_cast<std::uint32_t>(as_float.value), std::bit_cast<std::uint32_t>(expected_float)) << text;
  }
  if (const auto fast = read_fast<double>(text)) {
    EXPECT_EQ(std::bit_cast<std::uint64_t>(*fast), std::bit_cast<std::uint64_t>(expected)) << text;
  }
  if (const auto fast = read_fast<float>(text)) {
    EXPECT_EQ(std::bit_cast<std::uint32_t>(*fast), std::bit_cast<std::uint32_t>(expected_float)) << text;
  }
}

std::string print(const char* format, int precision, double value) {
  std::array<char, 2048> text{};
  return {text.data(), static_cast<std::size_t>(std::snprintf(text.data(), text.size(), format, precision, value))};
}

// The last digit one up and one down: just above and just below what the text says.
void expect_neighbourhood(const std::string& text) {
  const std::size_t end = std::min(text.find('e'), text.size());
  expect_rounded_once(text);
  expect_rounded_once(text.substr(0, end) + "1" + text.substr(end));
  std::string below = text;
  if (below[end - 1] >= '1' && below[end - 1] <= '9') {
    --below[end - 1];
    expect_rounded_once(below);
    expect_rounded_once(below.substr(0, end) + "99" + text.substr(end));
  }
}

constexpr std::uint64_t kSeed = 20'240'917;

TEST(Numbers, HalfwayPointsBetweenFloatsAndTheirNeighboursRoundOnce) {
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < 10'000; ++i) {
    const auto bits = static_cast<std::uint32_t>(random()) & 0x7FFF'FFFFU;
    const auto value = std::bit_cast<float>(i % 4 == 0 ? bits & 0x3FFF'FFFFU : (bits & 0x07FF'FFFFU) + 0x3C00'0000U);
    const float next = std::nextafter(value, std::numeric_limits<float>::infinity());
    if (!std::isfinite(value) || !std::isfinite(next)) continue;
    const double halfway = (double{value} + double{next}) / 2;  // exact
    expect_neighbourhood(print("%.*e", 112, halfway));
    expect_neighbourhood(print("%.*g", 17, halfway));
    if (halfway > 1e-6 && halfway < 1e9) expect_neighbourhood(print("%.*f", 16, halfway));
    if (halfway > 1e-6 && halfway < 1e9) expect_neighbourhood(print("%.*f", 30, halfway));
  }
}

// 53 bits and a half more: the decimal expansion of the halfway point is too long for a double, but not for long
// double.
TEST(Numbers, HalfwayPointsBetweenDoublesAndTheirNeighboursRoundOnce) {
  static_assert(std::numeric_limits<long double>::digits > std::numeric_limits<double>::digits);
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < 10'000; ++i) {
    const std::uint64_t exponent = i % 4 == 0 ? random() % 2046 : 1023 - 70 + random() % 140;
    const auto value = std::bit_cast<double>((exponent << 52) | (random() & ((std::uint64_t{1} << 52) - 1)));
    const double next = std::nextafter(value, std::numeric_limits<double>::infinity());
    if (!std::isfinite(next)) continue;
    const long double halfway = (static_cast<long double>(value) + static_cast<long double>(next)) / 2;
    std::array<char, 2048> text{};
    for (const int precision : {16, 17, 18, 780}) {
      const int n = std::snprintf(text.data(), text.size(), "%.*Le", precision, halfway);
      expect_neighbourhood({text.data(), static_cast<std::size_t>(n)});
    }
  }
}

// What the inner loop meets: all shapes of short decimals, where its short ways must not be wrong once.
TEST(Numbers, RandomDecimalsReadAsTheCLibraryReadsThem) {
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < 200'000; ++i) {
    std::string text = random() % 2 == 0 ? "-" : "";
    const std::size_t whole = random() % 8 == 0 ? 1 + random() % 18 : 1 + random() % 3;
    for (std::size_t d = 0; d < whole; ++d)
      text += static_cast<char>('0' + (d == 0 ? 1 + random() % 9 : random() % 10));
    if (random() % 3 == 0) text.replace(text.find_first_of("123456789"), std::string::npos, "0");
    if (random() % 8 != 0) {
      text += ".";
      for (std::size_t zeros = random() % 4 == 0 ? random() % 8 : 0; zeros > 0; --zeros) text += "0";
      for (std::size_t d = 1 + random() % 20; d > 0; --d) text += static_cast<char>('0' + random() % 10);
    }
    if (random() % 4 == 0) text += "e" + std::to_string(static_cast<int>(random() % 80) - 40);
    expect_rounded_once(text);
  }
}

TEST(Numbers, ZeroStaysZeroWhateverItsExponent) {
  for (int exponent = -400; exponent <= 400; ++exponent) {
    expect_rounded_once("0e" + std::to_string(exponent));
    expect_rounded_once("-0.000e" + std::to_string(exponent));
  }
}

// Texts that a float cannot be told from by its first 17 digits, as the inner loop would like to.
TEST(Numbers, DigitsFarBehindDecideAtAHalfwayPoint) {
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t mantissa = (std::uint64_t{1} << 24 | random() % (1U << 24)) * 2 + 1;
    const int shift = 17 + static_cast<int>(random() % 9);  // 25 bits with up to 25 of them behind the point
    const std::string exact = print("%.*f", shift, std::ldexp(static_cast<double>(mantissa), -shift));
    for (const char* tail : {"", "0", "00000000000000001", "1", "000"}) expect_rounded_once(exact + tail);
    std::string below = exact;
    --below.back();  // the last digit of a dyadic fraction is 5
    for (const char* tail : {"", "9", "99999999999999999", "9990"}) expect_rounded_once(below + tail);
  }
}

TEST(Numbers, TheInnerLoopTakesTheUsualNumbersItself) {
  EXPECT_EQ(read_fast<float>("0.12345678955316544"), 0.12345679F);
  EXPECT_EQ(read_fast<float>("-255.5"), -255.5F);
  EXPECT_EQ(read_fast<float>("1e-7"), 1e-7F);
  EXPECT_EQ(read_fast<double>("0.1234567895531654"), 0.1234567895531654);
  EXPECT_EQ(read_fast<double>("123456.789012345678"), 123456.789012345678);
  EXPECT_EQ(read_fast<std::int32_t>("-2147483648"), INT32_MIN);
  EXPECT_EQ(read_fast<std::int64_t>("-9223372036854775808"), INT64_MIN);
  EXPECT_EQ(read_fast<std::uint8_t>("255"), 255);
  EXPECT_EQ(read_fast<bool>("true"), true);
  EXPECT_EQ(read_fast<bool>("0"), false);
}

TEST(Numbers, TheInnerLoopLeavesAllElseAlone) {
  for (const char* text :
       {"", "-", "01", "-01", "1.", ".5", "1.5e", "0x1", "nul", "\"1\"", "[1", "1 ", "--1", "00", "1a"}) {
    EXPECT_EQ(read_fast<float>(text), std::nullopt) << text;
    EXPECT_EQ(read_fast<double>(text), std::nullopt) << text;
    EXPECT_EQ(read_fast<std::int32_t>(text), std::nullopt) << text;
    EXPECT_EQ(read_fast<std::uint64_t>(text), std::nullopt) << text;
  }
  for (const char* text : {"2", "10", "tru", "fals", "True", "trues", "null", "-1", "1.0"}) {
    EXPECT_EQ(read_fast<bool>(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace tensorwire
