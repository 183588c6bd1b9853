// Payload memory: small blocks from operator new, large ones mapped and recycled through the pool.
#include "tensorwire/buffer.hpp"

#include <sys/mman.h>
#include <unistd.h>

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
// From here on a block is a mapping of its own, whose pages cost nothing until they are written.
constexpr std::size_t kMappedBlock = 128U << 10;
// The step in which blocks above the small ones are sized and larger ones charged.
constexpr std::size_t kGranule = 64U << 10;
// Where much was announced and little has arrived, the block has one of these sizes; only who has sent more than the
// last of them gets a block for all that he announced, whose first page may be a huge one.
// The last one has room to spare: decoders ask for a little more than they fill, and 1 MiB must not just miss it.
constexpr std::size_t kStages[] = {1U << 10, 64U << 10, (1U << 20) + kGranule};
// Blocks of this size use huge pages, which make the first write to fresh memory some ten times faster.
constexpr std::size_t kHugeBlock = 4U << 20;
constexpr std::size_t kHugePage = 2U << 20;
constexpr std::size_t kPage = 4U << 10;
// How much larger a mapped block gets when nothing was announced: reserving is free, copying is not.
constexpr std::size_t kGrowth = 4;
// No announcement comes near; the margin keeps rounding up from overflowing.
constexpr std::size_t kMaxBlock = std::size_t{1} << 46;
// Kept blocks are searched one by one.
constexpr std::size_t kMaxKept = 256;

// The part of a budget (one in so many) that may be resident in blocks behind the bytes that are charged.
constexpr std::uint64_t kTailShare = 8;

struct Block {
  std::byte* data = nullptr;
  std::size_t capacity = 0;
  std::size_t touched = 0;    // leading bytes that may be resident
  std::uint64_t kept_in = 0;  // the round of trim_unused() in which it was kept
};

constexpr std::size_t round_up(std::size_t n, std::size_t step) noexcept { return (n + step - 1) / step * step; }

std::size_t block_size(std::size_t n) noexcept {
  if (n <= kSmallBlock) return std::max(round_up(n, kAlignment), kAlignment);
  return round_up(n, n < kHugeBlock ? kGranule : kHugePage);
}

// What `size` valid bytes are charged as: about what they make resident.
std::size_t charge_for(std::size_t size, std::size_t capacity) noexcept {
  if (capacity <= kSmallBlock) return size;
  if (capacity <= kGranule) return round_up(size, kPage);
  return round_up(size, capacity < kHugeBlock ? kGranule : kHugePage);
}

std::byte* map_pages(std::size_t size) noexcept {
  void* pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return pages == MAP_FAILED ? nullptr : static_cast<std::byte*>(pages);
}

// A mapping for huge pages: it starts at a multiple of their size.
std::byte* map_huge_pages(std::size_t size) noexcept {
  std::byte* raw = map_pages(size + kHugePage);
  if (raw == nullptr) return nullptr;
  const std::size_t head = (kHugePage - reinterpret_cast<std::uintptr_t>(raw) % kHugePage) % kHugePage;
  if (head != 0) munmap(raw, head);
  munmap(raw + head + size, kHugePage - head);
  madvise(raw + head, size, MADV_HUGEPAGE);  // advice only: without it all works the same, slower
  return raw + head;
}

// glibc's aligned allocations go past its thread caches. So tiny blocks are plain ones, aligned by hand, with the
// address to free in front; not under AddressSanitizer, which sees overruns only where a block ends in its own memory's
// end.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kTinyBlock = 0;
#elif defined(__has_feature)
constexpr std::size_t kTinyBlock = __has_feature(address_sanitizer) ? 0 : 512;
#else
constexpr std::size_t kTinyBlock = 512;
#endif

std::byte* obtain_tiny(std::size_t capacity) noexcept {
  void* const raw = ::operator new(capacity + kAlignment, std::nothrow);
  if (raw == nullptr) return nullptr;
  auto* const data = static_cast<std::byte*>(raw) + kAlignment - reinterpret_cast<std::uintptr_t>(raw) % kAlignment;
  std::memcpy(data - sizeof raw, &raw, sizeof raw);
  return data;
}

void give_back_tiny(std::byte* data) noexcept {
  void* raw = nullptr;
  std::memcpy(&raw, data - sizeof raw, sizeof raw);
  ::operator delete(raw);
}

std::byte* obtain(std::size_t capacity) noexcept {
  if (capacity <= kTinyBlock) return obtain_tiny(capacity);
  if (capacity >= kHugeBlock) return map_huge_pages(capacity);
  if (capacity >= kMappedBlock) return map_pages(capacity);
  return static_cast<std::byte*>(::operator new (capacity, std::align_val_t{kAlignment}, std::nothrow));
}

