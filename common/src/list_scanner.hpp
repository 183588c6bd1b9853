// The grammar of a `data` value: JSON text in pieces of any size to events (lists opening and closing, scalars).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "list.hpp"
#include "number_run.hpp"
#include "numbers.hpp"
#include "tensorwire/utf8.hpp"

namespace tensorwire {

enum class ScalarKind : std::uint8_t { number, nonfinite, string, boolean, null, object };

// One scalar of the text. Its text is the token itself (for a string what it decodes to), valid during the call.
struct Scalar {
  ScalarKind kind = ScalarKind::null;
  std::string_view text;
  bool cut = false;  // the text is longer than the limit that the receiver set, and only its beginning is here
};

// Who receives the events.
class ListSink {
 public:
  virtual ~ListSink() = default;
  virtual void open() = 0;
  virtual void close() = 0;
  virtual void scalar(const Scalar& scalar) = 0;
  // May read any number of scalars from `begin` on, where a value must stand, by itself. count 0: it took none.
  virtual Run run(const char* begin, const char* end) = 0;
};

class ListScanner {
 public:
  // The most characters of one number, and of one string, that are handed on.
  ListScanner(std::size_t max_number, std::size_t max_string) : max_number_(max_number), max_string_(max_string) {}

  ListReader::Step feed(std::string_view text, ListSink& sink);
  [[nodiscard]] const std::string& syntax_error() const noexcept { return syntax_error_; }

 private:
  enum class Expect : std::uint8_t { value, value_or_end, comma_or_end, number, literal, string, finished, broken };
  enum class InString : std::uint8_t { plain, escape, hex, low_escape, low_u };
  enum class Stop : std::uint8_t { no, object, syntax };

  Stop step(ListSink& sink);
  Stop at_value(ListSink& sink);
  Stop begin_value(ListSink& sink);
  Stop begin_object(ListSink& sink);
  void begin_number();
  void begin_literal(std::string_view word, ScalarKind kind);
  bool whole_string(ListSink& sink);
  Stop at_comma_or_end(ListSink& sink);
  void close(ListSink& sink);
  Stop in_number(ListSink& sink);
  Stop in_literal(ListSink& sink);
  Stop in_string(ListSink& sink);
  Stop string_byte(ListSink& sink, char c);
  void plain_run();
  Stop escape(char c);
  Stop hex_digit(char c);
  Stop end_code_unit();
  void end_value() noexcept { expect_ = depth_ == 0 ? Expect::finished : Expect::comma_or_end; }
  void end_scalar(ListSink& sink, ScalarKind kind);
  void keep(std::string_view text, std::size_t limit);
  void keep_code_point(std::uint32_t point);
  Stop fail(std::string_view expected);
  void skip_blanks() noexcept;

  std::size_t max_number_;
  std::size_t max_string_;

  // The piece being fed.
  const char* at_ = nullptr;
  const char* end_ = nullptr;

  Expect expect_ = Expect::value;
  std::uint64_t depth_ = 0;
  std::string token_;  // of the scalar being read
  bool cut_ = false;
  NumberGrammar grammar_;
  std::string_view literal_;      // the word being read,
  std::size_t literal_read_ = 0;  // and how many of its characters are
  ScalarKind literal_kind_ = ScalarKind::null;
  InString in_string_ = InString::plain;
  Utf8State utf8_;
  std::uint32_t unit_ = 0;       // the \u escape being read,
  unsigned unit_digits_ = 0;     // how many of its digits are,
  std::uint32_t high_unit_ = 0;  // and the high surrogate before it, or 0
  std::string syntax_error_;
};

}  // namespace tensorwire
