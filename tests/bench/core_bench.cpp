// What the shared values cost: buffers fresh and warm, byte swapping, .npy reordering, JSON text and dtype names.
#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "tensorwire/json.hpp"
#include "tensorwire/npy.hpp"
#include "tensorwire/tensor.hpp"
#include "tensorwire/tfrecord.hpp"

namespace {

using tensorwire::BufferPool;
using tensorwire::DType;
using tensorwire::Json;
using tensorwire::Shape;

void set_bytes(benchmark::State& state, std::int64_t bytes) { state.SetBytesProcessed(state.iterations() * bytes); }

// Receives `size` bytes as a connection does, 192 KiB at a time.
void receive(BufferPool& pool, std::size_t size, const std::vector<std::byte>& piece) {
  auto buffer = pool.empty_buffer();
  for (std::size_t at = 0; at < size;) {
    const std::size_t length = std::min(piece.size(), size - at);
    if (!buffer.resize(at + length, size).ok()) return;
    std::memcpy(buffer.data() + at, piece.data(), length);
    at += length;
  }
  benchmark::DoNotOptimize(buffer.data());
}

void warm_buffer(benchmark::State& state) {
  const auto pool = std::make_shared<BufferPool>();
  const std::vector<std::byte> piece(192U << 10, std::byte{1});
  for (auto _ : state) receive(*pool, static_cast<std::size_t>(state.range(0)), piece);
  set_bytes(state, state.range(0));
}
BENCHMARK(warm_buffer)->Arg(64)->Arg(4 << 10)->Arg(64 << 10)->Arg(1 << 20)->Arg(16 << 20)->Arg(64 << 20);

void fresh_buffer(benchmark::State& state) {
  const auto pool = std::make_shared<BufferPool>(BufferPool::Options{0});
  const std::vector<std::byte> piece(192U << 10, std::byte{1});
  for (auto _ : state) receive(*pool, static_cast<std::size_t>(state.range(0)), piece);
  set_bytes(state, state.range(0));
}
BENCHMARK(fresh_buffer)->Arg(64 << 10)->Arg(1 << 20)->Arg(16 << 20)->Arg(64 << 20);

void swap_bytes(benchmark::State& state) {
  std::vector<std::byte> bytes(192U << 10);
  for (auto _ : state) {
    tensorwire::swap_bytes(bytes, static_cast<std::size_t>(state.range(0)));
    benchmark::DoNotOptimize(bytes.data());
  }
  set_bytes(state, static_cast<std::int64_t>(bytes.size()));
}
BENCHMARK(swap_bytes)->Arg(2)->Arg(4)->Arg(8);

void read_npy_fortran(benchmark::State& state) {
  const Shape shape{1024, 64, 64};
  std::string file = tensorwire::npy_header(DType::float32, shape).value();
  file.replace(file.find("False"), 5, "True ");
  file.append(shape.byte_count(DType::float32).value(), '\1');
  for (auto _ : state) benchmark::DoNotOptimize(tensorwire::read_npy(std::as_bytes(std::span(file))).ok());
  set_bytes(state, static_cast<std::int64_t>(file.size()));
}
BENCHMARK(read_npy_fortran);

std::string members(int count) {
  Json::Object all;
  for (int i = 0; i < count; ++i) all.emplace_back("key" + std::to_string(i * 7919), i);
  return Json(std::move(all)).dump();
}

void parse_json(benchmark::State& state) {
  const std::string text = members(static_cast<int>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(Json::parse(text).ok());
  set_bytes(state, static_cast<std::int64_t>(text.size()));
}
BENCHMARK(parse_json)->Arg(3)->Arg(100)->Arg(100'000)->Unit(benchmark::kMicrosecond);

void dump_json(benchmark::State& state) {
  const Json value = Json::parse(members(static_cast<int>(state.range(0)))).value();
  for (auto _ : state) benchmark::DoNotOptimize(value.dump());
}
BENCHMARK(dump_json)->Arg(3)->Arg(100);

void parse_dtype(benchmark::State& state) {
  const char* const names[] = {"float32", "torch.bfloat16", "<f4", "TYPE_FP32"};
  for (auto _ : state) benchmark::DoNotOptimize(tensorwire::parse_dtype(names[state.range(0)]).ok());
}
BENCHMARK(parse_dtype)->DenseRange(0, 3);

void crc32c(benchmark::State& state) {
  const std::vector<std::byte> bytes(1U << 20);
  for (auto _ : state) benchmark::DoNotOptimize(tensorwire::crc32c(bytes));
  set_bytes(state, static_cast<std::int64_t>(bytes.size()));
}
BENCHMARK(crc32c);

}  // namespace
