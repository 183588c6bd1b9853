// The blocking client: when to connect, how often to try, and its calls on top of Exchange.
#include "tensorclient/client.hpp"

#include <algorithm>
#include <thread>
#include <utility>

#include "backoff.hpp"
#include "exchange.hpp"

namespace tensorclient {

namespace {

using std::chrono::milliseconds;

// Sleeps, waking for the cancel flag; false when the deadline or the flag ended it.
bool rest(milliseconds pause, const Deadline& deadline) {
  const auto until = Clock::now() + pause;
  while (Clock::now() < until) {
    if (deadline.passed() || deadline.cancelled()) return false;
    std::this_thread::sleep_for(std::min<Clock::duration>(until - Clock::now(), milliseconds(20)));
  }
  return true;
}

}  // namespace

struct Client::Impl {
  explicit Impl(Options given) : options(std::move(given)), exchange(options) {}

  [[nodiscard]] Deadline deadline_of(const Call& call) const {
    return Deadline::in(call.timeout().value_or(options.timeout), options.cancel);
  }
  [[nodiscard]] Outcome<void> ensure_connected(const Deadline& deadline);
  [[nodiscard]] Outcome<void> submit(const Call& call, const Deadline& deadline);

  Options options;
  Exchange exchange;
  bool was_connected = false;
};

Outcome<void> Client::Impl::ensure_connected(const Deadline& deadline) {
  if (exchange.usable()) return {};
  const int retries = was_connected || options.reconnect.retry_first ? options.reconnect.retries : 0;
  for (int retry = 0;; ++retry) {
    auto socket = Socket::connect(options.endpoint, deadline.or_in(options.connect_timeout));
    if (socket.ok()) {
      exchange.start(std::move(socket).value());
      was_connected = true;
      return {};
    }
    const bool again = retry < retries && socket.failure().kind == FailureKind::connect_failed;
    if (!again || !rest(backoff_pause(options.reconnect, retry), deadline)) return std::move(socket).failure();
  }
}

Outcome<void> Client::Impl::submit(const Call& call, const Deadline& deadline) {
  if (auto connected = ensure_connected(deadline); !connected.ok()) return connected;
  return exchange.submit(call, deadline);
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;

Outcome<Client> Client::make(Options options) {
  if (auto checked = options.check(); !checked.ok()) return std::move(checked).failure();
  return Client(std::make_unique<Impl>(std::move(options)));
}

Outcome<Client> Client::connect(Options options) {
  auto client = make(std::move(options));
  if (!client.ok()) return client;
  if (auto connected = client->connect(); !connected.ok()) return std::move(connected).failure();
  return client;
}

Outcome<Client> Client::connect(std::string_view endpoint) {
  auto parsed = Endpoint::parse(endpoint);
  if (!parsed.ok()) return std::move(parsed).failure();
  Options options;
  options.endpoint = std::move(parsed).value();
  return connect(std::move(options));
}

Outcome<void> Client::connect() {
  return impl_->ensure_connected(Deadline::in(impl_->options.timeout, impl_->options.cancel));
}

bool Client::connected() const noexcept { return impl_->exchange.open(); }

void Client::close() { impl_->exchange.lose(FailureKind::cancelled, "the connection was closed by this program"); }

Outcome<Reply> Client::call(const Call& call) {
  if (call.is_oneway()) return Failure::invalid("a oneway call has no reply to wait for: use send()");
  const Deadline deadline = impl_->deadline_of(call);
  if (auto sent = impl_->submit(call, deadline); !sent.ok()) return std::move(sent).failure();
  return impl_->exchange.take_back();
}

Outcome<void> Client::send(const Call& call) {
  if (!call.is_oneway()) return Failure::invalid("send() is for oneway calls: set oneway(), or use call()");
  const Deadline deadline = impl_->deadline_of(call);
  if (auto sent = impl_->submit(call, deadline); !sent.ok()) return sent;
  return impl_->exchange.flush(deadline);
}

Outcome<void> Client::submit(const Call& call) {
  if (call.is_oneway()) return Failure::invalid("a oneway call has no reply to take: use send()");
  if (window_full()) {
    return Failure::invalid("the window of " + std::to_string(impl_->options.window) +
                            " requests is full: take a reply with next() first, or set a larger Options::window");
  }
  return impl_->submit(call, impl_->deadline_of(call));
}

Outcome<Reply> Client::next() {
  if (in_flight() == 0) return Failure::invalid("no request is in flight: submit() one first");
  return impl_->exchange.take_front();
}

Outcome<void> Client::flush() {
  return impl_->exchange.flush(Deadline::in(impl_->options.timeout, impl_->options.cancel));
}

std::size_t Client::in_flight() const noexcept { return impl_->exchange.outstanding(); }

const Options& Client::options() const noexcept { return impl_->options; }

}  // namespace tensorclient
