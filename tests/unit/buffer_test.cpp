// Buffers keep their bytes while they grow, cost what has arrived and not what was announced, and are recycled warm.
#include "tensorwire/buffer.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <limits>
#include <random>
#include <thread>
#include <vector>

namespace tensorwire {
namespace {

constexpr std::size_t kKiB = 1024;
constexpr std::size_t kMiB = 1024 * kKiB;
constexpr std::size_t kGiB = 1024 * kMiB;

std::shared_ptr<BufferPool> pool_with(std::shared_ptr<MemoryBudget> budget, std::size_t max_retained = 512 * kMiB) {
  return std::make_shared<BufferPool>(BufferPool::Options{max_retained}, std::move(budget));
}

Buffer filled(BufferPool& pool, std::size_t size) {
  auto buffer = pool.allocate(size).value();
  std::memset(buffer.data(), 0x5A, size);
  return buffer;
}

// Bytes of the mapped block that are in memory.
std::size_t resident(const Buffer& buffer) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages(buffer.capacity() / page);
  if (mincore(const_cast<std::byte*>(buffer.data()), pages.size() * page, pages.data()) != 0) return 0;
  return page *
         static_cast<std::size_t>(std::count_if(pages.begin(), pages.end(), [](auto p) { return (p & 1) != 0; }));
}

// While it lives, the process can map only so many bytes more.
class AddressSpaceLimit {
 public:
  explicit AddressSpaceLimit(std::size_t more) {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    getrlimit(RLIMIT_AS, &before_);
    rlimit limit = before_;
    limit.rlim_cur = pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) + more;
    setrlimit(RLIMIT_AS, &limit);
  }
  AddressSpaceLimit(const AddressSpaceLimit&) = delete;
  AddressSpaceLimit& operator=(const AddressSpaceLimit&) = delete;
  ~AddressSpaceLimit() { setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_{};
};

// Appends a pattern in pieces as a receiver does, then checks it.
void grow_in_pieces(std::size_t total, std::size_t piece, std::size_t expected) {
  auto buffer = BufferPool::shared()->empty_buffer();
  for (std::size_t at = 0; at < total; at += piece) {
    const std::size_t end = std::min(at + piece, total);
    ASSERT_TRUE(buffer.resize(end, expected).ok());
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0U);
    for (std::size_t i = at; i < end; ++i) buffer.data()[i] = static_cast<std::byte>(i * 31 >> 3);
  }
  ASSERT_EQ(buffer.size(), total);
  for (std::size_t i = 0; i < total; ++i) ASSERT_EQ(buffer.data()[i], static_cast<std::byte>(i * 31 >> 3)) << i;
}

