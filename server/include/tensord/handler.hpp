// What a handler is: a plain function, or a coroutine, from a request to a reply.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>

#include "tensord/task.hpp"
#include "tensorwire/message.hpp"

namespace tensord {

using tensorwire::Error;
using tensorwire::ErrorCode;
using tensorwire::ErrorException;
using tensorwire::Image;
using tensorwire::Item;
using tensorwire::Json;
using tensorwire::Reply;
using tensorwire::Request;
using tensorwire::Result;
using tensorwire::Shape;
using tensorwire::Tensor;

// Runs on a handler thread; may block and may throw. An ErrorException reaches the sender with its code, std::bad_alloc
// as `overloaded`, any other exception as `handler_failed` with its text. Called from several threads at once: one call
// at a time for each connection, but many connections.
using Handler = std::function<Reply(Request)>;

// The same as a coroutine: it holds no thread while it waits. It starts on a handler thread and goes on where what it
// awaited resumes it.
using AsyncHandler = std::function<Task<Reply>(Request)>;

struct HandlerOptions {
  // Runs on the I/O thread, saving two thread hops: only for handlers that take microseconds and never block, as every
  // other connection of that thread waits meanwhile. Requests with images never run there (decoding takes
  // milliseconds), nor does a request that follows one still running. Coroutine handlers ignore it.
  bool quick = false;
  // Larger requests (bytes on the wire) go to a handler thread even so: for handlers that are quick on small tensors.
  std::uint64_t quick_max_bytes = std::numeric_limits<std::uint64_t>::max();
  // One line for `info` and `tensorctl info`.
  std::string description{};
};

}  // namespace tensord
