// numpy's .npy files (versions 1 to 3), read and written without numpy; object arrays are refused, nothing is ever
// unpickled.
#pragma once

#include <span>
#include <string>

#include "tensorwire/buffer.hpp"
#include "tensorwire/error.hpp"
#include "tensorwire/tensor.hpp"

namespace tensorwire {

// Format: numpy/lib/format.py ("NEP 1"). C and Fortran order (rearranged to C), both endiannesses (swapped to little).
// `bad_dtype` for object, structured, datetime and other dtypes that no tensor has, `bad_message` for a damaged file,
// `size_mismatch` for a short one, `overloaded` without memory.
[[nodiscard]] Result<Tensor> read_npy(std::span<const std::byte> file, BufferPool& pool = *BufferPool::shared());

// The header (magic to newline, length a multiple of 64) behind which the tensor's bytes follow unchanged. bfloat16 and
// the float8 types, which numpy lacks, are written as uint16 and uint8; `bad_dtype` for string tensors.
[[nodiscard]] Result<std::string> npy_header(DType dtype, const Shape& shape);

}  // namespace tensorwire
