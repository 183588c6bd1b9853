// The base64 kernel for 64-bit ARM: structured loads part the groups, table lookups translate, 64 characters a block.
#include "base64_kernels.hpp"

#if defined(__aarch64__)

#include <arm_neon.h>

namespace tensorwire::base64_detail {
namespace {

uint8x16x4_t load_table(const std::uint8_t* from) { return vld1q_u8_x4(from); }

// A lookup gives 0 outside its 64 entries, so the two halves of ASCII can be joined; bytes above ASCII give 0 here and
// are found by their own top bit.
uint8x16_t values_of(uint8x16_t text, const uint8x16x4_t& low, const uint8x16x4_t& high) {
  return vorrq_u8(vqtbl4q_u8(low, text), vqtbl4q_u8(high, veorq_u8(text, vdupq_n_u8(0x40))));
}

bool any_top_bit(uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d) {
  return vmaxvq_u8(vorrq_u8(vorrq_u8(a, b), vorrq_u8(c, d))) >= 0x80;
}

std::size_t decode(const char* in, std::size_t length, std::byte* out, std::size_t room) noexcept {
  const uint8x16x4_t low = load_table(value_table.data());
  const uint8x16x4_t high = load_table(value_table.data() + 64);
  std::size_t done = 0;
  std::size_t written = 0;
  for (; length - done >= 64 && room - written >= 48; done += 64, written += 48) {
    const uint8x16x4_t text = vld4q_u8(reinterpret_cast<const std::uint8_t*>(in + done));
    const uint8x16_t a = values_of(text.val[0], low, high);
    const uint8x16_t b = values_of(text.val[1], low, high);
    const uint8x16_t c = values_of(text.val[2], low, high);
    const uint8x16_t d = values_of(text.val[3], low, high);
    if (any_top_bit(vorrq_u8(a, text.val[0]), vorrq_u8(b, text.val[1]), vorrq_u8(c, text.val[2]),
                    vorrq_u8(d, text.val[3]))) {
      break;
    }
    uint8x16x3_t bytes;
    bytes.val[0] = vorrq_u8(vshlq_n_u8(a, 2), vshrq_n_u8(b, 4));
    bytes.val[1] = vorrq_u8(vshlq_n_u8(b, 4), vshrq_n_u8(c, 2));
    bytes.val[2] = vorrq_u8(vshlq_n_u8(c, 6), d);
    vst3q_u8(reinterpret_cast<std::uint8_t*>(out + written), bytes);
  }
  return done;
}

std::size_t encode(const std::byte* in, std::size_t length, char* out) noexcept {
  const uint8x16x4_t letters = load_table(reinterpret_cast<const std::uint8_t*>(alphabet));
  const uint8x16_t six_bits = vdupq_n_u8(0x3f);
  std::size_t done = 0;
  for (; length - done >= 48; done += 48, out += 64) {
    const uint8x16x3_t bytes = vld3q_u8(reinterpret_cast<const std::uint8_t*>(in + done));
    const uint8x16_t b = vorrq_u8(vshlq_n_u8(bytes.val[0], 4), vshrq_n_u8(bytes.val[1], 4));
    const uint8x16_t c = vorrq_u8(vshlq_n_u8(bytes.val[1], 2), vshrq_n_u8(bytes.val[2], 6));
    uint8x16x4_t text;
    text.val[0] = vqtbl4q_u8(letters, vshrq_n_u8(bytes.val[0], 2));
    text.val[1] = vqtbl4q_u8(letters, vandq_u8(b, six_bits));
    text.val[2] = vqtbl4q_u8(letters, vandq_u8(c, six_bits));
    text.val[3] = vqtbl4q_u8(letters, vandq_u8(bytes.val[2], six_bits));
    vst4q_u8(reinterpret_cast<std::uint8_t*>(out), text);
  }
  return done;
}

}  // namespace

const KernelTable neon_kernel = {decode, encode};

}  // namespace tensorwire::base64_detail

#endif
