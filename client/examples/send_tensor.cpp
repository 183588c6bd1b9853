// Sends a tensor to tensord and prints the answer: example_client_send_tensor [HOST:PORT]
#include <cstdio>
#include <exception>
#include <numeric>
#include <vector>

#include "tensorclient/client.hpp"

int main(int argc, char** argv) {
  std::vector<float> values(12);
  std::iota(values.begin(), values.end(), 0.0F);
  try {
    tensorclient::Client client = tensorclient::Client::connect(argc > 1 ? argv[1] : "127.0.0.1:7733").value();
    const auto reply = client.call(tensorclient::Call("stats").tensor("ramp", values, {3, 4})).value();
    std::printf("%s\n", reply.result.dump().c_str());
  } catch (const std::exception& failure) {  // value() throws what the client or the server refused
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
  }
}
