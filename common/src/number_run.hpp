// The inner loop of list reading: runs of plain numbers, eight digits at a time, straight into typed elements.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "numbers.hpp"

namespace tensorwire {

// What a run came to: everything before `next` was read.
struct Run {
  const char* next = nullptr;
  std::size_t count = 0;  // elements read
  bool closes = false;    // `next` is the ']' behind the last of them; else it is where a value must stand
};

// A loop below looks at a number only while so many bytes are left, which is more than it reads ahead.
inline constexpr std::size_t kRunSlack = 64;

namespace run_detail {

inline constexpr std::array<std::uint64_t, 9> kPowersOfTen = {1,       10,        100,        1'000,      10'000,
                                                              100'000, 1'000'000, 10'000'000, 100'000'000};

// Eight characters, each XOR '0': digits become 0...9, all others something larger. The first is the lowest byte.
inline std::uint64_t load_digits(const char* p) noexcept {
  std::uint64_t word = 0;
  std::memcpy(&word, p, sizeof word);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  return word ^ 0x3030'3030'3030'3030U;
}

// How many of the eight are digits before the first that is none.
inline unsigned leading_digits(std::uint64_t word) noexcept {
  // 0x76 carries 10 and more into a byte's top bit. A carry out of a byte reaches only later characters.
  const std::uint64_t others = ((word + 0x7676'7676'7676'7676U) | word) & 0x8080'8080'8080'8080U;
  return static_cast<unsigned>(std::countr_zero(others)) / 8;
}

// The value of the first n (0...8) of eight loaded characters.
inline std::uint64_t digits_value(std::uint64_t word, unsigned n) noexcept {
  word = (word << (4 * (8 - n))) << (4 * (8 - n));  // leading zeros; in two steps, since one of 64 is not defined
  word = word * 10 + (word >> 8);                   // pairs of digits in every other byte
  constexpr std::uint64_t kPairs = 0x0000'00FF'0000'00FFU;
  const std::uint64_t high = (word & kPairs) * (100 + (std::uint64_t{1'000'000} << 32));
  const std::uint64_t low = ((word >> 16) & kPairs) * (1 + (std::uint64_t{10'000} << 32));
  return (high + low) >> 32;
}

// Reads up to max_blocks × 8 digits from p on into value (which may overflow: see significant_digits); how many.
inline std::size_t read_digits(const char* p, int max_blocks, std::uint64_t& value) noexcept {
  const char* const begin = p;
  for (int block = 0; block < max_blocks; ++block) {
    const std::uint64_t word = load_digits(p);
    const unsigned n = leading_digits(word);
    value = value * kPowersOfTen[n] + digits_value(word, n);
    p += n;
    if (n < 8) break;
  }
  return static_cast<std::size_t>(p - begin);
}

inline bool is_blank(char c) noexcept { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// Behind a number: steps over the comma and the white space that follows. False when something else stands there.
inline bool pass_comma(const char*& p, const char* end) noexcept {
  if (*p != ',') return false;
  ++p;
  if (*p == ' ') ++p;
  while (p != end && is_blank(*p)) ++p;
  return true;
}

}  // namespace run_detail

// A decimal number as it was scanned: ±digits × 10^exponent, exact.
struct Decimal {
  std::uint64_t digits = 0;
  int exponent = 0;
  bool negative = false;
  bool integer = false;       // written without fraction and exponent
  const char* end = nullptr;  // null: not one of the plain numbers (no number at all, more than 19 digits ...)
};

// The most digits that always fit a uint64.
inline constexpr std::size_t kPlainDigits = 19;

namespace run_detail {

// Of a fraction with too many digits: whether leading zeros are what makes them too many.
inline bool zeros_explain(const char* whole, std::size_t total) noexcept {
  if (*whole != '0') return false;
  std::size_t zeros = 1;
  for (const char* p = whole + 2; *p == '0' && zeros < total; ++p) ++zeros;
  return total - zeros <= kPlainDigits;
}

// The exponent behind an 'e' at p; false when it is malformed or has more than four digits.
inline bool read_exponent(const char*& p, int& exponent) noexcept {
  ++p;
  const bool negative = *p == '-';
  if (negative || *p == '+') ++p;
  std::uint64_t value = 0;
  const std::size_t n = read_digits(p, 1, value);
  if (n == 0 || n > 4) return false;
  p += n;
  exponent += negative ? -static_cast<int>(value) : static_cast<int>(value);
  return true;
}

}  // namespace run_detail

// Reads the number that begins at p, of which kRunSlack bytes can be read.
inline Decimal scan_decimal(const char* p) noexcept {
  Decimal out;
  out.negative = *p == '-';
  p += out.negative ? 1 : 0;
  const char* const whole = p;
  const std::size_t whole_digits = run_detail::read_digits(p, 2, out.digits);
  if (whole_digits == 0 || whole_digits == 16 || (*whole == '0' && whole_digits > 1)) return out;
  p += whole_digits;
  out.integer = true;
  if (*p == '.') {
    const std::size_t n = run_detail::read_digits(++p, 3, out.digits);
    if (n == 0 || n == 24) return out;
    if (n + whole_digits > kPlainDigits && !run_detail::zeros_explain(whole, n + whole_digits)) return out;
    p += n;
    out.exponent = -static_cast<int>(n);
    out.integer = false;
  }
  if ((*p | 0x20) == 'e') {
    out.integer = false;
    if (!run_detail::read_exponent(p, out.exponent)) return out;
  }
  out.end = p;
  return out;
}

// digits × 10^exponent correctly rounded; false when these short ways cannot tell (the caller reads the text again).
[[nodiscard]] bool round_plain(std::uint64_t digits, int exponent, float& out) noexcept;
[[nodiscard]] bool round_plain(std::uint64_t digits, int exponent, double& out) noexcept;

// Each reads `number ,` pairs from p on, where a value must stand, into at most `room` elements, and stops before the
// first number that it does not take (there may be nothing wrong with it), behind one that a ']' follows, and near the
// end.
template <std::integral T>
requires(!std::same_as<T, bool>) Run read_run(const char* p, const char* end, T* out, std::size_t room)
noexcept {
  using namespace run_detail;
  Run run{p, 0, false};
  while (run.count < room && static_cast<std::size_t>(end - run.next) >= kRunSlack) {
    p = run.next;
    ExactInteger value;
    value.negative = *p == '-';
    p += value.negative ? 1 : 0;
    const char first = *p;
    const std::size_t n = read_digits(p, sizeof(T) < 4 ? 1 : sizeof(T) < 8 ? 2 : 3, value.magnitude);
    if (n == 0 || n > kPlainDigits || (first == '0' && n > 1) || !fits<T>(value)) return run;
    p += n;
    const bool closes = *p == ']';
    if (!closes && !pass_comma(p, end)) return run;
    out[run.count++] = to_integer<T>(value);
    run.next = p;
    run.closes = closes;
    if (closes) return run;
  }
  return run;
}

// How a scanned decimal becomes an element; false leaves it to the general path.
template <std::floating_point T>
bool round_element(const Decimal& decimal, T& out) noexcept {
  T value = 0;
  if (!round_plain(decimal.digits, decimal.exponent, value)) return false;
  out = decimal.negative ? -value : value;
  return true;
}
template <SmallFloat T>
bool round_element(const Decimal& decimal, T& out) noexcept {
  double value = 0;
  return round_element(decimal, value) && round_to(value, out);
}

template <class T>
requires(std::floating_point<T> || SmallFloat<T>) Run read_run(const char* p, const char* end, T* out, std::size_t room)
noexcept {
  Run run{p, 0, false};
  while (run.count < room && static_cast<std::size_t>(end - run.next) >= kRunSlack) {
    const Decimal decimal = scan_decimal(run.next);
    if (decimal.end == nullptr) return run;
    p = decimal.end;
    const bool closes = *p == ']';
    if (!closes && !run_detail::pass_comma(p, end)) return run;
    if (!round_element(decimal, out[run.count])) return run;
    ++run.count;
    run.next = p;
    run.closes = closes;
    if (closes) return run;
  }
  return run;
}

// true, false, 1 and 0.
inline Run read_run(const char* p, const char* end, bool* out, std::size_t room) noexcept {
  Run run{p, 0, false};
  while (run.count < room && static_cast<std::size_t>(end - run.next) >= kRunSlack) {
    p = run.next;
    const bool value = *p == 't' || *p == '1';
    const std::size_t length = *p == 't' ? 4 : *p == 'f' ? 5 : 1;
    if (std::memcmp(p, value ? "true" : "false", length) != 0 && *p != '0' && *p != '1') return run;
    p += length;
    const bool closes = *p == ']';
    if (!closes && !run_detail::pass_comma(p, end)) return run;
    out[run.count++] = value;
    run.next = p;
    run.closes = closes;
    if (closes) return run;
  }
  return run;
}

// What the numbers of a run were, for the inference of a dtype.
struct RunKinds {
  bool integers = false;
  bool fractions = false;
  bool negatives = false;
};

// The same without keeping the values. Integers of more than 15 digits are left to the caller.
inline Run skip_run(const char* p, const char* end, RunKinds& kinds) noexcept {
  Run run{p, 0, false};
  while (static_cast<std::size_t>(end - run.next) >= kRunSlack) {
    const Decimal decimal = scan_decimal(run.next);
    if (decimal.end == nullptr) return run;
    p = decimal.end;
    const bool closes = *p == ']';
    if (!closes && !run_detail::pass_comma(p, end)) return run;
    (decimal.integer ? kinds.integers : kinds.fractions) = true;
    if (decimal.negative) kinds.negatives = true;
    ++run.count;
    run.next = p;
    run.closes = closes;
    if (closes) return run;
  }
  return run;
}

}  // namespace tensorwire
