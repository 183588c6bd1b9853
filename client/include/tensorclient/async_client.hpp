// The asynchronous client for programs on Boost.Asio: one connection shared by any number of calls in flight.
#pragma once

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <memory>
#include <utility>

#include "tensorclient/call.hpp"
#include "tensorclient/options.hpp"
#include "tensorclient/outcome.hpp"

namespace tensorclient {

namespace detail {

using ReplyHandler = boost::asio::any_completion_handler<void(Outcome<Reply>)>;
using SentHandler = boost::asio::any_completion_handler<void(Outcome<void>)>;

class AsyncCore;
// Both may be called from any thread.
void start_call(const std::shared_ptr<AsyncCore>& core, Call call, ReplyHandler handler);
void start_send(const std::shared_ptr<AsyncCore>& core, Call call, SentHandler handler);

}  // namespace detail

// Thread-safe: any thread may start a call at any time, also while others are in flight. Requests go out in the order
// in which they were started, at most Options::window without a reply; the rest wait (1024 at most, then `invalid`).
//
// The connection is made when a call needs it, again after a break with Options::reconnect's pauses. Requests that were
// sent and not answered when it broke end as `disconnected` and are never sent again; those that were still waiting go
// out on the next connection. A call whose time limit passes ends alone where its request was sent whole (its late
// reply is dropped) or not begun; one that was being sent takes the connection with it.
//
// With nothing in flight no operation is pending, so that io_context::run() may return.
class AsyncClient {
 public:
  // Throws FailureException (`invalid`) when the options make no sense. The executor's context must outlive the client.
  // Options::cancel is not looked at: cancel through the token's cancellation slot, or close().
  AsyncClient(boost::asio::any_io_executor executor, Options options);
  // Ends what is in flight as `cancelled`.
  ~AsyncClient();
  AsyncClient(AsyncClient&&) noexcept;
  AsyncClient& operator=(AsyncClient&&) noexcept;

  // Completes with Outcome<Reply>, through the token's own executor (else the client's), never inside async_call:
  //
  //   Outcome<Reply> reply = co_await client.async_call(std::move(call), asio::use_awaitable);
  //
  // What the call borrows must live until then. Supports terminal, partial and total cancellation.
  template <boost::asio::completion_token_for<void(Outcome<Reply>)> Token>
  auto async_call(Call call, Token&& token) {
    return boost::asio::async_initiate<Token, void(Outcome<Reply>)>(
        [core = core_](auto handler, Call moved) { detail::start_call(core, std::move(moved), std::move(handler)); },
        token, std::move(call));
  }

  // For oneway calls: completes with Outcome<void> when the system has taken the whole request.
  template <boost::asio::completion_token_for<void(Outcome<void>)> Token>
  auto async_send(Call call, Token&& token) {
    return boost::asio::async_initiate<Token, void(Outcome<void>)>(
        [core = core_](auto handler, Call moved) { detail::start_send(core, std::move(moved), std::move(handler)); },
        token, std::move(call));
  }

  // Closes the connection; what is in flight ends as `cancelled`. A later call connects anew.
  void close();

 private:
  std::shared_ptr<detail::AsyncCore> core_;
};

}  // namespace tensorclient
