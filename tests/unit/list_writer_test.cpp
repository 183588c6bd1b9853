// append_list writes strict JSON whose every element reads back bit for bit.
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <bit>
#include <cmath>
#include <complex>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "list.hpp"
#include "list_reading.hpp"
#include "numbers.hpp"

namespace tensorwire {
namespace {

using list_reading::Outcome;
using list_reading::read;
using list_reading::read_as;
using list_reading::values;
using list_reading::write;

constexpr std::uint64_t kSeed = 20'240'917;

// The elements' bytes, with all NaNs made one: text cannot carry their payloads.
template <class T>
std::vector<T> with_one_nan(std::vector<T> elements) {
  if constexpr (SmallFloat<T>) {
    for (T& element : elements) {
      if (std::isnan(element.to_float())) element = T::from(std::numeric_limits<double>::quiet_NaN());
    }
  } else if constexpr (std::floating_point<T>) {
    for (T& element : elements) {
      if (std::isnan(element)) element = std::numeric_limits<T>::quiet_NaN();
    }
  }
  return elements;
}

template <class T>
std::vector<std::byte> bytes_of(const std::vector<T>& elements) {
  const auto bytes = std::as_bytes(std::span<const T>(elements));
  return {bytes.begin(), bytes.end()};
}

template <class T>
void expect_round_trip(const std::vector<T>& elements) {
  const Shape shape{static_cast<std::int64_t>(elements.size())};
  const std::string text = write(elements, shape);
  rapidjson::Document strict;
  strict.Parse<rapidjson::kParseDefaultFlags>(text.data(), text.size());
  EXPECT_FALSE(strict.HasParseError()) << text.substr(0, 200);
  const Outcome outcome = read_as(dtype_of<T>, text);
  ASSERT_TRUE(outcome.ok()) << outcome.message;
  EXPECT_EQ(outcome.shape, shape);
  EXPECT_EQ(outcome.bytes, bytes_of(with_one_nan(elements)));
}

// Random bit patterns, with the edges of the type among them.
template <class T>
std::vector<T> samples() {
  std::mt19937_64 random(kSeed);
  std::vector<T> elements;
  if constexpr (std::is_arithmetic_v<T>) {
    using Limit = std::numeric_limits<T>;
    elements = {Limit::lowest(), Limit::min(), Limit::max(), T{0}, T{1}};
    if constexpr (std::floating_point<T>) {
      for (const T value : {-T{0}, Limit::denorm_min(), -Limit::denorm_min(), Limit::infinity(), -Limit::infinity(),
                            Limit::quiet_NaN(), T{0.1F}, T{16777216}, T{1e22F}, std::nextafter(Limit::min(), T{0})}) {
        elements.push_back(value);
      }
    }
  }
  for (int i = 0; i < 10'000; ++i) {
    const std::uint64_t bits = random();
    T value;
    std::memcpy(&value, &bits, sizeof value);
    elements.push_back(value);
  }
  return elements;
}

template <class T>
class ListWriter : public testing::Test {};
using ScalarTypes = testing::Types<std::int8_t, std::int16_t, std::int32_t, std::int64_t, std::uint8_t, std::uint16_t,
                                   std::uint32_t, std::uint64_t, float, double>;
TYPED_TEST_SUITE(ListWriter, ScalarTypes);

TYPED_TEST(ListWriter, RandomElementsAndTheEdgesComeBack) { expect_round_trip(samples<TypeParam>()); }

template <class T>
std::vector<T> all_patterns() {
  std::vector<T> elements;
  for (std::uint32_t bits = 0; bits < 1U << (8 * sizeof(T)); ++bits) {
    T element;
    element.bits = static_cast<decltype(element.bits)>(bits);
    elements.push_back(element);
  }
  return elements;
}

TEST(ListWriterSmallFloats, EveryBitPatternComesBack) {
  expect_round_trip(all_patterns<Float16>());
  expect_round_trip(all_patterns<BFloat16>());
  expect_round_trip(all_patterns<Float8E4M3>());
  expect_round_trip(all_patterns<Float8E5M2>());
}

TEST(ListWriterSmallFloats, AreAsShortAsTheyCanBe) {
  const std::vector<Float16> elements = {Float16::from(0.1), Float16::from(1), Float16::from(-0.0),
                                         Float16::from(65504), Float16::from(3.14159)};
  EXPECT_EQ(write(elements, {5}), "[0.1,1.0,-0.0,65504.0,3.14]");
}

TEST(ListWriterText, LooksLikeThis) {
  EXPECT_EQ(write(std::vector<float>{1.5F, 2, -0.0F, 0.1F, 1e30F}, {5}), "[1.5,2.0,-0.0,0.1,1e+30]");
  EXPECT_EQ(write(std::vector<double>{std::nan(""), HUGE_VAL, -HUGE_VAL}, {3}), R"(["NaN","Infinity","-Infinity"])");
  EXPECT_EQ(
      write(std::vector<std::int64_t>{9007199254740992, 9007199254740993, -9007199254740992, -9007199254740993}, {4}),
      R"([9007199254740992,"9007199254740993",-9007199254740992,"-9007199254740993"])");
  EXPECT_EQ(write(std::vector<std::uint64_t>{UINT64_MAX}, {1}), R"(["18446744073709551615"])");
  EXPECT_EQ(write(std::vector<std::complex<float>>{{1, -2}, {0.5F, std::nanf("")}}, {2}),
            R"([[1.0,-2.0],[0.5,"NaN"]])");
  EXPECT_EQ(write(std::vector<std::complex<double>>{{1, 2}}, {}), "[1.0,2.0]");
  const bool flags[] = {true, false};
  EXPECT_EQ(write(TensorView(std::span<const bool>(flags), {2})), "[true,false]");
  EXPECT_EQ(write(std::vector<std::int8_t>{-128}, {}), "-128");
  EXPECT_EQ(write(std::vector<std::int32_t>{1, 2, 3, 4, 5, 6}, {1, 2, 3}), "[[[1,2,3],[4,5,6]]]");
}

// 7.038531e-26 is the shortest text of a float, but through double it becomes the float's neighbour.
TEST(ListWriterText, FloatsSurviveReadersThatGoThroughDouble) {
  const float known = std::strtof("7.038531e-26", nullptr);
  EXPECT_NE(static_cast<float>(7.038531e-26), known);
  EXPECT_EQ(read_as(DType::float32, "[7.038531e-26]").bytes, bytes_of(std::vector<float>{known}));
  std::vector<float> elements = samples<float>();
  elements.push_back(known);
  for (const float element : elements) {
    if (!std::isfinite(element)) continue;
    const std::string text = write(std::vector<float>{element}, {});
    EXPECT_EQ(static_cast<float>(std::strtod(text.c_str(), nullptr)), element) << text;
    EXPECT_EQ(std::strtof(text.c_str(), nullptr), element) << text;
  }
}

TEST(ListWriterText, StringsAreEscaped) {
  const std::vector<std::string> strings = {"cat", "\"\\/\n\x1F", "é€😀", ""};
  const std::string text = write(TensorView(Shape{2, 2}, strings));
  EXPECT_EQ(text, "[[\"cat\",\"\\\"\\\\/\\u000a\\u001f\"],[\"é€😀\",\"\"]]");
  EXPECT_EQ(read_as(DType::string, text).strings, strings);
}

TEST(ListWriterText, AStringThatIsNotUtf8IsRefusedAndTheBufferLeftAsItWas) {
  const std::vector<std::string> strings = {"ok", "caf\xE9"};
  Buffer out = BufferPool::shared()->empty_buffer();
  ASSERT_TRUE(out.resize(3).ok());
  const auto written = append_list(out, TensorView(Shape{2}, strings));
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(to_string(written.error().code), "handler_failed");
  EXPECT_EQ(out.size(), 3U);
}

TEST(ListWriterText, EmptyTensorsCostNothingHoweverLargeTheirAxes) {
  const auto empty = [](const Shape& shape) { return write(std::vector<float>{}, shape); };
  EXPECT_EQ(empty({0}), "[]");
  EXPECT_EQ(empty({0, 5}), "[]");
  EXPECT_EQ(empty({2, 0}), "[[],[]]");
  EXPECT_EQ(empty({2, 0, 5}), "[[],[]]");
  EXPECT_EQ(empty({1, 2, 0}), "[[[],[]]]");
  constexpr std::int64_t kHuge = std::int64_t{1} << 40;
  EXPECT_EQ(empty({kHuge, 0}), "[]");
  EXPECT_EQ(empty({kHuge, kHuge, 0}), "[]");
  for (const Shape& shape : {Shape{2, 0, 5}, Shape{kHuge, 0}, Shape{0, kHuge}}) {
    EXPECT_EQ(read_as(DType::float32, empty(shape), shape).shape, shape);
  }
}

TEST(ListWriterText, AppendsBehindWhatIsThere) {
  Buffer out = BufferPool::shared()->empty_buffer();
  ASSERT_TRUE(out.resize(1).ok());
  *reinterpret_cast<char*>(out.data()) = ':';
  const std::vector<std::int16_t> one = {7};
  ASSERT_TRUE(append_list(out, TensorView(std::span<const std::int16_t>(one), {1})).ok());
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(out.data()), out.size()), ":[7]");
}