void give_back(const Block& block) noexcept {
  if (block.data == nullptr) return;
  if (block.capacity <= kTinyBlock) {
    give_back_tiny(block.data);
  } else if (block.capacity >= kMappedBlock) {
    munmap(block.data, block.capacity);
  } else {
    ::operator delete (block.data, std::align_val_t{kAlignment});
  }
}

// No buffer can hold more than the machine does, though the kernel would reserve it.
std::size_t max_size() noexcept {
  static const std::size_t size = [] {
    const long pages = sysconf(_SC_PHYS_PAGES);
    const long page = sysconf(_SC_PAGESIZE);
    if (pages <= 0 || page <= 0) return kMaxBlock;
    return std::min(kMaxBlock, static_cast<std::size_t>(pages) * static_cast<std::size_t>(page));
  }();
  return size;
}

// Takes the pages behind the first n bytes from a mapped block.
void cool(Block& block, std::size_t n) noexcept {
  const std::size_t from = round_up(n, block.capacity < kHugeBlock ? kPage : kHugePage);
  if (block.capacity < kMappedBlock || from >= block.touched) return;
  if (madvise(block.data + from, block.capacity - from, MADV_DONTNEED) == 0) block.touched = from;
}

// The block that resize(n, expected) should make: for all that is announced once enough of it has come.
std::size_t wanted_capacity(std::size_t n, std::size_t expected, std::size_t capacity) noexcept {
  if (expected <= n) {  // nothing is announced: leave room to grow into, except in the first block
    if (capacity == 0) return block_size(n);
    return block_size(std::max(n, capacity * (capacity < kMappedBlock ? 2 : kGrowth)));
  }
  for (const std::size_t stage : kStages) {
    if (n <= stage) return block_size(std::min(expected, stage));
  }
  return block_size(expected);
}

// An `overloaded` error; a short one when not even the long sentence finds memory.
template <class MakeSentence>
Error overloaded(const MakeSentence& sentence) noexcept {
  try {
    return {ErrorCode::overloaded, sentence(), {}};
  } catch (const std::bad_alloc&) {
    return {ErrorCode::overloaded, "out of memory", {}};  // this one fits into the string itself
  }
}

Error no_memory(std::size_t bytes) noexcept {
  return overloaded([&] { return "the system has no memory for a buffer of " + std::to_string(bytes) + " bytes"; });
}

Error no_budget(std::size_t bytes, const MemoryBudget& budget) noexcept {
  return overloaded([&] {
    return "no memory for " + std::to_string(bytes) + " more bytes: " + std::to_string(budget.used()) + " of the " +
           std::to_string(budget.limit()) + " that all messages together may hold are in use; try again later";
  });
}

}  // namespace

bool MemoryBudget::try_charge(std::uint64_t bytes) noexcept {
  std::uint64_t used = used_.load(std::memory_order_relaxed);
  do {
    if (bytes > limit_ || used > limit_ - bytes) return false;
  } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  return true;
}

bool MemoryCharge::try_set(std::uint64_t bytes) noexcept {
  if (budget_ != nullptr && bytes > bytes_ && !budget_->try_charge(bytes - bytes_)) return false;
  if (bytes > bytes_) bytes_ = bytes;
  set(bytes);
  return true;
}

