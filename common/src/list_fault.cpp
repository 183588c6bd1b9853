// The sentences that tell a sender which value of a list does not fit, why, and what to send instead.
#include "list_fault.hpp"

#include <array>
#include <limits>
#include <utility>

#include "numbers.hpp"

namespace tensorwire {
namespace {

// For the message: at most 40 bytes, cut between characters.
std::string shorten(std::string_view text) {
  constexpr std::size_t kShown = 40;
  if (text.size() <= kShown) return std::string(text);
  std::size_t end = kShown;
  while (end != 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "…";
}

struct IntegerRange {
  DType dtype;
  std::string_view text;
};
constexpr std::array<IntegerRange, 8> kIntegerRanges = {{
    {DType::int8, "-128…127"},
    {DType::int16, "-32768…32767"},
    {DType::int32, "-2147483648…2147483647"},
    {DType::int64, "-9223372036854775808…9223372036854775807"},
    {DType::uint8, "0…255"},
    {DType::uint16, "0…65535"},
    {DType::uint32, "0…4294967295"},
    {DType::uint64, "0…18446744073709551615"},
}};

std::string range_of(DType dtype) {
  for (const IntegerRange& range : kIntegerRanges) {
    if (range.dtype == dtype) return std::string(range.text);
  }
  switch (dtype) {
    case DType::boolean:
      return "true, false, 1 or 0";
    case DType::float16:
      return "at most 65504 in magnitude";
    case DType::float8_e4m3fn:
      return "at most 448 in magnitude";
    case DType::float8_e5m2:
      return "at most 57344 in magnitude";
    case DType::bfloat16:
      return "at most 3.3895314e38 in magnitude";
    case DType::float32:
    case DType::complex64:
      return "at most 3.4028235e38 in magnitude";
    default:
      return "at most 1.7976931348623157e308 in magnitude";
  }
}

// The smallest signed and unsigned integer dtypes that hold the number.
std::string integer_advice(const ExactInteger& value) {
  std::string advice;
  const auto add = [&](std::string_view name) { advice.append(advice.empty() ? "" : " or ").append(name); };
  if (fits<std::int8_t>(value))
    add("int8");
  else if (fits<std::int16_t>(value))
    add("int16");
  else if (fits<std::int32_t>(value))
    add("int32");
  else if (fits<std::int64_t>(value))
    add("int64");
  if (fits<std::uint8_t>(value))
    add("uint8");
  else if (fits<std::uint16_t>(value))
    add("uint16");
  else if (fits<std::uint32_t>(value))
    add("uint32");
  else if (fits<std::uint64_t>(value))
    add("uint64");
  return advice;
}

std::string advice_for_range(const ListFault& fault, DTypeKind kind) {
  ExactInteger integer;
  double value = 0;
  if (kind == DTypeKind::floating || kind == DTypeKind::complex) {
    if (parse_float(fault.text, value) != Fit::ok) return "write Infinity if that is meant";
    float narrow = 0;
    const bool is_float = parse_float(fault.text, narrow) == Fit::ok;
    const std::string_view wide = is_float ? "float32" : "float64";
    return "send it as " + std::string(kind == DTypeKind::complex ? "complex128" : wide);
  }
  if (parse_integer(fault.text, integer) == Fit::ok) return "send it as " + integer_advice(integer);
  return parse_float(fault.text, value) == Fit::ok ? "send it as float64" : "no dtype holds it";
}

std::string type_of(const ListFault& fault, const std::string& shown) {
  switch (fault.scalar) {
    case ScalarKind::null:
      return "null";
    case ScalarKind::object:
      return "an object";
    case ScalarKind::boolean:
      return shown;
    case ScalarKind::string:
      return "string \"" + shown + "\"";
    case ScalarKind::number:
    case ScalarKind::nonfinite:
      break;
  }
  return "number " + shown;
}

std::string type_advice(const ListFault& fault, DTypeKind kind) {
  if (fault.scalar == ScalarKind::object) return "tensor objects stand in the request's `tensors`, never inside `data`";
  if (fault.scalar == ScalarKind::null) return "a missing value can be NaN in a float dtype";
  if (fault.scalar == ScalarKind::boolean) {
    return kind == DTypeKind::string ? "quote it" : "write 1 and 0, or send the tensor as bool";
  }
  return kind == DTypeKind::string ? "quote it" : "elements of one list are all of one type";
}

std::string wants(DType dtype) {
  switch (info(dtype).kind) {
    case DTypeKind::boolean:
      return "true, false, 1 and 0";
    case DTypeKind::string:
      return "strings";
    case DTypeKind::complex:
      return "[re, im] pairs of numbers";
    case DTypeKind::signed_integer:
    case DTypeKind::unsigned_integer:
    case DTypeKind::floating:
      break;
  }
  return "numbers";
}

struct Phrase {
  ErrorCode code;
  std::string text;
};

std::string plural(std::uint64_t n, std::string_view what) {
  return std::to_string(n) + " " + std::string(what) + (n == 1 ? "" : "s");
}

Phrase phrase_value(const ListFault& fault, const std::string& place, DType dtype, const std::string& name) {
  const DTypeKind kind = info(dtype).kind;
  const std::string shown = shorten(fault.text);
  switch (fault.kind) {
    case ListFaultKind::range:
      return {ErrorCode::value_out_of_range, "value " + shown + " at " + place + " does not fit " + name + " (" +
                                                 range_of(dtype) + "); " + advice_for_range(fault, kind)};
    case ListFaultKind::fraction:
      return {ErrorCode::value_out_of_range, "value " + shown + " at " + place + " is no integer, as " + name +
                                                 " needs; send it as float32 or float64, or round it first"};
    case ListFaultKind::not_finite:
      return {ErrorCode::value_out_of_range, "value " + shown + " at " + place + " does not fit " + name +
                                                 ", which has no such value; send it as float32 or float64"};
    case ListFaultKind::no_number:
      return {ErrorCode::bad_message,
              "string \"" + shown + "\" at " + place + " is no number, as " + name +
                  " needs (a JSON number, NaN, Infinity or -Infinity); labels need dtype string"};
    case ListFaultKind::mixed:
      return {ErrorCode::bad_message, "string \"" + shown + "\" at " + place +
                                          " is a number, the elements before it are labels; say which is meant: dtype "
                                          "\"string\" takes both as labels"};
    default:
      break;
  }
  return {ErrorCode::bad_message, type_of(fault, shown) + " at " + place + ": " + name + " takes " + wants(dtype) +
                                      "; " + type_advice(fault, kind)};
}

Phrase phrase_length(const ListFault& fault, const std::string& place) {
  if (fault.kind == ListFaultKind::long_number) {
    return {ErrorCode::value_out_of_range, "the number at " + place + " has more than " +
                                               plural(fault.expected, "character") + ": " + shorten(fault.text)};
  }
  return {ErrorCode::value_out_of_range, "the string at " + place + " has more than " + plural(fault.expected, "byte") +
                                             ": \"" + shorten(fault.text) + "\""};
}

Phrase phrase_nesting(const ListFault& fault, const std::string& place) {
  switch (fault.kind) {
    case ListFaultKind::ragged_length:
      return {ErrorCode::bad_shape, "ragged nesting: the list at " + place + " has " +
                                        (fault.found > fault.expected ? "more than " + std::to_string(fault.expected)
                                                                      : std::to_string(fault.found)) +
                                        " elements, the lists before it have " + std::to_string(fault.expected)};
    case ListFaultKind::ragged_list:
      return {ErrorCode::bad_shape,
              "ragged nesting: a list at " + place + ", where the elements before it are no lists"};
    case ListFaultKind::ragged_value:
      return {ErrorCode::bad_shape, "ragged nesting: no list at " + place + ", where the elements before it are lists"};
    default:
      break;
  }
  return {ErrorCode::bad_shape,
          "the lists at " + place + " are nested deeper than the " + std::to_string(kMaxRank) + " axes of a tensor"};
}

Phrase phrase(const ListFault& fault, const std::string& place, DType dtype, const std::string& name) {
  switch (fault.kind) {
    case ListFaultKind::long_number:
    case ListFaultKind::long_string:
      return phrase_length(fault, place);
    case ListFaultKind::ragged_length:
    case ListFaultKind::ragged_list:
    case ListFaultKind::ragged_value:
    case ListFaultKind::too_deep:
      return phrase_nesting(fault, place);
    default:
      return phrase_value(fault, place, dtype, name);
  }
}

}  // namespace

Error describe(const ListFault& fault, DType dtype, bool inferred, const std::string& data_at) {
  if (fault.memory) return {fault.memory->code, fault.memory->message, data_at};
  std::string place = data_at;
  for (const std::uint64_t index : fault.path) place.append("/").append(std::to_string(index));
  const std::string name(to_string(dtype));
  Phrase told = phrase(fault, place, dtype, name);
  if (inferred && told.code != ErrorCode::bad_shape)
    told.text += " (no dtype was given: the first elements told " + name + ")";
  return {told.code, std::move(told.text), std::move(place)};
}

}  // namespace tensorwire
