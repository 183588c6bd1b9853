// Fuzzes PNG decoding: two bytes of options, then a file, decoded as it is and with its checksums put right.
#include <vector>

#include "image_fuzz.hpp"

namespace {

std::uint32_t crc_of(const std::byte* bytes, std::size_t length) {
  std::uint32_t crc = 0xffff'ffff;
  for (std::size_t i = 0; i < length; ++i) {
    crc ^= std::to_integer<std::uint32_t>(bytes[i]);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? 0xedb8'8320 ^ crc >> 1 : crc >> 1;
  }
  return ~crc;
}

std::size_t u32(const std::byte* bytes) {
  std::size_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | std::to_integer<std::size_t>(bytes[i]);
  return value;
}

// Otherwise the checksums would refuse nearly everything that a mutation makes.
void repair_checksums(std::vector<std::byte>& file) {
  std::size_t at = 8;
  while (at + 12 <= file.size() && u32(&file[at]) <= file.size() - at - 12) {
    const std::size_t length = u32(&file[at]);
    const std::uint32_t crc = crc_of(&file[at + 4], length + 4);
    for (unsigned i = 0; i < 4; ++i) file[at + 8 + length + i] = static_cast<std::byte>(crc >> (24 - 8 * i) & 255);
    at += 12 + length;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < image_fuzz::kOptionBytes) return 0;
  tensorwire::ImageOptions options = image_fuzz::options_of(data);
  options.scale = 1;
  const std::span<const std::byte> file = std::as_bytes(std::span(data, size)).subspan(image_fuzz::kOptionBytes);
  image_fuzz::decode(file, options);
  std::vector<std::byte> repaired(file.begin(), file.end());
  repair_checksums(repaired);
  image_fuzz::decode(repaired, options);
  return 0;
}
