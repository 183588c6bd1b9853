// How a server ends: stop() answers what was received, stop_now() cuts, and neither waits for ever.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "server_fixture.hpp"

namespace {

using namespace std::chrono_literals;
using raw::at;
using raw::call;
using raw::Client;
using raw::code;
using raw::Gate;
using raw::TestServer;
using tensord::Json;
using tensord::Options;
using tensord::Reply;
using tensord::Request;
using tensord::Server;
using tensord::Task;

TEST(ServerStop, StopAnswersWhatWasReceivedAndTellsLateMessages) {
  Gate gate;
  TestServer server({}, raw::gated("wait", gate));
  Client busy = server.connect();
  Client idle = server.connect();
  EXPECT_EQ(at(idle.call(call("echo", "1")), "id"), "1");
  for (int i = 0; i < 5; ++i) busy.send_frame(call("wait", std::to_string(i)));
  ASSERT_TRUE(gate.wait_for(1));
  server->stop();
  EXPECT_TRUE(idle.ended());
  EXPECT_TRUE(raw::eventually([&] { return server.count("open") == 1; }));
  busy.send_frame(call("wait", "5"));
  gate.open();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(at(busy.reply(), "id"), std::to_string(i));
  const Json late = busy.reply();
  EXPECT_EQ(code(late), "\"shutting_down\"");
  EXPECT_EQ(at(late, "id"), "5");
  EXPECT_TRUE(busy.ended());
  EXPECT_TRUE(server->wait());
  EXPECT_FALSE(server.connect().connected());
}

TEST(ServerStop, StopUnderLoadLosesNoRequestThatWasReceived) {
  TestServer server;
  std::vector<std::thread> senders;
  std::atomic<bool> go{true};
  std::atomic<std::uint64_t> answered{0};
  std::atomic<int> begun{0};
  for (int c = 0; c < 8; ++c) {
    senders.emplace_back([&] {
      Client client = server.connect();
      for (std::int64_t i = 0; go; ++i) {
        if (!client.send_frame(call("stats", std::to_string(i)))) break;
        const Json reply = client.reply();
        if (reply.is_null()) break;
        if (code(reply) == "\"shutting_down\"") break;
        ASSERT_EQ(at(reply, "id"), std::to_string(i));
        ++answered;
        if (i == 0) ++begun;
      }
    });
  }
  ASSERT_TRUE(raw::eventually([&] { return begun == 8 && answered > 400; }));
  server->stop();
  EXPECT_TRUE(server->wait());
  go = false;
  for (std::thread& sender : senders) sender.join();
  EXPECT_EQ(answered, server.count("messages"));
  EXPECT_EQ(server.count("unanswered"), 0U);
}

TEST(ServerStop, AStuckHandlerDoesNotKeepTheServerBeyondItsDrainTime) {
  Gate gate;
  Options options;
  options.drain_timeout = 50ms;
  TestServer server(options, raw::gated("stuck", gate));
  Client client = server.connect();
  client.send_frame(call("stuck", "1"));
  ASSERT_TRUE(gate.wait_for(1));
  server->stop();
  EXPECT_FALSE(server->wait());
  EXPECT_EQ(server->busy_handlers(), 1U);
  EXPECT_TRUE(client.ended());
  gate.open();
}

TEST(ServerStop, StopNowCutsAtOnceAndWakesSleepingCoroutines) {
  std::atomic<bool> began{false};
  std::atomic<bool> finished{false};
  {
    TestServer server({}, [&](Server& s) {
      s.handle("nap", [&](Request request) -> Task<Reply> {
        began = true;
        while (!request.cancelled()) co_await tensord::sleep_for(std::chrono::hours(1));
        finished = true;
        co_return Reply();
      });
    });
    Client client = server.connect();
    client.send_frame(call("nap", "1"));
    ASSERT_TRUE(raw::eventually([&] { return began.load(); }));
    server->stop_now();
    EXPECT_FALSE(server->wait());
    EXPECT_TRUE(client.ended());
  }
  EXPECT_TRUE(finished);
}

}  // namespace
