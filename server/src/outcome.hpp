// What became of one message: a handler is run whatever it throws, and its answer is rendered for the wire.
#pragma once

#include <optional>
#include <string>

#include "tensord/handler.hpp"
#include "tensorwire/buffer.hpp"
#include "tensorwire/reader.hpp"
#include "tensorwire/writer.hpp"

namespace tensord {

// What has to be remembered of a request once its handler has it.
struct Ticket {
  tensorwire::RequestId id;
  tensorwire::TensorEncoding encoding = tensorwire::TensorEncoding::base64;
  bool oneway = false;
  std::string handler;  // its name, for the log
  std::string summary;  // what the request carried, where its success is to be logged
};

struct Outcome {
  std::optional<tensorwire::MessageWriter> writer;  // none: oneway, or no memory left even for the error
  std::optional<Error> error;                       // what the sender was told, or (oneway) was not
  Ticket ticket;
};

// Never throws: exceptions become error replies.
[[nodiscard]] Reply run_guarded(const Handler& handler, Request&& request) noexcept;
// Inside a catch block: the error reply for what was caught.
[[nodiscard]] Reply reply_of_current_exception() noexcept;

// A copy that may throw for want of memory: std::variant's own would, in g++ 12, destroy what it never made.
[[nodiscard]] tensorwire::RequestId copy_of(const tensorwire::RequestId& id);

// An error whose sentence could not be had for want of memory keeps its code.
[[nodiscard]] Error make_error(ErrorCode code, const char* sentence) noexcept;

// Renders a reply (on the thread of its handler: lists take time). A reply that cannot be rendered becomes an error.
[[nodiscard]] Outcome render(Reply&& reply, Ticket&& ticket, tensorwire::Dialect dialect,
                             tensorwire::BufferPool& pool) noexcept;

// "tensor x float32 [3,3], image png [480,640,3]": what a request carries, for the log.
[[nodiscard]] std::string summarize(const Request& request);

}  // namespace tensord
