// JSON values: what is refused and where, what text comes out, and that neither way follows the nesting on the stack.
#include "tensorwire/json.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>

namespace tensorwire {
namespace {

constexpr std::int64_t kMinInt = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMaxInt = std::numeric_limits<std::int64_t>::max();
constexpr std::uint64_t kMaxUint = std::numeric_limits<std::uint64_t>::max();

Json read(std::string_view text) { return Json::parse(text).value(); }

std::string rewrite(std::string_view text) { return read(text).dump(); }

void expect_refused(std::string_view text, ErrorCode code = ErrorCode::bad_json) {
  const auto parsed = Json::parse(text);
  ASSERT_FALSE(parsed.ok()) << text;
  EXPECT_EQ(parsed.error().code, code) << text << ": " << parsed.error().message;
}

std::string nested(std::size_t depth, const std::string& open, const std::string& inner, const std::string& close) {
  std::string text;
  for (std::size_t i = 0; i < depth; ++i) text += open;
  text += inner;
  for (std::size_t i = 0; i < depth; ++i) text += close;
  return text;
}

TEST(JsonParse, ReadsEveryKindOfValue) {
  const Json value = read(R"( {"a": [1, -2, 3.5, true, false, null, "x\n\u00e9"], "b": {}} )");
  ASSERT_TRUE(value.is_object());
  const auto& items = *value.find("a")->as_array();
  EXPECT_EQ(items[0].as_int(), 1);
  EXPECT_EQ(items[1].as_int(), -2);
  EXPECT_EQ(items[2].as_double(), 3.5);
  EXPECT_EQ(items[3].as_bool(), true);
  EXPECT_EQ(items[4].as_bool(), false);
  EXPECT_TRUE(items[5].is_null());
  EXPECT_EQ(items[6].as_string(), "x\n\u00e9");
  EXPECT_TRUE(value.find("b")->as_object()->empty());
  EXPECT_EQ(value.find("c"), nullptr);
  EXPECT_EQ(items[0].find("a"), nullptr);
}

TEST(JsonParse, KeepsIntegersExactOverBothRanges) {
  EXPECT_EQ(read("-9223372036854775808").as_int(), kMinInt);
  EXPECT_EQ(read("9223372036854775807").as_int(), kMaxInt);
  EXPECT_EQ(read("9223372036854775808").as_int(), std::nullopt);
  EXPECT_EQ(read("9223372036854775808").as_uint(), 1ULL << 63);
  EXPECT_EQ(read("18446744073709551615").as_uint(), kMaxUint);
  EXPECT_EQ(read("18446744073709551616").as_uint(), std::nullopt);
  EXPECT_EQ(read("18446744073709551616").as_double(), 0x1p64);
  EXPECT_EQ(read("9007199254740993").as_int(), 9007199254740993);
  EXPECT_EQ(read("-0").as_int(), 0);
  EXPECT_EQ(read("-9223372036854775809").as_double(), -0x1p63);
  EXPECT_EQ(read("-9223372036854775809").value().index(), read("1.5").value().index());  // a double, not wrapped
}

TEST(JsonParse, RoundsFractionsToTheNearestDouble) {
  EXPECT_EQ(read("0.1").as_double(), 0.1);
  EXPECT_EQ(read("1e23").as_double(), 1e23);
  EXPECT_EQ(read("2.2250738585072011e-308").as_double(), 2.2250738585072011e-308);
  EXPECT_EQ(read("9007199254740993.0").as_double(), 9007199254740992.0);
  EXPECT_EQ(read("9007199254740993.00000000000000000001").as_double(), 9007199254740994.0);
  EXPECT_EQ(read("1e-400").as_double(), 0.0);
  EXPECT_EQ(read("0e140").as_double(), 0.0);
  EXPECT_EQ(read("0." + std::string(1000, '0') + "1").as_double(), 0.0);
  EXPECT_EQ(read("123456789012345678901234567890e-10").as_double(), 12345678901234567890.123456789);
}

TEST(JsonParse, RefusesWhatIsNoJson) {
  for (const auto* text : {"",
                           " ",
                           "{",
                           "[1,",
                           "[1,]",
                           "{\"a\":1,}",
                           "{\"a\" 1}",
                           "{a:1}",
                           "'a'",
                           "01",
                           "+1",
                           ".5",
                           "1.",
                           "1e",
                           "--1",
                           "0x10",
                           "tru",
                           "nul",
                           "NaN",
                           "Infinity",
                           "-Infinity",
                           "[1] 2",
                           "{} {}",
                           "1e400",
                           "-1e400",
                           "/* c */ 1",
                           "1 // c",
                           "\"a",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"a\nb\"",
                           "\"tab\there\"",
                           "\xEF\xBB\xBF{}",
                           "]",
                           "}",
                           ",",
                           ":",
                           "[1 2]",
                           "{\"a\":1 \"b\":2}",
                           "{1:2}"}) {
    expect_refused(text);
  }
}

TEST(JsonParse, RefusesNulBytesInsideAndBehind) {
  using std::string_view_literals::operator""sv;
  for (const auto text : {"1\0"sv, "{}\0{}"sv, "\"a\0b\""sv, "[\0]"sv, "\0"sv, "{\"a\":1}\0"sv}) expect_refused(text);
}

TEST(JsonParse, RefusesStringsThatAreNoUtf8) {
  for (const auto* bytes :
       {"\x80", "\xC0\xAF", "\xC1\xBF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x80\x80\xAF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xC3", "\xE2\x82", "\xF0\x9F\x98", "\xC3("}) {
    expect_refused('"' + std::string(bytes) + '"');
    expect_refused("{\"" + std::string(bytes) + "\":1}");
  }
}

TEST(JsonParse, RefusesLoneSurrogates) {
  for (const auto* text :
       {R"("\ud800")", R"("\udc00")", R"("\ud800\u0041")", R"("\udc00\ud800")", R"({"\udc00":1})", R"(["a\uDFFF"])"}) {
    expect_refused(text);
  }
  EXPECT_EQ(read(R"("\ud83d\ude00")").as_string(), "\xF0\x9F\x98\x80");
  EXPECT_EQ(read("\"\xED\x9F\xBF\"").as_string(), "\xED\x9F\xBF");  // U+D7FF, the last before the surrogates
}

TEST(JsonParse, SaysWhereTheTextIsWrong) {
  EXPECT_EQ(Json::parse("[1, x]").error().message, "no valid JSON at byte 4: Invalid value.");
  EXPECT_NE(Json::parse("\xEF\xBB\xBF{}").error().message.find("byte order mark"), std::string::npos);
}

TEST(JsonParse, RefusesDuplicatesAtEveryLevelWithTheirPlace) {
  const auto parsed = Json::parse(R"({"a": [0, {"x/y": 1, "~": {}, "x/y": 2}]})");
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().code, ErrorCode::bad_message);
  EXPECT_EQ(parsed.error().message, "the member \"x/y\" is given twice in one object");
  EXPECT_EQ(parsed.error().at, "/a/1/x~1y");
  EXPECT_EQ(Json::parse(R"({"a":1,"a":1})").error().at, "/a");
  EXPECT_EQ(Json::parse(R"({"a":1,"\u0061":1})").error().at, "/a");
  EXPECT_TRUE(Json::parse(R"([{"a":1},{"a":1}])").ok());
}

TEST(JsonParse, FindsDuplicatesAmongVeryManyMembers) {
  std::string text = "{";
  for (int i = 0; i < 100'000; ++i) text += "\"key" + std::to_string(i) + "\":0,";
  EXPECT_TRUE(Json::parse(text + "\"last\":0}").ok());
  EXPECT_EQ(Json::parse(text + "\"key77\":0}").error().at, "/key77");
}

TEST(JsonParse, CountsDepthAndStopsAtTheLimit) {
  EXPECT_TRUE(Json::parse(nested(64, "[", "", "]")).ok());
  EXPECT_TRUE(Json::parse(nested(64, "{\"a\":", "1", "}")).ok());
  const auto deep = Json::parse(nested(65, "[", "", "]"));
  ASSERT_FALSE(deep.ok());
  EXPECT_EQ(deep.error().code, ErrorCode::bad_json);
  EXPECT_EQ(deep.error().message, "the JSON is nested deeper than the limit of 64 levels");
  expect_refused(nested(1'000'000, "[", "", "]"));
  expect_refused(nested(1'000'000, "{\"a\":", "", ""));
  EXPECT_TRUE(Json::parse("5", 0).ok());
  EXPECT_FALSE(Json::parse("[]", 0).ok());
}

TEST(JsonDump, WritesEveryKindOfValue) {
  EXPECT_EQ(rewrite(R"( { "b" : [ 1 , -2.5 , true , null ] , "a" : { } } )"), R"({"b":[1,-2.5,true,null],"a":{}})");
  EXPECT_EQ(rewrite("[]"), "[]");
  EXPECT_EQ(rewrite("18446744073709551615"), "18446744073709551615");
  EXPECT_EQ(rewrite("-9223372036854775808"), "-9223372036854775808");
}

TEST(JsonDump, KeepsDoublesDoublesAndShort) {
  EXPECT_EQ(Json(1.0).dump(), "1.0");
  EXPECT_EQ(Json(-0.0).dump(), "-0.0");
  EXPECT_EQ(Json(0.1).dump(), "0.1");
  EXPECT_EQ(Json(1e22).dump(), "1e+22");
  EXPECT_EQ(Json(1e-7).dump(), "1e-07");
  EXPECT_EQ(Json(std::nan("")).dump(), "\"NaN\"");
  EXPECT_EQ(Json(INFINITY).dump(), "\"Infinity\"");
  EXPECT_EQ(Json(-INFINITY).dump(), "\"-Infinity\"");
}

TEST(JsonDump, DoublesReadBackBitForBit) {
  std::mt19937_64 random(20240607);
  for (int i = 0; i < 20'000; ++i) {
    const auto value = std::bit_cast<double>(random());
    if (!std::isfinite(value)) continue;
    const auto back = read(Json(value).dump()).as_double();
    ASSERT_EQ(std::bit_cast<std::uint64_t>(back.value()), std::bit_cast<std::uint64_t>(value)) << Json(value).dump();
  }
}

TEST(JsonDump, EscapesWhatJsonWantsEscaped) {
  EXPECT_EQ(Json("a\"b\\c/\b\f\n\r\t\x01\x1f\x7f").dump(), "\"a\\\"b\\\\c/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
  EXPECT_EQ(Json(std::string("\0", 1)).dump(), "\"\\u0000\"");
  EXPECT_EQ(Json("\u00e9\u20ac\U0001F600").dump(), "\"\u00e9\u20ac\U0001F600\"");
  EXPECT_EQ(Json::object({{"a\n", 1}}).dump(), "{\"a\\n\":1}");
}

TEST(JsonDump, MakesOfAnyBytesATextThatParses) {
  EXPECT_EQ(Json("a\xFFz").dump(), "\"a\uFFFDz\"");
  EXPECT_EQ(Json("\xC3").dump(), "\"\uFFFD\"");
  EXPECT_EQ(Json("\xED\xA0\x80").dump(), "\"\uFFFD\uFFFD\uFFFD\"");
  EXPECT_EQ(Json("\xF0\x9F\x98!").dump(), "\"\uFFFD\uFFFD\uFFFD!\"");
  std::mt19937_64 random(7);
  for (int i = 0; i < 5'000; ++i) {
    std::string bytes(random() % 24, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    ASSERT_TRUE(Json::parse(Json(bytes).dump()).ok());
  }
}

TEST(JsonDump, KeepsTheNestingOffTheStack) {
  Json value;
  for (int i = 0; i < 5'000; ++i) {
    Json outer;
    outer.push(std::move(value));
    value = std::move(outer);
  }
  EXPECT_EQ(value.dump(), nested(5'000, "[", "null", "]"));
}

TEST(JsonDump, AppendsToWhatIsThere) {
  std::string text = "x=";
  Json::array({1, "a"}).dump_to(text);
  EXPECT_EQ(text, "x=[1,\"a\"]");
}

TEST(JsonNumbers, ConvertOnlyWithoutLoss) {
  EXPECT_EQ(Json(3.0).as_int(), 3);
  EXPECT_EQ(Json(3.5).as_int(), std::nullopt);
  EXPECT_EQ(Json(0x1p63).as_int(), std::nullopt);
  EXPECT_EQ(Json(-0x1p63).as_int(), kMinInt);
  EXPECT_EQ(Json(0x1p63).as_uint(), 1ULL << 63);
  EXPECT_EQ(Json(0x1p64).as_uint(), std::nullopt);
  EXPECT_EQ(Json(-1).as_uint(), std::nullopt);
  EXPECT_EQ(Json(-1.0).as_uint(), std::nullopt);
  EXPECT_EQ(Json(std::nan("")).as_int(), std::nullopt);
  EXPECT_EQ(Json(INFINITY).as_uint(), std::nullopt);
  EXPECT_EQ(Json(kMaxUint).as_uint(), kMaxUint);
  EXPECT_EQ(Json(kMaxUint).as_int(), std::nullopt);
  EXPECT_EQ(Json(7).as_double(), 7.0);
  EXPECT_EQ(Json("7").as_int(), std::nullopt);
  EXPECT_EQ(Json(true).as_double(), std::nullopt);
  EXPECT_EQ(Json(1).as_bool(), std::nullopt);
}

TEST(JsonNumbers, AreHeldInOneFormSoThatEqualOnesCompareEqual) {
  EXPECT_EQ(Json(std::uint64_t{5}), Json(5));
  EXPECT_EQ(read("5"), Json(5));
  EXPECT_EQ(read("4000000000"), Json(std::int64_t{4'000'000'000}));
  EXPECT_FALSE(Json(5.0) == Json(5));
}

TEST(JsonValues, AreBuiltStepByStep) {
  Json object;
  object.set("a", 1).set("b", "x").set("a", 2);
  EXPECT_EQ(object.dump(), R"({"a":2,"b":"x"})");
  Json list;
  list.push(1);
  list.push(Json::object({{"k", nullptr}}));
  EXPECT_EQ(list.dump(), R"([1,{"k":null}])");
}

}  // namespace
}  // namespace tensorwire
