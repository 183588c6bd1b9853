// The server as its senders and its embedding program see it: what a request gets back, what it is refused, what is
// told.
#include "tensord/server.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <span>
#include <stdexcept>
#include <thread>
#include <vector>

#include "server_fixture.hpp"

namespace {

using raw::at;
using raw::call;
using raw::Client;
using raw::code;
using raw::TestServer;
using tensord::Json;
using tensord::Options;
using tensord::Reply;
using tensord::Request;
using tensord::Server;
using tensord::Tensor;

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
