// The base64 kernel for any CPU: tables for four characters, or two, at a time, and eight of them to a round.
#include <bit>
#include <cstring>

#include "base64_kernels.hpp"

namespace tensorwire::base64_detail {
namespace {

// A group's 24 bits lie in the low three bytes, first byte lowest; the mark is set where a character is not data.
constexpr std::uint32_t bad_mark = 0x80000000U;
using GroupTable = std::array<std::array<std::uint32_t, 256>, 4>;

// The contribution of `value` as character number `place` of its group.
constexpr std::uint32_t group_bits(std::uint8_t value, unsigned place) {
  const std::uint32_t bits = std::uint32_t{value} << (18 - 6 * place);
  return (bits >> 16) | (bits & 0xff00U) | ((bits & 0xffU) << 16);
}

constexpr GroupTable make_group_table() {
  GroupTable table{};
  for (unsigned place = 0; place < 4; ++place) {
    for (unsigned c = 0; c < 256; ++c) {
      table[place][c] = value_table[c] == no_value ? bad_mark : group_bits(value_table[c], place);
    }
  }
  return table;
}

constexpr GroupTable group_table = make_group_table();

using PairTable = std::array<std::array<char, 2>, 4096>;

constexpr PairTable make_pair_table() {
  PairTable table{};
  for (unsigned bits = 0; bits < 4096; ++bits) table[bits] = {alphabet[bits >> 6], alphabet[bits & 63]};
  return table;
}

constexpr PairTable pair_table = make_pair_table();

std::uint32_t group_at(const char* in) noexcept {
  const auto character = [in](std::size_t i) { return static_cast<unsigned char>(in[i]); };
  return group_table[0][character(0)] | group_table[1][character(1)] | group_table[2][character(2)] |
         group_table[3][character(3)];
}

void store_group(std::uint32_t group, std::byte* out) noexcept {
  for (unsigned i = 0; i < 3; ++i) out[i] = static_cast<std::byte>((group >> (8 * i)) & 0xffU);
}

// Two groups with one store, which spills over two bytes more; those must be in the room.
void store_two_groups(std::uint32_t first, std::uint32_t second, std::byte* out) noexcept {
  const std::uint64_t both = std::uint64_t{first} | (std::uint64_t{second} << 24);
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(out, &both, sizeof both);
  } else {
    store_group(first, out);
    store_group(second, out + 3);
  }
}

std::size_t decode(const char* in, std::size_t length, std::byte* out, std::size_t room) noexcept {
  std::size_t done = 0;
  std::size_t written = 0;
  for (; length - done >= 8 && room - written >= 8; done += 8, written += 6) {
    const std::uint32_t first = group_at(in + done);
    const std::uint32_t second = group_at(in + done + 4);
    if (((first | second) & bad_mark) != 0) break;
    store_two_groups(first, second, out + written);
  }
  for (; length - done >= 4 && room - written >= 3; done += 4, written += 3) {
    const std::uint32_t group = group_at(in + done);
    if ((group & bad_mark) != 0) break;
    store_group(group, out + written);
  }
  return done;
}

void encode_group(const std::byte* in, char* out) noexcept {
  const auto bits = std::to_integer<std::uint32_t>(in[0]) << 16 | std::to_integer<std::uint32_t>(in[1]) << 8 |
                    std::to_integer<std::uint32_t>(in[2]);
  std::memcpy(out, pair_table[bits >> 12].data(), 2);
  std::memcpy(out + 2, pair_table[bits & 0xfffU].data(), 2);
}

std::size_t encode(const std::byte* in, std::size_t length, char* out) noexcept {
  std::size_t done = 0;
  for (; length - done >= 6; done += 6, out += 8) {
    encode_group(in + done, out);
    encode_group(in + done + 3, out + 4);
  }
  for (; length - done >= 3; done += 3, out += 4) encode_group(in + done, out);
  return done;
}

}  // namespace

const KernelTable portable_kernel = {decode, encode};

}  // namespace tensorwire::base64_detail
