// `tensorctl bench`: the same request over and over on many connections, and what that came to.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "failures.hpp"
#include "histogram.hpp"
#include "inputs.hpp"
#include "interrupt.hpp"
#include "render.hpp"
#include "settings.hpp"
#include "tensorclient/client.hpp"

namespace tensorctl {

using tensorclient::Call;
using tensorclient::Client;
using tensorclient::Failure;
using Clock = std::chrono::steady_clock;

namespace {

// The tensor that is sent: numbers that are neither all alike nor costly to print as a list.
tensorwire::Result<tensorwire::Tensor> make_tensor(const BenchSettings& settings) {
  const bool shaped = !settings.shape.empty();
  auto dtype = tensorwire::parse_dtype(shaped ? settings.dtype : "uint8");
  if (!dtype.ok()) return std::move(dtype).error();
  auto shape = shaped ? parse_shape(settings.shape)
                      : tensorwire::Result<tensorwire::Shape>(tensorwire::Shape{
                            static_cast<std::int64_t>(std::min(settings.bytes, tensorwire::kHardMaxFrame))});
  if (!shape.ok()) return std::move(shape).error();
  auto tensor = tensorwire::Tensor::allocate(dtype->dtype, *shape);
  if (!tensor.ok()) return tensor;
  // Small bytes are valid elements of every dtype: no NaN, no boolean but 0 and 1.
  std::uint32_t state = 1;
  for (std::byte& byte : tensor->bytes()) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<std::byte>(state >> 31);
  }
  return tensor;
}

struct Tally {
  Histogram latency;
  std::optional<Failure> failure;
};

// What all connections share.
struct Shared {
  Shared(tensorclient::Options given, const BenchSettings& all, const tensorwire::Tensor& sent)
      : options(std::move(given)), settings(all), tensor(sent) {}

  const tensorclient::Options options;
  const BenchSettings& settings;
  const tensorwire::Tensor& tensor;
  std::atomic<std::uint64_t> begun{0};
  std::atomic<std::uint64_t> done{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t running = 0;
};

// One connection with its own client, in a thread of its own.
class Worker {
 public:
  Worker(Shared& shared, Client client) : shared_(shared), client_(std::move(client)) {
    call_ = Call(shared.settings.handler);
    call_.tensor("", shared.tensor.view()).payload(shared.settings.encoding).encoding(shared.settings.encoding);
  }

  void run() {
    while (more()) {
      while (!client_.window_full() && claim()) {
        starts_.push_back(Clock::now());
        if (auto sent = client_.submit(call_); !sent.ok()) return give_up(std::move(sent).failure());
      }
      if (starts_.empty()) return;
      if (auto reply = client_.next(); !reply.ok()) return give_up(std::move(reply).failure());
      tally_.latency.add(static_cast<std::uint64_t>((Clock::now() - starts_.front()).count()));
      starts_.pop_front();
      shared_.done.fetch_add(1, std::memory_order_relaxed);
    }
  }
  [[nodiscard]] const Tally& tally() const { return tally_; }

 private:
  [[nodiscard]] bool more() const { return !shared_.stop.load(std::memory_order_relaxed); }
  bool claim() { return shared_.begun.fetch_add(1, std::memory_order_relaxed) < shared_.settings.requests; }
  void give_up(Failure failure) {
    tally_.failure = std::move(failure);
    shared_.stop = true;
  }

  Shared& shared_;
  Client client_;
  Call call_;
  std::deque<Clock::time_point> starts_;
  Tally tally_;
};

// A line that shows the rate while the run goes on, on a terminal only.
void watch(Shared& shared) {
  const bool show = !shared.settings.quiet && ::isatty(STDERR_FILENO) == 1;
  const auto begin = Clock::now();
  std::unique_lock lock(shared.mutex);
  while (!shared.changed.wait_for(lock, std::chrono::milliseconds(200), [&] { return shared.running == 0; })) {
    if (!show) continue;
    const auto done = static_cast<double>(shared.done.load());
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    const double bytes = done * static_cast<double>(shared.tensor.bytes().size());
    std::fprintf(stderr, "\r\033[K%.0f of %.0f requests  %.0f/s  %s/s", done,
                 static_cast<double>(shared.settings.requests), done / seconds, human_bytes(bytes / seconds).c_str());
  }
  if (show) std::fputs("\r\033[K", stderr);
}

struct Report {
  Histogram latency;
  double seconds = 0;
  std::uint64_t tensor_bytes = 0;

