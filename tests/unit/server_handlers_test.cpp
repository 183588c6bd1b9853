// When handlers run and what becomes of them: order, look-ahead, threads, coroutines, exceptions, timeouts.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <coroutine>
#include <future>
#include <new>
#include <stdexcept>
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
using tensord::Error;
using tensord::ErrorCode;
using tensord::ErrorException;
using tensord::Json;
using tensord::Options;
using tensord::Reply;
using tensord::Request;
using tensord::Server;
using tensord::Task;

TEST(HandlersRun, RepliesComeInOrderWhateverTheHandlersTake) {
  TestServer server({}, [](Server& s) {
    s.handle("slow", [](Request request) -> Reply {
      std::this_thread::sleep_for(1ms);
      return Reply(std::move(request.tensors));
    });
  });
  Client client = server.connect();
  std::string all;
  for (int i = 0; i < 300; ++i)
    all += raw::frame(call(i % 3 == 0 ? "slow" : i % 3 == 1 ? "echo" : "nope", std::to_string(i)));
  std::thread sender([&] { client.send(all); });
  for (int i = 0; i < 300; ++i) {
    const Json reply = client.reply();
    ASSERT_EQ(at(reply, "id"), std::to_string(i));
    ASSERT_EQ(at(reply, "status"), i % 3 == 2 ? "\"error\"" : "\"ok\"");
  }
  sender.join();
}

TEST(HandlersRun, HandlersOfOneConnectionRunOneAfterTheOther) {
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  TestServer server({}, [&](Server& s) {
    s.handle("count", [&](Request) -> Reply {
      most = std::max(most.load(), ++inside);
      std::this_thread::sleep_for(1ms);
      --inside;
      return {};
    });
  });
  Client client = server.connect();
  for (int i = 0; i < 50; ++i) client.send_frame(call("count", std::to_string(i)));
  for (int i = 0; i < 50; ++i) ASSERT_EQ(at(client.reply(), "id"), std::to_string(i));
  EXPECT_EQ(most, 1);
}

TEST(HandlersRun, HandlersOfDifferentConnectionsRunInParallel) {
  Gate gate;
  Options options;
  options.handler_threads = 4;
  TestServer server(options, raw::gated("meet", gate));
  std::vector<Client> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(server.connect());
  for (Client& client : clients) client.send_frame(call("meet", "1"));
  EXPECT_TRUE(gate.wait_for(4));  // all four are inside at once
  gate.open();
  for (Client& client : clients) EXPECT_EQ(at(client.reply(), "status"), "\"ok\"");
}

TEST(HandlersRun, TheNextMessageIsDecodedWhileTheHandlerBeforeItRuns) {
  Gate gate;
  TestServer server({}, raw::gated("wait", gate));
  Client client = server.connect();
  client.send_frame(call("wait", "1"));
  ASSERT_TRUE(gate.wait_for(1));
  client.send_frame(call("wait", "2"));
  EXPECT_TRUE(raw::eventually([&] { return server.count("messages") == 2; }));
  EXPECT_EQ(gate.arrived(), 1);
  gate.open();
  EXPECT_EQ(at(client.reply(), "id"), "1");
  EXPECT_EQ(at(client.reply(), "id"), "2");
}

TEST(HandlersRun, NoMoreMessagesAreTakenThanMayBeInFlight) {
  Gate gate;
  TestServer server({}, raw::gated("wait", gate));
  Client client = server.connect();
  std::string all;
  for (int i = 0; i < 20; ++i) all += raw::frame(call("wait", std::to_string(i)));
  client.send(all);
  ASSERT_TRUE(gate.wait_for(1));
  ASSERT_TRUE(raw::eventually([&] { return server.count("messages") == 2; }));
  Client other = server.connect();  // a round trip later, still no third one
  EXPECT_EQ(at(other.call(call("echo", "1")), "status"), "\"ok\"");
  EXPECT_EQ(server.count("messages"), 3U);
  gate.open();
  for (int i = 0; i < 20; ++i) ASSERT_EQ(at(client.reply(), "id"), std::to_string(i));
}

TEST(HandlersRun, ASleepingHandlerStallsNeitherOtherConnectionsNorQuickHandlers) {
  Gate gate;
  Options options;
  options.io_threads = 1;
  options.handler_threads = 1;
  TestServer server(options, raw::gated("sleep", gate));
  Client sleeper = server.connect();
  sleeper.send_frame(call("sleep", "1"));
  ASSERT_TRUE(gate.wait_for(1));
  Client other = server.connect();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(at(other.call(call("echo", "5")), "status"), "\"ok\"");
  gate.open();
  EXPECT_EQ(at(sleeper.reply(), "id"), "1");
}

