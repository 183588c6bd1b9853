// How an AsyncClient's calls begin, end, expire and are matched with their replies.
#include "async_core.hpp"

#include <algorithm>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>

#include "replies.hpp"

namespace tensorclient::detail {

namespace {

// Calls that may wait for room in the window: a bound for programs that start calls faster than they are answered.
constexpr std::size_t kMaxQueued = 1024;
constexpr std::size_t kPiece = 256 << 10;

Failure plain(FailureKind kind, std::string message, Delivery delivery) {
  return {kind, std::move(message), delivery, std::nullopt, {}};
}

// Posted first, so that no handler runs inside this code and none holds the strand; the handler's own executor, which
// can only be dispatched to, then decides where it runs.
template <class Handler, class Value>
void complete(const asio::any_io_executor& base, Op& op, Handler handler, Value value) {
  auto call = [handler = std::move(handler), value = std::move(value)]() mutable {
    std::move(handler)(std::move(value));
  };
  asio::post(base, [executor = std::move(op.executor), call = std::move(call)]() mutable {
    asio::dispatch(executor, std::move(call));
  });
}

// Hooks the token's cancellation up with `cancel`, which is posted to the strand.
template <class Handler, class Cancel>
void on_cancellation(Handler& handler, Cancel cancel) {
  auto slot = asio::get_associated_cancellation_slot(handler);
  if (!slot.is_connected()) return;
  slot.assign([cancel](asio::cancellation_type type) {
    if (type != asio::cancellation_type::none) cancel();
  });
}

template <class Handler>
asio::any_completion_executor tracked_executor(const Handler& handler, const asio::any_io_executor& fallback) {
  asio::any_completion_executor executor =
      asio::get_associated_executor(handler, asio::any_completion_executor(fallback));
  return asio::prefer(executor, asio::execution::outstanding_work.tracked);
}

}  // namespace

void start_call(const std::shared_ptr<AsyncCore>& core, Call call, ReplyHandler handler) {
  auto op = std::make_shared<Op>(std::move(call));
  op->on_reply.swap(handler);  // the move assignment of Asio 1.26's any_completion_handler never ends
  core->start(std::move(op));
}

void start_send(const std::shared_ptr<AsyncCore>& core, Call call, SentHandler handler) {
  auto op = std::make_shared<Op>(std::move(call));
  op->on_sent.swap(handler);
  core->start(std::move(op));
}

AsyncCore::AsyncCore(const asio::any_io_executor& executor, Options options)
    : strand_(asio::make_strand(executor)),
      options_(std::move(options)),
      pool_(options_.pool ? options_.pool : tensorwire::BufferPool::shared()),
      socket_(strand_),
      deadline_timer_(strand_),
      connect_timer_(strand_),
      out_(kPiece),
      in_(kPiece) {}

void AsyncCore::start(OpPtr op) {
  const auto span = op->call.timeout().value_or(options_.timeout);
  if (span > std::chrono::milliseconds::zero()) op->deadline = Clock::now() + span;
  const auto cancel = [weak = weak_from_this(), target = std::weak_ptr<Op>(op)] {
    const auto core = weak.lock();
    if (!core) return;
    asio::post(core->strand_, [core, target] {
      if (const auto found = target.lock()) core->give_up(found, FailureKind::cancelled, "the call was cancelled");
      core->settle();
    });
  };
  if (op->on_reply) {
    op->executor = tracked_executor(op->on_reply, strand_.get_inner_executor());
    on_cancellation(op->on_reply, cancel);
  } else {
    op->executor = tracked_executor(op->on_sent, strand_.get_inner_executor());
    on_cancellation(op->on_sent, cancel);
  }
  asio::post(strand_, [self = shared_from_this(), op = std::move(op)] { self->enqueue(op); });
}

void AsyncCore::close() {
  asio::post(strand_, [self = shared_from_this()] {
    self->lose(FailureKind::cancelled, "the connection was closed by this program");
    self->fail_queue(plain(FailureKind::cancelled, "the connection was closed by this program", Delivery::not_sent));
    self->settle();
  });
}

void AsyncCore::enqueue(const OpPtr& op) {
  if (op->done) return;  // cancelled before it came this far
  if (op->call.is_oneway() != static_cast<bool>(op->on_sent)) {
    return finish(*op,
                  Failure::invalid(op->call.is_oneway() ? "a oneway call has no reply to wait for: use async_send()"
                                                        : "async_send() is for oneway calls: set oneway()"));
  }
  if (queue_.size() >= kMaxQueued) {
    return finish(*op,
                  Failure::invalid(std::to_string(kMaxQueued) + " calls wait already: wait for some of them first"));
  }
  queue_.push_back(op);
  watch_deadline(*op);
  wake();
}

void AsyncCore::wake() {
  if (!writing_ && can_take()) {
    writing_ = true;
    auto ended = [self = shared_from_this()](const std::exception_ptr& exception) { self->on_loop_end(exception); };
    asio::co_spawn(strand_, write_loop(), std::move(ended));
  }
  if (!reading_ && connected_ && !idle() && !sent_.empty()) {
    reading_ = true;
    auto ended = [self = shared_from_this()](const std::exception_ptr& exception) { self->on_loop_end(exception); };
    asio::co_spawn(strand_, read_loop(), std::move(ended));
  }
}

// The loops themselves throw nothing; what may come through them is the lack of memory.
void AsyncCore::on_loop_end(const std::exception_ptr& exception) {
  if (!exception) return;
  writing_ = reading_ = false;
  lose(FailureKind::disconnected, "the connection was closed: out of memory");
  fail_queue(plain(FailureKind::disconnected, "out of memory", Delivery::not_sent));
}

void AsyncCore::finish(Op& op, Outcome<Reply> outcome) {
  if (op.done) return;
  op.done = true;
  if (op.on_reply) return complete(strand_.get_inner_executor(), op, std::move(op.on_reply), std::move(outcome));
  complete(strand_.get_inner_executor(), op, std::move(op.on_sent),
           outcome.ok() ? Outcome<void>() : Outcome<void>(std::move(outcome).failure()));
}

// Ends one call without its reply, sparing the others where the stream allows it.
void AsyncCore::give_up(const OpPtr& op, FailureKind kind, const std::string& message) {
  if (op->done) return;
  const auto queued = std::find(queue_.begin(), queue_.end(), op);
  if (queued != queue_.end()) queue_.erase(queued);
  finish(*op, plain(kind, message, op->begun && handed_ > op->begin ? Delivery::unknown : Delivery::not_sent));
  if (op->begun && op->end > flushed_) {
    lose(FailureKind::disconnected, "the connection was closed because another request ended half-sent");
  }
  const auto abandoned = std::count_if(sent_.begin(), sent_.end(), [](const OpPtr& one) { return one->done; });
  if (static_cast<std::size_t>(abandoned) >= options_.window) {
    lose(FailureKind::disconnected, "the connection was closed: the server answers none of its requests");
  }
}

void AsyncCore::lose(FailureKind kind, const std::string& message) {
  ++epoch_;
  connected_ = false;
  boost::system::error_code ignored;
  socket_.close(ignored);
  connect_timer_.cancel();
  writer_.reset();
  for (const OpPtr& op : sent_) {
    finish(*op, plain(kind, message, handed_ > op->begin ? Delivery::unknown : Delivery::not_sent));
  }
  for (const OpPtr& op : oneways_) {
    finish(*op, plain(kind, message, handed_ > op->begin ? Delivery::unknown : Delivery::not_sent));
  }
  sent_.clear();
  oneways_.clear();
}

void AsyncCore::fail_queue(const Failure& failure) {
  for (const OpPtr& op : std::exchange(queue_, {})) finish(*op, failure);
}

// No call is waited for by anybody.
bool AsyncCore::idle() const {
  const auto done = [](const OpPtr& op) { return op->done; };
  return queue_.empty() && oneways_.empty() && std::all_of(sent_.begin(), sent_.end(), done);
}

// After calls have ended: goes on with the next, or lets every pending operation go, so that run() may return.
void AsyncCore::settle() {
  if (!idle()) return wake();
  deadline_timer_.cancel();
  timer_at_ = Clock::time_point::max();
  boost::system::error_code ignored;
  if (!connected_) {
    connect_timer_.cancel();
    socket_.close(ignored);
  } else if (!writing_) {
    socket_.cancel(
        ignored);  // the reading; a writing ends by itself, and a half-written request would spoil the stream
  }
}

void AsyncCore::watch_deadline(const Op& op) {
  if (!op.deadline || *op.deadline >= timer_at_) return;
  timer_at_ = *op.deadline;
  deadline_timer_.expires_at(timer_at_);
  deadline_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (self && !error) self->on_timer();
  });
}

