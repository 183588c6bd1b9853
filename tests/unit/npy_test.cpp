// .npy files that numpy wrote are read right, damaged and foreign ones are refused, and numpy's own header text is
// written.
#include "tensorwire/npy.hpp"

#include <gtest/gtest.h>

#include <complex>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace tensorwire {
namespace {

using std::string_literals::operator""s;

std::span<const std::byte> bytes(const std::string& text) { return std::as_bytes(std::span(text.data(), text.size())); }

// A file of the given version, padded as numpy pads it.
std::string file(const std::string& dict, const std::string& data, int version = 1) {
  const std::size_t prefix = version == 1 ? 10 : 12;
  std::string header = dict;
  header.append(63 - (prefix + dict.size()) % 64, ' ');
  header += '\n';
  std::string text = "\x93NUMPY"s + static_cast<char>(version) + '\0';
  for (std::size_t i = 0; i < prefix - 8; ++i) text += static_cast<char>(header.size() >> (8 * i));
  return text + header + data;
}

std::string dict(const std::string& descr, const std::string& shape, const std::string& fortran = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + fortran + ", 'shape': " + shape + ", }";
}

Tensor read(const std::string& text) { return read_npy(bytes(text)).value(); }

Error refusal(const std::string& text) {
  const auto tensor = read_npy(bytes(text));
  return tensor.ok() ? Error{ErrorCode::internal, "it was read", {}} : tensor.error();
}

template <class T>
std::vector<T> elements(const Tensor& tensor) {
  const auto values = tensor.as<T>().value();
  return {values.begin(), values.end()};
}

template <class T>
std::string raw(std::initializer_list<T> values) {
  std::string text;
  for (const T value : values) text.append(reinterpret_cast<const char*>(&value), sizeof value);
  return text;
}

// numpy.save(f, numpy.arange(6, dtype='<f4').reshape(2, 3))
const std::string kFloats =
    "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
    "                                                          \n"
    "\x00\x00\x00\x00\x00\x00\x80\x3f\x00\x00\x00\x40\x00\x00\x40\x40\x00\x00\x80\x40\x00\x00\xa0\x40"s;

// numpy.save(f, numpy.asfortranarray(numpy.arange(6, dtype='>i2').reshape(2, 3)))
const std::string kFortran =
    "\x93NUMPY\x01\x00\x76\x00{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }"
    "                                                           \n"
    "\x00\x00\x00\x03\x00\x01\x00\x04\x00\x02\x00\x05"s;

// numpy.save(f, numpy.array(1.5))
const std::string kScalar =
    "\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (), }"
    "                                                              \n"
    "\x00\x00\x00\x00\x00\x00\xf8\x3f"s;

// numpy.lib.format.write_array(f, numpy.array([1, 2], dtype='u1'), version=(2, 0)) and the same with (3, 0)
const std::string kVersion2 =
    "\x93NUMPY\x02\x00\x74\x00\x00\x00{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }"
    "                                                          \n"
    "\x01\x02"s;
const std::string kVersion3 =
    "\x93NUMPY\x03\x00\x74\x00\x00\x00{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }"
    "                                                          \n"
    "\x01\x02"s;

TEST(ReadNpy, ReadsWhatNumpyWrote) {
  const Tensor floats = read(kFloats);
  EXPECT_EQ(floats.shape(), Shape({2, 3}));
  EXPECT_EQ(elements<float>(floats), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  const Tensor scalar = read(kScalar);
  EXPECT_EQ(scalar.shape(), Shape());
  EXPECT_EQ(elements<double>(scalar), std::vector<double>{1.5});
  EXPECT_EQ(elements<std::uint8_t>(read(kVersion2)), (std::vector<std::uint8_t>{1, 2}));
  EXPECT_EQ(elements<std::uint8_t>(read(kVersion3)), (std::vector<std::uint8_t>{1, 2}));
}

TEST(ReadNpy, RearrangesFortranOrderAndSwapsBigEndian) {
  const Tensor tensor = read(kFortran);
  EXPECT_EQ(tensor.dtype(), DType::int16);
  EXPECT_EQ(tensor.shape(), Shape({2, 3}));
  EXPECT_EQ(elements<std::int16_t>(tensor), (std::vector<std::int16_t>{0, 1, 2, 3, 4, 5}));
}

TEST(ReadNpy, SwapsBothHalvesOfBigEndianComplexNumbers) {
  const std::string data = "\x3f\xf8\x00\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00\x00"s;
  EXPECT_EQ(elements<std::complex<double>>(read(file(dict(">c16", "(1,)"), data))),
            std::vector<std::complex<double>>{std::complex<double>(1.5, -2)});
}

TEST(ReadNpy, ReadsEveryDtypeOfNumpys) {
  const std::pair<const char*, DType> kinds[] = {
      {"|b1", DType::boolean}, {"?", DType::boolean},     {"|i1", DType::int8},       {"<i2", DType::int16},
      {"<i4", DType::int32},   {"<i8", DType::int64},     {"|u1", DType::uint8},      {">u2", DType::uint16},
      {"=u4", DType::uint32},  {"u8", DType::uint64},     {"<f2", DType::float16},    {">f4", DType::float32},
      {"f8", DType::float64},  {"<c8", DType::complex64}, {">c16", DType::complex128}};
  for (const auto& [descr, dtype] : kinds) {
    const Tensor tensor = read(file(dict(descr, "(2,)"), std::string(2 * itemsize(dtype), '\0')));
    EXPECT_EQ(tensor.dtype(), dtype) << descr;
    EXPECT_EQ(tensor.size(), 2) << descr;
  }
}

// Element by element, as the definition of Fortran order says.
template <class T>
void expect_transposed(const std::string& descr, const std::vector<std::int64_t>& dims) {
  std::size_t count = 1;
  std::string shape = "(";
  for (const auto dim : dims) {
    count *= static_cast<std::size_t>(dim);
    shape += std::to_string(dim) + ",";
  }
  std::string data(count * sizeof(T), '\0');
  for (std::size_t i = 0; i < count; ++i) {
    const T value(static_cast<typename T::value_type>(i % 251));
    std::memcpy(data.data() + i * sizeof(T), &value, sizeof value);
  }
  const Tensor tensor = read(file(dict(descr, shape + ")", "True"), data));
  const auto values = tensor.as<typename T::element>().value();
  std::vector<std::size_t> index(dims.size(), 0);
  for (std::size_t target = 0; target < count; ++target) {
    std::size_t source = 0;
    for (std::size_t axis = dims.size(); axis-- > 0;)
      source = source * static_cast<std::size_t>(dims[axis]) + index[axis];
    ASSERT_EQ(std::memcmp(&values[target], data.data() + source * sizeof(T), sizeof(T)), 0)
        << descr << " at " << target;
    for (std::size_t axis = dims.size(); axis-- > 0;) {
      if (++index[axis] < static_cast<std::size_t>(dims[axis])) break;
      index[axis] = 0;
    }
  }
}

template <class Element, class Value = Element>
struct Cell {
  using element = Element;
  using value_type = Value;
  explicit Cell(Value v) : value(v) {}
  Element value;
};

TEST(ReadNpy, RearrangesEveryRankAndItemsize) {
  for (const auto& dims : std::vector<std::vector<std::int64_t>>{
           {7}, {1, 1}, {5, 1}, {33, 65}, {100, 3}, {2, 3, 4}, {40, 1, 33}, {2, 3, 4, 5}, {3, 2, 1, 2, 2, 3}}) {
    expect_transposed<Cell<std::uint8_t>>("|u1", dims);
    expect_transposed<Cell<std::uint16_t>>("<u2", dims);
    expect_transposed<Cell<float>>("<f4", dims);
    expect_transposed<Cell<std::int64_t>>("<i8", dims);
    expect_transposed<Cell<std::complex<double>, double>>("<c16", dims);
  }
}

TEST(ReadNpy, ReadsEmptyArraysWhateverTheirOtherAxes) {
  EXPECT_EQ(read(file(dict("<f8", "(0,)"), "")).size(), 0);
  EXPECT_EQ(read(file(dict("<f8", "(3, 0)", "True"), "")).shape(), Shape({3, 0}));
  EXPECT_EQ(read(file(dict("<f8", "(9223372036854775807, 9223372036854775807, 0)"), "")).size(), 0);
}

TEST(ReadNpy, AllowsTheFreedomsThatNumpyAllows) {
  EXPECT_EQ(read(file("{\"shape\":(3L,),\"fortran_order\":False,\"descr\":\"|u1\"}", "abc")).size(), 3);
  EXPECT_EQ(read(file(dict("|u1", "(2,)"), "abc")).size(), 2);  // what follows the elements is not ours
  EXPECT_EQ(read(file(dict("|u1", "(1, 2)"), "ab")).shape(), Shape({1, 2}));
}

TEST(ReadNpy, RefusesPythonObjectsWithoutUnpickling) {
  const Error error = refusal(file(dict("|O", "(1,)"), "\x80\x03cnumpy.core.multiarray\n_reconstruct\n"s));
  EXPECT_EQ(error.code, ErrorCode::bad_dtype);
  EXPECT_EQ(
      error.message,
      "the .npy file with dtype \"|O\" holds Python objects, which would have to be unpickled; save a numeric array");
}

TEST(ReadNpy, RefusesDtypesThatNoTensorHas) {
  for (const auto* descr :
       {"<U2", "|S3", "<M8[s]", "<m8", "|V2", "<f16", "<c32", "<U8", "<I4", "float32", "<i3", "", "<"}) {
    EXPECT_EQ(refusal(file(dict(descr, "(1,)"), std::string(64, '\0'))).code, ErrorCode::bad_dtype) << descr;
  }
  EXPECT_EQ(refusal(file("{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (1,), }", "1234")).code,
            ErrorCode::bad_dtype);
  EXPECT_EQ(refusal(file("{'descr': ('<i4', (2,)), 'fortran_order': False, 'shape': (1,), }", "12345678")).code,
            ErrorCode::bad_dtype);
}

TEST(ReadNpy, RefusesDamagedHeaders) {
  const std::string good = dict("|u1", "(2,)");
  ASSERT_EQ(read(file(good, "ab")).size(), 2);
  for (const std::string& bad :
       std::vector<std::string>{"",
                                "{",
                                "{}",
                                "[]",
                                good.substr(0, good.size() - 1),
                                good + "x",
                                good + "{",
                                dict("|u1", "2"),
                                dict("|u1", "(2)"),
                                dict("|u1", "(-1,)"),
                                dict("|u1", "(2,,)"),
                                dict("|u1", "(2"),
                                dict("|u1", "(2 3)"),
                                dict("|u1", "(2.0,)"),
                                dict("|u1", "(9223372036854775808,)"),
                                dict("|u1", "(,)"),
                                dict("|u1", "(0x2,)"),
                                dict("|u1", "(None,)"),
                                dict("|u1", "(2,)", "0"),
                                dict("|u1", "(2,)", "Falsey"),
                                dict("|u1\\", "(2,)"),
                                "{'descr': '|u1', 'shape': (2,)}",
                                "{'descr': '|u1' 'fortran_order': False, 'shape': (2,)}",
                                "{'descr' '|u1', 'fortran_order': False, 'shape': (2,)}",
                                "{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (2,)}",
                                "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), 'extra': 1}",
                                "{'descr': u1}",
                                "{'descr': '|u1"}) {
    EXPECT_EQ(refusal(file(bad, "ab")).code, ErrorCode::bad_message) << bad;
  }
  EXPECT_EQ(refusal(file(good + '\0', "ab")).code, ErrorCode::bad_message);
}

TEST(ReadNpy, RefusesOtherFilesAndVersions) {
  EXPECT_EQ(refusal("").code, ErrorCode::bad_message);
  EXPECT_EQ(refusal("PK\x03\x04").message, "this is no valid .npy file: it does not begin with \\x93NUMPY");
  EXPECT_EQ(refusal("\x93NUMPY\x04\x00\x76\x00{}"s).message,
            "this is no valid .npy file: its version is 4, known are 1, 2 and 3");
  EXPECT_EQ(refusal("\x93NUMPY\x02\x00\xff\xff\xff\xff{}"s).code, ErrorCode::bad_message);
}

TEST(ReadNpy, EveryCutOfAFileIsRefused) {
  for (const std::string& whole : {kFloats, kFortran, kScalar, kVersion2}) {
    for (std::size_t length = 0; length < whole.size(); ++length) {
      const Error error = refusal(whole.substr(0, length));
      ASSERT_TRUE(error.code == ErrorCode::bad_message || error.code == ErrorCode::size_mismatch) << length;
    }
  }
  EXPECT_EQ(refusal(kFloats.substr(0, kFloats.size() - 1)).message,
            "the .npy file is cut short: shape [2,3] of float32 needs 24 bytes behind the header, got 23");
}

// The size is judged against the file before anything is allocated.
TEST(ReadNpy, RefusesShapesThatLie) {
  EXPECT_EQ(refusal(file(dict("<f8", "(4611686018427387904,)"), "")).code, ErrorCode::bad_shape);
  EXPECT_EQ(refusal(file(dict("<f8", "(4294967296, 4294967296)"), "")).code, ErrorCode::bad_shape);
  EXPECT_EQ(refusal(file(dict("|u1", "(1099511627776,)"), "ab")).code, ErrorCode::size_mismatch);
  std::string ones = "(";
  for (int i = 0; i < 33; ++i) ones += "1, ";
  EXPECT_EQ(refusal(file(dict("|u1", ones + ")"), "a")).code, ErrorCode::bad_shape);
}

TEST(ReadNpy, SurvivesAnyFlippedByte) {
  std::mt19937 random(11);
  for (int i = 0; i < 20'000; ++i) {
    std::string damaged = i % 2 == 0 ? kFloats : kFortran;
    damaged[random() % damaged.size()] = static_cast<char>(random());
    damaged[random() % damaged.size()] = static_cast<char>(random());
    const auto tensor = read_npy(bytes(damaged));
    if (!tensor.ok()) continue;
    ASSERT_EQ(tensor->shape().byte_count(tensor->dtype()).value(), tensor->bytes().size());
  }
}

TEST(NpyHeader, IsByteForByteNumpys) {
  EXPECT_EQ(npy_header(DType::float32, {2, 3}).value(), kFloats.substr(0, 128));
  EXPECT_EQ(npy_header(DType::float64, {}).value(), kScalar.substr(0, 128));
  EXPECT_EQ(npy_header(DType::uint8, {2}).value(), file(dict("|u1", "(2,)"), ""));
}

TEST(NpyHeader, ReadsBackForEveryDtypeAndRank) {
  for (const auto& entry : all_dtypes()) {
    if (entry.dtype == DType::string) continue;
    for (const Shape& shape : {Shape(), Shape({3}), Shape({2, 2}), Shape({0, 4})}) {
      const std::string header = npy_header(entry.dtype, shape).value();
      EXPECT_EQ(header.size() % 64, 0U);
      const Tensor tensor = read(header + std::string(shape.byte_count(entry.dtype).value(), '\0'));
      EXPECT_EQ(tensor.shape(), shape);
      EXPECT_EQ(itemsize(tensor.dtype()), entry.itemsize) << entry.name;
    }
  }
  EXPECT_EQ(read(npy_header(DType::bfloat16, {1}).value() + "ab").dtype(), DType::uint16);
  EXPECT_EQ(read(npy_header(DType::float8_e5m2, {1}).value() + "a").dtype(), DType::uint8);
  EXPECT_EQ(npy_header(DType::string, {1}).error().code, ErrorCode::bad_dtype);
}

TEST(NpyHeader, HasRoomForTheLongestShape) {
  const std::vector<std::int64_t> dims(kMaxRank, std::numeric_limits<std::int64_t>::max());
  const std::string header = npy_header(DType::complex128, Shape::from(dims).value()).value();
  EXPECT_EQ(header.size() % 64, 0U);
  EXPECT_EQ(refusal(header).code, ErrorCode::bad_shape);
}

}  // namespace
}  // namespace tensorwire
