// Lists the counters as JSON for `info` and as a line for the log.
#include "counters.hpp"

#include <string_view>
#include <utility>

namespace tensord {
namespace {

using tensorwire::ErrorCode;
using tensorwire::Json;

template <class Visit>
void for_each(const Counters& counters, const Visit& visit) {
  visit("connections", counters.connections);
  visit("open", counters.open);
  visit("refused", counters.refused);
  visit("accept_failures", counters.accept_failures);
  visit("messages", counters.messages);
  visit("replies", counters.replies);
  visit("oneway", counters.oneway);
  visit("oneway_failed", counters.oneway_failed);
  visit("unanswered", counters.unanswered);
  visit("truncated", counters.truncated);
  visit("read_timeouts", counters.read_timeouts);
  visit("idle_closed", counters.idle_closed);
  visit("slow_readers", counters.slow_readers);
  visit("handler_timeouts", counters.handler_timeouts);
  visit("late_replies", counters.late_replies);
  visit("memory_waits", counters.memory_waits);
  visit("http", counters.http);
  visit("bytes_in", counters.bytes_in);
  visit("bytes_out", counters.bytes_out);
}

std::uint64_t read(const Counters::Count& counter) { return counter.load(std::memory_order_relaxed); }

std::string_view code_name(std::size_t index) { return tensorwire::to_string(static_cast<ErrorCode>(index)); }

}  // namespace

Json Counters::to_json() const {
  Json all = Json::object();
  for_each(*this, [&all](const char* name, const Count& counter) { all.set(name, read(counter)); });
  Json by_code = Json::object();
  for (std::size_t i = 0; i < errors.size(); ++i) by_code.set(std::string(code_name(i)), read(errors[i]));
  all.set("errors", std::move(by_code));
  return all;
}

std::string Counters::summary() const {
  std::string line;
  const auto append = [&line](std::string_view name, const Count& counter) {
    if (read(counter) == 0) return;
    if (!line.empty()) line += ", ";
    line.append(name).append(" ").append(std::to_string(read(counter)));
  };
  for_each(*this, append);
  for (std::size_t i = 0; i < errors.size(); ++i) append(code_name(i), errors[i]);
  return line.empty() ? "nothing happened" : line;
}

}  // namespace tensord
