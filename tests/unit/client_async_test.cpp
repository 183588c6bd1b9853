// The asynchronous client against a hand-written peer: every kind of token, the window, deadlines, cancellation,
// breaks.
#include "tensorclient/async_client.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "unit/fake_peer.hpp"

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using tensorclient::AsyncClient;
using tensorclient::Call;
using tensorclient::Delivery;
using tensorclient::FailureKind;
using tensorclient::Json;
using tensorclient::Options;
using tensorclient::Outcome;
using tensorclient::Reply;
using tensorclient::Shape;
using test::FakePeer;
using test::PeerConnection;

const std::vector<float> kValues{1, 2, 3, 4};

Call numbered(int i) {
  Call call("echo");
  call.tensor("x", kValues, Shape{4}).param("i", i);
  return call;
}

void echo(PeerConnection& peer) { peer.echo(); }
void wait_for_end(PeerConnection& peer) { (void)peer.receive_to_end(); }

// Starts the call, runs the context until nothing is left to do, and gives the outcome.
Outcome<Reply> run_one(asio::io_context& io, AsyncClient& client, Call call) {
  std::optional<Outcome<Reply>> outcome;
  client.async_call(std::move(call), [&](Outcome<Reply> given) { outcome.emplace(std::move(given)); });
  io.restart();
  io.run();
  return std::move(*outcome);
}

TEST(AsyncClient, ACallbackGetsTheReplyAndRunReturns) {
  FakePeer peer(echo);
  asio::io_context io;
  AsyncClient client(io.get_executor(), peer.options());
  for (int i = 0; i < 3; ++i) {
    const auto reply = run_one(io, client, numbered(i));
    ASSERT_TRUE(reply.ok()) << reply.failure().describe();
    EXPECT_EQ(reply->result.find("i")->as_int(), i);
    EXPECT_EQ(reply->tensors.at(0).as<float>()->size(), 4U);
  }
  EXPECT_EQ(peer.accepted(), 1);
}

TEST(AsyncClient, ACoroutineAwaitsCallAfterCall) {
  FakePeer peer(echo);
  asio::io_context io;
  AsyncClient client(io.get_executor(), peer.options());
  std::int64_t sum = 0;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        for (int i = 0; i < 100; ++i) {
          const Outcome<Reply> reply = co_await client.async_call(numbered(i), asio::use_awaitable);
          sum += reply->result.find("i")->as_int().value();
        }
      },
      asio::detached);
  io.run();
  EXPECT_EQ(sum, 4950);
}

TEST(AsyncClient, AFutureIsFilledFromAnotherThread) {
  FakePeer peer(echo);
  asio::thread_pool pool(1);
  AsyncClient client(pool.get_executor(), peer.options());
  auto first = client.async_call(numbered(1), asio::use_future);
  auto second = client.async_call(numbered(2), asio::use_future);
  EXPECT_EQ(second.get()->result.find("i")->as_int(), 2);
  EXPECT_EQ(first.get()->result.find("i")->as_int(), 1);
}

TEST(AsyncClient, ManyThreadsShareOneConnection) {
  FakePeer peer(echo);
  asio::thread_pool pool(2);
  Options options = peer.options();
  options.window = 16;
  AsyncClient client(pool.get_executor(), options);
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const int number = t * 1000 + i;
        const auto reply = client.async_call(numbered(number), asio::use_future).get();
        if (reply.ok() && reply->result.find("i")->as_int() == number) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right.load(), 800);
  EXPECT_EQ(peer.accepted(), 1);
}

TEST(AsyncClient, HandlersRunInTheirOwnContext) {
  FakePeer peer(echo);
  asio::thread_pool pool(1);
  asio::io_context io;
  AsyncClient client(pool.get_executor(), peer.options());
  std::thread::id where;
  client.async_call(numbered(1),
                    asio::bind_executor(io, [&](const Outcome<Reply>&) { where = std::this_thread::get_id(); }));
  io.run();  // kept running by the pending call alone
  EXPECT_EQ(where, std::this_thread::get_id());
}

