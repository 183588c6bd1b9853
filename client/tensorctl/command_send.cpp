// `tensorctl send`: every file a request of its own, pipelined; or raw JSON for a bare receiver.
#include <chrono>
#include <cstdio>
#include <deque>
#include <string>

#include "failures.hpp"
#include "inputs.hpp"
#include "interrupt.hpp"
#include "progress.hpp"
#include "render.hpp"
#include "settings.hpp"
#include "tensorclient/client.hpp"
#include "tensorclient/raw.hpp"

namespace tensorctl {

using tensorclient::Call;
using tensorclient::Client;
using tensorclient::Failure;
using tensorclient::FailureKind;

namespace {

// Sends the files one after the other and keeps the account of what became of them.
class Sender {
 public:
  Sender(const tensorclient::Options& options, const SendSettings& settings, std::size_t files)
      : options_(options), settings_(settings), files_(files), progress_(files, files > 1 && !settings.quiet) {}

  int run(const std::vector<Input>& inputs);

 private:
  [[nodiscard]] bool connect();
  void send_one(const Input& input);
  void send_framed(const Input& input, Call call, std::uint64_t bytes);
  void send_raw(const Input& input, const Call& call, std::uint64_t bytes);
  void take_reply();
  void good(const Input& input, std::uint64_t bytes, const std::string& answer);
  void bad(const Input& input, Exit code, const std::string& sentence);
  void bad(const Input& input, const Failure& failure);
  void summarise() const;

  struct Sent {
    Input input;
    std::uint64_t bytes;
  };
  const tensorclient::Options& options_;
  const SendSettings& settings_;
  std::size_t files_;
  Progress progress_;
  std::optional<Client> client_;
  std::deque<Sent> sent_;
  std::size_t done_ = 0;
  std::size_t failed_ = 0;
  std::uint64_t bytes_ = 0;
  int code_ = kOk;
  bool stop_ = false;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

bool Sender::connect() {
  if (settings_.raw_json) return true;  // a connection for each file
  auto client = Client::connect(options_);
  if (!client.ok()) {
    code_ = fail(client.failure());
    return false;
  }
  client_.emplace(std::move(client).value());
  return true;
}

void Sender::good(const Input& input, std::uint64_t bytes, const std::string& answer) {
  ++done_;
  bytes_ += bytes;
  if (!settings_.quiet && files_ == 1) {
    std::fputs(answer.empty() ? "ok\n" : answer.c_str(), stdout);
  } else if (!settings_.quiet && !progress_.active()) {
    std::printf("%s: ok\n", input.path.c_str());
  }
  progress_.update(done_ + failed_, bytes_);
}

void Sender::bad(const Input& input, Exit code, const std::string& sentence) {
  ++failed_;
  progress_.clear();
  complain(files_ == 1 ? sentence : input.path + ": " + sentence);
  if (code_ == kOk || code == kInterrupted) code_ = code;
}

void Sender::bad(const Input& input, const Failure& failure) {
  bad(input, exit_code(failure), failure.kind == FailureKind::cancelled ? "interrupted" : failure.describe());
  // One refused file says nothing about the next; a lost connection or a lost patience does.
  stop_ = stop_ || (failure.kind != FailureKind::remote && failure.kind != FailureKind::invalid);
}

void Sender::send_one(const Input& input) {
  auto call = make_call(settings_.request);
  auto bytes = call.ok() ? load(input, settings_.input, *call) : tensorwire::Result<std::uint64_t>(0);
  if (!call.ok()) {
    stop_ = true;
    return bad(input, kUsage, call.error().message);
  }
  if (!bytes.ok()) return bad(input, kFile, bytes.error().message);
  if (settings_.raw_json) return send_raw(input, *call, *bytes);
  send_framed(input, std::move(call).value(), *bytes);
}

void Sender::send_raw(const Input& input, const Call& call, std::uint64_t bytes) {
  const auto answer = tensorclient::send_raw(options_, call);
  if (!answer.ok()) return bad(input, answer.failure());
  good(input, bytes, answer->text);
}

void Sender::send_framed(const Input& input, Call call, std::uint64_t bytes) {
  if (settings_.oneway) {
    const auto sent = client_->send(call.oneway());
    return sent.ok() ? good(input, bytes, "sent, no reply asked for\n") : bad(input, sent.failure());
  }
  while (client_->window_full() && !stop_) take_reply();
  if (stop_) return;
  if (auto sent = client_->submit(call); !sent.ok()) return bad(input, sent.failure());
  sent_.push_back({input, bytes});
}

void Sender::take_reply() {
  const Sent sent = std::move(sent_.front());
  sent_.pop_front();
  auto reply = client_->next();
  if (!reply.ok()) return bad(sent.input, reply.failure());
  good(sent.input, sent.bytes, files_ == 1 ? render_reply(*reply) : "");
}

void Sender::summarise() const {
  if (files_ < 2 || settings_.quiet) return;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  std::fprintf(stderr, "%zu of %zu files sent, %s in %s", done_, files_,
               human_bytes(static_cast<double>(bytes_)).c_str(), human_seconds(seconds).c_str());
  if (failed_ > 0) std::fprintf(stderr, ", %zu failed", failed_);
  std::fputs("\n", stderr);
}

int Sender::run(const std::vector<Input>& inputs) {
  if (!connect()) return code_;
  for (const Input& input : inputs) {
    if (stop_ || interrupted().load()) break;
    send_one(input);
  }
  // After a break each of the rest ends at once, with what is known of it.
  while (!sent_.empty()) take_reply();
  progress_.clear();
  if (interrupted().load() && code_ != kInterrupted) code_ = fail(kInterrupted, "interrupted");
  summarise();
  return code_;
}

}  // namespace

int run_send(const tensorclient::Options& options, const SendSettings& settings) {
  const auto inputs = expand(settings.input);
  if (!inputs.ok()) return fail(kFile, inputs.error().message);
  return Sender(options, settings, inputs->size()).run(*inputs);
}

}  // namespace tensorctl
