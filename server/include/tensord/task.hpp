// Task<T>: what a coroutine handler returns; it starts when awaited, and holds no thread while it waits.
#pragma once

#include <chrono>
#include <coroutine>
#include <exception>
#include <type_traits>
#include <utility>
#include <variant>

namespace tensord {

template <class T>
class Task;

namespace detail {

// Where coroutine handlers go on: the server's handler threads. Public only because the awaitables below are inline.
class Scheduler {
 public:
  virtual void resume_soon(std::coroutine_handle<> coroutine) = 0;
  virtual void resume_after(std::chrono::nanoseconds delay, std::coroutine_handle<> coroutine) = 0;
  // The scheduler whose thread this is, or null outside a server's handler threads.
  [[nodiscard]] static Scheduler* current() noexcept;

 protected:
  ~Scheduler() = default;
};

// At a task's end: goes on with whoever awaits it.
struct FinalAwaiter {
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  [[nodiscard]] std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
    return ended.promise().continuation;
  }
  void await_resume() const noexcept {}
};

struct PromiseBase {
  std::coroutine_handle<> continuation = std::noop_coroutine();
  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
  [[nodiscard]] FinalAwaiter final_suspend() const noexcept { return {}; }
};

template <class T>
struct Promise : PromiseBase {
  std::variant<std::monostate, T, std::exception_ptr> result;
  [[nodiscard]] Task<T> get_return_object() noexcept;
  template <class U>
  void return_value(U&& value) {
    result.template emplace<1>(std::forward<U>(value));
  }
  void unhandled_exception() noexcept { result.template emplace<2>(std::current_exception()); }
  [[nodiscard]] T take() {
    if (result.index() == 2) std::rethrow_exception(std::get<2>(result));
    return std::move(std::get<1>(result));
  }
};

template <>
struct Promise<void> : PromiseBase {
  std::exception_ptr failure;
  [[nodiscard]] Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void unhandled_exception() noexcept { failure = std::current_exception(); }
  void take() const {
    if (failure) std::rethrow_exception(failure);
  }
};

}  // namespace detail

// Owns a suspended coroutine. `co_await std::move(task)` runs it to its end and gives its value or throws what it
// threw. Destroying a Task destroys the coroutine, which must not be running then.
template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;

  Task() noexcept = default;
  explicit Task(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}
  Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, {})) {}
  Task& operator=(Task&& other) noexcept {
    std::swap(coroutine_, other.coroutine_);
    return *this;
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() {
    if (coroutine_) coroutine_.destroy();
  }

  auto operator co_await() && noexcept {
    struct Awaiter {
      std::coroutine_handle<promise_type> coroutine;
      [[nodiscard]] bool await_ready() const noexcept { return false; }
      [[nodiscard]] std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) const noexcept {
        coroutine.promise().continuation = awaiting;
        return coroutine;
      }
      T await_resume() const { return coroutine.promise().take(); }
    };
    return Awaiter{coroutine_};
  }

 private:
  std::coroutine_handle<promise_type> coroutine_;
};

namespace detail {

template <class T>
Task<T> Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

}  // namespace detail

// `co_await sleep_for(duration)`: goes on on a handler thread after at least that time, or earlier when the server
// stops (request.cancelled() is true then). It holds no thread meanwhile. Outside a server it blocks the thread.
class sleep_for {
 public:
  explicit sleep_for(std::chrono::nanoseconds delay) noexcept : delay_(delay) {}
  [[nodiscard]] bool await_ready() const noexcept { return delay_ <= std::chrono::nanoseconds::zero(); }
  // False (go on at once) when no handler thread was there to wait with.
  [[nodiscard]] bool await_suspend(std::coroutine_handle<> coroutine) const;
  void await_resume() const noexcept {}

 private:
  std::chrono::nanoseconds delay_;
};

// A way back to the handler threads for a coroutine that was resumed elsewhere (by another library's callback, say):
//
//   HandlerThread home;                 // made in the handler, before the first co_await
//   co_await something_elsewhere();
//   co_await home.resume();             // from here on a handler thread again
class HandlerThread {
 public:
  HandlerThread() noexcept : scheduler_(detail::Scheduler::current()) {}
  [[nodiscard]] auto resume() const noexcept {
    struct Awaiter {
      detail::Scheduler* scheduler;
      [[nodiscard]] bool await_ready() const noexcept { return scheduler == nullptr; }
      void await_suspend(std::coroutine_handle<> coroutine) const { scheduler->resume_soon(coroutine); }
      void await_resume() const noexcept {}
    };
    return Awaiter{scheduler_};
  }

 private:
  detail::Scheduler* scheduler_;
};

}  // namespace tensord
