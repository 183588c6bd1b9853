// The base64 kernel for x86-64 CPUs with AVX-512 VBMI: byte permutes are the tables, 64 characters to a register.
#include "base64_kernels.hpp"

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <bit>

#define TENSORWIRE_AVX512 __attribute__((target("avx512f,avx512bw,avx512vbmi")))

namespace tensorwire::base64_detail {
namespace {

using Indices = std::array<std::uint8_t, 64>;

// Byte i of the decoded text within 32-bit lanes that hold a group's 24 bits lowest byte last: lane i / 3, from its
// third byte down.
constexpr unsigned packed_index(unsigned i) { return i / 3 * 4 + 2 - i % 3; }

// Four registers of 48 decoded bytes each fill three of 64. Register number `part` of those takes its first bytes from
// one source and the rest from the next, which the permute numbers from 64.
constexpr Indices make_join_indices(unsigned part) {
  Indices indices{};
  for (unsigned i = 0; i < 64; ++i) {
    const unsigned byte = part * 64 + i;
    const unsigned source = byte / 48 - part;
    indices[i] = static_cast<std::uint8_t>(source * 64 + packed_index(byte % 48));
  }
  return indices;
}

// Spreads three bytes over a 32-bit lane as b1 b0 b2 b1, where each six bits of the group lie side by side.
constexpr Indices make_spread_indices() {
  constexpr unsigned order[4] = {1, 0, 2, 1};
  Indices indices{};
  for (unsigned i = 0; i < 64; ++i) indices[i] = static_cast<std::uint8_t>(i / 4 * 3 + order[i % 4]);
  return indices;
}

// Where in its 64-bit lane (two spread groups) each character's six bits begin.
constexpr Indices make_shift_counts() {
  constexpr std::uint8_t shifts[4] = {10, 4, 22, 16};
  Indices counts{};
  for (unsigned i = 0; i < 64; ++i) counts[i] = static_cast<std::uint8_t>(shifts[i % 4] + i % 8 / 4 * 32);
  return counts;
}

alignas(64) constexpr Indices join_indices[3] = {make_join_indices(0), make_join_indices(1), make_join_indices(2)};
alignas(64) constexpr Indices spread_indices = make_spread_indices();
alignas(64) constexpr Indices shift_counts = make_shift_counts();

// The first `count` of 64 bytes.
constexpr __mmask64 first_bytes(std::size_t count) { return count >= 64 ? ~0ULL : (1ULL << count) - 1; }

TENSORWIRE_AVX512 inline __m512i load(const void* from) { return _mm512_loadu_si512(from); }

// The same, kept in a register: g++ 12 would rather load once more for each use, and text is seldom aligned.
TENSORWIRE_AVX512 inline __m512i load_once(const void* from) {
  __m512i bytes = load(from);
  __asm__("" : "+v"(bytes));
  return bytes;
}

TENSORWIRE_AVX512 inline __m512i values_of(__m512i text) {
  return _mm512_permutex2var_epi8(load(value_table.data()), text, load(value_table.data() + 64));
}

// Joins each four six-bit values to 24 bits of a 32-bit lane.
TENSORWIRE_AVX512 inline __m512i join_values(__m512i values) {
  const __m512i pairs = _mm512_maddubs_epi16(values, _mm512_set1_epi32(0x01400140));
  return _mm512_madd_epi16(pairs, _mm512_set1_epi32(0x00011000));
}

// a | b | c, whose top bits are set where a text byte or a value looked up says that it is not data.
TENSORWIRE_AVX512 inline __m512i or3(__m512i a, __m512i b, __m512i c) {
  return _mm512_ternarylogic_epi32(a, b, c, 0xfe);
}

// Four registers of text a round; stops before the first round that holds anything but data.
TENSORWIRE_AVX512 std::size_t decode_rounds(const char* in, std::size_t rounds, std::byte* out) noexcept {
  const __m512i join0 = load(join_indices[0].data());
  const __m512i join1 = load(join_indices[1].data());
  const __m512i join2 = load(join_indices[2].data());
  for (std::size_t round = 0; round < rounds; ++round, in += 256, out += 192) {
    const __m512i text0 = load_once(in);
    const __m512i text1 = load_once(in + 64);
    const __m512i text2 = load_once(in + 128);
    const __m512i text3 = load_once(in + 192);
    const __m512i values0 = values_of(text0);
    const __m512i values1 = values_of(text1);
    const __m512i values2 = values_of(text2);
    const __m512i values3 = values_of(text3);
    const __m512i texts = or3(text0, text1, _mm512_or_si512(text2, text3));
    const __m512i values = or3(values0, values1, _mm512_or_si512(values2, values3));
    if (_mm512_movepi8_mask(_mm512_or_si512(texts, values)) != 0) return round;
    const __m512i bytes1 = join_values(values1);
    const __m512i bytes2 = join_values(values2);
    _mm512_storeu_si512(out, _mm512_permutex2var_epi8(join_values(values0), join0, bytes1));
    _mm512_storeu_si512(out + 64, _mm512_permutex2var_epi8(bytes1, join1, bytes2));
    _mm512_storeu_si512(out + 128, _mm512_permutex2var_epi8(bytes2, join2, join_values(values3)));
  }
  return rounds;
}

// Up to 64 characters, as far as they are data in whole groups and fit the room; masks keep it inside both buffers.
TENSORWIRE_AVX512 std::size_t decode_block(const char* in, std::size_t length, std::byte* out,
                                           std::size_t room) noexcept {
  const __m512i text = _mm512_maskz_loadu_epi8(first_bytes(length), in);
  const __m512i values = values_of(text);
  const __mmask64 bad = _mm512_movepi8_mask(_mm512_or_si512(text, values));
  // The zeros behind a short text are no data either.
  const auto good = static_cast<std::size_t>(std::countr_zero(bad));
  const std::size_t groups = std::min(good / 4, room / 3);
  const __m512i bytes = _mm512_maskz_permutexvar_epi8(~0ULL, load(join_indices[0].data()), join_values(values));
  _mm512_mask_storeu_epi8(out, first_bytes(groups * 3), bytes);
  return groups * 4;
}

std::size_t decode(const char* in, std::size_t length, std::byte* out, std::size_t room) noexcept {
  std::size_t done = 256 * decode_rounds(in, std::min(length / 256, room / 192), out);
  std::size_t block = 64;
  for (; block == 64; done += block) {
    const std::size_t written = done / 4 * 3;
    block = decode_block(in + done, length - done, out + written, room - written);
  }
  return done;
}

// The characters of the first 48 bytes of a register.
TENSORWIRE_AVX512 inline __m512i encode_block(__m512i bytes) {
  const __m512i spread = _mm512_maskz_permutexvar_epi8(~0ULL, load(spread_indices.data()), bytes);
  const __m512i values = _mm512_maskz_multishift_epi64_epi8(~0ULL, load(shift_counts.data()), spread);
  // The permute looks at the low six bits only, so the neighbours' bits above them need no clearing.
  return _mm512_maskz_permutexvar_epi8(~0ULL, values, load(alphabet));
}

TENSORWIRE_AVX512 std::size_t encode(const std::byte* in, std::size_t length, char* out) noexcept {
  std::size_t done = 0;
  // A block reads 64 bytes to use 48 of them.
  for (; length - done >= 208; done += 192, out += 256) {
    _mm512_storeu_si512(out, encode_block(load(in + done)));
    _mm512_storeu_si512(out + 64, encode_block(load(in + done + 48)));
    _mm512_storeu_si512(out + 128, encode_block(load(in + done + 96)));
    _mm512_storeu_si512(out + 192, encode_block(load(in + done + 144)));
  }
  while (length - done >= 3) {
    const std::size_t groups = std::min<std::size_t>((length - done) / 3, 16);
    const __m512i bytes = _mm512_maskz_loadu_epi8(first_bytes(groups * 3), in + done);
    _mm512_mask_storeu_epi8(out, first_bytes(groups * 4), encode_block(bytes));
    done += groups * 3;
    out += groups * 4;
  }
  return done;
}

}  // namespace

const KernelTable avx512_kernel = {decode, encode};

}  // namespace tensorwire::base64_detail

#endif
