// Shapes whose products overflow, tensors whose bytes do not fit, and typed access that refuses the wrong dtype.
#include "tensorwire/tensor.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

namespace tensorwire {
namespace {

constexpr std::int64_t kHuge = std::numeric_limits<std::int64_t>::max();

std::vector<std::byte> bytes_of(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

TEST(Shape, CountsElementsAndBytes) {
  EXPECT_EQ(Shape({2, 3, 4}).element_count().value(), 24);
  EXPECT_EQ(Shape({2, 3, 4}).byte_count(DType::float32).value(), 96U);
  EXPECT_EQ(Shape().element_count().value(), 1);
  EXPECT_EQ(Shape({0}).byte_count(DType::float64).value(), 0U);
  EXPECT_EQ(Shape({kHuge}).byte_count(DType::int8).value(), static_cast<std::uint64_t>(kHuge));
}

TEST(Shape, RefusesProductsBeyond64Bits) {
  EXPECT_EQ(Shape({kHuge, 2}).element_count().error().code, ErrorCode::bad_shape);
  EXPECT_EQ(Shape({1LL << 32, 1LL << 31}).element_count().error().code, ErrorCode::bad_shape);
  EXPECT_EQ(Shape({kHuge}).byte_count(DType::complex128).error().code, ErrorCode::bad_shape);
  EXPECT_EQ(Shape({1LL << 32, 1LL << 32, 1LL << 32}).element_count().error().message,
            "shape [4294967296,4294967296,4294967296] has more elements than 64 bits can count");
}

TEST(Shape, AZeroAxisMakesTheProductZeroWhereverItStands) {
  EXPECT_EQ(Shape({0, kHuge, kHuge}).element_count().value(), 0);
  EXPECT_EQ(Shape({kHuge, kHuge, 0}).element_count().value(), 0);
  EXPECT_EQ(Shape({kHuge, kHuge, 0}).byte_count(DType::complex128).value(), 0U);
}

TEST(Shape, RefusesNegativeAxesAndTooMany) {
  const std::vector<std::int64_t> negative = {3, -1};
  EXPECT_EQ(Shape::from(negative).error().message,
            "axis 1 of the shape is -1: a dimension must be 0 or more and known");
  const std::vector<std::int64_t> most(kMaxRank, 1);
  EXPECT_TRUE(Shape::from(most).ok());
  const std::vector<std::int64_t> many(kMaxRank + 1, 1);
  EXPECT_EQ(Shape::from(many).error().message, "shape has 33 axes, at most 32 are possible");
  EXPECT_THROW(Shape({-1}), ErrorException);
}

TEST(Shape, ComparesAndPrints) {
  EXPECT_EQ(Shape({2, 3}), Shape({2, 3}));
  EXPECT_FALSE(Shape({2, 3}) == Shape({2, 3, 1}));
  EXPECT_FALSE(Shape({2, 3}) == Shape({3, 2}));
  EXPECT_EQ(Shape({2, 3}).to_string(), "[2,3]");
  EXPECT_EQ(Shape().to_string(), "[]");
}

TEST(TensorView, GivesTypedElements) {
  const std::vector<float> values = {1, 2, 3, 4};
  const TensorView view(std::span<const float>(values), {2, 2});
  EXPECT_EQ(view.dtype(), DType::float32);
  EXPECT_EQ(view.size(), 4);
  EXPECT_EQ(view.as<float>()->data(), values.data());
  EXPECT_EQ((*view.as<float>())[3], 4.0F);
}

TEST(TensorView, RefusesTheWrongTypeAndSaysBoth) {
  const std::vector<float> values = {1};
  const auto wrong = TensorView(std::span<const float>(values), {}).as<double>();
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code, ErrorCode::bad_dtype);
  EXPECT_EQ(wrong.error().message, "the tensor's dtype is float32, wanted was float64");
  EXPECT_FALSE(TensorView(std::span<const float>(values), {}).strings().ok());
}

TEST(TensorView, RefusesBytesThatDoNotFitTheShape) {
  const auto bytes = bytes_of({0, 0, 0, 0, 0});
  try {
    const TensorView view(DType::float32, {1}, bytes);
    FAIL() << "five bytes are no float32";
  } catch (const ErrorException& thrown) {
    EXPECT_EQ(thrown.error().code, ErrorCode::size_mismatch);
    EXPECT_STREQ(thrown.what(), "shape [1] of float32 needs 4 bytes, got 5");
  }
}

TEST(TensorView, HoldsStrings) {
  const std::vector<std::string> labels = {"cat", "dog"};
  const TensorView view({2}, labels);
  EXPECT_EQ(view.dtype(), DType::string);
  EXPECT_EQ((*view.strings())[1], "dog");
  EXPECT_THROW(TensorView({3}, labels), ErrorException);
  EXPECT_THROW(TensorView(DType::string, {0}, {}), ErrorException);
}

TEST(Tensor, IsAlignedAndTyped) {
  auto tensor = Tensor::allocate(DType::int16, {3, 5});
  ASSERT_TRUE(tensor.ok());
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor->bytes().data()) % 64, 0U);
  const auto values = tensor->as_mutable<std::int16_t>().value();
  ASSERT_EQ(values.size(), 15U);
  std::iota(values.begin(), values.end(), std::int16_t{0});
  EXPECT_EQ(tensor->as<std::int16_t>().value()[14], 14);
  EXPECT_FALSE(tensor->as<std::uint16_t>().ok());
  EXPECT_FALSE(tensor->as_mutable<float>().ok());
}

