// Every allocation on the way through the core values fails once: each time an error or std::bad_alloc comes out, and
// nothing is lost or left charged.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <new>
#include <string>
#include <vector>

#include "tensorwire/json.hpp"
#include "tensorwire/npy.hpp"
#include "tensorwire/tfrecord.hpp"

namespace {

// Counts down to the allocation of this thread that fails; 0: none does.
thread_local int allocations_left = 0;

// These functions are not inlined, for g++ would suspect mismatched frees and impossible sizes where they were.
bool fails_now() noexcept { return allocations_left != 0 && --allocations_left == 0; }

[[gnu::noinline]] void* allocate(std::size_t size, std::size_t alignment) noexcept {
  if (fails_now()) return nullptr;
  return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment + alignment);
}

}  // namespace

void* operator new(std::size_t size) {
  void* block = allocate(size, alignof(std::max_align_t));
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return allocate(size, alignof(std::max_align_t));
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* block) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::size_t) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::align_val_t) noexcept { std::free(block); }

namespace tensorwire {
namespace {

// Runs `work` with its first, second, ... allocation failing, until it makes no more. `work` returns its error, if any.
void fail_each_allocation(const std::function<std::optional<ErrorCode>()>& work) {
  constexpr int kFarMore = 10'000;
  for (int nth = 1; nth < kFarMore; ++nth) {
    std::optional<ErrorCode> error;
    bool thrown = false;
    allocations_left = nth;
    try {
      error = work();
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
    const bool failed = allocations_left == 0;
    allocations_left = 0;
    if (!failed) {
      EXPECT_EQ(error, std::nullopt) << "nothing failed";
      EXPECT_FALSE(thrown);
      EXPECT_GT(nth, 1) << "it allocates nothing, so nothing was tested";
      return;
    }
    EXPECT_EQ(error.value_or(ErrorCode::overloaded), ErrorCode::overloaded) << "allocation " << nth;
  }
  FAIL() << "it never comes to an end";
}

template <class T>
std::optional<ErrorCode> error_of(const Result<T>& result) {
  return result.ok() ? std::nullopt : std::optional(result.error().code);
}

TEST(FailingAllocations, GrowingABufferAnswersOverloadedAndThrowsNothing) {
  const auto budget = std::make_shared<MemoryBudget>(1 << 20);
  const auto pool = std::make_shared<BufferPool>(BufferPool::Options{}, budget);
  fail_each_allocation([&] {
    auto buffer = pool->empty_buffer();
    for (const std::size_t size : {100U, 5'000U, 40'000U, 90'000U}) {
      Result<void> resized;
      EXPECT_NO_THROW(resized = buffer.resize(size));
      if (!resized.ok()) return error_of(resized);
    }
    return std::optional<ErrorCode>();
  });
  EXPECT_EQ(budget->used(), 0U);
}

TEST(FailingAllocations, EvenTheSentenceOfAnErrorMayFindNoMemory) {
  const auto pool = std::make_shared<BufferPool>(BufferPool::Options{}, std::make_shared<MemoryBudget>(10));
  auto buffer = pool->empty_buffer();
  allocations_left = 1;
  const auto refused = buffer.resize(100);
  allocations_left = 0;
  EXPECT_EQ(refused.error().code, ErrorCode::overloaded);
  EXPECT_EQ(refused.error().message, "out of memory");
}

TEST(FailingAllocations, ParsingAndWritingJson) {
  fail_each_allocation([] {
    const auto value =
        Json::parse(R"({"a long member name indeed": [1, 2.5, "a string that is not short", {"b": null}]})");
    return error_of(value);
  });
  const Json value = Json::parse(R"({"a": [1, [2, {"b": "a string that is not short"}]]})").value();
  fail_each_allocation([&] { return value.dump().empty() ? std::optional(ErrorCode::internal) : std::nullopt; });
}

TEST(FailingAllocations, ReadingAnNpyFile) {
  const std::string file = npy_header(DType::float32, {4, 4}).value() + std::string(64, '\0');
  fail_each_allocation([&] { return error_of(read_npy(std::as_bytes(std::span(file)))); });
}

TEST(FailingAllocations, MakingTensorsOfStrings) {
  const std::vector<std::string> labels = {"a label that is not short at all", "another one, and just as long"};
  fail_each_allocation([&] { return error_of(Tensor::copy_of(TensorView({2}, labels))); });
  fail_each_allocation([] { return error_of(Tensor::allocate(DType::string, {3})); });
}

TEST(FailingAllocations, EncodingARecord) {
  std::vector<Item> items;
  items.emplace_back("a name that is not short at all", Tensor::allocate(DType::uint8, {3}).value());
  items.emplace_back(Tensor::of_strings({1}, {"label"}).value());
  fail_each_allocation([&] { return error_of(encode_tfrecord(items)); });
}

}  // namespace
}  // namespace tensorwire
