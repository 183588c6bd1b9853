// Asks tensord about ten tensors at once, from coroutines on one thread: example_client_async_coroutine [HOST:PORT]
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>
#include <utility>
#include <vector>

#include "tensorclient/async_client.hpp"

namespace asio = boost::asio;

asio::awaitable<void> ask(tensorclient::AsyncClient& client, float value) {
  const std::vector<float> values(6, value);  // lives in the coroutine until the call is answered: it is sent uncopied
  tensorclient::Call call("stats");
  call.tensor("x", values, {2, 3});
  const auto reply = co_await client.async_call(std::move(call), asio::use_awaitable);
  std::printf("%s\n", reply.ok() ? reply->result.dump().c_str() : reply.failure().describe().c_str());
}

int main(int argc, char** argv) {
  tensorclient::Options options;
  options.endpoint = tensorclient::Endpoint::parse(argc > 1 ? argv[1] : "127.0.0.1:7733").value();
  asio::io_context io;
  tensorclient::AsyncClient client(io.get_executor(), options);
  for (int i = 0; i < 10; ++i) asio::co_spawn(io, ask(client, static_cast<float>(i)), asio::detached);
  io.run();  // returns when the last answer is there
}