TEST(AsyncClient, AThousandCallsAtOnceComeBackInOrder) {
  FakePeer peer(echo);
  asio::io_context io;
  AsyncClient client(io.get_executor(), peer.options());
  std::vector<std::int64_t> order;
  for (int i = 0; i < 1000; ++i) {
    client.async_call(numbered(i),
                      [&](const Outcome<Reply>& reply) { order.push_back(*reply->result.find("i")->as_int()); });
  }
  io.run();
  ASSERT_EQ(order.size(), 1000U);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST(AsyncClient, MoreThanTheQueueHoldsAreRefused) {
  FakePeer peer(echo);
  asio::io_context io;
  AsyncClient client(io.get_executor(), peer.options());
  int good = 0;
  int refused = 0;
  for (int i = 0; i < 1100; ++i) {
    client.async_call(numbered(i), [&](const Outcome<Reply>& reply) {
      good += reply.ok() ? 1 : 0;
      refused += !reply.ok() && reply.failure().kind == FailureKind::invalid ? 1 : 0;
    });
  }
  io.run();
  EXPECT_EQ(good + refused, 1100);
  EXPECT_GE(good, 1024);
  EXPECT_GT(refused, 0);
}

TEST(AsyncClient, NeverMoreThanTheWindowIsOnItsWay) {
  std::atomic<int> most{0};
  FakePeer peer([&](PeerConnection& connection) {
    // Answers only when three have come: a fourth that came as well would be counted.
    std::vector<tensorwire::RequestId> waiting;
    int answered = 0;
    while (answered < 9) {
      auto request = connection.request();
      if (!request) return;
      waiting.push_back(request->id);
      most = std::max(most.load(), static_cast<int>(waiting.size()));
      if (waiting.size() < 3) continue;
      for (auto& id : waiting) connection.reply(Reply(Json(1)), std::move(id));
      answered += 3;
      waiting.clear();
    }
  });
  asio::io_context io;
  Options options = peer.options();
  options.window = 3;
  AsyncClient client(io.get_executor(), options);
  int good = 0;
  for (int i = 0; i < 9; ++i)
    client.async_call(numbered(i), [&](const Outcome<Reply>& reply) { good += reply.ok() ? 1 : 0; });
  io.run();
  EXPECT_EQ(good, 9);
  EXPECT_EQ(most.load(), 3);
}

TEST(AsyncClient, BigTensorsGoBothWaysAtOnce) {
  FakePeer peer(echo);
  asio::io_context io;
  AsyncClient client(io.get_executor(), peer.options());
  const std::vector<float> big(2 << 20, 2.5F);
  int right = 0;
  for (int i = 0; i < 6; ++i) {
    Call call("echo");
    call.tensor("x", big, Shape{2 << 20});
    client.async_call(std::move(call), [&](const Outcome<Reply>& reply) {
      const auto values = reply->tensors.at(0).as<float>().value();
      right += std::equal(values.begin(), values.end(), big.begin(), big.end()) ? 1 : 0;
    });
  }
  io.run();
  EXPECT_EQ(right, 6);
}

TEST(AsyncClient, NothingListens) {
  asio::io_context io;
  Options options;
  options.endpoint.port = FakePeer(echo).port();
  AsyncClient client(io.get_executor(), options);
  const auto reply = run_one(io, client, numbered(1));
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.failure().kind, FailureKind::connect_failed);
  EXPECT_NE(reply.failure().message.find("is tensord running?"), std::string::npos);
}

TEST(AsyncClient, ATimeLimitEndsOneCallAndItsLateReplyIsDropped) {
  std::atomic<bool> go{false};
  FakePeer peer([&](PeerConnection& connection) {
    auto first = connection.request();
    while (!go.load()) std::this_thread::yield();
    connection.reply(Reply(Json("late")), first->id);
    connection.echo();
  });
  asio::io_context io;
  AsyncClient client(io.get_executor(), peer.options());
  const auto late = run_one(io, client, std::move(numbered(1).timeout(30ms)));
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.failure().kind, FailureKind::deadline_exceeded);
  EXPECT_EQ(late.failure().delivery, Delivery::unknown);
  go = true;
  EXPECT_EQ(run_one(io, client, numbered(2))->result.find("i")->as_int(), 2);
  EXPECT_EQ(peer.accepted(), 1);
}

TEST(AsyncClient, ATimeLimitInTheMiddleOfSendingClosesTheConnection) {
  std::atomic<bool> over{false};
  FakePeer peer({[&](PeerConnection&) {
                   while (!over.load()) std::this_thread::yield();
                 },
                 echo});
  asio::io_context io;
  AsyncClient client(io.get_executor(), peer.options());
  const std::vector<float> big(16 << 20);
  Call call("echo");
  call.tensor("x", big, Shape{16 << 20}).timeout(50ms);
  const auto reply = run_one(io, client, std::move(call));
  over = true;
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.failure().kind, FailureKind::deadline_exceeded);
  EXPECT_TRUE(run_one(io, client, numbered(2)).ok());
  EXPECT_EQ(peer.accepted(), 2);
}

