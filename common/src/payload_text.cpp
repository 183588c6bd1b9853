// Decodes a payload string in pieces: the bulk goes to the base64 kernels, the rare rest through one character at a
// time.
#include "payload_text.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

#include "hex.hpp"

namespace tensorwire {
namespace {

constexpr std::string_view kUrlScheme = "data:";
constexpr std::size_t kMaxUrlHead = 128;

// No base64 text has such a character; its first byte is what the refusal names.
unsigned char first_utf8_byte(std::uint32_t code) noexcept {
  if (code < 0x80) return static_cast<unsigned char>(code);
  if (code < 0x800) return static_cast<unsigned char>(0xC0 | code >> 6);
  // The low half of a surrogate pair stands for a character of four bytes.
  const bool pair = code >= 0xDC00 && code <= 0xDFFF;
  return pair ? 0xF0 : static_cast<unsigned char>(0xE0 | code >> 12);
}

}  // namespace

PayloadText::PayloadText(bool image, BufferPool& pool)
    : bytes_(pool.empty_buffer()), phase_(image ? Phase::head : Phase::body) {}

PayloadText::Status PayloadText::feed(std::string_view& text, std::uint64_t expected) {
  while (!text.empty()) {
    const bool between = !escaped_ && hex_left_ == 0 && high_surrogate_ == 0 && utf8_.complete();
    if (between && phase_ == Phase::body && !decoder_.failed()) feed_body(text, expected);
    if (text.empty()) break;
    if (take_special(text)) return syntax_error_ == nullptr ? Status::done : Status::bad;
    if (syntax_error_ != nullptr) return Status::bad;
  }
  return Status::more;
}

void PayloadText::feed_body(std::string_view& text, std::uint64_t expected) {
  const auto before = text.size();
  decode(text, expected);
  if (phase_ != Phase::body) return;  // memory ran out: consumed as refused text from here on
  text.remove_prefix(before - std::min(before, left_));
}

// Takes one byte that is not the decoder's. True at the string's end, and when it is broken.
bool PayloadText::take_special(std::string_view& text) {
  const char c = text.front();
  text.remove_prefix(1);
  if (hex_left_ > 0) {
    take_hex(c);
  } else if (escaped_) {
    escaped_ = false;
    take_escape(c);
  } else if (high_surrogate_ != 0 && c != '\\') {
    bad("a high surrogate without its low one in a string");
  } else if (c == '\\') {
    escaped_ = true;
    if (!utf8_.complete()) bad("invalid UTF-8 in a string");
  } else if (c == '"') {
    if (!utf8_.complete()) bad("invalid UTF-8 in a string");
    return true;
  } else if (static_cast<unsigned char>(c) < 0x20) {
    bad("a control character in a string");
  } else if (!utf8_.take(static_cast<unsigned char>(c))) {
    bad("invalid UTF-8 in a string");
  } else {
    take_character(static_cast<unsigned char>(c));
  }
  return syntax_error_ != nullptr;
}

void PayloadText::take_escape(char c) {
  if (high_surrogate_ != 0 && c != 'u') return bad("a high surrogate without its low one in a string");
  constexpr std::string_view kNames = "\"\\/bfnrt";
  constexpr std::string_view kCharacters = "\"\\/\b\f\n\r\t";
  if (c == 'u') {
    hex_left_ = 4;
    code_ = 0;
  } else if (const auto at = kNames.find(c); at != std::string_view::npos) {
    take_character(static_cast<unsigned char>(kCharacters[at]));
  } else {
    bad("an invalid escape in a string");
  }
}

void PayloadText::take_hex(char c) {
  const int digit = hex_value(c);
  if (digit < 0) return bad("an invalid \\u escape in a string");
  code_ = code_ * 16 + static_cast<std::uint32_t>(digit);
  if (--hex_left_ == 0) take_code_point(code_);
}

void PayloadText::take_code_point(std::uint32_t code) {
  const bool high = code >= 0xD800 && code <= 0xDBFF;
  const bool low = code >= 0xDC00 && code <= 0xDFFF;
  if ((high_surrogate_ != 0) != low) return bad("a lone surrogate in a string");
  high_surrogate_ = high ? code : 0;
  if (!high) take_character(first_utf8_byte(code));
}

void PayloadText::take_character(unsigned char c) {
  if (phase_ == Phase::head) return take_head(c);
  if (phase_ == Phase::url) return take_url(c);
  if (phase_ == Phase::refused || decoder_.failed()) return;
  const char character = static_cast<char>(c);
  if (is_base64_character(c)) {
    decode(std::string_view(&character, 1), 0);
  } else {
    decoder_.reject(c);
  }
}

void PayloadText::take_head(unsigned char c) {
  head_.push_back(static_cast<char>(c));
  const auto is_scheme = std::tolower(c) == kUrlScheme[head_.size() - 1];
  if (is_scheme && head_.size() < kUrlScheme.size()) return;
  if (is_scheme) {
    phase_ = Phase::url;
    head_.clear();
    return;
  }
  phase_ = Phase::body;
  const std::string held = std::exchange(head_, {});
  for (const char character : held) take_character(static_cast<unsigned char>(character));
}

void PayloadText::take_url(unsigned char c) {
  if (c == ',') return end_url();
  head_.push_back(static_cast<char>(std::tolower(c)));
  if (head_.size() > kMaxUrlHead)
    refuse({ErrorCode::bad_base64, "the data: URL has no comma within its first 128 characters", ""});
}

void PayloadText::end_url() {
  phase_ = Phase::body;
  const std::string_view head = head_;
  constexpr std::string_view kImage = "image/";
  if (!head.ends_with(";base64")) {
    return refuse(
        {ErrorCode::bad_base64, "a data: URL must say ;base64 before its comma: data:image/png;base64,...", ""});
  }
  const auto type = head.substr(0, head.find(';'));
  const auto subtype = type.starts_with(kImage) ? type.substr(kImage.size()) : std::string_view{};
  if (subtype != "png" && subtype != "jpeg" && subtype != "jpg") {
    return refuse({ErrorCode::bad_image, "the data: URL must be of image/png or image/jpeg", ""});
  }
  url_subtype_ = subtype;
}

void PayloadText::decode(std::string_view characters, std::uint64_t expected) {
  const auto had = bytes_.size();
  const auto room = max_decoded_size(characters.size());
  auto grown = bytes_.resize(had + room, had + static_cast<std::size_t>(expected / 4 * 3 + 3));
  if (!grown.ok()) return refuse(std::move(grown).error());
  const auto step = decoder_.feed(characters, std::span(bytes_.data() + had, room));
  // Shrinking never fails.
  if (!bytes_.resize(had + step.written).ok()) return;
  left_ = characters.size() - step.consumed;
}

void PayloadText::refuse(Error error) {
  if (!error_) error_ = std::move(error);
  phase_ = Phase::refused;
  bytes_.reset();
}

Result<Buffer> PayloadText::finish() {
  if (phase_ == Phase::head) {  // a string that is shorter than "data:", and as far as it goes like it
    phase_ = Phase::body;
    const std::string held = std::exchange(head_, {});
    for (const char c : held) take_character(static_cast<unsigned char>(c));
  }
  if (phase_ == Phase::url) refuse({ErrorCode::bad_base64, "the data: URL has no comma", ""});
  if (error_) return std::move(*error_);
  if (decoder_.finish() != Base64Verdict::ok) return Error{ErrorCode::bad_base64, decoder_.describe(), ""};
  return std::move(bytes_);
}

}  // namespace tensorwire
