// The general path of number reading: any JSON number, however long, to an exact integer or a correctly rounded float.
#include "numbers.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace tensorwire {
namespace {

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

}  // namespace

NumberGrammar::State NumberGrammar::after(char c) const noexcept {
  const bool is_e = c == 'e' || c == 'E';
  switch (state_) {
    case State::start:
      if (c == '-') return State::minus;
      [[fallthrough]];
    case State::minus:
      return c == '0' ? State::zero : is_digit(c) ? State::digits : State::start;
    case State::zero:
      return c == '.' ? State::point : is_e ? State::e : State::start;
    case State::digits:
      return is_digit(c) ? State::digits : c == '.' ? State::point : is_e ? State::e : State::start;
    case State::point:
      return is_digit(c) ? State::fraction : State::start;
    case State::fraction:
      return is_digit(c) ? State::fraction : is_e ? State::e : State::start;
    case State::e:
      if (c == '+' || c == '-') return State::e_sign;
      [[fallthrough]];
    case State::e_sign:
    case State::exponent:
      return is_digit(c) ? State::exponent : State::start;
  }
  return State::start;
}

bool NumberGrammar::take(char c) noexcept {
  const State next = after(c);  // no character leads back to the start: it stands for "not this one"
  if (next == State::start) return false;
  state_ = next;
  return true;
}

bool NumberGrammar::complete() const noexcept {
  return state_ == State::zero || state_ == State::digits || state_ == State::fraction || state_ == State::exponent;
}

bool is_json_number(std::string_view text) noexcept {
  NumberGrammar grammar;
  return std::all_of(text.begin(), text.end(), [&](char c) { return grammar.take(c); }) && grammar.complete();
}

bool is_written_as_integer(std::string_view number) noexcept {
  return number.find_first_of(".eE") == std::string_view::npos;
}

bool is_nonfinite(std::string_view text) noexcept { return text == "NaN" || text == "Infinity" || text == "-Infinity"; }

double nonfinite_value(std::string_view text) noexcept {
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  return text.front() == '-' ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
}

namespace {

// Far beyond what any element type or any held text (Limits::max_number_chars) can make up for.
constexpr std::int64_t kExponentCap = 1'000'000'000'000;

// The parts of a JSON number: value = ±(whole . fraction) × 10^exponent.
struct Parts {
  bool negative = false;
  std::string_view whole;
  std::string_view fraction;
  std::int64_t exponent = 0;

  [[nodiscard]] char digit(std::size_t i) const noexcept {
    return i < whole.size() ? whole[i] : fraction[i - whole.size()];
  }
  [[nodiscard]] std::size_t digits() const noexcept { return whole.size() + fraction.size(); }
};

std::int64_t read_exponent(std::string_view text) noexcept {
  const bool negative = !text.empty() && text.front() == '-';
  std::int64_t value = 0;
  for (const char c : text) {
    if (is_digit(c)) value = std::min(value * 10 + (c - '0'), kExponentCap);
  }
  return negative ? -value : value;
}

Parts split(std::string_view number) noexcept {
  Parts parts;
  parts.negative = number.front() == '-';
  if (parts.negative) number.remove_prefix(1);
  const std::size_t e = std::min(number.find_first_of("eE"), number.size());
  if (e < number.size()) parts.exponent = read_exponent(number.substr(e + 1));
  const std::string_view mantissa = number.substr(0, e);
  const std::size_t point = std::min(mantissa.find('.'), mantissa.size());
  parts.whole = mantissa.substr(0, point);
  if (point < mantissa.size()) parts.fraction = mantissa.substr(point + 1);
  return parts;
}

// Multiplies by ten and adds; false on overflow.
bool append_digit(std::uint64_t& value, unsigned digit) noexcept {
  return !__builtin_mul_overflow(value, std::uint64_t{10}, &value) &&
         !__builtin_add_overflow(value, std::uint64_t{digit}, &value);
}

// The text without its zeros at both ends: digits [first, last) × 10^scale. Empty for zero.
struct Significant {
  std::size_t first = 0;
  std::size_t last = 0;
  std::int64_t scale = 0;
};

Significant significant(const Parts& parts) noexcept {
  Significant found{0, parts.digits(), 0};
  while (found.first < found.last && parts.digit(found.first) == '0') ++found.first;
  while (found.first < found.last && parts.digit(found.last - 1) == '0') --found.last;
  found.scale = parts.exponent + static_cast<std::int64_t>(parts.whole.size()) - static_cast<std::int64_t>(found.last);
  return found;
}

template <class T>
Fit parse_binary(std::string_view number, T& out) noexcept {
  T value = 0;
  const auto result = std::from_chars(number.data(), number.data() + number.size(), value);
  if (result.ec == std::errc{} && std::isfinite(value)) {
    out = value;
    return Fit::ok;
  }
  // Too large, or so small that it rounds to zero: the decimal exponent of the first digit tells which.
  const Parts parts = split(number);
  const Significant digits = significant(parts);
  if (digits.first < digits.last && digits.scale + static_cast<std::int64_t>(digits.last - digits.first) > 0) {
    return Fit::range;
  }
  out = parts.negative ? -T{0} : T{0};
  return Fit::ok;
}

}  // namespace

Fit parse_integer(std::string_view number, ExactInteger& out) noexcept {
  constexpr std::int64_t kMaxDigits = 20;  // of a uint64
  const Parts parts = split(number);
  const Significant digits = significant(parts);
  out = {parts.negative, 0};
  if (digits.first == digits.last) return Fit::ok;
  if (digits.scale < 0) return Fit::fraction;
  if (static_cast<std::int64_t>(digits.last - digits.first) + digits.scale > kMaxDigits) return Fit::range;
  for (std::size_t i = digits.first; i < digits.last; ++i) {
    if (!append_digit(out.magnitude, static_cast<unsigned>(parts.digit(i) - '0'))) return Fit::range;
  }
  for (std::int64_t i = 0; i < digits.scale; ++i) {
    if (!append_digit(out.magnitude, 0)) return Fit::range;
  }
  return Fit::ok;
}

Fit parse_float(std::string_view number, float& out) noexcept { return parse_binary(number, out); }
Fit parse_float(std::string_view number, double& out) noexcept { return parse_binary(number, out); }

}  // namespace tensorwire
