// A list reads the same however it is cut, wherever its dtype stands, and as a whole-text JSON parser reads it.
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <cmath>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "list.hpp"
#include "list_reading.hpp"

namespace tensorwire {
namespace {

using list_reading::Options;
using list_reading::Outcome;
using list_reading::read;
using list_reading::values;

const std::vector<std::string> kTexts = {
    "[1, -2,3 ,4]",
    "-0.0",
    "12345678901234567890",
    "[[1.5e10, -2.25E-3],[\"NaN\", Infinity]]",
    "[-Infinity, NaN, \"-Infinity\"]",
    "[true,false , true]",
    "[\"a\\u00e9\\ud83d\\ude00\\n\", \"\xC3\xA9\xF0\x9F\x98\x80\", \"\"]",
    "[\"12\", \"\\u0031e2\", 3]",
    "[[],[]]",
    "[[1,2],[3]]",
    "[[1,2],[3,4,5]]",
    "[1,[2]]",
    "[1,{\"a\":[{}]},3]",
    "{\"a\":1}",
    "[null]",
    "[1,nul]",
    "[01]",
    "[1.]",
    "[1e]",
    "[-]",
    "[-Inf]",
    "[\"\\ud800x\"]",
    "[\"\xC3(\"]",
    "[\"\x01\"]",
    "[1,,2]",
    "[1 2]",
    "[0.1234567890123456789012345678901234567890123456789,1e400]",
    "[3000000000, 1.5]",
    "[0.12345678955316544, 1.9876543283462524, -0.00012345678, 255, 1e5, 0.5, 12.25, -3, 7.0, 1234567.5, 0.1, 0.2, "
    "0.3]",
    "[[1,2,3],[4,5,6],[7,8,9],[10,11,12],[13,14,15],[16,17,18],[19,20,21],[22,23,24],[25,26,27],[28,29,30],[31,32,33]]",
};

TEST(ListSplit, EveryCutInTwoGivesTheSame) {
  for (const std::string& text : kTexts) {
    for (const auto dtype : {std::optional<DType>(), std::optional(DType::float32), std::optional(DType::int32),
                             std::optional(DType::string), std::optional(DType::boolean)}) {
      Options options;
      options.dtype = dtype;
      const Outcome whole = read(text, options);
      for (const bool first : {true, false}) {
        options.dtype_first = first;
        for (std::size_t cut = 0; cut <= text.size(); ++cut) {
          options.piece = [cut](std::size_t at) { return at < cut ? cut - at : ~std::size_t{0}; };
          EXPECT_EQ(read(text, options), whole) << text << " cut at " << cut;
        }
        for (std::size_t length = 1; length <= 9; ++length) {
          options.piece = [length](std::size_t) { return length; };
          EXPECT_EQ(read(text, options), whole) << text << " in pieces of " << length;
        }
      }
    }
  }
}

// Numbers of all shapes, more than the inner loop looks ahead, cut at random.
class Generator {
 public:
  explicit Generator(std::uint64_t seed) : random_(seed) {}

  std::size_t below(std::size_t n) { return random_() % n; }

  std::string number(bool integers) {
    switch (below(integers ? 3 : 8)) {
      case 0:
        return std::to_string(static_cast<int>(below(256)));
      case 1:
        return std::to_string(static_cast<std::int32_t>(random_()));
      case 2:
        return std::to_string(-static_cast<int>(below(1000)));
      case 3:
        return std::to_string(static_cast<std::int32_t>(random_())) + "e" + std::to_string(below(5));
      case 4:
        return "0." + digits(1 + below(20));
      case 5:
        return "-" + std::to_string(below(1000)) + "." + digits(1 + below(10));
      case 6:
        return std::to_string(below(10)) + "." + digits(1 + below(18)) + "E-" + std::to_string(below(30));
      default:
        return "1" + digits(below(30));
    }
  }

  std::string blank() {
    static const std::vector<std::string> kBlanks = {"", "", "", " ", " ", "\n", "\t\r\n  "};
    return kBlanks[below(kBlanks.size())];
  }

