// TFRecord records: the literal bytes that protoc and TensorFlow's framing make of the same features, and what is
// refused.
#include "tensorwire/tfrecord.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace tensorwire {
namespace {

using std::string_literals::operator""s;

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

std::string text(std::span<const std::byte> data) { return {reinterpret_cast<const char*>(data.data()), data.size()}; }

template <class T>
Tensor tensor(std::vector<T> values, const Shape& shape) {
  return Tensor::copy_of(std::span<const T>(values), shape).value();
}

std::uint64_t little_endian(std::string_view data) {
  std::uint64_t value = 0;
  for (std::size_t i = data.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(data[i]);
  return value;
}

std::uint32_t masked(std::string_view data) {
  const std::uint32_t crc = crc32c(bytes(data));
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8U;
}

// The serialised example inside of a record whose framing is right.
std::string example_of(std::span<const Item> items) {
  const std::string record = text(encode_tfrecord(items).value().bytes());
  EXPECT_EQ(little_endian(record.substr(0, 8)), record.size() - 16);
  EXPECT_EQ(little_endian(record.substr(8, 4)), masked(record.substr(0, 8)));
  EXPECT_EQ(little_endian(record.substr(record.size() - 4)), masked(record.substr(12, record.size() - 16)));
  return record.substr(12, record.size() - 16);
}

TEST(Crc32c, HasTheValuesOfItsStandards) {
  EXPECT_EQ(crc32c(bytes("")), 0U);
  EXPECT_EQ(crc32c(bytes("123456789")), 0xE3069283U);
  EXPECT_EQ(crc32c(bytes(std::string(32, '\0'))), 0x8A9136AAU);  // RFC 3720, B.4
  EXPECT_EQ(crc32c(bytes(std::string(32, '\xFF'))), 0x62A8AB43U);
}

TEST(EncodeTfRecord, FramesAnEmptyExample) { EXPECT_EQ(example_of({}), "\x0a\x00"s); }

// protoc --deterministic_output --encode=tensorflow.Example
TEST(EncodeTfRecord, SerialisesAsProtocDoes) {
  std::vector<Item> items;
  items.emplace_back("x", tensor<std::int16_t>({1, -2}, {1, 2}));
  EXPECT_EQ(example_of(items),
            "\x0a\x38"
            "\x0a\x0d\x0a\x01x\x12\x08\x0a\x06\x0a\x04\x01\x00\xfe\xff"
            "\x0a\x14\x0a\x07x/dtype\x12\x09\x0a\x07\x0a\x05int16"
            "\x0a\x11\x0a\x07x/shape\x12\x06\x1a\x04\x0a\x02\x01\x02"s);
}

TEST(EncodeTfRecord, WritesStringsOneByOneAndNumbersTheNameless) {
  std::vector<Item> items;
  items.emplace_back(Tensor::of_strings({2}, {"cat", ""}).value());
  const std::string example = example_of(items);
  EXPECT_NE(example.find("\x0a\x01\x30\x12\x09\x0a\x07\x0a\x03"
                         "cat\x0a\x00"s),
            std::string::npos);
  EXPECT_NE(example.find("0/dtype\x12\x0a\x0a\x08\x0a\x06string"s), std::string::npos);
  EXPECT_NE(example.find("0/shape\x12\x05\x1a\x03\x0a\x01\x02"s), std::string::npos);
}

TEST(EncodeTfRecord, KeepsAnImagesFile) {
  const std::vector<std::uint8_t> pixels(6, 9);
  auto file = encode_image(TensorView(std::span<const std::uint8_t>(pixels), {2, 3}), ImageFormat::png).value();
  const std::string original = text(file.bytes());
  std::vector<Item> items;
  items.emplace_back("img", Image::open(std::move(file)).value());
  const std::string example = example_of(items);
  EXPECT_NE(example.find(original), std::string::npos);
  EXPECT_NE(example.find("img/format\x12\x07\x0a\x05\x0a\x03png"s), std::string::npos);
  EXPECT_NE(example.find("img/shape\x12\x07\x1a\x05\x0a\x03\x02\x03\x01"s), std::string::npos);
  EXPECT_NE(example.find("img/dtype\x12\x09\x0a\x07\x0a\x05uint8"s), std::string::npos);
}

TEST(EncodeTfRecord, WritesLargeTensorsAndLongDimensions) {
  std::vector<Item> items;
  items.emplace_back("big", tensor(std::vector<std::uint8_t>(300'000, 7), {300'000}));
  const std::string example = example_of(items);
  EXPECT_NE(example.find(std::string(300'000, '\x07')), std::string::npos);
  EXPECT_NE(example.find("big/shape\x12\x07\x1a\x05\x0a\x03\xe0\xa7\x12"s), std::string::npos);
}

TEST(EncodeTfRecord, RefusesNamesThatMeet) {
  std::vector<Item> same;
  same.emplace_back("a", tensor<float>({1}, {}));
  same.emplace_back("a", tensor<float>({1}, {}));
  EXPECT_EQ(encode_tfrecord(same).error().code, ErrorCode::bad_message);
  std::vector<Item> number;
  number.emplace_back(tensor<float>({1}, {}));
  number.emplace_back("0", tensor<float>({1}, {}));
  EXPECT_EQ(encode_tfrecord(number).error().message, "two entries would both be recorded as the feature \"0\"");
  std::vector<Item> suffix;
  suffix.emplace_back("a", tensor<float>({1}, {}));
  suffix.emplace_back("a/shape", tensor<float>({1}, {}));
  EXPECT_EQ(encode_tfrecord(suffix).error().code, ErrorCode::bad_message);
}

TEST(EncodeTfRecord, ChargesItsBudget) {
  const auto budget = std::make_shared<MemoryBudget>(1000);
  const auto pool = std::make_shared<BufferPool>(BufferPool::Options{}, budget);
  std::vector<Item> items;
  items.emplace_back("a", tensor(std::vector<std::uint8_t>(2000, 1), {2000}));
  EXPECT_EQ(encode_tfrecord(items, *pool).error().code, ErrorCode::overloaded);
}

}  // namespace
}  // namespace tensorwire
