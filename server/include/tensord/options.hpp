// Everything that can be chosen about a server, each with its default and what follows from choosing otherwise.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "tensorwire/error.hpp"
#include "tensorwire/limits.hpp"
#include "tensorwire/spin.hpp"

namespace tensord {

enum class LogLevel : std::uint8_t { debug, info, warning, error, off };

// One event, for one line of a log.
struct LogRecord {
  LogLevel level;
  std::string_view event;    // a short constant name: "listening", "message_failed", ...
  std::string_view message;  // one line of text; bytes from senders in it are escaped
};
// Called from any of the server's threads, several at a time. What it throws is swallowed.
using LogSink = std::function<void(const LogRecord&)>;

struct Options {
  // --- where it listens ---
  // "127.0.0.1:7733", "[::1]:7733" or "localhost:7733"; port 0 takes a free one (Server::port() tells which). Addresses
  // other than loopback let other machines in, so they also want `token` or `allow_unauthenticated_remote`.
  std::string listen = "127.0.0.1:7733";
  // What the first message of every connection must carry as `auth`; empty asks nobody. It travels as plain text. A
  // connection that has not shown it is idle for six read timeouts at most.
  std::string token;
  // Listens beyond loopback without a token: everyone who reaches the port can then run every handler.
  bool allow_unauthenticated_remote = false;

  // --- what it runs ---
  // The handler of requests that name none.
  std::string default_handler = "stats";
  // The folder that `save` and `record` may write to; empty: both refuse. It must exist.
  std::string save_dir;
  // Threads that move bytes, base64 and JSON (0: one for each two cores, at most two). More than cores only adds
  // switches.
  unsigned io_threads = 0;
  // Threads that run handlers (0: as many as cores, at least two). As many handlers run at once, no more; blocking ones
  // want more threads.
  unsigned handler_threads = 0;
  // After a small message an I/O thread looks for the next one for so long before it sleeps, as long as that keeps
  // finding some: being woken takes longer than answering. 0 sleeps at once, which costs latency and saves CPU time.
  std::chrono::microseconds spin = tensorwire::kUsualSpin;

  // --- what one sender can cost ---
  // Per message; raising max_frame raises what one connection can hold (about 3/4 of it as a tensor).
  tensorwire::Limits limits;
  // Whole messages of one connection that are not answered yet; reading stops there and TCP pushes back. 1 gives up
  // receiving the next message while a handler runs.
  std::size_t in_flight = 2;
  // Open connections; one more is told `overloaded` and closed.
  std::size_t max_connections = 10'000;
  // Bytes that all connections together may hold in payloads, message texts, waiting requests and replies (0: a quarter
  // of the machine's memory). At 80 % new messages wait unread, above that senders take turns, and what does not fit is
  // refused as `overloaded`. Some kilobytes for each open connection come on top.
  std::uint64_t memory = 0;

  // --- how long it waits (each must be positive) ---
  // A started message without a byte of progress is cut; so is one that after twice this time has come at less than
  // min_receive_rate on average. Steady senders of large frames stay.
  std::chrono::milliseconds read_timeout{10'000};
  // Bytes a second.
  std::uint64_t min_receive_rate = 1024;
  // A connection with nothing sent, nothing running and nothing to send is closed.
  std::chrono::milliseconds idle_timeout{3'600'000};
  // The sender gets `timeout` and Request::cancelled() turns true; the handler's thread stays taken until it returns,
  // and its late reply is dropped. The time spent waiting for a free handler thread counts.
  std::chrono::milliseconds handler_timeout{60'000};
  // A peer that reads nothing while more than 1 MiB waits for it is cut.
  std::chrono::milliseconds write_timeout{10'000};
  // stop() gives received messages this long to be handled and answered; then connections are cut.
  std::chrono::milliseconds drain_timeout{10'000};

  // --- what it tells ---
  LogSink log;  // none: silent

  // The first thing wrong, as one sentence naming the option as the daemon spells it (--max-frame); nothing is clipped.
  [[nodiscard]] tensorwire::Result<void> validate() const;
};

// Bytes: "268435456", "256MiB", "1GiB", "64KiB", also KB/MB/GB (powers of 1000); `bad_message` otherwise.
[[nodiscard]] tensorwire::Result<std::uint64_t> parse_bytes(std::string_view text);
// "10s", "500ms", "2m", "1h" or plain seconds, "0.5" too; `bad_message` otherwise.
[[nodiscard]] tensorwire::Result<std::chrono::milliseconds> parse_duration(std::string_view text);

struct Endpoint {
  std::string host;  // without brackets
  std::uint16_t port = 0;
};
// "host:port" with a numeric IPv4 address, an IPv6 one in brackets, or "localhost"; `bad_message` otherwise.
[[nodiscard]] tensorwire::Result<Endpoint> parse_endpoint(std::string_view text);
// Whether only this machine can reach a socket bound to that address.
[[nodiscard]] bool is_loopback(const Endpoint& endpoint);

}  // namespace tensord
