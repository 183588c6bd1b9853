// A small JSON value for the parts of a message that no contract fixes: a request's params and a reply's result.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tensorwire/error.hpp"

namespace tensorwire {

// null, bool, int64, uint64 (only what exceeds int64), double, string, array or object (members in their order).
class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;

  Json() noexcept = default;
  // Implicit, so that results read like literals: Json::object({{"mean", 1.5}, {"shape", Json::array({2, 3})}}).
  Json(std::nullptr_t) noexcept {}                                // NOLINT(google-explicit-constructor)
  Json(bool value) noexcept : value_(value) {}                    // NOLINT(google-explicit-constructor)
  Json(int value) noexcept : value_(std::int64_t{value}) {}       // NOLINT(google-explicit-constructor)
  Json(std::int64_t value) noexcept : value_(value) {}            // NOLINT(google-explicit-constructor)
  Json(std::uint64_t value) noexcept;                             // NOLINT(google-explicit-constructor)
  Json(double value) noexcept : value_(value) {}                  // NOLINT(google-explicit-constructor)
  Json(std::string value) noexcept : value_(std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Json(std::string_view value) : value_(std::string(value)) {}    // NOLINT(google-explicit-constructor)
  Json(const char* value) : value_(std::string(value)) {}         // NOLINT(google-explicit-constructor)
  Json(Array value) noexcept : value_(std::move(value)) {}        // NOLINT(google-explicit-constructor)
  Json(Object value) noexcept : value_(std::move(value)) {}       // NOLINT(google-explicit-constructor)
  // Copies by way of a value that is moved in: where copying runs out of memory, g++ 12's std::variant would otherwise
  // destroy an alternative that it never made (it believes that strings and vectors cannot fail).
  Json(const Json& other) { *this = other; }
  Json& operator=(const Json& other) {
    Value copy = std::visit([](const auto& held) { return Value(std::decay_t<decltype(held)>(held)); }, other.value_);
    value_ = std::move(copy);
    return *this;
  }
  Json(Json&&) noexcept = default;
  Json& operator=(Json&&) noexcept = default;
  ~Json() = default;
  static Json array(std::initializer_list<Json> items = {}) { return Json(Array(items)); }
  static Json object(std::initializer_list<Member> members = {}) { return Json(Object(members)); }

  // Strict JSON (RFC 8259), at most max_depth deep; `bad_json` otherwise.
  [[nodiscard]] static Result<Json> parse(std::string_view text, std::size_t max_depth = 64);
  // Compact strict JSON. NaN and infinities are written as the strings "NaN", "Infinity", "-Infinity".
  [[nodiscard]] std::string dump() const;
  void dump_to(std::string& out) const;

  [[nodiscard]] bool is_null() const noexcept { return std::holds_alternative<std::monostate>(value_); }
  [[nodiscard]] bool is_object() const noexcept { return std::holds_alternative<Object>(value_); }
  [[nodiscard]] bool is_array() const noexcept { return std::holds_alternative<Array>(value_); }
  [[nodiscard]] std::optional<bool> as_bool() const noexcept;
  [[nodiscard]] std::optional<std::int64_t> as_int() const noexcept;  // integers within int64, and whole doubles there
  [[nodiscard]] std::optional<std::uint64_t> as_uint() const noexcept;       // likewise within uint64
  [[nodiscard]] std::optional<double> as_double() const noexcept;            // any number
  [[nodiscard]] std::optional<std::string_view> as_string() const noexcept;  // valid while this value lives unchanged
  [[nodiscard]] const Array* as_array() const noexcept { return std::get_if<Array>(&value_); }
  [[nodiscard]] const Object* as_object() const noexcept { return std::get_if<Object>(&value_); }

  // The member of that name, or null when there is none or this is no object.
  [[nodiscard]] const Json* find(std::string_view name) const noexcept;
  // Sets a member (this becomes an object when it was null).
  Json& set(std::string name, Json value);
  // Adds a member to an object without looking whether the name is there: for parsers, which have looked already.
  void append(std::string name, Json value) {
    std::get<Object>(value_).emplace_back(std::move(name), std::move(value));
  }
  // Appends to an array (this becomes one when it was null).
  void push(Json value);
  friend bool operator==(const Json&, const Json&) = default;

  using Value = std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string, Array, Object>;
  [[nodiscard]] const Value& value() const noexcept { return value_; }

 private:
  Value value_;
};

}  // namespace tensorwire
