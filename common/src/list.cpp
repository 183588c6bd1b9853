// ListReader: one `data` value to a tensor, straight into place when the dtype is known, from the kept text otherwise.
#include "list.hpp"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "list_elements.hpp"
#include "list_fault.hpp"
#include "list_scanner.hpp"

namespace tensorwire {
namespace {

// Where the kept text had an object, which no dtype takes.
constexpr std::string_view kObjectMark = "{}";

Result<void> append(Buffer& buffer, std::string_view text, std::uint64_t expected) {
  const std::size_t size = buffer.size();
  auto grown = buffer.resize(size + text.size(), size + std::max<std::size_t>(text.size(), expected));
  if (grown.ok() && !text.empty()) std::memcpy(buffer.data() + size, text.data(), text.size());
  return grown;
}

std::string_view text_of(const Buffer& buffer) noexcept {
  return {reinterpret_cast<const char*>(buffer.data()), buffer.size()};
}

std::string dims_text(const std::vector<std::int64_t>& dims) {
  std::string text = "[";
  for (const std::int64_t dim : dims) text.append(text.size() > 1 ? "," : "").append(std::to_string(dim));
  return text + "]";
}

// The tensor's shape as the nesting has it: for complex numbers without the pairs' own axis.
Result<Shape> nested_shape(const ElementSink& elements) {
  std::vector<std::int64_t> dims = elements.nesting().dims();
  if (info(elements.dtype()).kind == DTypeKind::complex && (dims.empty() || dims.back() != 0)) {
    if (dims.empty() || dims.back() != 2) {
      return Error{ErrorCode::bad_shape,
                   "data of " + std::string(to_string(elements.dtype())) + " needs [re, im] as its last axis, got " +
                       (dims.empty() ? "a single number" : "shape " + dims_text(dims)),
                   {}};
    }
    dims.pop_back();
  }
  return Shape::from(dims);
}

// A nested list agrees with the shape when it has the same axes. One without elements cannot show the axes behind the
// empty one. A flat list (of numbers, or of complex pairs) or a scalar takes any shape.
bool agrees(const Shape& nested, const Shape& shape) {
  if (nested.rank() <= 1 || nested == shape) return true;
  const std::size_t rank = nested.rank();
  if (nested[rank - 1] != 0 || shape.rank() < rank) return false;
  return std::equal(nested.dims().begin(), nested.dims().end(), shape.dims().begin());
}

Error count_mismatch(const ElementSink& elements, const Shape& shape, std::uint64_t needed, bool complex) {
  return {ErrorCode::size_mismatch,
          "data has " + std::to_string(elements.count()) + (elements.count() == 1 ? " value" : " values") + ", shape " +
              shape.to_string() + " needs " + std::to_string(needed) +
              (complex ? " (a real and an imaginary part each)" : ""),
          {}};
}

// What the message's shape and the nesting come to together.
Result<Shape> agree_on_shape(const ElementSink& elements, const std::optional<Shape>& given) {
  if (!given) return nested_shape(elements);
  auto size = given->element_count();
  if (!size.ok()) return std::move(size).error();
  const bool complex = info(elements.dtype()).kind == DTypeKind::complex;
  const auto needed = static_cast<std::uint64_t>(*size);
  if (elements.count() % (complex ? 2 : 1) != 0 || elements.count() / (complex ? 2 : 1) != needed) {
    return count_mismatch(elements, *given, complex ? needed * 2 : needed, complex);
  }
  if (elements.nesting().rank() <= 1) return *given;
  auto nested = nested_shape(elements);
  if (!nested.ok()) return nested;
  if (agrees(*nested, *given)) return *given;
  return Error{ErrorCode::bad_shape,
               "data is nested as " + nested->to_string() + ", but shape says " + given->to_string() +
                   "; send it flat to have it reshaped",
               {}};
}

}  // namespace

struct ListReader::Impl {
  Impl(std::optional<DType> dtype, const Limits& the_limits, std::shared_ptr<BufferPool> the_pool)
      : limits(the_limits), pool(std::move(the_pool)), scanner(the_limits.max_number_chars, string_limit(dtype)) {
    if (dtype) {
      elements.emplace(*dtype, false, limits, pool);
    } else {
      text = pool->empty_buffer();
    }
  }

