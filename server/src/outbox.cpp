// Renders replies into a cache-sized piece and sends it at once.
#include "outbox.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace tensord {
namespace {

constexpr std::uint64_t kLarge = 64U << 10;
// Replies up to this size are rendered at once, while they are in the cache.
constexpr std::uint64_t kTiny = 1U << 10;
// Pieces that one connection sends before others of its thread have their turn.
constexpr int kFairPieces = 8;
// MessageWriter::read wants room for at least that much.
constexpr std::size_t kLeastRoom = 64;

}  // namespace

void Outbox::push(tensorwire::MessageWriter writer) {
  const std::uint64_t bytes = writer.total_bytes();
  if (bytes <= kTiny && head_ == writers_.size()) return render(writer, static_cast<std::size_t>(bytes));
  writers_.push_back({std::move(writer), bytes});
  pending_ += bytes;
  if (bytes >= kLarge) {
    ++large_;
  } else {
    small_bytes_ += bytes;
  }
}

void Outbox::render(tensorwire::MessageWriter& writer, std::size_t bytes) {
  // The writer wants room for its least piece even for the last one.
  const std::size_t before = leftover_.size();
  leftover_.resize(before + std::max(bytes, kLeastRoom));
  leftover_.resize(before + writer.read(std::span(leftover_).subspan(before)));
  count_tiny(bytes);
}

bool Outbox::push_small(const tensorwire::Reply& reply, tensorwire::TensorEncoding encoding,
                        tensorwire::Dialect dialect) {
  const std::size_t before = leftover_.size();
  if (unrendered() > 0 || !tensorwire::MessageWriter::append_small_reply(reply, encoding, dialect, leftover_))
    return false;
  count_tiny(leftover_.size() - before);
  return true;
}

void Outbox::count_tiny(std::size_t bytes) noexcept {
  pending_ += bytes;
  tiny_bytes_ += bytes;
  ++tiny_;
}

void Outbox::push_text(std::string_view text) {
  leftover_.append(text);
  pending_ += text.size();
}

Outbox::Flush Outbox::flush(int socket, std::span<char> scratch) {
  for (int piece = 0; piece < kFairPieces && pending_ > 0; ++piece) {
    const bool again = !leftover_.empty();
    const std::string_view bytes =
        again ? std::string_view(leftover_) : std::string_view(scratch.data(), fill(scratch));
    std::size_t taken = 0;
    if (!send_some(socket, bytes, taken)) {
      clear();
      return Flush::dead;
    }
    const std::string_view rest = bytes.substr(taken);
    if (again) {
      leftover_.erase(0, taken);
    } else {
      leftover_.assign(rest);
    }
    if (leftover_.empty()) tiny_ = tiny_bytes_ = 0;
    if (!rest.empty()) return Flush::blocked;
  }
  if (pending_ > 0) return Flush::more;
  if (leftover_.capacity() > kLarge) std::string().swap(leftover_);
  return Flush::empty;
}

std::size_t Outbox::fill(std::span<char> scratch) {
  std::size_t filled = 0;
  while (head_ < writers_.size() && scratch.size() - filled >= kLeastRoom) {
    tensorwire::MessageWriter& writer = writers_[head_].writer;
    filled += writer.read(scratch.subspan(filled));
    if (writer.remaining_bytes() > 0) break;
    pop_front();
  }
  return filled;
}

void Outbox::pop_front() noexcept {
  const Entry done = std::move(writers_[head_]);
  if (done.bytes >= kLarge) {
    --large_;
  } else {
    small_bytes_ -= done.bytes;
  }
  if (++head_ == writers_.size()) {
    writers_.clear();
    head_ = 0;
  }
}

bool Outbox::send_some(int socket, std::string_view bytes, std::size_t& taken) {
  while (taken < bytes.size()) {
    const ssize_t sent = ::send(socket, bytes.data() + taken, bytes.size() - taken, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ENOMEM;
    taken += static_cast<std::size_t>(sent);
    pending_ -= static_cast<std::uint64_t>(sent);
    sent_ += static_cast<std::uint64_t>(sent);
  }
  return true;
}

void Outbox::clear() noexcept {
  writers_.clear();
  head_ = 0;
  leftover_.clear();
  pending_ = small_bytes_ = 0;
  tiny_ = tiny_bytes_ = 0;
  large_ = 0;
}

}  // namespace tensord
