// From received bytes to running handlers.
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <utility>

#include "footprint.hpp"
#include "io_thread.hpp"
#include "session.hpp"

namespace tensord {
namespace {

using tensorwire::Dialect;
using tensorwire::MessageReader;

// Small replies may pile up to so much before reading stops.
constexpr std::uint64_t kMaxSmallReplies = 256U << 10;
// And no more writers of them than that: each takes some kilobytes however short its reply is.
constexpr std::size_t kMaxWriters = 256;
// Connections whose first message shows in the log, each second.
constexpr unsigned kFirstResults = 1000;
// Requests whose reply is wanted as lists are answered on the I/O thread up to this size: writing numbers takes time.
constexpr std::uint64_t kQuickList = 16U << 10;
constexpr std::string_view kHttpText =
    "This is tensord: it speaks length-prefixed JSON, not HTTP. Send a 4-byte big-endian length and then that many "
    "bytes of JSON.\n";

// Compares in a time that depends on the length of `given` only.
bool same_token(std::string_view expected, std::string_view given) noexcept {
  unsigned difference = expected.size() == given.size() ? 0U : 1U;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const char other = expected.empty() ? '\0' : expected[i % expected.size()];
    difference |= static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(other);
  }
  return difference == 0;
}

// Windows' file sharing has the same length before its messages, and they begin like nothing in JSON.
bool is_smb(std::string_view input) noexcept {
  const std::string_view body = input.substr(std::min<std::size_t>(4, input.size()));
  return input.front() == '\0' && (body.starts_with("\xFFSMB") || body.starts_with("\xFESMB"));
}

bool has_image(const Request& request) {
  return std::any_of(request.tensors.begin(), request.tensors.end(),
                     [](const Item& item) { return item.image() != nullptr; });
}

bool is_quick(const Request& request, const HandlerOptions& options) {
  if (!options.quick || request.wire_bytes > options.quick_max_bytes || has_image(request)) return false;
  return request.encoding == tensorwire::TensorEncoding::base64 || request.wire_bytes <= kQuickList;
}

}  // namespace

// Whether one more whole message may come in.
bool Session::may_take_message() const {
  return jobs_ + outbox_.large_replies() < core_.options.in_flight && outbox_.small_bytes() < kMaxSmallReplies &&
         outbox_.unrendered() < kMaxWriters;
}

// Whether to read now, at the edge of a message or inside one.
bool Session::may_read(Clock::time_point now) {
  if (!may_take_message()) {
    waiting_for_memory_ = false;
    return false;
  }
  const bool waited = std::exchange(waiting_for_memory_, false);
  if (!core_.gate.crowded()) return true;
  if (!waited) wait_began_ = now;
  if (has_memory(waited ? Clock::now() : now)) return true;
  if (!waited) {
    Counters::add(core_.counters.memory_waits);
    if (core_.log.permits(Flood::memory, 1)) {
      core_.log.write(Flood::memory, LogLevel::warning, "memory_short",
                      "more than half of --memory is in use; senders wait for their turn");
    }
  }
  waiting_for_memory_ = true;
  io_.watch_closely();
  return false;
}

bool Session::has_memory(Clock::time_point now) {
  if (!reader_ || !reader_->in_message()) return core_.gate.may_begin(wait_began_, now);
  return (turn_.held || now >= no_turn_before_) && core_.gate.may_go_on(turn_, reader_->missing_bytes());
}

// Takes message after message out of the input; gives back how much of its end cannot be taken yet.
std::size_t Session::consume(std::string_view input) {
  bool completed = false;
  const bool was_inside = reader_ && reader_->in_message();
  while (!input.empty() && end_ == End::none && !dead_) {
    if (!reader_ && !begin(input)) break;
    if (!may_take_message()) break;
    const MessageReader::Status status = reader_->feed(input);
    if (status == MessageReader::Status::need_more) break;
    completed = true;
    on_message(reader_->take_request());
  }
  note_progress(completed, was_inside);
  flush();
  return end_ == End::none ? input.size() : 0;
}

