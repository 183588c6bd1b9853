// The two coroutines of an AsyncClient's connection, one that sends and one that receives, and how it is made.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "async_core.hpp"
#include "backoff.hpp"

namespace tensorclient::detail {

namespace {

using tcp = asio::ip::tcp;
using boost::system::error_code;

constexpr auto use_task = asio::as_tuple(asio::use_awaitable_t<asio::strand<asio::any_io_executor>>());

Failure connect_failure(const Endpoint& endpoint, const std::string& reason) {
  return {FailureKind::connect_failed,
          "cannot connect to " + endpoint.to_string() + ": " + reason,
          Delivery::not_sent,
          std::nullopt,
          {}};
}

std::string reason_of(const error_code& error) {
  if (error == asio::error::connection_refused) return error.message() + " — is tensord running?";
  return error.message();
}

}  // namespace

AsyncCore::Task<void> AsyncCore::write_loop() {
  while (true) {
    if (can_take()) {
      co_await take_next();
    } else if (gathered_ > 0) {
      (void)co_await flush();
    } else {
      break;
    }
  }
  writing_ = false;
  settle();
}

// Gathers the next waiting call, and sends as soon as a piece is full. A lost connection ends neither this nor the
// loop: whoever still waits gets a new one.
AsyncCore::Task<void> AsyncCore::take_next() {
  if (!still_usable() && !co_await connect()) co_return;
  if (!can_take()) co_return;  // the wait for the connection was too long for some
  const OpPtr op = queue_.front();
  queue_.pop_front();
  if (!begin_writing(op)) co_return;
  wake();  // the reading begins with the sending: a server may answer before it has all
  (void)co_await gather(op);
}

bool AsyncCore::begin_writing(const OpPtr& op) {
  tensorwire::OutgoingRequest request = op->call.request();
  if (request.id.index() == 0 && op->on_reply) request.id = next_id_++;
  if (!introduced_) request.auth = options_.token;
  auto writer = tensorwire::MessageWriter::request(request, options_.dialect);
  if (!writer.ok()) {
    finish(*op, Failure::invalid(std::move(writer).error()));
    return false;
  }
  introduced_ = true;
  writer_.emplace(std::move(writer).value());
  op->id = std::move(request.id);
  op->begin = written_;
  op->begun = true;
  if (op->on_reply) {
    sent_.push_back(op);
  } else {
    oneways_.push_back(op);
  }
  return true;
}

AsyncCore::Task<bool> AsyncCore::gather(OpPtr op) {
  while (true) {
    const std::size_t n = writer_->read(std::span(out_).subspan(gathered_));
    gathered_ += n;
    written_ += n;
    if (writer_->remaining_bytes() == 0) break;
    const bool full = n == 0 || out_.size() - gathered_ < 64;
    if (full && !co_await flush()) co_return false;
  }
  op->end = written_;
  writer_.reset();
  co_return gathered_ < out_.size() / 4 || co_await flush();
}

// False when the connection was lost meanwhile.
AsyncCore::Task<bool> AsyncCore::flush() {
  const std::uint64_t epoch = epoch_;
  handed_ = written_;
  const auto [error, n] = co_await asio::async_write(socket_, asio::buffer(out_.data(), gathered_), use_task);
  gathered_ = 0;
  if (epoch != epoch_) co_return false;
  flushed_ += n;
  if (error) {
    // The server may have said why. What it said may be with the read_loop already, whose turn comes after this one's:
    // Asio completes a socket's writing before its reading.
    for (int turn = 0; turn < 16 && reading_ && epoch == epoch_; ++turn) co_await asio::post(strand_, use_task);
    if (epoch != epoch_) co_return false;
    drain();
    if (epoch == epoch_) lose(FailureKind::disconnected, "the connection broke while sending: " + error.message());
    co_return false;
  }
  // Those that are gathered whole; the one whose pieces are still coming is the last.
  while (!oneways_.empty() && oneways_.front()->end <= flushed_) {
    finish(*oneways_.front(), Reply());
    oneways_.erase(oneways_.begin());
  }
  co_return true;
}

AsyncCore::Task<void> AsyncCore::read_loop() {
  const std::uint64_t epoch = epoch_;
  while (epoch == epoch_ && !sent_.empty() && !idle()) {
    const auto [error, n] = co_await socket_.async_read_some(asio::buffer(in_), use_task);
    if (epoch != epoch_) break;
    if (!error) {
      feed({in_.data(), n});
      wake();  // there may be room in the window
    } else if (error == asio::error::eof) {
      lose(FailureKind::disconnected, reader_->in_message()
                                          ? "the server closed the connection in the middle of a reply"
                                          : "the server closed the connection before it answered");
    } else if (error != asio::error::operation_aborted) {
      lose(FailureKind::disconnected, "the connection broke: " + error.message());
    }
  }
  reading_ = false;
  settle();
}

// Takes what has already arrived, without waiting for more.
void AsyncCore::drain() {
  const std::uint64_t epoch = epoch_;
  while (epoch == epoch_) {
    error_code error;
    const std::size_t n = socket_.read_some(asio::buffer(in_), error);
    if (error) return;
    feed({in_.data(), n});
  }
}

// Looks at a connection that has been at rest: the server may have closed it.
bool AsyncCore::still_usable() {
  if (!connected_ || !sent_.empty() || gathered_ > 0) return connected_;
  if (farewell_) {
    lose(FailureKind::disconnected, "the server ended the connection");
    return false;
  }
  error_code error;
  const std::size_t n = socket_.read_some(asio::buffer(in_), error);
  if (error == asio::error::would_block || error == asio::error::try_again) return true;
  if (error) {
    lose(FailureKind::disconnected, "the server closed the connection");
  } else {
    feed({in_.data(), n});
  }
  return connected_;
}

AsyncCore::Task<bool> AsyncCore::connect() {
  const int retries = was_connected_ || options_.reconnect.retry_first ? options_.reconnect.retries : 0;
  for (int retry = 0; !queue_.empty(); ++retry) {
    const std::optional<Failure> failure = co_await connect_once();
    if (!failure) co_return true;
    if (retry == retries) {
      fail_queue(*failure);
      co_return false;
    }
    if (queue_.empty()) co_return false;  // nobody waits any more
    connect_timer_.expires_after(backoff_pause(options_.reconnect, retry));
    (void)co_await connect_timer_.async_wait(use_task);
  }
  co_return false;
}

AsyncCore::Task<std::optional<Failure>> AsyncCore::connect_once() {
  std::string reason = "the name has no address";
  const std::vector<tcp::endpoint> endpoints = co_await resolve(reason);
  for (const tcp::endpoint& endpoint : endpoints) {
    const error_code error = co_await connect_to(endpoint);
    if (!error) {
      start_connection();
      co_return std::nullopt;
    }
    reason = reason_of(error);
  }
  co_return connect_failure(options_.endpoint, reason);
}

AsyncCore::Task<error_code> AsyncCore::connect_to(tcp::endpoint endpoint) {
  error_code ignored;
  socket_.close(ignored);
  enum class Stage { connecting, connected, timed_out };
  const auto stage = std::make_shared<Stage>(Stage::connecting);
  connect_timer_.expires_after(options_.connect_timeout);
  connect_timer_.async_wait([self = shared_from_this(), stage](const error_code& cancelled) {
    if (cancelled || *stage != Stage::connecting) return;
    *stage = Stage::timed_out;
    error_code unused;
    self->socket_.close(unused);
  });
  const auto [error] = co_await socket_.async_connect(endpoint, use_task);
  if (*stage == Stage::timed_out) co_return asio::error::timed_out;
  *stage = Stage::connected;
  connect_timer_.cancel();
  co_return error;
}

void AsyncCore::start_connection() {
  error_code ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
  reader_.emplace(options_.dialect, options_.limits, pool_);
  gathered_ = 0;
  written_ = handed_ = flushed_ = 0;
  introduced_ = farewell_ = false;
  connected_ = was_connected_ = true;
  ++epoch_;
}

AsyncCore::Task<std::vector<tcp::endpoint>> AsyncCore::resolve(std::string& why_not) {
  error_code error;
  const auto address = asio::ip::make_address(options_.endpoint.host, error);
  std::vector<tcp::endpoint> endpoints;
  if (!error) {
    endpoints.emplace_back(address, options_.endpoint.port);
    co_return endpoints;
  }
  asio::ip::basic_resolver<tcp, Strand> resolver(strand_);
  const auto [failed, results] =
      co_await resolver.async_resolve(options_.endpoint.host, std::to_string(options_.endpoint.port), use_task);
  if (failed) why_not = failed.message();
  for (const auto& entry : results) endpoints.push_back(entry.endpoint());
  co_return endpoints;
}

}  // namespace tensorclient::detail
