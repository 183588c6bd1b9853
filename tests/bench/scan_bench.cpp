// Measures the receiving machine up to the end of a message: frame, scan and base64, fed as from a socket.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

#include "messages.hpp"
#include "tensorwire/reader.hpp"

namespace {

using tensorwire::MessageReader;

// The text of large messages is one piece that repeats, as in the one buffer that a connection is read through.
void scan(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  const std::string frame = bench::request_frame(bytes);
  MessageReader reader(tensorwire::Dialect::framed, {}, std::make_shared<tensorwire::BufferPool>());
  std::string hot(std::min(frame.size(), bench::kPiece), 'A');
  for (auto _ : state) {
    for (std::size_t at = 0; at < frame.size(); at += hot.size()) {
      const std::size_t size = std::min(hot.size(), frame.size() - at);
      const bool edge = at == 0 || at + size == frame.size();  // the base64 text between them is alike everywhere
      std::string_view input = edge ? std::string_view(frame).substr(at, size) : std::string_view(hot).substr(0, size);
      benchmark::DoNotOptimize(reader.feed(input));
    }
    benchmark::DoNotOptimize(reader.take_request().error.has_value());
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(scan)->Arg(64)->Arg(4 << 10)->Arg(64 << 10)->Arg(1 << 20)->Arg(16 << 20)->Arg(64 << 20);

// The feed alone, without decoding the rest: a message is begun and cut off again and again.
void scan_without_decoding(benchmark::State& state) {
  const std::string frame = bench::request_frame(static_cast<std::size_t>(state.range(0)));
  const auto pool = std::make_shared<tensorwire::BufferPool>();
  for (auto _ : state) {
    MessageReader reader(tensorwire::Dialect::framed, {}, pool);
    std::string_view input = frame;
    benchmark::DoNotOptimize(reader.feed(input));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(scan_without_decoding)->Arg(64)->Arg(4 << 10)->Arg(64 << 10);

}  // namespace
