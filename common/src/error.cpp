// The names of the error codes, both ways.
#include "tensorwire/error.hpp"

#include <algorithm>
#include <array>

namespace tensorwire {
namespace {

constexpr std::array<std::string_view, kErrorCodeCount> kNames = {
    "bad_frame",      "frame_too_large", "bad_json",           "bad_message",   "bad_base64",      "bad_dtype",
    "bad_shape",      "size_mismatch",   "value_out_of_range", "bad_image",     "image_too_large", "unknown_handler",
    "handler_failed", "timeout",         "overloaded",         "shutting_down", "unauthorized",    "internal",
};
static_assert(kNames[static_cast<std::size_t>(ErrorCode::internal)] == "internal");

}  // namespace

std::string_view to_string(ErrorCode code) noexcept {
  const auto index = static_cast<std::size_t>(code);
  return index < kNames.size() ? kNames[index] : kNames.back();
}

std::optional<ErrorCode> parse_error_code(std::string_view text) noexcept {
  const auto found = std::find(kNames.begin(), kNames.end(), text);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<ErrorCode>(found - kNames.begin());
}

}  // namespace tensorwire
