// Every limit of the wire in one struct, each finite by default and each with its reason.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tensorwire {

// A frame can never be longer (1 GiB): it keeps the first byte of a framed connection at or below 0x40,
// apart from every letter and from '{'.
inline constexpr std::uint64_t kHardMaxFrame = 0x4000'0000;

// The most axes a tensor can have; numpy's own limit before 2.0.
inline constexpr std::size_t kMaxRank = 32;

struct Limits {
  // Bytes in one frame, or in one object of the raw-JSON dialect. A sender can make the receiver hold about 3/4 of it.
  std::uint64_t max_frame = 256ULL << 20;
  // Bytes of a message apart from its payloads (base64 strings and `data` lists): this part sits in memory as text.
  std::size_t max_skeleton = 1U << 20;
  // Nesting of arrays and objects, the request's own object being 1: bounds every stack that follows the nesting.
  std::size_t max_depth = 64;
  // Entries of `tensors`: each costs some hundred bytes whatever it carries.
  std::size_t max_tensors = 1024;
  // Characters of one number, or of one string that stands for a number, in a `data` list: it has to be held whole.
  std::size_t max_number_chars = 4096;
  // Bytes of one string in a `string` tensor.
  std::size_t max_string = 1U << 20;
  // width × height × channels of a decoded image: 100 million samples are a 33-megapixel colour photograph.
  std::uint64_t max_pixels = 100'000'000;
  // Scans of a progressive JPEG: each scan makes the decoder walk all coefficients again (a 230-byte file can ask for
  // 10,000).
  int max_jpeg_scans = 100;
  // Milliseconds that the decoding of one image may take.
  std::uint32_t max_image_ms = 10'000;
};

}  // namespace tensorwire
