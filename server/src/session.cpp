// The life of a connection: read, settle, linger, close.
#include "session.hpp"

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <exception>
#include <utility>

#include "io_thread.hpp"

namespace tensord {
namespace {

namespace asio = boost::asio;

// Receives in a row before other connections of the thread have their turn.
constexpr int kFairReceives = 4;
// Receives that are tried again at once, some microseconds in all.
constexpr int kInstantRetries = 24;
// How long and how much a connection is read on after its last reply, which the peer could not read if unread input
// made the system reset the connection: long enough for a sender that first finishes a frame of the largest size.
constexpr std::chrono::seconds kLingerTime{5};
constexpr std::chrono::milliseconds kLingerTimeDraining{500};
constexpr long kLingerBytes = 0x5000'0000;
// While a handler runs, no more than this is received beyond the current message, since it may have to be kept.
constexpr std::size_t kLookAheadBytes = 16U << 10;

}  // namespace

Session::Session(IoThread& io, Core& core, asio::ip::tcp::socket socket, std::shared_ptr<OpenCount> open,
                 std::uint64_t number)
    : open_(std::move(open)),
      io_(io),
      core_(core),
      socket_(std::move(socket)),
      number_(number),
      unread_replies_(core.budget),
      authorized_(core.options.token.empty()),
      now_(Clock::now()) {
  message_began_ = progress_ = active_ = write_progress_ = now_;
}

Session::~Session() {
  if (lane_) lane_->abandon();
  core_.gate.give_back(turn_);
  io_.remove(*this);
}

void Session::start() {
  auto self = shared_from_this();
  asio::co_spawn(
      socket_.get_executor(), [self]() -> asio::awaitable<void> { return self->live(); },
      [self](std::exception_ptr failure) {
        if (failure) self->core_.log.write(LogLevel::error, "connection_failed", self->name() + ": out of memory");
        self->close();
      });
}

asio::awaitable<void> Session::live() {
  co_await read_all();
  co_await settle();
  if (draining_ && !dead_ && (end_ == End::drained || end_ == End::none)) {
    refuse_late_input();
    co_await settle();
  }
  if (linger_ && !dead_) co_await linger();
}

asio::awaitable<void> Session::read_all() {
  int in_a_row = 0;
  while (end_ == End::none && !dead_ && co_await wait_for_room()) {
    if (drained()) break;
    if (kept_begin_ < kept_.size()) {
      consume_kept();
      continue;
    }
    const long received = receive_soon();
    if (received > 0) {
      if (++in_a_row % kFairReceives == 0) co_await yield();
    } else if (received == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) {
      input_ended(received);
    } else if (draining_) {
      drain_credit_ = 0;
    } else {
      co_await wait_until_readable();
    }
  }
}

// While draining, input counts as received when it had arrived before.
bool Session::drained() {
  if (!draining_ || drain_credit_ > 0 || kept_begin_ < kept_.size()) return false;
  end_ = End::drained;
  return true;
}

// In the middle of a message the next piece is mostly a moment away, nearer than the event loop.
long Session::receive_soon() {
  long received = receive();
  const bool soon = core_.options.spin.count() > 0 && reader_ && reader_->in_message() && !draining_;
  for (int i = 0; soon && received < 0 && errno == EAGAIN && i < kInstantRetries; ++i) received = receive();
  return received;
}

// One non-blocking receive into the thread's hot buffer, and all that follows from it. What recv() gave.
long Session::receive() {
  std::span<char> buffer = io_.receive_buffer();
  if (jobs_ > 0) {
    const std::uint64_t wanted = (reader_ ? reader_->missing_bytes() : 0) + kLookAheadBytes;
    buffer = buffer.first(static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), wanted)));
  }
  if (draining_) buffer = buffer.first(std::min(buffer.size(), static_cast<std::size_t>(drain_credit_)));
  long received = -1;
  do {
    received = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  } while (received < 0 && errno == EINTR);
  if (received <= 0) return received;
  drain_credit_ -= std::min(drain_credit_, received);
  Counters::add(core_.counters.bytes_in, static_cast<std::uint64_t>(received));
  now_ = active_ = Clock::now();
  io_.expect_more();
  const std::string_view input(buffer.data(), static_cast<std::size_t>(received));
  if (const std::size_t rest = consume(input); rest > 0) keep(input.substr(input.size() - rest));
  return received;
}

void Session::consume_kept() {
  const std::string_view input(reinterpret_cast<const char*>(kept_.data()), kept_.size());
  const std::size_t rest = consume(input.substr(kept_begin_));
  kept_begin_ = input.size() - rest;
  if (rest == 0) kept_.reset();
}

void Session::input_ended(long result) {
  end_ = result == 0 ? End::eof : End::reset;
  if (!reader_ || !reader_->in_message()) return;
  Counters::add(core_.counters.truncated);
  if (!core_.log.permits(Flood::cut)) return;
  core_.log.write(Flood::cut, LogLevel::warning, "truncated",
                  name() + ": the connection ended after " + std::to_string(reader_->message_bytes()) +
                      " bytes of a message that was not complete; it is dropped");
}

asio::awaitable<void> Session::wait_until_readable() {
  boost::system::error_code ignored;  // a wait that was cancelled looks again
  co_await socket_.async_wait(asio::socket_base::wait_read, asio::redirect_error(asio::use_awaitable, ignored));
}

// False when there will be nothing more to read.
asio::awaitable<bool> Session::wait_for_room() {
  while (!dead_ && end_ == End::none && !may_read(now_)) {
    const auto before = Clock::now();
    co_await wakeup_.wait();
    now_ = Clock::now();
    message_began_ += now_ - before;  // our own waiting is not the sender's delay
    progress_ = active_ = now_;
  }
  co_return !dead_ && end_ == End::none;
}

// Until all handlers have answered and all replies are sent, or nobody is left to send them to.
asio::awaitable<void> Session::settle() {
  flush();
  while (!dead_ && (jobs_ > 0 || !outbox_.empty())) co_await wakeup_.wait();
}

// Reads the peer's rest away, so that it can read our last reply.
asio::awaitable<void> Session::linger() {
  linger_until_ = Clock::now() +
                  (draining_ ? std::chrono::milliseconds(kLingerTimeDraining) : std::chrono::milliseconds(kLingerTime));
  ::shutdown(socket_.native_handle(), SHUT_WR);
  long drained_bytes = 0;
  while (!dead_ && drained_bytes < kLingerBytes) {
    const std::span<char> buffer = io_.receive_buffer();
    const long received = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (received > 0) {
      drained_bytes += received;
      co_await yield();
    } else if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      co_await wait_until_readable();
    } else {
      break;
    }
  }
}

asio::awaitable<void> Session::yield() { co_await asio::post(socket_.get_executor(), asio::use_awaitable); }

void Session::drain() {
  if (std::exchange(draining_, true)) return;
  int arrived = 0;
  if (::ioctl(socket_.native_handle(), FIONREAD, &arrived) == 0) drain_credit_ = arrived;
  boost::system::error_code ignored;
  socket_.cancel(ignored);  // whoever waits for input looks again; a write wait is begun anew
  wakeup_.wake();
}

void Session::cut() {
  dead_ = true;
  outbox_.clear();
  if (lane_) lane_->abandon();
  jobs_ = 0;
  close();
  wakeup_.wake();
}

void Session::close() noexcept {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace tensord
