// `data` payloads: JSON numbers, strings and booleans to typed elements and back, streaming and without one rounding
// too many.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tensorwire/buffer.hpp"
#include "tensorwire/dtype.hpp"
#include "tensorwire/error.hpp"
#include "tensorwire/limits.hpp"
#include "tensorwire/tensor.hpp"

namespace tensorwire {

// Reads the text of one `data` value (an array, nested or flat, or one scalar) in pieces of any size. When the dtype is
// known before the value begins, elements go straight into their final buffer (memory: the buffer plus a constant);
// otherwise the text is kept as it is in a Buffer and read when the dtype is known.
class ListReader {
 public:
  ListReader(std::optional<DType> dtype, const Limits& limits, std::shared_ptr<BufferPool> pool);
  ~ListReader();
  ListReader(ListReader&&) noexcept;
  ListReader& operator=(ListReader&&) noexcept;

  enum class Status : std::uint8_t {
    more,    // all consumed, the value goes on
    done,    // the value ended; for a scalar number the byte behind it is not consumed
    object,  // an object begins at the first byte not consumed ('{'): the value can never be a tensor, but the JSON may
             // be right: the caller passes the whole object by (through its own JSON checking) and goes on with feed()
    syntax,  // this is no JSON; nothing more can be fed
  };
  struct Step {
    std::size_t consumed;
    Status status;
  };
  // Wants the value's first character first (white space before it is the caller's). `expected` is an upper bound for
  // what the text may still come to (0: unknown). Semantic errors (a value out of range, ragged nesting ...) do not
  // stop it: the first one is kept, and the rest is only checked for being JSON.
  [[nodiscard]] Step feed(std::string_view text, std::uint64_t expected);

  // After `done`: the tensor, with the dtype and shape that the message gave (or inferred, where it gave none).
  // at is the JSON Pointer of the `data` member; errors point at the first element that does not fit ("/data/1/3").
  // A dtype given here must equal the constructor's when that had one.
  [[nodiscard]] Result<Tensor> finish(std::optional<DType> dtype, const std::optional<Shape>& shape,
                                      const std::string& at);
  // After `syntax`: what was wrong.
  [[nodiscard]] const std::string& syntax_error() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The elements as strict JSON text appended to out: nested arrays following the shape (a scalar for rank 0). Integers
// beyond ±2^53 are decimal strings, NaN and infinities the strings "NaN", "Infinity", "-Infinity", floats the shortest
// text that reads back exactly, complex numbers [re, im], booleans true/false. `overloaded` when the pool has no more.
[[nodiscard]] Result<void> append_list(Buffer& out, const TensorView& tensor);

}  // namespace tensorwire
