// Decimal texts to exact typed values: each integer as it was written, each float rounded once.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string_view>

#include "tensorwire/floats.hpp"

namespace tensorwire {

// The grammar of a JSON number (RFC 8259, section 6), one character at a time.
class NumberGrammar {
 public:
  // Takes c when the number can go on with it; false (and nothing changed) otherwise.
  bool take(char c) noexcept;
  // Whether what was taken so far is a whole number.
  [[nodiscard]] bool complete() const noexcept;
  // Whether it was written without fraction and exponent.
  [[nodiscard]] bool is_integer() const noexcept { return state_ <= State::digits; }

 private:
  enum class State : std::uint8_t { start, minus, zero, digits, point, fraction, e, e_sign, exponent };
  [[nodiscard]] State after(char c) const noexcept;
  State state_ = State::start;
};

[[nodiscard]] bool is_json_number(std::string_view text) noexcept;
// For a JSON number: whether it has neither fraction nor exponent (1.0 and 1e3 have).
[[nodiscard]] bool is_written_as_integer(std::string_view number) noexcept;
// NaN, Infinity, -Infinity: spelled exactly so.
[[nodiscard]] bool is_nonfinite(std::string_view text) noexcept;
// For one of those three texts.
[[nodiscard]] double nonfinite_value(std::string_view text) noexcept;

// How a decimal text fits an element type.
enum class Fit : std::uint8_t {
  ok,
  fraction,  // an integer type, and the value is no integer
  range,     // an integer type that ends before, or a float type where a finite value would become infinite
};

struct ExactInteger {
  bool negative = false;
  std::uint64_t magnitude = 0;
};

// The readers below want a JSON number (is_json_number) of any length and with any exponent; they take time linear in
// its length. 1.0 and 1e3 are integers; digits are never carried through a double.
[[nodiscard]] Fit parse_integer(std::string_view number, ExactInteger& out) noexcept;
[[nodiscard]] Fit parse_float(std::string_view number, float& out) noexcept;
[[nodiscard]] Fit parse_float(std::string_view number, double& out) noexcept;

// Whether the integer lies in T's range. No branch on the sign, which nobody can predict.
template <std::integral T>
[[nodiscard]] constexpr bool fits(const ExactInteger& value) noexcept {
  constexpr std::uint64_t kMax{std::numeric_limits<T>::max()};
  if constexpr (std::signed_integral<T>) return value.magnitude <= kMax + std::uint64_t{value.negative};
  return value.magnitude <= kMax * std::uint64_t{!value.negative};
}

// For a value that fits.
template <std::integral T>
[[nodiscard]] constexpr T to_integer(const ExactInteger& value) noexcept {
  const std::uint64_t sign = std::uint64_t{0} - std::uint64_t{value.negative};
  return static_cast<T>((value.magnitude ^ sign) - sign);
}

// Types that have no decimal reader of their own take the double, rounded once more as their users do.
template <class T>
concept SmallFloat = requires(T value) {
  { T::from(0.0) } -> std::same_as<T>;
  { value.to_float() } -> std::same_as<float>;
};

// One rounding from the double; false when a finite value has no finite neighbour in T.
template <SmallFloat T>
[[nodiscard]] bool round_to(double value, T& out) noexcept {
  out = T::from(value);
  return std::isfinite(out.to_float());
}

template <std::integral T>
[[nodiscard]] Fit parse_number(std::string_view number, T& out) noexcept {
  ExactInteger value;
  const Fit fit = parse_integer(number, value);
  if (fit != Fit::ok) return fit;
  if (!fits<T>(value)) return Fit::range;
  out = to_integer<T>(value);
  return Fit::ok;
}
template <std::floating_point T>
[[nodiscard]] Fit parse_number(std::string_view number, T& out) noexcept {
  return parse_float(number, out);
}
template <SmallFloat T>
[[nodiscard]] Fit parse_number(std::string_view number, T& out) noexcept {
  double value = 0;
  if (parse_float(number, value) != Fit::ok || !round_to(value, out)) return Fit::range;
  return Fit::ok;
}

}  // namespace tensorwire
