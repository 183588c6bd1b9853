// The server's log: events go to a sink, those that senders can cause at will at a bounded rate.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "tensord/options.hpp"

namespace tensord {

// What senders can cause at will. Each kind may fill kBurst lines a second; what exceeds it is counted and told with
// the next line of that kind.
enum class Flood : std::uint8_t {
  connection,
  first_result,
  default_result,
  message_failed,
  unauthorized,
  protocol,
  cut,
  memory,
  accept
};

class Log {
 public:
  explicit Log(LogSink sink) : sink_(std::move(sink)) {}

  void write(LogLevel level, std::string_view event, std::string_view message) const noexcept;

  // True when a line of that kind may be written now: ask before composing it. `burst` lines a second.
  [[nodiscard]] bool permits(Flood kind, unsigned burst = kBurst) noexcept;
  // A line that was permitted; names how many were kept back before it.
  void write(Flood kind, LogLevel level, std::string_view event, std::string message) noexcept;

 private:
  static constexpr unsigned kBurst = 20;
  struct Bucket {
    std::chrono::steady_clock::time_point second_began{};
    unsigned written = 0;
    std::uint64_t suppressed = 0;
  };
  LogSink sink_;
  std::mutex mutex_;
  std::array<Bucket, 9> buckets_{};
};

// One line, whatever a sender put into it: control characters and bytes that are no UTF-8 as \xNN, at most `most`
// bytes.
[[nodiscard]] std::string printable(std::string_view text, std::size_t most = 300);

enum class LogFormat : std::uint8_t { text, json };
// A sink that writes a line per record to stderr: text for people, or one strict JSON object for programs.
[[nodiscard]] LogSink stderr_sink(LogLevel least, LogFormat format);

}  // namespace tensord
