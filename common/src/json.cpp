// JSON values by RapidJSON's iterative SAX parser, and their text; neither follows a document's nesting on the stack.
#include "tensorwire/json.hpp"

#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory_resource>
#include <new>

#include "hex.hpp"
#include "numbers.hpp"
#include "tensorwire/utf8.hpp"

namespace tensorwire {
namespace {

constexpr double kTwo63 = 0x1p63;
constexpr double kTwo64 = 0x1p64;
// Up to so many members duplicates are looked for one by one, above by sorting.
constexpr std::size_t kFewMembers = 8;

// RapidJSON's own allocator hands out null when there is no memory, and its stack then writes to it.
class ThrowingAllocator {
 public:
  // NOLINTBEGIN(readability-identifier-naming): these are the names that RapidJSON calls
  [[maybe_unused]] static constexpr bool kNeedFree = true;
  void* Malloc(std::size_t size) { return Realloc(nullptr, 0, size); }
  void* Realloc(void* old, std::size_t, std::size_t size) {
    if (size == 0) return Free(old), nullptr;
    void* block = std::realloc(old, size);
    if (block == nullptr) throw std::bad_alloc();
    return block;
  }
  static void Free(void* block) { std::free(block); }
  // NOLINTEND(readability-identifier-naming)
};

std::string escape_pointer(std::string_view token) {
  std::string text;
  for (const char c : token) {
    if (c == '~') {
      text += "~0";
    } else if (c == '/') {
      text += "~1";
    } else {
      text += c;
    }
  }
  return text;
}

// The first name that stands twice, or null.
const std::string* find_duplicate(const Json::Object& members) {
  if (members.size() <= kFewMembers) {
    for (auto member = members.begin(); member != members.end(); ++member) {
      const auto same = [&](const Json::Member& other) { return other.first == member->first; };
      if (std::any_of(members.begin(), member, same)) return &member->first;
    }
    return nullptr;
  }
  std::vector<const std::string*> names;
  names.reserve(members.size());
  for (const auto& member : members) names.push_back(&member.first);
  std::sort(names.begin(), names.end(), [](const auto* a, const auto* b) { return *a < *b; });
  const auto twice =
      std::adjacent_find(names.begin(), names.end(), [](const auto* a, const auto* b) { return *a == *b; });
  return twice == names.end() ? nullptr : *twice;
}

// RapidJSON lets an escaped lone low surrogate ("\udc00") through; its UTF-8 form gives it away.
bool has_surrogate(std::string_view text) noexcept {
  for (std::size_t at = text.find('\xED'); at != std::string_view::npos; at = text.find('\xED', at + 1)) {
    if (at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) >= 0xA0) return true;
  }
  return false;
}

template <class Integer>
bool read_whole(std::string_view text, Integer& value) noexcept {
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failure == std::errc() && end == text.data() + text.size();
}

// Builds the value from the parser's events. Returning false ends the parse; `error` then says why.
class Builder {
 public:
  explicit Builder(std::size_t max_depth) : max_depth_(max_depth) {}

  bool Null() { return add(Json()); }
  bool Bool(bool value) { return add(value); }
  // All numbers come as text (see kFlags).
  bool RawNumber(const char* text, rapidjson::SizeType length, bool) { return add_number({text, length}); }
  bool Int(int) { return false; }
  bool Uint(unsigned) { return false; }
  bool Int64(std::int64_t) { return false; }
  bool Uint64(std::uint64_t) { return false; }
  bool Double(double) { return false; }
  bool String(const char* text, rapidjson::SizeType length, bool) {
    const std::string_view view(text, length);
    return well_formed(view) && add(view);
  }
  bool StartObject() { return open(Json::object()); }
  bool Key(const char* text, rapidjson::SizeType length, bool) {
    open_.back().key.assign(text, length);
    return well_formed(open_.back().key);
  }
  bool EndObject(rapidjson::SizeType) {
    const std::string* twice = find_duplicate(std::get<Json::Object>(open_.back().value));
    if (twice != nullptr) return refuse_duplicate(*twice);
    return close();
  }
  bool StartArray() { return open(Json::array()); }
  bool EndArray(rapidjson::SizeType) { return close(); }

  std::optional<Error> error;
  Json root;

 private:
  // A container that is not closed yet.
  struct Frame {
    std::variant<Json::Array, Json::Object> value;
    std::string key;  // of the member that is being read
  };

  bool add(Json value) {
    if (open_.empty()) {
      root = std::move(value);
    } else if (auto* items = std::get_if<Json::Array>(&open_.back().value)) {
      items->push_back(std::move(value));
    } else {
      std::get<Json::Object>(open_.back().value).emplace_back(std::move(open_.back().key), std::move(value));
    }
    return true;
  }

