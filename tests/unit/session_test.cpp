// One connection and every end it can come to: dialects, splits, half-close, truncation, bad framing, clocks and
// memory.
#include <gtest/gtest.h>

#include <memory>
#include <string>
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
using tensord::Json;
using tensord::Options;
using tensord::Reply;
using tensord::Request;
using tensord::Server;

const std::string kEcho = raw::tensor_json(R"(,"handler":"echo","id":1)");
const char* const kEchoed =
    R"({"id":1,"status":"ok","tensors":[{"dtype":"float32","shape":[4],"tensor":"AACAPwAAAEAAAEBAAACAQA=="}]})";

TEST(SessionTest, AHalfClosedSenderGetsAllItsReplies) {
  TestServer server;
  Client client = server.connect();
  for (int i = 0; i < 10; ++i) client.send_frame(kEcho);
  client.end_sending();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(client.reply().dump(), kEchoed);
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(server.count("truncated"), 0U);
}

TEST(SessionTest, RawJsonNeedsNoPrefixAndIsAnsweredInLines) {
  TestServer server;
  Client client = server.connect();
  client.send(kEcho + " \n\t" + kEcho + kEcho + "\n");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client.receive_line(), std::string(kEchoed) + "\n");
  client.end_sending();
  EXPECT_TRUE(client.ended());
}

TEST(SessionTest, AFireAndForgetSenderReachesTheDefaultHandlerAndTheLog) {
  TestServer server;
  for (int i = 0; i < 100; ++i) {
    Client client = server.connect();
    client.send(raw::tensor_json());
    client.close();
  }
  EXPECT_TRUE(raw::eventually([&] { return server.log.count("stats: float32 [4]") == 100; }));
  EXPECT_EQ(server.count("truncated"), 0U);
}

TEST(SessionTest, ASenderThatResetsBehindWholeMessagesIsStillHandled) {
  TestServer server({}, [](Server& s) {
    s.handle("slow", [](Request) -> Reply {
      std::this_thread::sleep_for(1ms);
      return {};
    });
  });
  Client client = server.connect();
  for (int i = 0; i < 20; ++i) client.send_frame(raw::tensor_json(R"(,"handler":"slow")"));
  ASSERT_TRUE(raw::eventually([&] { return server.count("messages") >= 2; }));
  client.close();
  EXPECT_TRUE(raw::eventually([&] { return server.count("messages") == 20; }));
  EXPECT_TRUE(raw::eventually([&] { return server.count("open") == 0; }));
}

TEST(SessionTest, EverySplitGivesTheSameReply) {
  TestServer server;
  const std::string bytes = raw::frame(kEcho);
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
    Client client = server.connect();
    client.send(bytes.substr(0, cut));
    std::this_thread::yield();
    client.send(bytes.substr(cut));
    ASSERT_EQ(client.reply().dump(), kEchoed) << cut;
  }
  Client client = server.connect();
  for (const char c : bytes) client.send(std::string_view(&c, 1));
  EXPECT_EQ(client.reply().dump(), kEchoed);
}

TEST(SessionTest, AMessageCutAnywhereReachesNoHandler) {
  std::atomic<int> handled{0};
  TestServer server({}, [&](Server& s) {
    s.handle("count", [&](Request) -> Reply {
      ++handled;
      return {};
    });
  });
  const std::string bytes = raw::frame(raw::tensor_json(R"(,"handler":"count")"));
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
    Client closed = server.connect();
    closed.send(bytes.substr(0, cut));
    closed.end_sending();
    ASSERT_TRUE(closed.ended()) << cut;
    Client reset = server.connect();
    reset.send(bytes.substr(0, cut));
    reset.reset();
  }
  EXPECT_TRUE(raw::eventually([&] { return server.count("open") == 0; }));
  EXPECT_EQ(handled, 0);
  EXPECT_EQ(server.count("messages"), 0U);
  EXPECT_GE(server.count("truncated"), bytes.size() - 1);
}

