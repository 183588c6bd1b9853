// What each JSON form of a `data` value becomes, and how what does not fit is refused: code, place and sentence.
#include "list.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "list_reading.hpp"

namespace tensorwire {
namespace {

using list_reading::Options;
using list_reading::Outcome;
using list_reading::read;
using list_reading::read_as;
using list_reading::values;

void expect_refused(const Outcome& outcome, ErrorCode code, const std::string& at, const std::string& part = {}) {
  EXPECT_FALSE(outcome.syntax) << outcome.syntax_error;
  ASSERT_TRUE(outcome.code.has_value()) << part;
  EXPECT_EQ(to_string(*outcome.code), to_string(code)) << outcome.message;
  EXPECT_EQ(outcome.at, at) << outcome.message;
  EXPECT_NE(outcome.message.find(part), std::string::npos) << outcome.message;
}

TEST(ListInference, TakesTheDtypeThatTheElementsShow) {
  const std::vector<std::pair<std::string, DType>> cases = {
      {"[1, -2, 3]", DType::int64},
      {"7", DType::int64},
      {"[9223372036854775807]", DType::int64},
      {"[9223372036854775808]", DType::uint64},
      {"[0, 18446744073709551615]", DType::uint64},
      {"[1, 2.0]", DType::float64},
      {"[1e3]", DType::float64},
      {"[1, NaN]", DType::float64},
      {"[-Infinity]", DType::float64},
      {"[\"NaN\"]", DType::float64},
      {"[\"12\", 13]", DType::int64},
      {"[\"1.5\"]", DType::float64},
      {"[\"18446744073709551615\"]", DType::uint64},
      {"[true, false]", DType::boolean},
      {"true", DType::boolean},
      {"[\"cat\", \"dog\"]", DType::string},
      {"\"cat\"", DType::string},
      {"[\"\"]", DType::string},
      {"[]", DType::float64},
      {"[[], []]", DType::float64},
  };
  for (const auto& [text, dtype] : cases) {
    const Outcome outcome = read(text);
    EXPECT_TRUE(outcome.ok()) << text << " " << outcome.message;
    EXPECT_EQ(to_string(outcome.dtype), to_string(dtype)) << text;
  }
}

TEST(ListInference, RefusesMixtures) {
  expect_refused(read("[true, 1]"), ErrorCode::bad_message, "/data/1", "no dtype was given");
  expect_refused(read("[1, true]"), ErrorCode::bad_message, "/data/1");
  expect_refused(read("[1, \"cat\"]"), ErrorCode::bad_message, "/data/1", "\"cat\"");
  expect_refused(read("[\"cat\", 1]"), ErrorCode::bad_message, "/data/1");
  expect_refused(read("[\"cat\", \"1\"]"), ErrorCode::bad_message, "/data/1", "dtype \"string\"");
  expect_refused(read("[-1, 9223372036854775808]"), ErrorCode::value_out_of_range, "/data/1", "int64");
  expect_refused(read("[18446744073709551616]"), ErrorCode::value_out_of_range, "/data/0");
}

TEST(ListShape, ComesFromTheNesting) {
  const std::vector<std::pair<std::string, Shape>> cases = {
      {"5", {}},
      {"[]", {0}},
      {"[1,2,3]", {3}},
      {"[[1,2,3],[4,5,6]]", {2, 3}},
      {"[[[1],[2]],[[3],[4]],[[5],[6]]]", {3, 2, 1}},
      {"[[],[]]", {2, 0}},
      {"[[[],[],[]]]", {1, 3, 0}},
      {" [ [ 1 , 2 ] ,\n\t[ 3 , 4 ]\r\n]", {2, 2}},
  };
  for (const auto& [text, shape] : cases) EXPECT_EQ(read(text).shape.to_string(), shape.to_string()) << text;
}

TEST(ListShape, GivenReshapesAFlatListAndMustAgreeWithANestedOne) {
  const auto shaped = [](const std::string& text, const Shape& shape) { return read_as(DType::int32, text, shape); };
  EXPECT_EQ(values<std::int32_t>(shaped("[1,2,3,4]", {2, 2})), (std::vector<std::int32_t>{1, 2, 3, 4}));
  EXPECT_EQ(shaped("[1,2,3,4]", {2, 2}).shape, (Shape{2, 2}));
  EXPECT_EQ(shaped("[[1,2],[3,4]]", {2, 2}).shape, (Shape{2, 2}));
  EXPECT_EQ(shaped("7", {}).shape, Shape{});
  EXPECT_EQ(shaped("7", {1, 1}).shape, (Shape{1, 1}));
  EXPECT_EQ(shaped("[7]", {}).shape, Shape{});
  EXPECT_EQ(shaped("[]", {0, 5}).shape, (Shape{0, 5}));
  EXPECT_EQ(shaped("[]", {2, 0}).shape, (Shape{2, 0}));
  EXPECT_EQ(shaped("[[],[]]", {2, 0}).shape, (Shape{2, 0}));
  EXPECT_EQ(shaped("[[],[]]", {2, 0, 5}).shape, (Shape{2, 0, 5}));
  EXPECT_EQ(shaped("[]", {0, std::numeric_limits<std::int64_t>::max()}).shape.rank(), 2U);

  expect_refused(shaped("[1,2,3,4,5,6,7,8]", {3, 3}), ErrorCode::size_mismatch, "/data",
                 "data has 8 values, shape [3,3] needs 9");
  expect_refused(shaped("[[1,2],[3,4]]", {3, 3}), ErrorCode::size_mismatch, "/data");
  expect_refused(shaped("[[1,2],[3,4]]", {4, 1}), ErrorCode::bad_shape, "/data", "nested as [2,2]");
  expect_refused(shaped("[[1,2],[3,4]]", {4}), ErrorCode::bad_shape, "/data");
  expect_refused(shaped("[[],[]]", {0}), ErrorCode::bad_shape, "/data");
  expect_refused(shaped("[[],[]]", {3, 0}), ErrorCode::bad_shape, "/data");
  expect_refused(shaped("[]", {}), ErrorCode::size_mismatch, "/data");
  constexpr std::int64_t kHuge = std::int64_t{1} << 62;
  expect_refused(shaped("[1]", {kHuge, kHuge}), ErrorCode::bad_shape, "/data");
  expect_refused(shaped("[1]", {kHuge}), ErrorCode::size_mismatch, "/data");
}

TEST(ListShape, RaggedNestingPointsAtTheListThatDiffers) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"[[1,2],[3]]", "/data/1"},
      {"[[1],[2,3]]", "/data/1"},
      {"[[1,2],3]", "/data/1"},
      {"[1,[2]]", "/data/1"},
      {"[[1,[2]]]", "/data/0/1"},
      {"[[],[1]]", "/data/1"},
      {"[[1],[]]", "/data/1"},
      {"[[],1]", "/data/1"},
      {"[[],[[]]]", "/data/1"},
      {"[[[]],[]]", "/data/1"},
      {"[[[1,2],[3,4]],[[5,6]]]", "/data/1"},
      {"[[[1,2],[3,4]],[[5,6],[7]]]", "/data/1/1"},
      {"[[1,2],[3,4,\"x\"]]", "/data/1"},
      {"[[[1]],[2]]", "/data/1/0"},
  };
  for (const auto& [text, at] : cases) {
    expect_refused(read(text), ErrorCode::bad_shape, at, "ragged");
    expect_refused(read_as(DType::int8, text), ErrorCode::bad_shape, at, "ragged");
  }
}

