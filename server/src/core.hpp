// What all parts of one running server share.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "counters.hpp"
#include "handler_pool.hpp"
#include "log.hpp"
#include "memory_gate.hpp"
#include "route.hpp"
#include "tensord/options.hpp"
#include "tensorwire/buffer.hpp"

namespace tensord {

struct Core {
  explicit Core(Options wanted)
      : options(with_defaults(std::move(wanted))),
        log(options.log),
        budget(std::make_shared<tensorwire::MemoryBudget>(options.memory)),
        buffers(std::make_shared<tensorwire::BufferPool>(retain(options.memory), budget)),
        gate(budget) {}

  const Options options;  // nothing left to be chosen: no zeros
  Routes routes;
  Counters counters;
  Log log;
  const std::shared_ptr<tensorwire::MemoryBudget> budget;
  const std::shared_ptr<tensorwire::BufferPool> buffers;
  MemoryGate gate;
  std::unique_ptr<HandlerPool> handlers;  // while the server runs
  std::function<void()> session_ended;    // called on I/O threads

 private:
  static Options with_defaults(Options options) {
    const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
    if (options.io_threads == 0) options.io_threads = std::clamp(cores / 2, 1U, 2U);
    if (options.handler_threads == 0) options.handler_threads = std::max(2U, cores);
    if (options.memory == 0) options.memory = default_memory();
    return options;
  }
  // Freed blocks are not charged to the budget, so they stay a small part of it.
  static tensorwire::BufferPool::Options retain(std::uint64_t memory) {
    return {static_cast<std::size_t>(std::min<std::uint64_t>(memory / 8, 512U << 20))};
  }
};

// One open connection, for the counter and for whoever waits until there are none.
class OpenCount {
 public:
  explicit OpenCount(Core& core) : core_(core) { Counters::add(core_.counters.open); }
  ~OpenCount() {
    core_.counters.open.fetch_sub(1, std::memory_order_relaxed);
    core_.session_ended();
  }
  OpenCount(const OpenCount&) = delete;
  OpenCount& operator=(const OpenCount&) = delete;

 private:
  Core& core_;
};

}  // namespace tensord
