// Expected<T, E>: either a T or what went wrong instead, which nobody can drop unread. Result and Outcome are made of
// it.
#pragma once

#include <optional>
#include <utility>
#include <variant>

namespace tensorwire {

// Either a T or an E. Where there is no T, value() (and *, ->) throws an E::Exception, made from the E.
//
// Taken from an Expected that is about to go, the T and the E come by value, not by reference: `auto&& x =
// f().value();` and `for (float x : f().value())` keep what they use alive.
template <class T, class E>
class [[nodiscard]] Expected {
 public:
  // Implicit from both sides, so that `return tensor;` and `return Error{...};` both read well.
  Expected(const T& value) : state_(std::in_place_index<0>, value) {}        // NOLINT(google-explicit-constructor)
  Expected(T&& value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Expected(E error) : state_(std::in_place_index<1>, std::move(error)) {}    // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  [[nodiscard]] T& value() & {
    require();
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] const T& value() const& {
    require();
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] T value() && {
    require();
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // Only when !ok().
  [[nodiscard]] E& error() & { return *std::get_if<1>(&state_); }
  [[nodiscard]] const E& error() const& { return *std::get_if<1>(&state_); }
  [[nodiscard]] E error() && { return std::move(*std::get_if<1>(&state_)); }

 private:
  void require() const {
    if (!ok()) throw typename E::Exception(error());
  }
  std::variant<T, E> state_;
};

// Success, or an E.
template <class E>
class [[nodiscard]] Expected<void, E> {
 public:
  Expected() = default;
  Expected(E error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return ok(); }
  void value() const {
    if (!ok()) throw typename E::Exception(error());
  }

  // Only when !ok().
  [[nodiscard]] E& error() & { return *error_; }
  [[nodiscard]] const E& error() const& { return *error_; }
  [[nodiscard]] E error() && { return *std::move(error_); }

 private:
  std::optional<E> error_;
};

}  // namespace tensorwire