void AsyncCore::on_timer() {
  const auto now = Clock::now();
  if (now < timer_at_) return;  // set anew while this wait's end was on its way
  timer_at_ = Clock::time_point::max();
  std::vector<OpPtr> all(queue_.begin(), queue_.end());
  all.insert(all.end(), sent_.begin(), sent_.end());
  all.insert(all.end(), oneways_.begin(), oneways_.end());
  for (const OpPtr& op : all) {
    if (op->done || !op->deadline) continue;
    if (*op->deadline <= now) {
      give_up(op, FailureKind::deadline_exceeded, "no reply within the time limit");
    } else {
      watch_deadline(*op);
    }
  }
  settle();
}

void AsyncCore::feed(std::string_view input) {
  using Status = tensorwire::MessageReader::Status;
  const std::uint64_t epoch = epoch_;
  while (epoch == epoch_ && reader_->feed(input) != Status::need_more) on_reply(reader_->take_reply());
}

void AsyncCore::on_reply(tensorwire::IncomingReply incoming) {
  if (incoming.fatal) return lose(FailureKind::protocol, not_a_reply(incoming));
  if (sent_.empty()) return on_stray(incoming);
  const OpPtr op = sent_.front();
  if (!belongs(incoming, op->id)) return lose(FailureKind::protocol, wrong_id(incoming, op->id));
  farewell_ = farewell_ || is_farewell(incoming);
  sent_.pop_front();
  const bool early = !op->gathered_whole();
  finish(*op, outcome_of(std::move(incoming)));
  if (early)
    lose(FailureKind::disconnected, "the connection was closed: the server refused a request before it had all of it");
}

void AsyncCore::on_stray(const tensorwire::IncomingReply& incoming) {
  if (incoming.reply.error) return lose(FailureKind::disconnected, incoming.reply.error->message);
  lose(FailureKind::protocol, "the peer sent a reply that belongs to no request");
}

}  // namespace tensorclient::detail
