// Protocol-buffer wire format: a key (field number, type), then a length and the bytes.
#include "handlers/tfrecord.hpp"

#include <array>

namespace tensord::handlers {
namespace {

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1U) != 0 ? crc >> 1U ^ 0x82F63B78U : crc >> 1U;
    table[i] = crc;
  }
  return table;
}
constexpr auto kTable = make_table();

std::uint32_t masked_crc(std::string_view bytes) noexcept {
  const std::uint32_t crc = crc32c(std::as_bytes(std::span(bytes)));
  return (crc >> 15U | crc << 17U) + 0xA282EAD8U;
}

template <class Integer>
void append_little_endian(std::string& out, Integer value) {
  for (std::size_t i = 0; i < sizeof value; ++i) out += static_cast<char>(value >> (8 * i) & 0xFFU);
}

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7U) out += static_cast<char>((value & 0x7FU) | 0x80U);
  out += static_cast<char>(value);
}

// A field with a length: strings, messages and packed numbers.
void append_field(std::string& out, unsigned number, std::string_view bytes) {
  append_varint(out, number << 3U | 2U);
  append_varint(out, bytes.size());
  out += bytes;
}

// Field numbers of tensorflow/core/example/{example,feature}.proto.
constexpr unsigned kExampleFeatures = 1;
constexpr unsigned kFeaturesFeature = 1;
constexpr unsigned kMapKey = 1;
constexpr unsigned kMapValue = 2;
constexpr unsigned kFeatureBytesList = 1;
constexpr unsigned kFeatureInt64List = 3;
constexpr unsigned kListValue = 1;

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes) noexcept {
  std::uint32_t crc = 0xFFFF'FFFFU;
  for (const std::byte byte : bytes) crc = crc >> 8U ^ kTable[(crc ^ static_cast<std::uint32_t>(byte)) & 0xFFU];
  return ~crc;
}

void append_record(std::string& out, std::string_view data) {
  const std::size_t begin = out.size();
  append_little_endian(out, std::uint64_t{data.size()});
  append_little_endian(out, masked_crc(std::string_view(out).substr(begin)));
  out += data;
  append_little_endian(out, masked_crc(data));
}

void ExampleBuilder::add_bytes(std::string_view name, std::span<const std::string_view> values) {
  std::string list;
  for (const std::string_view value : values) append_field(list, kListValue, value);
  std::string feature;
  append_field(feature, kFeatureBytesList, list);
  add_feature(name, feature);
}

void ExampleBuilder::add_integers(std::string_view name, std::span<const std::int64_t> values) {
  std::string packed;
  for (const std::int64_t value : values) append_varint(packed, static_cast<std::uint64_t>(value));
  std::string list;
  append_field(list, kListValue, packed);
  std::string feature;
  append_field(feature, kFeatureInt64List, list);
  add_feature(name, feature);
}

void ExampleBuilder::add_feature(std::string_view name, std::string_view feature) {
  std::string entry;
  append_field(entry, kMapKey, name);
  append_field(entry, kMapValue, feature);
  append_field(features_, kFeaturesFeature, entry);
}

std::string ExampleBuilder::finish() const {
  std::string example;
  append_field(example, kExampleFeatures, features_);
  return example;
}

}  // namespace tensord::handlers