TEST(Tensor, EmptyAndScalarOnesWork) {
  const Tensor none;
  EXPECT_EQ(none.size(), 0);
  EXPECT_EQ(none.view().bytes().size(), 0U);
  EXPECT_TRUE(none.as<float>()->empty());
  auto zero = Tensor::allocate(DType::float64, {0, 7});
  ASSERT_TRUE(zero.ok());
  EXPECT_TRUE(zero->as<double>()->empty());
  auto scalar = Tensor::allocate(DType::float64, {});
  ASSERT_TRUE(scalar.ok());
  EXPECT_EQ(scalar->as<double>()->size(), 1U);
}

TEST(Tensor, AdoptsOnlyAFittingBuffer) {
  auto right = BufferPool::shared()->allocate(8);
  EXPECT_TRUE(Tensor::adopt(DType::int32, {2}, *std::move(right)).ok());
  auto wrong = BufferPool::shared()->allocate(9);
  EXPECT_EQ(Tensor::adopt(DType::int32, {2}, *std::move(wrong)).error().message,
            "shape [2] of int32 needs 8 bytes, got 9");
}

TEST(Tensor, CopiesViewsOfBothKinds) {
  const std::vector<double> values = {1.5, -2};
  auto copy = Tensor::copy_of(std::span<const double>(values), {2});
  ASSERT_TRUE(copy.ok());
  EXPECT_EQ(copy->as<double>().value()[1], -2.0);
  EXPECT_NE(static_cast<const void*>(copy->bytes().data()), static_cast<const void*>(values.data()));
  const std::vector<std::string> labels = {"a", "b"};
  auto strings = Tensor::copy_of(TensorView({2}, labels));
  ASSERT_TRUE(strings.ok());
  EXPECT_EQ(strings->strings().value()[0], "a");
}

TEST(Tensor, ReshapesToAsManyElementsOnly) {
  auto tensor = Tensor::allocate(DType::uint8, {6});
  ASSERT_TRUE(tensor.ok());
  EXPECT_TRUE(tensor->reshape({2, 3}).ok());
  EXPECT_EQ(tensor->shape(), Shape({2, 3}));
  const auto refused = tensor->reshape({5});
  EXPECT_EQ(refused.error().code, ErrorCode::size_mismatch);
  EXPECT_EQ(refused.error().message, "shape [5] needs 5 elements, got 6");
  EXPECT_EQ(tensor->shape(), Shape({2, 3}));
}

TEST(Tensor, AllocatesStringsAndRefusesHugeShapes) {
  auto strings = Tensor::allocate(DType::string, {2, 2});
  ASSERT_TRUE(strings.ok());
  EXPECT_EQ(strings->strings()->size(), 4U);
  EXPECT_EQ(Tensor::allocate(DType::string, {kHuge}).error().code, ErrorCode::overloaded);
  EXPECT_EQ(Tensor::allocate(DType::uint8, {kHuge}).error().code, ErrorCode::overloaded);
  EXPECT_EQ(Tensor::allocate(DType::uint8, {kHuge, 3}).error().code, ErrorCode::bad_shape);
}

TEST(Tensor, MovesWithItsMemory) {
  auto made = Tensor::allocate(DType::uint8, {4});
  ASSERT_TRUE(made.ok());
  const std::byte* memory = made->bytes().data();
  const Tensor moved = *std::move(made);
  EXPECT_EQ(moved.bytes().data(), memory);
}

TEST(SwapBytes, TurnsEveryUnitRound) {
  auto words = bytes_of({1, 2, 3, 4, 5, 6, 7, 8});
  swap_bytes(words, 2);
  EXPECT_EQ(words, bytes_of({2, 1, 4, 3, 6, 5, 8, 7}));
  swap_bytes(words, 4);
  EXPECT_EQ(words, bytes_of({3, 4, 1, 2, 7, 8, 5, 6}));
  swap_bytes(words, 8);
  EXPECT_EQ(words, bytes_of({6, 5, 8, 7, 2, 1, 4, 3}));
  swap_bytes(words, 1);
  EXPECT_EQ(words, bytes_of({6, 5, 8, 7, 2, 1, 4, 3}));
}

TEST(SwapBytes, WorksAtAnyAddressAndLength) {
  for (std::size_t count = 0; count < 70; ++count) {
    std::vector<std::byte> bytes(count * 4 + 1);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
    swap_bytes(std::span(bytes).subspan(1), 4);
    for (std::size_t i = 0; i < count * 4; ++i) {
      ASSERT_EQ(bytes[1 + i], static_cast<std::byte>(1 + (i / 4 * 4 + 3 - i % 4))) << count;
    }
  }
}

}  // namespace
}  // namespace tensorwire
