// Runs a connection's jobs in order, several of them for each turn on a handler thread.
#include "lane.hpp"

#include <coroutine>
#include <exception>
#include <utility>

namespace tensord {
namespace {

// Jobs of one connection that a handler thread runs before it looks at other connections.
constexpr int kJobsPerTurn = 16;

}  // namespace

// A coroutine that nobody awaits: it frees itself at its end.
struct Lane::Detached {
  struct promise_type {
    Detached get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }  // drive() lets none out
  };
};

void JobQueue::push(std::shared_ptr<Job> job) noexcept {
  Job* const added = job.get();
  (empty() ? head_ : tail_->next) = std::move(job);
  tail_ = added;
}

std::shared_ptr<Job> JobQueue::pop() noexcept {
  std::shared_ptr<Job> job = std::move(head_);
  if (job) head_ = std::move(job->next);
  return job;
}

void JobQueue::clear() noexcept {
  while (pop()) {  // one by one: a chain would be destroyed recursively
  }
}

void Lane::push(std::shared_ptr<Job> job) {
  bool schedule = false;
  {
    const std::scoped_lock lock(mutex_);
    if (!current_ && waiting_.empty()) job->turn_began = Clock::now();
    waiting_.push(std::move(job));
    schedule = !std::exchange(scheduled_, true);
  }
  if (schedule) pool_.post(shared_from_this());
}

JobQueue Lane::collect() noexcept {
  const std::scoped_lock lock(mutex_);
  notified_ = false;
  return std::exchange(done_, {});
}

void Lane::run() noexcept {
  for (int i = 0; i < kJobsPerTurn; ++i) {
    if (!run_one()) return;
  }
  pool_.post(shared_from_this());
}

// False when the lane has nothing more for this thread: it is empty, or a coroutine or another thread goes on with it.
bool Lane::run_one() {
  const std::shared_ptr<Job> job = next();
  if (!job) return false;
  if (job->ready) return finish(job, Reply(std::move(*job->ready)));
  if (const auto* const plain = std::get_if<Handler>(&job->route->handler)) {
    return finish(job, run_guarded(*plain, std::move(job->request)));
  }
  try {
    drive(shared_from_this(), job, std::get<AsyncHandler>(job->route->handler));
    return false;
  } catch (...) {  // no memory for the coroutine
    return finish(job, reply_of_current_exception());
  }
}

Lane::Detached Lane::drive(std::shared_ptr<Lane> lane, std::shared_ptr<Job> job, const AsyncHandler& handler) {
  Reply reply;
  try {
    reply = co_await handler(std::move(job->request));
  } catch (...) {
    reply = reply_of_current_exception();
  }
  if (lane->finish(job, std::move(reply))) lane->pool_.post(lane);
}

std::shared_ptr<Job> Lane::next() noexcept {
  const std::scoped_lock lock(mutex_);
  current_ = waiting_.pop();
  if (!current_) scheduled_ = false;
  return current_;
}

// False when the job was given up meanwhile: the lane went on without this thread.
bool Lane::finish(const std::shared_ptr<Job>& job, Reply reply) noexcept {
  if (!begin_finish(*job)) {
    late_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  job->outcome = render(std::move(reply), std::move(job->ticket), dialect_, *buffers_);
  bool abandoned = false;
  {
    const std::scoped_lock lock(mutex_);
    abandoned = current_ != job;
    if (!abandoned) {
      done_.push(std::exchange(current_, nullptr));
      begin_next_turn(Clock::now());
    }
  }
  notify();
  return !abandoned;
}

bool Lane::begin_finish(const Job& job) noexcept {
  const std::scoped_lock lock(mutex_);
  if (current_.get() != &job) return false;
  current_->finishing = true;
  return true;
}

void Lane::begin_next_turn(Clock::time_point now) noexcept {
  if (!waiting_.empty()) waiting_.front().turn_began = now;
}

void Lane::notify() noexcept {
  {
    const std::scoped_lock lock(mutex_);
    if (done_.empty() || std::exchange(notified_, true)) return;
  }
  try {
    notify_();
  } catch (...) {  // no memory to tell it; it will be found by whoever looks
    const std::scoped_lock lock(mutex_);
    notified_ = false;
  }
}

bool Lane::expire(Clock::time_point now, std::chrono::milliseconds timeout) {
  bool go_on = false;
  {
    const std::scoped_lock lock(mutex_);
    if (!current_ && waiting_.empty()) return false;
    const Job& head = current_ ? *current_ : waiting_.front();
    const bool was_running = current_ != nullptr;
    const bool as_good_as_done = was_running && (head.finishing || head.ready);
    if (as_good_as_done || now - head.turn_began < timeout) return false;
    expire_head(now, timeout);
    if (was_running) go_on = scheduled_ = !waiting_.empty();
  }
  if (go_on) pool_.post(shared_from_this());
  return true;
}

namespace {

Error timeout_error(bool running, std::chrono::milliseconds timeout) noexcept {
  try {
    const std::string limit = std::to_string(timeout.count()) + " ms";
    return Error{ErrorCode::timeout,
                 running ? "the handler took longer than " + limit + " (--handler-timeout)"
                         : "no handler thread became free within " + limit + " (--handler-timeout, --handler-threads)",
                 ""};
  } catch (...) {
    return make_error(ErrorCode::timeout, "the handler took too long");
  }
}

}  // namespace

void Lane::expire_head(Clock::time_point now, std::chrono::milliseconds timeout) {
  // The handler may still be using the job, all but its ticket, which is moved to a job of its own for the outcome.
  const auto answered = std::make_shared<Job>();
  const bool running = current_ != nullptr;
  const std::shared_ptr<Job> job = running ? std::exchange(current_, nullptr) : waiting_.pop();
  if (job->cancelled) job->cancelled->store(true, std::memory_order_relaxed);
  Error error = job->ready ? std::move(*job->ready) : timeout_error(running, timeout);
  answered->outcome = render(Reply(std::move(error)), std::move(job->ticket), dialect_, *buffers_);
  done_.push(answered);
  begin_next_turn(now);
}

void Lane::abandon() {
  const std::scoped_lock lock(mutex_);
  if (current_ && current_->cancelled) current_->cancelled->store(true, std::memory_order_relaxed);
  current_.reset();
  waiting_.clear();
  done_.clear();
}

}  // namespace tensord
