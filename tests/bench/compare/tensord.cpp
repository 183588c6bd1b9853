// Drives tensord through libtensorclient: the blocking client, pipelined with a window.
#include <memory>
#include <utility>
#include <vector>

#include "peer.hpp"
#include "tensorclient/client.hpp"

namespace {

using compare::Settings;
using tensorclient::Call;
using tensorclient::Client;

void check(const tensorclient::Outcome<tensorclient::Reply>& reply) {
  if (!reply.ok()) compare::die(reply.failure().describe());
}

class TensordLink : public compare::Link {
 public:
  explicit TensordLink(const Settings& settings)
      : one_at_a_time_(settings.window == 1), values_(settings.bytes / sizeof(float), 0.5F) {
    tensorclient::Options options;
    options.endpoint.port = settings.port;
    options.window = settings.window;
    for (std::size_t i = 0; i < settings.connections; ++i) {
      auto client = Client::connect(options);
      if (!client.ok()) compare::die(client.failure().describe());
      clients_.push_back(std::move(client).value());
    }
    call_ = Call(settings.echo ? "echo" : "discard");
    call_.tensor("", values_, {static_cast<std::int64_t>(values_.size())});
  }

  void send() override {
    Client& client = clients_[sent_++ % clients_.size()];
    if (one_at_a_time_) return check(client.call(call_));
    if (const auto sent = client.submit(call_); !sent.ok()) compare::die(sent.failure().describe());
  }
  void receive() override {
    if (!one_at_a_time_) check(clients_[received_++ % clients_.size()].next());
  }

 private:
  bool one_at_a_time_;
  std::vector<float> values_;
  std::vector<Client> clients_;
  Call call_;
  std::size_t sent_ = 0;
  std::size_t received_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const Settings settings = compare::parse(argc, argv);
  if (settings.serve) compare::die("the receiving side is tensord itself");
  TensordLink link(settings);
  compare::drive(link, settings);
}
