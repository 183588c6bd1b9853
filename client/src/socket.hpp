// A TCP connection of the blocking client: plain system calls in the caller's thread, each with a deadline.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "tensorclient/options.hpp"
#include "tensorclient/outcome.hpp"

namespace tensorclient {

using Clock = std::chrono::steady_clock;

// Until when something may take, and the flag that ends it early. `at` empty: for ever.
struct Deadline {
  std::optional<Clock::time_point> at;
  const std::atomic<bool>* cancel = nullptr;

  [[nodiscard]] static Deadline in(std::chrono::milliseconds span, const std::atomic<bool>* cancel);
  [[nodiscard]] bool passed() const noexcept { return at && Clock::now() >= *at; }
  [[nodiscard]] bool cancelled() const noexcept { return cancel != nullptr && cancel->load(std::memory_order_relaxed); }
  // Milliseconds for poll(): the rest rounded up, cut to what lets the cancel flag be seen in time; -1 for ever.
  [[nodiscard]] int poll_timeout() const noexcept;
  // Whichever comes first.
  [[nodiscard]] Deadline or_in(std::chrono::milliseconds span) const;
};

// What a system call on the socket came to.
enum class Io { done, would_block, closed, broken, timed_out, cancelled };

struct IoResult {
  Io io = Io::done;
  std::size_t bytes = 0;
  int error = 0;  // errno with `broken`
};

class Socket {
 public:
  Socket() noexcept = default;
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() { close(); }

  // Tries every address that the endpoint's name stands for; TCP_NODELAY is set.
  [[nodiscard]] static Outcome<Socket> connect(const Endpoint& endpoint, const Deadline& deadline);

  [[nodiscard]] bool open() const noexcept { return fd_ >= 0; }
  void close() noexcept;
  void shutdown_send() noexcept;

  // Neither waits.
  [[nodiscard]] IoResult try_send(std::span<const char> data) noexcept;
  [[nodiscard]] IoResult try_receive(std::span<char> into) noexcept;
  // Waits for data until the deadline. Where the answer is near, this is a single system call.
  [[nodiscard]] IoResult receive(std::span<char> into, const Deadline& deadline) noexcept;
  // Whether data can be read, or (want_write) written, now; true as well when the connection has ended.
  [[nodiscard]] bool ready(bool want_read, bool want_write) const noexcept;
  // Waits until data can be read, or (want_write) written: done, timed_out or cancelled.
  [[nodiscard]] Io wait(bool want_read, bool want_write, const Deadline& deadline) noexcept;

 private:
  int fd_ = -1;
};

// "Connection refused", the system's words for an errno.
[[nodiscard]] std::string error_text(int error);

}  // namespace tensorclient
