// The histogram behind `tensorctl bench`: its percentiles against those of the sorted values.
#include "../../client/tensorctl/histogram.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace {

using tensorctl::Histogram;

TEST(Histogram, IsEmptyAtFirst) {
  const Histogram histogram;
  EXPECT_EQ(histogram.total(), 0U);
  EXPECT_EQ(histogram.percentile(99), 0U);
  EXPECT_EQ(histogram.mean(), 0);
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram histogram;
  for (std::uint64_t value = 1; value <= 100; ++value) histogram.add(value);
  EXPECT_EQ(histogram.percentile(50), 50U);
  EXPECT_EQ(histogram.percentile(99), 99U);
  EXPECT_EQ(histogram.percentile(100), 100U);
  EXPECT_EQ(histogram.min(), 1U);
  EXPECT_EQ(histogram.max(), 100U);
  EXPECT_DOUBLE_EQ(histogram.mean(), 50.5);
}

TEST(Histogram, PercentilesAreNeverBelowAndAtMost1Point6PercentAboveTheTrueOnes) {
  std::mt19937_64 random(42);
  std::vector<std::uint64_t> values;
  Histogram histogram;
  for (int i = 0; i < 20000; ++i) {
    values.push_back(random() >> (random() % 60));
    histogram.add(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const std::size_t percent : {1U, 10U, 50U, 90U, 99U, 100U}) {
    const double exact = static_cast<double>(values[values.size() * percent / 100 - 1]);
    const auto found = static_cast<double>(histogram.percentile(static_cast<double>(percent)));
    EXPECT_GE(found, exact) << percent;
    EXPECT_LE(found, exact * 1.016 + 1) << percent;
  }
}

TEST(Histogram, TakesTheLargestDuration) {
  Histogram histogram;
  histogram.add(std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(histogram.percentile(50), std::numeric_limits<std::uint64_t>::max());
}

TEST(Histogram, MergesLikeOne) {
  Histogram one;
  Histogram two;
  Histogram both;
  for (std::uint64_t value = 1000; value < 2000; ++value) {
    (value % 3 == 0 ? one : two).add(value);
    both.add(value);
  }
  one.merge(Histogram());
  one.merge(two);
  EXPECT_EQ(one.total(), both.total());
  EXPECT_EQ(one.min(), both.min());
  EXPECT_EQ(one.max(), both.max());
  EXPECT_EQ(one.percentile(90), both.percentile(90));
}

}  // namespace