  // A list of the given axes.
  std::string list(const std::vector<std::size_t>& axes, bool integers, std::size_t axis = 0) {
    if (axis == axes.size()) return number(integers);
    std::string text = "[" + blank();
    for (std::size_t i = 0; i < axes[axis]; ++i) {
      if (i != 0) text += "," + blank();
      text += list(axes, integers, axis + 1);
      text += blank();
    }
    return text + "]";
  }

  std::vector<std::size_t> axes() {
    std::vector<std::size_t> sizes(1 + below(3));
    for (std::size_t& size : sizes) size = 1 + below(sizes.size() == 1 ? 200 : 8);
    return sizes;
  }

 private:
  std::string digits(std::size_t n) {
    std::string text;
    for (std::size_t i = 0; i < n; ++i) text += static_cast<char>('0' + below(10));
    return text;
  }
  std::mt19937_64 random_;
};

// RapidJSON tells the structure; the values are strtod's, since its own "full precision" reads 0.0E-23 as -2e-193.
void flatten(const rapidjson::Value& value, std::vector<double>& numbers, std::vector<std::int64_t>& dims,
             std::size_t depth = 0) {
  if (!value.IsArray()) return numbers.push_back(std::strtod(value.GetString(), nullptr));
  if (dims.size() == depth) dims.push_back(value.Size());
  for (const auto& element : value.GetArray()) flatten(element, numbers, dims, depth + 1);
}

template <class T>
void expect_like_rapidjson(const std::string& text, const Options& options) {
  rapidjson::Document document;
  document.Parse<rapidjson::kParseNumbersAsStringsFlag>(text.data(), text.size());
  ASSERT_FALSE(document.HasParseError()) << text;
  std::vector<double> numbers;
  std::vector<std::int64_t> dims;
  flatten(document, numbers, dims);
  const Outcome outcome = read(text, options);
  ASSERT_TRUE(outcome.ok()) << outcome.message << " " << text;
  EXPECT_EQ(outcome.shape, *Shape::from(dims)) << text;
  const auto found = values<T>(outcome);
  ASSERT_EQ(found.size(), numbers.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i], static_cast<T>(numbers[i])) << i << " of " << text;
}

TEST(ListSplit, GeneratedListsReadAsRapidJsonReadsThem) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Generator generate(seed);
  for (int i = 0; i < 3'000; ++i) {
    const bool integers = i % 2 == 0;
    const std::string text = generate.list(generate.axes(), integers);
    Options options;
    options.dtype = integers ? DType::int32 : DType::float64;
    options.dtype_first = i % 3 != 0;
    if (i % 4 != 0) options.piece = [&](std::size_t) { return generate.below(200); };
    if (integers) {
      expect_like_rapidjson<std::int32_t>(text, options);
    } else {
      expect_like_rapidjson<double>(text, options);
    }
  }
}

// A text that was damaged somewhere is judged alike by every cut.
TEST(ListSplit, DamagedListsAreJudgedAlikeInAnyPieces) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Generator generate(seed);
  for (int i = 0; i < 5'000; ++i) {
    std::string text = generate.list(generate.axes(), i % 2 == 0);
    const std::size_t at = generate.below(text.size());
    static const std::string kDamage = "[]{}\",.eE+-0123456789 tfnNI\\u\x01\x80\xC3";
    if (i % 3 == 0) text.erase(at, 1 + generate.below(3));
    text.insert(std::min(at, text.size()), 1, kDamage[generate.below(kDamage.size())]);
    // Only what ends, and holds no object, whose skipping is the caller's.
    if (text.find_first_of("{\"") != std::string::npos) continue;
    text += "]]]]";
    Options options;
    if (i % 5 != 0) options.dtype = i % 2 == 0 ? DType::int32 : DType::float32;
    const Outcome whole = read(text, options);
    options.dtype_first = false;
    EXPECT_EQ(read(text, options), whole) << text;
    for (int round = 0; round < 4; ++round) {
      options.dtype_first = round % 2 == 0;
      options.piece = [&](std::size_t) { return generate.below(round < 2 ? 5 : 150); };
      EXPECT_EQ(read(text, options), whole) << text;
    }
  }
}

}  // namespace
}  // namespace tensorwire
