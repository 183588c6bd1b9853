// Payload memory: small blocks from operator new, large ones mapped and recycled through the pool.
#include "tensorwire/buffer.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tensorwire {
namespace {

constexpr std::size_t kAlignment = 64;
// Blocks up to this size come straight from operator new, whose thread caches beat any lock of ours.
constexpr std::size_t kSmallBlock = 32U << 10;
// From here on a block is a mapping of its own: pages that nobody wrote cost nothing, and it grows by moving page
// tables.
constexpr std::size_t kMappedBlock = 1U << 20;
// So many bytes must have arrived before a block is reserved for all that was announced.
constexpr std::size_t kTrustAfter = 64U << 10;
// Above this size huge pages pay. They start behind the first huge page, so that a sender who announces much and sends
// little is given 4 KiB pages only.
constexpr std::size_t kHugeBlock = 4U << 20;
constexpr std::size_t kHugePage = 2U << 20;
// The step in which larger blocks are sized and charged.
constexpr std::size_t kGranule = 64U << 10;
// No payload comes near; the margin keeps rounding up from overflowing.
constexpr std::size_t kMaxBlock = std::size_t{1} << 46;
// Kept blocks are searched one by one.
constexpr std::size_t kMaxKept = 256;

struct Block {
  std::byte* data = nullptr;
  std::size_t capacity = 0;
  std::size_t touched = 0;  // leading bytes that may be resident
};

constexpr std::size_t round_up(std::size_t n, std::size_t step) noexcept { return (n + step - 1) / step * step; }

std::size_t block_size(std::size_t n) noexcept {
  if (n <= kSmallBlock) return std::max(round_up(n, kAlignment), kAlignment);
  return round_up(n, n < kHugeBlock ? kGranule : kHugePage);
}

std::size_t charge_for(std::size_t size) noexcept { return size <= kSmallBlock ? size : round_up(size, kGranule); }

std::byte* map_pages(std::size_t size) noexcept {
  void* pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return pages == MAP_FAILED ? nullptr : static_cast<std::byte*>(pages);
}

void advise_huge_pages(std::byte* data, std::size_t size) noexcept {
  if (size < kHugeBlock) return;
  madvise(data + kHugePage, size - kHugePage, MADV_HUGEPAGE);  // only advice: the answer does not matter
}

// A mapping that starts at a multiple of the huge page size.
std::byte* map_aligned(std::size_t size) noexcept {
  if (size < kHugeBlock) return map_pages(size);
  std::byte* raw = map_pages(size + kHugePage);
  if (raw == nullptr) return nullptr;
  const std::size_t head = (kHugePage - reinterpret_cast<std::uintptr_t>(raw) % kHugePage) % kHugePage;
  if (head != 0) munmap(raw, head);
  if (head != kHugePage) munmap(raw + head + size, kHugePage - head);
  advise_huge_pages(raw + head, size);
  return raw + head;
}

std::byte* obtain(std::size_t capacity) noexcept {
  if (capacity >= kMappedBlock) return map_aligned(capacity);
  return static_cast<std::byte*>(::operator new (capacity, std::align_val_t{kAlignment}, std::nothrow));
}

void give_back(const Block& block) noexcept {
  if (block.data == nullptr) return;
  if (block.capacity >= kMappedBlock) {
    munmap(block.data, block.capacity);
  } else {
    ::operator delete (block.data, std::align_val_t{kAlignment});
  }
}

// What resize(n, expected) asks for: all that is announced once enough of it has come, else twice what is there.
std::size_t wanted_capacity(std::size_t n, std::size_t expected, std::size_t capacity) noexcept {
  const std::size_t whole = std::max(n, expected);
  if (whole <= kTrustAfter) return block_size(whole);
  const std::size_t doubled = std::max(n, std::min(capacity, kMaxBlock) * 2);
  if (n >= kTrustAfter) return block_size(expected > n ? expected : doubled);
  return block_size(std::min(whole, std::max(doubled, kSmallBlock)));
}

Error no_memory(std::size_t bytes) {
  return {ErrorCode::overloaded, "the system has no memory for a buffer of " + std::to_string(bytes) + " bytes", {}};
}

}  // namespace

