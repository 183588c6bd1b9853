// What a connection still has to send: replies rendered piece by piece, many small ones in one send.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensorwire/writer.hpp"

namespace tensord {

class Outbox {
 public:
  enum class Flush : std::uint8_t {
    empty,    // all sent
    blocked,  // the peer's buffers are full: wait until the socket is writable
    more,     // stopped after a fair share; call again
    dead,     // the peer is gone; what was left is dropped
  };

  void push(tensorwire::MessageWriter writer);
  // A reply that is small enough to be rendered at once; false when it wants a writer.
  [[nodiscard]] bool push_small(const tensorwire::Reply& reply, tensorwire::TensorEncoding encoding,
                                tensorwire::Dialect dialect);
  void push_text(std::string_view text);

  // Sends on a non-blocking socket until one of the above. scratch is only used during the call; what it held when
  // the socket blocked is kept aside.
  [[nodiscard]] Flush flush(int socket, std::span<char> scratch);

  [[nodiscard]] bool empty() const noexcept { return pending_ == 0; }
  [[nodiscard]] std::uint64_t pending_bytes() const noexcept { return pending_; }
  // Replies too large to be counted by their bytes alone; each holds a tensor.
  [[nodiscard]] std::size_t large_replies() const noexcept { return large_; }
  // Bytes of the other ones.
  [[nodiscard]] std::uint64_t small_bytes() const noexcept { return small_bytes_ + tiny_bytes_; }
  // Bytes sent since the beginning.
  [[nodiscard]] std::uint64_t sent_bytes() const noexcept { return sent_; }
  // Replies that still have a writer of their own.
  [[nodiscard]] std::size_t unrendered() const noexcept { return writers_.size() - head_; }
  // Replies that are not completely sent.
  [[nodiscard]] std::size_t replies() const noexcept { return unrendered() + tiny_; }
  // What all of it occupies, tensors apart: about, and rather more than less.
  [[nodiscard]] std::uint64_t held_bytes() const noexcept { return leftover_.capacity() + unrendered() * kReplyBytes; }
  void clear() noexcept;

 private:
  // A short reply with its writer, as measured.
  static constexpr std::uint64_t kReplyBytes = 2048;
  struct Entry {
    tensorwire::MessageWriter writer;
    std::uint64_t bytes;
  };
  void render(tensorwire::MessageWriter& writer, std::size_t bytes);
  void count_tiny(std::size_t bytes) noexcept;
  std::size_t fill(std::span<char> scratch);
  void pop_front() noexcept;
  // False when the peer is gone; otherwise taken says how much the socket took.
  bool send_some(int socket, std::string_view bytes, std::size_t& taken);

  std::vector<Entry> writers_;
  std::size_t head_ = 0;  // of writers_
  std::string leftover_;  // rendered, but not taken by the socket
  std::size_t tiny_ = 0;  // replies that were rendered into it since it was empty
  std::size_t tiny_bytes_ = 0;
  std::uint64_t pending_ = 0;
  std::uint64_t small_bytes_ = 0;
  std::uint64_t sent_ = 0;
  std::size_t large_ = 0;
};

}  // namespace tensord
