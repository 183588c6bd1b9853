// Shapes with checked products, and the owning and borrowing tensors over them.
#include "tensorwire/tensor.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>
#include <utility>

namespace tensorwire {
namespace {

Error too_many_axes(std::size_t rank) {
  return {ErrorCode::bad_shape,
          "shape has " + std::to_string(rank) + " axes, at most " + std::to_string(kMaxRank) + " are possible",
          {}};
}

Error negative_axis(std::size_t axis, std::int64_t dim) {
  return {ErrorCode::bad_shape,
          "axis " + std::to_string(axis) + " of the shape is " + std::to_string(dim) +
              ": a dimension must be 0 or more and known",
          {}};
}

Error size_mismatch(DType dtype, const Shape& shape, std::uint64_t needed, std::size_t got) {
  return {ErrorCode::size_mismatch,
          "shape " + shape.to_string() + " of " + std::string(to_string(dtype)) + " needs " + std::to_string(needed) +
              " bytes, got " + std::to_string(got),
          {}};
}

Error count_mismatch(const Shape& shape, std::int64_t needed, std::uint64_t got) {
  return {ErrorCode::size_mismatch,
          "shape " + shape.to_string() + " needs " + std::to_string(needed) + " elements, got " + std::to_string(got),
          {}};
}

// The element count of a shape that data of that many bytes is said to have.
Result<std::int64_t> check_bytes(DType dtype, const Shape& shape, std::size_t got) {
  if (dtype == DType::string) {
    return Error{ErrorCode::bad_dtype, "a string tensor is made from strings, not from bytes", {}};
  }
  auto needed = shape.byte_count(dtype);
  if (!needed.ok()) return std::move(needed).error();
  if (*needed != got) return size_mismatch(dtype, shape, *needed, got);
  return shape.element_count();
}

Result<std::int64_t> check_count(const Shape& shape, std::size_t got) {
  auto needed = shape.element_count();
  if (needed.ok() && static_cast<std::uint64_t>(*needed) != got) return count_mismatch(shape, *needed, got);
  return needed;
}

Error no_memory_for_strings(std::uint64_t count) {
  return {ErrorCode::overloaded, "no memory for " + std::to_string(count) + " strings", {}};
}

template <class Word>
Word byteswap(Word word) noexcept {
  if constexpr (sizeof(Word) == 2) return __builtin_bswap16(word);
  if constexpr (sizeof(Word) == 4) return __builtin_bswap32(word);
  if constexpr (sizeof(Word) == 8) return __builtin_bswap64(word);
}

// memcpy in and out keeps it free of alignment and aliasing assumptions; compilers make vector shuffles of it.
template <class Word>
void swap_words(std::span<std::byte> bytes) noexcept {
  for (std::size_t at = 0; at + sizeof(Word) <= bytes.size(); at += sizeof(Word)) {
    Word word;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    word = byteswap(word);
    std::memcpy(bytes.data() + at, &word, sizeof word);
  }
}

}  // namespace

Shape::Shape(std::initializer_list<std::int64_t> dims)
    : Shape(from(std::span<const std::int64_t>(dims.begin(), dims.size())).value()) {}

Result<Shape> Shape::from(std::span<const std::int64_t> dims) {
  if (dims.size() > kMaxRank) return too_many_axes(dims.size());
  Shape shape;
  for (const std::int64_t dim : dims) {
    if (dim < 0) return negative_axis(shape.rank_, dim);
    shape.dims_[shape.rank_++] = dim;
  }
  return shape;
}

Result<std::int64_t> Shape::element_count() const {
  const auto all = dims();
  if (std::find(all.begin(), all.end(), 0) != all.end()) return std::int64_t{0};
  std::int64_t count = 1;
  for (const std::int64_t dim : all) {
    if (__builtin_mul_overflow(count, dim, &count)) {
      return Error{ErrorCode::bad_shape, "shape " + to_string() + " has more elements than 64 bits can count", {}};
    }
  }
  return count;
}

Result<std::uint64_t> Shape::byte_count(DType dtype) const {
  auto count = element_count();
  if (!count.ok()) return std::move(count).error();
  std::uint64_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<std::uint64_t>(*count), std::uint64_t{itemsize(dtype)}, &bytes)) {
    return Error{ErrorCode::bad_shape,
                 "shape " + to_string() + " of " + std::string(tensorwire::to_string(dtype)) +
                     " has more bytes than 64 bits can count",
                 {}};
  }
  return bytes;
}