bool MemoryBudget::try_charge(std::uint64_t bytes) noexcept {
  std::uint64_t used = used_.load(std::memory_order_relaxed);
  do {
    if (bytes > limit_ || used > limit_ - bytes) return false;
  } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  return true;
}

struct BufferPool::Impl {
  Impl(std::size_t limit, MemoryBudget* charged_budget) : max_retained(limit), budget(charged_budget) {
    kept.reserve(kMaxKept);
  }

  const std::size_t max_retained;
  MemoryBudget* const budget;  // null: nothing is charged
  std::mutex mutex;
  std::vector<Block> kept;               // oldest first
  std::atomic<std::size_t> retained{0};  // their touched bytes; written under the mutex only

  // Charges the budget; what is kept and what is in use stay below its limit together.
  [[nodiscard]] Result<void> charge(std::size_t bytes) {
    if (budget == nullptr || bytes == 0) return {};
    if (!budget->try_charge(bytes)) return no_budget(bytes);
    if (retained.load(std::memory_order_relaxed) > room()) shrink_to(room(), kMaxKept);
    return {};
  }

  void uncharge(std::size_t bytes) noexcept {
    if (budget != nullptr && bytes != 0) budget->release(bytes);
  }

  // A block of at least that capacity, warm if possible; without data when the system has none.
  [[nodiscard]] Block take(std::size_t capacity) noexcept {
    if (const auto warm = take_kept(capacity)) return *warm;
    Block block{obtain(capacity), capacity, 0};
    if (block.data != nullptr) return block;
    shrink_to(0, 0);
    block.data = obtain(capacity);
    return block;
  }

  // Keeps the block if it can, dropping the oldest ones for it.
  void put(const Block& block) noexcept {
    const std::size_t limit = room();
    if (block.capacity <= kSmallBlock || block.touched == 0 || block.touched > limit) return give_back(block);
    shrink_to(limit - block.touched, kMaxKept - 1);
    if (!keep(block)) give_back(block);
  }

  // Drops the oldest blocks until at most so many bytes and blocks are kept. The system calls are made unlocked.
  void shrink_to(std::size_t bytes, std::size_t blocks) noexcept {
    while (const auto block = take_oldest(bytes, blocks)) give_back(*block);
  }

 private:
  [[nodiscard]] Error no_budget(std::size_t bytes) const {
    return {ErrorCode::overloaded,
            "no memory for " + std::to_string(bytes) + " more bytes: " + std::to_string(budget->used()) + " of the " +
                std::to_string(budget->limit()) + " that all messages together may hold are in use; try again later",
            {}};
  }

  // How many bytes may be kept now.
  [[nodiscard]] std::size_t room() const noexcept {
    if (budget == nullptr) return max_retained;
    const std::uint64_t used = std::min(budget->used(), budget->limit());
    return static_cast<std::size_t>(std::min<std::uint64_t>(max_retained, budget->limit() - used));
  }

  // The tightest kept block of at least that capacity and at most twice it; the warmest of equals is the latest.
  std::optional<Block> take_kept(std::size_t capacity) noexcept {
    if (capacity <= kSmallBlock || retained.load(std::memory_order_relaxed) == 0) return std::nullopt;
    const std::lock_guard lock(mutex);
    auto best = kept.end();
    for (auto block = kept.begin(); block != kept.end(); ++block) {
      if (block->capacity < capacity || block->capacity / 2 > capacity) continue;
      if (best == kept.end() || block->capacity <= best->capacity) best = block;
    }
    if (best == kept.end()) return std::nullopt;
    return remove(best);
  }

  std::optional<Block> take_oldest(std::size_t bytes, std::size_t blocks) noexcept {
    const std::lock_guard lock(mutex);
    if (kept.empty() || (retained.load(std::memory_order_relaxed) <= bytes && kept.size() <= blocks)) {
      return std::nullopt;
    }
    return remove(kept.begin());
  }

