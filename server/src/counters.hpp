// What the server counts: everything that came, went, failed, or was refused, dropped or cut.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

#include "tensorwire/error.hpp"
#include "tensorwire/json.hpp"

namespace tensord {

// Relaxed atomics: exact totals, but no order between one and another.
struct Counters {
  using Count = std::atomic<std::uint64_t>;
  Count connections{0};       // accepted
  Count open{0};              // of them, open now
  Count refused{0};           // over the cap, told `overloaded`
  Count accept_failures{0};   // accept() itself failed (out of descriptors)
  Count messages{0};          // whole messages that came, right or wrong
  Count replies{0};           // put on the wire
  Count oneway{0};            // messages that wanted no reply
  Count oneway_failed{0};     // of them, failed (nobody was told)
  Count unanswered{0};        // replies whose reader was gone
  Count truncated{0};         // connections that ended inside a message
  Count read_timeouts{0};     // messages cut for want of progress
  Count idle_closed{0};       // connections closed for idleness
  Count slow_readers{0};      // connections cut because nobody read their replies
  Count handler_timeouts{0};  // handlers that took too long
  Count late_replies{0};      // replies of such handlers, dropped
  Count memory_waits{0};      // times that reading stopped for want of memory
  Count http{0};              // connections that spoke HTTP
  Count bytes_in{0};
  Count bytes_out{0};
  std::array<Count, tensorwire::kErrorCodeCount> errors{};  // by code, replied or (oneway) only logged

  void count_error(tensorwire::ErrorCode code) noexcept { add(errors[static_cast<std::size_t>(code)]); }
  static void add(Count& counter, std::uint64_t n = 1) noexcept { counter.fetch_add(n, std::memory_order_relaxed); }

  [[nodiscard]] tensorwire::Json to_json() const;
  // Those that are not zero, as "connections 12, messages 30, ...".
  [[nodiscard]] std::string summary() const;
};

}  // namespace tensord
