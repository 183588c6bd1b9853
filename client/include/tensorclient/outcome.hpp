// What can go wrong on the client's side of the wire, and Outcome<T>, which holds either a T or such a Failure.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "tensorwire/error.hpp"
#include "tensorwire/expected.hpp"

namespace tensorclient {

enum class FailureKind : std::uint8_t {
  invalid,         // the call itself cannot be sent (bad options, a tensor that does not fit the wire, a full window)
  connect_failed,  // no connection could be made; nothing was sent
  disconnected,    // the connection broke; `delivery` says what that means for the request
  deadline_exceeded,  // no reply within the call's time
  protocol,           // the peer answered with something that is no reply to this request
  remote,             // the server answered with an error: `code`, `message` and `at` are its own
  cancelled,          // given up by this program
};
[[nodiscard]] std::string_view to_string(FailureKind kind) noexcept;  // "connect_failed", ...

// What is known about a request that got no good reply.
enum class Delivery : std::uint8_t {
  not_sent,  // the server cannot have acted on it: sending it again is safe
  unknown,   // it was sent, at least in part, and not acknowledged: the server may have acted on it
  answered,  // the server answered (with an error)
};

class FailureException;

struct Failure {
  using Exception = FailureException;

  FailureKind kind = FailureKind::invalid;
  // One sentence: what was tried, what happened, and the likeliest mistake where there is one.
  std::string message;
  Delivery delivery = Delivery::not_sent;
  // The wire's code: always with `remote`, and with others where the wire has a name for the cause.
  std::optional<tensorwire::ErrorCode> code;
  // A JSON Pointer into the request, or empty when no single place is to blame.
  std::string at;

  // "size_mismatch: shape [3,3] of float32 needs 36 bytes, got 72 (at /tensors/0/tensor)"
  [[nodiscard]] std::string describe() const;

  [[nodiscard]] static Failure remote(tensorwire::Error error);
  // A request that the wire's own code refuses to encode.
  [[nodiscard]] static Failure invalid(tensorwire::Error error);
  [[nodiscard]] static Failure invalid(std::string message);
};

// A Failure on its way through code that throws; what() is its describe().
class FailureException : public std::runtime_error {
 public:
  explicit FailureException(Failure failure) : std::runtime_error(failure.describe()), failure_(std::move(failure)) {}
  [[nodiscard]] const Failure& failure() const noexcept { return failure_; }

 private:
  Failure failure_;
};

// Either a T or a Failure; value() (and *, ->) throws FailureException where there is no T.
template <class T>
class [[nodiscard]] Outcome : public tensorwire::Expected<T, Failure> {
 public:
  using tensorwire::Expected<T, Failure>::Expected;

  // Only when !ok().
  [[nodiscard]] Failure& failure() & { return this->error(); }
  [[nodiscard]] const Failure& failure() const& { return this->error(); }
  [[nodiscard]] Failure failure() && { return std::move(*this).error(); }
};

}  // namespace tensorclient
