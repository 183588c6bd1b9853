// Writes tf.train.Example records in one pass: all sizes are known before the first byte is placed.
#include "tensorwire/tfrecord.hpp"

#include <algorithm>
#include <boost/crc.hpp>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace tensorwire {
namespace {

// Field numbers of example.proto and feature.proto.
constexpr unsigned kFeatures = 1;  // Example.features
constexpr unsigned kMapEntry = 1;  // Features.feature
constexpr unsigned kMapKey = 1;    // of a map entry
constexpr unsigned kMapValue = 2;
constexpr unsigned kBytesList = 1;  // Feature.bytes_list
constexpr unsigned kInt64List = 3;  // Feature.int64_list
constexpr unsigned kListValue = 1;  // BytesList.value, Int64List.value (packed)

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kCrcBytes = 4;
constexpr std::uint64_t kMaxExample = std::numeric_limits<std::int32_t>::max();

std::size_t varint_size(std::uint64_t value) noexcept {
  std::size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

// A field with a length: its key (one byte for all field numbers here), the length, so many bytes.
std::size_t field_size(std::size_t bytes) noexcept { return 1 + varint_size(bytes) + bytes; }

std::string varints(std::span<const std::int64_t> values) {
  std::string packed;
  for (const std::int64_t value : values) {
    auto rest = static_cast<std::uint64_t>(value);
    for (; rest >= 0x80; rest >>= 7) packed += static_cast<char>((rest & 0x7F) | 0x80);
    packed += static_cast<char>(rest);
  }
  return packed;
}

std::string_view text_of(std::span<const std::byte> bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// One feature; borrows what is large.
struct Feature {
  std::string name;
  unsigned list = kBytesList;           // the kind of list
  std::vector<std::string_view> bytes;  // the values of a bytes_list ...
  std::string packed;                   // ... or of an int64_list

  [[nodiscard]] std::size_t list_size() const noexcept {
    if (list == kInt64List) return packed.empty() ? 0 : field_size(packed.size());
    std::size_t size = 0;
    for (const auto value : bytes) size += field_size(value.size());
    return size;
  }
  [[nodiscard]] std::size_t entry_size() const noexcept {
    return field_size(name.size()) + field_size(field_size(list_size()));
  }
};

Feature bytes_feature(std::string name, std::string_view value) { return {std::move(name), kBytesList, {value}, {}}; }

Feature integers_feature(std::string name, std::span<const std::int64_t> values) {
  return {std::move(name), kInt64List, {}, varints(values)};
}

std::vector<std::string_view> elements_of(const Tensor& tensor) {
  if (tensor.dtype() != DType::string) return {text_of(tensor.bytes())};
  const auto strings = tensor.strings().value();
  return {strings.begin(), strings.end()};
}

void add_item(std::vector<Feature>& features, const Item& item, const std::string& name) {
  if (const Image* image = item.image()) {
    const ImageInfo& info = image->info();
    features.push_back(bytes_feature(name, text_of(image->file())));
    features.push_back(bytes_feature(name + "/dtype", to_string(info.dtype)));
    features.push_back(integers_feature(name + "/shape", info.shape.dims()));
    features.push_back(bytes_feature(name + "/format", to_string(info.format)));
    return;
  }
  const Tensor& tensor = **item.tensor();
  features.push_back({name, kBytesList, elements_of(tensor), {}});
  features.push_back(bytes_feature(name + "/dtype", to_string(tensor.dtype())));
  features.push_back(integers_feature(name + "/shape", tensor.shape().dims()));
}

// In the order of their names, as protocol buffers write a map when asked to be deterministic.
std::vector<Feature> features_of(std::span<const Item> items) {
  std::vector<Feature> features;
  for (std::size_t index = 0; index < items.size(); ++index) {
    add_item(features, items[index], items[index].name.empty() ? std::to_string(index) : items[index].name);
  }
  std::stable_sort(features.begin(), features.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return features;
}

// Places bytes one behind the other; the buffer has room for all of them.
class Cursor {
 public:
  explicit Cursor(std::byte* at) : at_(at) {}

  void put(std::string_view bytes) noexcept {
    if (!bytes.empty()) std::memcpy(at_, bytes.data(), bytes.size());
    at_ += bytes.size();
  }
  void put_varint(std::uint64_t value) noexcept {
    for (; value >= 0x80; value >>= 7) *at_++ = static_cast<std::byte>((value & 0x7F) | 0x80);
    *at_++ = static_cast<std::byte>(value);
  }
  void put_fixed(std::uint64_t value, std::size_t size) noexcept {
    for (std::size_t i = 0; i < size; ++i) *at_++ = static_cast<std::byte>(value >> (8 * i));
  }
  // The beginning of a field whose `size` bytes follow.
  void open_field(unsigned number, std::size_t size) noexcept {
    constexpr unsigned kLengthDelimited = 2;
    put_varint(number << 3 | kLengthDelimited);
    put_varint(size);
  }
  void put_field(unsigned number, std::string_view bytes) noexcept {
    open_field(number, bytes.size());
    put(bytes);
  }

 private:
  std::byte* at_;
};

void put_feature(Cursor& out, const Feature& feature) noexcept {
  const std::size_t list_size = feature.list_size();
  out.open_field(kMapEntry, feature.entry_size());
  out.put_field(kMapKey, feature.name);
  out.open_field(kMapValue, field_size(list_size));
  out.open_field(feature.list, list_size);
  if (!feature.packed.empty()) out.put_field(kListValue, feature.packed);
  for (const auto value : feature.bytes) out.put_field(kListValue, value);
}

std::uint32_t masked_crc(std::span<const std::byte> bytes) noexcept {
  const std::uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8U;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t crc32c_by_instruction(std::span<const std::byte> bytes) noexcept {
  std::uint64_t crc = 0xFFFF'FFFFU;
  std::size_t at = 0;
  for (; bytes.size() - at >= 8; at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    crc = _mm_crc32_u64(crc, word);
  }
  auto last = static_cast<std::uint32_t>(crc);
  for (; at < bytes.size(); ++at) last = _mm_crc32_u8(last, std::to_integer<unsigned char>(bytes[at]));
  return ~last;
}
#endif

Result<void> check(const std::vector<Feature>& features, std::uint64_t example_size) {
  const auto same = [](const auto& a, const auto& b) { return a.name == b.name; };
  const auto twice = std::adjacent_find(features.begin(), features.end(), same);
  if (twice != features.end()) {
    return Error{
        ErrorCode::bad_message, "two entries would both be recorded as the feature \"" + twice->name + "\"", {}};
  }
  if (example_size <= kMaxExample) return {};
  return Error{ErrorCode::bad_message,
               "the record would have " + std::to_string(example_size) + " bytes, at most " +
                   std::to_string(kMaxExample) + " are possible in a protocol buffer",
               {}};
}

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes) noexcept {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return crc32c_by_instruction(bytes);
#endif
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  return crc.checksum();
}

Result<Buffer> encode_tfrecord(std::span<const Item> items, BufferPool& pool) {
  const auto features = features_of(items);
  std::size_t features_size = 0;
  for (const auto& feature : features) features_size += field_size(feature.entry_size());
  const std::size_t example_size = field_size(features_size);
  auto checked = check(features, example_size);
  if (!checked.ok()) return std::move(checked).error();
  auto record = pool.allocate(kLengthBytes + kCrcBytes + example_size + kCrcBytes);
  if (!record.ok()) return record;

  std::byte* const start = record->data();
  Cursor head(start);
  head.put_fixed(example_size, kLengthBytes);
  head.put_fixed(masked_crc({start, kLengthBytes}), kCrcBytes);
  std::byte* const example = start + kLengthBytes + kCrcBytes;
  Cursor body(example);
  body.open_field(kFeatures, features_size);
  for (const auto& feature : features) put_feature(body, feature);
  body.put_fixed(masked_crc({example, example_size}), kCrcBytes);
  return record;
}

}  // namespace tensorwire
