// Measures the base64 codec per kernel beside memcpy; bytes per second are those of the binary side.
#include <benchmark/benchmark.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "tensorwire/base64.hpp"

namespace tensorwire {
namespace {

std::vector<std::byte> random_bytes(std::size_t length) {
  std::mt19937_64 random(1);
  std::vector<std::byte> bytes(length);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

std::string encode(const std::vector<std::byte>& bytes) {
  std::string text(encoded_size(bytes.size()), '\0');
  Base64Encoder encoder;
  const std::size_t length = encoder.feed(bytes, text.data());
  encoder.finish(text.data() + length);
  return text;
}

void count_bytes(benchmark::State& state) { state.SetBytesProcessed(state.iterations() * state.range(0)); }

void decode(benchmark::State& state, Base64Kernel kernel) {
  set_base64_kernel(kernel);
  const std::string text = encode(random_bytes(static_cast<std::size_t>(state.range(0))));
  std::vector<std::byte> out(max_decoded_size(text.size()));
  for (auto _ : state) {
    Base64Decoder decoder;
    decoder.feed(text, out.data());
    if (decoder.finish() != Base64Verdict::ok) state.SkipWithError("refused");
    benchmark::ClobberMemory();
  }
  count_bytes(state);
}

void encode(benchmark::State& state, Base64Kernel kernel) {
  set_base64_kernel(kernel);
  const std::vector<std::byte> bytes = random_bytes(static_cast<std::size_t>(state.range(0)));
  std::string text(encoded_size(bytes.size()), '\0');
  for (auto _ : state) {
    Base64Encoder encoder;
    const std::size_t length = encoder.feed(bytes, text.data());
    encoder.finish(text.data() + length);
    benchmark::ClobberMemory();
  }
  count_bytes(state);
}

void copy(benchmark::State& state) {
  const std::vector<std::byte> bytes = random_bytes(static_cast<std::size_t>(state.range(0)));
  std::vector<std::byte> out(bytes.size());
  for (auto _ : state) {
    std::memcpy(out.data(), bytes.data(), bytes.size());
    benchmark::ClobberMemory();
  }
  count_bytes(state);
}

void add_sizes(benchmark::internal::Benchmark* benchmark) {
  for (const std::int64_t size : {48, 1024, 16 << 10, 192 << 10, 16 << 20}) benchmark->Arg(size);
}

void register_all() {
  add_sizes(benchmark::RegisterBenchmark("memcpy", copy));
  for (const Base64Kernel kernel : supported_base64_kernels()) {
    const std::string name(to_string(kernel));
    add_sizes(benchmark::RegisterBenchmark(("decode/" + name).c_str(), [=](auto& state) { decode(state, kernel); }));
    add_sizes(benchmark::RegisterBenchmark(("encode/" + name).c_str(), [=](auto& state) { encode(state, kernel); }));
  }
}

}  // namespace
}  // namespace tensorwire

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  tensorwire::register_all();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
