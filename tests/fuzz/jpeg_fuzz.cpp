// Fuzzes JPEG decoding: two bytes of options, then a file.
#include "image_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < image_fuzz::kOptionBytes) return 0;
  const std::span<const std::byte> file = std::as_bytes(std::span(data, size)).subspan(image_fuzz::kOptionBytes);
  image_fuzz::decode(file, image_fuzz::options_of(data));
  return 0;
}
