// The order of one connection: its messages are handled one after the other on the handler threads, and their outcomes
// come back in that order.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "handler_pool.hpp"
#include "outcome.hpp"
#include "route.hpp"

namespace tensord {

// One message on its way: to a handler, or (ready set) an error that only has to wait for its turn.
struct Job {
  explicit Job(std::shared_ptr<tensorwire::MemoryBudget> budget = nullptr) noexcept : held(std::move(budget)) {}

  Ticket ticket;
  Request request;
  tensorwire::MemoryCharge held;  // for what the request occupies besides its payloads
  const Route* route = nullptr;
  std::optional<Error> ready;
  std::shared_ptr<std::atomic<bool>> cancelled;
  std::chrono::steady_clock::time_point turn_began{};  // since when nothing of its connection stood before it
  bool finishing = false;                              // its handler has answered: too late for a timeout
  Outcome outcome;                                     // once it is done
  std::shared_ptr<Job> next;                           // in a JobQueue
};

// First in, first out. The links are in the jobs, so that nothing here can fail for want of memory.
class JobQueue {
 public:
  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] Job& front() const noexcept { return *head_; }
  void push(std::shared_ptr<Job> job) noexcept;
  std::shared_ptr<Job> pop() noexcept;  // null when empty
  void clear() noexcept;

 private:
  std::shared_ptr<Job> head_;
  Job* tail_ = nullptr;
};

//   push ──▶ waiting ──▶ current (on a handler thread) ──▶ done ──collect──▶
//                            └──expire──▶ done, as `timeout`; what the handler answers later is dropped
class Lane final : public Work, public std::enable_shared_from_this<Lane> {
 public:
  using Clock = std::chrono::steady_clock;
  // notify is called, on any thread, when there is something to collect; it may fail (throw) for want of memory, so
  // whoever collects should also look by himself now and then.
  Lane(HandlerPool& pool, tensorwire::Dialect dialect, std::shared_ptr<tensorwire::BufferPool> buffers,
       std::function<void()> notify, std::atomic<std::uint64_t>& late_replies)
      : pool_(pool), dialect_(dialect), buffers_(std::move(buffers)), notify_(std::move(notify)), late_(late_replies) {}

  void push(std::shared_ptr<Job> job);
  // The jobs that are done, in order.
  [[nodiscard]] JobQueue collect() noexcept;
  // Answers what has had its turn for longer than timeout, and goes on with the next; true when it did.
  bool expire(Clock::time_point now, std::chrono::milliseconds timeout);
  // Nobody waits any more: what has not begun never will, what runs is cancelled and its outcome dropped.
  void abandon();

  void run() noexcept override;  // on a handler thread

 private:
  std::shared_ptr<Job> next() noexcept;
  bool run_one();
  bool finish(const std::shared_ptr<Job>& job, Reply reply) noexcept;
  bool begin_finish(const Job& job) noexcept;
  void begin_next_turn(Clock::time_point now) noexcept;
  void notify() noexcept;
  void expire_head(Clock::time_point now, std::chrono::milliseconds timeout);
  struct Detached;
  static Detached drive(std::shared_ptr<Lane> lane, std::shared_ptr<Job> job, const AsyncHandler& handler);

  HandlerPool& pool_;
  const tensorwire::Dialect dialect_;
  const std::shared_ptr<tensorwire::BufferPool> buffers_;
  const std::function<void()> notify_;
  std::atomic<std::uint64_t>& late_;

  std::mutex mutex_;
  JobQueue waiting_;
  std::shared_ptr<Job> current_;
  JobQueue done_;
  bool scheduled_ = false;  // in the pool's queue, or on one of its threads, or in a suspended coroutine
  bool notified_ = false;
};

}  // namespace tensord
