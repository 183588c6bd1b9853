// The system calls behind Socket, and what their failures mean for the caller.
#include "socket.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>

namespace tensorclient {

namespace {

using std::chrono::milliseconds;

// How long a plain recv() waits before the deadline and the cancel flag are looked at.
constexpr milliseconds kReceiveTick{50};
// How long poll() may wait while a cancel flag is to be watched.
constexpr int kCancelTickMs = 100;

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Failure connect_failure(const Endpoint& endpoint, const std::string& reason) {
  Failure failure;
  failure.kind = FailureKind::connect_failed;
  failure.message = "cannot connect to " + endpoint.to_string() + ": " + reason;
  return failure;
}

std::string refused_hint(int error) {
  std::string text = error_text(error);
  if (error == ECONNREFUSED) text += " — is tensord running?";
  return text;
}

Outcome<AddressList> resolve(const Endpoint& endpoint) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(endpoint.port);
  const int code = getaddrinfo(endpoint.host.c_str(), port.c_str(), &hints, &found);
  if (code != 0) {
    return connect_failure(endpoint, code == EAI_SYSTEM ? error_text(errno) : std::string(gai_strerror(code)));
  }
  return AddressList(found, &freeaddrinfo);
}

// The verdict of a connect() that went on in the background.
int pending_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

void set_options(int fd) {
  const int on = 1;
  // A request is sent whole in as few calls as there are; waiting for more would only delay its end.
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const timeval tick{0, std::chrono::duration_cast<std::chrono::microseconds>(kReceiveTick).count()};
  (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof tick);
  // The buffers' sizes stay the kernel's: setting them would end its own tuning, which goes further.
}

// Makes the socket blocking again: sends say MSG_DONTWAIT themselves, and receive() wants to block.
void set_blocking(int fd) { (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK); }

bool is_would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

short events(bool want_read, bool want_write) {
  return static_cast<short>((want_read ? POLLIN : 0) | (want_write ? POLLOUT : 0));
}

IoResult received(ssize_t n, int error) {
  if (n > 0) return {Io::done, static_cast<std::size_t>(n), 0};
  if (n == 0) return {Io::closed, 0, 0};
  if (is_would_block(error) || error == EINTR) return {Io::would_block, 0, 0};
  return {Io::broken, 0, error};
}

}  // namespace

std::string error_text(int error) { return std::generic_category().message(error); }

Deadline Deadline::in(milliseconds span, const std::atomic<bool>* cancel) {
  Deadline deadline;
  deadline.cancel = cancel;
  if (span > milliseconds::zero()) deadline.at = Clock::now() + span;
  return deadline;
}

Deadline Deadline::or_in(milliseconds span) const {
  Deadline other = in(span, cancel);
  if (at && (!other.at || *at < *other.at)) other.at = at;
  return other;
}

int Deadline::poll_timeout() const noexcept {
  if (!at) return cancel != nullptr ? kCancelTickMs : -1;
  const auto rest = std::chrono::ceil<milliseconds>(*at - Clock::now()).count();
  const auto longest = std::int64_t{cancel != nullptr ? kCancelTickMs : 60'000};
  return static_cast<int>(std::clamp<std::int64_t>(rest, 0, longest));
}

Socket::Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void Socket::close() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void Socket::shutdown_send() noexcept { (void)::shutdown(fd_, SHUT_WR); }

Outcome<Socket> Socket::connect(const Endpoint& endpoint, const Deadline& deadline) {
  auto addresses = resolve(endpoint);
  if (!addresses.ok()) return std::move(addresses).failure();
  std::string reason = "the name has no address";
  for (const addrinfo* address = addresses->get(); address != nullptr; address = address->ai_next) {
    Socket socket;
    socket.fd_ = ::socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    int error = socket.open() ? 0 : errno;
    if (error == 0 && ::connect(socket.fd_, address->ai_addr, address->ai_addrlen) != 0) error = errno;
    if (error == EINPROGRESS || error == EINTR) {
      const Io io = socket.wait(false, true, deadline);
      if (io == Io::cancelled)
        return Failure{FailureKind::cancelled, "cancelled while connecting", Delivery::not_sent, {}, {}};
      if (io == Io::timed_out) return connect_failure(endpoint, "no answer within the time limit");
      error = pending_error(socket.fd_);
    }
    if (error == 0) {
      set_blocking(socket.fd_);
      set_options(socket.fd_);
      return socket;
    }
    reason = refused_hint(error);
  }
  return connect_failure(endpoint, reason);
}

IoResult Socket::try_send(std::span<const char> data) noexcept {
  const ssize_t n = ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n >= 0) return {Io::done, static_cast<std::size_t>(n), 0};
  if (is_would_block(errno) || errno == EINTR) return {Io::would_block, 0, 0};
  return {Io::broken, 0, errno};
}

IoResult Socket::try_receive(std::span<char> into) noexcept {
  const ssize_t n = ::recv(fd_, into.data(), into.size(), MSG_DONTWAIT);
  return received(n, errno);
}

IoResult Socket::receive(std::span<char> into, const Deadline& deadline) noexcept {
  // The first wait is recv()'s own, for SO_RCVTIMEO; only an answer that takes longer costs a poll() as well.
  if (!deadline.at || *deadline.at - Clock::now() > kReceiveTick) {
    const ssize_t n = ::recv(fd_, into.data(), into.size(), 0);
    const IoResult result = received(n, errno);
    if (result.io != Io::would_block) return result;
  }
  while (true) {
    const Io io = wait(true, false, deadline);
    if (io != Io::done) return {io, 0, 0};
    const IoResult result = try_receive(into);
    if (result.io != Io::would_block) return result;
  }
}

bool Socket::ready(bool want_read, bool want_write) const noexcept {
  pollfd entry{fd_, events(want_read, want_write), 0};
  return ::poll(&entry, 1, 0) > 0;
}

Io Socket::wait(bool want_read, bool want_write, const Deadline& deadline) noexcept {
  pollfd entry{fd_, events(want_read, want_write), 0};
  while (true) {
    if (deadline.cancelled()) return Io::cancelled;
    const int ready = ::poll(&entry, 1, deadline.poll_timeout());
    if (ready > 0) return Io::done;
    if (deadline.passed()) return Io::timed_out;
  }
}

}  // namespace tensorclient
