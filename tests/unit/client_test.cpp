// The blocking client against a hand-written peer: what it sends, what it makes of answers, and how every break is
// told.
#include "tensorclient/client.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "tensorclient/raw.hpp"
#include "unit/fake_peer.hpp"

namespace {

using namespace std::chrono_literals;
using tensorclient::Call;
using tensorclient::Client;
using tensorclient::Delivery;
using tensorclient::Endpoint;
using tensorclient::FailureKind;
using tensorclient::Json;
using tensorclient::Options;
using tensorclient::Outcome;
using tensorclient::Reply;
using tensorclient::Shape;
using tensorwire::ErrorCode;
using test::FakePeer;
using test::PeerConnection;

const std::vector<float> kValues{1, 2, 3, 4, 5, 6};

Call echo_call() {
  Call call("echo");
  call.tensor("x", kValues, Shape{2, 3});
  return call;
}

void echo(PeerConnection& peer) { peer.echo(); }
void wait_for_end(PeerConnection& peer) { (void)peer.receive_to_end(); }

std::vector<float> floats_of(const Reply& reply) {
  const auto values = reply.tensors.at(0).as<float>().value();
  return {values.begin(), values.end()};
}

// A port on which nothing listens.
std::uint16_t dead_port() { return FakePeer(echo).port(); }

TEST(Endpoint, ReadsHostsAndPorts) {
  EXPECT_EQ(Endpoint::parse("10.0.0.1:80")->to_string(), "10.0.0.1:80");
  EXPECT_EQ(Endpoint::parse("box")->to_string(), "box:7733");
  EXPECT_EQ(Endpoint::parse(":9")->to_string(), "127.0.0.1:9");
  EXPECT_EQ(Endpoint::parse("[::1]:9")->to_string(), "[::1]:9");
  EXPECT_EQ(Endpoint::parse("::1")->to_string(), "[::1]:7733");
}

TEST(Endpoint, RefusesWhatIsNone) {
  for (const char* text : {"", "a:", "a:0", "a:65536", "a:x", "a:-1", "[::1", "[]:1", "[::1]9", "[::1]:", "a: 1"}) {
    const auto parsed = Endpoint::parse(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.failure().kind, FailureKind::invalid);
  }
}

TEST(Options, RefusesThoseThatMakeNoSense) {
  Options options;
  options.window = 0;
  const auto client = Client::make(options);
  ASSERT_FALSE(client.ok());
  EXPECT_NE(client.failure().message.find("window"), std::string::npos);
}

TEST(Client, CallsAndGetsTheTensorsBack) {
  FakePeer peer(echo);
  Client client = Client::connect(peer.options()).value();
  for (int i = 0; i < 3; ++i) {
    const auto reply = client.call(echo_call().param("i", i));
    ASSERT_TRUE(reply.ok()) << reply.failure().describe();
    EXPECT_EQ(floats_of(*reply), kValues);
    EXPECT_EQ(reply->tensors[0].name, "x");
    EXPECT_EQ(reply->result.find("i")->as_int(), i);
  }
  EXPECT_EQ(peer.accepted(), 1);
}

TEST(Client, SendsAndReadsListsOnRequest) {
  FakePeer peer(echo);
  Client client = Client::connect(peer.options()).value();
  Call call = echo_call();
  call.payload(tensorwire::TensorEncoding::list).encoding(tensorwire::TensorEncoding::list);
  EXPECT_EQ(floats_of(client.call(call).value()), kValues);
}

TEST(Client, GivesTheCallersOwnIdBack) {
  FakePeer peer(echo);
  Client client = Client::connect(peer.options()).value();
  Call call = echo_call();
  call.id(std::string("frame-7"));
  EXPECT_EQ(client.call(call)->id, tensorwire::RequestId(std::string("frame-7")));
}

TEST(Client, ConnectsWhenFirstNeeded) {
  FakePeer peer(echo);
  Client client = Client::make(peer.options()).value();
  EXPECT_FALSE(client.connected());
  EXPECT_TRUE(client.call(echo_call()).ok());
  EXPECT_TRUE(client.connected());
}

TEST(Client, SaysWhereNothingListens) {
  Options options;
  options.endpoint.port = dead_port();
  const auto client = Client::connect(options);
  ASSERT_FALSE(client.ok());
  EXPECT_EQ(client.failure().kind, FailureKind::connect_failed);
  EXPECT_EQ(client.failure().delivery, Delivery::not_sent);
  EXPECT_EQ(client.failure().message, "cannot connect to 127.0.0.1:" + std::to_string(options.endpoint.port) +
                                          ": Connection refused — is tensord running?");
}

TEST(Client, AnErrorReplyIsRemoteAndTheConnectionGoesOn) {
  FakePeer peer([](PeerConnection& connection) {
    auto request = connection.request();
    connection.reply(Reply(tensorwire::Error{ErrorCode::size_mismatch, "needs 36 bytes", "/tensors/0"}), request->id);
    connection.echo();
  });
  Client client = Client::connect(peer.options()).value();
  const auto refused = client.call(echo_call());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.failure().kind, FailureKind::remote);
  EXPECT_EQ(refused.failure().code, ErrorCode::size_mismatch);
  EXPECT_EQ(refused.failure().delivery, Delivery::answered);
  EXPECT_EQ(refused.failure().describe(), "size_mismatch: needs 36 bytes (at /tensors/0)");
  EXPECT_TRUE(client.call(echo_call()).ok());
  EXPECT_EQ(peer.accepted(), 1);
}

