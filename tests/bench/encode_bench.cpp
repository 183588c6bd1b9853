// Measures the sending machine: requests and replies rendered piece by piece into one hot buffer.
#include <benchmark/benchmark.h>

#include <utility>
#include <vector>

#include "messages.hpp"

namespace {

using tensorwire::Dialect;
using tensorwire::MessageWriter;
using tensorwire::TensorEncoding;

void drain(MessageWriter writer, std::vector<char>& hot) {
  while (writer.remaining_bytes() > 0) benchmark::DoNotOptimize(writer.read(hot));
}

void request(benchmark::State& state) {
  const std::vector<float> values = bench::make_values(static_cast<std::size_t>(state.range(0)));
  const tensorwire::OutgoingRequest outgoing = bench::make_request(values);
  std::vector<char> hot(bench::kPiece);
  for (auto _ : state) drain(bench::must(MessageWriter::request(outgoing, Dialect::framed)), hot);
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(request)->Arg(64)->Arg(4 << 10)->Arg(64 << 10)->Arg(1 << 20)->Arg(16 << 20)->Arg(64 << 20);

void request_as_list(benchmark::State& state) {
  const std::vector<float> values = bench::make_values(static_cast<std::size_t>(state.range(0)));
  tensorwire::OutgoingRequest outgoing = bench::make_request(values);
  outgoing.payload = TensorEncoding::list;
  std::vector<char> hot(bench::kPiece);
  for (auto _ : state) drain(bench::must(MessageWriter::request(outgoing, Dialect::framed)), hot);
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(request_as_list)->Arg(64)->Arg(1 << 20);

// Copying the tensor into the reply is part of it: a reply owns what it sends.
void echo_reply(benchmark::State& state) {
  const std::vector<float> values = bench::make_values(static_cast<std::size_t>(state.range(0)));
  std::vector<char> hot(bench::kPiece);
  for (auto _ : state) {
    drain(bench::must(MessageWriter::reply(bench::make_echo(values), TensorEncoding::base64, Dialect::framed)), hot);
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(echo_reply)->Arg(64)->Arg(1 << 20)->Arg(16 << 20);

void acknowledgement(benchmark::State& state) {
  std::vector<char> hot(bench::kPiece);
  for (auto _ : state) {
    tensorwire::Reply reply(tensorwire::Json::object({{"nbytes", std::uint64_t{64}}}));
    reply.id = std::uint64_t{10'000};
    drain(bench::must(MessageWriter::reply(std::move(reply), TensorEncoding::base64, Dialect::framed)), hot);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(acknowledgement);

}  // namespace
