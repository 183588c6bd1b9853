// The messages that the benchmarks of the machines work on: requests and replies with one float32 tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tensorwire/writer.hpp"

namespace bench {

// What the sockets' buffers hold at a time, about.
inline constexpr std::size_t kPiece = 192U << 10;

template <class T>
T must(tensorwire::Result<T> result) {
  if (!result.ok()) std::abort();
  return *std::move(result);
}

inline std::vector<float> make_values(std::size_t bytes) { return std::vector<float>(bytes / sizeof(float), 0.5F); }

// Borrows the values.
inline tensorwire::OutgoingRequest make_request(const std::vector<float>& values) {
  tensorwire::OutgoingRequest request;
  request.id = std::uint64_t{10'000};
  request.handler = "discard";
  const tensorwire::Shape shape{static_cast<std::int64_t>(values.size())};
  request.tensors.push_back({.name = "", .view = tensorwire::TensorView(std::span<const float>(values), shape)});
  return request;
}

inline tensorwire::Reply make_echo(const std::vector<float>& values) {
  const tensorwire::Shape shape{static_cast<std::int64_t>(values.size())};
  tensorwire::Reply reply;
  reply.tensors.emplace_back(must(tensorwire::Tensor::copy_of(std::span<const float>(values), shape)));
  reply.id = std::uint64_t{10'000};
  return reply;
}

// Gives out all of a message, a piece at a time.
inline std::string rendered(tensorwire::MessageWriter writer) {
  std::string text(static_cast<std::size_t>(writer.total_bytes()) + 64, '\0');  // the writer wants room for 64 bytes
  std::size_t filled = 0;
  while (writer.remaining_bytes() > 0) filled += writer.read(std::span(text).subspan(filled));
  text.resize(filled);
  return text;
}

// One framed request to `discard`.
inline std::string request_frame(std::size_t bytes) {
  const std::vector<float> values = make_values(bytes);
  return rendered(must(tensorwire::MessageWriter::request(make_request(values), tensorwire::Dialect::framed)));
}

}  // namespace bench
