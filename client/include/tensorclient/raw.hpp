// Sending to a bare receiver: one JSON object on a fresh connection, no length prefix, no reply needed.
#pragma once

#include <chrono>
#include <string>

#include "tensorclient/call.hpp"
#include "tensorclient/options.hpp"
#include "tensorclient/outcome.hpp"

namespace tensorclient {

struct RawAnswer {
  // What the peer sent back until it closed, as it came (at most 1 MiB of it is kept): nothing from a bare receiver,
  // one line of JSON from a tensord.
  std::string text;
  // The peer closed its side: it has read all of the request, or wants no more of it.
  bool closed = false;
};

// Connects, sends the call as one JSON object, and half-closes, so that a receiver which reads to the end of the stream
// (recv, json.loads, b64decode, frombuffer, reshape) has exactly that object. A single nameless tensor stands directly
// in the object: {"tensor": "...", "dtype": "float32", "shape": [3,3]}. Then listens until the peer closes, at most
// `linger` (a peer that stays silent and open is no failure). options.timeout bounds the connecting and sending.
[[nodiscard]] Outcome<RawAnswer> send_raw(const Options& options, const Call& call,
                                          std::chrono::milliseconds linger = std::chrono::milliseconds(1000));

}  // namespace tensorclient
