// The memory that the server answers for: requests that wait for their handler, and replies larger than it may send.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "server_fixture.hpp"

namespace {

using raw::at;
using raw::Client;
using raw::code;
using raw::Gate;
using raw::TestServer;
using tensord::Options;
using tensord::Reply;
using tensord::Request;
using tensord::Server;
using tensord::Tensor;

std::uint64_t memory_used(Client& client) {
  return std::stoull(at(client.call(R"({"handler":"info"})"), "result.memory_used"));
}

// Short as text, long as values.
std::string heavy(const char* handler, int id) {
  std::string values = "0";
  for (int i = 1; i < 100'000; ++i) values += ",0";
  return R"({"id":)" + std::to_string(id) + R"(,"handler":")" + handler + R"(","params":{"x":[)" + values + "]}}";
}

void serve_nothing_until(Server& server, Gate& gate) {
  server.handle("wait", [&gate](Request) -> Reply {
    gate.pass();
    return {};
  });
}

TEST(MemoryTest, RequestsThatWaitForTheirHandlerAreCharged) {
  Gate gate;
  TestServer server({}, [&](Server& s) { serve_nothing_until(s, gate); });
  Client client = server.connect();
  client.send_frame(heavy("wait", 1));
  ASSERT_TRUE(gate.wait_for(1));
  Client other = server.connect();
  EXPECT_GT(memory_used(other), 4'000'000U);
  EXPECT_LT(memory_used(other), 32'000'000U);
  gate.open();
  EXPECT_EQ(at(client.reply(), "status"), "\"ok\"");
  EXPECT_TRUE(raw::eventually([&] { return memory_used(other) == 0; }));
}

TEST(MemoryTest, RequestsBeyondTheMemoryAreRefusedNotHeld) {
  Gate gate;
  Options options;
  options.memory = 32U << 20;
  TestServer server(options, [&](Server& s) { serve_nothing_until(s, gate); });
  std::vector<Client> clients;
  for (int i = 0; i < 12; ++i) {
    clients.push_back(server.connect());
    clients.back().send_frame(heavy("wait", i));
  }
  EXPECT_TRUE(raw::eventually([&] { return server.count("errors.overloaded") >= 2; }));
  gate.open();
  int ok = 0;
  int overloaded = 0;
  for (int i = 0; i < 12; ++i) {
    const auto reply = clients[static_cast<std::size_t>(i)].reply();
    EXPECT_EQ(at(reply, "id"), std::to_string(i));
    ok += at(reply, "status") == "\"ok\"" ? 1 : 0;
    overloaded += code(reply) == "\"overloaded\"" ? 1 : 0;
  }
  EXPECT_EQ(ok + overloaded, 12);
  EXPECT_GE(ok, 2);
  EXPECT_EQ(at(clients.front().call(raw::tensor_json(R"(,"handler":"echo","id":1)")), "status"), "\"ok\"");
}

// Its base64 exceeds a frame, and its list exceeds the memory.
TEST(MemoryTest, AHandlerThatAnswersAGibibyteGivesAnErrorAndTheConnectionLives) {
  Options options;
  options.memory = 64U << 20;
  TestServer server(options, [](Server& s) {
    s.handle("gibibyte", [](Request) -> Reply {
      return Reply::of("", Tensor::allocate(tensorwire::DType::uint8, {1 << 30}).value());
    });
  });
  Client client = server.connect();
  const auto base64 = client.call(R"({"id":1,"handler":"gibibyte"})");
  EXPECT_EQ(code(base64), "\"frame_too_large\"");
  const auto list = client.call(R"({"id":2,"handler":"gibibyte","encoding":"list"})");
  EXPECT_EQ(at(list, "id"), "2");
  EXPECT_EQ(code(list), "\"overloaded\"");
  std::cout << "a gibibyte as base64: " << code(base64) << ", as a list: " << code(list) << "\n";
  EXPECT_EQ(at(client.call(raw::tensor_json(R"(,"handler":"echo","id":3)")), "id"), "3");
}

}  // namespace
