// Embeds a server and calls it, with nothing but an installed tensord.
#include <array>
#include <iostream>
#include <numeric>
#include <span>

#include "tensorclient/client.hpp"
#include "tensord/server.hpp"

int main() {
  tensord::Options options;
  options.listen = "127.0.0.1:0";
  tensord::Server server(options);
  server.handle("sum", [](tensord::Request request) -> tensord::Reply {
    const auto x = request.tensor("x").as<double>().value();
    return tensord::Json(std::accumulate(x.begin(), x.end(), 0.0));
  });
  server.start().value();
  const std::array<double, 3> values{1, 2, 4};
  auto client = tensorclient::Client::connect(server.address()).value();
  const auto reply = client.call(tensorclient::Call("sum").tensor("x", std::span<const double>(values), {3})).value();
  std::cout << "sum: " << reply.result.dump() << '\n';
  return reply.result == tensord::Json(7.0) ? 0 : 1;
}
