// Adds up values and entries.
#include "footprint.hpp"

#include <string>

namespace tensord {
namespace {

using tensorwire::Json;

// What the allocator adds to a block.
constexpr std::uint64_t kBlock = 16;
// An entry of `tensors` with its name, its place and the smallest buffer.
constexpr std::uint64_t kItem = sizeof(tensorwire::Item) + 256;

std::uint64_t beyond(const std::string& text) noexcept { return text.capacity() > 15 ? text.capacity() + kBlock : 0; }

// Behind the value itself. As deep as the JSON is nested, which its limit bounds.
std::uint64_t behind(const Json& json) noexcept {
  std::uint64_t bytes = 0;
  if (const auto* const items = json.as_array()) {
    bytes += items->capacity() * sizeof(Json) + kBlock;
    for (const Json& item : *items) bytes += behind(item);
  } else if (const auto* const members = json.as_object()) {
    bytes += members->capacity() * sizeof(Json::Member) + kBlock;
    for (const auto& [name, value] : *members) bytes += beyond(name) + behind(value);
  } else if (const auto* const text = std::get_if<std::string>(&json.value())) {
    bytes += beyond(*text);
  }
  return bytes;
}

}  // namespace

std::uint64_t footprint(const tensorwire::Request& request) noexcept {
  std::uint64_t bytes = sizeof request + request.tensors.capacity() * kItem + behind(request.params);
  for (const tensorwire::Item& item : request.tensors) bytes += beyond(item.name);
  return bytes;
}

}  // namespace tensord