// Without the dtype beside it a reader infers the kind of the elements, if not their size.
TEST(ListWriterText, KeepsTheKindOfItsElements) {
  EXPECT_EQ(to_string(read(write(std::vector<float>{1, 2}, {2})).dtype), "float64");
  EXPECT_EQ(to_string(read(write(std::vector<float>{1e20F}, {1})).dtype), "float64");
  EXPECT_EQ(to_string(read(write(std::vector<std::int8_t>{1, 2}, {2})).dtype), "int64");
  EXPECT_EQ(to_string(read(write(std::vector<std::uint64_t>{UINT64_MAX}, {1})).dtype), "uint64");
}

TEST(ListWriterText, ManyElementsAndNestingsKeepTheirOrder) {
  std::vector<std::int32_t> elements(60'000);
  for (std::size_t i = 0; i < elements.size(); ++i) elements[i] = static_cast<std::int32_t>(i * 7919);
  for (const Shape& shape : {Shape{60'000}, Shape{60'000, 1}, Shape{1, 60'000}, Shape{20'000, 3}, Shape{10, 20, 300}}) {
    const Outcome outcome = read_as(DType::int32, write(elements, shape));
    EXPECT_EQ(outcome.shape, shape);
    EXPECT_EQ(values<std::int32_t>(outcome), elements);
  }
}

}  // namespace
}  // namespace tensorwire
