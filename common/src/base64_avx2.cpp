// The base64 kernel for x86-64 CPUs with AVX2: nibbles index 16-byte shuffles, 32 characters to a register.
#include "base64_kernels.hpp"

#if defined(__x86_64__)

#include <immintrin.h>

#define TENSORWIRE_AVX2 __attribute__((target("avx2")))

namespace tensorwire::base64_detail {
namespace {

// One table of 16 bytes, repeated for both halves of a register.
using Shuffle = std::array<std::uint8_t, 32>;

template <typename Function>
constexpr Shuffle make_shuffle(Function entry) {
  Shuffle table{};
  for (unsigned i = 0; i < 32; ++i) table[i] = static_cast<std::uint8_t>(entry(i % 16));
  return table;
}

constexpr bool is_data(unsigned high, unsigned low) { return value_table[high * 16 + low] != no_value; }

// High nibbles whose 16 characters are data at the same low nibbles share a class; there are five such classes.
constexpr unsigned class_of(unsigned high) {
  if (high == 2 || high == 3) return high - 2;
  if (high == 4 || high == 6) return 2;
  if (high == 5 || high == 7) return 3;
  return 4;
}

// The classes, as bits, in which this low nibble makes no data character.
constexpr unsigned bad_classes(unsigned low) {
  unsigned classes = 0;
  for (unsigned high = 0; high < 16; ++high) {
    if (!is_data(high, low)) classes |= 1U << class_of(high);
  }
  return classes;
}

// What to add to a character to get its value. It depends on the high nibble alone except for '+' and '/', which share
// theirs; '/' looks one entry further down, where no data character does.
constexpr unsigned value_offset(unsigned high) {
  if (high == 1) return 63U - '/';
  if (high == 2) return 62U - '+';
  for (unsigned low = 0; low < 16; ++low) {
    if (is_data(high, low)) return value_table[high * 16 + low] - (high * 16 + low);
  }
  return 0;
}

// What to add to a value, by its range: 0 for a-z, 1..10 for the digits, 11 for '+', 12 for '/', 13 for A-Z.
constexpr unsigned character_offset(unsigned range) {
  if (range == 0) return 'a' - 26U;
  if (range <= 10) return '0' - 52U;
  if (range == 11) return '+' - 62U;
  return range == 12 ? '/' - 63U : 'A';
}

// Packs the 24 bits of each 32-bit lane, lowest byte last, to the front of the 16 bytes.
constexpr unsigned pack_index(unsigned i) { return i < 12 ? i / 3 * 4 + 2 - i % 3 : 0x80; }

// Spreads three bytes over a 32-bit lane as b1 b0 b2 b1, where each six bits of the group lie side by side.
constexpr unsigned spread_index(unsigned i) {
  constexpr unsigned order[4] = {1, 0, 2, 1};
  return i / 4 * 3 + order[i % 4];
}

alignas(32) constexpr Shuffle class_table = make_shuffle([](unsigned high) { return 1U << class_of(high); });
alignas(32) constexpr Shuffle bad_table = make_shuffle(bad_classes);
alignas(32) constexpr Shuffle value_offsets = make_shuffle(value_offset);
alignas(32) constexpr Shuffle character_offsets = make_shuffle(character_offset);
alignas(32) constexpr Shuffle pack_indices = make_shuffle(pack_index);
alignas(32) constexpr Shuffle spread_indices = make_shuffle(spread_index);

TENSORWIRE_AVX2 inline __m256i load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

TENSORWIRE_AVX2 inline void store(void* to, __m256i bytes) { _mm256_storeu_si256(static_cast<__m256i*>(to), bytes); }

TENSORWIRE_AVX2 inline __m256i load_halves(const std::byte* low, const std::byte* high) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(low))),
                                 _mm_loadu_si128(reinterpret_cast<const __m128i*>(high)), 1);
}

TENSORWIRE_AVX2 inline __m256i high_nibbles(__m256i text) {
  return _mm256_and_si256(_mm256_srli_epi32(text, 4), _mm256_set1_epi8(0x0f));
}

