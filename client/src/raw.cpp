// One request without any framing: sent whole, half-closed, and the peer's words (if any) read to their end.
#include "tensorclient/raw.hpp"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "socket.hpp"

namespace tensorclient {

namespace {

constexpr std::size_t kPiece = 256 << 10;
constexpr std::size_t kKeptAnswer = 1 << 20;

Failure stopped(Io io, int error) {
  switch (io) {
    case Io::timed_out:
      return {
          FailureKind::deadline_exceeded, "the receiver did not take the message in time", Delivery::unknown, {}, {}};
    case Io::cancelled:
      return {FailureKind::cancelled, "cancelled while sending", Delivery::unknown, {}, {}};
    default:
      return {FailureKind::disconnected,
              "the connection broke while sending: " + error_text(error) + " (did the receiver read all of it?)",
              Delivery::unknown,
              {},
              {}};
  }
}

// Keeps the beginning of what the peer says; the rest is read and dropped, so that the peer never stalls on it.
void keep(RawAnswer& answer, std::span<const char> data) {
  const std::size_t room = kKeptAnswer - answer.text.size();
  answer.text.append(data.data(), std::min(room, data.size()));
}

Outcome<void> send_piece(Socket& socket, std::span<const char> piece, RawAnswer& answer, std::span<char> in,
                         const Deadline& deadline) {
  while (!piece.empty()) {
    const IoResult sent = socket.try_send(piece);
    piece = piece.subspan(sent.bytes);
    if (sent.io == Io::broken) return stopped(sent.io, sent.error);
    if (sent.io != Io::would_block) continue;
    // A peer that closed its own side stays readable for ever: from then on only the sending is waited for.
    if (const Io io = socket.wait(!answer.closed, true, deadline); io != Io::done) return stopped(io, 0);
    if (answer.closed) continue;
    const IoResult got = socket.try_receive(in);
    keep(answer, in.first(got.bytes));
    answer.closed = got.io == Io::closed;
  }
  return {};
}

Outcome<void> send_all(Socket& socket, tensorwire::MessageWriter& writer, RawAnswer& answer, std::span<char> in,
                       const Deadline& deadline) {
  std::vector<char> out(std::min<std::uint64_t>(kPiece, std::max<std::uint64_t>(writer.total_bytes(), 64)));
  while (const std::size_t n = writer.read(out)) {
    auto sent = send_piece(socket, std::span(out).first(n), answer, in, deadline);
    if (!sent.ok()) return sent;
  }
  return {};
}

void listen_until_closed(Socket& socket, RawAnswer& answer, std::span<char> in, const Deadline& deadline) {
  while (!answer.closed) {
    const IoResult got = socket.receive(in, deadline);
    if (got.io != Io::done) {
      answer.closed = got.io == Io::closed || got.io == Io::broken;
      return;
    }
    keep(answer, in.first(got.bytes));
  }
}

}  // namespace

Outcome<RawAnswer> send_raw(const Options& options, const Call& call, std::chrono::milliseconds linger) {
  if (auto checked = options.check(); !checked.ok()) return std::move(checked).failure();
  tensorwire::OutgoingRequest request = call.request();
  request.auth = options.token;
  auto writer = tensorwire::MessageWriter::request(request, tensorwire::Dialect::raw_json);
  if (!writer.ok()) return Failure::invalid(std::move(writer).error());
  const Deadline deadline = Deadline::in(call.timeout().value_or(options.timeout), options.cancel);
  auto socket = Socket::connect(options.endpoint, deadline.or_in(options.connect_timeout));
  if (!socket.ok()) return std::move(socket).failure();
  RawAnswer answer;
  std::array<char, 16384> in;
  if (auto sent = send_all(*socket, *writer, answer, in, deadline); !sent.ok()) return std::move(sent).failure();
  socket->shutdown_send();
  if (linger > std::chrono::milliseconds::zero()) {
    listen_until_closed(*socket, answer, in, Deadline::in(linger, options.cancel));
  }
  return answer;
}

}  // namespace tensorclient