TEST(Client, APeerThatClosesInTheMiddleOfItsReply) {
  FakePeer peer([](PeerConnection& connection) {
    auto request = connection.request();
    Reply reply(std::move(request->tensors));
    reply.id = request->id;
    const std::string whole = PeerConnection::render(std::move(reply));
    connection.send(std::string_view(whole).substr(0, whole.size() / 2));
  });
  Client client = Client::connect(peer.options()).value();
  const auto reply = client.call(echo_call());
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.failure().kind, FailureKind::disconnected);
  EXPECT_EQ(reply.failure().delivery, Delivery::unknown);
  EXPECT_NE(reply.failure().message.find("in the middle of a reply"), std::string::npos);
  EXPECT_FALSE(client.connected());
}

TEST(Client, APeerThatClosesWithoutAWord) {
  FakePeer peer([](PeerConnection& connection) { (void)connection.request(); });
  Client client = Client::connect(peer.options()).value();
  const auto reply = client.call(echo_call());
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.failure().kind, FailureKind::disconnected);
}

TEST(Client, APeerThatResets) {
  FakePeer peer([](PeerConnection& connection) {
    (void)connection.request();
    connection.reset_on_close();
  });
  Client client = Client::connect(peer.options()).value();
  const auto reply = client.call(echo_call());
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.failure().kind, FailureKind::disconnected);
  EXPECT_NE(reply.failure().message.find("Connection reset"), std::string::npos);
}

TEST(Client, APeerThatNeverAnswers) {
  FakePeer peer(wait_for_end);
  Client client = Client::connect(peer.options()).value();
  const auto reply = client.call(echo_call().timeout(30ms));
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.failure().kind, FailureKind::deadline_exceeded);
  EXPECT_EQ(reply.failure().delivery, Delivery::unknown);
  EXPECT_FALSE(client.connected());
}

TEST(Client, APeerThatNeitherReadsNorAnswersABigRequest) {
  std::atomic<bool> over{false};
  FakePeer peer([&](PeerConnection&) {
    while (!over.load()) std::this_thread::yield();
  });
  Client client = Client::connect(peer.options()).value();
  const std::vector<float> big(16 << 20);
  Call call("echo");
  call.tensor("x", big, Shape{16 << 20}).timeout(100ms);
  const auto reply = client.call(call);
  over = true;
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.failure().kind, FailureKind::deadline_exceeded);
}

