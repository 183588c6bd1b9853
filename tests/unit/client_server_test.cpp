// Both clients against a real server in this process: every dtype there and back, images, refusals, stops and restarts.
#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tensorclient/async_client.hpp"
#include "tensorclient/client.hpp"
#include "tensorclient/raw.hpp"
#include "tensord/server.hpp"

namespace {

namespace asio = boost::asio;
using tensorclient::AsyncClient;
using tensorclient::Call;
using tensorclient::Client;
using tensorclient::FailureKind;
using tensorclient::Outcome;
using tensorclient::Reply;
using tensorclient::Shape;
using tensorclient::Tensor;
using tensorclient::TensorEncoding;
using tensorwire::ErrorCode;

tensorclient::Options options_for(std::uint16_t port) {
  tensorclient::Options options;
  options.endpoint.port = port;
  options.reconnect.first = std::chrono::milliseconds(1);
  return options;
}

class Here {
 public:
  explicit Here(tensord::Options options = {}) : Here(std::move(options), [](tensord::Server&) {}) {}
  template <class Prepare>
  Here(tensord::Options options, const Prepare& prepare) : server_(on_free_port(std::move(options))) {
    tensord::add_builtin_handlers(server_);
    prepare(server_);
    server_.start().value();
  }
  tensord::Server& server() { return server_; }
  [[nodiscard]] tensorclient::Options options() const { return options_for(server_.port()); }
  [[nodiscard]] Client client() const { return Client::connect(options()).value(); }

 private:
  static tensord::Options on_free_port(tensord::Options options) {
    if (options.listen == tensord::Options().listen) options.listen = "127.0.0.1:0";
    options.drain_timeout = std::chrono::milliseconds(30'000);
    return options;
  }
  tensord::Server server_;
};

// Every byte small and odd ones between: valid elements of every dtype, no NaN among them, booleans 0 and 1.
Tensor filled(tensorwire::DType dtype, const Shape& shape) {
  Tensor tensor = Tensor::allocate(dtype, shape).value();
  unsigned state = 7;
  for (std::byte& byte : tensor.bytes()) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<std::byte>(state >> 31);
  }
  return tensor;
}

void expect_same(const Outcome<Reply>& reply, const tensorclient::TensorView& sent) {
  ASSERT_TRUE(reply.ok()) << reply.failure().describe();
  const Tensor* got = reply->tensors.at(0).tensor().value();
  EXPECT_EQ(got->dtype(), sent.dtype());
  EXPECT_EQ(got->shape(), sent.shape());
  ASSERT_EQ(got->bytes().size(), sent.bytes().size());
  EXPECT_TRUE(sent.bytes().empty() || std::memcmp(got->bytes().data(), sent.bytes().data(), sent.bytes().size()) == 0);
}

TEST(ClientAndServer, EveryDtypeRankAndEncodingComesBackIdentical) {
  const Here here;
  Client client = here.client();
  for (const tensorwire::DTypeInfo& dtype : tensorwire::all_dtypes()) {
    if (dtype.dtype == tensorwire::DType::string) continue;
    for (const Shape& shape : {Shape{}, Shape{5}, Shape{0}, Shape{2, 3}, Shape{2, 0, 3}, Shape{2, 3, 2, 2}}) {
      const Tensor tensor = filled(dtype.dtype, shape);
      for (const auto payload : {TensorEncoding::base64, TensorEncoding::list}) {
        for (const auto encoding : {TensorEncoding::base64, TensorEncoding::list}) {
          SCOPED_TRACE(std::string(dtype.name) + shape.to_string());
          Call call("echo");
          call.tensor("x", tensor.view()).payload(payload).encoding(encoding);
          expect_same(client.call(call), tensor.view());
        }
      }
    }
  }
}

TEST(ClientAndServer, StringsComeBack) {
  const Here here;
  Client client = here.client();
  const std::vector<std::string> labels{"cat", "", "Füchse \"und\" \\ \n"};
  Call call("echo");
  call.tensor("labels", Tensor::of_strings(Shape{3}, labels).value());
  const auto reply = client.call(call);
  ASSERT_TRUE(reply.ok()) << reply.failure().describe();
  const auto strings = reply->tensors.at(0).tensor().value()->strings().value();
  EXPECT_EQ(std::vector<std::string>(strings.begin(), strings.end()), labels);
}

TEST(ClientAndServer, SeveralTensorsAndParamsReachTheHandlerTyped) {
  const Here here({}, [](tensord::Server& server) {
    server.handle("scale", [](tensord::Request request) -> tensord::Reply {
      const auto x = request.tensor("x").as<float>().value();
      const double by = request.params.find("by")->as_double().value();
      std::vector<float> scaled;
      for (const float value : x) scaled.push_back(static_cast<float>(value * by));
      return tensord::Reply::of("y", Tensor::copy_of(std::span<const float>(scaled), {3}).value());
    });
  });
  Client client = here.client();
  const std::vector<float> x{1, 2, 3};
  const std::vector<std::int32_t> unused{4};
  const auto reply = client.call(Call("scale").tensor("unused", unused, {1}).tensor("x", x, {3}).param("by", 2.5));
  ASSERT_TRUE(reply.ok()) << reply.failure().describe();
  const auto y = reply->tensors.at(0).as<float>().value();
  EXPECT_EQ(std::vector<float>(y.begin(), y.end()), (std::vector<float>{2.5F, 5, 7.5F}));
}

TEST(ClientAndServer, AnImageComesBackAsPixelsOrAsAnImage) {
  const Here here;
  Client client = here.client();
  std::vector<std::uint8_t> pixels(6 * 7 * 3);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * 2);
  const tensorclient::TensorView view(std::span<const std::uint8_t>(pixels), Shape{6, 7, 3});
  Call call("echo");
  ASSERT_TRUE(call.pixels("img", view, tensorwire::ImageFormat::png).ok());
  expect_same(client.call(call), view);
  const auto image = client.call(call.param("format", "png"));
  ASSERT_TRUE(image.ok()) << image.failure().describe();
  ASSERT_NE(image->tensors.at(0).image(), nullptr);
  expect_same(image, view);
}