std::string Shape::to_string() const {
  std::string text = "[";
  for (const std::int64_t dim : dims()) {
    if (text.size() > 1) text += ',';
    text += std::to_string(dim);
  }
  return text + ']';
}

bool operator==(const Shape& a, const Shape& b) noexcept {
  const auto left = a.dims();
  const auto right = b.dims();
  return std::equal(left.begin(), left.end(), right.begin(), right.end());
}

TensorView::TensorView(DType dtype, const Shape& shape, std::span<const std::byte> data)
    : dtype_(dtype), shape_(shape), bytes_(data), size_(check_bytes(dtype, shape, data.size()).value()) {}

TensorView::TensorView(const Shape& shape, std::span<const std::string> strings)
    : dtype_(DType::string), shape_(shape), strings_(strings), size_(check_count(shape, strings.size()).value()) {}

Result<std::span<const std::string>> TensorView::strings() const {
  if (dtype_ != DType::string) return wrong_dtype(DType::string);
  return strings_;
}

Error TensorView::wrong_dtype(DType wanted) const {
  return {ErrorCode::bad_dtype,
          "the tensor's dtype is " + std::string(tensorwire::to_string(dtype_)) + ", wanted was " +
              std::string(tensorwire::to_string(wanted)),
          {}};
}

Result<Tensor> Tensor::allocate(DType dtype, const Shape& shape, BufferPool& pool) {
  if (dtype == DType::string) {
    const auto count = shape.element_count();
    if (!count.ok()) return count.error();
    try {
      return of_strings(shape, std::vector<std::string>(static_cast<std::size_t>(*count)));
    } catch (const std::exception&) {  // bad_alloc or length_error
      return no_memory_for_strings(static_cast<std::uint64_t>(*count));
    }
  }
  const auto bytes = shape.byte_count(dtype);
  if (!bytes.ok()) return bytes.error();
  auto buffer = pool.allocate(static_cast<std::size_t>(*bytes));
  if (!buffer.ok()) return std::move(buffer).error();
  return adopt(dtype, shape, *std::move(buffer));
}

Result<Tensor> Tensor::adopt(DType dtype, const Shape& shape, Buffer buffer) {
  const auto count = check_bytes(dtype, shape, buffer.size());
  if (!count.ok()) return count.error();
  Tensor tensor;
  tensor.dtype_ = dtype;
  tensor.shape_ = shape;
  tensor.size_ = *count;
  tensor.buffer_ = std::move(buffer);
  return tensor;
}

Result<Tensor> Tensor::of_strings(const Shape& shape, std::vector<std::string> strings,
                                  std::shared_ptr<const void> charge) {
  const auto count = check_count(shape, strings.size());
  if (!count.ok()) return count.error();
  Tensor tensor;
  tensor.dtype_ = DType::string;
  tensor.shape_ = shape;
  tensor.size_ = *count;
  tensor.strings_ = std::move(strings);
  tensor.charge_ = std::move(charge);
  return tensor;
}

Result<Tensor> Tensor::copy_of(const TensorView& view, BufferPool& pool) {
  if (view.dtype() == DType::string) {
    const auto strings = view.strings().value();
    try {
      return of_strings(view.shape(), std::vector<std::string>(strings.begin(), strings.end()));
    } catch (const std::bad_alloc&) {
      return no_memory_for_strings(strings.size());
    }
  }
  auto tensor = allocate(view.dtype(), view.shape(), pool);
  if (tensor.ok() && !view.bytes().empty()) {
    std::memcpy(tensor->bytes().data(), view.bytes().data(), view.bytes().size());
  }
  return tensor;
}

Result<void> Tensor::reshape(const Shape& shape) {
  const auto count = check_count(shape, static_cast<std::size_t>(size_));
  if (!count.ok()) return count.error();
  shape_ = shape;
  return {};
}

TensorView Tensor::view() const {
  if (dtype_ == DType::string) return {shape_, strings_};
  return {dtype_, shape_, buffer_.bytes()};
}

void swap_bytes(std::span<std::byte> bytes, std::size_t unit) noexcept {
  switch (unit) {
    case 2:
      return swap_words<std::uint16_t>(bytes);
    case 4:
      return swap_words<std::uint32_t>(bytes);
    case 8:
      return swap_words<std::uint64_t>(bytes);
    default:
      return;
  }
}

}  // namespace tensorwire
