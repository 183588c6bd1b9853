// The sending machine: a request or reply goes in, its bytes come out in pieces that fit the cache. It does no I/O.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensorwire/error.hpp"
#include "tensorwire/message.hpp"
#include "tensorwire/reader.hpp"
#include "tensorwire/tensor.hpp"

namespace tensorwire {

// One entry of an outgoing request's `tensors`. Borrows: what it points to must live until the writer is done.
struct OutgoingItem {
  std::string_view name;  // may be empty
  // Exactly one of the two: a tensor's elements, or a whole PNG/JPEG file (then image is true and view is unused).
  TensorView view = {};
  bool image = false;
  std::span<const std::byte> file = {};
  ImageOptions image_options = {};  // sent with an image where it differs from the default
};

struct OutgoingRequest {
  RequestId id;
  std::string_view handler;
  std::vector<OutgoingItem> tensors;
  Json params;                                       // an object, or null
  TensorEncoding payload = TensorEncoding::base64;   // how these tensors are written (`tensor`, or `data` lists)
  TensorEncoding encoding = TensorEncoding::base64;  // how the reply's are asked for
  bool oneway = false;
  std::string_view auth;
};

// Renders one message. Text and lists are rendered when it is made; base64 while it is read, straight from the tensors.
class MessageWriter {
 public:
  // A request whose tensors stay with the caller. One tensor without a name stands directly in the request, as bare
  // receivers expect it. `frame_too_large` when a framed message exceeds kHardMaxFrame; `overloaded` without memory.
  [[nodiscard]] static Result<MessageWriter> request(const OutgoingRequest& request, Dialect dialect);
  // Owns the reply until it is written. An item made from an Image goes out as its file.
  [[nodiscard]] static Result<MessageWriter> reply(Reply reply, TensorEncoding encoding, Dialect dialect,
                                                   BufferPool& pool = *BufferPool::shared());
  // Appends a whole reply to out, if it is small and plain enough to be rendered at once (tensors of some hundred
  // bytes, no image, no error); false, and out is as it was, when it wants a writer.
  [[nodiscard]] static bool append_small_reply(const Reply& reply, TensorEncoding encoding, Dialect dialect,
                                               std::string& out);
  ~MessageWriter();
  MessageWriter(MessageWriter&&) noexcept;
  MessageWriter& operator=(MessageWriter&&) noexcept;

  // Bytes that read() gives in all, prefix or final newline included.
  [[nodiscard]] std::uint64_t total_bytes() const noexcept;
  [[nodiscard]] std::uint64_t remaining_bytes() const noexcept;
  // Fills a prefix of out (at least 64 bytes long) and returns its length; 0 when all has been given.
  [[nodiscard]] std::size_t read(std::span<char> out) noexcept;

 private:
  MessageWriter();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tensorwire
