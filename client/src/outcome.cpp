// The words of Failure.
#include "tensorclient/outcome.hpp"

namespace tensorclient {

std::string_view to_string(FailureKind kind) noexcept {
  switch (kind) {
    case FailureKind::invalid:
      return "invalid";
    case FailureKind::connect_failed:
      return "connect_failed";
    case FailureKind::disconnected:
      return "disconnected";
    case FailureKind::deadline_exceeded:
      return "deadline_exceeded";
    case FailureKind::protocol:
      return "protocol";
    case FailureKind::remote:
      return "remote";
    case FailureKind::cancelled:
      return "cancelled";
  }
  return "unknown";
}

std::string Failure::describe() const {
  std::string text;
  if (code) text.append(tensorwire::to_string(*code)).append(": ");
  text += message;
  if (!at.empty()) text.append(" (at ").append(at).append(")");
  return text;
}

Failure Failure::remote(tensorwire::Error error) {
  return {FailureKind::remote, std::move(error.message), Delivery::answered, error.code, std::move(error.at)};
}

Failure Failure::invalid(tensorwire::Error error) {
  return {FailureKind::invalid, std::move(error.message), Delivery::not_sent, error.code, std::move(error.at)};
}

Failure Failure::invalid(std::string message) {
  return {FailureKind::invalid, std::move(message), Delivery::not_sent, std::nullopt, {}};
}

}  // namespace tensorclient
