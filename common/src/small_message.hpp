// Reads a whole small message in one pass where it is as plain as nearly all are; whatever is not goes to the scanner.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "tensorwire/message.hpp"

namespace tensorwire {

// The longest text that is tried: the time of longer ones goes into their payloads anyway.
inline constexpr std::size_t kSmallMessage = 4096;

// A message's members, whether it is a request or a reply. Of a reply, request.id and request.tensors are its own.
struct SmallMessage {
  Request request;
  Json result;
  bool status_ok = false;  // `status` was given, and was "ok"
};

// Plain means: ASCII strings without escapes, integers, tensors as canonical dtype, shape and base64 that fits them,
// flat params and result, no member twice, none unknown. Such a message is read as scan and decode read it; for any
// other this says no, and they give the verdict.
class SmallMessageReader {
 public:
  SmallMessageReader(const Limits& limits, std::shared_ptr<BufferPool> pool);

  // Reads one message's JSON; false, and `out` is in any state, when it is not plain or there is no memory.
  [[nodiscard]] bool read(std::string_view json, SmallMessage& out) const noexcept;

 private:
  std::size_t max_tensors_;  // 0: the limits are so tight that only the scanner can apply them
  std::shared_ptr<BufferPool> pool_;
};

}  // namespace tensorwire
