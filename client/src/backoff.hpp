// The pauses between attempts to connect: growing, and jittered so that many clients do not come back at one moment.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>

#include "tensorclient/options.hpp"

namespace tensorclient {

// The pause before retry number `retry` (from 0): random between half of and all of first × 2^retry, at most `most`.
inline std::chrono::milliseconds backoff_pause(const Reconnect& reconnect, int retry) {
  thread_local std::minstd_rand random(std::random_device{}());
  const std::int64_t most = reconnect.most.count();
  std::int64_t full = reconnect.first.count();
  for (int i = 0; i < retry && full < most; ++i) full *= 2;
  full = std::min(full, most);
  return std::chrono::milliseconds(std::uniform_int_distribution<std::int64_t>(full / 2, full)(random));
}

}  // namespace tensorclient
