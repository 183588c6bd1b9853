// Who may go on reading when memory is short: beginners wait, and those inside a message take turns.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>

#include "tensorwire/buffer.hpp"

namespace tensord {

// A connection's leave to grow although memory is short; it stands for the bytes that its message still lacks.
struct Turn {
  bool held = false;
  std::uint64_t reserved = 0;
};

//                     0 % ────────── 50 % ────────────── 80 % ──────────── 95 % ──── 100 %
// begin a message:       at once        at once              when below again, or after kPatience in which
//                                                            no message of anyone was completed
// go on with one:        at once        with a turn: one always, more as long as what they lack fits below 95 %
//
// Without turns, a hundred half-received tensors would fill the memory and none of them could ever be completed; half
// of it is left for those whose turn it is. What does not fit in the end is refused by the pool that allocates it.
// Thread-safe.
class MemoryGate {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kPatience{1000};

  explicit MemoryGate(std::shared_ptr<const tensorwire::MemoryBudget> budget) : budget_(std::move(budget)) {}

  [[nodiscard]] bool crowded() const noexcept { return budget_->used() > budget_->limit() / 2; }
  [[nodiscard]] bool pressed() const noexcept { return budget_->used() > budget_->limit() / 10 * 8; }
  // Whether a connection that waits since `since` (or asks for the first time) may begin a message.
  [[nodiscard]] bool may_begin(Clock::time_point since, Clock::time_point now) const noexcept;
  // Whether a connection may go on with a message that lacks so many bytes; it may get a turn for it.
  [[nodiscard]] bool may_go_on(Turn& turn, std::uint64_t lacking);
  // At the end of a message, or when its sender stalls.
  void give_back(Turn& turn);
  void message_completed(Clock::time_point now) noexcept;

 private:
  const std::shared_ptr<const tensorwire::MemoryBudget> budget_;
  std::mutex mutex_;
  std::uint64_t turns_ = 0;
  std::uint64_t reserved_ = 0;
  std::atomic<Clock::rep> last_completed_{0};
};

// A quarter of what this machine, or the container that it runs in, has.
[[nodiscard]] std::uint64_t default_memory();

}  // namespace tensord
