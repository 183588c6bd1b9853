// ZeroMQ as its users move tensors: DEALER to ROUTER, the raw bytes as one message part, a small one as the answer.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>
#include <zmq.hpp>

#include "peer.hpp"

namespace {

using compare::Settings;

// Below this, copying costs less than the bookkeeping of a borrowed message.
constexpr std::size_t kBorrow = 1U << 10;

zmq::message_t receive_part(zmq::socket_t& socket) {
  zmq::message_t part;
  if (!socket.recv(part)) compare::die("zmq: nothing received");
  return part;
}

void send_part(zmq::socket_t& socket, zmq::message_t part, zmq::send_flags flags) {
  if (!socket.send(std::move(part), flags)) compare::die("zmq: nothing sent");
}

std::uint16_t bind_loopback(zmq::socket_t& socket) {
  socket.bind("tcp://127.0.0.1:*");
  const std::string endpoint = socket.get(zmq::sockopt::last_endpoint);
  return static_cast<std::uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1)));
}

[[noreturn]] void serve(bool echo) {
  zmq::context_t context;
  zmq::socket_t router(context, zmq::socket_type::router);
  compare::announce(bind_loopback(router));
  while (true) {
    zmq::message_t sender = receive_part(router);
    zmq::message_t tensor = receive_part(router);
    const std::uint64_t nbytes = tensor.size();
    send_part(router, std::move(sender), zmq::send_flags::sndmore);
    send_part(router, echo ? std::move(tensor) : zmq::message_t(&nbytes, sizeof nbytes), zmq::send_flags::none);
  }
}

class ZeroMqLink : public compare::Link {
 public:
  explicit ZeroMqLink(const Settings& settings)
      : dealer_(context_, zmq::socket_type::dealer), tensor_(settings.bytes, 'A') {
    dealer_.connect("tcp://127.0.0.1:" + std::to_string(settings.port));
  }

  void send() override {
    // Large tensors are lent to ZeroMQ, not copied: this one lives until the program ends.
    zmq::message_t message = tensor_.size() < kBorrow
                                 ? zmq::message_t(tensor_.data(), tensor_.size())
                                 : zmq::message_t(
                                       tensor_.data(), tensor_.size(), [](void*, void*) {}, nullptr);
    send_part(dealer_, std::move(message), zmq::send_flags::none);
  }
  void receive() override { (void)receive_part(dealer_); }

 private:
  zmq::context_t context_;
  zmq::socket_t dealer_;
  std::vector<char> tensor_;
};

}  // namespace

int main(int argc, char** argv) {
  const Settings settings = compare::parse(argc, argv);
  if (settings.serve) serve(settings.echo);
  ZeroMqLink link(settings);
  compare::drive(link, settings);
}
