// One thread that moves bytes: its event loop, its hot buffers, its connections and the clock that watches them.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "core.hpp"

namespace tensord {

class Session;

class IoThread {
 public:
  // Every connection of a thread receives into the same 256 KiB, so that an idle connection owns no buffer and what the
  // decoder reads is still in the second-level cache. Sizes from 64 KiB to 1 MiB made no difference beyond
  // this machine's noise (tensorctl bench --handler discard -d 16777216 -P 4: 1.0 to 2.2 GB/s each).
  static constexpr std::size_t kReceiveBytes = 256U << 10;
  // Replies are rendered into pieces of this size and sent from there.
  static constexpr std::size_t kSendBytes = 128U << 10;

  explicit IoThread(Core& core);
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  // Any thread:
  void begin();   // the thread
  void drain();   // its connections end as soon as what they received is answered
  void abort();   // its connections are cut
  void finish();  // joins the thread; connections that are left are cut
  [[nodiscard]] boost::asio::io_context& context() noexcept { return context_; }
  void adopt(boost::asio::ip::tcp::socket socket);  // a new connection, whose socket belongs to this context

  // Calls check soon on its thread, and again whenever an event was lost for want of memory: it sets up what it finds
  // missing, and may throw.
  void keep_going(std::function<void()> check);

  // Its own thread only:
  [[nodiscard]] std::span<char> receive_buffer() noexcept { return {receive_.get(), kReceiveBytes}; }
  [[nodiscard]] std::span<char> send_buffer() noexcept { return {send_.get(), kSendBytes}; }
  void remove(Session& session) noexcept;
  // Looks at all connections soon instead of at the next regular tick.
  void watch_closely();
  [[nodiscard]] bool draining() const noexcept { return draining_; }
  // A small message was answered: the next one may be near.
  void expect_more() noexcept { expects_more_ = true; }

 private:
  void loop() noexcept;
  void run();
  bool look_for_more();
  void recover();
  void add(const std::shared_ptr<Session>& session);
  void schedule_tick(std::chrono::milliseconds delay);
  void tick();
  template <class Visit>
  void for_each_session(const Visit& visit);

  Core& core_;
  std::unique_ptr<char[]> receive_;
  std::unique_ptr<char[]> send_;
  std::vector<Session*> sessions_;  // each owns itself through its coroutine
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;
  boost::asio::steady_timer timer_{context_};
  std::chrono::milliseconds period_;
  std::function<void()> check_;
  bool ticking_ = false;
  bool watched_closely_ = false;
  bool draining_ = false;
  bool expects_more_ = false;
  tensorwire::Spin spin_;
  std::thread thread_;
};

}  // namespace tensord
