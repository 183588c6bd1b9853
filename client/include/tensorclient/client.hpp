// The blocking client: one connection, calls one by one or pipelined with a window, all of it in the caller's thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "tensorclient/call.hpp"
#include "tensorclient/options.hpp"
#include "tensorclient/outcome.hpp"

namespace tensorclient {

// NOT thread-safe: one thread at a time uses a Client (each thread its own one; AsyncClient may be shared). No thread
// is started and none is hopped to: the calling thread encodes, sends, receives and decodes.
//
// The connection is made by the first call that needs it, or by connect(). When it breaks, every request that has no
// reply yet is reported as `disconnected` with what is known of its delivery, and is never sent again by itself; the
// next call connects anew. A deadline that passes closes the connection too, for nobody knows when the late reply would
// come.
class Client {
 public:
  // `invalid` when the options are; does not connect yet.
  [[nodiscard]] static Outcome<Client> make(Options options);
  // The same, connected; "127.0.0.1:7733", or Options with all else.
  [[nodiscard]] static Outcome<Client> connect(Options options);
  [[nodiscard]] static Outcome<Client> connect(std::string_view endpoint);
  ~Client();
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;

  // Makes the connection now if there is none.
  [[nodiscard]] Outcome<void> connect();
  [[nodiscard]] bool connected() const noexcept;
  // Closes it; requests without a reply end as `cancelled`, each told by next().
  void close();

  // Sends one request and waits for its reply. An error reply is a Failure of kind `remote`. The connection serves the
  // next call as before unless the failure is `disconnected`, `deadline_exceeded` or `protocol`.
  [[nodiscard]] Outcome<Reply> call(const Call& call);

  // Sends a request that gets no reply, and returns when the system has taken all of it. That says nothing about the
  // server having read it; a later call's good reply does, for requests of one connection are handled in order.
  [[nodiscard]] Outcome<void> send(const Call& call);

  // Pipelining: submit() up to Options::window requests, take their replies in the same order with next():
  //
  //   while (!work.empty() || client.in_flight() > 0) {
  //     while (!work.empty() && !client.window_full()) client.submit(work.take()).value();
  //     use(client.next());
  //   }
  //
  // submit() has encoded all of the call when it returns; what it borrowed is free again. Small requests are gathered
  // and sent together, at the latest by the next next(), flush() or call(). Its own failures are those before anything
  // was sent (`invalid`, also for a full window; `connect_failed`); every later one is told by next().
  [[nodiscard]] Outcome<void> submit(const Call& call);
  // The reply to the oldest submitted request not yet taken; waits for it. `invalid` when there is none.
  [[nodiscard]] Outcome<Reply> next();
  // Sends what submit() has gathered.
  [[nodiscard]] Outcome<void> flush();
  // Submitted requests whose replies have not been taken by next().
  [[nodiscard]] std::size_t in_flight() const noexcept;
  [[nodiscard]] bool window_full() const noexcept { return in_flight() >= options().window; }

  [[nodiscard]] const Options& options() const noexcept;

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tensorclient
