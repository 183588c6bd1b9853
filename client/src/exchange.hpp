// What a blocking Client does on its connection: requests out, replies in, both at once where both directions are full.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "socket.hpp"
#include "tensorclient/call.hpp"
#include "tensorclient/options.hpp"
#include "tensorclient/outcome.hpp"
#include "tensorwire/reader.hpp"
#include "tensorwire/spin.hpp"
#include "tensorwire/writer.hpp"

namespace tensorclient {

// A request whose reply has not been taken yet. Replies come in the order of the requests, so the queue of them is
//
//   front ── answered ──┬── waiting ── back
//                       └ answered_
struct Slot {
  tensorwire::RequestId id;
  Deadline deadline;
  std::uint64_t begin = 0;  // where its bytes begin in all that was ever written to this connection
  std::optional<Outcome<Reply>> outcome;
};

class Exchange {
 public:
  explicit Exchange(const Options& options);

  [[nodiscard]] bool open() const noexcept { return socket_.open(); }
  // Starts on a fresh connection.
  void start(Socket socket);
  // True when the connection can take a request; finds out whether the peer closed it while it was idle.
  [[nodiscard]] bool usable();
  // Ends the connection: every waiting request gets this failure, with what is known of its own delivery.
  void lose(FailureKind kind, const std::string& message);

  // Encodes the call; sends it once a piece, or as many requests as the server is busy with, have gathered. With a
  // Failure nothing of it was queued.
  [[nodiscard]] Outcome<void> submit(const Call& call, const Deadline& deadline);
  // Sends what has gathered.
  [[nodiscard]] Outcome<void> flush(const Deadline& deadline);
  // Waits for that slot's outcome (front or back) and removes it.
  [[nodiscard]] Outcome<Reply> take_front();
  [[nodiscard]] Outcome<Reply> take_back();
  [[nodiscard]] std::size_t outstanding() const noexcept { return slots_.size(); }

 private:
  [[nodiscard]] Outcome<tensorwire::MessageWriter> encode(const Call& call, const tensorwire::RequestId& id);
  [[nodiscard]] tensorwire::RequestId choose_id(const Call& call);
  [[nodiscard]] Outcome<void> write(tensorwire::MessageWriter& writer, bool has_slot, const Deadline& deadline);
  [[nodiscard]] bool send_gathered(const Deadline& deadline, std::size_t stop_at_answered);
  [[nodiscard]] bool time_to_send() const noexcept;
  [[nodiscard]] bool wait_both(const Deadline& deadline);
  void await(std::size_t index);
  [[nodiscard]] IoResult receive(const Deadline& deadline);
  [[nodiscard]] bool look(bool to_read, bool to_write, const Deadline& deadline);
  void take_in(const IoResult& result);
  void drain();
  void feed(std::string_view input);
  void on_reply(tensorwire::IncomingReply incoming);
  void on_unclaimed(tensorwire::IncomingReply incoming);
  [[nodiscard]] Failure loss() const;

  const Options& options_;
  Socket socket_;
  std::optional<tensorwire::MessageReader> reader_;
  std::vector<char> out_;  // gathered and not yet sent: [out_begin_, out_end_)
  std::size_t out_begin_ = 0;
  std::size_t out_end_ = 0;
  std::size_t unsent_ = 0;     // requests with a slot that were gathered since the last sending
  std::vector<char> in_;       // the one buffer that everything is received into
  std::uint64_t written_ = 0;  // bytes ever gathered for this connection
  std::uint64_t sent_ = 0;     // bytes of them that the system took
  std::deque<Slot> slots_;
  std::size_t answered_ = 0;
  tensorwire::Spin spin_;
  std::int64_t next_id_ = 1;
  bool introduced_ = false;           // the token was sent on this connection
  bool farewell_ = false;             // the server has said that it will close
  std::optional<Failure> last_loss_;  // why the last connection ended
  Clock::time_point last_used_{};
};

}  // namespace tensorclient