TEST(HandlersRun, WhateverAHandlerThrowsIsAnErrorReplyAndTheConnectionLives) {
  TestServer server({}, [](Server& s) {
    s.handle("std", [](Request) -> Reply { throw std::runtime_error("the motor is hot"); });
    s.handle("int", [](Request) -> Reply { throw 42; });
    s.handle("memory", [](Request) -> Reply { throw std::bad_alloc(); });
    s.handle("error", [](Request) -> Reply {
      throw ErrorException(Error{ErrorCode::value_out_of_range, "too far", "/params/x"});
    });
    s.handle("reply", [](Request) -> Reply { return Error{ErrorCode::bad_shape, "not square", "/shape"}; });
    s.handle("quick", [](Request) -> Reply { throw std::runtime_error("quick"); }, {.quick = true});
    s.handle("later", [](Request) -> Task<Reply> {
      co_await tensord::sleep_for(1ms);
      throw std::runtime_error("after a while");
    });
  });
  Client client = server.connect();
  const auto failure = [&](const char* handler) {
    const Json reply = client.call(call(handler, "7"));
    EXPECT_EQ(at(reply, "id"), "7");
    return code(reply) + " " + raw::message(reply) + " " + at(reply, "error.at");
  };
  EXPECT_EQ(failure("std"), "\"handler_failed\" \"the motor is hot\" ");
  EXPECT_EQ(failure("int"), "\"handler_failed\" \"unknown exception\" ");
  EXPECT_EQ(failure("memory").substr(0, 12), "\"overloaded\"");
  EXPECT_EQ(failure("error"), "\"value_out_of_range\" \"too far\" \"/params/x\"");
  EXPECT_EQ(failure("reply"), "\"bad_shape\" \"not square\" \"/shape\"");
  EXPECT_EQ(failure("quick"), "\"handler_failed\" \"quick\" ");
  EXPECT_EQ(failure("later"), "\"handler_failed\" \"after a while\" ");
  EXPECT_EQ(at(client.call(call("echo", "8")), "status"), "\"ok\"");
  EXPECT_EQ(server.count("errors.handler_failed"), 4U);
  EXPECT_EQ(server.count("errors.overloaded"), 1U);
}

TEST(HandlersRun, ManySleepingCoroutinesNeedOneThread) {
  Options options;
  options.handler_threads = 1;
  std::atomic<int> asleep{0};
  std::atomic<int> most{0};
  TestServer server(options, [&](Server& s) {
    s.handle("nap", [&](Request request) -> Task<Reply> {
      most = std::max(most.load(), ++asleep);
      co_await tensord::sleep_for(200ms);
      --asleep;
      co_return Reply(std::move(request.tensors));
    });
  });
  std::vector<Client> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(server.connect());
  for (Client& client : clients) client.send_frame(call("nap", "1"));
  for (Client& client : clients) EXPECT_EQ(at(client.reply(), "status"), "\"ok\"");
  EXPECT_GT(most, 1);
}

TEST(HandlersRun, ACoroutineResumedElsewhereCanComeBackToAHandlerThread) {
  struct Elsewhere {
    std::promise<std::coroutine_handle<>>& traveller;
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) const { traveller.set_value(coroutine); }
    void await_resume() const noexcept {}
  };
  std::promise<std::coroutine_handle<>> traveller;
  std::thread elsewhere([&traveller] { traveller.get_future().get().resume(); });
  TestServer server({}, [&](Server& s) {
    s.handle("travel", [&](Request) -> Task<Reply> {
      const tensord::HandlerThread home;
      co_await Elsewhere{traveller};
      const bool left = tensord::detail::Scheduler::current() == nullptr;
      co_await home.resume();
      const bool back = tensord::detail::Scheduler::current() != nullptr;
      co_return Json::object({{"left", left}, {"back", back}});
    });
  });
  Client client = server.connect();
  const Json reply = client.call(R"({"handler":"travel"})");
  EXPECT_EQ(at(reply, "result"), R"({"left":true,"back":true})");
  elsewhere.join();
}

TEST(HandlersRun, ALateHandlerGivesATimeoutItsCancelledTurnsTrueAndItsReplyIsDropped) {
  Gate gate;
  std::promise<bool> cancelled;
  Options options;
  options.handler_timeout = 50ms;
  TestServer server(options, [&](Server& s) {
    s.handle("stuck", [&](Request request) -> Reply {
      gate.pass();
      cancelled.set_value(request.cancelled());
      return {};
    });
  });
  Client client = server.connect();
  const Json reply = client.call(call("stuck", "1"));
  EXPECT_EQ(at(reply, "id"), "1");
  EXPECT_EQ(code(reply), "\"timeout\"");
  EXPECT_EQ(at(client.call(call("echo", "2")), "id"), "2");  // the connection lives
  gate.open();
  EXPECT_TRUE(cancelled.get_future().get());
  EXPECT_TRUE(raw::eventually([&] { return server.count("late_replies") == 1; }));
  EXPECT_EQ(at(client.call(call("echo", "3")), "id"), "3");  // and no late reply comes between
  EXPECT_EQ(server.count("handler_timeouts"), 1U);
}

TEST(HandlersRun, WaitingForAFreeHandlerThreadTimesOutToo) {
  Gate gate;
  Options options;
  options.handler_timeout = 50ms;
  options.handler_threads = 1;
  TestServer server(options, raw::gated("stuck", gate));
  Client first = server.connect();
  first.send_frame(call("stuck", "1"));
  ASSERT_TRUE(gate.wait_for(1));
  Client second = server.connect();
  const Json reply = second.call(call("stuck", "2"));
  EXPECT_EQ(code(reply), "\"timeout\"");
  EXPECT_NE(raw::message(reply).find("--handler-threads"), std::string::npos);
  gate.open();
  EXPECT_EQ(gate.arrived(), 1);
}

}  // namespace