  // The narrowest of int64, uint64 and double that holds the number.
  bool add_number(std::string_view text) {
    std::int64_t integer = 0;
    std::uint64_t natural = 0;
    double real = 0;
    if (read_whole(text, integer)) return add(integer);
    if (read_whole(text, natural)) return add(natural);
    if (parse_float(text, real) == Fit::ok) return add(real);
    error = Error{ErrorCode::bad_json, "a number is beyond the range of float64", pointer()};
    return false;
  }

  bool open(const Json& empty) {
    if (open_.size() >= max_depth_) {
      error = Error{ErrorCode::bad_json,
                    "the JSON is nested deeper than the limit of " + std::to_string(max_depth_) + " levels",
                    {}};
      return false;
    }
    Frame& frame = open_.emplace_back();
    if (empty.is_object()) frame.value = Json::Object();
    return true;
  }

  bool close() {
    auto value = std::move(open_.back().value);
    open_.pop_back();
    return std::visit([this](auto& content) { return add(Json(std::move(content))); }, value);
  }

  bool well_formed(std::string_view text) {
    if (!has_surrogate(text)) return true;
    error = Error{ErrorCode::bad_json, "a string has an escaped surrogate without its other half", pointer()};
    return false;
  }

  bool refuse_duplicate(const std::string& name) {
    error = Error{ErrorCode::bad_message, "the member \"" + name + "\" is given twice in one object", {}};
    open_.back().key = name;
    error->at = pointer();
    return false;
  }

  // The place that is being read.
  [[nodiscard]] std::string pointer() const {
    std::string text;
    for (const Frame& frame : open_) {
      const auto* items = std::get_if<Json::Array>(&frame.value);
      text += '/';
      text += items != nullptr ? std::to_string(items->size()) : escape_pointer(frame.key);
    }
    return text;
  }

  std::size_t max_depth_;
  std::vector<Frame> open_;
};

Error syntax_error(std::string_view text, std::size_t at, std::string_view reason) {
  std::string message = "no valid JSON at byte " + std::to_string(at) + ": " + std::string(reason);
  if (text.starts_with("\xEF\xBB\xBF")) message += " The text begins with a byte order mark, which JSON forbids.";
  return {ErrorCode::bad_json, std::move(message), {}};
}

Result<Json> parse_throwing(std::string_view text, std::size_t max_depth) {
  // Numbers as text: RapidJSON's own full-precision reading has undefined behaviour on texts such as "0e140".
  constexpr unsigned kFlags =
      rapidjson::kParseIterativeFlag | rapidjson::kParseNumbersAsStringsFlag | rapidjson::kParseValidateEncodingFlag;
  rapidjson::MemoryStream stream(text.data(), text.size());
  rapidjson::GenericReader<rapidjson::UTF8<>, rapidjson::UTF8<>, ThrowingAllocator> reader;
  Builder builder(max_depth);
  const auto outcome = reader.Parse<kFlags>(stream, builder);
  if (builder.error) return *std::move(builder.error);
  if (outcome.IsError()) return syntax_error(text, outcome.Offset(), rapidjson::GetParseError_En(outcome.Code()));
  // The stream reads as NUL behind its end, so a NUL inside the text looks like the end.
  if (stream.Tell() != text.size()) return syntax_error(text, stream.Tell(), "A NUL byte follows the value.");
  return std::move(builder.root);
}

void append_double(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "\"NaN\"";
  } else if (std::isinf(value)) {
    out += value < 0 ? "\"-Infinity\"" : "\"Infinity\"";
  } else {
    char digits[32];
    const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    const std::string_view text(digits, static_cast<std::size_t>(end - digits));
    out += text;
    if (text.find_first_of(".e") == std::string_view::npos) out += ".0";  // it stays a float for its reader
  }
}

void append_escape(std::string& out, char c) {
  constexpr std::string_view kNamed = "\"\\\b\f\n\r\t";
  constexpr std::string_view kLetters = "\"\\bfnrt";
  out += '\\';
  const std::size_t named = kNamed.find(c);
  if (named != std::string_view::npos) {
    out += kLetters[named];
  } else {
    out += "u00";
    out += hex_digit(static_cast<unsigned char>(c) >> 4U);
    out += hex_digit(static_cast<unsigned char>(c));
  }
}

bool is_plain(char c) noexcept { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; }

// Bytes that are no UTF-8 become U+FFFD, so that what leaves is always JSON.
void append_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const auto plain = static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_plain) - text.begin());
    out += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    const auto front = static_cast<unsigned char>(text.front());
    const std::size_t length = first_character(text).length;
    if (length == 0) {
      out += "\xEF\xBF\xBD";
    } else if (front < 0x20 || front == '"' || front == '\\') {
      append_escape(out, text.front());
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  out += '"';
}

template <class Integer>
void append_integer(std::string& out, Integer value) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

// Writes a value; the containers that it is inside of are a vector, not the stack.
class Dumper {
 public:
  explicit Dumper(std::string& out) : out_(out) {}

