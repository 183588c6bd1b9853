// Where a client connects to, and how long and how hard it tries.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "tensorclient/outcome.hpp"
#include "tensorwire/buffer.hpp"
#include "tensorwire/limits.hpp"
#include "tensorwire/reader.hpp"
#include "tensorwire/spin.hpp"

namespace tensorclient {

struct Endpoint {
  std::string host = "127.0.0.1";  // a name, an IPv4 address, or an IPv6 address without brackets
  std::uint16_t port = 7733;

  // "HOST:PORT", "HOST", ":PORT" or "[IPv6]:PORT"; `invalid`, saying what was expected, otherwise.
  [[nodiscard]] static Outcome<Endpoint> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;  // "127.0.0.1:7733", "[::1]:7733"
};

// How a client comes back after its connection broke: it connects anew when the next call needs it. Only the making of
// the connection is tried again, a request never is.
struct Reconnect {
  // Further attempts after a failed one, each after a random pause (up to `first`, then twice that, ... up to `most`),
  // so that a hundred clients of a restarted server do not all come back at the same moment. 0: one attempt only.
  int retries = 4;
  std::chrono::milliseconds first{50};
  std::chrono::milliseconds most{2000};
  // Also retry the very first connection: for programs that are started together with their server.
  bool retry_first = false;
};

struct Options {
  Endpoint endpoint;
  // For one attempt to connect; name resolution (the system's resolver) is not counted.
  std::chrono::milliseconds connect_timeout{5000};
  // From the moment that a call is made until its reply is there whole, connecting included; 0 waits for ever.
  std::chrono::milliseconds timeout{30'000};
  // Requests that may be on their way at the same time. More keep a fast connection busy, and cost as many replies
  // held.
  std::size_t window = 8;
  // A blocking call with little on its way looks for the reply for so long before it sleeps, as long as that keeps
  // finding some: being woken takes longer than a small answer. 0 sleeps at once.
  std::chrono::microseconds spin = tensorwire::kUsualSpin;
  Reconnect reconnect;
  // Sent as `auth` with the first request of each connection; servers that listen beyond loopback ask for it.
  std::string token;
  // What a reply may cost this program (tensorwire/limits.hpp has the reasons). A server is trusted with the longest
  // frame there is: memory is taken as bytes arrive, not as they are announced.
  tensorwire::Limits limits{.max_frame = tensorwire::kHardMaxFrame};
  // framed, or raw_json (JSON Lines both ways). raw_json is slower: its replies have no announced length.
  tensorwire::Dialect dialect = tensorwire::Dialect::framed;
  // Serves the replies' tensors; null: tensorwire's shared pool.
  std::shared_ptr<tensorwire::BufferPool> pool;
  // When set, a blocking call looks at it at least ten times a second (and after every signal) and ends as `cancelled`
  // once it is true. Must outlive the client.
  const std::atomic<bool>* cancel = nullptr;

  // `invalid`, naming the option, when one makes no sense.
  [[nodiscard]] Outcome<void> check() const;
};

}  // namespace tensorclient
