// Memory that runs out anywhere in the server: each allocation of a request fails once, and the server lives on.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <new>
#include <string>

#include "server_fixture.hpp"

namespace {

// The test's own thread allocates undisturbed; all others count, and the one whose turn it is gets nothing.
thread_local bool undisturbed = false;
std::atomic<long> left_until_failure{-1};
std::atomic<long> counted{0};

bool fails() {
  if (undisturbed || left_until_failure.load(std::memory_order_relaxed) < 0) return false;
  counted.fetch_add(1, std::memory_order_relaxed);
  return left_until_failure.fetch_sub(1, std::memory_order_relaxed) == 0;
}

}  // namespace

// All forms that this program uses; a sanitizer keeps its own ones where one is missing, and tells a mismatch. Not
// inlined, or g++ takes the free() in one for a mismatch with the new in its caller.
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t& /*tag*/) noexcept {
  return fails() ? nullptr : std::malloc(bytes == 0 ? 1 : bytes);
}
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment,
                                     const std::nothrow_t& /*tag*/) noexcept {
  const auto to = static_cast<std::size_t>(alignment);
  return fails() ? nullptr : std::aligned_alloc(to, (bytes + to - 1) / to * to);
}
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  void* const memory = operator new(bytes, std::nothrow);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
  void* const memory = operator new(bytes, alignment, std::nothrow);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t /*bytes*/) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t /*bytes*/, std::align_val_t /*alignment*/) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, const std::nothrow_t& /*tag*/) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t /*alignment*/,
                                       const std::nothrow_t& /*tag*/) noexcept {
  std::free(memory);
}

namespace {

using namespace std::chrono_literals;
using raw::at;
using raw::Client;
using tensord::Reply;
using tensord::Request;
using tensord::Server;
using tensord::Task;

// Sends the request with the n-th allocation failing, for every n that the request comes to.
void fail_each_allocation(const std::string& bytes) {
  undisturbed = true;
  tensord::Options options;
  options.io_threads = 1;
  options.handler_threads = 1;
  options.handler_timeout = 2s;
  raw::TestServer server(options, [](Server& s) {
    s.handle("slow", [](Request request) -> Reply { return Reply(std::move(request.tensors)); });
    s.handle("later", [](Request request) -> Task<Reply> {
      co_await tensord::sleep_for(1us);
      co_return Reply(std::move(request.tensors));
    });
  });
  bool reached = true;
  long n = 0;
  for (; reached && n < 2000; ++n) {
    counted = 0;
    left_until_failure = n;
    {
      Client client = server.connect();
      client.send(bytes);
      client.end_sending();
      (void)client.receive_all();  // a reply, an error or the end: all but a dead server
    }
    reached = counted > n;
    left_until_failure = -1;
    Client after = server.connect();
    ASSERT_EQ(at(after.call(raw::tensor_json(R"(,"handler":"echo","id":7)")), "id"), "7") << n;
  }
  std::cout << "allocations failed one by one: " << n - 1 << ", crashes 0\n";
  EXPECT_GT(n, 10);
  EXPECT_LT(n, 2000);
  EXPECT_TRUE(raw::eventually([&] { return server.count("open") == 0; }));
  server->stop();
  EXPECT_TRUE(server->wait());
}

std::string request(const std::string& more) {
  return raw::frame(raw::tensor_json(",\"id\":\"a rather long id\"" + more));
}

TEST(AllocationTest, OfAQuickRequest) { fail_each_allocation(request(R"(,"handler":"echo")")); }

TEST(AllocationTest, OfARequestOnAHandlerThread) {
  fail_each_allocation(request(R"(,"handler":"slow","encoding":"list")"));
}

TEST(AllocationTest, OfACoroutine) { fail_each_allocation(request(R"(,"handler":"later")")); }

TEST(AllocationTest, OfErrorsAndOfTheDefaultHandler) {
  fail_each_allocation(request(R"(,"handler":"no such handler")") + raw::frame("no json") + request(""));
}

TEST(AllocationTest, OfListsAndManyMessages) {
  std::string bytes;
  for (int i = 0; i < 5; ++i)
    bytes += raw::frame(R"({"handler":"slow","data":[[1.5,2],[3,4]],"params":{"a":[1,"b"]}})");
  fail_each_allocation(bytes);
}

}  // namespace