  void run(const Json& root) {
    begin(root);
    while (!open_.empty()) step();
  }

 private:
  struct Frame {
    const Json* value;
    std::size_t next;
  };

  void begin(const Json& value) {
    std::visit([&](const auto& content) { write(value, content); }, value.value());
  }
  void write(const Json&, std::monostate) { out_ += "null"; }
  void write(const Json&, bool value) { out_ += value ? "true" : "false"; }
  void write(const Json&, std::int64_t value) { append_integer(out_, value); }
  void write(const Json&, std::uint64_t value) { append_integer(out_, value); }
  void write(const Json&, double value) { append_double(out_, value); }
  void write(const Json&, const std::string& value) { append_string(out_, value); }
  void write(const Json& value, const Json::Array&) { enter(value, '['); }
  void write(const Json& value, const Json::Object&) { enter(value, '{'); }

  void enter(const Json& value, char bracket) {
    out_ += bracket;
    open_.push_back({&value, 0});
  }

  // Writes the next element of the innermost container, or its end.
  void step() {
    const Frame frame = open_.back();
    const auto* items = frame.value->as_array();
    const auto* members = frame.value->as_object();
    if (frame.next == (items != nullptr ? items->size() : members->size())) {
      out_ += items != nullptr ? ']' : '}';
      return open_.pop_back();
    }
    ++open_.back().next;
    if (frame.next != 0) out_ += ',';
    if (items != nullptr) return begin((*items)[frame.next]);
    append_string(out_, (*members)[frame.next].first);
    out_ += ':';
    begin((*members)[frame.next].second);
  }

  std::string& out_;
  // The frames of usual nestings fit in here: small replies are written by the million.
  std::array<std::byte, 256> arena_;
  std::pmr::monotonic_buffer_resource memory_{arena_.data(), arena_.size()};
  std::pmr::vector<Frame> open_{&memory_};
};

}  // namespace

Json::Json(std::uint64_t value) noexcept {
  if (value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    value_ = static_cast<std::int64_t>(value);
  } else {
    value_ = value;
  }
}

Result<Json> Json::parse(std::string_view text, std::size_t max_depth) {
  try {
    return parse_throwing(text, max_depth);
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::overloaded, "no memory to read " + std::to_string(text.size()) + " bytes of JSON", {}};
  }
}

std::string Json::dump() const {
  std::string text;
  dump_to(text);
  return text;
}

void Json::dump_to(std::string& out) const { Dumper(out).run(*this); }

std::optional<bool> Json::as_bool() const noexcept {
  const auto* value = std::get_if<bool>(&value_);
  return value != nullptr ? std::optional(*value) : std::nullopt;
}

std::optional<std::int64_t> Json::as_int() const noexcept {
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return *value;
  const auto* value = std::get_if<double>(&value_);
  if (value == nullptr || std::trunc(*value) != *value || *value < -kTwo63 || *value >= kTwo63) return std::nullopt;
  return static_cast<std::int64_t>(*value);
}

std::optional<std::uint64_t> Json::as_uint() const noexcept {
  if (const auto* value = std::get_if<std::uint64_t>(&value_)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&value_)) {
    return *value >= 0 ? std::optional(static_cast<std::uint64_t>(*value)) : std::nullopt;
  }
  const auto* value = std::get_if<double>(&value_);
  if (value == nullptr || std::trunc(*value) != *value || *value < 0 || *value >= kTwo64) return std::nullopt;
  return static_cast<std::uint64_t>(*value);
}

std::optional<double> Json::as_double() const noexcept {
  if (const auto* value = std::get_if<double>(&value_)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*value);
  if (const auto* value = std::get_if<std::uint64_t>(&value_)) return static_cast<double>(*value);
  return std::nullopt;
}

std::optional<std::string_view> Json::as_string() const noexcept {
  const auto* value = std::get_if<std::string>(&value_);
  return value != nullptr ? std::optional<std::string_view>(*value) : std::nullopt;
}

const Json* Json::find(std::string_view name) const noexcept {
  const auto* members = as_object();
  if (members == nullptr) return nullptr;
  const auto found =
      std::find_if(members->begin(), members->end(), [&](const Member& member) { return member.first == name; });
  return found == members->end() ? nullptr : &found->second;
}

Json& Json::set(std::string name, Json value) {
  if (is_null()) value_ = Object();
  auto& members = std::get<Object>(value_);
  const auto found =
      std::find_if(members.begin(), members.end(), [&](const Member& member) { return member.first == name; });
  if (found != members.end()) {
    found->second = std::move(value);
  } else {
    members.emplace_back(std::move(name), std::move(value));
  }
  return *this;
}

void Json::push(Json value) {
  if (is_null()) value_ = Array();
  std::get<Array>(value_).push_back(std::move(value));
}

}  // namespace tensorwire
