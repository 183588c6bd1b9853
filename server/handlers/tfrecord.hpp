// TFRecord framing and the few protocol-buffer fields of a tensorflow.Example, without TensorFlow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tensord::handlers {

// CRC-32C (Castagnoli), as in RFC 3720.
[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> bytes) noexcept;

// Appends one record: length, masked CRC of it, data, masked CRC of the data (little-endian;
// tensorflow/core/lib/io/record_writer.cc).
void append_record(std::string& out, std::string_view data);

// Builds a serialised tensorflow.Example: a map from names to lists.
class ExampleBuilder {
 public:
  void add_bytes(std::string_view name, std::span<const std::string_view> values);
  void add_bytes(std::string_view name, std::string_view value) { add_bytes(name, std::span(&value, 1)); }
  void add_integers(std::string_view name, std::span<const std::int64_t> values);
  [[nodiscard]] std::string finish() const;

 private:
  void add_feature(std::string_view name, std::string_view feature);
  std::string features_;
};

}  // namespace tensord::handlers