TEST(Client, APeerThatSendsGarbage) {
  for (const std::string& garbage :
       {std::string("HTTP/1.1 400 Bad Request\r\n\r\n"), std::string("\0\0\0\5[1,2]", 9),
        std::string("\0\0\0\3{\"a", 7), std::string("\0\0\0\0", 4), std::string(300, '\xff')}) {
    FakePeer peer([&](PeerConnection& connection) {
      (void)connection.request();
      connection.send(garbage);
      (void)connection.receive_to_end();
    });
    Client client = Client::connect(peer.options()).value();
    const auto reply = client.call(echo_call());
    ASSERT_FALSE(reply.ok());
    EXPECT_EQ(reply.failure().kind, FailureKind::protocol) << reply.failure().describe();
  }
}

TEST(Client, AReplyWithAnotherId) {
  FakePeer peer([](PeerConnection& connection) {
    (void)connection.request();
    connection.reply(Reply(Json(1)), std::int64_t{999});
    (void)connection.receive_to_end();
  });
  Client client = Client::connect(peer.options()).value();
  const auto reply = client.call(echo_call());
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.failure().kind, FailureKind::protocol);
  EXPECT_NE(reply.failure().message.find("999"), std::string::npos);
}

TEST(Client, AnEarlyErrorEndsASendingThatNobodyReads) {
  FakePeer peer([](PeerConnection& connection) {
    (void)connection.receive();
    connection.reply(Reply(tensorwire::Error{ErrorCode::frame_too_large, "at most 256 MiB", ""}), {});
    // The rest is never read: the client has to look for an answer while it cannot send.
    (void)connection.request();
  });
  Client client = Client::connect(peer.options()).value();
  const std::vector<float> big(32 << 20);
  Call call("echo");
  call.tensor("x", big, Shape{32 << 20});
  const auto reply = client.call(call);
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.failure().kind, FailureKind::remote) << reply.failure().describe();
  EXPECT_EQ(reply.failure().code, ErrorCode::frame_too_large);
}

TEST(Client, BothDirectionsFullDoNotDeadlock) {
  FakePeer peer(echo);
  Options options = peer.options();
  options.window = 4;
  Client client = Client::connect(options).value();
  const std::vector<float> big(4 << 20, 1.5F);
  Call call("echo");
  call.tensor("x", big, Shape{4 << 20});
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(client.submit(call).ok());
  for (int i = 0; i < 4; ++i) EXPECT_EQ(floats_of(client.next().value()), big);
}

TEST(Client, PipelinesAThousandRequestsInOrder) {
  FakePeer peer(echo);
  Options options = peer.options();
  options.window = 64;
  Client client = Client::connect(options).value();
  int taken = 0;
  for (int i = 0; i < 1000 || client.in_flight() > 0;) {
    while (i < 1000 && !client.window_full()) ASSERT_TRUE(client.submit(echo_call().param("i", i++)).ok());
    const auto reply = client.next();
    ASSERT_TRUE(reply.ok()) << reply.failure().describe();
    ASSERT_EQ(reply->result.find("i")->as_int(), taken++);
  }
  EXPECT_EQ(taken, 1000);
}

TEST(Client, AFullWindowIsRefused) {
  FakePeer peer(echo);
  Options options = peer.options();
  options.window = 2;
  Client client = Client::connect(options).value();
  ASSERT_TRUE(client.submit(echo_call()).ok());
  ASSERT_TRUE(client.submit(echo_call()).ok());
  const auto third = client.submit(echo_call());
  ASSERT_FALSE(third.ok());
  EXPECT_EQ(third.failure().kind, FailureKind::invalid);
  EXPECT_TRUE(client.next().ok());
  EXPECT_TRUE(client.submit(echo_call()).ok());
}

TEST(Client, ACallBetweenSubmittedOnesGetsItsOwnReply) {
  FakePeer peer(echo);
  Client client = Client::connect(peer.options()).value();
  ASSERT_TRUE(client.submit(echo_call().param("i", 1)).ok());
  EXPECT_EQ(client.call(echo_call().param("i", 2))->result.find("i")->as_int(), 2);
  EXPECT_EQ(client.in_flight(), 1U);
  EXPECT_EQ(client.next()->result.find("i")->as_int(), 1);
  EXPECT_FALSE(client.next().ok());
}

