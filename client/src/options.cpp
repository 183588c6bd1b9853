// Reads "HOST:PORT" and refuses options that make no sense.
#include "tensorclient/options.hpp"

#include <charconv>

namespace tensorclient {

namespace {

Failure bad_endpoint(std::string_view text) {
  return Failure::invalid("expected HOST:PORT such as 127.0.0.1:7733 or [::1]:7733, got '" + std::string(text) + "'");
}

Outcome<std::uint16_t> parse_port(std::string_view port, std::string_view whole) {
  std::uint16_t value = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), value);
  if (error != std::errc() || end != port.data() + port.size() || value == 0) {
    return Failure::invalid("'" + std::string(port) + "' in '" + std::string(whole) +
                            "' is no port: expected 1 to 65535");
  }
  return value;
}

}  // namespace

Outcome<Endpoint> Endpoint::parse(std::string_view text) {
  Endpoint endpoint;
  std::string_view host = text;
  std::string_view port;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos) return bad_endpoint(text);
    host = text.substr(1, close - 1);
    const std::string_view rest = text.substr(close + 1);
    if (host.empty() || (!rest.empty() && rest.front() != ':') || rest == ":") return bad_endpoint(text);
    port = rest.empty() ? rest : rest.substr(1);
  } else if (const auto colon = text.find(':'); colon != std::string_view::npos) {
    // More than one colon is an IPv6 address without its brackets: it has no room for a port.
    if (text.find(':', colon + 1) == std::string_view::npos) {
      host = text.substr(0, colon);
      port = text.substr(colon + 1);
      if (port.empty()) return bad_endpoint(text);
    }
  } else if (text.empty()) {
    return bad_endpoint(text);
  }
  if (!host.empty()) endpoint.host = std::string(host);
  if (port.empty()) return endpoint;
  auto number = parse_port(port, text);
  if (!number.ok()) return std::move(number).failure();
  endpoint.port = *number;
  return endpoint;
}

std::string Endpoint::to_string() const {
  const bool bare = host.find(':') == std::string::npos;
  std::string text = bare ? host : std::string(1, '[').append(host).append("]");
  return text.append(":").append(std::to_string(port));
}

Outcome<void> Options::check() const {
  const auto zero = std::chrono::milliseconds::zero();
  if (endpoint.host.empty()) return Failure::invalid("endpoint.host is empty: expected a name or an address");
  if (endpoint.port == 0) return Failure::invalid("endpoint.port is 0: expected the port that tensord listens on");
  if (connect_timeout <= zero) return Failure::invalid("connect_timeout must be longer than 0");
  if (timeout < zero) return Failure::invalid("timeout must not be negative (0 waits for ever)");
  if (window == 0) return Failure::invalid("window must be at least 1");
  if (spin.count() < 0 || spin > std::chrono::milliseconds(10)) {
    return Failure::invalid("spin must be from 0 (sleep at once) to 10 ms");
  }
  if (reconnect.retries < 0) return Failure::invalid("reconnect.retries must not be negative");
  if (reconnect.first <= zero || reconnect.most < reconnect.first) {
    return Failure::invalid("reconnect.first must be longer than 0 and reconnect.most no shorter than it");
  }
  if (dialect != tensorwire::Dialect::framed && dialect != tensorwire::Dialect::raw_json) {
    return Failure::invalid("dialect must be framed or raw_json");
  }
  return {};
}

}  // namespace tensorclient