void MemoryCharge::set(std::uint64_t bytes) noexcept {
  const std::uint64_t before = std::exchange(bytes_, bytes);
  if (budget_ == nullptr || bytes == before) return;
  if (bytes > before) budget_->charge(bytes - before);
  if (bytes < before) budget_->release(before - bytes);
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
  std::uint64_t round = 1;               // of trim_unused(); under the mutex
  std::atomic<std::size_t> tails{0};     // bytes of blocks in use that may be resident and are not charged

  // Charges the budget; what is kept and what is in use stay below its limit together.
  [[nodiscard]] Result<void> charge(std::size_t bytes) {
    if (budget == nullptr || bytes == 0) return {};
    if (!budget->try_charge(bytes)) return no_budget(bytes, *budget);
    if (retained.load(std::memory_order_relaxed) > room()) shrink_to(room(), kMaxKept);
    return {};
  }

  void uncharge(std::size_t bytes) noexcept {
    if (budget != nullptr && bytes != 0) budget->release(bytes);
  }

  // A block of at least that capacity for n bytes, warm if possible; without data when the system has none.
  [[nodiscard]] Block take(std::size_t capacity, std::size_t n) noexcept {
    if (auto warm = take_kept(capacity)) {
      if (warm->touched > n && warm->touched - n > tail_room()) cool(*warm, n);
      return *warm;
    }
    Block block{obtain(capacity), capacity, 0, 0};
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

  void trim_unused() noexcept {
    std::uint64_t now = 0;
    {
      const std::lock_guard lock(mutex);
      now = round++;
    }
    while (const auto block = take_older_than(now)) give_back(*block);
  }

  // Drops the oldest blocks until at most so many bytes and blocks are kept. The system calls are made unlocked.
  void shrink_to(std::size_t bytes, std::size_t blocks) noexcept {
    while (const auto block = take_oldest(bytes, blocks)) give_back(*block);
  }

 private:
  // How many bytes may be kept now.
  [[nodiscard]] std::size_t room() const noexcept {
    if (budget == nullptr) return max_retained;
    const std::uint64_t used = std::min(budget->used() + tails.load(std::memory_order_relaxed), budget->limit());
    return static_cast<std::size_t>(std::min<std::uint64_t>(max_retained, budget->limit() - used));
  }

  // How much longer the tails may get. Without that bound, senders who announce much and send little would hold warm
  // blocks that are charged to nobody.
  [[nodiscard]] std::uint64_t tail_room() const noexcept {
    if (budget == nullptr) return std::numeric_limits<std::uint64_t>::max();
    const std::uint64_t now = tails.load(std::memory_order_relaxed);
    return budget->limit() / kTailShare - std::min(now, budget->limit() / kTailShare);
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

  std::optional<Block> take_older_than(std::uint64_t limit) noexcept {
    const std::lock_guard lock(mutex);
    if (kept.empty() || kept.front().kept_in >= limit) return std::nullopt;
    return remove(kept.begin());
  }

  bool keep(Block block) noexcept {
    const std::lock_guard lock(mutex);
    if (kept.size() >= kMaxKept) return false;  // other threads were faster
    block.kept_in = round;
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
      tail_(std::exchange(other.tail_, 0)),
      pool_(std::move(other.pool_)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  reset();
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  capacity_ = std::exchange(other.capacity_, 0);
  charged_ = std::exchange(other.charged_, 0);
  touched_ = std::exchange(other.touched_, 0);
  tail_ = std::exchange(other.tail_, 0);
  pool_ = std::move(other.pool_);
  return *this;
}

Result<void> Buffer::resize(std::size_t n, std::size_t expected) {
  if (pool_ == nullptr) pool_ = BufferPool::shared();
  if (n > max_size()) return no_memory(n);
  BufferPool::Impl& pool = *pool_->impl_;
  const bool grows = n > capacity_;
  const std::size_t wanted = grows ? wanted_capacity(n, std::min(expected, kMaxBlock), capacity_) : capacity_;
  const std::size_t charge = charge_for(n, wanted);
  if (charge > charged_) {
    auto charged = pool.charge(charge - charged_);
    if (!charged.ok()) return charged;
  }
  if (grows && !grow(n, wanted)) {
    if (charge > charged_) pool.uncharge(charge - charged_);
    return no_memory(n);
  }
  if (charge < charged_) pool.uncharge(charged_ - charge);
  charged_ = charge;
  size_ = n;
  touched_ = std::max(touched_, n);
  set_tail(capacity_ > kSmallBlock && touched_ > charged_ ? touched_ - charged_ : 0);
  return {};
}

void Buffer::set_tail(std::size_t tail) noexcept {
  if (tail == tail_) return;
  pool_->impl_->tails.fetch_add(tail - tail_, std::memory_order_relaxed);  // modulo 2^64, so it also subtracts
  tail_ = tail;
}

bool Buffer::grow(std::size_t n, std::size_t wanted) noexcept {
  BufferPool::Impl& pool = *pool_->impl_;
  Block fresh = pool.take(wanted, n);
  if (fresh.data == nullptr) fresh = pool.take(block_size(n), n);  // the system may have less than what is announced
  if (fresh.data == nullptr) return false;
  if (size_ != 0) std::memcpy(fresh.data, data_, size_);
  pool.put({data_, capacity_, touched_, 0});
  data_ = fresh.data;
  capacity_ = fresh.capacity;
  touched_ = fresh.touched;
  return true;
}

void Buffer::reset() noexcept {
  if (pool_ != nullptr) {
    set_tail(0);
    pool_->impl_->uncharge(charged_);
    pool_->impl_->put({data_, capacity_, touched_, 0});
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

void BufferPool::trim_unused() noexcept { impl_->trim_unused(); }

const std::shared_ptr<BufferPool>& BufferPool::shared() {
  // Never destroyed: buffers in other static objects may outlive any order of destruction.
  static const auto* const pool = new std::shared_ptr<BufferPool>(std::make_shared<BufferPool>(Options{64ULL << 20}));
  return *pool;
}

}  // namespace tensorwire
