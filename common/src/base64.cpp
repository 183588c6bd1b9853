// The resumable base64 decoder and encoder: what happens between the kernels' whole groups, and what is said of faults.
#include "tensorwire/base64.hpp"

#include <algorithm>

#include "base64_kernels.hpp"
#include "hex.hpp"

namespace tensorwire {

using base64_detail::active_kernel;
using base64_detail::no_value;
using base64_detail::portable_kernel;
using base64_detail::value_table;

namespace {

// The character as it may stand in a message: itself in quotes, or its byte where it cannot be shown.
std::string quote(unsigned char c) {
  if (c > ' ' && c < 0x7f) return {'\'', static_cast<char>(c), '\''};
  return {'b', 'y', 't', 'e', ' ', '0', 'x', hex_digit(c >> 4U), hex_digit(c)};
}

}  // namespace

bool is_base64_character(unsigned char c) noexcept { return value_table[c] != no_value || c == '='; }

Base64Decoder::Step Base64Decoder::feed(std::string_view in, std::span<std::byte> out) noexcept {
  remember_prefix(in);
  Step step{0, 0};
  const auto take_next = [&] { return take(static_cast<unsigned char>(in[step.consumed]), out, step); };
  const auto decoding = [this] { return pads_ == 0 && !failed(); };
  // Kernels know whole groups only, so a group that a previous piece began is ended one by one.
  while (quad_position_ != 0 && decoding() && step.consumed < in.size()) {
    if (!take_next()) return step;
  }
  if (decoding()) feed_quads(in, out, step);
  while (step.consumed < in.size() && take_next()) {
  }
  return step;
}

void Base64Decoder::feed_quads(std::string_view in, std::span<std::byte> out, Step& step) noexcept {
  for (const auto decode : {active_kernel().decode, portable_kernel.decode}) {
    const std::size_t taken = decode(in.data() + step.consumed, in.size() - step.consumed, out.data() + step.written,
                                     out.size() - step.written);
    step.consumed += taken;
    step.written += taken / 4 * 3;
    position_ += taken;
  }
}

// One character by CPython's rules; false if it is not consumed.
bool Base64Decoder::take(unsigned char c, std::span<std::byte> out, Step& step) noexcept {
  if (!is_base64_character(c)) return false;
  if (!failed()) {
    if (c == '=') {
      take_padding();
    } else if (pads_ != 0) {
      fail(padding_complete() ? Base64Verdict::excess_data : Base64Verdict::discontinuous_padding, c);
    } else if (!take_data(value_table[c], out, step)) {
      return false;
    }
  }
  ++position_;
  ++step.consumed;
  return true;
}

// Padding that completes nothing ("AAAA=") is harmless to Python, and so it is here.
void Base64Decoder::take_padding() noexcept {
  if (position_ == 0) {
    fail(Base64Verdict::leading_padding, '=');
  } else if (padding_complete()) {
    fail(Base64Verdict::excess_data, '=');
  } else {
    ++pads_;
  }
}

bool Base64Decoder::take_data(std::uint8_t value, std::span<std::byte> out, Step& step) noexcept {
  if (quad_position_ != 0) {
    if (step.written == out.size()) return false;
    const unsigned bits = (unsigned{leftover_} << 6 | value) >> (6 - 2 * quad_position_);
    out[step.written++] = static_cast<std::byte>(bits & 0xffU);
  }
  leftover_ = value;
  quad_position_ = (quad_position_ + 1) & 3;
  return true;
}

void Base64Decoder::reject(unsigned char c) noexcept {
  if (!failed()) fail(padding_complete() ? Base64Verdict::excess_data : Base64Verdict::bad_character, c);
  ++position_;
}

void Base64Decoder::fail(Base64Verdict verdict, unsigned char c) noexcept {
  fault_ = verdict;
  fault_position_ = position_;
  fault_character_ = c;
}

Base64Verdict Base64Decoder::finish() const noexcept {
  if (failed()) return fault_;
  if (quad_position_ == 0 || padding_complete()) return Base64Verdict::ok;
  return quad_position_ == 1 ? Base64Verdict::one_more_than_multiple : Base64Verdict::incorrect_padding;
}

void Base64Decoder::remember_prefix(std::string_view in) noexcept {
  for (std::size_t i = position_; i < prefix_.size() && i - position_ < in.size(); ++i) {
    prefix_[i] = in[i - position_];
  }
}

std::string Base64Decoder::describe() const {
  const std::string place = "at character " + std::to_string(fault_position()) + " (counted from 0)";
  switch (finish()) {
    case Base64Verdict::ok:
      return "valid base64";
    case Base64Verdict::leading_padding:
      return "the base64 text begins with padding ('=')";
    case Base64Verdict::excess_data:
      return "excess text after the base64 padding " + place + ": were several encoded pieces joined?";
    case Base64Verdict::discontinuous_padding:
      return "base64 data after padding ('=') " + place + ": were several encoded pieces joined?";
    case Base64Verdict::bad_character:
      return describe_bad_character(place);
    case Base64Verdict::one_more_than_multiple:
      return std::to_string(position_ - pads_) +
             " base64 data characters are one more than a multiple of 4: is the text cut off?";
    case Base64Verdict::incorrect_padding:
      break;
  }
  return "incorrect base64 padding: " + std::to_string(4 - quad_position_ - pads_) + " '=' missing at the end";
}

std::string Base64Decoder::describe_bad_character(const std::string& place) const {
  constexpr std::string_view white_space = " \t\n\v\f\r";
  const auto c = static_cast<char>(fault_character_);
  if (white_space.find(c) != std::string_view::npos) {
    return "white space " + place + ": base64.encodebytes or a line-wrapping encoder was used; use base64.b64encode";
  }
  std::string what = quote(fault_character_) + " is not base64, " + place;
  if (c == '-' || c == '_') {
    return what + "; URL-safe base64: use the standard alphabet (base64.b64encode, not urlsafe_b64encode)";
  }
  if (c == ':' && fault_position_ == prefix_.size() && std::string_view(prefix_.data(), prefix_.size()) == "data") {
    return what + "; a data: URL is not allowed here: send only what follows its comma";
  }
  if (c == '%') return what + "; is the text percent-encoded for a URL?";
  return what;
}

std::size_t Base64Encoder::feed(std::span<const std::byte> in, char* out) noexcept {
  std::size_t written = 0;
  if (carried_ != 0) {
    const std::size_t missing = 3 - carried_;
    if (in.size() < missing) {
      keep(in);
      return 0;
    }
    std::array<std::byte, 3> group{};
    std::copy_n(in.begin(), missing, std::copy_n(carry_.begin(), carried_, group.begin()));
    written = 4 * (portable_kernel.encode(group.data(), group.size(), out) / 3);
    in = in.subspan(missing);
    carried_ = 0;
  }
  for (const auto encode : {active_kernel().encode, portable_kernel.encode}) {
    const std::size_t taken = encode(in.data(), in.size(), out + written);
    written += taken / 3 * 4;
    in = in.subspan(taken);
  }
  keep(in);
  return written;
}

void Base64Encoder::keep(std::span<const std::byte> rest) noexcept {
  for (const std::byte b : rest) carry_[carried_++] = b;
}

std::size_t Base64Encoder::finish(char* out) noexcept {
  if (carried_ == 0) return 0;
  std::array<std::byte, 3> group{};
  std::copy_n(carry_.begin(), carried_, group.begin());
  portable_kernel.encode(group.data(), group.size(), out);
  std::fill(out + carried_ + 1, out + 4, '=');
  carried_ = 0;
  return 4;
}

std::string_view to_string(Base64Verdict verdict) noexcept {
  switch (verdict) {
    case Base64Verdict::ok:
      return "ok";
    case Base64Verdict::leading_padding:
      return "leading padding";
    case Base64Verdict::excess_data:
      return "excess data";
    case Base64Verdict::discontinuous_padding:
      return "discontinuous padding";
    case Base64Verdict::bad_character:
      return "bad character";
    case Base64Verdict::one_more_than_multiple:
      return "one more than a multiple of 4";
    case Base64Verdict::incorrect_padding:
      return "incorrect padding";
  }
  return "unknown";
}

}  // namespace tensorwire
