// A sender made of POSIX sockets only, so that the server is tested without the project's own client.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "tensorwire/json.hpp"

namespace raw {

using tensorwire::Json;

// Far beyond what any step takes: reaching it is a failure, not a measurement.
constexpr std::chrono::seconds kPatience{30};

inline std::string frame(std::string_view json) {
  const auto n = static_cast<std::uint32_t>(json.size());
  std::string bytes;
  for (const unsigned shift : {24U, 16U, 8U, 0U}) bytes += static_cast<char>(n >> shift & 0xFFU);
  return bytes.append(json);
}

// [1, 2, 3, 4] as float32.
inline std::string tensor_json(const std::string& more = "") {
  return R"({"tensor":"AACAPwAAAEAAAEBAAACAQA==","shape":[4],"dtype":"float32")" + more + "}";
}

// A float32 tensor of n zeros; n must be a multiple of 3.
inline std::string zeros_json(std::size_t n, const std::string& more = "") {
  return R"({"tensor":")" + std::string(n / 3 * 16, 'A') + R"(","shape":[)" + std::to_string(n) +
         R"(],"dtype":"float32")" + more + "}";
}

class Client {
 public:
  explicit Client(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int one = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connected_ = ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~Client() { close(); }
  Client(Client&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)),
        connected_(other.connected_),
        received_(std::move(other.received_)) {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] int socket() const { return socket_; }

  // False when the peer closed before all was sent.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  bool send_frame(std::string_view json) { return send(frame(json)); }
  void end_sending() { ::shutdown(socket_, SHUT_WR); }
  void close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }
  // Closes with RST instead of FIN.
  void reset() {
    const linger hard{1, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close();
  }

  // One more piece into received_; false at the end of the stream, on reset, or when patience is over.
  bool receive_some() {
    pollfd wait{socket_, POLLIN, 0};
    if (::poll(&wait, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())) <= 0) {
      ADD_FAILURE() << "the server sent nothing and closed nothing";
      return false;
    }
    std::array<char, 65536> piece;
    const ssize_t n = ::recv(socket_, piece.data(), piece.size(), 0);
    if (n <= 0) return false;
    received_.append(piece.data(), static_cast<std::size_t>(n));
    return true;
  }
  // The next n bytes; fewer when the stream ends before.
  std::string receive(std::size_t n) {
    while (received_.size() < n && receive_some()) {
    }
    const std::string bytes = received_.substr(0, n);
    received_.erase(0, n);
    return bytes;
  }
  std::string receive_all() {
    while (receive_some()) {
    }
    return std::exchange(received_, "");
  }
  std::string receive_line() {
    while (received_.find('\n') == std::string::npos && receive_some()) {
    }
    return receive(received_.find('\n') + 1);
  }
  // The next framed reply; null (and not an object) when the stream ended.
  Json reply() {
    const std::string prefix = receive(4);
    if (prefix.size() < 4) return {};
    std::size_t n = 0;
    for (const char c : prefix) n = n << 8U | static_cast<unsigned char>(c);
    const std::string json = receive(n);
    auto parsed = Json::parse(json);
    if (!parsed.ok()) ADD_FAILURE() << "no strict JSON: " << json.substr(0, 200);
    return parsed.ok() ? *parsed : Json();
  }
  Json call(std::string_view json) {
    send_frame(json);
    return reply();
  }
  [[nodiscard]] bool ended() { return receive(1).empty(); }

 private:
  int socket_;
  bool connected_ = false;
  std::string received_;
};

// The member that path leads to ("error.code", "result.tensors.0.min"), as compact JSON; "" when there is none.
inline std::string at(const Json& json, std::string_view path) {
  const Json* here = &json;
  while (!path.empty() && here != nullptr) {
    const std::string_view name = path.substr(0, path.find('.'));
    path.remove_prefix(std::min(path.size(), name.size() + 1));
    if (const Json::Array* const array = here->as_array()) {
      const auto index = static_cast<std::size_t>(std::stoul(std::string(name)));
      here = index < array->size() ? &(*array)[index] : nullptr;
    } else {
      here = here->find(name);
    }
  }
  return here == nullptr ? "" : here->dump();
}

inline std::string code(const Json& reply) { return at(reply, "error.code"); }
inline std::string message(const Json& reply) { return at(reply, "error.message"); }

// Waits until it holds; false when patience is over.
inline bool eventually(const std::function<bool()>& holds) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace raw