TEST(ClientAndServer, AThrowingHandlerIsARemoteFailure) {
  const Here here({}, [](tensord::Server& server) {
    server.handle("bad", [](tensord::Request) -> tensord::Reply { throw std::runtime_error("the model is missing"); });
  });
  Client client = here.client();
  const auto reply = client.call(Call("bad"));
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.failure().code, ErrorCode::handler_failed);
  EXPECT_NE(reply.failure().message.find("the model is missing"), std::string::npos);
  EXPECT_TRUE(client.call(Call("info")).ok());
}

TEST(ClientAndServer, TheTokenOpensTheDoor) {
  tensord::Options options;
  options.token = "s3cret";
  const Here here(options);
  Client stranger = here.client();
  const auto refused = stranger.call(Call("info"));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.failure().code, ErrorCode::unauthorized);
  tensorclient::Options known = here.options();
  known.token = "s3cret";
  Client client = Client::connect(known).value();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(client.call(Call("info")).ok());
}

TEST(ClientAndServer, AFrameThatIsTooLargeIsAnsweredWhileItIsBeingSent) {
  tensord::Options options;
  options.limits.max_frame = 1 << 20;
  const Here here(options);
  Client client = here.client();
  const std::vector<float> big(8 << 20);
  for (int i = 0; i < 3; ++i) {
    const auto reply = client.call(Call("discard").tensor("x", big, {8 << 20}));
    ASSERT_FALSE(reply.ok());
    EXPECT_EQ(reply.failure().code, ErrorCode::frame_too_large) << reply.failure().describe();
    EXPECT_TRUE(client.call(Call("info")).ok());
  }
}

TEST(ClientAndServer, AServerWithoutRoomSaysSo) {
  tensord::Options options;
  options.max_connections = 1;
  const Here here(options);
  Client first = here.client();
  ASSERT_TRUE(first.call(Call("info")).ok());
  Client second = here.client();
  const auto reply = second.call(Call("info"));
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.failure().code, ErrorCode::overloaded) << reply.failure().describe();
}

TEST(ClientAndServer, BigTensorsThroughAFullWindow) {
  const Here here;
  Client client = here.client();
  const Tensor tensor = filled(tensorwire::DType::float32, {4 << 20});
  Call call("echo");
  call.tensor("x", tensor.view());
  for (int i = 0; i < 12 || client.in_flight() > 0;) {
    for (; i < 12 && !client.window_full(); ++i) ASSERT_TRUE(client.submit(call).ok());
    expect_same(client.next(), tensor.view());
  }
}

TEST(ClientAndServer, AStoppedServerIsNoticedAndItsSuccessorFound) {
  tensord::Options options;
  auto here = std::make_unique<Here>(options);
  const std::uint16_t port = here->server().port();
  Client client = here->client();
  ASSERT_TRUE(client.call(Call("info")).ok());
  here.reset();
  EXPECT_FALSE(client.call(Call("info").timeout(std::chrono::milliseconds(5000))).ok());
  options.listen = "127.0.0.1:" + std::to_string(port);
  const Here successor(options);
  const auto reply = client.call(Call("info"));
  EXPECT_TRUE(reply.ok()) << reply.failure().describe();
}

TEST(ClientAndServer, RawJsonIsAnsweredInALine) {
  const Here here;
  const std::vector<float> x{1, 2};
  const auto answer = tensorclient::send_raw(here.options(), Call("stats").tensor("", x, {2}));
  ASSERT_TRUE(answer.ok()) << answer.failure().describe();
  EXPECT_TRUE(answer->closed);
  EXPECT_EQ(tensorwire::Json::parse(answer->text)->find("status")->as_string(), "ok");
}

TEST(ClientAndServer, TheRawDialectServesCallsToo) {
  const Here here;
  tensorclient::Options options = here.options();
  options.dialect = tensorwire::Dialect::raw_json;
  Client client = Client::connect(options).value();
  const Tensor tensor = filled(tensorwire::DType::float64, {100, 10});
  for (int i = 0; i < 3; ++i) expect_same(client.call(Call("echo").tensor("x", tensor.view())), tensor.view());
}

TEST(AsyncClientAndServer, CoroutinesShareAConnection) {
  const Here here;
  asio::io_context io;
  AsyncClient client(io.get_executor(), here.options());
  int right = 0;
  const auto ask = [&](float value) -> asio::awaitable<void> {
    const std::vector<float> values(1000, value);
    Call call("echo");
    call.tensor("x", values, {1000});
    const Outcome<Reply> reply = co_await client.async_call(std::move(call), asio::use_awaitable);
    const auto back = reply->tensors.at(0).as<float>().value();
    right += std::equal(back.begin(), back.end(), values.begin(), values.end()) ? 1 : 0;
  };
  for (int i = 0; i < 200; ++i) asio::co_spawn(io, ask(static_cast<float>(i)), asio::detached);
  io.run();
  EXPECT_EQ(right, 200);
}

}  // namespace