TEST(SessionTest, HttpGetsOneClearSentenceAndRunsNothing) {
  TestServer server;
  for (const char* const text :
       {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST /v2 HTTP/1.1\r\n\r\n{}", "hello", "PING\r\n"}) {
    Client client = server.connect();
    client.send(text);
    const std::string answer = client.receive_all();
    EXPECT_EQ(answer.substr(0, 26), "HTTP/1.1 400 Bad Request\r\n") << text;
    EXPECT_NE(answer.find("\r\nContent-Type: text/plain"), std::string::npos);
    EXPECT_NE(answer.find("\r\nConnection: close\r\n"), std::string::npos);
    const std::string body = answer.substr(answer.find("\r\n\r\n") + 4);
    EXPECT_NE(answer.find("Content-Length: " + std::to_string(body.size()) + "\r\n"), std::string::npos);
  }
  EXPECT_EQ(server.count("http"), 4U);
  EXPECT_EQ(server.count("messages"), 0U);
}

TEST(SessionTest, BadFramesAreAnsweredEvenToASenderThatIsStillSending) {
  Options options;
  options.limits.max_frame = 1U << 20;
  TestServer server(options);
  const struct {
    std::string bytes;
    const char* code;
  } cases[] = {{std::string("\xff"), "\"bad_frame\""},
               {std::string("\x00\x00\x00\x00", 4), "\"bad_frame\""},
               {std::string("[1]"), "\"bad_frame\""},
               {std::string("\x16\x03\x01\x02\x00\x01", 6), "\"frame_too_large\""},
               {std::string("*1\r\n$4\r\nPING\r\n"), "\"frame_too_large\""},
               {raw::frame("\xFFSMBr" + std::string(28, '\0')), "\"bad_frame\""},
               {raw::frame("\xFESMB@" + std::string(59, '\0')), "\"bad_frame\""},
               {raw::frame(std::string(8U << 20, ' ')), "\"frame_too_large\""}};
  for (const auto& [bytes, expected] : cases) {
    Client client = server.connect();
    EXPECT_TRUE(client.send(bytes));
    EXPECT_EQ(code(client.reply()), expected);
    EXPECT_TRUE(client.ended());
  }
  EXPECT_EQ(server.count("errors.bad_frame") + server.count("errors.frame_too_large"), std::size(cases));
}

TEST(SessionTest, ABadMessageLeavesTheNextOneUnharmed) {
  TestServer server;
  Client client = server.connect();
  const std::vector<std::pair<std::string, const char*>> cases = {
      {"not json", "\"bad_json\""},
      {R"({"id":1,"shape":[4],"dtype":"float32"})", "\"bad_message\""},
      {R"({"id":1,"tensor":"AACAPw==","shape":[4],"dtype":"float32"})", "\"size_mismatch\""},
      {R"({"id":1,"tensor":"AACAPw==","shape":[1],"dtype":"flaot32"})", "\"bad_dtype\""},
      {R"({"id":1,"tensor":"AACA_w==","shape":[1],"dtype":"float32"})", "\"bad_base64\""},
      {R"({"id":1,"handler":"echo"})", "\"bad_message\""}};
  for (const auto& [json, expected] : cases) {
    EXPECT_EQ(code(client.call(json)), expected) << json;
    EXPECT_EQ(client.call(kEcho).dump(), kEchoed);
  }
}

TEST(SessionTest, ErrorsWaitForTheRepliesBeforeThem) {
  Gate gate;
  TestServer server({}, raw::gated("wait", gate));
  Client client = server.connect();
  client.send(raw::frame(R"({"id":1,"handler":"wait"})") + std::string("\x00\x00\x00\x00", 4));
  ASSERT_TRUE(gate.wait_for(1));
  gate.open();
  EXPECT_EQ(at(client.reply(), "id"), "1");
  EXPECT_EQ(code(client.reply()), "\"bad_frame\"");
  EXPECT_TRUE(client.ended());
}

TEST(SessionTest, RawTextThatIsNoJsonEndsTheConnectionBehindItsReply) {
  TestServer server;
  Client client = server.connect();
  client.send(kEcho + "{\"a\" 1} " + kEcho);
  EXPECT_EQ(client.receive_line(), std::string(kEchoed) + "\n");
  EXPECT_NE(client.receive_line().find("bad_json"), std::string::npos);
  EXPECT_TRUE(client.ended());
}

TEST(SessionTest, AMessageWithoutProgressIsCut) {
  Options options;
  options.read_timeout = 50ms;
  TestServer server(options);
  Client in_prefix = server.connect();
  in_prefix.send(std::string_view("\0\0", 2));
  Client in_body = server.connect();
  in_body.send(raw::frame(kEcho).substr(0, 30));
  Client silent = server.connect();
  EXPECT_TRUE(in_prefix.ended());
  EXPECT_TRUE(in_body.ended());
  EXPECT_EQ(silent.call(kEcho).dump(), kEchoed);  // whoever has begun nothing is not hurried
  EXPECT_EQ(server.count("read_timeouts"), 2U);
}

TEST(SessionTest, AMessageThatTricklesIsCutAtItsDeadline) {
  Options options;
  options.read_timeout = 100ms;
  TestServer server(options);
  Client client = server.connect();
  const std::string bytes = raw::frame(raw::zeros_json(300));
  std::size_t sent = 0;
  const bool cut = raw::eventually([&] { return !client.send(bytes.substr(sent++ % bytes.size(), 1)); });
  EXPECT_TRUE(cut);
  EXPECT_LT(sent, bytes.size());
  EXPECT_EQ(server.count("read_timeouts"), 1U);
}

TEST(SessionTest, ASlowButSteadySenderStays) {
  Options options;
  options.read_timeout = 500ms;
  options.min_receive_rate = 1024;
  TestServer server(options);
  Client client = server.connect();
  const std::string bytes = raw::frame(raw::zeros_json(3000, R"(,"handler":"discard")"));
  for (std::size_t sent = 0; sent < bytes.size(); sent += 500) {  // 16 KB in 1.3 s: longer than both timeouts
    ASSERT_TRUE(client.send(std::string_view(bytes).substr(sent, 500)));
    std::this_thread::sleep_for(40ms);
  }
  EXPECT_EQ(at(client.reply(), "result.nbytes"), "12000");
}

TEST(SessionTest, TheTimeThatTheServerItselfDoesNotReadIsNotHeldAgainstTheSender) {
  Gate gate;
  Options options;
  options.read_timeout = 250ms;
  options.in_flight = 1;
  TestServer server(options, raw::gated("wait", gate));
  Client client = server.connect();
  const std::string second = raw::frame(kEcho);
  client.send(raw::frame(R"({"id":0,"handler":"wait"})") + second.substr(0, 10));
  ASSERT_TRUE(gate.wait_for(1));
  std::this_thread::sleep_for(700ms);
  gate.open();
  EXPECT_EQ(at(client.reply(), "id"), "0");
  client.send(second.substr(10));
  EXPECT_EQ(client.reply().dump(), kEchoed);
}

TEST(SessionTest, AnIdleConnectionIsClosedButNotOneThatWaitsForItsHandler) {
  Gate gate;
  Options options;
  options.idle_timeout = 50ms;
  TestServer server(options, raw::gated("wait", gate));
  Client waiting = server.connect();
  waiting.send_frame(R"({"id":1,"handler":"wait"})");
  ASSERT_TRUE(gate.wait_for(1));
  Client idle = server.connect();
  EXPECT_TRUE(idle.ended());
  EXPECT_EQ(server.count("idle_closed"), 1U);
  gate.open();
  EXPECT_EQ(at(waiting.reply(), "id"), "1");
}

TEST(SessionTest, APeerThatDoesNotReadItsRepliesIsCut) {
  Options options;
  options.write_timeout = 100ms;
  TestServer server(options);
  Client client = server.connect();
  const std::string request = raw::frame(raw::zeros_json(3U << 20, R"(,"handler":"echo")"));
  for (int i = 0; i < 3 && client.send(request); ++i) {
  }
  EXPECT_TRUE(raw::eventually([&] { return server.count("slow_readers") == 1; }));
  EXPECT_TRUE(raw::eventually([&] { return server.count("open") == 0; }));
}

TEST(SessionTest, APeerThatReadsSlowlyStays) {
  Options options;
  options.write_timeout = 2s;
  TestServer server(options);
  Client client = server.connect();
  client.send_frame(raw::zeros_json(3U << 20, R"(,"handler":"echo")"));
  std::string read;
  for (int i = 0; i < 60; ++i) {
    read += client.receive(100'000);
    std::this_thread::sleep_for(10ms);
  }
  read += client.receive((16U << 20) - read.size());
  EXPECT_EQ(read.size(), 16U << 20);
  EXPECT_EQ(server.count("slow_readers"), 0U);
}

TEST(SessionTest, LyingLengthsCostNothing) {
  Options options;
  options.limits.max_frame = 1U << 30;
  options.memory = 64U << 20;
  TestServer server(options);
  std::vector<Client> liars;
  for (int i = 0; i < 200; ++i) {
    liars.push_back(server.connect());
    liars.back().send(std::string("\x40\x00\x00\x00", 4) + R"({"tensor":"AAAA)");
  }
  Client honest = server.connect();
  EXPECT_EQ(honest.call(kEcho).dump(), kEchoed);
  const Json info = honest.call(R"({"handler":"info"})");
  EXPECT_LT(std::stoull(at(info, "result.memory_used")), 8U << 20);
}

TEST(SessionTest, MoreSendersThanMemoryAreAllAnsweredInTurns) {
  Options options;
  options.memory = 32U << 20;
  options.handler_threads = 2;
  TestServer server(options);
  const std::string request = raw::frame(raw::zeros_json(2'400'000, R"(,"handler":"discard")"));  // 9.6 MB each
  std::vector<std::thread> senders;
  std::atomic<int> ok{0};
  std::atomic<int> overloaded{0};
  for (int i = 0; i < 24; ++i) {
    senders.emplace_back([&] {
      Client client = server.connect();
      EXPECT_TRUE(client.send(request));
      const Json reply = client.reply();
      ok += at(reply, "result.nbytes") == "9600000" ? 1 : 0;
      overloaded += code(reply) == "\"overloaded\"" ? 1 : 0;
    });
  }
  for (std::thread& sender : senders) sender.join();
  EXPECT_EQ(ok + overloaded, 24);
  EXPECT_GE(ok, 20);
  Client after = server.connect();
  EXPECT_EQ(after.call(kEcho).dump(), kEchoed);
}

TEST(SessionTest, AMessageBeyondAllMemoryIsRefusedAndTheConnectionLives) {
  Options options;
  options.memory = 16U << 20;
  TestServer server(options);
  Client client = server.connect();
  EXPECT_EQ(code(client.call(raw::zeros_json(6'000'000, R"(,"handler":"discard")"))), "\"overloaded\"");
  EXPECT_EQ(client.call(kEcho).dump(), kEchoed);
}

TEST(SessionTest, ManySmallRequestsInOneSendAreAllAnswered) {
  TestServer server;
  Client client = server.connect();
  std::string all;
  constexpr int kCount = 5000;
  for (int i = 0; i < kCount; ++i)
    all += raw::frame(raw::tensor_json(R"(,"handler":"echo","id":)" + std::to_string(i)));
  std::thread sender([&] { client.send(all); });
  for (int i = 0; i < kCount; ++i) ASSERT_EQ(at(client.reply(), "id"), std::to_string(i));
  sender.join();
}

TEST(SessionTest, NothingIsLeftWhenAllHaveGone) {
  TestServer server;
  for (int i = 0; i < 200; ++i) {
    Client client = server.connect();
    client.send_frame(kEcho);
    if (i % 3 == 0) (void)client.reply();
    if (i % 3 == 1) client.reset();
  }
  EXPECT_TRUE(raw::eventually([&] { return server.count("open") == 0; }));
  Client client = server.connect();
  const Json info = client.call(R"({"handler":"info"})");
  EXPECT_EQ(at(info, "result.memory_used"), "0");
}

}  // namespace
