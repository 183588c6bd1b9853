// The state behind an AsyncClient: which calls wait, which were sent, and the one connection that they share.
#pragma once

#include <boost/asio/any_completion_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tensorclient/async_client.hpp"
#include "tensorwire/reader.hpp"
#include "tensorwire/writer.hpp"

namespace tensorclient::detail {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

// One call from its start to its completion.
//
//   queue_ ──gathered──▶ sent_ (or oneways_) ──answered──▶ done        any of them ──expired, cancelled, lost──▶ done
struct Op {
  explicit Op(Call given) : call(std::move(given)) {}

  Call call;
  tensorwire::RequestId id;
  ReplyHandler on_reply;  // one of the two
  SentHandler on_sent;
  // Keeps the handler's own context running until the handler is there.
  asio::any_completion_executor executor;
  std::optional<Clock::time_point> deadline;
  // Where its bytes begin and end in all that was written to the connection; the end is known once all is gathered.
  std::uint64_t begin = 0;
  std::uint64_t end = std::numeric_limits<std::uint64_t>::max();
  bool begun = false;
  bool done = false;

  // Bytes are still to be taken from what the call borrows.
  [[nodiscard]] bool gathered_whole() const noexcept { return end != std::numeric_limits<std::uint64_t>::max(); }
};
using OpPtr = std::shared_ptr<Op>;

// Everything but start() runs on the strand.
class AsyncCore : public std::enable_shared_from_this<AsyncCore> {
 public:
  AsyncCore(const asio::any_io_executor& executor, Options options);

  // From any thread.
  void start(OpPtr op);
  void close();

 private:
  using Strand = asio::strand<asio::any_io_executor>;
  using TcpSocket = asio::basic_stream_socket<asio::ip::tcp, Strand>;
  using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Strand>;
  template <class T>
  using Task = asio::awaitable<T, Strand>;

  // async_core.cpp: calls come and go
  void enqueue(const OpPtr& op);
  void wake();
  void finish(Op& op, Outcome<Reply> outcome);
  void give_up(const OpPtr& op, FailureKind kind, const std::string& message);
  void lose(FailureKind kind, const std::string& message);
  void fail_queue(const Failure& failure);
  void settle();
  void on_loop_end(const std::exception_ptr& exception);
  [[nodiscard]] bool idle() const;
  void watch_deadline(const Op& op);
  void on_timer();
  void on_reply(tensorwire::IncomingReply incoming);
  void on_stray(const tensorwire::IncomingReply& incoming);
  void feed(std::string_view input);

  // async_io.cpp: bytes come and go
  Task<void> write_loop();
  Task<void> read_loop();
  Task<bool> connect();
  Task<std::optional<Failure>> connect_once();
  Task<boost::system::error_code> connect_to(asio::ip::tcp::endpoint endpoint);
  Task<std::vector<asio::ip::tcp::endpoint>> resolve(std::string& why_not);
  Task<void> take_next();
  Task<bool> gather(OpPtr op);
  Task<bool> flush();
  [[nodiscard]] bool can_take() const { return !queue_.empty() && sent_.size() < options_.window; }
  [[nodiscard]] bool still_usable();
  [[nodiscard]] bool begin_writing(const OpPtr& op);
  void start_connection();
  void drain();

  Strand strand_;
  const Options options_;
  std::shared_ptr<tensorwire::BufferPool> pool_;
  TcpSocket socket_;
  Timer deadline_timer_;
  Timer connect_timer_;
  std::optional<tensorwire::MessageReader> reader_;
  std::optional<tensorwire::MessageWriter> writer_;  // of the call that is being sent

  std::deque<OpPtr> queue_;     // not begun
  std::deque<OpPtr> sent_;      // begun or sent, in the order of their replies; a done one is abandoned
  std::vector<OpPtr> oneways_;  // gathered, not yet flushed

  std::vector<char> out_;
  std::size_t gathered_ = 0;
  std::vector<char> in_;
  std::uint64_t written_ = 0;  // bytes ever gathered for this connection
  std::uint64_t handed_ = 0;   // bytes of them that a write was begun for: the server may have them
  std::uint64_t flushed_ = 0;  // bytes of them that the system took
  std::uint64_t epoch_ = 0;    // counts connections: a coroutine that sees another one knows that its own was lost
  std::int64_t next_id_ = 1;
  Clock::time_point timer_at_ = Clock::time_point::max();
  bool connected_ = false;
  bool was_connected_ = false;
  bool introduced_ = false;
  bool farewell_ = false;
  bool writing_ = false;  // write_loop runs
  bool reading_ = false;  // read_loop runs
};

}  // namespace tensorclient::detail