// The first byte of a connection tells what it speaks; false when that is nothing of ours.
bool Session::begin(std::string_view input) {
  const auto first = static_cast<unsigned char>(input.front());
  dialect_ = is_smb(input) ? Dialect::unknown : tensorwire::classify_first_byte(first);
  if (dialect_ == Dialect::framed || dialect_ == Dialect::raw_json) {
    reader_.emplace(dialect_, core_.options.limits, core_.buffers);
    return true;
  }
  end_with_reply();
  if (dialect_ == Dialect::http) {
    refuse_http();
    return false;
  }
  dialect_ = Dialect::framed;
  const std::string came = is_smb(input) ? "SMB, which is not spoken here" : "byte " + std::to_string(first);
  answer_error(
      Error{ErrorCode::bad_frame,
            "a connection begins with a 4-byte big-endian length (first byte 0 to 64) or with '{', not with " + came,
            ""},
      Ticket());
  return false;
}

// Nothing more is read but to let the peer read its last reply.
void Session::end_with_reply() {
  end_ = End::fatal;
  linger_ = true;
}

void Session::refuse_http() {
  Counters::add(core_.counters.http);
  if (core_.log.permits(Flood::protocol)) {
    core_.log.write(Flood::protocol, LogLevel::warning, "http", name() + ": spoke HTTP; refused");
  }
  std::string answer = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ";
  answer += std::to_string(kHttpText.size()) + "\r\nConnection: close\r\n\r\n";
  answer += kHttpText;
  outbox_.push_text(answer);
}

// The times that the clock judges a started message by.
void Session::note_progress(bool completed, bool was_inside) {
  if (completed) {
    core_.gate.give_back(turn_);
    core_.gate.message_completed(now_);
  }
  if (completed || !was_inside) message_began_ = now_;
  progress_ = now_;
}

void Session::keep(std::string_view input) {
  tensorwire::Buffer kept = core_.buffers->empty_buffer();
  if (const auto room = kept.resize(input.size()); !room.ok()) {
    end_with_reply();
    answer_error(room.error(), Ticket());
    return;
  }
  std::memcpy(kept.data(), input.data(), input.size());
  kept_ = std::move(kept);
  kept_begin_ = 0;
}

void Session::on_message(Incoming incoming) {
  Counters::add(core_.counters.messages);
  if (incoming.request.oneway) Counters::add(core_.counters.oneway);
  if (incoming.fatal) end_with_reply();
  Ticket ticket;
  ticket.id = std::move(incoming.request.id);
  ticket.encoding = incoming.request.encoding;
  ticket.oneway = incoming.request.oneway;
  try {
    dispatch(incoming, ticket);
  } catch (...) {  // no memory for the bookkeeping
    answer_error(make_error(ErrorCode::overloaded, "no memory is left for this message; try again later"),
                 std::move(ticket));
  }
}

void Session::dispatch(Incoming& incoming, Ticket& ticket) {
  Request& request = incoming.request;
  const bool by_default = request.handler.empty();
  const auto route = core_.routes.find(by_default ? core_.options.default_handler : request.handler);
  if (std::optional<Error> error = objection(incoming, route != core_.routes.end())) {
    answer_error(std::move(*error), std::move(ticket));
    return;
  }
  ticket.handler = route->first;
  request.id = copy_of(ticket.id);
  if (by_default && permits_result_line()) ticket.summary = summarize(request);
  const HandlerOptions& options = route->second.options;
  const auto* const plain = std::get_if<Handler>(&route->second.handler);
  if (plain != nullptr && jobs_ == 0 && is_quick(request, options)) {
    run_here(*plain, std::move(request), ticket);
    return;
  }
  auto job = std::make_shared<Job>(core_.budget);
  if (!job->held.try_set(footprint(request))) {
    answer_error(
        Error{ErrorCode::overloaded, "no memory is left to hold this message until its turn; try again later", ""},
        std::move(ticket));
    return;
  }
  job->cancelled = std::make_shared<std::atomic<bool>>(false);
  request.cancel_flag = job->cancelled;
  job->request = std::move(request);
  job->ticket = std::move(ticket);
  job->route = &route->second;
  hand_over(std::move(job));
}