  // Labels have their own limit, and where the dtype is unknown any string may be one.
  [[nodiscard]] std::size_t string_limit(std::optional<DType> dtype) const noexcept {
    return dtype == DType::string ? limits.max_string : limits.max_number_chars;
  }

  Step feed(std::string_view piece, std::uint64_t expected) {
    if (!elements) return feed_text(piece, expected);
    const std::optional<std::uint64_t> after =
        expected == 0 ? std::nullopt : std::optional(expected - std::min<std::uint64_t>(expected, piece.size()));
    elements->begin_piece(piece, consumed, after);
    const Step step = scanner.feed(piece, *elements);
    consumed += step.consumed;
    return step;
  }

  // Checked and kept; the text of a list that has failed already is only checked.
  Step feed_text(std::string_view piece, std::uint64_t expected) {
    const Step step = scanner.feed(piece, inference);
    if (no_memory) return step;
    auto kept = append(text, piece.substr(0, step.consumed), expected);
    if (kept.ok() && step.status == Status::object) kept = append(text, kObjectMark, expected);
    if (!kept.ok()) {
      no_memory = std::move(kept).error();
      text.reset();
    }
    return step;
  }

  // The second walk over a text that is known to be JSON.
  void read_text(DType dtype, bool inferred) {
    elements.emplace(dtype, inferred, limits, pool);
    ListScanner again(limits.max_number_chars, string_limit(dtype));
    std::string_view rest = text_of(text);
    std::uint64_t before = 0;
    Step step{};
    do {
      elements->begin_piece(rest, before, std::uint64_t{0});
      step = again.feed(rest, *elements);
      before += step.consumed;
      rest.remove_prefix(step.consumed + (step.status == Status::object ? kObjectMark.size() : 0));
    } while (step.status == Status::object);
    if (step.status == Status::more) (void)again.feed(" ", *elements);  // a single number ends with what follows it
    text.reset();
  }

  const Limits limits;
  std::shared_ptr<BufferPool> pool;
  ListScanner scanner;
  std::optional<ElementSink> elements;  // when the dtype is known
  std::uint64_t consumed = 0;
  InferenceSink inference;  // otherwise, and
  Buffer text;              // what was fed
  std::optional<Error> no_memory;
};

ListReader::ListReader(std::optional<DType> dtype, const Limits& limits, std::shared_ptr<BufferPool> pool)
    : impl_(std::make_unique<Impl>(dtype, limits, std::move(pool))) {}
ListReader::~ListReader() = default;
ListReader::ListReader(ListReader&&) noexcept = default;
ListReader& ListReader::operator=(ListReader&&) noexcept = default;

ListReader::Step ListReader::feed(std::string_view text, std::uint64_t expected) { return impl_->feed(text, expected); }

const std::string& ListReader::syntax_error() const noexcept { return impl_->scanner.syntax_error(); }

Result<Tensor> ListReader::finish(std::optional<DType> dtype, const std::optional<Shape>& shape,
                                  const std::string& at) {
  Impl& self = *impl_;
  if (self.no_memory) return Error{self.no_memory->code, self.no_memory->message, at};
  if (!self.elements) self.read_text(dtype.value_or(self.inference.dtype()), !dtype.has_value());
  ElementSink& elements = *self.elements;
  if (elements.fault()) return describe(*elements.fault(), elements.dtype(), elements.inferred(), at);
  auto agreed = agree_on_shape(elements, shape);
  auto tensor = agreed.ok() ? elements.take(*agreed) : Result<Tensor>(std::move(agreed).error());
  if (!tensor.ok() && tensor.error().at.empty()) tensor.error().at = at;
  return tensor;
}

}  // namespace tensorwire
