// Error codes keep their wire names, and a Result hands out exactly one of its two sides.
#include "tensorwire/error.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

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

}  // namespace
}  // namespace tensorwire
