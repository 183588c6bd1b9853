// A message's tensors and images as one record of a TFRecord file, for tf.data and every other reader of
// tf.train.Example.
#pragma once

#include <cstdint>
#include <span>

#include "tensorwire/buffer.hpp"
#include "tensorwire/error.hpp"
#include "tensorwire/message.hpp"

namespace tensorwire {

// The whole record, ready to be appended to a file: length, CRC, a serialised tf.train.Example, CRC
// (tensorflow/core/lib/io/record_writer.cc, tensorflow/core/example/example.proto). An entry named x gives the features
//   x         bytes_list   the elements as little-endian bytes in C order; a string tensor's strings one by one;
//                          an image's file as it came
//   x/dtype   bytes_list   the canonical dtype; of an image, that of its decoded pixels
//   x/shape   int64_list   likewise
//   x/format  bytes_list   images only: "png" or "jpeg"
// Entries without a name are named by their number, counted from 0. `bad_message` when two features would have one name
// or when the record exceeds the 2 GiB that protocol buffers allow, `overloaded` without memory.
[[nodiscard]] Result<Buffer> encode_tfrecord(std::span<const Item> items, BufferPool& pool = *BufferPool::shared());

// CRC-32C (Castagnoli), as in RFC 3720.
[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> bytes) noexcept;

}  // namespace tensorwire