TEST(Buffer, KeepsItsBytesWhileItGrows) {
  grow_in_pieces(3000, 1, 0);
  grow_in_pieces(3000, 1, 3000);
  grow_in_pieces(300'000, 997, 0);
  grow_in_pieces(9 * kMiB + 5, 100'003, 0);
  grow_in_pieces(9 * kMiB + 5, 100'003, 9 * kMiB + 5);
  grow_in_pieces(9 * kMiB + 5, 100'003, kGiB);
  grow_in_pieces(9 * kMiB + 5, 100'003, 100);
}

TEST(Buffer, StaysSmallUntilMuchHasArrived) {
  auto buffer = pool_with(nullptr)->empty_buffer();
  ASSERT_TRUE(buffer.resize(10, kGiB).ok());
  EXPECT_LE(buffer.capacity(), kKiB);
  ASSERT_TRUE(buffer.resize(2 * kKiB, kGiB).ok());
  EXPECT_LE(buffer.capacity(), 64 * kKiB);
  ASSERT_TRUE(buffer.resize(100 * kKiB, kGiB).ok());
  EXPECT_LE(buffer.capacity(), kMiB + 64 * kKiB);
  ASSERT_TRUE(buffer.resize(2 * kMiB, kGiB).ok());
  EXPECT_GE(buffer.capacity(), kGiB);
}

TEST(Buffer, ReservesWithoutMakingResident) {
  auto buffer = pool_with(nullptr)->empty_buffer();
  ASSERT_TRUE(buffer.resize(2 * kMiB, kGiB).ok());
  std::memset(buffer.data(), 1, buffer.size());
  EXPECT_GE(resident(buffer), 2 * kMiB);
  EXPECT_LE(resident(buffer), 4 * kMiB);
}

TEST(Buffer, ShrinksAndGrowsAgainInItsBlock) {
  auto buffer = filled(*BufferPool::shared(), 5 * kMiB);
  const std::byte* memory = buffer.data();
  ASSERT_TRUE(buffer.resize(10).ok());
  ASSERT_TRUE(buffer.resize(5 * kMiB).ok());
  EXPECT_EQ(buffer.data(), memory);
  EXPECT_EQ(buffer.data()[9], std::byte{0x5A});
}

TEST(Buffer, AnnouncementsBeyondTheMachineFallBackToWhatHasArrived) {
  auto buffer = BufferPool::shared()->empty_buffer();
  ASSERT_TRUE(buffer.resize(2 * kMiB, std::numeric_limits<std::size_t>::max()).ok());
  EXPECT_EQ(buffer.size(), 2 * kMiB);
}

TEST(Buffer, RefusesImpossibleSizesAndStaysAsItWas) {
  auto buffer = filled(*BufferPool::shared(), 100);
  const std::byte* memory = buffer.data();
  for (const std::size_t size : {std::numeric_limits<std::size_t>::max(), std::size_t{1} << 62, std::size_t{1} << 44}) {
    const auto refused = buffer.resize(size);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::overloaded);
  }
  EXPECT_EQ(buffer.size(), 100U);
  EXPECT_EQ(buffer.data(), memory);
  EXPECT_EQ(buffer.data()[99], std::byte{0x5A});
}

TEST(Buffer, MovesLeaveNothingBehind) {
  auto first = filled(*BufferPool::shared(), 100);
  Buffer second = std::move(first);
  EXPECT_EQ(first.size(), 0U);  // NOLINT(bugprone-use-after-move): that is the point
  EXPECT_EQ(first.data(), nullptr);
  auto third = filled(*BufferPool::shared(), 7);
  third = std::move(second);
  EXPECT_EQ(third.size(), 100U);
  Buffer& alias = third;
  third = std::move(alias);
  EXPECT_EQ(third.size(), 100U);
}

TEST(Buffer, OneWithoutAPoolUsesTheSharedOne) {
  Buffer buffer;
  ASSERT_TRUE(buffer.resize(50).ok());
  EXPECT_EQ(buffer.size(), 50U);
  buffer.reset();
  EXPECT_TRUE(buffer.empty());
  ASSERT_TRUE(buffer.resize(60).ok());
}

TEST(Buffer, KeepsItsPoolAlive) {
  auto pool = pool_with(nullptr);
  auto buffer = filled(*pool, kMiB);
  const std::weak_ptr<BufferPool> watched = pool;
  pool.reset();
  EXPECT_FALSE(watched.expired());
  buffer = Buffer();
  EXPECT_TRUE(watched.expired());
}

TEST(MemoryBudget, ChargesUpToItsLimitExactly) {
  MemoryBudget budget(100);
  EXPECT_TRUE(budget.try_charge(60));
  EXPECT_FALSE(budget.try_charge(41));
  EXPECT_TRUE(budget.try_charge(40));
  EXPECT_FALSE(budget.try_charge(1));
  EXPECT_FALSE(budget.try_charge(std::numeric_limits<std::uint64_t>::max()));
  EXPECT_EQ(budget.used(), 100U);
  budget.release(100);
  EXPECT_EQ(budget.used(), 0U);
}

TEST(BufferPool, ChargesWhatHasArrivedAndReleasesIt) {
  const auto budget = std::make_shared<MemoryBudget>(64 * kMiB);
  const auto pool = pool_with(budget);
  auto small = pool->allocate(100).value();
  EXPECT_EQ(budget->used(), 100U);
  auto started = pool->empty_buffer();
  ASSERT_TRUE(started.resize(2 * kKiB, kGiB).ok());
  EXPECT_EQ(budget->used(), 100U + 4 * kKiB);
  started.reset();
  auto growing = pool->empty_buffer();
  ASSERT_TRUE(growing.resize(100 * kKiB, kGiB).ok());
  EXPECT_EQ(budget->used(), 100U + 128 * kKiB);
  ASSERT_TRUE(growing.resize(10 * kMiB, kGiB).ok());
  EXPECT_EQ(budget->used(), 100U + 10 * kMiB);
  ASSERT_TRUE(growing.resize(3 * kMiB).ok());
  EXPECT_EQ(budget->used(), 100U + 4 * kMiB);
  growing.reset();
  small.reset();
  EXPECT_EQ(budget->used(), 0U);
}

TEST(BufferPool, RefusesBeyondTheBudgetAndChangesNothing) {
  const auto budget = std::make_shared<MemoryBudget>(8 * kMiB);
  const auto pool = pool_with(budget);
  auto buffer = filled(*pool, 6 * kMiB);
  const auto refused = buffer.resize(9 * kMiB);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::overloaded);
  EXPECT_NE(refused.error().message.find("8388608"), std::string::npos) << refused.error().message;
  EXPECT_EQ(buffer.size(), 6 * kMiB);
  EXPECT_EQ(buffer.data()[6 * kMiB - 1], std::byte{0x5A});
  EXPECT_EQ(budget->used(), 6 * kMiB);
  EXPECT_FALSE(pool->allocate(4 * kMiB).ok());
  EXPECT_EQ(budget->used(), 6 * kMiB);
  EXPECT_TRUE(pool->allocate(2 * kMiB).ok());
}

TEST(BufferPool, GivesAFreedBlockToTheNextOfItsSize) {
  for (const std::size_t size : {100 * kKiB, 300 * kKiB, 5 * kMiB}) {
    const auto pool = pool_with(nullptr);
    auto first = filled(*pool, size);
    const std::byte* memory = first.data();
    first.reset();
    EXPECT_GE(pool->retained(), size);
    const auto second = pool->allocate(size - 10 * kKiB).value();
    EXPECT_EQ(second.data(), memory) << size;
    EXPECT_EQ(pool->retained(), 0U);
  }
}

TEST(BufferPool, TakesTheTightestBlockAndNoneThatIsFarTooLarge) {
  const auto pool = pool_with(nullptr);
  auto large = filled(*pool, 32 * kMiB);
  auto middle = filled(*pool, 18 * kMiB);
  const std::byte* middle_memory = middle.data();
  large.reset();
  middle.reset();
  const auto fitting = pool->allocate(17 * kMiB).value();
  EXPECT_EQ(fitting.data(), middle_memory);
  const auto small = pool->allocate(4 * kMiB).value();
  EXPECT_LT(small.capacity(), 32 * kMiB);
  EXPECT_EQ(pool->retained(), 32 * kMiB);
}

TEST(BufferPool, KeepsTheLatestBlocksWithinItsLimit) {
  const auto pool = pool_with(nullptr, 20 * kMiB);
  std::vector<Buffer> buffers;
  for (int i = 0; i < 4; ++i) buffers.push_back(filled(*pool, 8 * kMiB));
  const std::byte* last = buffers.back().data();
  buffers.clear();
  EXPECT_LE(pool->retained(), 20 * kMiB);
  EXPECT_GE(pool->retained(), 16 * kMiB);
  EXPECT_EQ(pool->allocate(8 * kMiB)->data(), last);
  filled(*pool, 40 * kMiB).reset();
  EXPECT_LE(pool->retained(), 20 * kMiB);
}

TEST(BufferPool, CountsOnlyWhatWasWrittenOfAKeptBlock) {
  const auto pool = pool_with(nullptr);
  auto buffer = pool->empty_buffer();
  ASSERT_TRUE(buffer.resize(2 * kMiB, 256 * kMiB).ok());
  buffer.reset();
  EXPECT_LE(pool->retained(), 3 * kMiB + 64 * kKiB);
  EXPECT_GE(pool->retained(), 2 * kMiB);
}

TEST(BufferPool, TrimGivesEverythingBack) {
  const auto pool = pool_with(nullptr);
  filled(*pool, 8 * kMiB).reset();
  pool->trim();
  EXPECT_EQ(pool->retained(), 0U);
}

TEST(BufferPool, TrimUnusedSparesWhatWasUsedSinceTheLastTime) {
  const auto pool = pool_with(nullptr);
  auto first = filled(*pool, 8 * kMiB);
  auto second = filled(*pool, 20 * kMiB);
  first.reset();
  second.reset();
  pool->trim_unused();
  EXPECT_EQ(pool->retained(), 28 * kMiB);
  filled(*pool, 8 * kMiB).reset();
  pool->trim_unused();
  EXPECT_EQ(pool->retained(), 8 * kMiB);
  pool->trim_unused();
  EXPECT_EQ(pool->retained(), 0U);
}

TEST(BufferPool, KeptBlocksMakeWayForWhatIsInUse) {
  const auto budget = std::make_shared<MemoryBudget>(64 * kMiB);
  const auto pool = pool_with(budget);
  filled(*pool, 48 * kMiB).reset();
  EXPECT_EQ(pool->retained(), 48 * kMiB);
  const auto small = filled(*pool, 20 * kMiB);
  EXPECT_LE(pool->retained() + budget->used(), 64 * kMiB);
  const auto more = filled(*pool, 40 * kMiB);
  EXPECT_LE(pool->retained() + budget->used(), 64 * kMiB);
}

// Senders who announce what fits a warm block and send little of it would otherwise sit on memory that nobody is
// charged.
TEST(BufferPool, WarmBlocksOfSlowSendersAreCooledDown) {
  const auto budget = std::make_shared<MemoryBudget>(256 * kMiB);
  const auto pool = pool_with(budget);
  std::vector<Buffer> buffers;
  for (int i = 0; i < 3; ++i) buffers.push_back(filled(*pool, 64 * kMiB));
  buffers.clear();
  std::size_t in_memory = 0;
  for (int i = 0; i < 3; ++i) {
    auto& buffer = buffers.emplace_back(pool->empty_buffer());
    ASSERT_TRUE(buffer.resize(2 * kMiB, 64 * kMiB).ok());
    in_memory += resident(buffer);
  }
  EXPECT_LE(in_memory, budget->used() + budget->limit() / 8);
}

TEST(BufferPool, CooledBlocksAreForgottenWhenTheyAreGivenBack) {
  const auto budget = std::make_shared<MemoryBudget>(256 * kMiB);
  const auto pool = pool_with(budget);
  filled(*pool, 20 * kMiB).reset();
  for (int i = 0; i < 100; ++i) {
    auto buffer = pool->empty_buffer();
    ASSERT_TRUE(buffer.resize(2 * kMiB, 20 * kMiB).ok());
    Buffer moved = std::move(buffer);
  }
  EXPECT_EQ(pool->retained(), 20 * kMiB);
}

// A limit on the address space stands for a machine without memory.
TEST(BufferPool, AnswersOverloadedWhenTheSystemHasNoMemory) {
  const auto budget = std::make_shared<MemoryBudget>(4 * kGiB);
  const auto pool = pool_with(budget);
  auto buffer = filled(*pool, 8 * kMiB);
  const AddressSpaceLimit limit(64 * kMiB);
  const auto refused = buffer.resize(256 * kMiB);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::overloaded);
  EXPECT_EQ(refused.error().message, "the system has no memory for a buffer of 268435456 bytes");
  EXPECT_EQ(budget->used(), 8 * kMiB);
  EXPECT_EQ(buffer.size(), 8 * kMiB);
  EXPECT_EQ(buffer.data()[8 * kMiB - 1], std::byte{0x5A});
  EXPECT_TRUE(buffer.resize(9 * kMiB, 256 * kMiB).ok()) << "what has arrived still fits, if not what is announced";
}

TEST(BufferPool, KeptBlocksAreGivenBackWhenTheSystemHasNoMemory) {
  const auto pool = pool_with(nullptr);
  filled(*pool, 100 * kMiB).reset();
  const AddressSpaceLimit limit(8 * kMiB);
  EXPECT_TRUE(pool->allocate(30 * kMiB).ok());
}

TEST(BufferPool, IsSharedByThreads) {
  const auto budget = std::make_shared<MemoryBudget>(48 * kMiB);
  const auto pool = pool_with(budget, 16 * kMiB);
  const auto work = [&](unsigned seed) {
    std::mt19937 random(seed);
    for (int i = 0; i < 400; ++i) {
      auto buffer = pool->empty_buffer();
      const std::size_t total = random() % (6 * kMiB);
      const auto mark = static_cast<std::byte>(random());
      if (!buffer.resize(total / 3, total).ok()) continue;
      if (!buffer.empty()) buffer.data()[buffer.size() - 1] = mark;
      const std::size_t marked = buffer.size();
      if (!buffer.resize(total, total).ok() || marked == 0) continue;
      if (buffer.data()[marked - 1] != mark) ADD_FAILURE() << "another thread wrote into this buffer";
      if (i % 50 == 0) pool->trim_unused();
    }
  };
  std::vector<std::thread> threads;
  for (unsigned seed = 1; seed <= 4; ++seed) threads.emplace_back(work, seed);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(budget->used(), 0U);
  EXPECT_LE(pool->retained(), 16 * kMiB);
}

}  // namespace
}  // namespace tensorwire
