// From outcomes to sent bytes, and what the clock has to say about a connection.
#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "io_thread.hpp"
#include "session.hpp"

namespace tensord {
namespace {

namespace asio = boost::asio;

// A peer may leave so much unread as long as it likes: it is small and bounded.
constexpr std::uint64_t kPatientBytes = 1U << 20;
// Reading so little in a whole write timeout is not reading.
constexpr std::uint64_t kLeastRead = 16U << 10;
// A turn under memory pressure goes to other connections when its sender brings less than this in that time.
constexpr std::chrono::milliseconds kTurnTime{500};
constexpr std::uint64_t kTurnBytes = 256U << 10;

std::string milliseconds_text(std::chrono::milliseconds time) { return std::to_string(time.count()) + " ms"; }

}  // namespace

// The jobs that the lane has done.
void Session::collect() {
  if (dead_ || !lane_) return;
  JobQueue done = lane_->collect();
  if (done.empty()) return;
  active_ = Clock::now();
  while (const std::shared_ptr<Job> job = done.pop()) {
    if (dead_) return;  // cut by the one before
    --jobs_;
    deliver(std::move(job->outcome));
  }
  flush();
  wakeup_.wake();
}

void Session::deliver(Outcome&& outcome) {
  if (outcome.error) core_.counters.count_error(outcome.error->code);
  if (outcome.error && outcome.ticket.oneway) Counters::add(core_.counters.oneway_failed);
  if (outcome.error || !outcome.ticket.summary.empty()) log_outcome(outcome);
  if (outcome.ticket.oneway) return;
  if (unread_ || !outcome.writer) {
    Counters::add(core_.counters.unanswered);
    if (!outcome.writer) cut();  // a reply that cannot be made must not be taken for the next one
    return;
  }
  Counters::add(core_.counters.replies);
  outbox_.push(std::move(*outcome.writer));
}

void Session::log_outcome(const Outcome& outcome) {
  const Ticket& ticket = outcome.ticket;
  const std::string where = ticket.handler.empty() ? "" : printable(ticket.handler, 100) + ": ";
  if (!outcome.error) {
    core_.log.write(Flood::default_result, LogLevel::info, "handled", name() + ": " + where + ticket.summary);
    return;
  }
  const Error& error = *outcome.error;
  const Flood kind = error.code == ErrorCode::unauthorized ? Flood::unauthorized : Flood::message_failed;
  if (!core_.log.permits(kind)) return;
  std::string line =
      name() + ": " + where + std::string(tensorwire::to_string(error.code)) + ": " + printable(error.message);
  if (!error.at.empty()) line += " (at " + printable(error.at, 100) + ")";
  if (ticket.oneway) line += " (oneway: the sender is not told)";
  core_.log.write(kind, LogLevel::warning, "message_failed", std::move(line));
}

void Session::flush() {
  unread_replies_.set(write_waiting_ && !dead_ ? outbox_.held_bytes() : 0);
  if (write_waiting_ || flush_posted_ || dead_ || outbox_.empty()) return;
  const std::uint64_t before = outbox_.sent_bytes();
  const std::size_t unsent = outbox_.replies();
  const Outbox::Flush result = outbox_.flush(socket_.native_handle(), io_.send_buffer());
  Counters::add(core_.counters.bytes_out, outbox_.sent_bytes() - before);
  if (outbox_.sent_bytes() > before) active_ = now_ = Clock::now();
  if (result == Outbox::Flush::dead) {
    unread_ = true;
    Counters::add(core_.counters.unanswered, unsent);
  } else if (result == Outbox::Flush::blocked) {
    await_writable();
  } else if (result == Outbox::Flush::more) {
    flush_posted_ = true;
    asio::post(socket_.get_executor(), [self = shared_from_this()] {
      self->flush_posted_ = false;
      self->guarded([&self] { self->flush(); });
    });
  }
  wakeup_.wake();
}

void Session::await_writable() {
  write_waiting_ = true;
  unread_replies_.set(outbox_.held_bytes());
  socket_.async_wait(asio::socket_base::wait_write, [self = shared_from_this()](const boost::system::error_code&) {
    self->write_waiting_ = false;
    self->guarded([&self] { self->flush(); });
  });
}

bool Session::tick(Clock::time_point now) {
  if (dead_) return false;
  if (lane_) {
    if (lane_->expire(now, core_.options.handler_timeout)) Counters::add(core_.counters.handler_timeouts);
    collect();
  }
  const bool soon = watch_input(now);
  watch_output(now);
  watch_idle(now);
  return soon && !dead_;
}

// Memory waits, stalled turns, and messages that do not come on.
bool Session::watch_input(Clock::time_point now) {
  watch_turn(now);
  if (waiting_for_memory_) {
    wakeup_.wake();
    return true;
  }
  if (end_ != End::none || !reader_ || !reader_->in_message() || wakeup_.has_waiter()) return false;
  const Options& options = core_.options;
  const std::uint64_t bytes = reader_->message_bytes();
  const auto allowed = 2 * options.read_timeout + std::chrono::seconds(bytes / options.min_receive_rate);
  if (now - progress_ > options.read_timeout) {
    cut_because(core_.counters.read_timeouts, "read_timeout",
                "nothing came for " + milliseconds_text(options.read_timeout) + " in the middle of a message, after " +
                    std::to_string(bytes) + " bytes (--read-timeout)");
  } else if (now - message_began_ > allowed) {
    cut_because(core_.counters.read_timeouts, "read_timeout",
                "a message came at less than " + std::to_string(options.min_receive_rate) + " bytes a second: only " +
                    std::to_string(bytes) + " bytes (--read-timeout)");
  }
  return false;
}

// Whoever holds a turn must use it.
void Session::watch_turn(Clock::time_point now) {
  if (!turn_.held || now - turn_checked_ < kTurnTime) return;
  const std::uint64_t bytes = reader_->message_bytes();
  if (turn_checked_ != Clock::time_point() && bytes < turn_bytes_ + kTurnBytes) {
    core_.gate.give_back(turn_);
    no_turn_before_ = now + kTurnTime;
    turn_checked_ = {};
    return;
  }
  turn_checked_ = now;
  turn_bytes_ = bytes;
}

void Session::watch_output(Clock::time_point now) {
  const bool must_go = outbox_.pending_bytes() > kPatientBytes || (end_ != End::none && !outbox_.empty());
  if (!must_go || outbox_.sent_bytes() - write_mark_ >= kLeastRead) {
    write_mark_ = outbox_.sent_bytes();
    write_progress_ = now;
  } else if (now - write_progress_ > core_.options.write_timeout) {
    Counters::add(core_.counters.unanswered, outbox_.replies());
    cut_because(core_.counters.slow_readers, "slow_reader",
                std::to_string(outbox_.pending_bytes()) + " bytes of replies were not read for " +
                    milliseconds_text(core_.options.write_timeout) + " (--write-timeout)");
  }
}

void Session::watch_idle(Clock::time_point now) {
  if (dead_ || jobs_ > 0) return;
  if (linger_until_ != Clock::time_point() && now >= linger_until_) return cut();
  const bool inside = reader_ && reader_->in_message();
  // Strangers may not hold a place for as long as those who have shown their token.
  const auto allowed =
      authorized_ ? core_.options.idle_timeout : std::min(core_.options.idle_timeout, 6 * core_.options.read_timeout);
  if (inside || now - active_ <= allowed) return;
  Counters::add(core_.counters.idle_closed);
  cut();
}

void Session::cut_because(Counters::Count& counter, const char* event, const std::string& why) {
  Counters::add(counter);
  if (core_.log.permits(Flood::cut)) {
    core_.log.write(Flood::cut, LogLevel::warning, event, name() + ": cut: " + why);
  }
  cut();
}

// "connection 12 from 127.0.0.1:50000"
std::string Session::name() const {
  boost::system::error_code failure;
  const auto peer = socket_.remote_endpoint(failure);
  std::string text = "connection " + std::to_string(number_);
  if (failure) return text;
  const bool v6 = peer.address().is_v6();
  return text + " from " + (v6 ? "[" : "") + peer.address().to_string() + (v6 ? "]:" : ":") +
         std::to_string(peer.port());
}

}  // namespace tensord
