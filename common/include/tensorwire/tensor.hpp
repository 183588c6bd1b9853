// Shapes, the owning tensor and the borrowing view, with typed access that refuses the wrong dtype and says both.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tensorwire/buffer.hpp"
#include "tensorwire/dtype.hpp"
#include "tensorwire/error.hpp"
#include "tensorwire/limits.hpp"

namespace tensorwire {

// Up to kMaxRank axes, each >= 0, held inline. Rank 0 is a scalar (one element).
class Shape {
 public:
  Shape() noexcept {}  // NOLINT(modernize-use-equals-default): leaves dims_ as it is
  Shape(const Shape& other) noexcept { *this = other; }
  Shape& operator=(const Shape& other) noexcept {
    rank_ = other.rank_;
    for (std::size_t axis = 0; axis < rank_; ++axis) dims_[axis] = other.dims_[axis];
    return *this;
  }
  ~Shape() = default;
  // Trusted callers only: throws ErrorException (bad_shape) on more than kMaxRank axes or a negative one.
  Shape(std::initializer_list<std::int64_t> dims);
  // For what came off the wire.
  [[nodiscard]] static Result<Shape> from(std::span<const std::int64_t> dims);

  [[nodiscard]] std::size_t rank() const noexcept { return rank_; }
  [[nodiscard]] std::int64_t operator[](std::size_t axis) const noexcept { return dims_[axis]; }
  [[nodiscard]] std::span<const std::int64_t> dims() const noexcept { return {dims_.data(), rank_}; }
  // Product of the axes (1 at rank 0); `bad_shape` when it exceeds int64. A zero axis makes it 0 whatever the others
  // are.
  [[nodiscard]] Result<std::int64_t> element_count() const;
  // element_count() × itemsize, checked likewise.
  [[nodiscard]] Result<std::uint64_t> byte_count(DType dtype) const;
  // "[2,3]"
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const Shape& a, const Shape& b) noexcept;

 private:
  // Only the first rank_ are set and copied: shapes go through many hands, and most have few axes.
  std::array<std::int64_t, kMaxRank> dims_;
  std::uint8_t rank_ = 0;
};

// Borrows a tensor's elements: valid while what it was made from lives unchanged.
class TensorView {
 public:
  TensorView() noexcept = default;
  // data must hold exactly shape × itemsize(dtype) bytes in C order and host (little-endian) order; throws
  // ErrorException (size_mismatch) otherwise.
  TensorView(DType dtype, const Shape& shape, std::span<const std::byte> data);
  // A `string` tensor.
  TensorView(const Shape& shape, std::span<const std::string> strings);
  template <class T>
  TensorView(std::span<const T> values, const Shape& shape) : TensorView(dtype_of<T>, shape, std::as_bytes(values)) {}

  [[nodiscard]] DType dtype() const noexcept { return dtype_; }
  [[nodiscard]] const Shape& shape() const noexcept { return shape_; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::int64_t size() const noexcept { return size_; }  // elements
  // The elements in C order; `bad_dtype`, naming both dtypes, when T is another type than the tensor's.
  template <class T>
  [[nodiscard]] Result<std::span<const T>> as() const {
    if (dtype_ != dtype_of<T>) return wrong_dtype(dtype_of<T>);
    return std::span<const T>(reinterpret_cast<const T*>(bytes_.data()), static_cast<std::size_t>(size_));
  }
  [[nodiscard]] Result<std::span<const std::string>> strings() const;

 private:
  [[nodiscard]] Error wrong_dtype(DType wanted) const;
  DType dtype_ = DType::float32;
  Shape shape_;
  std::span<const std::byte> bytes_;
  std::span<const std::string> strings_;
  std::int64_t size_ = 1;
};

// Owns its elements: C order, host byte order, 64-byte aligned, in a Buffer (or, for dtype string, in a vector).
// Move-only.
class Tensor {
 public:
  Tensor() = default;
  // Uninitialised elements from the pool. `bad_shape`/`overloaded` when they cannot be had; dtype string gives empty
  // strings.
  [[nodiscard]] static Result<Tensor> allocate(DType dtype, const Shape& shape,
                                               BufferPool& pool = *BufferPool::shared());
  // Takes over a buffer of exactly shape × itemsize bytes; `size_mismatch` otherwise.
  [[nodiscard]] static Result<Tensor> adopt(DType dtype, const Shape& shape, Buffer buffer);
  // charge: whatever accounts for the strings' memory; it is held as long as the tensor.
  [[nodiscard]] static Result<Tensor> of_strings(const Shape& shape, std::vector<std::string> strings,
                                                 std::shared_ptr<const void> charge = nullptr);
  // Copies a view.
  [[nodiscard]] static Result<Tensor> copy_of(const TensorView& view, BufferPool& pool = *BufferPool::shared());
  template <class T>
  [[nodiscard]] static Result<Tensor> copy_of(std::span<const T> values, const Shape& shape) {
    return copy_of(TensorView(values, shape));
  }

  [[nodiscard]] DType dtype() const noexcept { return dtype_; }
  [[nodiscard]] const Shape& shape() const noexcept { return shape_; }
  [[nodiscard]] std::int64_t size() const noexcept { return size_; }  // elements
  [[nodiscard]] std::span<std::byte> bytes() noexcept { return buffer_.bytes(); }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return buffer_.bytes(); }
  // `size_mismatch` unless the new shape has as many elements.
  [[nodiscard]] Result<void> reshape(const Shape& shape);

  [[nodiscard]] TensorView view() const;
  template <class T>
  [[nodiscard]] Result<std::span<const T>> as() const {
    return view().template as<T>();
  }
  template <class T>
  [[nodiscard]] Result<std::span<T>> as_mutable() {
    auto values = view().template as<T>();
    if (!values.ok()) return std::move(values).error();
    return std::span<T>(reinterpret_cast<T*>(buffer_.data()), static_cast<std::size_t>(size_));
  }
  [[nodiscard]] Result<std::span<const std::string>> strings() const { return view().strings(); }

 private:
  DType dtype_ = DType::float32;
  Shape shape_{0};
  std::int64_t size_ = 0;
  Buffer buffer_;
  std::vector<std::string> strings_;
  std::shared_ptr<const void> charge_;
};

// Reverses the bytes of every unit of `unit` bytes (2, 4 or 8; 1 does nothing), in place.
void swap_bytes(std::span<std::byte> bytes, std::size_t unit) noexcept;

}  // namespace tensorwire
