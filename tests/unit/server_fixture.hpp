// A server in this process on a port of its own, and the handlers that tests steer by hand.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "raw_client.hpp"
#include "tensord/server.hpp"

namespace raw {

// Handlers wait in here until the test opens it.
class Gate {
 public:
  void open() {
    {
      const std::scoped_lock lock(mutex_);
      open_ = true;
    }
    changed_.notify_all();
  }
  // Blocks until open(); counts who came.
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  // Until n have come; false when patience is over.
  bool wait_for(int n) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [this, n] { return arrived_ >= n; });
  }
  int arrived() {
    const std::scoped_lock lock(mutex_);
    return arrived_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int arrived_ = 0;
};

// Adds a handler that waits in the gate, which has to outlive the server: TestServer server(options, gated("wait",
// gate)).
inline auto gated(const char* name, Gate& gate) {
  return [name, &gate](tensord::Server& server) {
    server.handle(name, [&gate](tensord::Request) -> tensord::Reply {
      gate.pass();
      return {};
    });
  };
}

// A request of four numbers to that handler; the id is JSON text.
inline std::string call(const std::string& handler, const std::string& id) {
  return tensor_json(",\"handler\":\"" + handler + "\",\"id\":" + id);
}

class LogLines {
 public:
  tensord::LogSink sink() {
    return [this](const tensord::LogRecord& record) {
      const std::scoped_lock lock(mutex_);
      lines_.emplace_back(std::string(record.event) + ": " + std::string(record.message));
    };
  }
  // How many lines hold that text.
  std::size_t count(const std::string& text) {
    const std::scoped_lock lock(mutex_);
    std::size_t found = 0;
    for (const std::string& line : lines_) found += line.find(text) != std::string::npos ? 1U : 0U;
    return found;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

// Starts with the built-in handlers and what `prepare` adds.
class TestServer {
 public:
  template <class Prepare>
  TestServer(tensord::Options options, const Prepare& prepare) : server_(with_free_port(std::move(options), log)) {
    tensord::add_builtin_handlers(server_);
    prepare(server_);
    const auto started = server_.start();
    EXPECT_TRUE(started.ok()) << (started.ok() ? "" : started.error().message);
  }
  explicit TestServer(tensord::Options options = {}) : TestServer(std::move(options), [](tensord::Server&) {}) {}

  [[nodiscard]] Client connect() const { return Client(server_.port()); }
  tensord::Server* operator->() { return &server_; }
  // A counter of `info`: "truncated", "errors.timeout".
  [[nodiscard]] std::uint64_t count(const std::string& name) const { return std::stoull(at(server_.counters(), name)); }

  LogLines log;

 private:
  static tensord::Options with_free_port(tensord::Options options, LogLines& log) {
    if (options.listen == tensord::Options().listen) options.listen = "127.0.0.1:0";
    if (!options.log) options.log = log.sink();
    return options;
  }
  tensord::Server server_;
};

}  // namespace raw
