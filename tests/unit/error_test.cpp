// Error codes keep their wire names, and a Result hands out exactly one of its two sides.
#include "tensorwire/error.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace tensorwire {
namespace {

TEST(ErrorCodes, EachNameReadsBackAsItsCode) {
  std::set<std::string_view> names;
  for (std::size_t index = 0; index < kErrorCodeCount; ++index) {
    const auto code = static_cast<ErrorCode>(index);
    EXPECT_EQ(parse_error_code(to_string(code)), code);
    names.insert(to_string(code));
  }
  EXPECT_EQ(names.size(), kErrorCodeCount);
}

TEST(ErrorCodes, HaveTheNamesOfTheWire) {
  EXPECT_EQ(to_string(ErrorCode::bad_frame), "bad_frame");
  EXPECT_EQ(to_string(ErrorCode::size_mismatch), "size_mismatch");
  EXPECT_EQ(to_string(ErrorCode::value_out_of_range), "value_out_of_range");
  EXPECT_EQ(to_string(ErrorCode::handler_failed), "handler_failed");
  EXPECT_EQ(to_string(ErrorCode::unauthorized), "unauthorized");
  EXPECT_EQ(to_string(ErrorCode::internal), "internal");
}

TEST(ErrorCodes, ATextThatIsNoCodeGivesNone) {
  EXPECT_EQ(parse_error_code("BAD_FRAME"), std::nullopt);
  EXPECT_EQ(parse_error_code(""), std::nullopt);
}

TEST(Result, HoldsAValue) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(5);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(**result, 5);
  const std::unique_ptr<int> moved = *std::move(result);
  EXPECT_EQ(*moved, 5);
}

TEST(Result, ThrowsItsErrorWithCodeAndPointer) {
  const Result<int> result = Error{ErrorCode::bad_shape, "too many axes", "/shape"};
  ASSERT_FALSE(result.ok());
  try {
    static_cast<void>(result.value());
    FAIL() << "value() of an error must throw";
  } catch (const ErrorException& thrown) {
    EXPECT_EQ(thrown.error().code, ErrorCode::bad_shape);
    EXPECT_EQ(thrown.error().at, "/shape");
    EXPECT_STREQ(thrown.what(), "too many axes");
  }
}

TEST(Result, OfNothingIsSuccessOrAnError) {
  EXPECT_TRUE(Result<void>().ok());
  const Result<void> failed = Error{ErrorCode::timeout, "late", {}};
  EXPECT_FALSE(failed.ok());
  EXPECT_THROW(failed.value(), ErrorException);
}

// A range of one element, which sets its maker's flag when it is gone.
class Elements {
 public:
  explicit Elements(bool& gone) : gone_(&gone) {}
  Elements(Elements&& other) noexcept : gone_(std::exchange(other.gone_, nullptr)) {}
  Elements& operator=(Elements&&) = delete;
  ~Elements() {
    if (gone_ != nullptr) *gone_ = true;
  }
  [[nodiscard]] const int* begin() const { return &element_; }
  [[nodiscard]] const int* end() const { return &element_ + 1; }

 private:
  bool* gone_;
  int element_ = 7;
};

TEST(Result, ALoopOverTheValueOfATemporaryKeepsItAlive) {
  bool gone = false;
  const auto elements = [&gone] { return Result<Elements>(Elements(gone)); };
  for (const int element : elements().value()) {
    EXPECT_FALSE(gone);
    EXPECT_EQ(element, 7);
  }
  EXPECT_TRUE(gone);
}

TEST(Result, AReferenceToWhatATemporaryHeldStaysGood) {
  bool value_gone = false;
  auto&& value = Result<Elements>(Elements(value_gone)).value();
  EXPECT_FALSE(value_gone);
  EXPECT_EQ(*value.begin(), 7);
  bool same_gone = false;
  auto&& same = *Result<Elements>(Elements(same_gone));
  EXPECT_FALSE(same_gone);
  EXPECT_EQ(*same.begin(), 7);
  const Error& error = Result<int>(Error{ErrorCode::bad_shape, std::string(100, 'x'), {}}).error();
  EXPECT_EQ(error.message, std::string(100, 'x'));
  static_assert(std::is_same_v<decltype(std::declval<Result<void>>().error()), Error>);
}

}  // namespace
}  // namespace tensorwire
