// The server: register handlers, start, and every tensor that any program sends to the port reaches them.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tensord/handler.hpp"
#include "tensord/options.hpp"

namespace tensord {

// Handlers are registered first, then it is started once; it cannot be started again. Every member may be called from
// any thread, but not from a handler where it says that it blocks.
class Server {
 public:
  // Throws std::invalid_argument with Options::validate()'s sentence.
  explicit Server(Options options = {});
  // stop() and wait(), and then waits for handlers that still run.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Registers a handler; one of the same name is replaced. Throws std::logic_error once the server was started.
  Server& handle(std::string name, Handler handler, HandlerOptions options = {});
  Server& handle(std::string name, AsyncHandler handler, HandlerOptions options = {});

  // Binds, listens and returns; connections are served from now on. `internal`, with the system's reason, when the
  // address cannot be had.
  [[nodiscard]] Result<void> start();
  // start() and wait(); throws std::runtime_error when it cannot start.
  void run();

  // The names of all registered handlers, sorted.
  [[nodiscard]] std::vector<std::string> handler_names() const;

  // The port that it listens on (0 before start()), and the address with it.
  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] std::string address() const;

  // Begins to stop, without blocking: no new connections, what was received whole is handled and answered, then
  // connections close; after drain_timeout they are cut.
  void stop();
  // Begins to stop at once: connections are cut, unanswered messages are lost.
  void stop_now();
  // Blocks until it has stopped; true when everything received was answered, false when connections had to be cut.
  bool wait();
  // The same for at most that long; false when it has not stopped by then.
  [[nodiscard]] bool wait_for(std::chrono::milliseconds time);
  // Handler threads that are still inside a handler (after wait(): handlers that ignored cancelled()).
  [[nodiscard]] std::size_t busy_handlers() const;

  // What the `info` handler answers: version, limits, handlers, dtypes, uptime and counters.
  [[nodiscard]] Json info() const;
  // The counters alone: connections, messages, bytes, errors by code, and what was refused, dropped or cut.
  [[nodiscard]] Json counters() const;
  // Those that are not zero, as one line for a log.
  [[nodiscard]] std::string counters_line() const;
  [[nodiscard]] const Options& options() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Registers the daemon's own handlers: echo, stats, discard, save, record and info (common/PROTOCOL.md says what each
// does).
void add_builtin_handlers(Server& server);

// The version of this library, such as "0.1.0".
[[nodiscard]] std::string_view version() noexcept;

}  // namespace tensord
