// The small floats are checked pattern by pattern against their definition and at every point half-way between two of
// them.
#include "tensorwire/floats.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace tensorwire {
namespace {

// What a format is by its standard's text, apart from the code under test.
struct Definition {
  int bits;
  int mantissa_bits;
  int bias;
  bool has_infinity;
};
constexpr Definition kDefinitions[] = {{16, 10, 15, true}, {16, 7, 127, true}, {8, 3, 7, false}, {8, 2, 15, true}};

// The value of a pattern, computed with ldexp.
double define(const Definition& format, unsigned pattern) {
  const unsigned mantissa = pattern & ((1U << format.mantissa_bits) - 1);
  const unsigned magnitude = pattern & ((1U << (format.bits - 1)) - 1);
  const int exponent = static_cast<int>(magnitude >> format.mantissa_bits);
  const int top = (1 << (format.bits - 1 - format.mantissa_bits)) - 1;
  const double sign = (pattern >> (format.bits - 1)) != 0 ? -1.0 : 1.0;
  if (format.has_infinity && exponent == top) return mantissa == 0 ? sign * INFINITY : NAN;
  if (!format.has_infinity && magnitude == (1U << (format.bits - 1)) - 1) return NAN;
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - format.bias - format.mantissa_bits);
  return sign * std::ldexp((1U << format.mantissa_bits) + mantissa, exponent - format.bias - format.mantissa_bits);
}

template <class T>
class SmallFloat : public testing::Test {
 public:
  static const Definition& definition() {
    if constexpr (std::is_same_v<T, Float16>) return kDefinitions[0];
    if constexpr (std::is_same_v<T, BFloat16>) return kDefinitions[1];
    if constexpr (std::is_same_v<T, Float8E4M3>) return kDefinitions[2];
    if constexpr (std::is_same_v<T, Float8E5M2>) return kDefinitions[3];
  }
  static unsigned patterns() { return 1U << definition().bits; }
  static T of(unsigned pattern) {
    T value;
    value.bits = static_cast<decltype(value.bits)>(pattern);
    return value;
  }
  // Every finite value that is not negative, ascending; their patterns are 0, 1, 2, ...
  static std::vector<double> finite() {
    std::vector<double> values;
    for (unsigned pattern = 0; std::isfinite(define(definition(), pattern)); ++pattern) {
      values.push_back(define(definition(), pattern));
    }
    return values;
  }
};
using Formats = testing::Types<Float16, BFloat16, Float8E4M3, Float8E5M2>;
TYPED_TEST_SUITE(SmallFloat, Formats);

TYPED_TEST(SmallFloat, EveryPatternMeansWhatTheStandardSays) {
  for (unsigned pattern = 0; pattern < this->patterns(); ++pattern) {
    const double wanted = define(this->definition(), pattern);
    const double got = this->of(pattern).to_float();
    if (std::isnan(wanted)) {
      ASSERT_TRUE(std::isnan(got)) << pattern;
    } else {
      ASSERT_EQ(got, wanted) << pattern;
      ASSERT_EQ(std::signbit(got), std::signbit(wanted)) << pattern;
    }
  }
}

TYPED_TEST(SmallFloat, EveryPatternSurvivesTheWayThroughDouble) {
  for (unsigned pattern = 0; pattern < this->patterns(); ++pattern) {
    const TypeParam value = this->of(pattern);
    const TypeParam back = TypeParam::from(static_cast<double>(value.to_float()));
    if (std::isnan(value.to_float())) {
      ASSERT_TRUE(std::isnan(back.to_float())) << pattern;
    } else {
      ASSERT_EQ(back, value) << pattern;
    }
  }
}

TYPED_TEST(SmallFloat, HalfwayPointsGoToTheEvenNeighbourAndTheirNeighboursToTheNearest) {
  const auto values = this->finite();
  for (unsigned low = 0; low + 1 < values.size(); ++low) {
    const double halfway = (values[low] + values[low + 1]) / 2;  // exact: one more bit than the format has
    const unsigned even = low % 2 == 0 ? low : low + 1;
    ASSERT_EQ(TypeParam::from(halfway), this->of(even)) << low;
    ASSERT_EQ(TypeParam::from(std::nextafter(halfway, 0.0)), this->of(low)) << low;
    ASSERT_EQ(TypeParam::from(std::nextafter(halfway, INFINITY)), this->of(low + 1)) << low;
    ASSERT_EQ(TypeParam::from(-halfway), this->of(even | (this->patterns() / 2))) << low;
  }
}

