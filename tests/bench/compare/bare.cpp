// The bound that JSON is held against: sockets that move as many bytes as tensord's frames have, and do nothing else.
//
// The receiver reads into one hot buffer and looks at nothing but where a frame ends; the sender sends one prepared,
// cache-sized piece again and again. A frame begins with its length (u32, big-endian, as on tensord's wire) and the
// length of the reply that is wanted (u32), so that one receiver serves acknowledgements and echoes alike.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "peer.hpp"
#include "tensorwire/writer.hpp"

namespace {

using compare::die_errno;
using compare::Settings;

constexpr std::size_t kHot = 256U << 10;
constexpr std::size_t kPiece = 256U << 10;
constexpr std::size_t kHeader = 8;

void set_no_delay(int fd) {
  const int on = 1;
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) die_errno("TCP_NODELAY");
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// What send() took; 0 when it would block and may not.
std::size_t send_some(int fd, std::span<const char> data, int flags) {
  while (true) {
    const ssize_t n = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL | flags);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    if (errno != EINTR) die_errno("send");
  }
}

// What recv() gave; 0 at the end of the stream.
std::size_t receive_some(int fd, std::span<char> into) {
  while (true) {
    const ssize_t n = ::recv(fd, into.data(), into.size(), 0);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno == ECONNRESET) return 0;
    if (errno != EINTR) die_errno("recv");
  }
}

// How long tensord's frames are for this tensor and what it is answered with.
struct Lengths {
  std::size_t request = 0;
  std::size_t reply = 0;
};

Lengths frame_lengths(const Settings& settings) {
  using namespace tensorwire;
  const std::vector<float> values(settings.bytes / sizeof(float), 0.5F);
  const Shape shape{static_cast<std::int64_t>(values.size())};
  const RequestId id = std::uint64_t{10'000};
  OutgoingRequest request;
  request.id = id;
  request.handler = settings.echo ? "echo" : "discard";
  request.tensors.push_back({.name = "", .view = TensorView(std::span<const float>(values), shape)});
  const auto asked = MessageWriter::request(request, Dialect::framed);
  Reply reply;
  reply.id = id;
  if (settings.echo) {
    auto tensor = Tensor::copy_of(std::span<const float>(values), shape);
    if (!tensor.ok()) compare::die(tensor.error().message);
    reply.tensors.emplace_back(std::move(tensor).value());
  } else {
    reply.result = Json::object({{"nbytes", std::uint64_t{settings.bytes}}});
  }
  const auto answered = MessageWriter::reply(std::move(reply), TensorEncoding::base64, Dialect::framed);
  if (!asked.ok() || !answered.ok()) compare::die("the tensor does not fit a frame");
  return {static_cast<std::size_t>(asked->total_bytes()), static_cast<std::size_t>(answered->total_bytes())};
}

// The receiving side of one connection.
class Receiver {
 public:
  explicit Receiver(int fd) : fd_(fd), hot_(kHot), piece_(kPiece, 'A') {}

  void run() {
    while (const std::size_t n = receive_some(fd_, hot_)) take({hot_.data(), n});
  }

 private:
  void take(std::string_view input) {
    while (!input.empty()) {
      if (missing_ == 0 && !take_header(input)) return;
      const std::size_t skipped = std::min(missing_, input.size());
      input.remove_prefix(skipped);
      missing_ -= skipped;
      if (missing_ == 0) answer();
    }
  }

  bool take_header(std::string_view& input) {
    const std::size_t taken = std::min(kHeader - have_, input.size());
    std::memcpy(header_.data() + have_, input.data(), taken);
    have_ += taken;
    input.remove_prefix(taken);
    if (have_ < kHeader) return false;
    have_ = 0;
    std::uint32_t words[2];
    std::memcpy(words, header_.data(), sizeof words);
    missing_ = ntohl(words[0]) - sizeof(std::uint32_t);
    reply_ = ntohl(words[1]);
    return true;
  }

  void answer() {
    for (std::size_t left = reply_; left > 0;) {
      left -= send_some(fd_, std::span(piece_).first(std::min(left, piece_.size())), 0);
    }
  }

  int fd_;
  std::vector<char> hot_;
  std::vector<char> piece_;
  std::array<char, kHeader> header_{};
  std::size_t have_ = 0;
  std::size_t missing_ = 0;
  std::size_t reply_ = 0;
};

[[noreturn]] void serve() {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  if (listener < 0 || ::bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      ::listen(listener, 8) != 0 || ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    die_errno("listen");
  }
  compare::announce(ntohs(address.sin_port));
  while (true) {
    const int fd = ::accept(listener, nullptr, nullptr);
    if (fd < 0) die_errno("accept");
    set_no_delay(fd);
    Receiver(fd).run();
    ::close(fd);
  }
}

// The driving side. All replies are equally long, so counting their bytes tells them apart.
class BareLink : public compare::Link {
 public:
  explicit BareLink(const Settings& settings)
      : lengths_(frame_lengths(settings)),
        duplex_(settings.echo && settings.window > 1),
        hot_(kHot),
        piece_(kPiece, 'A') {
    const std::uint32_t words[2] = {htonl(static_cast<std::uint32_t>(lengths_.request - sizeof(std::uint32_t))),
                                    htonl(static_cast<std::uint32_t>(lengths_.reply))};
    std::memcpy(piece_.data(), words, sizeof words);
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in address = loopback(settings.port);
    if (fd_ < 0 || ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      die_errno("connect");
    }
    set_no_delay(fd_);
  }
  ~BareLink() override { ::close(fd_); }

  void send() override {
    for (std::size_t sent = 0; sent < lengths_.request;) {
      // The header stands in the first piece only; what follows is any text.
      const std::size_t from = sent == 0 ? 0 : kHeader;
      const std::size_t size = std::min(lengths_.request - sent, piece_.size() - from);
      const std::size_t n = send_some(fd_, std::span(piece_).subspan(from, size), duplex_ ? MSG_DONTWAIT : 0);
      if (n > 0 && n < size && sent == 0 && n < kHeader) compare::die("the system cut a header");
      sent += n;
      if (n == 0) wait_both();
    }
  }

  void receive() override {
    while (received_ < lengths_.reply) take(receive_some(fd_, hot_));
    received_ -= lengths_.reply;
  }

 private:
  void take(std::size_t n) {
    if (n == 0) compare::die("the receiver closed the connection");
    received_ += n;
  }

  // Where replies are as long as requests, the receiver must be read from lest both sides wait to send.
  void wait_both() {
    pollfd entry{fd_, POLLIN | POLLOUT, 0};
    if (::poll(&entry, 1, -1) < 0 && errno != EINTR) die_errno("poll");
    if ((entry.revents & POLLIN) != 0) take(receive_some(fd_, hot_));
  }

  Lengths lengths_;
  bool duplex_;
  int fd_ = -1;
  std::vector<char> hot_;
  std::vector<char> piece_;
  std::size_t received_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const Settings settings = compare::parse(argc, argv);
  if (settings.serve) serve();
  BareLink link(settings);
  compare::drive(link, settings);
}