  [[nodiscard]] double rate() const { return static_cast<double>(latency.total()) / seconds; }
  [[nodiscard]] double bytes_per_second() const { return rate() * static_cast<double>(tensor_bytes); }
};

constexpr std::pair<const char*, double> kPercentiles[] = {
    {"p50", 50}, {"p90", 90}, {"p95", 95}, {"p99", 99}, {"p99.9", 99.9}};

double micros(double nanoseconds) { return nanoseconds / 1000; }

const char* encoding_name(const BenchSettings& settings) {
  return settings.encoding == tensorwire::TensorEncoding::list ? "list" : "base64";
}

void print_csv(const BenchSettings& settings, const tensorwire::Tensor& tensor, const Report& report) {
  std::printf(
      "handler,dtype,shape,bytes,encoding,connections,pipeline,requests,seconds,requests_per_second,bytes_per_second,"
      "mean_us,min_us,p50_us,p90_us,p95_us,p99_us,p99.9_us,max_us\n");
  std::printf("%s,%s,\"%s\",%llu,%s,%zu,%zu,%llu,%.6f,%.1f,%.0f,%.1f,%.1f", settings.handler.c_str(),
              std::string(tensorwire::to_string(tensor.dtype())).c_str(), tensor.shape().to_string().c_str(),
              static_cast<unsigned long long>(report.tensor_bytes), encoding_name(settings), settings.connections,
              settings.pipeline, static_cast<unsigned long long>(report.latency.total()), report.seconds, report.rate(),
              report.bytes_per_second(), micros(report.latency.mean()),
              micros(static_cast<double>(report.latency.min())));
  for (const auto& [name, percent] : kPercentiles) {
    std::printf(",%.1f", micros(static_cast<double>(report.latency.percentile(percent))));
  }
  std::printf(",%.1f\n", micros(static_cast<double>(report.latency.max())));
}

void print_json(const BenchSettings& settings, const tensorwire::Tensor& tensor, const Report& report) {
  using tensorwire::Json;
  Json latency = Json::object(
      {{"mean", micros(report.latency.mean())}, {"min", micros(static_cast<double>(report.latency.min()))}});
  for (const auto& [name, percent] : kPercentiles) {
    latency.set(name, micros(static_cast<double>(report.latency.percentile(percent))));
  }
  latency.set("max", micros(static_cast<double>(report.latency.max())));
  Json::Array shape;
  for (const std::int64_t dim : tensor.shape().dims()) shape.emplace_back(dim);
  const Json all = Json::object({{"handler", settings.handler},
                                 {"dtype", tensorwire::to_string(tensor.dtype())},
                                 {"shape", shape},
                                 {"bytes", report.tensor_bytes},
                                 {"encoding", encoding_name(settings)},
                                 {"connections", std::uint64_t{settings.connections}},
                                 {"pipeline", std::uint64_t{settings.pipeline}},
                                 {"requests", report.latency.total()},
                                 {"seconds", report.seconds},
                                 {"requests_per_second", report.rate()},
                                 {"bytes_per_second", report.bytes_per_second()},
                                 {"latency_us", latency}});
  std::printf("%s\n", all.dump().c_str());
}

std::string duration_text(std::uint64_t nanoseconds) { return human_seconds(static_cast<double>(nanoseconds) / 1e9); }

void print_text(const BenchSettings& settings, const tensorwire::Tensor& tensor, const Report& report) {
  std::printf("%s: %s %s (%s) as %s, %zu connection%s, pipeline %zu\n", settings.handler.c_str(),
              std::string(tensorwire::to_string(tensor.dtype())).c_str(), tensor.shape().to_string().c_str(),
              human_bytes(static_cast<double>(report.tensor_bytes)).c_str(), encoding_name(settings),
              settings.connections, settings.connections == 1 ? "" : "s", settings.pipeline);
  std::printf("  %llu requests in %s\n", static_cast<unsigned long long>(report.latency.total()),
              human_seconds(report.seconds).c_str());
  std::printf("  %.0f requests/s, %s/s of tensor data\n", report.rate(),
              human_bytes(report.bytes_per_second()).c_str());
  std::printf("  latency  mean %s  min %s", human_seconds(report.latency.mean() / 1e9).c_str(),
              duration_text(report.latency.min()).c_str());
  for (const auto& [name, percent] : kPercentiles) {
    std::printf("  %s %s", name, duration_text(report.latency.percentile(percent)).c_str());
  }
  std::printf("  max %s\n", duration_text(report.latency.max()).c_str());
}

void print(const BenchSettings& settings, const tensorwire::Tensor& tensor, const Report& report) {
  if (settings.csv) return print_csv(settings, tensor, report);
  if (settings.json) return print_json(settings, tensor, report);
  print_text(settings, tensor, report);
}

tensorclient::Outcome<std::vector<std::unique_ptr<Worker>>> connect_all(Shared& shared) {
  std::vector<std::unique_ptr<Worker>> workers;
  for (std::size_t i = 0; i < shared.settings.connections; ++i) {
    auto client = Client::connect(shared.options);
    if (!client.ok()) return std::move(client).failure();
    workers.push_back(std::make_unique<Worker>(shared, std::move(client).value()));
  }
  return workers;
}

Report run_all(Shared& shared, const std::vector<std::unique_ptr<Worker>>& workers) {
  Report report;
  report.tensor_bytes = shared.tensor.bytes().size();
  shared.running = workers.size();
  const auto begin = Clock::now();
  std::vector<std::thread> threads;
  threads.reserve(workers.size());
  for (const auto& worker : workers) {
    threads.emplace_back([&shared, &worker] {
      worker->run();
      const std::scoped_lock lock(shared.mutex);
      if (--shared.running == 0) shared.changed.notify_one();
    });
  }
  watch(shared);
  for (std::thread& thread : threads) thread.join();
  report.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  for (const auto& worker : workers) report.latency.merge(worker->tally().latency);
  return report;
}

// The worst word counts: an interruption, else the first connection's failure.
int verdict(const std::vector<std::unique_ptr<Worker>>& workers) {
  if (interrupted().load()) return fail(kInterrupted, "interrupted");
  for (const auto& worker : workers) {
    if (worker->tally().failure) return fail(*worker->tally().failure);
  }
  return kOk;
}

}  // namespace

int run_bench(const tensorclient::Options& options, const BenchSettings& settings) {
  const auto tensor = make_tensor(settings);
  if (!tensor.ok()) return fail(kUsage, tensor.error().message);
  tensorclient::Options own = options;
  own.window = settings.pipeline;
  Shared shared(std::move(own), settings, *tensor);
  const auto workers = connect_all(shared);
  if (!workers.ok()) return fail(workers.failure());
  const Report report = run_all(shared, *workers);
  if (report.latency.total() > 0) print(settings, *tensor, report);
  return verdict(*workers);
}

}  // namespace tensorctl
