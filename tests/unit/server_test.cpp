// The server as its senders and its embedding program see it: order, look-ahead, failing handlers, limits, stopping.
#include "tensord/server.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <future>
#include <new>
#include <span>
#include <stdexcept>
#include <thread>
#include <vector>

#include "server_fixture.hpp"

namespace {

using namespace std::chrono_literals;
using raw::at;
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
using tensord::Tensor;

std::string call(const char* handler, const std::string& id) {
  return raw::tensor_json(",\"handler\":\"" + std::string(handler) + "\",\"id\":" + id);
}

TEST(ServerTest, AHandlerGetsTypedElementsAndItsReplyComesBack) {
  TestServer server({}, [](Server& s) {
    s.handle("sum", [](Request request) -> Reply {
      double sum = 0;
      const std::span<const float> values = request.tensor(0).as<float>().value();
      for (const float value : values) sum += static_cast<double>(value);
      return Json::object({{"sum", sum}, {"shape", request.tensors[0].tensor().value()->shape().to_string()}});
    });
  });
  Client client = server.connect();
  const Json reply = client.call(call("sum", "\"a\""));
  EXPECT_EQ(at(reply, "id"), "\"a\"");
  EXPECT_EQ(at(reply, "status"), "\"ok\"");
  EXPECT_EQ(at(reply, "result.sum"), "10.0");
  EXPECT_EQ(at(reply, "result.shape"), "\"[4]\"");
}

TEST(ServerTest, AWrongTypeIsTheSendersErrorNotTheHandlers) {
  TestServer server({}, [](Server& s) {
    s.handle("ints", [](Request request) -> Reply {
      return Json(std::uint64_t{request.tensor(0).as<std::int32_t>().value().size()});
    });
  });
  Client client = server.connect();
  const Json reply = client.call(call("ints", "1"));
  EXPECT_EQ(code(reply), "\"bad_dtype\"");
  EXPECT_EQ(at(reply, "id"), "1");
}

TEST(ServerTest, RepliesComeInOrderWhateverTheHandlersTake) {
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

TEST(ServerTest, HandlersOfOneConnectionRunOneAfterTheOther) {
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

TEST(ServerTest, HandlersOfDifferentConnectionsRunInParallel) {
  Gate gate;
  Options options;
  options.handler_threads = 4;
  TestServer server(options, [&](Server& s) {
    s.handle("meet", [&](Request) -> Reply {
      gate.pass();
      return {};
    });
  });
  std::vector<Client> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(server.connect());
  for (Client& client : clients) client.send_frame(call("meet", "1"));
  EXPECT_TRUE(gate.wait_for(4));  // all four are inside at once
  gate.open();
  for (Client& client : clients) EXPECT_EQ(at(client.reply(), "status"), "\"ok\"");
}

TEST(ServerTest, TheNextMessageIsDecodedWhileTheHandlerBeforeItRuns) {
  Gate gate;
  TestServer server({}, [&](Server& s) {
    s.handle("wait", [&](Request) -> Reply {
      gate.pass();
      return {};
    });
  });
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

TEST(ServerTest, NoMoreMessagesAreTakenThanMayBeInFlight) {
  Gate gate;
  TestServer server({}, [&](Server& s) {
    s.handle("wait", [&](Request) -> Reply {
      gate.pass();
      return {};
    });
  });
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

TEST(ServerTest, ASleepingHandlerStallsNeitherOtherConnectionsNorQuickHandlers) {
  Gate gate;
  Options options;
  options.io_threads = 1;
  options.handler_threads = 1;
  TestServer server(options, [&](Server& s) {
    s.handle("sleep", [&](Request) -> Reply {
      gate.pass();
      return {};
    });
  });
  Client sleeper = server.connect();
  sleeper.send_frame(call("sleep", "1"));
  ASSERT_TRUE(gate.wait_for(1));
  Client other = server.connect();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(at(other.call(call("echo", "5")), "status"), "\"ok\"");
  gate.open();
  EXPECT_EQ(at(sleeper.reply(), "id"), "1");
}

TEST(ServerTest, WhateverAHandlerThrowsIsAnErrorReplyAndTheConnectionLives) {
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

TEST(ServerTest, AHandlerMayReturnTenTensors) {
  TestServer server({}, [](Server& s) {
    s.handle("ten", [](Request) -> Reply {
      Reply reply;
      for (std::int32_t i = 0; i < 10; ++i) {
        const std::vector<std::int32_t> values(static_cast<std::size_t>(i), i);
        reply.tensors.emplace_back("t" + std::to_string(i),
                                   Tensor::copy_of(std::span<const std::int32_t>(values), {i}).value());
      }
      reply.result = Json("ten");
      return reply;
    });
  });
  Client client = server.connect();
  const Json reply = client.call(R"({"handler":"ten","encoding":"list"})");
  EXPECT_EQ(at(reply, "result"), "\"ten\"");
  EXPECT_EQ(at(reply, "tensors.9.name"), "\"t9\"");
  EXPECT_EQ(at(reply, "tensors.9.data"), "[9,9,9,9,9,9,9,9,9]");
  EXPECT_EQ(at(reply, "tensors.0.data"), "[]");
}

TEST(ServerTest, ManySleepingCoroutinesNeedOneThread) {
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

TEST(ServerTest, ACoroutineResumedElsewhereCanComeBackToAHandlerThread) {
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

TEST(ServerTest, ALateHandlerGivesATimeoutItsCancelledTurnsTrueAndItsReplyIsDropped) {
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

TEST(ServerTest, WaitingForAFreeHandlerThreadTimesOutToo) {
  Gate gate;
  Options options;
  options.handler_timeout = 50ms;
  options.handler_threads = 1;
  TestServer server(options, [&](Server& s) {
    s.handle("stuck", [&](Request) -> Reply {
      gate.pass();
      return {};
    });
  });
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

TEST(ServerTest, OnewayMessagesAreHandledButNeverAnswered) {
  std::atomic<int> handled{0};
  TestServer server({}, [&](Server& s) {
    s.handle("note", [&](Request) -> Reply {
      ++handled;
      return Json("nobody reads this");
    });
    s.handle("fail", [](Request) -> Reply { throw std::runtime_error("in vain"); });
  });
  Client client = server.connect();
  client.send_frame(raw::tensor_json(R"(,"handler":"note","oneway":true)"));
  client.send_frame(raw::tensor_json(R"(,"handler":"fail","oneway":true)"));
  client.send_frame(raw::tensor_json(R"(,"handler":"nope","oneway":true)"));
  client.send_frame(R"({"tensor":"AAAA","shape":[4],"dtype":"float32","oneway":true})");
  EXPECT_EQ(at(client.call(call("echo", "9")), "id"), "9");
  EXPECT_EQ(handled, 1);
  EXPECT_EQ(server.count("oneway"), 4U);
  EXPECT_EQ(server.count("oneway_failed"), 3U);
  EXPECT_EQ(server.log.count("in vain"), 1U);
}

TEST(ServerTest, AnUnknownHandlerIsAnErrorThatNamesTheKnownOnes) {
  TestServer server;
  Client client = server.connect();
  const Json reply = client.call(call("sttas", "1"));
  EXPECT_EQ(code(reply), "\"unknown_handler\"");
  EXPECT_EQ(at(reply, "error.at"), "\"/handler\"");
  EXPECT_NE(raw::message(reply).find("stats"), std::string::npos);
}

TEST(ServerTest, FiftyConnectionsAtOnceGetTheirOwnReplies) {
  TestServer server;
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int c = 0; c < 50; ++c) {
    threads.emplace_back([&server, &right, c] {
      Client client = server.connect();
      for (int i = 0; i < 20; ++i) {
        const std::string id = std::to_string(c * 1000 + i);
        right += at(client.call(call(i % 2 == 0 ? "echo" : "stats", id)), "id") == id ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 50 * 20);
  EXPECT_TRUE(raw::eventually([&] { return server.count("open") == 0; }));
}

TEST(ServerTest, LargeTensorsGoBothWaysWhileTheNextOneComesIn) {
  TestServer server;
  Client client = server.connect();
  constexpr std::size_t kElements = 3U << 20;
  const std::string request = raw::frame(raw::zeros_json(kElements, R"(,"handler":"echo")"));
  std::thread sender([&] {
    for (int i = 0; i < 4; ++i) client.send(request);
  });
  for (int i = 0; i < 4; ++i) {
    const Json reply = client.reply();
    ASSERT_EQ(at(reply, "tensors.0.tensor").size(), kElements / 3 * 16 + 2);
  }
  sender.join();
}

TEST(ServerTest, AConnectionOverTheCapIsToldSo) {
  Options options;
  options.max_connections = 2;
  TestServer server(options);
  Client first = server.connect();
  Client second = server.connect();
  EXPECT_EQ(at(first.call(call("echo", "1")), "id"), "1");
  EXPECT_EQ(at(second.call(call("echo", "2")), "id"), "2");
  Client third = server.connect();
  EXPECT_EQ(code(third.reply()), "\"overloaded\"");
  EXPECT_TRUE(third.ended());
  EXPECT_EQ(server.count("refused"), 1U);
  first.close();
  EXPECT_TRUE(raw::eventually([&] { return server.count("open") == 1; }));
  Client fourth = server.connect();
  EXPECT_EQ(at(fourth.call(call("echo", "4")), "id"), "4");
}

TEST(ServerTest, TheTokenIsAskedForOnceAndOnlyTheRightOneOpens) {
  Options options;
  options.token = "s3cret";
  TestServer server(options);
  Client right = server.connect();
  EXPECT_EQ(at(right.call(raw::tensor_json(R"(,"auth":"s3cret")")), "status"), "\"ok\"");
  EXPECT_EQ(at(right.call(raw::tensor_json()), "status"), "\"ok\"");
  for (const char* const wrong : {"", R"(,"auth":"s3cre")", R"(,"auth":"s3crets")", R"(,"auth":"S3cret")",
                                  R"(,"auth":"s3crets3cret")", R"(,"auth":"")"}) {
    Client client = server.connect();
    const Json reply = client.call(raw::tensor_json(std::string(R"(,"id":3)") + wrong));
    EXPECT_EQ(code(reply), "\"unauthorized\"") << wrong;
    EXPECT_EQ(at(reply, "id"), "3");
    EXPECT_TRUE(client.ended());
  }
  Client broken = server.connect();  // an undecodable message tells no stranger more than that
  EXPECT_EQ(code(broken.call("{\"tensor\": nonsense")), "\"unauthorized\"");
  EXPECT_TRUE(broken.ended());
  EXPECT_EQ(server.count("errors.unauthorized"), 7U);
  EXPECT_EQ(server.log.count("s3cret"), 0U);
}

TEST(ServerTest, StopAnswersWhatWasReceivedAndTellsLateMessages) {
  Gate gate;
  TestServer server({}, [&](Server& s) {
    s.handle("wait", [&](Request) -> Reply {
      gate.pass();
      return {};
    });
  });
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

TEST(ServerTest, StopUnderLoadLosesNoRequestThatWasReceived) {
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

TEST(ServerTest, AStuckHandlerDoesNotKeepTheServerBeyondItsDrainTime) {
  Gate gate;
  Options options;
  options.drain_timeout = 50ms;
  TestServer server(options, [&](Server& s) {
    s.handle("stuck", [&](Request) -> Reply {
      gate.pass();
      return {};
    });
  });
  Client client = server.connect();
  client.send_frame(call("stuck", "1"));
  ASSERT_TRUE(gate.wait_for(1));
  server->stop();
  EXPECT_FALSE(server->wait());
  EXPECT_EQ(server->busy_handlers(), 1U);
  EXPECT_TRUE(client.ended());
  gate.open();
}

TEST(ServerTest, StopNowCutsAtOnceAndWakesSleepingCoroutines) {
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

TEST(ServerTest, AServerThatNeverStartedStopsAndMisuseIsTold) {
  Options options;
  options.listen = "127.0.0.1:0";
  Server server(options);
  server.handle("a", [](Request) -> Reply { return {}; });
  ASSERT_TRUE(server.start().ok());
  EXPECT_THROW(server.handle("b", [](Request) -> Reply { return {}; }), std::logic_error);
  EXPECT_THROW((void)server.start(), std::logic_error);
  const Server never(options);
  Options taken = options;
  taken.listen = server.address();
  Server second(taken);
  const auto started = second.start();
  ASSERT_FALSE(started.ok());
  EXPECT_NE(started.error().message.find(server.address()), std::string::npos);
  Options bad;
  bad.in_flight = 0;
  EXPECT_THROW(Server{bad}, std::invalid_argument);
}

TEST(ServerTest, IPv6LoopbackWorks) {
  Options options;
  options.listen = "[::1]:0";
  Server server(options);
  const auto started = server.start();
  if (!started.ok()) GTEST_SKIP() << "no IPv6 here: " << started.error().message;
  EXPECT_EQ(server.address(), "[::1]:" + std::to_string(server.port()));
}

TEST(ServerTest, InfoTellsLimitsHandlersAndCounters) {
  TestServer server;
  Client client = server.connect();
  (void)client.call(call("nope", "1"));
  const Json reply = client.call(R"({"handler":"info"})");
  EXPECT_EQ(at(reply, "result.version"), "\"" + std::string(tensord::version()) + "\"");
  EXPECT_EQ(at(reply, "result.limits.max_frame"), "268435456");
  EXPECT_EQ(at(reply, "result.counters.errors.unknown_handler"), "1");
  EXPECT_EQ(at(reply, "result.counters.messages"), "2");
  EXPECT_EQ(at(reply, "result.dtypes.0"), "\"bool\"");
  EXPECT_EQ(at(reply, "result.handlers.1.name"), "\"echo\"");
  EXPECT_NE(server->counters_line().find("unknown_handler 1"), std::string::npos);
}

}  // namespace
