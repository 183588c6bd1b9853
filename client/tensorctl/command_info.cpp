// `tensorctl info` and `tensorctl ping`: what a server says of itself, and whether it is there.
#include <chrono>
#include <cstdio>
#include <thread>

#include "failures.hpp"
#include "interrupt.hpp"
#include "render.hpp"
#include "settings.hpp"
#include "tensorclient/client.hpp"

namespace tensorctl {

using tensorclient::Call;
using tensorclient::Client;

int run_info(const tensorclient::Options& options, const InfoSettings& settings) {
  auto client = Client::connect(options);
  if (!client.ok()) return fail(client.failure());
  const auto reply = client->call(Call("info"));
  if (!reply.ok()) return fail(reply.failure());
  const std::string text = settings.json ? reply->result.dump() + "\n" : render_json(reply->result, 0);
  std::fputs(text.c_str(), stdout);
  return kOk;
}

namespace {

// A server that has no handler named info has answered too.
bool is_alive(const tensorclient::Outcome<tensorclient::Reply>& reply) {
  return reply.ok() || (reply.failure().kind == tensorclient::FailureKind::remote &&
                        reply.failure().code == tensorwire::ErrorCode::unknown_handler);
}

std::string version_of(const tensorclient::Outcome<tensorclient::Reply>& reply) {
  if (!reply.ok()) return "";
  const tensorwire::Json* version = reply->result.find("version");
  const auto text = version == nullptr ? std::nullopt : version->as_string();
  return text ? " (tensord " + std::string(*text) + ")" : "";
}

int ping_once(Client& client, const std::string& endpoint) {
  const auto begin = std::chrono::steady_clock::now();
  const auto reply = client.call(Call("info"));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  if (!is_alive(reply)) return fail(reply.failure());
  std::printf("%s answered in %s%s\n", endpoint.c_str(), human_seconds(took.count()).c_str(),
              version_of(reply).c_str());
  std::fflush(stdout);
  return kOk;
}

}  // namespace

int run_ping(const tensorclient::Options& options, const PingSettings& settings) {
  auto client = Client::connect(options);
  if (!client.ok()) return fail(client.failure());
  for (int i = 0; i < settings.count; ++i) {
    if (i > 0) std::this_thread::sleep_for(std::chrono::milliseconds(500));  // ended early by a signal
    if (interrupted().load()) return fail(kInterrupted, "interrupted");
    if (const int code = ping_once(*client, options.endpoint.to_string()); code != kOk) return code;
  }
  return kOk;
}

}  // namespace tensorctl
