// Puts the parts of a server together, and takes them apart in the right order.
#include "tensord/server.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "core.hpp"
#include "io_thread.hpp"
#include "listener.hpp"

namespace tensord {
namespace {

using Clock = std::chrono::steady_clock;

Options checked(Options options) {
  if (const auto verdict = options.validate(); !verdict.ok()) throw std::invalid_argument(verdict.error().message);
  return options;
}

Json limits_json(const Options& options) {
  const tensorwire::Limits& limits = options.limits;
  return Json::object({{"max_frame", limits.max_frame},
                       {"max_skeleton", std::uint64_t{limits.max_skeleton}},
                       {"max_depth", std::uint64_t{limits.max_depth}},
                       {"max_tensors", std::uint64_t{limits.max_tensors}},
                       {"max_string", std::uint64_t{limits.max_string}},
                       {"max_pixels", limits.max_pixels},
                       {"max_connections", std::uint64_t{options.max_connections}},
                       {"in_flight", std::uint64_t{options.in_flight}},
                       {"memory", options.memory},
                       {"read_timeout_ms", std::int64_t{options.read_timeout.count()}},
                       {"idle_timeout_ms", std::int64_t{options.idle_timeout.count()}},
                       {"handler_timeout_ms", std::int64_t{options.handler_timeout.count()}},
                       {"write_timeout_ms", std::int64_t{options.write_timeout.count()}}});
}

Json dtypes_json() {
  Json names = Json::array();
  for (const tensorwire::DTypeInfo& dtype : tensorwire::all_dtypes()) names.push(dtype.name);
  return names;
}

}  // namespace

struct Server::Impl {
  enum class State : std::uint8_t { fresh, running, draining, cutting, stopped };

  explicit Impl(Options options) : core(checked(std::move(options))) {
    core.session_ended = [this] {
      { const std::scoped_lock lock(mutex); }  // whoever is about to wait waits now
      changed.notify_all();
    };
  }
  ~Impl() {
    if (core.handlers) core.handlers->stop();
    listener.reset();
    threads.clear();
  }

  Result<void> start();
  void begin_stop(State how);
  void finish(std::unique_lock<std::mutex>& lock);
  bool drained() const { return listener->closed() && core.counters.open.load() == 0; }

  Core core;
  std::vector<std::unique_ptr<IoThread>> threads;
  std::shared_ptr<Listener> listener;
  Clock::time_point started_at = Clock::now();
  Clock::time_point drain_until;

