// One accept loop for all I/O threads.
#include "listener.hpp"

#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "outcome.hpp"

namespace tensord {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

// After a failure to accept (no descriptors left) it waits so long: the processor stays free, and it recovers at once.
constexpr std::chrono::milliseconds kPause{100};
// Connections over the cap that are told so at a time; the rest is just closed.
constexpr std::size_t kMaxRefusing = 64;
constexpr std::chrono::milliseconds kRefuseTime{200};

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
      timer_(threads_.front()->context()) {}

Result<void> Listener::open(const Endpoint& wanted) {
  boost::system::error_code failure;
  const std::string host = wanted.host == "localhost" ? "127.0.0.1" : wanted.host;
  const tcp::endpoint endpoint(asio::ip::make_address(host, failure), wanted.port);
  if (!failure) acceptor_.open(endpoint.protocol(), failure);
  if (!failure) acceptor_.set_option(asio::socket_base::reuse_address(true), failure);
  if (!failure && endpoint.address().is_v6()) acceptor_.set_option(asio::ip::v6_only(true), failure);
  if (!failure) acceptor_.bind(endpoint, failure);
  if (!failure) acceptor_.listen(asio::socket_base::max_listen_connections, failure);
  if (!failure) endpoint_ = acceptor_.local_endpoint(failure);
  if (!failure) return {};
  return Error{ErrorCode::internal,
               "cannot listen on " + core_.options.listen + ": " + failure.message() +
                   (failure == asio::error::address_in_use ? " (is tensord running there already?)" : ""),
               ""};
}

void Listener::start() {
  asio::co_spawn(
      acceptor_.get_executor(), [self = shared_from_this()]() -> asio::awaitable<void> { return self->accept_all(); },
      [self = shared_from_this()](std::exception_ptr failure) {
        if (failure && !self->closed()) self->start();  // out of memory; the next accept waits for an event anyway
      });
}

void Listener::stop() {
  asio::post(acceptor_.get_executor(), [self = shared_from_this()] {
    self->accept_backlog();
    boost::system::error_code ignored;
    self->acceptor_.close(ignored);
    self->timer_.cancel();
    self->closed_ = true;
    self->core_.session_ended();
  });
}

// Connections that are established and wait to be accepted have perhaps sent something already.
void Listener::accept_backlog() {
  boost::system::error_code failure;
  acceptor_.non_blocking(true, failure);
  while (!failure) {
    IoThread& thread = next_thread();
    tcp::socket socket = acceptor_.accept(thread.context(), failure);
    if (!failure) place(std::move(socket), thread);
  }
}

IoThread& Listener::next_thread() { return *threads_[next_++ % threads_.size()]; }

asio::awaitable<void> Listener::accept_all() {
  while (!closed()) {
    boost::system::error_code failure;
    IoThread& thread = next_thread();
    tcp::socket socket =
        co_await acceptor_.async_accept(thread.context(), asio::redirect_error(asio::use_awaitable, failure));
    if (!failure) {
      place(std::move(socket), thread);
    } else if (!closed()) {
      co_await pause(failure);
    }
  }
}

void Listener::place(tcp::socket socket, IoThread& thread) {
  if (core_.counters.open.load(std::memory_order_relaxed) >= core_.options.max_connections) {
    Counters::add(core_.counters.refused);
    if (refusing_ >= kMaxRefusing) return;
    asio::co_spawn(acceptor_.get_executor(), refuse(shared_from_this(), std::move(socket)), asio::detached);
    return;
  }
  boost::system::error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  Counters::add(core_.counters.connections);
  thread.adopt(std::move(socket));
}

asio::awaitable<void> Listener::pause(const boost::system::error_code& failure) {
  if (failure == asio::error::connection_aborted) co_return;  // the peer left before its turn
  Counters::add(core_.counters.accept_failures);
  if (core_.log.permits(Flood::accept, 1)) {
    core_.log.write(Flood::accept, LogLevel::error, "accept_failed",
                    "cannot accept connections: " + failure.message() + "; trying again");
  }
  boost::system::error_code ignored;
  timer_.expires_after(kPause);
  co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

// Tells a connection over the cap, and gives it a moment to read that.
asio::awaitable<void> Listener::refuse(std::shared_ptr<Listener> /*self: kept alive*/, tcp::socket accepted) {
  // Moved to this thread's loop, as the one it was accepted for never sees it.
  tcp::socket socket(acceptor_.get_executor(), endpoint_.protocol(), accepted.release());
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
