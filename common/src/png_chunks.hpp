// The chunk structure of a PNG file, checked against the bytes that are there before libpng sees one of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tensorwire/error.hpp"

namespace tensorwire::png {

struct Header {
  std::uint32_t width;
  std::uint32_t height;
};

// Walks all chunks up to IEND. libpng believes a chunk's length and makes room for it before it reads the data; after
// this walk no length exceeds the file. `bad_image` when the file is cut, or has no IHDR in front or no IEND.
[[nodiscard]] Result<Header> check_chunks(std::span<const std::byte> file);

}  // namespace tensorwire::png
