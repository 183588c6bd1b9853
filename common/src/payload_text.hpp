// The string of one `tensor` or `image`: JSON escapes, a data URL's head and base64, decoded while it arrives.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tensorwire/base64.hpp"
#include "tensorwire/buffer.hpp"
#include "tensorwire/error.hpp"
#include "tensorwire/utf8.hpp"

namespace tensorwire {

class PayloadText {
 public:
  // Images may come as a data: URL.
  PayloadText(bool image, BufferPool& pool);

  enum class Status : std::uint8_t {
    more,  // all consumed
    done,  // the closing quote was consumed
    bad,   // the string is no JSON string; syntax_error() says why
  };
  // Consumes the characters behind the opening quote. `expected` bounds the characters still to come (0: unknown).
  Status feed(std::string_view& text, std::uint64_t expected);

  [[nodiscard]] const char* syntax_error() const noexcept { return syntax_error_; }

  // After `done`: the decoded bytes, or why they are none (`bad_base64`, `overloaded`, `bad_image` for a data URL of
  // another kind); the error's place is left to the caller.
  [[nodiscard]] Result<Buffer> finish();
  // The subtype that a data URL named ("png"), or empty.
  [[nodiscard]] const std::string& url_subtype() const noexcept { return url_subtype_; }

 private:
  enum class Phase : std::uint8_t { head, url, body, refused };
  void feed_body(std::string_view& text, std::uint64_t expected);
  [[nodiscard]] bool take_special(std::string_view& text);
  void take_escape(char c);
  void take_hex(char c);
  void take_code_point(std::uint32_t code);
  void take_character(unsigned char c);
  void take_head(unsigned char c);
  void take_url(unsigned char c);
  void end_url();
  void decode(std::string_view characters, std::uint64_t expected);
  void refuse(Error error);
  void bad(const char* why) noexcept { syntax_error_ = why; }

  Base64Decoder decoder_;
  Buffer bytes_;
  std::string head_;  // the first characters of an image's string, while they may be a data URL's
  std::string url_subtype_;
  std::optional<Error> error_;
  const char* syntax_error_ = nullptr;
  Utf8State utf8_;
  Phase phase_;
  bool escaped_ = false;       // a backslash was consumed
  std::uint8_t hex_left_ = 0;  // digits of \uXXXX still to come
  std::uint32_t code_ = 0;     // those that came
  std::uint32_t high_surrogate_ = 0;
  std::size_t left_ = 0;  // characters that the last decode() did not take
};

}  // namespace tensorwire
