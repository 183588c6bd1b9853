// Owning 64-byte-aligned memory for payloads, the pool that recycles it, and the budget that all of it is charged to.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "tensorwire/error.hpp"

namespace tensorwire {

// Counts the bytes that are held on behalf of senders against one limit. Thread-safe.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::uint64_t limit) noexcept : limit_(limit) {}

  // Adds bytes when they fit below the limit; false (and nothing added) otherwise.
  [[nodiscard]] bool try_charge(std::uint64_t bytes) noexcept;
  // Adds bytes that are held already, also beyond the limit.
  void charge(std::uint64_t bytes) noexcept { used_.fetch_add(bytes, std::memory_order_relaxed); }
  void release(std::uint64_t bytes) noexcept { used_.fetch_sub(bytes, std::memory_order_relaxed); }

  [[nodiscard]] std::uint64_t used() const noexcept { return used_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t limit() const noexcept { return limit_; }

 private:
  std::atomic<std::uint64_t> used_{0};
  std::uint64_t limit_;
};

// Bytes that stay charged to a budget as long as this lives: what is held outside of Buffers. Not thread-safe.
class MemoryCharge {
 public:
  // budget may be null: nothing is charged then.
  explicit MemoryCharge(std::shared_ptr<MemoryBudget> budget = nullptr) noexcept : budget_(std::move(budget)) {}
  ~MemoryCharge() { set(0); }
  MemoryCharge(const MemoryCharge&) = delete;
  MemoryCharge& operator=(const MemoryCharge&) = delete;

  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  // Charges bytes in all; false, and nothing changed, when what that adds is more than the budget has left.
  [[nodiscard]] bool try_set(std::uint64_t bytes) noexcept;
  // The same for what is held already: it may exceed the limit.
  void set(std::uint64_t bytes) noexcept;

 private:
  std::shared_ptr<MemoryBudget> budget_;
  std::uint64_t bytes_ = 0;
};

class BufferPool;

// Owns one block, 64-byte aligned, never zero-filled. Move-only; gives its memory back to the pool that it came from
// (and which it keeps alive). size() is what is valid, capacity() what is reserved: reserved pages that were never
// written cost address space only, and only size() is charged to the budget.
class Buffer {
 public:
  Buffer() noexcept = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { reset(); }

  [[nodiscard]] std::byte* data() noexcept { return data_; }
  [[nodiscard]] const std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::span<std::byte> bytes() noexcept { return {data_, size_}; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }

  // Sets size() to n, growing the block when n > capacity() (contents kept, at least doubling). `expected`, when larger
  // than n, is what the whole is said to come to: it is believed, and reserved, only once 1 MiB has arrived.
  // `overloaded` when the budget or the system has no more; then nothing changed.
  [[nodiscard]] Result<void> resize(std::size_t n, std::size_t expected = 0);
  void reset() noexcept;

 private:
  friend class BufferPool;
  void set_tail(std::size_t tail) noexcept;
  [[nodiscard]] bool grow(std::size_t n, std::size_t wanted) noexcept;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  std::size_t charged_ = 0;  // bytes charged to the pool's budget: size_ rounded up
  std::size_t touched_ = 0;  // bytes from the start that may be resident, from earlier lives of the block too
  std::size_t tail_ = 0;     // of them, those that are not charged, as the pool was told
  std::shared_ptr<BufferPool> pool_;
};

// Keeps freed blocks warm for the next payload: a fresh 64 MiB block costs more in page faults than the decoding into
// it. Thread-safe. Make it with std::make_shared; every Buffer holds a reference.
class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  struct Options {
    // Bytes of freed blocks that are kept, within what the budget has left; the rest goes back to the system at once.
    std::size_t max_retained = 512ULL << 20;
  };
  // budget may be null (nothing is charged).
  explicit BufferPool(Options options, std::shared_ptr<MemoryBudget> budget = nullptr);
  BufferPool() : BufferPool(Options{}) {}
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // A Buffer of size() n. `overloaded` when the budget or the system has no more.
  [[nodiscard]] Result<Buffer> allocate(std::size_t n);
  // An empty Buffer of this pool, to be grown by resize().
  [[nodiscard]] Buffer empty_buffer();

  [[nodiscard]] MemoryBudget* budget() const noexcept { return budget_.get(); }
  [[nodiscard]] const std::shared_ptr<MemoryBudget>& shared_budget() const noexcept { return budget_; }
  [[nodiscard]] std::size_t retained() const noexcept;
  // Gives all retained blocks back to the system.
  void trim() noexcept;
  // Gives back those that nobody has used since the last call: called now and then, it lets an idle process shrink.
  void trim_unused() noexcept;

  // The pool that serves callers who name none: no budget, retains up to 64 MiB.
  [[nodiscard]] static const std::shared_ptr<BufferPool>& shared();

 private:
  friend class Buffer;
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::shared_ptr<MemoryBudget> budget_;
};

}  // namespace tensorwire
