// Turns under memory pressure, and the memory that there is.
#include "memory_gate.hpp"

#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace tensord {

bool MemoryGate::may_begin(Clock::time_point since, Clock::time_point now) const noexcept {
  if (!pressed()) return true;
  const Clock::time_point completed{Clock::duration(last_completed_.load(std::memory_order_relaxed))};
  return now - std::max(since, completed) >= kPatience;
}

bool MemoryGate::may_go_on(Turn& turn, std::uint64_t lacking) {
  if (turn.held || !crowded()) return true;
  const std::uint64_t bytes = lacking / 4 * 3;  // base64
  const std::scoped_lock lock(mutex_);
  if (turns_ > 0 && budget_->used() + reserved_ + bytes > budget_->limit() / 100 * 95) return false;
  ++turns_;
  reserved_ += bytes;
  turn = {true, bytes};
  return true;
}

void MemoryGate::give_back(Turn& turn) {
  if (!turn.held) return;
  const std::scoped_lock lock(mutex_);
  --turns_;
  reserved_ -= turn.reserved;
  turn = {};
}

void MemoryGate::message_completed(Clock::time_point now) noexcept {
  last_completed_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
}

std::uint64_t default_memory() {
  const auto pages = static_cast<std::uint64_t>(std::max(1L, sysconf(_SC_PHYS_PAGES)));
  std::uint64_t memory = pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  std::uint64_t cap = 0;
  if (std::ifstream("/sys/fs/cgroup/memory.max") >> cap && cap > 0) memory = std::min(memory, cap);
  return std::max<std::uint64_t>(memory / 4, 16U << 20);
}

}  // namespace tensord
