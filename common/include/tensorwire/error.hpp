// The error codes of the wire, the Error value that carries one, and Result<T>, which nobody can drop unread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

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

// What went wrong: a code for programs, a sentence for people, and the place.
struct Error {
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

// Either a T or an Error. value() throws ErrorException where there is none, which suits handlers;
// library code asks ok() first.
template <class T>
class [[nodiscard]] Result {
 public:
  // Implicit from both sides, so that `return tensor;` and `return Error{...};` both read well.
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  [[nodiscard]] T& value() & {
    require();
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] const T& value() const& {
    require();
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] T&& value() && {
    require();
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // Only when !ok().
  [[nodiscard]] Error& error() & { return *std::get_if<1>(&state_); }
  [[nodiscard]] const Error& error() const& { return *std::get_if<1>(&state_); }
  [[nodiscard]] Error&& error() && { return std::move(*std::get_if<1>(&state_)); }

 private:
  void require() const {
    if (!ok()) throw ErrorException(*std::get_if<1>(&state_));
  }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return ok(); }
  void value() const {
    if (error_) throw ErrorException(*error_);
  }
  [[nodiscard]] Error& error() & { return *error_; }
  [[nodiscard]] const Error& error() const& { return *error_; }
  [[nodiscard]] Error&& error() && { return std::move(*error_); }

 private:
  std::optional<Error> error_;
};

}  // namespace tensorwire