std::string nested(std::size_t depth) { return std::string(depth, '[') + "1" + std::string(depth, ']'); }

TEST(ListShape, HasAtMost32Axes) {
  EXPECT_EQ(read(nested(32)).shape.rank(), 32U);
  std::string zeros;
  for (int i = 0; i < 32; ++i) zeros += "/0";
  expect_refused(read(nested(33)), ErrorCode::bad_shape, "/data" + zeros, "32");
  expect_refused(read(nested(40)), ErrorCode::bad_shape, "/data" + zeros);
  expect_refused(read(nested(100'000)), ErrorCode::bad_shape, "/data" + zeros);
  expect_refused(read_as(DType::complex64, nested(34)), ErrorCode::bad_shape, "/data" + zeros + "/0");
}

TEST(ListValues, SixtyFourIntegersArriveAsInt32) {
  std::string text = "[";
  std::vector<std::int32_t> expected;
  for (std::int32_t i = 0; i < 64; ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(i);
    expected.push_back(i);
  }
  EXPECT_EQ(values<std::int32_t>(read_as(DType::int32, text + "]")), expected);
}

TEST(ListValues, ErrorsNameTheValueItsPlaceAndWhatToSendInstead) {
  expect_refused(
      read_as(DType::int32, "[[1,2],[3,3000000000]]"), ErrorCode::value_out_of_range, "/data/1/1",
      "value 3000000000 at /data/1/1 does not fit int32 (-2147483648…2147483647); send it as int64 or uint32");
  expect_refused(read_as(DType::uint8, "[-1]"), ErrorCode::value_out_of_range, "/data/0", "send it as int8");
  expect_refused(read_as(DType::int8, "[128]"), ErrorCode::value_out_of_range, "/data/0", "int16 or uint8");
  expect_refused(read_as(DType::uint8, "[256]"), ErrorCode::value_out_of_range, "/data/0");
  expect_refused(read_as(DType::int64, "[1e30]"), ErrorCode::value_out_of_range, "/data/0", "float64");
  expect_refused(read_as(DType::int32, "[1.5]"), ErrorCode::value_out_of_range, "/data/0", "no integer");
  expect_refused(read_as(DType::int32, "[NaN]"), ErrorCode::value_out_of_range, "/data/0", "NaN");
  expect_refused(read_as(DType::int32, "[\"NaN\"]"), ErrorCode::value_out_of_range, "/data/0");
  expect_refused(read_as(DType::float32, "[1e39]"), ErrorCode::value_out_of_range, "/data/0", "send it as float64");
  expect_refused(read_as(DType::float16, "[65520]"), ErrorCode::value_out_of_range, "/data/0", "send it as float32");
  expect_refused(read_as(DType::float64, "[1e400]"), ErrorCode::value_out_of_range, "/data/0", "Infinity");
  expect_refused(read_as(DType::float64, "[\"1e400\"]"), ErrorCode::value_out_of_range, "/data/0");
  expect_refused(read("1e400"), ErrorCode::value_out_of_range, "/data");
  expect_refused(read_as(DType::float8_e4m3fn, "[Infinity]"), ErrorCode::value_out_of_range, "/data/0");
  expect_refused(read_as(DType::int32, "[true]"), ErrorCode::bad_message, "/data/0", "bool");
  expect_refused(read_as(DType::int32, "[1,null]"), ErrorCode::bad_message, "/data/1", "null");
  expect_refused(read_as(DType::int32, "[1,{\"a\":[1,{}]},2]"), ErrorCode::bad_message, "/data/1", "object");
  expect_refused(read_as(DType::int32, "{}"), ErrorCode::bad_message, "/data", "object");
  expect_refused(read("null"), ErrorCode::bad_message, "/data");
  expect_refused(read_as(DType::boolean, "[0,1,2]"), ErrorCode::value_out_of_range, "/data/2");
  expect_refused(read_as(DType::boolean, "[\"true\"]"), ErrorCode::bad_message, "/data/0");
  expect_refused(read_as(DType::string, "[\"a\",1]"), ErrorCode::bad_message, "/data/1");
  for (const char* text :
       {"abc", "", " 1", "1 ", "+1", "0x10", "1_000", "1,5", "nan", "inf", "1+2j", "½", ".5", "1."}) {
    expect_refused(read_as(DType::float64, "[1.0, \"" + std::string(text) + "\"]"), ErrorCode::bad_message, "/data/1",
                   "is no number");
  }
}

TEST(ListValues, TheFirstOffenderCountsWhateverFollows) {
  expect_refused(read_as(DType::int8, "[1,200,null,[],{\"a\":1},\"x\"]"), ErrorCode::value_out_of_range, "/data/1");
  expect_refused(read("[1,{},1e400]"), ErrorCode::bad_message, "/data/1");
}

TEST(ListValues, BooleansAreTrueFalseOneAndZero) {
  EXPECT_EQ(read_as(DType::boolean, "[true,false,1,0,\"1\",1.0,-0]").bytes,
            (std::vector<std::byte>{std::byte{1}, std::byte{0}, std::byte{1}, std::byte{0}, std::byte{1}, std::byte{1},
                                    std::byte{0}}));
}

TEST(ListValues, NonFiniteFloatsAreBareOrQuoted) {
  for (const DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64, DType::float8_e5m2}) {
    const Outcome bare = read_as(dtype, "[NaN,Infinity,-Infinity]");
    EXPECT_TRUE(bare.ok()) << bare.message;
    EXPECT_EQ(bare.bytes, read_as(dtype, "[\"NaN\",\"Infinity\",\"-Infinity\"]").bytes);
  }
  const auto found = values<float>(read_as(DType::float32, "[NaN,Infinity,-Infinity]"));
  EXPECT_TRUE(std::isnan(found[0]));
  EXPECT_EQ(found[1], std::numeric_limits<float>::infinity());
  EXPECT_EQ(found[2], -std::numeric_limits<float>::infinity());
}

TEST(ListValues, ComplexNumbersAreThePairsOfTheLastAxis) {
  using Complex = std::complex<float>;
  const Outcome pairs = read_as(DType::complex64, "[[1,2],[\"3\",NaN]]");
  EXPECT_EQ(pairs.shape, Shape{2});
  EXPECT_EQ(values<Complex>(pairs)[0], Complex(1, 2));
  EXPECT_EQ(read_as(DType::complex64, "[1,2]").shape, Shape{});
  EXPECT_EQ(read_as(DType::complex128, "[1,2,3,4]", Shape{2}).shape, Shape{2});
  EXPECT_EQ(read_as(DType::complex128, "[[1,2],[3,4]]", Shape{2}).shape, Shape{2});
  EXPECT_EQ(read_as(DType::complex128, "[[1,2],[3,4]]", (Shape{2, 1})).shape, (Shape{2, 1}));
  EXPECT_EQ(read_as(DType::complex64, "[]").shape, Shape{0});
  EXPECT_EQ(read_as(DType::complex64, "[[],[]]").shape, (Shape{2, 0}));
  expect_refused(read_as(DType::complex64, "[1,2,3,4]"), ErrorCode::bad_shape, "/data", "[re, im]");
  expect_refused(read_as(DType::complex64, "1"), ErrorCode::bad_shape, "/data");
  expect_refused(read_as(DType::complex64, "[1,2,3]", Shape{2}), ErrorCode::size_mismatch, "/data", "needs 4");
  expect_refused(read_as(DType::complex64, "[[1,1e39]]"), ErrorCode::value_out_of_range, "/data/0/1", "complex128");
}

TEST(ListValues, StringsDecodeEveryEscape) {
  const Outcome outcome =
      read_as(DType::string, R"(["a\"\\\/\b\f\n\r\t","\u0041\u00e9\u20AC\uD83D\ude00","é€😀","7",""])");
  EXPECT_EQ(outcome.strings, (std::vector<std::string>{"a\"\\/\b\f\n\r\t", "Aé€😀", "é€😀", "7", ""}));
  EXPECT_EQ(values<std::int32_t>(read_as(DType::int32, R"(["\u0031\u0032"])")), std::vector<std::int32_t>{12});
}

TEST(ListSyntax, WhatIsNoJsonIsSyntax) {
  for (const std::string text : {"[",
                                 "[1",
                                 "[1,",
                                 "[1 2]",
                                 "[,1]",
                                 "[1,]",
                                 "[01]",
                                 "[1.]",
                                 "[.5]",
                                 "[+1]",
                                 "[1e]",
                                 "[-]",
                                 "[--1]",
                                 "[0x1]",
                                 "[1f]",
                                 "[tru]",
                                 "[True]",
                                 "[nul]",
                                 "[NAN]",
                                 "[Inf]",
                                 "[-Inf]",
                                 "[-NaN]",
                                 "[+Infinity]",
                                 "[\"\\x\"]",
                                 "[\"\\u12g4\"]",
                                 "[\"\\ud800\"]",
                                 "[\"\\udc00\"]",
                                 "[\"\\ud800\\u0041\"]",
                                 "[\"\n\"]",
                                 "[\"\xC3\"]",
                                 "[\"\xFF\"]",
                                 "[\"\xED\xA0\x80\"]",
                                 "[\"\xC0\xAF\"]",
                                 "[\"\xF5\x80\x80\x80\"]",
                                 "[\x01]",
                                 "]",
                                 ",",
                                 "[[1]",
                                 "nan",
                                 "\xEF\xBB\xBF[1]",
                                 "[1/2]",
                                 "[1,/*2*/3]"}) {
    for (const bool known : {true, false}) {
      Options options;
      options.dtype = DType::float32;
      options.dtype_first = known;
      EXPECT_TRUE(read(text, options).syntax) << text;
    }
  }
}

TEST(ListSyntax, EndsAtItsOwnEnd) {
  EXPECT_EQ(read("[1] ]").consumed, 3U);
  EXPECT_EQ(read("12 ").consumed, 2U);
  EXPECT_EQ(read("12").consumed, 2U);
  EXPECT_EQ(read("1.5e3,").consumed, 5U);
  EXPECT_EQ(read("true,").consumed, 4U);
  EXPECT_EQ(read("\"a\",").consumed, 3U);
  EXPECT_EQ(read("012").consumed, 1U);  // the caller finds that "12" cannot stand there
}

TEST(ListLimits, NumbersAndStringsHaveAGreatestLength) {
  Options options;
  options.dtype = DType::float64;
  options.limits.max_number_chars = 10;
  EXPECT_TRUE(read("[0.12345678, \"0.12345678\"]", options).ok());
  expect_refused(read("[1, 0.123456789]", options), ErrorCode::value_out_of_range, "/data/1", "10 characters");
  expect_refused(read("[1, \"0.123456789\"]", options), ErrorCode::value_out_of_range, "/data/1");
  options.dtype = DType::string;
  options.limits.max_string = 4;
  EXPECT_TRUE(read("[\"1234\"]", options).ok());
  expect_refused(read("[\"12345\"]", options), ErrorCode::value_out_of_range, "/data/0", "4 bytes");
  options.dtype_first = false;
  expect_refused(read("[\"12345\"]", options), ErrorCode::value_out_of_range, "/data/0", "4 bytes");
  const std::string digits(100'000, '7');
  expect_refused(read_as(DType::int32, "[" + digits + "]"), ErrorCode::value_out_of_range, "/data/0");
}

TEST(ListLimits, MemoryIsChargedToTheBudget) {
  const auto budget = std::make_shared<MemoryBudget>(1U << 20);
  const auto pool = std::make_shared<BufferPool>(BufferPool::Options{}, budget);
  std::string numbers = "[1";
  std::string strings = "[\"\"";
  for (int i = 0; i < 300'000; ++i) {
    numbers += ",1";
    strings += ",\"\"";
  }
  for (const auto& [list, dtype] : {std::pair(numbers + "]", DType::int64), std::pair(strings + "]", DType::string)}) {
    ListReader reader(dtype, Limits{}, pool);
    EXPECT_EQ(reader.feed(list, list.size()).status, ListReader::Status::done);
    const auto refused = reader.finish(dtype, std::nullopt, "/data");
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(to_string(refused.error().code), "overloaded") << refused.error().message;
  }
  EXPECT_EQ(budget->used(), 0U);

  ListReader reader(DType::string, Limits{}, pool);
  EXPECT_EQ(reader.feed("[\"cat\"]", 0).status, ListReader::Status::done);
  {
    const auto labels = reader.finish(DType::string, std::nullopt, "/data");
    ASSERT_TRUE(labels.ok());
    EXPECT_GT(budget->used(), 0U);
  }
  EXPECT_EQ(budget->used(), 0U);
}

}  // namespace
}  // namespace tensorwire
