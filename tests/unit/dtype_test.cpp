// Every vocabulary of dtypes, in any letter case, and what is said to those that are unknown.
#include "tensorwire/dtype.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tensorwire {
namespace {

struct Spelling {
  const char* text;
  DType dtype;
};

std::string upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

void expect_reads(const std::string& text, DType dtype, bool big_endian = false) {
  const auto parsed = parse_dtype(text);
  ASSERT_TRUE(parsed.ok()) << text << ": " << parsed.error().message;
  EXPECT_EQ(parsed->dtype, dtype) << text;
  EXPECT_EQ(parsed->big_endian, big_endian) << text;
}

void expect_unknown(const std::string& text, const std::string& nearest) {
  const auto parsed = parse_dtype(text);
  ASSERT_FALSE(parsed.ok()) << text;
  EXPECT_EQ(parsed.error().code, ErrorCode::bad_dtype);
  EXPECT_EQ(parsed.error().message, "dtype \"" + text + "\" is unknown; did you mean " + nearest + "?");
}

constexpr Spelling kSpellings[] = {
    {"half", DType::float16},
    {"float", DType::float32},
    {"double", DType::float64},
    {"short", DType::int16},
    {"int", DType::int32},
    {"long", DType::int64},
    {"torch.half", DType::float16},
    {"torch.float", DType::float32},
    {"torch.double", DType::float64},
    {"torch.short", DType::int16},
    {"torch.int", DType::int32},
    {"torch.long", DType::int64},
    {"torch.cfloat", DType::complex64},
    {"torch.cdouble", DType::complex128},
    {"torch.bool", DType::boolean},
    {"torch.uint8", DType::uint8},
    {"torch.bfloat16", DType::bfloat16},
    {"torch.float8_e4m3fn", DType::float8_e4m3fn},
    {"torch.float8_e5m2", DType::float8_e5m2},
    {"tf.float32", DType::float32},
    {"tf.half", DType::float16},
    {"tf.string", DType::string},
    {"tf.bool", DType::boolean},
    {"tf.complex128", DType::complex128},
    {"<dtype: 'float32'>", DType::float32},
    {"dtype('int16')", DType::int16},
    {"<class 'numpy.uint8'>", DType::uint8},
    {"numpy.float64", DType::float64},
    {"np.int8", DType::int8},
    {"bool_", DType::boolean},
    {"float_", DType::float64},
    {"int_", DType::int64},
    {"complex_", DType::complex128},
    {"str_", DType::string},
    {"FP16", DType::float16},
    {"BF16", DType::bfloat16},
    {"FP32", DType::float32},
    {"FP64", DType::float64},
    {"INT8", DType::int8},
    {"INT64", DType::int64},
    {"UINT8", DType::uint8},
    {"UINT16", DType::uint16},
    {"UINT64", DType::uint64},
    {"BOOL", DType::boolean},
    {"BYTES", DType::string},
    {"TYPE_FP16", DType::float16},
    {"TYPE_BF16", DType::bfloat16},
    {"TYPE_FP32", DType::float32},
    {"TYPE_FP64", DType::float64},
    {"TYPE_INT32", DType::int32},
    {"TYPE_UINT8", DType::uint8},
    {"TYPE_BOOL", DType::boolean},
    {"TYPE_STRING", DType::string},
    {"DT_HALF", DType::float16},
    {"DT_BFLOAT16", DType::bfloat16},
    {"DT_FLOAT", DType::float32},
    {"DT_DOUBLE", DType::float64},
    {"DT_INT8", DType::int8},
    {"DT_INT64", DType::int64},
    {"DT_UINT32", DType::uint32},
    {"DT_BOOL", DType::boolean},
    {"DT_STRING", DType::string},
    {"DT_COMPLEX64", DType::complex64},
    {"DT_COMPLEX128", DType::complex128},
    {"DT_FLOAT8_E4M3FN", DType::float8_e4m3fn},
    {"DT_FLOAT8_E5M2", DType::float8_e5m2},
    {"F64", DType::float64},
    {"F32", DType::float32},
    {"F16", DType::float16},
    {"I64", DType::int64},
    {"I32", DType::int32},
    {"I16", DType::int16},
    {"U16", DType::uint16},
    {"U32", DType::uint32},
    {"U64", DType::uint64},
    {"F8_E4M3", DType::float8_e4m3fn},
    {"F8_E5M2", DType::float8_e5m2},
    {"C64", DType::complex64},
    {"f2", DType::float16},
    {"f4", DType::float32},
    {"f8", DType::float64},
    {"i1", DType::int8},
    {"i2", DType::int16},
    {"u4", DType::uint32},
    {"b1", DType::boolean},
    {"c8", DType::complex64},
    {"c16", DType::complex128},
    {"?", DType::boolean},
};

TEST(ParseDType, ReadsEveryVocabularyInAnyLetterCase) {
  for (const auto& [text, dtype] : kSpellings) {
    expect_reads(text, dtype);
    expect_reads(upper(text), dtype);
    expect_reads(lower(text), dtype);
  }
}

TEST(ParseDType, ReadsEveryCanonicalNameWithAndWithoutPrefix) {
  for (const auto& entry : all_dtypes()) {
    const std::string name(entry.name);
    for (const auto* prefix : {"", "torch.", "tf.", "DT_", "TYPE_", "numpy."}) expect_reads(prefix + name, entry.dtype);
    expect_reads(upper(name), entry.dtype);
  }
}

TEST(ParseDType, TellsSafetensorsFromNumpyByTheCaseOfTheTwoCodesTheyShare) {
  expect_reads("I8", DType::int8);
  expect_reads("i8", DType::int64);
  expect_reads("U8", DType::uint8);
  expect_reads("u8", DType::uint64);
}

TEST(ParseDType, ReadsNumpyTypestrsWithTheirByteOrder) {
  expect_reads("<f4", DType::float32);
  expect_reads("=f8", DType::float64);
  expect_reads("|u1", DType::uint8);
  expect_reads("|b1", DType::boolean);
  expect_reads("|?", DType::boolean);
  expect_reads("<I8", DType::int64);  // behind a byte order it can only be numpy's
  expect_reads(">i2", DType::int16, true);
  expect_reads(">f4", DType::float32, true);
  expect_reads(">u8", DType::uint64, true);
  expect_reads(">F8", DType::float64, true);
  expect_reads(">c16", DType::complex128, true);
  expect_reads(">u1", DType::uint8, false);  // one byte has no order
}

TEST(ParseDType, NamesTheNearestKnownOne) {
  expect_unknown("flaot32", "float32");
  expect_unknown("float23", "float32");
  expect_unknown("Int23", "int32");
  expect_unknown("torch.flot16", "torch.float16");
  expect_unknown("tf.bolo", "tf.bool");
  expect_unknown("uint", "uint8");
  expect_unknown("float8_e4m3", "float8_e4m3fn");
  expect_unknown("DT_FLOAT3", "DT_FLOAT32");
  expect_unknown("strign", "string");
  expect_unknown("", "int");
}

TEST(ParseDType, RefusesWhatOnlyLooksLikeOne) {
  for (const auto* text : {"<float32", ">torch.float32", "torch.<f4", "torch.f4", "torch.FP32", "<f16", "<U5", "|O",
                           "<", ">", "float32 ", " float32", "torch.", "f3", "<dtype: 'float32", "TYPE_", "DT_FP32"}) {
    EXPECT_FALSE(parse_dtype(text).ok()) << text;
  }
}

TEST(ParseDType, SaysWhatNumpysOtherTypestrsMean) {
  EXPECT_EQ(parse_dtype("<U8").error().message,
            "dtype \"<U8\" means numpy's unicode strings; send labels in `data`, with dtype string");
  EXPECT_EQ(parse_dtype("|O").error().message,
            "dtype \"|O\" means numpy's Python objects; convert the array to numbers first");
  for (const auto* text : {"|S3", "<M8[ns]", "<m8[s]", "|V2"}) {
    EXPECT_EQ(parse_dtype(text).error().code, ErrorCode::bad_dtype) << text;
    EXPECT_NE(parse_dtype(text).error().message.find("means numpy's"), std::string::npos) << text;
  }
}

TEST(ParseDType, RepeatsOnlyTheBeginningOfAnEndlessOne) {
  const auto parsed = parse_dtype(std::string(1'000'000, 'f'));
  ASSERT_FALSE(parsed.ok());
  EXPECT_LT(parsed.error().message.size(), 200U);
}

TEST(DTypes, KnowTheirSizes) {
  EXPECT_EQ(itemsize(DType::boolean), 1U);
  EXPECT_EQ(itemsize(DType::bfloat16), 2U);
  EXPECT_EQ(itemsize(DType::complex128), 16U);
  EXPECT_EQ(itemsize(DType::string), 0U);
  EXPECT_EQ(info(DType::complex64).swap_unit, 4U);
  EXPECT_EQ(info(DType::int64).kind, DTypeKind::signed_integer);
}

TEST(DTypes, AreVisitedWithTheirElementType) {
  for (const auto& entry : all_dtypes()) {
    if (entry.dtype == DType::string) continue;
    const auto [size, dtype] = visit_dtype(entry.dtype, []<class T>() { return std::pair(sizeof(T), dtype_of<T>); });
    EXPECT_EQ(size, entry.itemsize) << entry.name;
    EXPECT_EQ(dtype, entry.dtype) << entry.name;
  }
}

}  // namespace
}  // namespace tensorwire
