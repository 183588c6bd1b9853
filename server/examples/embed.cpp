// A program with a tensor server in it: every language that speaks JSON can now call `dot`.
#include <tensord/server.hpp>

#include <iostream>
#include <numeric>
#include <span>

int main(int argc, char** argv) {
  tensord::Options options;
  options.listen = argc > 1 ? argv[1] : "127.0.0.1:7733";
  options.default_handler = "dot";
  tensord::Server server(options);

  // value() throws where a tensor is missing or of another type; the sender gets that as an error reply.
  server.handle("dot", [](tensord::Request request) -> tensord::Reply {
    const std::span<const float> a = request.tensor("a").as<float>().value();
    const std::span<const float> b = request.tensor("b").as<float>().value();
    if (a.size() != b.size()) throw std::invalid_argument("a and b differ in length");
    return tensord::Json::object({{"dot", std::inner_product(a.begin(), a.end(), b.begin(), 0.0)}});
  });

  // A coroutine holds no thread while it waits.
  server.handle("later", [](tensord::Request request) -> tensord::Task<tensord::Reply> {
    co_await tensord::sleep_for(std::chrono::milliseconds(100));
    co_return tensord::Reply(std::move(request.tensors));
  });

  if (const auto started = server.start(); !started.ok()) {
    std::cerr << started.error().message << '\n';
    return 1;
  }
  std::cout << "listening on " << server.address() << std::endl;
  server.wait();
}