TYPED_TEST(SmallFloat, WhatIsTooLargeBecomesInfinityOrNaN) {
  const auto values = this->finite();
  const double largest = values.back();
  const double step = largest - values[values.size() - 2];
  const double first_too_large = largest + step / 2;
  const bool largest_is_even = values.size() % 2 == 1;  // its pattern is size - 1
  EXPECT_EQ(TypeParam::from(std::nextafter(first_too_large, 0.0)).to_float(), largest);
  EXPECT_EQ(std::isfinite(TypeParam::from(first_too_large).to_float()), largest_is_even);
  for (const double beyond : {std::nextafter(first_too_large, INFINITY), largest * 2, 1e308, double{INFINITY}}) {
    const float up = TypeParam::from(beyond).to_float();
    const float down = TypeParam::from(-beyond).to_float();
    EXPECT_TRUE(this->definition().has_infinity ? std::isinf(up) : std::isnan(up)) << beyond;
    EXPECT_TRUE(this->definition().has_infinity ? std::isinf(down) : std::isnan(down)) << beyond;
    EXPECT_TRUE(std::signbit(down)) << beyond;
  }
}

TYPED_TEST(SmallFloat, WhatIsTooSmallBecomesASignedZero) {
  const double smallest = this->finite()[1];
  for (const double tiny : {smallest / 2, smallest / 1024, 1e-300, std::numeric_limits<double>::denorm_min(), 0.0}) {
    EXPECT_EQ(TypeParam::from(tiny), this->of(0)) << tiny;
    EXPECT_EQ(TypeParam::from(-tiny), this->of(this->patterns() / 2)) << tiny;
  }
}

TYPED_TEST(SmallFloat, NaNStaysNaN) {
  EXPECT_TRUE(std::isnan(TypeParam::from(std::nan("")).to_float()));
  EXPECT_TRUE(std::isnan(TypeParam::from(-std::nan("1")).to_float()));
}

// Rounding through float first gives 0x3C00 and 0x3C02 here: the half-way bit pattern hides what follows it.
TEST(Float16, RoundsOnceFromDouble) {
  EXPECT_EQ(Float16::from(1.0 + 0x1p-11 + 0x1p-40).bits, 0x3C01);
  EXPECT_EQ(Float16::from(1.0 + 0x1p-10 + 0x1p-11 - 0x1p-40).bits, 0x3C01);
  EXPECT_EQ(Float16::from(65504.0).bits, 0x7BFF);
  EXPECT_EQ(Float16::from(65520.0).bits, 0x7C00);
  EXPECT_EQ(Float16::from(0x1p-24).bits, 0x0001);
}

TEST(BFloat16, RoundsOnceFromDouble) {
  EXPECT_EQ(BFloat16::from(1.0 + 0x1p-8 + 0x1p-40).bits, 0x3F81);
  EXPECT_EQ(BFloat16::from(3.14159265358979).bits, 0x4049);
  EXPECT_EQ(BFloat16::from(3.3895313892515355e38).bits, 0x7F7F);
}

TEST(Float8E4M3, HasNoInfinity) {
  EXPECT_EQ(Float8E4M3::from(448.0).bits, 0x7E);
  EXPECT_EQ(Float8E4M3::from(464.0).bits, 0x7E);  // half-way to 480, which is NaN's place: to even, as torch does
  EXPECT_EQ(Float8E4M3::from(465.0).bits, 0x7F);
  EXPECT_EQ(Float8E4M3::from(-INFINITY).bits, 0xFF);
}

TEST(Float8E5M2, HasInfinities) {
  EXPECT_EQ(Float8E5M2::from(57344.0).bits, 0x7B);
  EXPECT_EQ(Float8E5M2::from(61440.0).bits, 0x7C);
  EXPECT_EQ(Float8E5M2::from(-INFINITY).bits, 0xFC);
}

}  // namespace
}  // namespace tensorwire
