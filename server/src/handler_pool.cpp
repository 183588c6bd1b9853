// One queue under one mutex: handlers take microseconds to seconds, so a cleverer queue would not show.
#include "handler_pool.hpp"

#include <algorithm>
#include <utility>

namespace tensord {
namespace {

thread_local detail::Scheduler* current_scheduler = nullptr;

}  // namespace

detail::Scheduler* detail::Scheduler::current() noexcept { return current_scheduler; }

bool sleep_for::await_suspend(std::coroutine_handle<> coroutine) const {
  if (detail::Scheduler* const scheduler = detail::Scheduler::current()) {
    scheduler->resume_after(delay_, coroutine);
    return true;
  }
  std::this_thread::sleep_for(delay_);
  return false;
}

HandlerPool::HandlerPool(unsigned threads) {
  threads_.reserve(threads);
  for (unsigned i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { loop(); });
  }
}

void HandlerPool::post(std::shared_ptr<Work> work) noexcept {
  {
    const std::scoped_lock lock(mutex_);
    Work* const added = work.get();
    (first_ ? last_->next_ : first_) = std::move(work);
    last_ = added;
  }
  changed_.notify_one();
}

void HandlerPool::resume_soon(std::coroutine_handle<> coroutine) {
  {
    const std::scoped_lock lock(mutex_);
    awake_.push_back(coroutine);
  }
  changed_.notify_one();
}

void HandlerPool::resume_after(std::chrono::nanoseconds delay, std::coroutine_handle<> coroutine) {
  {
    const std::scoped_lock lock(mutex_);
    const auto now = Clock::now();
    const auto longest = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::time_point::max() - now);
    sleepers_.push_back({hurrying_ ? now : now + std::min(delay, longest), coroutine});
    std::push_heap(sleepers_.begin(), sleepers_.end());
  }
  changed_.notify_one();
}

void HandlerPool::hurry() {
  {
    const std::scoped_lock lock(mutex_);
    hurrying_ = true;
    for (const Sleeper& sleeper : sleepers_) awake_.push_back(sleeper.coroutine);
    sleepers_.clear();
  }
  changed_.notify_all();
}

void HandlerPool::stop() {
  hurry();
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  threads_.clear();  // joins
}

void HandlerPool::loop() {
  current_scheduler = this;
  Item item;
  while (take(item)) {
    if (auto* const work = std::get_if<std::shared_ptr<Work>>(&item)) {
      (*work)->run();
    } else {
      std::get<std::coroutine_handle<>>(item).resume();
    }
    item = std::coroutine_handle<>();
    busy_.fetch_sub(1, std::memory_order_relaxed);
  }
}

// Waits for something to run; false when there will be no more.
bool HandlerPool::take(Item& item) {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_due_sleepers();
    if (pop(item)) break;
    if (stopping_ && busy_.load(std::memory_order_relaxed) == 0) return false;
    sleep(lock);
  }
  busy_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

// Coroutines first: they were begun before.
bool HandlerPool::pop(Item& item) {
  if (!awake_.empty()) {
    item = awake_.front();
    awake_.pop_front();
    return true;
  }
  if (!first_) return false;
  std::shared_ptr<Work> work = std::move(first_);
  first_ = std::move(work->next_);
  item = std::move(work);
  return true;
}

void HandlerPool::sleep(std::unique_lock<std::mutex>& lock) {
  if (stopping_) {
    // Whoever is still busy may bring more work, and tells nobody when it ends without: look again soon.
    changed_.wait_for(lock, std::chrono::milliseconds(1));
  } else if (sleepers_.empty()) {
    changed_.wait(lock);
  } else {
    const auto until = sleepers_.front().until;
    changed_.wait_until(lock, until);
  }
}

void HandlerPool::wake_due_sleepers() {
  const auto now = sleepers_.empty() ? Clock::time_point() : Clock::now();
  while (!sleepers_.empty() && sleepers_.front().until <= now) {
    awake_.push_back(sleepers_.front().coroutine);
    std::pop_heap(sleepers_.begin(), sleepers_.end());
    sleepers_.pop_back();
  }
}

}  // namespace tensord
