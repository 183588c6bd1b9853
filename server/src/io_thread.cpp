// Runs the event loop and the clock of one I/O thread.
#include "io_thread.hpp"

#include <pthread.h>

#include <algorithm>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <utility>

#include "session.hpp"

namespace tensord {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

// While memory is short, waiting connections look for their turn that often.
constexpr milliseconds kClosePeriod{5};

// Often enough that the shortest timeout is off by a quarter at most.
milliseconds period_for(const Options& options) {
  const milliseconds shortest = std::min(
      {options.read_timeout, options.idle_timeout, options.handler_timeout, options.write_timeout, milliseconds(1000)});
  return std::max(shortest / 4, milliseconds(2));
}

constexpr milliseconds kPauseWithoutMemory{10};

std::atomic<std::uint64_t> next_connection{1};

}  // namespace

IoThread::IoThread(Core& core)
    : core_(core),
      receive_(new char[kReceiveBytes]),
      send_(new char[kSendBytes]),
      guard_(context_.get_executor()),
      period_(period_for(core.options)) {}

IoThread::~IoThread() { finish(); }

void IoThread::begin() {
  thread_ = std::thread([this] { loop(); });
}

// What an event throws (no memory) ends that event, not the thread.
void IoThread::loop() noexcept {
  pthread_setname_np(pthread_self(), "tensord-io");
  bool lost = false;
  while (true) {
    try {
      if (lost) recover();
      lost = false;
      run();
      return;
    } catch (...) {
      if (!lost) core_.log.write(LogLevel::error, "io_failure", "an event was lost: no memory is left");
      if (lost) std::this_thread::sleep_for(kPauseWithoutMemory);
      lost = true;
    }
  }
}

// The context's own run(), but where small messages come and go it looks for the next one before it sleeps.
void IoThread::run() {
  while (context_.run_one() > 0) {
    context_.poll();
    while (std::exchange(expects_more_, false) && core_.options.spin.count() > 0 && spin_.worth_trying()) {
      spin_.note(look_for_more());
    }
  }
}

bool IoThread::look_for_more() {
  const auto until = Session::Clock::now() + core_.options.spin;
  do {
    if (context_.poll() > 0) return true;
    std::this_thread::yield();  // whoever is to send the next one may need this core
  } while (!context_.stopped() && Session::Clock::now() < until);
  return false;
}

void IoThread::recover() {
  if (check_) check_();
  if (!ticking_ && !sessions_.empty()) schedule_tick(period_);
}

void IoThread::keep_going(std::function<void()> check) {
  check_ = std::move(check);
  asio::post(context_, [this] { check_(); });
}

// Counted as open from here on, so that a drain waits for it.
void IoThread::adopt(asio::ip::tcp::socket socket) {
  auto open = std::make_shared<OpenCount>(core_);
  asio::dispatch(context_, [this, open = std::move(open), moved = std::move(socket)]() mutable {
    const std::uint64_t number = next_connection.fetch_add(1, std::memory_order_relaxed);
    add(std::make_shared<Session>(*this, core_, std::move(moved), std::move(open), number));
  });
}

void IoThread::add(const std::shared_ptr<Session>& session) {
  sessions_.push_back(session.get());
  session->index = sessions_.size();
  session->start();
  if (draining_) session->drain();
  if (!ticking_) schedule_tick(period_);
}

void IoThread::remove(Session& session) noexcept {
  if (session.index == 0) return;  // never added
  sessions_.back()->index = session.index;
  std::swap(sessions_[session.index - 1], sessions_.back());
  sessions_.pop_back();
}

// Backwards, as a session that ends meanwhile gives its place to the last one. What one throws (no memory) ends that
// one only.
template <class Visit>
void IoThread::for_each_session(const Visit& visit) {
  for (std::size_t i = sessions_.size(); i-- > 0;) {
    if (i >= sessions_.size()) continue;
    const std::shared_ptr<Session> session = sessions_[i]->weak_from_this().lock();
    if (session) session->guarded([&] { visit(*session); });
  }
}

void IoThread::drain() {
  asio::post(context_, [this] {
    draining_ = true;
    for_each_session([](Session& session) { session.drain(); });
  });
}

void IoThread::abort() {
  asio::post(context_, [this] {
    draining_ = true;
    for_each_session([](Session& session) { session.cut(); });
  });
}

void IoThread::finish() {
  if (!thread_.joinable()) return;
  abort();
  asio::post(context_, [this] {
    guard_.reset();
    timer_.cancel();
  });
  thread_.join();
}

void IoThread::watch_closely() {
  if (std::exchange(watched_closely_, true)) return;
  schedule_tick(kClosePeriod);
}

void IoThread::schedule_tick(milliseconds delay) {
  timer_.expires_after(delay);
  timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (!cancelled) tick();
  });
  ticking_ = true;
}

void IoThread::tick() {
  const auto now = Session::Clock::now();
  watched_closely_ = ticking_ = false;
  bool soon = false;
  for_each_session([&](Session& session) { soon = session.tick(now) || soon; });
  if (soon) {
    watch_closely();
  } else if (!sessions_.empty()) {
    schedule_tick(std::min(period_, milliseconds(1000)));
  }
}

}  // namespace tensord