// Not zero in each byte that is no data character.
TENSORWIRE_AVX2 inline __m256i bad_bytes(__m256i text, __m256i high) {
  const __m256i low = _mm256_and_si256(text, _mm256_set1_epi8(0x0f));
  return _mm256_and_si256(_mm256_shuffle_epi8(load(class_table.data()), high),
                          _mm256_shuffle_epi8(load(bad_table.data()), low));
}

// The 24 bytes of 32 data characters, at the front of the register.
TENSORWIRE_AVX2 inline __m256i decode_block(__m256i text, __m256i high) {
  const __m256i slashes = _mm256_cmpeq_epi8(text, _mm256_set1_epi8('/'));
  const __m256i offsets = _mm256_shuffle_epi8(load(value_offsets.data()), _mm256_add_epi8(high, slashes));
  const __m256i values = _mm256_add_epi8(text, offsets);
  const __m256i pairs = _mm256_maddubs_epi16(values, _mm256_set1_epi32(0x01400140));
  const __m256i groups = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00011000));
  const __m256i packed = _mm256_shuffle_epi8(groups, load(pack_indices.data()));
  return _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7));
}

TENSORWIRE_AVX2 std::size_t decode(const char* in, std::size_t length, std::byte* out, std::size_t room) noexcept {
  std::size_t done = 0;
  std::size_t written = 0;
  // The last store of a round spills over eight bytes.
  for (; length - done >= 64 && room - written >= 56; done += 64, written += 48) {
    const __m256i first = load(in + done);
    const __m256i second = load(in + done + 32);
    const __m256i first_high = high_nibbles(first);
    const __m256i second_high = high_nibbles(second);
    const __m256i bad = _mm256_or_si256(bad_bytes(first, first_high), bad_bytes(second, second_high));
    if (_mm256_testz_si256(bad, bad) == 0) break;
    store(out + written, decode_block(first, first_high));
    store(out + written + 24, decode_block(second, second_high));
  }
  for (; length - done >= 32 && room - written >= 32; done += 32, written += 24) {
    const __m256i text = load(in + done);
    const __m256i high = high_nibbles(text);
    const __m256i bad = bad_bytes(text, high);
    if (_mm256_testz_si256(bad, bad) == 0) break;
    store(out + written, decode_block(text, high));
  }
  return done;
}

// The 32 characters of 24 bytes, of which 12 lie at the front of each half of the register.
TENSORWIRE_AVX2 inline __m256i encode_block(__m256i bytes) {
  const __m256i spread = _mm256_shuffle_epi8(bytes, load(spread_indices.data()));
  // Multiplying is shifting by a different count in each 16-bit lane: the first and third character of a group come
  // down from its high bits, the second and fourth go up from its low bits.
  const __m256i odd = _mm256_and_si256(spread, _mm256_set1_epi32(0x0fc0fc00));
  const __m256i even = _mm256_and_si256(spread, _mm256_set1_epi32(0x003f03f0));
  const __m256i values = _mm256_or_si256(_mm256_mulhi_epu16(odd, _mm256_set1_epi32(0x04000040)),
                                         _mm256_mullo_epi16(even, _mm256_set1_epi32(0x01000010)));
  // Saturation makes A-Z and a-z one range, so A-Z is then moved to a range of its own.
  const __m256i upper = _mm256_cmpgt_epi8(_mm256_set1_epi8(26), values);
  const __m256i ranges =
      _mm256_or_si256(_mm256_subs_epu8(values, _mm256_set1_epi8(51)), _mm256_and_si256(upper, _mm256_set1_epi8(13)));
  return _mm256_add_epi8(values, _mm256_shuffle_epi8(load(character_offsets.data()), ranges));
}

TENSORWIRE_AVX2 std::size_t encode(const std::byte* in, std::size_t length, char* out) noexcept {
  std::size_t done = 0;
  // Each half of a block reads 16 bytes to use 12 of them.
  for (; length - done >= 52; done += 48, out += 64) {
    store(out, encode_block(load_halves(in + done, in + done + 12)));
    store(out + 32, encode_block(load_halves(in + done + 24, in + done + 36)));
  }
  for (; length - done >= 28; done += 24, out += 32) {
    store(out, encode_block(load_halves(in + done, in + done + 12)));
  }
  return done;
}

}  // namespace

const KernelTable avx2_kernel = {decode, encode};

}  // namespace tensorwire::base64_detail

#endif
