// Strict JSON (RFC 8259, and bare NaN, Infinity, -Infinity) that can pause at any byte.
#include "list_scanner.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "hex.hpp"

namespace tensorwire {
namespace {

constexpr bool is_high_surrogate(std::uint32_t unit) noexcept { return unit >= 0xD800 && unit <= 0xDBFF; }
constexpr bool is_low_surrogate(std::uint32_t unit) noexcept { return unit >= 0xDC00 && unit <= 0xDFFF; }

// Characters that stand for themselves in a string, in one byte.
constexpr bool is_plain(char c) noexcept {
  return static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x80 && c != '"' && c != '\\';
}

std::string shown(char c) {
  if (is_plain(c) || c == '\\') return std::string("'") + c + "'";
  if (c == '"') return "'\"'";
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "byte 0x%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
  return text.data();
}

}  // namespace

ListReader::Step ListScanner::feed(std::string_view text, ListSink& sink) {
  at_ = text.data();
  end_ = at_ + text.size();
  Stop stop = expect_ == Expect::broken ? Stop::syntax : Stop::no;
  while (stop == Stop::no && at_ != end_ && expect_ != Expect::finished) stop = step(sink);
  const auto consumed = static_cast<std::size_t>(at_ - text.data());
  if (stop == Stop::syntax) return {consumed, ListReader::Status::syntax};
  if (stop == Stop::object) return {consumed, ListReader::Status::object};
  return {consumed, expect_ == Expect::finished ? ListReader::Status::done : ListReader::Status::more};
}

// Moves by at least one byte, or into another state.
ListScanner::Stop ListScanner::step(ListSink& sink) {
  switch (expect_) {
    case Expect::value:
    case Expect::value_or_end:
      return at_value(sink);
    case Expect::comma_or_end:
      return at_comma_or_end(sink);
    case Expect::number:
      return in_number(sink);
    case Expect::literal:
      return in_literal(sink);
    case Expect::string:
      return in_string(sink);
    case Expect::finished:
    case Expect::broken:
      break;
  }
  return Stop::no;
}

void ListScanner::skip_blanks() noexcept {
  while (at_ != end_ && run_detail::is_blank(*at_)) ++at_;
}

ListScanner::Stop ListScanner::at_value(ListSink& sink) {
  skip_blanks();
  if (depth_ != 0 && static_cast<std::size_t>(end_ - at_) >= kRunSlack) {
    const Run run = sink.run(at_, end_);
    if (run.count != 0) {
      at_ = run.next;
      expect_ = run.closes ? Expect::comma_or_end : Expect::value;
      return Stop::no;
    }
  }
  return at_ == end_ ? Stop::no : begin_value(sink);
}

ListScanner::Stop ListScanner::begin_value(ListSink& sink) {
  switch (*at_) {
    case '[':
      ++at_;
      ++depth_;
      sink.open();
      expect_ = Expect::value_or_end;
      return Stop::no;
    case ']':
      if (expect_ != Expect::value_or_end) break;
      close(sink);
      return Stop::no;
    case '"':
      if (whole_string(sink)) return Stop::no;
      ++at_;
      token_.clear();
      expect_ = Expect::string;
      return Stop::no;
    case '{':
      return begin_object(sink);
    case 't':
      begin_literal("true", ScalarKind::boolean);
      return Stop::no;
    case 'f':
      begin_literal("false", ScalarKind::boolean);
      return Stop::no;
    case 'n':
      begin_literal("null", ScalarKind::null);
      return Stop::no;
    case 'N':
      begin_literal("NaN", ScalarKind::nonfinite);
      return Stop::no;
    case 'I':
      begin_literal("Infinity", ScalarKind::nonfinite);
      return Stop::no;
    default:
      if (*at_ != '-' && (*at_ < '0' || *at_ > '9')) break;
      begin_number();
      return Stop::no;
  }
  return fail(expect_ == Expect::value_or_end ? "a value or ']'" : "a value");
}

// The caller passes the object by; what follows is read as if it had been a value.
ListScanner::Stop ListScanner::begin_object(ListSink& sink) {
  sink.scalar({ScalarKind::object, {}, false});
  end_value();
  return Stop::object;
}

void ListScanner::begin_number() {
  token_.clear();
  grammar_ = NumberGrammar();
  expect_ = Expect::number;
}

void ListScanner::begin_literal(std::string_view word, ScalarKind kind) {
  literal_ = word;
  literal_read_ = 0;
  literal_kind_ = kind;
  expect_ = Expect::literal;
}

// The usual string, short, without escapes and all there, needs no copy.
bool ListScanner::whole_string(ListSink& sink) {
  const char* const begin = at_ + 1;
  const char* const stop = end_ - begin > 64 ? begin + 64 : end_;
  const char* p = begin;
  while (p != stop && is_plain(*p)) ++p;
  if (p == stop || *p != '"' || static_cast<std::size_t>(p - begin) > std::min(max_string_, max_number_)) return false;
  at_ = p + 1;
  sink.scalar({ScalarKind::string, {begin, static_cast<std::size_t>(p - begin)}, false});
  end_value();
  return true;
}

ListScanner::Stop ListScanner::at_comma_or_end(ListSink& sink) {
  skip_blanks();
  if (at_ == end_) return Stop::no;
  if (*at_ == ',') {
    ++at_;
    expect_ = Expect::value;
    return Stop::no;
  }
  if (*at_ != ']') return fail("',' or ']'");
  close(sink);
  return Stop::no;
}

void ListScanner::close(ListSink& sink) {
  ++at_;
  --depth_;
  sink.close();
  end_value();
}

ListScanner::Stop ListScanner::in_number(ListSink& sink) {
  const char* const begin = at_;
  while (at_ != end_ && grammar_.take(*at_)) ++at_;
  keep({begin, static_cast<std::size_t>(at_ - begin)}, max_number_);
  if (at_ == end_) return Stop::no;
  if (token_ == "-" && *at_ == 'I') {
    begin_literal("-Infinity", ScalarKind::nonfinite);
    literal_read_ = 1;
    return Stop::no;
  }
  if (!grammar_.complete()) return fail("a digit");
  end_scalar(sink, ScalarKind::number);
  return Stop::no;
}

ListScanner::Stop ListScanner::in_literal(ListSink& sink) {
  while (at_ != end_ && literal_read_ != literal_.size()) {
    if (*at_ != literal_[literal_read_]) return fail(literal_);
    ++at_;
    ++literal_read_;
  }
  if (literal_read_ != literal_.size()) return Stop::no;
  token_ = literal_;
  end_scalar(sink, literal_kind_);
  return Stop::no;
}

void ListScanner::end_scalar(ListSink& sink, ScalarKind kind) {
  sink.scalar({kind, token_, cut_});
  cut_ = false;
  token_.clear();
  end_value();
}

void ListScanner::keep(std::string_view text, std::size_t limit) {
  const std::size_t room = limit - std::min(limit, token_.size());
  if (text.size() > room) cut_ = true;
  token_.append(text.substr(0, room));
}

ListScanner::Stop ListScanner::in_string(ListSink& sink) {
  while (at_ != end_ && expect_ == Expect::string) {
    plain_run();
    if (at_ == end_) break;
    const Stop stop = string_byte(sink, *at_);
    if (stop != Stop::no) return stop;
    ++at_;
  }
  return Stop::no;
}

void ListScanner::plain_run() {
  if (in_string_ != InString::plain || !utf8_.complete()) return;
  const char* const begin = at_;
  while (at_ != end_ && is_plain(*at_)) ++at_;
  keep({begin, static_cast<std::size_t>(at_ - begin)}, max_string_);
}

ListScanner::Stop ListScanner::string_byte(ListSink& sink, char c) {
  switch (in_string_) {
    case InString::escape:
      return escape(c);
    case InString::hex:
      return hex_digit(c);
    case InString::low_escape:
      if (c != '\\') return fail("the \\u escape of a low surrogate");
      in_string_ = InString::low_u;
      return Stop::no;
    case InString::low_u:
      if (c != 'u') return fail("the \\u escape of a low surrogate");
      in_string_ = InString::hex;
      return Stop::no;
    case InString::plain:
      break;
  }
  if (static_cast<unsigned char>(c) < 0x20) return fail("an escape: control characters cannot stand in a string");
  if (!utf8_.take(static_cast<unsigned char>(c))) return fail("UTF-8");
  if (c == '\\') {
    in_string_ = InString::escape;
  } else if (c == '"') {
    end_scalar(sink, ScalarKind::string);
  } else {
    keep({&c, 1}, max_string_);
  }
  return Stop::no;
}

ListScanner::Stop ListScanner::escape(char c) {
  constexpr std::string_view kNames = "\"\\/bfnrt";
  constexpr std::string_view kValues = "\"\\/\b\f\n\r\t";
  if (c == 'u') {
    in_string_ = InString::hex;
    return Stop::no;
  }
  const std::size_t i = kNames.find(c);
  if (i == std::string_view::npos) return fail("an escape that JSON knows");
  keep(kValues.substr(i, 1), max_string_);
  in_string_ = InString::plain;
  return Stop::no;
}

ListScanner::Stop ListScanner::hex_digit(char c) {
  const int value = hex_value(c);
  if (value < 0) return fail("four hexadecimal digits");
  unit_ = unit_ * 16 + static_cast<std::uint32_t>(value);
  if (++unit_digits_ < 4) return Stop::no;
  unit_digits_ = 0;
  return end_code_unit();
}

ListScanner::Stop ListScanner::end_code_unit() {
  const std::uint32_t unit = unit_;
  unit_ = 0;
  in_string_ = InString::plain;
  if (high_unit_ != 0) {
    if (!is_low_surrogate(unit)) return fail("the \\u escape of a low surrogate");
    keep_code_point(0x10000 + ((high_unit_ - 0xD800) << 10) + (unit - 0xDC00));
    high_unit_ = 0;
    return Stop::no;
  }
  if (is_low_surrogate(unit)) return fail("a high surrogate before a low one");
  if (is_high_surrogate(unit)) {
    high_unit_ = unit;
    in_string_ = InString::low_escape;
    return Stop::no;
  }
  keep_code_point(unit);
  return Stop::no;
}

void ListScanner::keep_code_point(std::uint32_t point) {
  std::array<char, 4> bytes{};
  std::size_t n = 0;
  const auto add = [&](std::uint32_t byte) { bytes[n++] = static_cast<char>(static_cast<unsigned char>(byte)); };
  if (point < 0x80) {
    add(point);
  } else if (point < 0x800) {
    add(0xC0 | point >> 6);
  } else if (point < 0x10000) {
    add(0xE0 | point >> 12);
    add(0x80 | (point >> 6 & 0x3F));
  } else {
    add(0xF0 | point >> 18);
    add(0x80 | (point >> 12 & 0x3F));
    add(0x80 | (point >> 6 & 0x3F));
  }
  if (point >= 0x80) add(0x80 | (point & 0x3F));
  keep({bytes.data(), n}, max_string_);
}

ListScanner::Stop ListScanner::fail(std::string_view expected) {
  syntax_error_ = "in the value of data: expected " + std::string(expected) + ", found " + shown(*at_);
  expect_ = Expect::broken;
  return Stop::syntax;
}

}  // namespace tensorwire
