// The threads that run handlers, and the clock that wakes sleeping coroutine handlers.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <coroutine>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <variant>
#include <vector>

#include "tensord/task.hpp"

namespace tensord {

// Something that a handler thread does.
class Work {
 public:
  virtual ~Work() = default;
  virtual void run() noexcept = 0;

 private:
  friend class HandlerPool;
  std::shared_ptr<Work> next_;  // in the pool's queue, which thus never needs memory of its own
};

class HandlerPool final : public detail::Scheduler {
 public:
  explicit HandlerPool(unsigned threads);
  ~HandlerPool() { stop(); }
  HandlerPool(const HandlerPool&) = delete;
  HandlerPool& operator=(const HandlerPool&) = delete;

  // The same work must not be posted again before it runs.
  void post(std::shared_ptr<Work> work) noexcept;
  void resume_soon(std::coroutine_handle<> coroutine) override;
  void resume_after(std::chrono::nanoseconds delay, std::coroutine_handle<> coroutine) override;

  // Ends every sleep, now and from now on, so that coroutines come to their end.
  void hurry();
  // hurry(), then joins the threads once all work is done: blocks while a handler does.
  void stop();
  // Threads that are running something.
  [[nodiscard]] std::size_t busy() const noexcept { return busy_.load(std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;
  using Item = std::variant<std::shared_ptr<Work>, std::coroutine_handle<>>;
  struct Sleeper {
    Clock::time_point until;
    std::coroutine_handle<> coroutine;
    // For a heap whose front is the first to wake.
    friend bool operator<(const Sleeper& a, const Sleeper& b) { return a.until > b.until; }
  };

  void loop();
  bool take(Item& item);
  bool pop(Item& item);
  void wake_due_sleepers();
  void sleep(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<Work> first_;
  Work* last_ = nullptr;
  std::deque<std::coroutine_handle<>> awake_;
  std::vector<Sleeper> sleepers_;
  bool hurrying_ = false;
  bool stopping_ = false;
  std::atomic<std::size_t> busy_{0};
  std::vector<std::jthread> threads_;
};

}  // namespace tensord
