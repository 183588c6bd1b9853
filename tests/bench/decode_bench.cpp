// Measures whole small messages from frame to request, beside the plain oracle, by how many members and tensors they
// have.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <string_view>

#include "messages.hpp"
#include "tensorwire/reader.hpp"

namespace {

using tensorwire::Dialect;
using tensorwire::MessageReader;

constexpr const char* kTensor =
    R"("dtype":"float32","shape":[4,4],"tensor":)"
    R"("AAAAPwAAAD8AAAA/AAAAPwAAAD8AAAA/AAAAPwAAAD8AAAA/AAAAPwAAAD8AAAA/AAAAPwAAAD8AAAA/AAAAPw==")";

std::string frame_of(const std::string& json) {
  std::string frame;
  for (int shift = 24; shift >= 0; shift -= 8) frame.push_back(static_cast<char>(json.size() >> shift & 0xFF));
  return frame + json;
}

std::string one_tensor() { return std::string(R"({"id":7,"handler":"discard",)") + kTensor + "}"; }

std::string many_tensors(std::int64_t count) {
  std::string json = R"({"id":7,"handler":"discard","tensors":[)";
  for (std::int64_t i = 0; i < count; ++i) {
    json += std::string(i == 0 ? "" : ",") + R"({"name":"t)" + std::to_string(i) + R"(",)" + kTensor + "}";
  }
  return json + "]}";
}

std::string with_params(std::int64_t count) {
  std::string json = R"({"id":7,"handler":"discard","params":{)";
  for (std::int64_t i = 0; i < count; ++i) {
    json += (i == 0 ? "\"key" : ",\"key") + std::to_string(i) + "\":" + std::to_string(i);
  }
  return json + "}," + kTensor + "}";
}

void run(benchmark::State& state, const std::string& json) {
  const std::string frame = frame_of(json);
  MessageReader reader(Dialect::framed, {}, std::make_shared<tensorwire::BufferPool>());
  for (auto _ : state) {
    std::string_view input = frame;
    if (reader.feed(input) != MessageReader::Status::message) state.SkipWithError("no message");
    const auto incoming = reader.take_request();
    if (incoming.error) state.SkipWithError(incoming.error->message.c_str());
  }
  state.SetItemsProcessed(state.iterations());
}

void request(benchmark::State& state) { run(state, one_tensor()); }
BENCHMARK(request);
void request_with_tensors(benchmark::State& state) { run(state, many_tensors(state.range(0))); }
BENCHMARK(request_with_tensors)->Arg(1)->Arg(8)->Arg(64);
void request_with_params(benchmark::State& state) { run(state, with_params(state.range(0))); }
BENCHMARK(request_with_params)->Arg(1)->Arg(8)->Arg(64);

void request_by_oracle(benchmark::State& state) {
  const std::string json = one_tensor();
  const auto pool = std::make_shared<tensorwire::BufferPool>();
  for (auto _ : state) benchmark::DoNotOptimize(tensorwire::decode_request_oracle(json, {}, pool).error.has_value());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(request_by_oracle);

void run_reply(benchmark::State& state, const std::string& json) {
  const std::string frame = frame_of(json);
  MessageReader reader(Dialect::framed, {}, std::make_shared<tensorwire::BufferPool>());
  for (auto _ : state) {
    std::string_view input = frame;
    if (reader.feed(input) != MessageReader::Status::message) state.SkipWithError("no message");
    if (reader.take_reply().error) state.SkipWithError("no reply");
  }
  state.SetItemsProcessed(state.iterations());
}

void acknowledgement(benchmark::State& state) { run_reply(state, R"({"id":7,"status":"ok","result":{"nbytes":64}})"); }
BENCHMARK(acknowledgement);
void echoed_tensor(benchmark::State& state) {
  run_reply(state, std::string(R"({"id":7,"status":"ok","tensors":[{)") + kTensor + "}]}");
}
BENCHMARK(echoed_tensor);

}  // namespace