TEST(AsyncClient, ACancelledCallEndsAtOnce) {
  FakePeer peer(wait_for_end);
  asio::io_context io;
  AsyncClient client(io.get_executor(), peer.options());
  asio::cancellation_signal signal;
  std::optional<Outcome<Reply>> outcome;
  client.async_call(numbered(1), asio::bind_cancellation_slot(
                                     signal.slot(), [&](Outcome<Reply> given) { outcome.emplace(std::move(given)); }));
  asio::post(io, [&] { signal.emit(asio::cancellation_type::terminal); });
  io.run();
  ASSERT_TRUE(outcome && !outcome->ok());
  EXPECT_EQ(outcome->failure().kind, FailureKind::cancelled);
}

TEST(AsyncClient, WhatWasSentIsReportedAndWhatWaitedGoesOutOnTheNextConnection) {
  std::vector<std::int64_t> seen;
  std::vector<std::string> outcomes;
  {
    FakePeer peer({[&](PeerConnection& connection) {
                     for (int i = 0; i < 2; ++i) seen.push_back(*connection.request()->params.find("i")->as_int());
                   },
                   [&](PeerConnection& connection) {
                     while (auto request = connection.request()) {
                       seen.push_back(*request->params.find("i")->as_int());
                       connection.reply(Reply(Json(1)), request->id);
                     }
                   }});
    asio::io_context io;
    Options options = peer.options();
    options.window = 2;
    AsyncClient client(io.get_executor(), options);
    for (int i = 0; i < 4; ++i) {
      client.async_call(numbered(i), [&](const Outcome<Reply>& reply) {
        outcomes.emplace_back(reply.ok() ? "ok" : to_string(reply.failure().kind));
      });
    }
    io.run();
  }
  EXPECT_EQ(outcomes, (std::vector<std::string>{"disconnected", "disconnected", "ok", "ok"}));
  EXPECT_EQ(seen, (std::vector<std::int64_t>{0, 1, 2, 3}));
}

TEST(AsyncClient, GarbageEndsInAProtocolFailure) {
  FakePeer peer([](PeerConnection& connection) {
    (void)connection.request();
    connection.send("HTTP/1.1 400 Bad Request\r\n\r\n");
    (void)connection.receive_to_end();
  });
  asio::io_context io;
  AsyncClient client(io.get_executor(), peer.options());
  const auto reply = run_one(io, client, numbered(1));
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.failure().kind, FailureKind::protocol);
}

TEST(AsyncClient, AnEarlyErrorEndsASendingThatNobodyReads) {
  FakePeer peer([](PeerConnection& connection) {
    (void)connection.receive();
    connection.reply(Reply(tensorwire::Error{tensorwire::ErrorCode::frame_too_large, "at most 256 MiB", ""}), {});
    (void)connection.request();
  });
  asio::io_context io;
  AsyncClient client(io.get_executor(), peer.options());
  const std::vector<float> big(32 << 20);
  Call call("echo");
  call.tensor("x", big, Shape{32 << 20});
  const auto reply = run_one(io, client, std::move(call));
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.failure().kind, FailureKind::remote) << reply.failure().describe();
}

TEST(AsyncClient, OnewayCallsArriveInOrderWithOthers) {
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
  asio::io_context io;
  AsyncClient client(io.get_executor(), peer.options());
  int sent = 0;
  for (int i = 0; i < 5; ++i) {
    client.async_send(std::move(numbered(i).oneway()),
                      [&](const Outcome<void>& outcome) { sent += outcome.ok() ? 1 : 0; });
  }
  EXPECT_EQ(run_one(io, client, numbered(9))->result.as_int(), 5);
  EXPECT_EQ(sent, 5);
}

TEST(AsyncClient, TheWrongKindOfCallIsRefused) {
  FakePeer peer(echo);
  asio::io_context io;
  AsyncClient client(io.get_executor(), peer.options());
  EXPECT_EQ(run_one(io, client, std::move(numbered(1).oneway())).failure().kind, FailureKind::invalid);
}

TEST(AsyncClient, DestroyingItCancelsWhatIsInFlight) {
  FakePeer peer(wait_for_end);
  asio::io_context io;
  std::optional<Outcome<Reply>> outcome;
  {
    AsyncClient client(io.get_executor(), peer.options());
    client.async_call(numbered(1), [&](Outcome<Reply> given) { outcome.emplace(std::move(given)); });
  }
  io.run();
  ASSERT_TRUE(outcome && !outcome->ok());
  EXPECT_EQ(outcome->failure().kind, FailureKind::cancelled);
}

TEST(AsyncClient, BadOptionsThrow) {
  asio::io_context io;
  Options options;
  options.endpoint.port = 0;
  EXPECT_THROW(AsyncClient(io.get_executor(), options), tensorclient::FailureException);
}

}  // namespace
