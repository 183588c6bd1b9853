// The error codes of the wire, the Error value that carries one, and Result<T>, which holds either a T or such an
// Error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "tensorwire/expected.hpp"

namespace tensorwire {

// The codes of an error reply; the table in common/PROTOCOL.md says when each is sent and what follows.
enum class ErrorCode : std::uint8_t {
  bad_frame,
  frame_too_large,
  bad_json,
  bad_message,
  bad_base64,
  bad_dtype,
  bad_shape,
  size_mismatch,
  value_out_of_range,
  bad_image,
  image_too_large,
  unknown_handler,
  handler_failed,
  timeout,
  overloaded,
  shutting_down,
  unauthorized,
  internal,
};
inline constexpr std::size_t kErrorCodeCount = 18;

// The code as it stands on the wire ("bad_frame", ...).
[[nodiscard]] std::string_view to_string(ErrorCode code) noexcept;
[[nodiscard]] std::optional<ErrorCode> parse_error_code(std::string_view text) noexcept;

class ErrorException;

// What went wrong: a code for programs, a sentence for people, and the place.
struct Error {
  using Exception = ErrorException;

  ErrorCode code = ErrorCode::internal;
  // One sentence: what was expected, what came, and the likeliest mistake where there is one.
  std::string message;
  // A JSON Pointer (RFC 6901) into the request, or empty when no single place is to blame.
  std::string at;
};

// An Error on its way through code that throws: handlers may throw it, and the sender gets its code and pointer.
class ErrorException : public std::runtime_error {
 public:
  explicit ErrorException(Error error) : std::runtime_error(error.message), error_(std::move(error)) {}
  [[nodiscard]] const Error& error() const noexcept { return error_; }

 private:
  Error error_;
};

// Either a T or an Error, and the ErrorException that value() throws suits handlers; library code asks ok() first.
template <class T>
using Result = Expected<T, Error>;

}  // namespace tensorwire