TEST(Client, WhatWasNotAcknowledgedIsReportedAndNeverSentAgain) {
  std::atomic<int> received{0};
  FakePeer peer({[&](PeerConnection& connection) {
                   auto first = connection.request();
                   (void)connection.request();
                   received = 2;
                   connection.reply(Reply(Json("done")), first->id);
                 },
                 [&](PeerConnection& connection) {
                   while (auto request = connection.request()) {
                     ++received;
                     connection.reply(Reply(Json("anew")), request->id);
                   }
                 }});
  Client client = Client::connect(peer.options()).value();
  ASSERT_TRUE(client.submit(echo_call()).ok());
  ASSERT_TRUE(client.submit(echo_call()).ok());
  EXPECT_EQ(client.next()->result.as_string(), "done");
  const auto lost = client.next();
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.failure().kind, FailureKind::disconnected);
  EXPECT_EQ(lost.failure().delivery, Delivery::unknown);
  // The next call connects anew, and is the only one that the peer sees there.
  EXPECT_EQ(client.call(echo_call())->result.as_string(), "anew");
  EXPECT_EQ(received.load(), 3);
  EXPECT_EQ(peer.accepted(), 2);
}

TEST(Client, AServerThatClosedMeanwhileCostsNoRequest) {
  FakePeer peer({[](PeerConnection& connection) {
                   auto request = connection.request();
                   connection.reply(Reply(Json(1)), request->id);
                 },
                 echo});
  Client client = Client::connect(peer.options()).value();
  ASSERT_TRUE(client.call(echo_call()).ok());
  // The peer closes right after its reply; once that has arrived the client must notice it before it sends.
  while (peer.accepted() < 2) {
    std::this_thread::sleep_for(5ms);
    const auto reply = client.call(echo_call());
    ASSERT_TRUE(reply.ok()) << reply.failure().describe();
  }
}

TEST(Client, RetriesOnlyTheConnecting) {
  const std::uint16_t port = dead_port();
  Options options;
  options.endpoint.port = port;
  options.reconnect.retry_first = true;
  options.reconnect.retries = 1000;
  options.reconnect.first = 1ms;
  options.reconnect.most = 5ms;
  Client client = Client::make(options).value();
  std::unique_ptr<FakePeer> late;
  std::thread starter([&] {
    std::this_thread::sleep_for(30ms);
    late = std::make_unique<FakePeer>(std::vector<FakePeer::Script>{echo}, port);
  });
  const auto reply = client.call(echo_call());
  starter.join();
  EXPECT_TRUE(reply.ok()) << reply.failure().describe();
  client.close();
}

TEST(Client, OnewayRequestsArriveAndGetNoReply) {
  std::atomic<int> oneway{0};
  FakePeer peer([&](PeerConnection& connection) {
    while (auto request = connection.request()) {
      if (request->oneway) {
        ++oneway;
      } else {
        connection.reply(Reply(Json(oneway.load())), request->id);
      }
    }
  });
  Client client = Client::connect(peer.options()).value();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client.send(echo_call().oneway()).ok());
  EXPECT_EQ(client.call(echo_call())->result.as_int(), 5);
  EXPECT_FALSE(client.send(echo_call()).ok());
  EXPECT_FALSE(client.call(echo_call().oneway()).ok());
}

TEST(Client, TheTokenGoesWithTheFirstRequestOfEachConnection) {
  std::vector<std::string> tokens;
  FakePeer peer([&](PeerConnection& connection) {
    for (int i = 0; i < 2; ++i) {
      auto request = connection.request();
      if (!request) return;
      tokens.push_back(request->auth);
      connection.reply(Reply(Json(1)), request->id);
    }
    (void)connection.receive_to_end();
  });
  {
    Options options = peer.options();
    options.token = "s3cret";
    Client client = Client::connect(options).value();
    ASSERT_TRUE(client.call(echo_call()).ok());
    ASSERT_TRUE(client.call(echo_call()).ok());
    client.close();
    ASSERT_TRUE(client.call(echo_call()).ok());
  }
  EXPECT_EQ(tokens, (std::vector<std::string>{"s3cret", "", "s3cret"}));
}

