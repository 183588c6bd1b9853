// The receiving machine: bytes of a connection in pieces of any size go in, whole messages come out. It does no I/O.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tensorwire/buffer.hpp"
#include "tensorwire/error.hpp"
#include "tensorwire/limits.hpp"
#include "tensorwire/message.hpp"

namespace tensorwire {

// What a connection speaks, told by its first byte (common/PROTOCOL.md, "Dialects").
enum class Dialect : std::uint8_t { framed, raw_json, http, unknown };
[[nodiscard]] Dialect classify_first_byte(unsigned char byte) noexcept;

// What a message was decoded to. The request is filled as far as it could be read, so that an error can be answered
// with its id (or not at all, when it is oneway).
struct IncomingRequest {
  Request request;
  std::optional<Error> error;
  // The stream cannot be followed any further (bad_frame, frame_too_large, raw JSON that is no JSON): reply and close.
  bool fatal = false;
};

struct IncomingReply {
  Reply reply;                 // reply.error holds an error reply of the peer
  std::optional<Error> error;  // the reply itself could not be understood
  bool fatal = false;
};

// frame → scan → decode for one connection. Feed it what was received until it says `message`, take the message, go on.
//
//   need_more ──feed──▶ need_more | message | fatal          message ──take_*──▶ need_more
//
// After `fatal` (take_* gives its error) it accepts nothing more.
class MessageReader {
 public:
  enum class Status : std::uint8_t { need_more, message, fatal };

  // dialect must be framed or raw_json. pool serves the payloads; it must not be null.
  MessageReader(Dialect dialect, const Limits& limits, std::shared_ptr<BufferPool> pool);
  ~MessageReader();
  MessageReader(MessageReader&&) noexcept;
  MessageReader& operator=(MessageReader&&) noexcept;

  // Consumes a prefix of input (the view is advanced past it) and stops behind a complete message. Only `need_more`
  // means that all of it was consumed. Nothing in input is referred to after the call.
  [[nodiscard]] Status feed(std::string_view& input);

  // After `message` or `fatal`: decodes it. Image headers are read here, pixels are not.
  [[nodiscard]] IncomingRequest take_request();
  [[nodiscard]] IncomingReply take_reply();

  // True when bytes of a message have arrived that is not complete: an end of file here truncates it.
  [[nodiscard]] bool in_message() const noexcept;
  // Bytes of the current message that have arrived so far.
  [[nodiscard]] std::uint64_t message_bytes() const noexcept;
  // Framed dialect: how many bytes the current frame still lacks (0 when unknown), as a hint for how much to read.
  [[nodiscard]] std::uint64_t missing_bytes() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The same in one step for a whole message (the JSON object alone, no prefix), built from whole-message RapidJSON and a
// plain base64 decoder: slower, simpler, and what the machine above is tested against.
[[nodiscard]] IncomingRequest decode_request_oracle(std::string_view json, const Limits& limits,
                                                    const std::shared_ptr<BufferPool>& pool);

}  // namespace tensorwire