  mutable std::mutex mutex;
  std::condition_variable changed;
  State state = State::fresh;
  bool finishing = false;
  bool clean = true;
};

Result<void> Server::Impl::start() {
  const std::scoped_lock lock(mutex);
  if (state != State::fresh) throw std::logic_error("a server is started once");
  const Result<Endpoint> endpoint = parse_endpoint(core.options.listen);
  threads.clear();
  for (unsigned i = 0; i < core.options.io_threads; ++i) threads.push_back(std::make_unique<IoThread>(core));
  std::vector<IoThread*> all;
  for (const auto& thread : threads) all.push_back(thread.get());
  auto opened = std::make_shared<Listener>(core, std::move(all));
  if (Result<void> verdict = opened->open(*endpoint); !verdict.ok()) return verdict;
  listener = std::move(opened);
  core.handlers = std::make_unique<HandlerPool>(core.options.handler_threads);
  started_at = Clock::now();  // before there are threads that ask for it
  listener->start();
  for (const auto& thread : threads) thread->begin();
  state = State::running;
  return {};
}

void Server::Impl::begin_stop(State how) {
  const std::scoped_lock lock(mutex);
  if (state == State::fresh) state = State::stopped;
  if (state == State::stopped || state >= how) return;
  if (state == State::running) listener->stop();
  state = how;
  drain_until = how == State::cutting ? Clock::now() : Clock::now() + core.options.drain_timeout;
  for (const auto& thread : threads) how == State::cutting ? thread->abort() : thread->drain();
  changed.notify_all();
}

// Cuts what is left, joins the I/O threads and lets the handlers know.
void Server::Impl::finish(std::unique_lock<std::mutex>& lock) {
  if (std::exchange(finishing, true)) {
    changed.wait(lock, [this] { return state == State::stopped; });
    return;
  }
  clean = drained();
  lock.unlock();
  if (!clean) {
    core.log.write(LogLevel::warning, "drain_incomplete",
                   std::to_string(core.counters.open.load()) + " connections are cut before all was answered");
  }
  for (const auto& thread : threads) thread->finish();
  core.handlers->hurry();
  lock.lock();
  state = State::stopped;
  changed.notify_all();
}

Server::Server(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}

Server::~Server() {
  stop();
  wait();
}

Server& Server::handle(std::string name, Handler handler, HandlerOptions options) {
  const std::scoped_lock lock(impl_->mutex);
  if (impl_->state != Impl::State::fresh) throw std::logic_error("handlers are registered before the server starts");
  impl_->core.routes.insert_or_assign(std::move(name), Route{std::move(handler), std::move(options)});
  return *this;
}

Server& Server::handle(std::string name, AsyncHandler handler, HandlerOptions options) {
  const std::scoped_lock lock(impl_->mutex);
  if (impl_->state != Impl::State::fresh) throw std::logic_error("handlers are registered before the server starts");
  impl_->core.routes.insert_or_assign(std::move(name), Route{std::move(handler), std::move(options)});
  return *this;
}

std::vector<std::string> Server::handler_names() const {
  const std::scoped_lock lock(impl_->mutex);
  std::vector<std::string> names;
  for (const auto& [name, route] : impl_->core.routes) names.push_back(name);
  std::ranges::sort(names);
  return names;
}

Result<void> Server::start() { return impl_->start(); }

void Server::run() {
  if (const auto started = start(); !started.ok()) throw std::runtime_error(started.error().message);
  wait();
}

std::uint16_t Server::port() const { return impl_->listener ? impl_->listener->endpoint().port() : std::uint16_t{0}; }

std::string Server::address() const {
  if (!impl_->listener) return "";
  const auto endpoint = impl_->listener->endpoint();
  const std::string host = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(endpoint.port());
}

void Server::stop() { impl_->begin_stop(Impl::State::draining); }

void Server::stop_now() { impl_->begin_stop(Impl::State::cutting); }

bool Server::wait() {
  while (!wait_for(std::chrono::hours(1))) {
  }
  const std::scoped_lock lock(impl_->mutex);
  return impl_->clean;
}

bool Server::wait_for(std::chrono::milliseconds time) {
  Impl& impl = *impl_;
  std::unique_lock lock(impl.mutex);
  const auto until = Clock::now() + time;
  while (true) {
    if (impl.state == Impl::State::stopped) return true;
    if (impl.state == Impl::State::cutting ||
        (impl.state == Impl::State::draining && (impl.drained() || Clock::now() >= impl.drain_until))) {
      impl.finish(lock);
      return true;
    }
    if (Clock::now() >= until) return false;
    impl.changed.wait_until(lock, impl.state == Impl::State::draining ? std::min(until, impl.drain_until) : until);
  }
}

std::size_t Server::busy_handlers() const { return impl_->core.handlers ? impl_->core.handlers->busy() : 0; }

Json Server::counters() const { return impl_->core.counters.to_json(); }

std::string Server::counters_line() const { return impl_->core.counters.summary(); }

const Options& Server::options() const noexcept { return impl_->core.options; }

Json Server::info() const {
  const Core& core = impl_->core;
  Json handlers = Json::array();
  for (const auto& [name, route] : core.routes) {
    handlers.push(Json::object({{"name", name}, {"description", route.options.description}}));
  }
  const double uptime = std::chrono::duration<double>(Clock::now() - impl_->started_at).count();
  return Json::object({{"name", "tensord"},
                       {"version", version()},
                       {"uptime_s", uptime},
                       {"default_handler", core.options.default_handler},
                       {"handlers", std::move(handlers)},
                       {"dtypes", dtypes_json()},
                       {"limits", limits_json(core.options)},
                       {"memory_used", core.budget->used()},
                       {"counters", core.counters.to_json()}});
}

std::string_view version() noexcept { return TENSORD_VERSION; }

}  // namespace tensord
