// Accepts in a loop for all I/O threads, with the system's own call: Asio's accept loses its handler when memory is
// out.
#include "listener.hpp"

#include <malloc.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <exception>
#include <system_error>
#include <utility>

#include "outcome.hpp"

namespace tensord {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

// After a failure to accept (no descriptors left) it waits so long: the processor stays free, and it recovers at once.
constexpr std::chrono::milliseconds kPause{100};
// Who connects without end must not keep the thread from its other connections, nor a stop from its end.
constexpr int kAcceptsPerTurn = 64;
constexpr int kBacklog = 4096;
// Connections over the cap that are told so at a time; the rest is just closed.
constexpr std::size_t kMaxRefusing = 64;
constexpr std::chrono::milliseconds kRefuseTime{200};
// Between looks at the memory; each so many of them, blocks that nobody has taken since go back to the system.
constexpr std::chrono::seconds kHousekeeping{5};
constexpr unsigned kLooksPerTrim = 6;

// Gives back what was freed in small pieces, which the C library otherwise keeps for itself.
void trim_heap() {
#ifdef __GLIBC__
  constexpr std::size_t kKept = 1U << 20;
  ::malloc_trim(kKept);
#endif
}

std::string refusal(Core& core) {
  Error error{ErrorCode::overloaded,
              "the server has its " + std::to_string(core.options.max_connections) +
                  " connections already (--max-connections); try again later",
              ""};
  Outcome outcome = render(Reply(std::move(error)), Ticket(), tensorwire::Dialect::framed, *core.buffers);
  std::string text;
  if (!outcome.writer) return text;
  text.resize(static_cast<std::size_t>(outcome.writer->total_bytes()) + 64);
  text.resize(outcome.writer->read(std::span<char>(text)));
  return text;
}

}  // namespace

Listener::Listener(Core& core, std::vector<IoThread*> threads)
    : core_(core),
      threads_(std::move(threads)),
      acceptor_(threads_.front()->context()),
      timer_(threads_.front()->context()),
      housekeeping_(threads_.front()->context()) {}

Result<void> Listener::open(const Endpoint& wanted) {
  boost::system::error_code failure;
  const std::string host = wanted.host == "localhost" ? "127.0.0.1" : wanted.host;
  const tcp::endpoint endpoint(asio::ip::make_address(host, failure), wanted.port);
  if (!failure) acceptor_.open(endpoint.protocol(), failure);
  if (!failure) acceptor_.set_option(asio::socket_base::reuse_address(true), failure);
  if (!failure && endpoint.address().is_v6()) acceptor_.set_option(asio::ip::v6_only(true), failure);
  if (!failure) acceptor_.bind(endpoint, failure);
  if (!failure) acceptor_.listen(asio::socket_base::max_listen_connections, failure);
  if (!failure) acceptor_.native_non_blocking(true, failure);
  if (!failure) endpoint_ = acceptor_.local_endpoint(failure);
  if (!failure) return {};
  return Error{ErrorCode::internal,
               "cannot listen on " + core_.options.listen + ": " + failure.message() +
                   (failure == asio::error::address_in_use ? " (is tensord running there already?)" : ""),
               ""};
}

void Listener::start() {
  threads_.front()->keep_going([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || self->closed()) return;
    if (!self->armed_) self->await_connections();
    if (!self->keeps_house_) self->await_housekeeping();
  });
}

void Listener::stop() {
  asio::post(acceptor_.get_executor(), [self = shared_from_this()] {
    self->accept_waiting(kBacklog);  // established, they have perhaps sent something already
    self->closed_ = true;
    boost::system::error_code ignored;
    self->acceptor_.close(ignored);
    self->timer_.cancel();
    self->housekeeping_.cancel();
    self->core_.session_ended();
  });
}

// Throws without memory; armed_ tells whether there is something to wait for.
void Listener::await_connections() {
  acceptor_.async_wait(asio::socket_base::wait_read, [self = shared_from_this()](const boost::system::error_code&) {
    self->armed_ = false;
    if (self->closed()) return;
    self->accept_waiting(kAcceptsPerTurn) ? self->await_connections() : self->pause();
  });
  armed_ = true;
}

void Listener::pause() {
  timer_.expires_after(kPause);
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code&) {
    self->armed_ = false;
    if (!self->closed()) self->await_connections();
  });
  armed_ = true;
}

void Listener::await_housekeeping() {
  housekeeping_.expires_after(kHousekeeping);
  housekeeping_.async_wait([self = shared_from_this()](const boost::system::error_code& cancelled) {
    self->keeps_house_ = false;
    if (cancelled || self->closed()) return;
    self->keep_house();
    self->await_housekeeping();
  });
  keeps_house_ = true;
}

// An idle daemon becomes small; so does one that has just let go of many small things: they are no longer charged, so
// others may take as much.
void Listener::keep_house() {
  const std::uint64_t used = core_.budget->used();
  most_used_ = std::max(most_used_, used);
  const bool regular = ++looks_ % kLooksPerTrim == 0;
  if (regular) core_.buffers->trim_unused();
  if (!regular && most_used_ - used <= core_.budget->limit() / 8) return;
  most_used_ = used;
  trim_heap();
}

// Takes what waits to be accepted, so many at most; false when the system has no room for more.
bool Listener::accept_waiting(int most) {
  for (int i = 0; i < most; ++i) {
    const int accepted = ::accept4(acceptor_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted >= 0) {
      place(accepted);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return true;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      log_failure(errno);
      return false;
    }
  }
  return true;
}

void Listener::log_failure(int reason) {
  Counters::add(core_.counters.accept_failures);
  if (!core_.log.permits(Flood::accept, 1)) return;
  core_.log.write(Flood::accept, LogLevel::error, "accept_failed",
                  "cannot accept connections: " + std::generic_category().message(reason) + "; trying again");
}

// To one of the I/O threads; without memory for it the connection is closed.
void Listener::place(int accepted) {
  IoThread& thread = *threads_[next_++ % threads_.size()];
  const bool full = core_.counters.open.load(std::memory_order_relaxed) >= core_.options.max_connections;
  const int yes = 1;
  ::setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  Counters::add(full ? core_.counters.refused : core_.counters.connections);
  tcp::socket socket((full ? *threads_.front() : thread).context());
  boost::system::error_code failure;
  try {
    socket.assign(endpoint_.protocol(), accepted, failure);
  } catch (...) {
    failure = asio::error::no_memory;
  }
  if (failure) {
    ::close(accepted);
    return;
  }
  try {
    if (!full) return thread.adopt(std::move(socket));
    if (refusing_ >= kMaxRefusing) return;
    asio::co_spawn(acceptor_.get_executor(), refuse(shared_from_this(), std::move(socket)), asio::detached);
  } catch (const std::exception&) {
    log_failure(ENOMEM);
  }
}

// Tells a connection over the cap, and gives it a moment to read that.
asio::awaitable<void> Listener::refuse(std::shared_ptr<Listener> /*self: kept alive*/, tcp::socket socket) {
  ++refusing_;
  if (core_.log.permits(Flood::connection, 1)) {
    core_.log.write(Flood::connection, LogLevel::warning, "connection_refused",
                    "a connection over --max-connections " + std::to_string(core_.options.max_connections) +
                        " was told overloaded");
  }
  core_.counters.count_error(ErrorCode::overloaded);
  const std::string text = refusal(core_);
  ::send(socket.native_handle(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  ::shutdown(socket.native_handle(), SHUT_WR);
  asio::steady_timer timer(socket.get_executor(), kRefuseTime);
  boost::system::error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  --refusing_;
}

}  // namespace tensord
