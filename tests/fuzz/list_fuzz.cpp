// Fuzzes list reading: any text, cut at places that the input chooses and with its dtype before or behind it, is judged
// like the whole, never reads beyond its pieces, and what it is read as writes and reads back the same.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "list.hpp"

namespace {

using namespace tensorwire;

struct Input {
  std::optional<DType> dtype;
  std::size_t piece;
  std::string_view text;
};

struct Outcome {
  std::string told;  // the error, or the tensor's dtype, shape and elements
  bool ok = false;
};

[[noreturn]] void report(const Input& input, const std::string& what, const std::string& one,
                         const std::string& other) {
  std::fprintf(stderr, "%s\n  one:   %s\n  other: %s\n  text:  %.*s\n", what.c_str(), one.c_str(), other.c_str(),
               static_cast<int>(input.text.size()), input.text.data());
  std::abort();
}

std::string text_of(const Tensor& tensor) {
  Buffer out = BufferPool::shared()->empty_buffer();
  if (!append_list(out, tensor.view()).ok()) std::abort();
  return {reinterpret_cast<const char*>(out.data()), out.size()};
}

// Feeds copies of exactly the piece's size, so that the address sanitizer sees every step beyond it. An object ends the
// reading: to pass it by is the scanner's part.
Outcome read(const Input& input, bool dtype_first, std::size_t piece) {
  Limits limits;
  limits.max_number_chars = 40;
  limits.max_string = 60;
  ListReader reader(dtype_first ? input.dtype : std::nullopt, limits, BufferPool::shared());
  std::size_t at = 0;
  auto status = ListReader::Status::more;
  while (status == ListReader::Status::more && at < input.text.size()) {
    const std::string_view rest = input.text.substr(at, piece);
    const auto copy = std::make_unique<char[]>(rest.size());
    rest.copy(copy.get(), rest.size());
    const auto step = reader.feed({copy.get(), rest.size()}, input.text.size() - at);
    at += step.consumed;
    status = step.status;
    if (status == ListReader::Status::more && step.consumed != rest.size()) std::abort();
  }
  const std::string place = " after " + std::to_string(at);
  if (status == ListReader::Status::syntax) return {"syntax: " + reader.syntax_error() + place, false};
  if (status != ListReader::Status::done) return {"no end" + place, false};
  auto tensor = reader.finish(input.dtype, std::nullopt, "/data");
  if (!tensor.ok()) return {tensor.error().message + place, false};
  return {std::string(to_string(tensor->dtype())) + tensor->shape().to_string() + text_of(*tensor), true};
}

void check_cuts(const Input& input, const Outcome& whole) {
  for (const bool dtype_first : {true, false}) {
    const Outcome cut = read(input, dtype_first, input.piece);
    if (cut.told != whole.told) report(input, "pieces of " + std::to_string(input.piece), cut.told, whole.told);
  }
}

// The written text, read with the same dtype and shape, is written alike.
void check_round_trip(const Input& input) {
  ListReader reader(input.dtype, Limits{}, BufferPool::shared());
  const std::string text = std::string(input.text) + " ";
  if (reader.feed(text, text.size()).status != ListReader::Status::done) return;
  const auto first = reader.finish(input.dtype, std::nullopt, "");
  if (!first.ok()) return;
  const std::string written = text_of(*first);
  ListReader again(first->dtype(), Limits{}, BufferPool::shared());
  const std::string behind = written + "}";
  if (again.feed(behind, behind.size()).status != ListReader::Status::done) report(input, "reading", written, "");
  const auto second = again.finish(first->dtype(), first->shape(), "");
  if (!second.ok()) report(input, "reading back", written, second.error().message);
  if (text_of(*second) != written) report(input, "reading back", written, text_of(*second));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  Input input;
  if (data[0] % (kDTypeCount + 1) < kDTypeCount) input.dtype = all_dtypes()[data[0] % (kDTypeCount + 1)].dtype;
  input.piece = 1 + data[1] % 200;
  input.text = {reinterpret_cast<const char*>(data + 2), size - 2};
  check_cuts(input, read(input, true, input.text.size() + 1));
  check_round_trip(input);
  return 0;
}
