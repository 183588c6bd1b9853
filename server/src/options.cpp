// Reads sizes, durations and addresses, and refuses options that cannot work.
#include "tensord/options.hpp"

#include <arpa/inet.h>

#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <span>
#include <utility>

namespace tensord {
namespace {

using tensorwire::Error;
using tensorwire::ErrorCode;
using tensorwire::Result;

struct Unit {
  std::string_view name;
  double factor;
};

Error refuse(std::string sentence) { return Error{ErrorCode::bad_message, std::move(sentence), ""}; }

// A decimal number with a unit behind it, such as "1.5GiB"; none when there is no number or the unit is unknown.
std::optional<double> scaled(std::string_view text, std::span<const Unit> units) {
  double number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (failure != std::errc() || !std::isfinite(number) || number < 0) return std::nullopt;
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  for (const Unit& known : units) {
    if (unit == known.name) return number * known.factor;
  }
  return std::nullopt;
}

std::optional<in_addr> ipv4(const std::string& host) {
  in_addr address{};
  if (inet_pton(AF_INET, host.c_str(), &address) != 1) return std::nullopt;
  return address;
}

std::optional<in6_addr> ipv6(const std::string& host) {
  in6_addr address{};
  if (inet_pton(AF_INET6, host.c_str(), &address) != 1) return std::nullopt;
  return address;
}

bool positive(std::chrono::milliseconds time) { return time > std::chrono::milliseconds::zero(); }

Result<void> validate_access(const Options& options) {
  const Result<Endpoint> endpoint = parse_endpoint(options.listen);
  if (!endpoint.ok()) return refuse("--listen: " + endpoint.error().message);
  if (!is_loopback(*endpoint) && options.token.empty() && !options.allow_unauthenticated_remote) {
    return refuse("--listen " + options.listen +
                  " lets other machines in: give --token-file FILE, or --allow-unauthenticated-remote if everyone who "
                  "reaches the port may run every handler");
  }
  return {};
}

Result<void> validate_save_dir(const Options& options) {
  if (options.save_dir.empty()) return {};
  std::error_code failure;
  if (!std::filesystem::is_directory(options.save_dir, failure)) {
    return refuse("--save-dir: there is no folder \"" + options.save_dir + "\"; create it first");
  }
  return {};
}

Result<void> validate_sizes(const Options& options) {
  const tensorwire::Limits& limits = options.limits;
  if (limits.max_frame == 0 || limits.max_frame > tensorwire::kHardMaxFrame) {
    return refuse("--max-frame must be from 1 byte to 1GiB, the most that a frame can be");
  }
  if (limits.max_pixels == 0) return refuse("--max-pixels must be at least 1");
  if (limits.max_depth < 4 || limits.max_depth > 1000) return refuse("--max-depth must be from 4 to 1000");
  if (limits.max_tensors == 0 || limits.max_tensors > 1'000'000) {
    return refuse("--max-tensors must be from 1 to 1000000");
  }
  if (options.in_flight == 0 || options.in_flight > 1024) return refuse("--in-flight must be from 1 to 1024");
  if (options.max_connections == 0) return refuse("--max-connections must be at least 1");
  if (options.memory != 0 && options.memory < (16U << 20)) {
    return refuse("--memory must be at least 16MiB (or 0 for a quarter of this machine's)");
  }
  return {};
}

Result<void> validate_threads(const Options& options) {
  if (options.io_threads > 256) return refuse("--io-threads must be at most 256 (0 chooses)");
  if (options.handler_threads > 4096) return refuse("--handler-threads must be at most 4096 (0 chooses)");
  if (options.spin.count() < 0 || options.spin > std::chrono::milliseconds(10)) {
    return refuse("--spin-us must be from 0 (sleep at once) to 10000");
  }
  return {};
}

Result<void> validate_times(const Options& options) {
  const std::array<std::pair<const char*, std::chrono::milliseconds>, 5> times = {{
      {"--read-timeout", options.read_timeout},
      {"--idle-timeout", options.idle_timeout},
      {"--handler-timeout", options.handler_timeout},
      {"--write-timeout", options.write_timeout},
      {"--drain-timeout", options.drain_timeout},
  }};
  for (const auto& [name, time] : times) {
    if (!positive(time)) return refuse(std::string(name) + " must be longer than 0; every wait has an end");
    if (time > std::chrono::hours(24 * 365)) return refuse(std::string(name) + " must be at most a year");
  }
  return {};
}

}  // namespace

Result<std::uint64_t> parse_bytes(std::string_view text) {
  static constexpr std::array<Unit, 8> kUnits = {{{"", 1},
                                                  {"B", 1},
                                                  {"KiB", 1024.0},
                                                  {"MiB", 1048576.0},
                                                  {"GiB", 1073741824.0},
                                                  {"KB", 1e3},
                                                  {"MB", 1e6},
                                                  {"GB", 1e9}}};
  const std::optional<double> bytes = scaled(text, kUnits);
  if (!bytes || *bytes > 1e18 || *bytes != std::floor(*bytes)) {
    return refuse("\"" + std::string(text) +
                  "\" is no size; write bytes, or a number with KiB, MiB or GiB (\"256MiB\")");
  }
  return static_cast<std::uint64_t>(*bytes);
}

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  static constexpr std::array<Unit, 5> kUnits = {{{"", 1e3}, {"ms", 1}, {"s", 1e3}, {"m", 6e4}, {"h", 3.6e6}}};
  const std::optional<double> milliseconds = scaled(text, kUnits);
  if (!milliseconds || *milliseconds > 1e15) {
    return refuse("\"" + std::string(text) +
                  "\" is no duration; write seconds, or a number with ms, s, m or h (\"10s\")");
  }
  return std::chrono::milliseconds(std::llround(std::ceil(*milliseconds)));
}

Result<Endpoint> parse_endpoint(std::string_view text) {
  const Error bad = refuse("\"" + std::string(text) +
                           "\" is no address to listen on; write 127.0.0.1:7733, [::1]:7733 or localhost:7733");
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return bad;
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (failure != std::errc() || end != digits.data() + digits.size()) return bad;
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  Endpoint endpoint{std::string(host), port};
  if (bracketed ? !ipv6(endpoint.host) : endpoint.host != "localhost" && !ipv4(endpoint.host)) return bad;
  return endpoint;
}

bool is_loopback(const Endpoint& endpoint) {
  if (endpoint.host == "localhost") return true;
  if (const auto v4 = ipv4(endpoint.host)) return (ntohl(v4->s_addr) >> 24U) == 127;
  const auto v6 = ipv6(endpoint.host);
  return v6 && IN6_IS_ADDR_LOOPBACK(&*v6);
}

Result<void> Options::validate() const {
  for (const auto& check : {validate_access, validate_save_dir, validate_sizes, validate_threads, validate_times}) {
    Result<void> verdict = check(*this);
    if (!verdict.ok()) return verdict;
  }
  if (default_handler.empty()) return refuse("--default-handler must name a handler");
  if (min_receive_rate == 0) return refuse("the minimal receive rate must be at least 1 byte a second");
  return {};
}

}  // namespace tensord
