// The inner loop of list reading: runs of plain numbers, eight digits at a time, straight into typed elements.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "numbers.hpp"

namespace tensorwire {

template <class T>
concept PlainInteger = std::integral<T> && !std::same_as<T, bool>;
template <class T>
concept AnyFloat = std::floating_point<T> || SmallFloat<T>;

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

// The value of eight digits, loaded.
inline std::uint64_t eight_digits(std::uint64_t word) noexcept {
  word = word * 10 + (word >> 8);  // pairs of digits in every other byte
  constexpr std::uint64_t kPairs = 0x0000'00FF'0000'00FFU;
  const std::uint64_t high = (word & kPairs) * (100 + (std::uint64_t{1'000'000} << 32));
  const std::uint64_t low = ((word >> 16) & kPairs) * (1 + (std::uint64_t{10'000} << 32));
  return (high + low) >> 32;
}

// The value of the first n (0...8) of eight loaded characters.
inline std::uint64_t digits_value(std::uint64_t word, unsigned n) noexcept {
  return eight_digits((word << (4 * (8 - n)))
                      << (4 * (8 - n)));  // leading zeros; shifting by 64 at once is not defined
}

// Reads up to Blocks × 8 digits from p on into value (which may overflow: see kPlainDigits) and moves p behind them.
// A whole block moves p by a constant, so that the next one is loaded before this one is understood.
template <int Blocks>
inline void read_digits(const char*& p, std::uint64_t& value) noexcept {
  const std::uint64_t word = load_digits(p);
  const unsigned n = leading_digits(word);
  if (n < 8) {
    value = value * kPowersOfTen[n] + digits_value(word, n);
    p += n;
    return;
  }
  value = value * kPowersOfTen[8] + eight_digits(word);
  p += 8;
  if constexpr (Blocks > 1) read_digits<Blocks - 1>(p, value);
}

inline bool is_blank(char c) noexcept { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// Behind a number: steps over the comma and the white space that follows. False when something else stands there.
inline bool pass_comma(const char*& p, const char* end) noexcept {
  if (*p != ',') return false;
  ++p;
  if (*p == ' ') ++p;
  if (*p <= ' ') {
    while (p != end && is_blank(*p)) ++p;
  }
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
  const char* const begin = p;
  read_digits<1>(p, value);
  if (p == begin || p - begin > 4) return false;
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
  run_detail::read_digits<2>(p, out.digits);
  const auto whole_digits = static_cast<std::size_t>(p - whole);
  if (whole_digits == 0 || whole_digits == 16 || (*whole == '0' && whole_digits > 1)) return out;
  out.integer = true;
  if (*p == '.') {
    const char* const fraction = ++p;
    run_detail::read_digits<3>(p, out.digits);
    const auto n = static_cast<std::size_t>(p - fraction);
    if (n == 0 || n == 24) return out;
    if (n + whole_digits > kPlainDigits && !run_detail::zeros_explain(whole, n + whole_digits)) return out;
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

// 10^0 ... 10^22 are exact in double.
inline constexpr int kExactPower = 22;
inline constexpr std::array<double, kExactPower + 1> kExactPowers = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                                     1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                                     1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

// digits × 10^exponent, |exponent| <= kExactPower and digits < 2^63: rounded twice, or once where digits <= 2^53.
inline double scale(std::uint64_t digits, int exponent) noexcept {
  const auto whole = static_cast<double>(static_cast<std::int64_t>(digits));
  return exponent < 0 ? whole / kExactPowers[static_cast<std::size_t>(-exponent)]
                      : whole * kExactPowers[static_cast<std::size_t>(exponent)];
}

// digits × 10^exponent correctly rounded; false when these short ways cannot tell (the caller reads the text again).
[[nodiscard]] inline bool round_plain(std::uint64_t digits, int exponent, float& out) noexcept {
  if (exponent < -kExactPower || exponent > kExactPower || (digits >> 63) != 0) return false;
  const double value = scale(digits, exponent);
  out = static_cast<float>(value);
  // Two roundings put the double less than three units away from the decimal. Rounding it to float gives the float next
  // to the decimal unless a halfway point (this bit pattern of the 29 bits that are dropped) may lie between them.
  constexpr std::uint64_t kDropped = 0x1FFF'FFFF;
  constexpr std::uint64_t kHalf = 0x1000'0000;
  const std::uint64_t distance = (std::bit_cast<std::uint64_t>(value) & kDropped) - kHalf + 4;
  const bool normal = value >= double{std::numeric_limits<float>::min()} && out <= std::numeric_limits<float>::max();
  return distance > 8 && (normal || digits == 0);
}
[[nodiscard]] bool round_plain(std::uint64_t digits, int exponent, double& out) noexcept;

// Each reads `number ,` pairs from p on, where a value must stand, into at most `room` elements, and stops before the
// first number that it does not take (there may be nothing wrong with it), behind one that a ']' follows, and near the
// end.
template <PlainInteger T>
Run read_run(const char* p, const char* end, T* out, std::size_t room) noexcept {
  using namespace run_detail;
  Run run{p, 0, false};
  while (run.count < room && static_cast<std::size_t>(end - run.next) >= kRunSlack) {
    p = run.next;
    ExactInteger value;
    value.negative = *p == '-';
    p += value.negative ? 1 : 0;
    const char* const begin = p;
    read_digits<sizeof(T) < 4 ? 1 : sizeof(T) < 8 ? 2 : 3>(p, value.magnitude);
    const auto n = static_cast<std::size_t>(p - begin);
    if (n == 0 || n > kPlainDigits || (*begin == '0' && n > 1) || !fits<T>(value)) return run;
    const bool closes = *p == ']';
    if (!closes && !pass_comma(p, end)) return run;
    out[run.count++] = to_integer<T>(value);
    run.next = p;
    run.closes = closes;
    if (closes) return run;
  }
  return run;
}

// A non-negative value with a sign; no branch, since nobody can predict it.
inline float with_sign(float value, bool negative) noexcept {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) | std::uint32_t{negative} << 31);
}
inline double with_sign(double value, bool negative) noexcept {
  return std::bit_cast<double>(std::bit_cast<std::uint64_t>(value) | std::uint64_t{negative} << 63);
}

// Digits of a fraction beyond the first so many tell nothing about a float, except next to a halfway point.
inline constexpr std::uint64_t kTellingDigits = 10'000'000'000'000;

inline constexpr std::array<double, 17> kTenths = {1e0,  1e-1,  1e-2,  1e-3,  1e-4,  1e-5,  1e-6,  1e-7, 1e-8,
                                                   1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15, 1e-16};

// The usual float, one to three digits before the point and no exponent, in as few steps as will do. Returns its end,
// or null when it is another number or cannot be told from these digits.
inline const char* read_usual(const char* p, float& out) noexcept {
  using namespace run_detail;
  const bool negative = *p == '-';
  p += negative ? 1 : 0;
  const auto digit = [](char c) { return static_cast<std::uint64_t>(static_cast<unsigned char>(c)) - '0'; };
  std::uint64_t digits = digit(*p++);
  if (digits > 9) return nullptr;
  if (*p != '.') {
    if (digits == 0) return nullptr;
    for (int i = 0; i < 2 && digit(*p) <= 9; ++i) digits = digits * 10 + digit(*p++);
    if (*p != '.') return nullptr;
  }
  const std::uint64_t first = load_digits(++p);
  const unsigned n = leading_digits(first);
  std::size_t places = n;
  if (n < 8) {
    if (n == 0) return nullptr;
    digits = digits * kPowersOfTen[n] + digits_value(first, n);
    p += n;
  } else {
    const std::uint64_t second = load_digits(p + 8);
    const unsigned m = leading_digits(second);
    digits = (digits * kPowersOfTen[8] + eight_digits(first)) * kPowersOfTen[m] + digits_value(second, m);
    p += 8 + m;
    places += m;
    const unsigned rest = leading_digits(load_digits(p));  // which are not read: they change `digits` by less than one
    if (rest == 8 || (rest != 0 && digits < kTellingDigits) || (digits >> 63) != 0) return nullptr;
    p += rest;
  }
  const double value = static_cast<double>(static_cast<std::int64_t>(digits)) * kTenths[places];
  out = with_sign(static_cast<float>(value), negative);
  // Digits left out, the power of ten and two roundings put the double less than 1024 units away from the decimal. Then
  // the float next to the one is next to the other, unless a halfway point may lie between them: this bit pattern of
  // the 29 bits that a float drops.
  constexpr std::uint64_t kDropped = 0x1FFF'FFFF;
  constexpr std::uint64_t kHalf = 0x1000'0000;
  const std::uint64_t distance = (std::bit_cast<std::uint64_t>(value) & kDropped) - kHalf + 1024;
  return distance > 2048 ? p : nullptr;
}

// How a scanned decimal becomes an element; false leaves it to the general path.
template <std::floating_point T>
bool round_element(const Decimal& decimal, T& out) noexcept {
  T value = 0;
  if (!round_plain(decimal.digits, decimal.exponent, value)) return false;
  out = with_sign(value, decimal.negative);
  return true;
}
template <SmallFloat T>
bool round_element(const Decimal& decimal, T& out) noexcept {
  double value = 0;
  return round_element(decimal, value) && round_to(value, out);
}

// The float at p to out; its end, or null when it is left to the general path.
template <AnyFloat T>
const char* read_element(const char* p, T& out) noexcept {
  if constexpr (std::same_as<T, float>) {
    const char* const end = read_usual(p, out);
    if (end != nullptr && (*end == ',' || *end == ']')) return end;
  }
  const Decimal decimal = scan_decimal(p);
  return decimal.end != nullptr && round_element(decimal, out) ? decimal.end : nullptr;
}

template <AnyFloat T>
Run read_run(const char* p, const char* end, T* out, std::size_t room) noexcept {
  Run run{p, 0, false};
  while (run.count < room && static_cast<std::size_t>(end - run.next) >= kRunSlack) {
    p = read_element(run.next, out[run.count]);
    if (p == nullptr) return run;
    const bool closes = *p == ']';
    if (!closes && !run_detail::pass_comma(p, end)) return run;
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
