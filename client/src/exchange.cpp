// Sends while receiving, matches replies with their requests, and says what became of each when the connection breaks.
#include "exchange.hpp"

#include <thread>
#include <utility>

#include "replies.hpp"

namespace tensorclient {

namespace {

// What is encoded and sent in one go: small enough to stay in the cache between the two, large enough to make the
// system calls cheap.
constexpr std::size_t kPiece = 256 << 10;
constexpr std::size_t kReceive = 256 << 10;
// A connection that has rested this long is looked at before it is used: the server may have closed it meanwhile.
constexpr std::chrono::milliseconds kFresh{1};

Failure disconnected(std::string message, Delivery delivery) {
  return {FailureKind::disconnected, std::move(message), delivery, std::nullopt, {}};
}

}  // namespace

Exchange::Exchange(const Options& options) : options_(options), out_(kPiece), in_(kReceive) {}

void Exchange::start(Socket socket) {
  socket_ = std::move(socket);
  reader_.emplace(options_.dialect, options_.limits, options_.pool ? options_.pool : tensorwire::BufferPool::shared());
  out_begin_ = out_end_ = unsent_ = 0;
  written_ = sent_ = 0;
  introduced_ = false;
  farewell_ = false;
  last_loss_.reset();
  last_used_ = Clock::now();
}

bool Exchange::usable() {
  if (!open()) return false;
  if (answered_ != slots_.size()) return true;
  if (farewell_) {
    lose(FailureKind::disconnected, "the server ended the connection");
  } else if (Clock::now() - last_used_ > kFresh) {
    take_in(socket_.try_receive(in_));
  }
  return open();
}

void Exchange::lose(FailureKind kind, const std::string& message) {
  for (; answered_ < slots_.size(); ++answered_) {
    Slot& slot = slots_[answered_];
    const Delivery delivery = sent_ > slot.begin ? Delivery::unknown : Delivery::not_sent;
    if (kind == FailureKind::deadline_exceeded && !slot.deadline.passed()) {
      slot.outcome =
          disconnected("the connection was closed because another request's time limit had passed", delivery);
    } else {
      slot.outcome = Failure{kind, message, delivery, {}, {}};
    }
  }
  if (!last_loss_) last_loss_ = Failure{kind, message, Delivery::unknown, {}, {}};
  socket_.close();
  reader_.reset();
  out_begin_ = out_end_ = 0;
}

Failure Exchange::loss() const {
  return last_loss_ ? *last_loss_ : disconnected("the connection was closed", Delivery::unknown);
}

tensorwire::RequestId Exchange::choose_id(const Call& call) {
  if (call.id().index() != 0 || call.is_oneway()) return call.id();
  return next_id_++;
}

Outcome<tensorwire::MessageWriter> Exchange::encode(const Call& call, const tensorwire::RequestId& id) {
  tensorwire::OutgoingRequest request = call.request();
  request.id = id;
  if (!introduced_) request.auth = options_.token;
  auto writer = tensorwire::MessageWriter::request(request, options_.dialect);
  if (!writer.ok()) return Failure::invalid(std::move(writer).error());
  introduced_ = true;
  return std::move(writer).value();
}

Outcome<void> Exchange::submit(const Call& call, const Deadline& deadline) {
  tensorwire::RequestId id = choose_id(call);
  auto writer = encode(call, id);
  if (!writer.ok()) return std::move(writer).failure();
  const bool has_slot = !call.is_oneway();
  unsent_ += has_slot ? 1 : 0;
  if (has_slot) slots_.push_back(Slot{std::move(id), deadline, written_, std::nullopt});
  return write(*writer, has_slot, deadline);
}

// A request with a slot is told of its failures through the slot; so this fails for those without only.
Outcome<void> Exchange::write(tensorwire::MessageWriter& writer, bool has_slot, const Deadline& deadline) {
  // More replies than were waited for before: the server has answered this very request before it had all of it.
  const std::size_t own = has_slot ? slots_.size() : slots_.size() + 1;
  while (true) {
    const std::size_t n = writer.read(std::span(out_).subspan(out_end_));
    out_end_ += n;
    written_ += n;
    const bool all = writer.remaining_bytes() == 0;
    // The 64 bytes are what the writer wants to have at least.
    const bool full = out_.size() - out_end_ < 64;
    if (all && out_end_ - out_begin_ < kPiece / 4 && !time_to_send()) return {};
    if (!all && !full && n != 0) continue;
    if (!send_gathered(deadline, own)) return has_slot ? Outcome<void>() : Outcome<void>(loss());
    if (all) return {};
  }
}

// As many requests have gathered as the server still has to answer: it gets them while it is busy with those, and a
// pipeline falls into two halves that both sides work on at once.
bool Exchange::time_to_send() const noexcept {
  const std::size_t waiting = slots_.size() - answered_;
  return unsent_ > 0 && 2 * unsent_ >= waiting;
}

Outcome<void> Exchange::flush(const Deadline& deadline) {
  if (open() && !send_gathered(deadline, slots_.size() + 1)) return loss();
  return {};
}

// False when the connection is gone. `stop_at_answered`: so many answers mean that sending on is pointless.
bool Exchange::send_gathered(const Deadline& deadline, std::size_t stop_at_answered) {
  while (open() && out_begin_ < out_end_) {
    const IoResult result = socket_.try_send(std::span(out_).subspan(out_begin_, out_end_ - out_begin_));
    out_begin_ += result.bytes;
    sent_ += result.bytes;
    if (result.io == Io::broken) {
      drain();  // the server may have said why
      if (open()) lose(FailureKind::disconnected, "the connection broke while sending: " + error_text(result.error));
    } else if (result.io == Io::would_block && wait_both(deadline) && answered_ >= stop_at_answered) {
      lose(FailureKind::disconnected,
           "the connection was closed: the server refused a request before it had all of it");
    }
  }
  out_begin_ = out_end_ = unsent_ = 0;
  last_used_ = Clock::now();
  return open();
}

// Waits until more can be sent, receiving meanwhile: a server that waits for its replies to be read reads no requests.
bool Exchange::wait_both(const Deadline& deadline) {
  const Io io = look(true, true, deadline) ? Io::done : socket_.wait(true, true, deadline);
  if (io == Io::timed_out) {
    lose(FailureKind::deadline_exceeded, "the server did not take the request in time");
  } else if (io == Io::cancelled) {
    lose(FailureKind::cancelled, "cancelled while sending");
  } else {
    take_in(socket_.try_receive(in_));
  }
  return open();
}

void Exchange::drain() {
  while (open()) {
    const IoResult result = socket_.try_receive(in_);
    if (result.io != Io::done) return;
    take_in(result);
  }
}

void Exchange::take_in(const IoResult& result) {
  switch (result.io) {
    case Io::done:
      feed({in_.data(), result.bytes});
      break;
    case Io::closed:
      lose(FailureKind::disconnected, reader_->in_message()
                                          ? "the server closed the connection in the middle of a reply"
                                          : "the server closed the connection before it answered");
      break;
    case Io::broken:
      lose(FailureKind::disconnected, "the connection broke: " + error_text(result.error));
      break;
    case Io::would_block:
    case Io::timed_out:
    case Io::cancelled:
      break;
  }
}

void Exchange::feed(std::string_view input) {
  using Status = tensorwire::MessageReader::Status;
  while (open()) {
    const Status status = reader_->feed(input);
    if (status == Status::need_more) return;
    on_reply(reader_->take_reply());
  }
}

void Exchange::on_reply(tensorwire::IncomingReply incoming) {
  if (incoming.fatal) return lose(FailureKind::protocol, not_a_reply(incoming));
  if (answered_ == slots_.size()) return on_unclaimed(std::move(incoming));
  Slot& slot = slots_[answered_];
  if (!belongs(incoming, slot.id)) return lose(FailureKind::protocol, wrong_id(incoming, slot.id));
  farewell_ = farewell_ || is_farewell(incoming);
  slot.outcome = outcome_of(std::move(incoming));
  ++answered_;
}

// A word of the server that answers no waiting request: it says farewell (overloaded, shutting_down, unauthorized ...).
void Exchange::on_unclaimed(tensorwire::IncomingReply incoming) {
  if (incoming.reply.error) {
    last_loss_ = Failure::remote(std::move(*incoming.reply.error));
    return lose(FailureKind::disconnected, last_loss_->message);
  }
  lose(FailureKind::protocol, "the peer sent a reply that belongs to no request");
}

// The answer may be there before this thread could sleep and be woken.
IoResult Exchange::receive(const Deadline& deadline) {
  if (look(true, false, deadline)) return socket_.try_receive(in_);
  return socket_.receive(in_, deadline);
}

// Looks for a moment whether the socket is ready, where that has paid lately.
bool Exchange::look(bool to_read, bool to_write, const Deadline& deadline) {
  if (options_.spin.count() == 0 || !spin_.worth_trying()) return false;
  const auto until = Clock::now() + options_.spin;
  bool ready = socket_.ready(to_read, to_write);
  while (!ready && Clock::now() < until && !deadline.cancelled()) {
    std::this_thread::yield();  // the server may need this core
    ready = socket_.ready(to_read, to_write);
  }
  spin_.note(ready);
  return ready;
}

void Exchange::await(std::size_t index) {
  if (slots_[index].outcome) return;
  const Deadline deadline = slots_[index].deadline;
  (void)flush(deadline);
  while (!slots_[index].outcome) {
    const IoResult result = receive(deadline);
    if (result.io == Io::timed_out) {
      lose(FailureKind::deadline_exceeded, "no reply within the time limit");
    } else if (result.io == Io::cancelled) {
      lose(FailureKind::cancelled, "cancelled while waiting for the reply");
    } else {
      take_in(result);
    }
  }
  last_used_ = Clock::now();
}

Outcome<Reply> Exchange::take_front() {
  await(0);
  Outcome<Reply> outcome = std::move(*slots_.front().outcome);
  slots_.pop_front();
  --answered_;
  return outcome;
}

Outcome<Reply> Exchange::take_back() {
  await(slots_.size() - 1);
  Outcome<Reply> outcome = std::move(*slots_.back().outcome);
  slots_.pop_back();
  --answered_;
  return outcome;
}

}  // namespace tensorclient