  bool keep(const Block& block) noexcept {
    const std::lock_guard lock(mutex);
    if (kept.size() >= kMaxKept) return false;  // other threads were faster
    kept.push_back(block);
    retained.store(retained.load(std::memory_order_relaxed) + block.touched, std::memory_order_relaxed);
    return true;
  }

  Block remove(std::vector<Block>::iterator at) noexcept {
    const Block block = *at;
    kept.erase(at);
    retained.store(retained.load(std::memory_order_relaxed) - block.touched, std::memory_order_relaxed);
    return block;
  }
};

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, 0)),
      charged_(std::exchange(other.charged_, 0)),
      touched_(std::exchange(other.touched_, 0)),
      pool_(std::move(other.pool_)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  reset();
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  capacity_ = std::exchange(other.capacity_, 0);
  charged_ = std::exchange(other.charged_, 0);
  touched_ = std::exchange(other.touched_, 0);
  pool_ = std::move(other.pool_);
  return *this;
}

Result<void> Buffer::resize(std::size_t n, std::size_t expected) {
  if (pool_ == nullptr) pool_ = BufferPool::shared();
  if (n > kMaxBlock) return no_memory(n);
  BufferPool::Impl& pool = *pool_->impl_;
  const std::size_t charge = charge_for(n);
  if (charge > charged_) {
    auto charged = pool.charge(charge - charged_);
    if (!charged.ok()) return charged;
  }
  if (n > capacity_ && !grow(n, expected)) {
    if (charge > charged_) pool.uncharge(charge - charged_);
    return no_memory(n);
  }
  if (charge < charged_) pool.uncharge(charged_ - charge);
  charged_ = charge;
  size_ = n;
  touched_ = std::max(touched_, n);
  return {};
}

bool Buffer::grow(std::size_t n, std::size_t expected) noexcept {
  BufferPool::Impl& pool = *pool_->impl_;
  const std::size_t wanted = wanted_capacity(n, std::min(expected, kMaxBlock), capacity_);
  Block fresh = pool.take(wanted);
  if (fresh.data == nullptr) fresh = pool.take(block_size(n));  // the system may have less than what is announced
  if (fresh.data == nullptr) return false;
  if (size_ != 0) std::memcpy(fresh.data, data_, size_);
  pool.put({data_, capacity_, touched_});
  data_ = fresh.data;
  capacity_ = fresh.capacity;
  touched_ = fresh.touched;
  return true;
}

void Buffer::reset() noexcept {
  if (pool_ != nullptr) {
    pool_->impl_->uncharge(charged_);
    pool_->impl_->put({data_, capacity_, touched_});
  }
  data_ = nullptr;
  size_ = capacity_ = charged_ = touched_ = 0;
}

BufferPool::BufferPool(Options options, std::shared_ptr<MemoryBudget> budget)
    : impl_(std::make_unique<Impl>(options.max_retained, budget.get())), budget_(std::move(budget)) {}

BufferPool::~BufferPool() { trim(); }

Result<Buffer> BufferPool::allocate(std::size_t n) {
  Buffer buffer = empty_buffer();
  auto sized = buffer.resize(n, n);
  if (!sized.ok()) return std::move(sized).error();
  return buffer;
}

Buffer BufferPool::empty_buffer() {
  Buffer buffer;
  buffer.pool_ = shared_from_this();
  return buffer;
}

std::size_t BufferPool::retained() const noexcept { return impl_->retained.load(std::memory_order_relaxed); }

void BufferPool::trim() noexcept { impl_->shrink_to(0, 0); }

const std::shared_ptr<BufferPool>& BufferPool::shared() {
  // Never destroyed: buffers in other static objects may outlive any order of destruction.
  static const auto* const pool = new std::shared_ptr<BufferPool>(std::make_shared<BufferPool>(Options{64ULL << 20}));
  return *pool;
}

}  // namespace tensorwire
