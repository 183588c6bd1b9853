// The daemon: reads its options, serves until a signal comes, drains and leaves.
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "cli.hpp"
#include "log.hpp"
#include "port_file.hpp"
#include "tensord/server.hpp"

namespace {

using tensord::LogLevel;
using tensord::LogRecord;

// Handled by sigtimedwait in the main thread; blocked in all others, which inherit this.
sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signals;
}

// Each connection takes a descriptor, and shells often start programs with 1024 only.
void raise_descriptor_limit(const tensord::DaemonOptions& options, const tensord::LogSink& log) {
  constexpr rlim_t kOwn = 64;  // for the log, files that are written, and the event loops
  const rlim_t wanted = options.server.max_connections + kOwn;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= wanted) return;
  log(LogRecord{LogLevel::warning, "few_descriptors",
                "the system allows " + std::to_string(limit.rlim_cur) + " descriptors (ulimit -n), fewer than " +
                    "--max-connections needs; connections beyond them will have to wait"});
}

int wait_for_signal(const sigset_t& signals) {
  int received = 0;
  while (sigwait(&signals, &received) != 0) {
  }
  return received;
}

bool signal_pending(const sigset_t& signals) {
  const timespec now{0, 0};
  return sigtimedwait(&signals, nullptr, &now) > 0;
}

// Drains; 0 when the server stopped in its time, 1 when a second signal did not wait for that.
int drain(tensord::Server& server, const sigset_t& signals, const tensord::LogSink& log) {
  server.stop();
  int exit_code = 0;
  while (!server.wait_for(std::chrono::milliseconds(20))) {
    if (exit_code == 0 && signal_pending(signals)) {
      log(LogRecord{LogLevel::warning, "stopping_now", "a second signal: connections are cut"});
      server.stop_now();
      exit_code = 1;
    }
  }
  return exit_code;
}

[[noreturn]] void leave(int exit_code) {
  std::cout.flush();
  std::fflush(nullptr);
  std::_Exit(exit_code);  // not waiting for handlers that never return
}

// False, and one sentence, when --default-handler names none.
bool knows_default_handler(const tensord::Server& server, const std::string& name) {
  const auto names = server.handler_names();
  if (std::ranges::find(names, name) != names.end()) return true;
  std::cerr << "tensord: --default-handler: there is no handler \"" << name << "\"; there are:";
  for (const auto& each : names) std::cerr << (each == names.front() ? " " : ", ") << each;
  std::cerr << std::endl;
  return false;
}

int serve(tensord::DaemonOptions options, const sigset_t& signals) {
  const tensord::LogSink log = tensord::stderr_sink(options.log_level, options.log_format);
  options.server.log = log;
  raise_descriptor_limit(options, log);
  tensord::Server server(options.server);
  tensord::add_builtin_handlers(server);
  if (!knows_default_handler(server, options.server.default_handler)) return 2;
  if (const auto started = server.start(); !started.ok()) {
    log(LogRecord{LogLevel::error, "start_failed", started.error().message});
    return 1;
  }
  if (const auto written = tensord::write_port_file(options.port_file, server.port()); !written.ok()) {
    log(LogRecord{LogLevel::error, "start_failed", written.error().message});
    return 1;
  }
  log(LogRecord{LogLevel::info, "listening",
                "tensord " + std::string(tensord::version()) + " listens on " + server.address()});
  const int received = wait_for_signal(signals);
  log(LogRecord{LogLevel::info, "draining", std::string(received == SIGTERM ? "SIGTERM" : "SIGINT") + ": draining"});
  const int exit_code = drain(server, signals, log);
  log(LogRecord{LogLevel::info, "stopped", "stopped: " + server.counters_line()});
  if (server.busy_handlers() > 0) {
    log(LogRecord{LogLevel::warning, "handlers_left",
                  std::to_string(server.busy_handlers()) + " handlers were still running"});
    leave(exit_code);
  }
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> args(argv + (argc > 0 ? 1 : 0), argv + argc);
    const auto lookup = [](const char* name) -> const char* {
      return std::getenv(name);
    };  // NOLINT(concurrency-mt-unsafe)
    tensord::CommandLine parsed = tensord::parse_command_line(args, lookup);
    if (const auto* const farewell = std::get_if<tensord::Farewell>(&parsed)) {
      (farewell->exit_code == 0 ? std::cout : std::cerr) << farewell->text << std::flush;
      return farewell->exit_code;
    }
    const sigset_t signals = block_signals();
    return serve(std::move(std::get<tensord::DaemonOptions>(parsed)), signals);
  } catch (const std::exception& failure) {
    std::cerr << "tensord: " << failure.what() << std::endl;
    return 1;
  }
}
