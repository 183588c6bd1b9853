// One connection: bytes in, messages to their handlers in order, replies out, and every end that it can come to.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core.hpp"
#include "lane.hpp"
#include "memory_gate.hpp"
#include "outbox.hpp"
#include "tensorwire/reader.hpp"
#include "wakeup.hpp"

namespace tensord {

class IoThread;

// Lives on one I/O thread; only the lane's notification comes from elsewhere, by a post. Kept alive by its coroutine.
//
//   reading ──EOF, fatal message, drain──▶ settling (handlers and replies finish) ──▶ lingering ──▶ closed
//      └──────────────cut (timeouts, stop_now, reset)──────────────────────────────────────────────▶ closed
class Session final : public std::enable_shared_from_this<Session> {
 public:
  using Clock = std::chrono::steady_clock;

  Session(IoThread& io, Core& core, boost::asio::ip::tcp::socket socket, std::shared_ptr<OpenCount> open,
          std::uint64_t number);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void start();
  void drain();
  void cut();
  // Runs a step outside the coroutine; when it throws (no memory), nobody could tell what is left undone: cuts.
  template <class Step>
  void guarded(const Step& step) {
    try {
      step();
    } catch (...) {
      cut();
    }
  }
  // Everything that depends on time; true when it wants to be looked at again very soon.
  bool tick(Clock::time_point now);
  std::size_t index = 0;  // among its thread's sessions, for IoThread

 private:
  using Incoming = tensorwire::IncomingRequest;
  enum class End : std::uint8_t { none, eof, reset, fatal, drained };

  // session.cpp: the life of the connection
  boost::asio::awaitable<void> live();
  boost::asio::awaitable<void> read_all();
  boost::asio::awaitable<void> wait_until_readable();
  boost::asio::awaitable<bool> wait_for_room();
  boost::asio::awaitable<void> settle();
  boost::asio::awaitable<void> linger();
  boost::asio::awaitable<void> yield();
  bool drained();
  void close() noexcept;
  long receive_soon();
  long receive();
  void consume_kept();
  void input_ended(long result);

  // session_input.cpp: from bytes to handlers
  bool may_take_message() const;
  bool may_read(Clock::time_point now);
  bool has_memory(Clock::time_point now);
  std::size_t consume(std::string_view input);
  bool begin(std::string_view input);
  void refuse_http();
  void note_progress(bool completed, bool was_inside);
  void keep(std::string_view input);
  void on_message(Incoming incoming);
  void dispatch(Incoming& incoming, Ticket& ticket);
  [[nodiscard]] std::optional<Error> objection(Incoming& incoming, bool has_handler);
  void end_with_reply();
  bool permits_result_line();
  void run_here(const Handler& handler, Request&& request, Ticket& ticket);
  bool answer_small(Reply& reply, const Ticket& ticket);
  void answer_error(Error error, Ticket ticket);
  void hand_over(std::shared_ptr<Job> job);
  void refuse_late_input();

  // session_output.cpp: from outcomes to bytes, and the clock
  void collect();
  void deliver(Outcome&& outcome);
  void log_outcome(const Outcome& outcome);
  void flush();
  void await_writable();
  bool watch_input(Clock::time_point now);
  void watch_turn(Clock::time_point now);
  void watch_output(Clock::time_point now);
  void watch_idle(Clock::time_point now);
  void cut_because(Counters::Count& counter, const char* event, const std::string& why);
  [[nodiscard]] std::string name() const;

  const std::shared_ptr<OpenCount> open_;  // the last to go
  IoThread& io_;
  Core& core_;
  boost::asio::ip::tcp::socket socket_;
  const std::uint64_t number_;

  std::optional<tensorwire::MessageReader> reader_;  // from the first byte on
  std::shared_ptr<Lane> lane_;                       // from the first message on that a handler thread gets
  Outbox outbox_;
  tensorwire::MemoryCharge unread_replies_;  // while the peer does not read
  Wakeup wakeup_;
  tensorwire::Buffer kept_;  // received, but to be read later: the connection has enough in flight
  std::size_t kept_begin_ = 0;
  Turn turn_;
  tensorwire::Dialect dialect_ = tensorwire::Dialect::unknown;
  End end_ = End::none;
  std::size_t jobs_ = 0;  // in the lane
  bool authorized_;
  bool draining_ = false;
  bool dead_ = false;    // cut
  bool unread_ = false;  // nobody reads our replies any more, but messages may still come
  bool spoke_ = false;
  bool write_waiting_ = false;
  bool flush_posted_ = false;
  bool linger_ = false;
  bool waiting_for_memory_ = false;
  long drain_credit_ = 0;  // bytes that had arrived when draining began

  Clock::time_point now_;  // of the last event: saves asking the clock for each message
  Clock::time_point message_began_;
  Clock::time_point progress_;  // last byte of a message in progress
  Clock::time_point active_;    // last time that anything happened
  Clock::time_point write_progress_;
  Clock::time_point wait_began_;
  Clock::time_point linger_until_;
  Clock::time_point turn_checked_{};
  Clock::time_point no_turn_before_{};
  std::uint64_t turn_bytes_ = 0;
  std::uint64_t write_mark_ = 0;
};

}  // namespace tensord
