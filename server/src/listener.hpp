// Accepts connections and hands them to the I/O threads, also when there are too many of them; between times it gives
// memory that nobody uses any more back to the system.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "core.hpp"
#include "io_thread.hpp"

namespace tensord {

// Runs on the first of the I/O threads.
class Listener : public std::enable_shared_from_this<Listener> {
 public:
  Listener(Core& core, std::vector<IoThread*> threads);

  // `internal` with the system's reason when the address cannot be bound.
  [[nodiscard]] Result<void> open(const Endpoint& wanted);
  void start();
  // Any thread. Takes what waits to be accepted, then closes; Core::session_ended is called then.
  void stop();
  [[nodiscard]] bool closed() const noexcept { return closed_; }
  [[nodiscard]] boost::asio::ip::tcp::endpoint endpoint() const { return endpoint_; }

 private:
  void await_connections();
  void pause();
  void keep_house();
  void await_housekeeping();
  bool accept_waiting(int most);
  void place(int accepted);
  void log_failure(int reason);
  boost::asio::awaitable<void> refuse(std::shared_ptr<Listener> self, boost::asio::ip::tcp::socket socket);

  Core& core_;
  const std::vector<IoThread*> threads_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer timer_;
  boost::asio::steady_timer housekeeping_;
  boost::asio::ip::tcp::endpoint endpoint_;
  std::size_t next_ = 0;
  std::size_t refusing_ = 0;     // connections that are being told so
  bool armed_ = false;           // something will call it again
  bool keeps_house_ = false;     // likewise, for the housekeeping
  unsigned looks_ = 0;           // of the housekeeping
  std::uint64_t most_used_ = 0;  // of the budget, since the heap was trimmed
  std::atomic<bool> closed_ = false;
};

}  // namespace tensord
