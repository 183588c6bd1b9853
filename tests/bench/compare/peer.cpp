// Parses the command line of the compared programs, runs the link and reports.
#include "peer.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string_view>
#include <vector>

namespace compare {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kUsage =
    "usage: PROGRAM serve [--echo]\n"
    "       PROGRAM drive --port N [--echo] [--stream] [--batch] [--bytes N] [--window N] [--connections N]\n"
    "                     [--seconds S | --messages N]";

template <class T>
bool read_number(std::string_view text, T& value) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc() && result.ptr == text.data() + text.size();
}

bool set_flag(Settings& settings, std::string_view name) {
  if (name == "--echo") return settings.echo = true;
  if (name == "--stream") return settings.stream = true;
  if (name == "--batch") return settings.batch = true;
  return false;
}

bool set_value(Settings& settings, std::string_view name, std::string_view value) {
  if (name == "--port") return read_number(value, settings.port);
  if (name == "--bytes") return read_number(value, settings.bytes) && settings.bytes > 0;
  if (name == "--window") return read_number(value, settings.window) && settings.window > 0;
  if (name == "--connections") return read_number(value, settings.connections) && settings.connections > 0;
  if (name == "--seconds") return read_number(value, settings.seconds) && settings.seconds > 0;
  if (name == "--messages") return read_number(value, settings.messages);
  return false;
}

struct Tally {
  std::uint64_t messages = 0;
  double seconds = 0;
  std::vector<std::int64_t> nanoseconds;  // one for each reply; a batch counts as one
};

// Keeps the window full until the time (or the number of messages) is over, then takes the remaining replies.
class Run {
 public:
  Run(Link& link, const Settings& settings, double seconds, std::uint64_t messages)
      : link_(link), settings_(settings), limit_(messages), begin_(Clock::now()) {
    end_ = begin_ + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }

  Tally go() {
    if (settings_.batch) {
      while (wanted(Clock::now())) batch();
    } else {
      slide();
    }
    tally_.seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
    return std::move(tally_);
  }

 private:
  [[nodiscard]] bool wanted(Clock::time_point now) const { return limit_ > 0 ? sent_ < limit_ : now < end_; }

  void batch() {
    const auto start = Clock::now();
    for (std::size_t i = 0; i < settings_.window; ++i) link_.send();
    for (std::size_t i = 0; i < settings_.window; ++i) link_.receive();
    sent_ += settings_.window;
    tally_.messages += settings_.window;
    tally_.nanoseconds.push_back((Clock::now() - start).count());
  }

  void slide() {
    auto now = Clock::now();
    do {
      while (starts_.size() < settings_.window && wanted(now)) {
        starts_.push_back(now);
        link_.send();
        ++sent_;
        if (settings_.window > 1) now = Clock::now();
      }
      link_.receive();
      now = Clock::now();
      tally_.nanoseconds.push_back((now - starts_.front()).count());
      starts_.pop_front();
      ++tally_.messages;
    } while (!starts_.empty() || wanted(now));
  }

  Link& link_;
  const Settings& settings_;
  std::uint64_t limit_;
  std::uint64_t sent_ = 0;
  Clock::time_point begin_;
  Clock::time_point end_;
  std::deque<Clock::time_point> starts_;
  Tally tally_;
};

double percentile_us(std::vector<std::int64_t>& values, double fraction) {
  const auto at = static_cast<std::size_t>(fraction * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return static_cast<double>(values[at]) / 1000;
}

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

}  // namespace

Settings parse(int argc, char** argv) {
  Settings settings;
  const std::string_view verb = argc > 1 ? argv[1] : "";
  settings.serve = verb == "serve";
  if (!settings.serve && verb != "drive") die(kUsage);
  for (int i = 2; i < argc; ++i) {
    if (set_flag(settings, argv[i])) continue;
    if (i + 1 == argc || !set_value(settings, argv[i], argv[i + 1])) die(kUsage);
    ++i;
  }
  if (!settings.serve && settings.port == 0) die(kUsage);
  return settings;
}

void drive(Link& link, const Settings& settings) {
  std::uint64_t warm = 0;
  if (settings.messages == 0) warm = Run(link, settings, settings.seconds / 4, 0).go().messages;
  Tally tally = Run(link, settings, settings.seconds, settings.messages).go();
  std::printf(
      "{\"messages\": %llu, \"seconds\": %.6f, \"all_messages\": %llu, \"p50_us\": %.2f, \"p99_us\": %.2f, "
      "\"cpu_seconds\": %.6f}\n",
      static_cast<unsigned long long>(tally.messages), tally.seconds,
      static_cast<unsigned long long>(warm + tally.messages), percentile_us(tally.nanoseconds, 0.50),
      percentile_us(tally.nanoseconds, 0.99), cpu_seconds());
}

void announce(std::uint16_t port) {
  std::printf("port %u\n", static_cast<unsigned>(port));
  std::fflush(stdout);
}

void die(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

void die_errno(const std::string& what) { die(what + ": " + std::strerror(errno)); }

}  // namespace compare
