// What a handler is: a plain function, or a coroutine, from a request to a reply.
#pragma once

#include <functional>
#include <string>

#include "tensord/task.hpp"
#include "tensorwire/message.hpp"

namespace tensord {

using tensorwire::Error;
using tensorwire::ErrorCode;
using tensorwire::Item;
using tensorwire::Json;
using tensorwire::Reply;
using tensorwire::Request;
using tensorwire::Tensor;

// Runs on a handler thread; may block and may throw. An ErrorException reaches the sender with its code, any other
// exception as `handler_failed` with its text. Called from several threads at once (one for each connection).
using Handler = std::function<Reply(Request)>;

// The same as a coroutine: it holds no thread while it waits. It starts on a handler thread and goes on where what it
// awaited resumes it.
using AsyncHandler = std::function<Task<Reply>(Request)>;

struct HandlerOptions {
  // Runs on the I/O thread, saving two thread hops: only for handlers that take microseconds and never block.
  bool quick = false;
  // One line for `info` and `tensorctl info`.
  std::string description;
};

}  // namespace tensord