// The first message of each connection shows in the log: senders that never read a reply have no other sign of it.
bool Session::permits_result_line() {
  const bool first = !std::exchange(spoke_, true);
  return first ? core_.log.permits(Flood::first_result, kFirstResults) : core_.log.permits(Flood::default_result);
}

// Why a message reaches no handler, if so.
std::optional<Error> Session::objection(Incoming& incoming, bool has_handler) {
  const Request& request = incoming.request;
  if (!authorized_ && !(authorized_ = same_token(core_.options.token, request.auth))) {
    end_with_reply();
    return Error{ErrorCode::unauthorized,
                 request.auth.empty()
                     ? "the first message of a connection must carry the token of this server as \"auth\""
                     : "the token in \"auth\" is not the one of this server",
                 "/auth"};
  }
  if (incoming.error) return std::move(incoming.error);
  if (has_handler) return std::nullopt;
  const std::string& wanted = request.handler.empty() ? core_.options.default_handler : request.handler;
  return Error{ErrorCode::unknown_handler,
               "there is no handler \"" + printable(wanted, 100) + "\"; there are: " + names_of(core_.routes),
               request.handler.empty() ? "" : "/handler"};
}

void Session::run_here(const Handler& handler, Request&& request, Ticket& ticket) {
  Reply reply = run_guarded(handler, std::move(request));
  if (answer_small(reply, ticket)) return;
  deliver(render(std::move(reply), std::move(ticket), dialect_, *core_.buffers));
}

// The short way of most replies: straight into what is sent next. False when this one needs the long way.
bool Session::answer_small(Reply& reply, const Ticket& ticket) {
  if (ticket.oneway || unread_ || !ticket.summary.empty()) return false;
  reply.id = copy_of(ticket.id);
  if (!outbox_.push_small(reply, ticket.encoding, dialect_)) return false;
  Counters::add(core_.counters.replies);
  return true;
}

// In its turn: behind the answers to the messages that came before.
void Session::answer_error(Error error, Ticket ticket) {
  if (jobs_ == 0) {
    deliver(render(Reply(std::move(error)), std::move(ticket), dialect_, *core_.buffers));
    return;
  }
  auto job = std::make_shared<Job>();
  job->ticket = std::move(ticket);
  job->ready = std::move(error);
  hand_over(std::move(job));
}

void Session::hand_over(std::shared_ptr<Job> job) {
  if (!lane_) {
    auto notify = [weak = weak_from_this(), executor = socket_.get_executor()] {
      boost::asio::post(executor, [weak] {
        if (const auto self = weak.lock()) self->guarded([&self] { self->collect(); });
      });
    };
    lane_ = std::make_shared<Lane>(*core_.handlers, dialect_, core_.buffers, std::move(notify),
                                   core_.counters.late_replies);
  }
  lane_->push(std::move(job));
  ++jobs_;
}

// Draining: what came after the signal is told so, one message at most, and then the connection closes.
void Session::refuse_late_input() {
  const std::span<char> buffer = io_.receive_buffer();
  const ssize_t received = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  std::string_view input(buffer.data(), received > 0 ? static_cast<std::size_t>(received) : 0);
  if (!reader_ && (input.empty() || !begin(input))) return;
  Ticket ticket;
  const bool complete = reader_->feed(input) != MessageReader::Status::need_more;
  if (!complete && !reader_->in_message()) return;
  linger_ = true;
  if (complete) {
    Incoming incoming = reader_->take_request();
    ticket.id = std::move(incoming.request.id);
    ticket.oneway = incoming.request.oneway;
  }
  answer_error(Error{ErrorCode::shutting_down,
                     complete ? "the server is stopping and takes no more messages"
                              : "the server is stopping, and this message was not complete",
                     ""},
               std::move(ticket));
}

}  // namespace tensord
