// The element types of a tensor, their canonical names and every other vocabulary that they are accepted in.
#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "tensorwire/error.hpp"
#include "tensorwire/floats.hpp"

namespace tensorwire {

enum class DType : std::uint8_t {
  boolean,
  int8,
  int16,
  int32,
  int64,
  uint8,
  uint16,
  uint32,
  uint64,
  float16,
  bfloat16,
  float32,
  float64,
  float8_e4m3fn,
  float8_e5m2,
  complex64,
  complex128,
  string,
};
inline constexpr std::size_t kDTypeCount = 18;

enum class DTypeKind : std::uint8_t { boolean, signed_integer, unsigned_integer, floating, complex, string };

struct DTypeInfo {
  DType dtype;
  std::string_view name;  // canonical, as in replies: "bool", "int8", ...
  std::size_t itemsize;   // bytes of one element; 0 for string, whose elements have no fixed size
  DTypeKind kind;
  // Bytes that a byte swap turns round: itemsize, or half of it for a complex number.
  std::size_t swap_unit;
};

[[nodiscard]] const DTypeInfo& info(DType dtype) noexcept;
[[nodiscard]] inline std::string_view to_string(DType dtype) noexcept { return info(dtype).name; }
[[nodiscard]] inline std::size_t itemsize(DType dtype) noexcept { return info(dtype).itemsize; }
// All of them, in the enum's order.
[[nodiscard]] std::span<const DTypeInfo> all_dtypes() noexcept;

struct ParsedDType {
  DType dtype = DType::float32;
  bool big_endian = false;  // a numpy typestr with '>': the bytes are to be swapped on arrival
};

// Reads a dtype in any of the accepted vocabularies, letter case ignored: canonical, torch.*, tf.*, torch's short
// names, numpy names and typestrs, Open Inference Protocol, TYPE_*, TensorFlow's DT_*, safetensors. `bad_dtype`
// otherwise, naming the nearest known name. Where two of them differ:
//  - "I8" and "U8" are safetensors' int8 and uint8, "i8" and "u8" numpy's int64 and uint64: here the case decides.
//    Behind a byte order ("<I8") they can only be numpy's; "<U8" is numpy's unicode text and refused.
//  - "f16" is safetensors' float16 in either case; numpy's long double, which has no fixed format, is no dtype here.
//  - "float" and "int" are torch's float32 and int32, "float_" and "int_" numpy's float64 and int64.
[[nodiscard]] Result<ParsedDType> parse_dtype(std::string_view text);

// The DType of a C++ element type. Undefined (a compile error) for types that no tensor holds.
template <class T>
inline constexpr DType dtype_of = [] {
  static_assert(sizeof(T) == 0, "no tensor holds elements of this type");
  return DType::boolean;
}();
template <>
inline constexpr DType dtype_of<bool> = DType::boolean;
template <>
inline constexpr DType dtype_of<std::int8_t> = DType::int8;
template <>
inline constexpr DType dtype_of<std::int16_t> = DType::int16;
template <>
inline constexpr DType dtype_of<std::int32_t> = DType::int32;
template <>
inline constexpr DType dtype_of<std::int64_t> = DType::int64;
template <>
inline constexpr DType dtype_of<std::uint8_t> = DType::uint8;
template <>
inline constexpr DType dtype_of<std::uint16_t> = DType::uint16;
template <>
inline constexpr DType dtype_of<std::uint32_t> = DType::uint32;
template <>
inline constexpr DType dtype_of<std::uint64_t> = DType::uint64;
template <>
inline constexpr DType dtype_of<Float16> = DType::float16;
template <>
inline constexpr DType dtype_of<BFloat16> = DType::bfloat16;
template <>
inline constexpr DType dtype_of<float> = DType::float32;
template <>
inline constexpr DType dtype_of<double> = DType::float64;
template <>
inline constexpr DType dtype_of<Float8E4M3> = DType::float8_e4m3fn;
template <>
inline constexpr DType dtype_of<Float8E5M2> = DType::float8_e5m2;
template <>
inline constexpr DType dtype_of<std::complex<float>> = DType::complex64;
template <>
inline constexpr DType dtype_of<std::complex<double>> = DType::complex128;

// Calls f.template operator()<T>() with the C++ element type of dtype; dtype must not be string.
template <class F>
decltype(auto) visit_dtype(DType dtype, F&& f) {
  switch (dtype) {
    case DType::boolean:
      return f.template operator()<bool>();
    case DType::int8:
      return f.template operator()<std::int8_t>();
    case DType::int16:
      return f.template operator()<std::int16_t>();
    case DType::int32:
      return f.template operator()<std::int32_t>();
    case DType::int64:
      return f.template operator()<std::int64_t>();
    case DType::uint16:
      return f.template operator()<std::uint16_t>();
    case DType::uint32:
      return f.template operator()<std::uint32_t>();
    case DType::uint64:
      return f.template operator()<std::uint64_t>();
    case DType::float16:
      return f.template operator()<Float16>();
    case DType::bfloat16:
      return f.template operator()<BFloat16>();
    case DType::float32:
      return f.template operator()<float>();
    case DType::float64:
      return f.template operator()<double>();
    case DType::float8_e4m3fn:
      return f.template operator()<Float8E4M3>();
    case DType::float8_e5m2:
      return f.template operator()<Float8E5M2>();
    case DType::complex64:
      return f.template operator()<std::complex<float>>();
    case DType::complex128:
      return f.template operator()<std::complex<double>>();
    case DType::uint8:
    case DType::string:
      break;
  }
  return f.template operator()<std::uint8_t>();
}

}  // namespace tensorwire