TEST(Client, ACancelFlagEndsTheWaiting) {
  FakePeer peer(wait_for_end);
  std::atomic<bool> cancel{false};
  Options options = peer.options();
  options.cancel = &cancel;
  Client client = Client::connect(options).value();
  std::thread canceller([&] {
    std::this_thread::sleep_for(20ms);
    cancel = true;
  });
  const auto reply = client.call(echo_call());
  canceller.join();
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.failure().kind, FailureKind::cancelled);
}

TEST(Client, SpeaksJsonLinesToo) {
  FakePeer peer([](PeerConnection& connection) {
    std::string text = connection.receive();
    while (!text.empty() && !text.ends_with('\n')) text += connection.receive();
    connection.send("{\"id\":1,\"status\":\"ok\",\"result\":" + std::to_string(text.size()) + "}\n");
    (void)connection.receive_to_end();
  });
  Options options = peer.options();
  options.dialect = tensorwire::Dialect::raw_json;
  Client client = Client::connect(options).value();
  const auto reply = client.call(echo_call());
  ASSERT_TRUE(reply.ok()) << reply.failure().describe();
  EXPECT_GT(reply->result.as_int(), 60);
}

TEST(Client, PixelsAndFilesBecomeImages) {
  FakePeer peer([](PeerConnection& connection) {
    auto request = connection.request();
    const tensorwire::Image* image = request->tensors.at(0).image();
    connection.reply(Reply(Json(image == nullptr ? "none" : tensorwire::to_string(image->info().format))), request->id);
    (void)connection.receive_to_end();
  });
  Client client = Client::connect(peer.options()).value();
  const std::vector<std::uint8_t> pixels(4 * 5 * 3, 7);
  Call call("echo");
  const tensorclient::TensorView view(std::span<const std::uint8_t>(pixels), Shape{4, 5, 3});
  ASSERT_TRUE(call.pixels("img", view, tensorwire::ImageFormat::png).ok());
  EXPECT_EQ(client.call(call)->result.as_string(), "png");
  const auto missing = call.image_file("b", "/nonexistent.png");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.failure().message, "cannot read '/nonexistent.png': No such file or directory");
}

TEST(SendRaw, ABareReceiverGetsOneObjectWithTheTensorsMembersInIt) {
  std::string received;
  {
    FakePeer peer([&](PeerConnection& connection) { received = connection.receive_to_end(); });
    Call call;
    call.tensor("", kValues, Shape{2, 3});
    const auto answer = tensorclient::send_raw(peer.options(), call);
    ASSERT_TRUE(answer.ok()) << answer.failure().describe();
    EXPECT_TRUE(answer->closed);
    EXPECT_EQ(answer->text, "");
  }
  const Json json = Json::parse(received).value();
  EXPECT_EQ(json.find("tensor")->as_string(), "AACAPwAAAEAAAEBAAACAQAAAoEAAAMBA");
  EXPECT_EQ(json.find("dtype")->as_string(), "float32");
  EXPECT_EQ(json.find("shape")->dump(), "[2,3]");
}

TEST(SendRaw, WhatThePeerSaysIsHandedOn) {
  FakePeer peer([](PeerConnection& connection) {
    (void)connection.receive_to_end();
    connection.send("thanks\n");
  });
  const auto answer = tensorclient::send_raw(peer.options(), echo_call());
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->text, "thanks\n");
}

TEST(SendRaw, ASilentPeerIsNoFailure) {
  std::atomic<bool> over{false};
  FakePeer peer([&](PeerConnection& connection) {
    (void)connection.receive_to_end();
    while (!over.load()) std::this_thread::yield();
  });
  const auto answer = tensorclient::send_raw(peer.options(), echo_call(), 20ms);
  over = true;
  ASSERT_TRUE(answer.ok());
  EXPECT_FALSE(answer->closed);
}

}  // namespace
