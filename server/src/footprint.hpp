// What a request occupies besides its payloads' bytes, which are charged to the memory budget where they lie.
#pragma once

#include <cstdint>

#include "tensorwire/message.hpp"

namespace tensord {

// Bytes, estimated from above: a kilobyte of JSON can become forty of values, and of tensors with one element each.
[[nodiscard]] std::uint64_t footprint(const tensorwire::Request& request) noexcept;

}  // namespace tensord
