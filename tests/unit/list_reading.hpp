// Reads and writes lists for the tests: fed in any pieces, with the dtype before or after the list.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "list.hpp"

namespace tensorwire::list_reading {

// All that a reader can tell of a text, comparable.
struct Outcome {
  bool syntax = false;
  std::string syntax_error;
  std::size_t consumed = 0;
  std::optional<ErrorCode> code;
  std::string message;
  std::string at;
  DType dtype = DType::float32;
  Shape shape;
  std::vector<std::byte> bytes;
  std::vector<std::string> strings;

  [[nodiscard]] bool ok() const { return !syntax && !code; }
  friend bool operator==(const Outcome&, const Outcome&) = default;
  // For the test's log.
  friend void PrintTo(const Outcome& outcome, std::ostream* out) {
    if (outcome.syntax) {
      *out << "syntax: " << outcome.syntax_error;
    } else if (outcome.code) {
      *out << to_string(*outcome.code) << " at " << outcome.at << ": " << outcome.message;
    } else {
      *out << to_string(outcome.dtype) << outcome.shape.to_string() << " of " << outcome.bytes.size() << " bytes, "
           << outcome.strings.size() << " strings";
    }
    *out << " (" << outcome.consumed << " consumed)";
  }
};

struct Options {
  std::optional<DType> dtype;
  std::optional<Shape> shape;
  bool dtype_first = true;
  Limits limits;
  // How long the next piece is, given where it begins.
  std::function<std::size_t(std::size_t)> piece = [](std::size_t) { return ~std::size_t{0}; };
};

// Objects are passed by as a scanner would; the tests' objects hold no braces in strings.
inline std::size_t skip_object(std::string_view text, std::size_t at) {
  int depth = 0;
  do {
    depth += text[at] == '{' ? 1 : text[at] == '}' ? -1 : 0;
    ++at;
  } while (depth != 0);
  return at;
}

inline Outcome outcome_of(Result<Tensor> tensor, std::size_t consumed) {
  Outcome outcome;
  outcome.consumed = consumed;
  if (!tensor.ok()) {
    outcome.code = tensor.error().code;
    outcome.message = tensor.error().message;
    outcome.at = tensor.error().at;
    return outcome;
  }
  outcome.dtype = tensor->dtype();
  outcome.shape = tensor->shape();
  outcome.bytes.assign(tensor->bytes().begin(), tensor->bytes().end());
  if (const auto strings = tensor->strings(); strings.ok()) outcome.strings.assign(strings->begin(), strings->end());
  return outcome;
}

// text is a value; a '}' behind it ends a scalar as it does in a message.
inline Outcome read(const std::string& value, const Options& options = {}) {
  const std::string text = value + "}";
  ListReader reader(options.dtype_first ? options.dtype : std::nullopt, options.limits, BufferPool::shared());
  std::size_t at = 0;
  while (true) {
    const std::string_view rest = std::string_view(text).substr(at);
    const auto step = reader.feed(rest.substr(0, options.piece(at)), rest.size());
    at += step.consumed;
    if (step.status == ListReader::Status::done) break;
    if (step.status == ListReader::Status::object) at = skip_object(text, at);
    if (step.status == ListReader::Status::syntax) {
      Outcome outcome;
      outcome.syntax = true;
      outcome.syntax_error = reader.syntax_error();
      outcome.consumed = at;
      return outcome;
    }
    if (at == text.size() && step.status == ListReader::Status::more) {
      ADD_FAILURE() << "the value never ended: " << value;
      return {};
    }
  }
  return outcome_of(reader.finish(options.dtype, options.shape, "/data"), at);
}

inline Outcome read_as(DType dtype, const std::string& value, std::optional<Shape> shape = std::nullopt) {
  Options options;
  options.dtype = dtype;
  options.shape = shape;
  return read(value, options);
}

template <class T>
std::vector<T> values(const Outcome& outcome) {
  EXPECT_EQ(outcome.dtype, dtype_of<T>);
  std::vector<T> elements(outcome.bytes.size() / sizeof(T));
  if (!elements.empty()) std::memcpy(elements.data(), outcome.bytes.data(), outcome.bytes.size());
  return elements;
}

inline std::string write(const TensorView& tensor) {
  Buffer out = BufferPool::shared()->empty_buffer();
  const auto written = append_list(out, tensor);
  EXPECT_TRUE(written.ok());
  return {reinterpret_cast<const char*>(out.data()), out.size()};
}

template <class T>
std::string write(const std::vector<T>& elements, const Shape& shape) {
  return write(TensorView(std::span<const T>(elements), shape));
}

}  // namespace tensorwire::list_reading
