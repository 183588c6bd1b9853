// The interface between the base64 codec and its kernels, and the tables they share.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace tensorwire::base64_detail {

// Decodes groups of four plain data characters from the front of `in` (`length` characters) to `out` (room for `room`
// bytes) and returns how many characters that were: a multiple of four, three bytes written for each four. A kernel
// may stop early for want of a whole block of input or room, never passes over a character that is not data, and may
// overwrite all of `room`.
using DecodeGroups = std::size_t (*)(const char* in, std::size_t length, std::byte* out, std::size_t room) noexcept;

// Encodes groups of three bytes from the front of `in` and returns how many bytes that were: a multiple of three, four
// characters written for each three. `out` has room for the whole groups of `length` and nothing more.
using EncodeGroups = std::size_t (*)(const std::byte* in, std::size_t length, char* out) noexcept;

struct KernelTable {
  DecodeGroups decode;
  EncodeGroups encode;
};

// The portable kernel leaves fewer than four good characters (three bytes) undone, so it also ends the others' work.
extern const KernelTable portable_kernel;

#if defined(__x86_64__)
extern const KernelTable avx2_kernel;
extern const KernelTable avx512_kernel;
#elif defined(__aarch64__)
extern const KernelTable neon_kernel;
#endif

[[nodiscard]] const KernelTable& active_kernel() noexcept;

inline constexpr char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// What the value table holds for anything but a data character; its top bit lets kernels test many values at once.
inline constexpr std::uint8_t no_value = 0x80;

[[nodiscard]] constexpr std::array<std::uint8_t, 256> make_value_table() {
  std::array<std::uint8_t, 256> table{};
  table.fill(no_value);
  for (std::uint8_t value = 0; value < 64; ++value) table[static_cast<unsigned char>(alphabet[value])] = value;
  return table;
}

alignas(64) inline constexpr std::array<std::uint8_t, 256> value_table = make_value_table();

}  // namespace tensorwire::base64_detail
