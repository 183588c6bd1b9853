// A hand-written server for the client's tests: one thread that plays a script on each accepted connection.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tensorclient/options.hpp"
#include "tensorwire/reader.hpp"
#include "tensorwire/writer.hpp"

namespace test {

// The peer's end of one connection, with the verbs that scripts need.
class PeerConnection {
 public:
  explicit PeerConnection(int fd)
      : fd_(fd), reader_(tensorwire::Dialect::framed, limits(), tensorwire::BufferPool::shared()) {}
  ~PeerConnection() { ::close(fd_); }
  PeerConnection(const PeerConnection&) = delete;
  PeerConnection& operator=(const PeerConnection&) = delete;

  // The next whole request, or nothing at the end of the stream.
  std::optional<tensorwire::Request> request() {
    while (true) {
      std::string_view view = pending_;
      const auto status = reader_.feed(view);
      pending_.erase(0, pending_.size() - view.size());
      if (status != tensorwire::MessageReader::Status::need_more) return std::move(reader_.take_request().request);
      const std::string more = receive();
      if (more.empty()) return std::nullopt;
      pending_ = more;
    }
  }
  // What one recv() gives; empty at the end of the stream.
  std::string receive() const {
    std::string text(1 << 16, '\0');
    const ssize_t n = ::recv(fd_, text.data(), text.size(), 0);
    text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return text;
  }
  std::string receive_to_end() const {
    std::string all;
    for (std::string piece = receive(); !piece.empty(); piece = receive()) all += piece;
    return all;
  }
  void send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  void reply(tensorwire::Reply reply, tensorwire::RequestId id,
             tensorwire::TensorEncoding encoding = tensorwire::TensorEncoding::base64) const {
    reply.id = std::move(id);
    send(render(std::move(reply), encoding));
  }
  static std::string render(tensorwire::Reply reply,
                            tensorwire::TensorEncoding encoding = tensorwire::TensorEncoding::base64) {
    auto writer = tensorwire::MessageWriter::reply(std::move(reply), encoding, tensorwire::Dialect::framed).value();
    std::string all;
    std::vector<char> piece(1 << 16);
    while (const std::size_t n = writer.read(piece)) all.append(piece.data(), n);
    return all;
  }
  // Answers every request with its own tensors, until the client ends the stream.
  void echo() {
    while (auto next = request()) {
      if (next->oneway) continue;
      tensorwire::Reply answer(std::move(next->tensors));
      answer.result = next->params;
      reply(std::move(answer), next->id, next->encoding);
    }
  }
  // The next close() resets the connection instead of ending it in order.
  void reset_on_close() const {
    const linger hard{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  }

 private:
  static tensorwire::Limits limits() {
    tensorwire::Limits limits;
    limits.max_frame = tensorwire::kHardMaxFrame;
    return limits;
  }
  int fd_;
  tensorwire::MessageReader reader_;
  std::string pending_;
};

// Listens on a free port of 127.0.0.1 and plays scripts[i] on the i-th connection (the last script on all further
// ones).
class FakePeer {
 public:
  using Script = std::function<void(PeerConnection&)>;

  explicit FakePeer(Script script) : FakePeer(std::vector<Script>{std::move(script)}) {}
  explicit FakePeer(std::vector<Script> scripts, std::uint16_t port = 0) : scripts_(std::move(scripts)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    socklen_t length = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 || ::listen(listener_, 64) != 0)
      std::abort();
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  // Ends when the client has ended its connections.
  ~FakePeer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  FakePeer(const FakePeer&) = delete;
  FakePeer& operator=(const FakePeer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] int accepted() const { return accepted_.load(); }
  [[nodiscard]] tensorclient::Options options() const {
    tensorclient::Options options;
    options.endpoint.port = port_;
    options.timeout = std::chrono::milliseconds(20'000);  // never reached where all is well
    options.reconnect.first = std::chrono::milliseconds(1);
    return options;
  }

 private:
  void serve() {
    while (true) {
      const int fd = ::accept(listener_, nullptr, nullptr);
      if (fd < 0) return;
      const auto index = static_cast<std::size_t>(accepted_.fetch_add(1));
      PeerConnection connection(fd);
      scripts_[std::min(index, scripts_.size() - 1)](connection);
    }
  }
  std::vector<Script> scripts_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<int> accepted_{0};
  std::thread thread_;
};

}  // namespace test
