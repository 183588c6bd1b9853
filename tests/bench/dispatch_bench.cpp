// Measures a message through a whole server in this process: socket, decoding, handler (on the I/O thread, on a handler
// thread, as a coroutine), reply, socket. The client's side is bare: one send and as many receives as it takes.
#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <string>

#include "messages.hpp"
#include "tensord/server.hpp"

namespace {

using tensord::Reply;
using tensord::Request;

Reply answer(Request request) {
  return Reply(tensord::Json::object({{"tensors", std::uint64_t{request.tensors.size()}}}));
}
tensord::Task<Reply> answer_later(Request request) { co_return answer(std::move(request)); }

class Connection {
 public:
  explicit Connection(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ok_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~Connection() { ::close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] bool ok() const noexcept { return ok_; }
  void send(const std::string& bytes) { ok_ = ok_ && ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0; }
  // Receives that many bytes.
  void receive(std::size_t bytes) {
    std::array<char, 64U << 10> into;
    while (ok_ && bytes > 0) {
      const ssize_t n = ::recv(fd_, into.data(), std::min(bytes, into.size()), 0);
      ok_ = n > 0;
      if (ok_) bytes -= static_cast<std::size_t>(n);
    }
  }

 private:
  int fd_;
  bool ok_ = false;
};

std::size_t reply_length() {
  Reply reply(tensord::Json::object({{"tensors", std::uint64_t{1}}}));
  reply.id = std::uint64_t{10'000};
  return bench::rendered(bench::must(tensorwire::MessageWriter::reply(
                             std::move(reply), tensorwire::TensorEncoding::base64, tensorwire::Dialect::framed)))
      .size();
}

// `range(0)` messages at a time.
void run(benchmark::State& state, const std::string& handler) {
  tensord::Options options;
  options.listen = "127.0.0.1:0";
  tensord::Server server(options);
  server.handle("quick", answer, {.quick = true, .description = {}});
  server.handle("pooled", answer);
  server.handle("coroutine", tensord::AsyncHandler(answer_later));
  if (!server.start().ok()) return state.SkipWithError("cannot listen");
  const std::vector<float> values = bench::make_values(64);
  tensorwire::OutgoingRequest request = bench::make_request(values);
  request.handler = handler;
  const std::string frame =
      bench::rendered(bench::must(tensorwire::MessageWriter::request(request, tensorwire::Dialect::framed)));
  std::string batch;
  for (std::int64_t i = 0; i < state.range(0); ++i) batch += frame;
  const std::size_t replies = reply_length() * static_cast<std::size_t>(state.range(0));
  Connection connection(server.port());
  for (auto _ : state) {
    connection.send(batch);
    connection.receive(replies);
    if (!connection.ok()) return state.SkipWithError("the connection broke");
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

void quick(benchmark::State& state) { run(state, "quick"); }
BENCHMARK(quick)->Arg(1)->Arg(64)->UseRealTime();
void pooled(benchmark::State& state) { run(state, "pooled"); }
BENCHMARK(pooled)->Arg(1)->Arg(64)->UseRealTime();
void coroutine(benchmark::State& state) { run(state, "coroutine"); }
BENCHMARK(coroutine)->Arg(1)->Arg(64)->UseRealTime();

}  // namespace
