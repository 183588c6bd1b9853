// Resumable base64 decoding and encoding (RFC 4648, standard alphabet) with SIMD kernels chosen for this CPU.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tensorwire {

// What CPython 3.11's base64.b64decode(text, validate=True) says of a text. Where a text has several faults the one
// Python meets first counts, so that a client sees the same judgement on both sides of the wire.
enum class Base64Verdict : std::uint8_t {
  ok,
  leading_padding,         // "Leading padding not allowed"
  excess_data,             // "Excess data after padding"
  discontinuous_padding,   // "Discontinuous padding not allowed"
  bad_character,           // "Only base64 data is allowed"
  one_more_than_multiple,  // "number of data characters (N) cannot be 1 more than a multiple of 4"
  incorrect_padding,       // "Incorrect padding"
};

// Whether feed() would consume this byte: the 64 characters of the standard alphabet, and '='.
[[nodiscard]] bool is_base64_character(unsigned char c) noexcept;

// The most bytes that `characters` further characters can decode to, whatever was fed before.
[[nodiscard]] constexpr std::size_t max_decoded_size(std::size_t characters) noexcept {
  return characters / 4 * 3 + characters % 4;
}

// The length of the padded base64 text of `bytes` bytes.
[[nodiscard]] constexpr std::size_t encoded_size(std::size_t bytes) noexcept {
  return bytes / 3 * 4 + (bytes % 3 != 0 ? 4 : 0);
}

// Decodes one text that arrives in pieces cut anywhere. One object per text; cheap to make and to copy.
class Base64Decoder {
 public:
  struct Step {
    std::size_t consumed;  // characters taken from the front of the input
    std::size_t written;   // bytes decoded to the front of the output
  };

  // Decodes a prefix of `in` to the front of `out`. It stops at the end of `in`, or before the first byte that is no
  // base64 character (the caller knows whether that is a closing quote, an escape or cause for reject()), or before
  // the first data character whose byte has no room left in `out`. A fault does not stop it: from there on characters
  // are consumed without being decoded, so that the end of the text is still found.
  //
  // Every byte is written as soon as it is whole, so nothing is left to flush at the end. Nothing is written outside
  // `out`, but the part of `out` behind the `written` bytes may be overwritten with anything. `in` and `out` must not
  // overlap.
  Step feed(std::string_view in, std::span<std::byte> out) noexcept;

  // The same where `out` has room for max_decoded_size(in.size()) bytes, which is never too little.
  Step feed(std::string_view in, std::byte* out) noexcept {
    return feed(in, std::span<std::byte>(out, max_decoded_size(in.size())));
  }

  // Notes that a character which is not base64 stood at this place of the text. `c` serves the description only; for
  // a character outside ASCII give the first byte of its UTF-8 form.
  void reject(unsigned char c) noexcept;

  // The verdict if the text ended here. More may still be fed after asking.
  [[nodiscard]] Base64Verdict finish() const noexcept;

  // Whether the text is refused already, whatever may follow.
  [[nodiscard]] bool failed() const noexcept { return fault_ != Base64Verdict::ok; }

  // Where the first offending character stood, counted from 0; the text's length if only its end is at fault.
  [[nodiscard]] std::size_t fault_position() const noexcept { return failed() ? fault_position_ : position_; }

  // How many characters have been fed or rejected so far.
  [[nodiscard]] std::size_t position() const noexcept { return position_; }

  // The verdict as a sentence for the person who sent the text, with a hint at the likely cause.
  [[nodiscard]] std::string describe() const;

 private:
  [[nodiscard]] bool padding_complete() const noexcept { return quad_position_ >= 2 && quad_position_ + pads_ >= 4; }
  [[nodiscard]] std::string describe_bad_character(const std::string& place) const;
  void remember_prefix(std::string_view in) noexcept;
  void fail(Base64Verdict verdict, unsigned char c) noexcept;
  void feed_quads(std::string_view in, std::span<std::byte> out, Step& step) noexcept;
  bool take(unsigned char c, std::span<std::byte> out, Step& step) noexcept;
  bool take_data(std::uint8_t value, std::span<std::byte> out, Step& step) noexcept;
  void take_padding() noexcept;

  std::size_t position_ = 0;
  std::size_t fault_position_ = 0;
  std::size_t pads_ = 0;                                   // '=' met; no data may follow the first of them
  Base64Verdict fault_ = Base64Verdict::ok;                // the first fault inside the text
  unsigned char fault_character_ = 0;                      // the character at fault_position_
  std::uint8_t quad_position_ = 0;                         // data characters of the current group of four
  std::uint8_t leftover_ = 0;                              // bits of the last data character not yet in a whole byte
  std::array<char, 4> prefix_ = {'\0', '\0', '\0', '\0'};  // the first characters, to recognise "data:" URLs
};

// Encodes bytes that arrive in pieces cut anywhere; up to two bytes wait inside for the next piece.
class Base64Encoder {
 public:
  // Writes the characters of every whole group of three bytes and returns how many there are. `out` needs room for
  // encoded_size(in.size()) characters; the part of that room behind the result may be overwritten with anything.
  std::size_t feed(std::span<const std::byte> in, char* out) noexcept;

  // Ends the text: writes the padded last group, which is 0 or 4 characters, and returns its length. The encoder is
  // then ready for another text.
  std::size_t finish(char* out) noexcept;

 private:
  void keep(std::span<const std::byte> rest) noexcept;

  std::array<std::byte, 2> carry_ = {};
  std::size_t carried_ = 0;
};

// The implementations of the bulk of the work. All of them give the same bytes and the same verdicts.
enum class Base64Kernel : std::uint8_t { portable, neon, avx2, avx512 };

// Where no kernel is set by hand, the environment variable TENSORD_CPU names one (avx512, avx2, neon or portable); a
// name that is unknown or not supported here, or none, gives the best kernel this machine supports.
[[nodiscard]] Base64Kernel base64_kernel() noexcept;

// The kernels this CPU and operating system can run, best first.
[[nodiscard]] std::vector<Base64Kernel> supported_base64_kernels();

// Chooses the kernel for the whole process; false, and no change, if it is not supported here.
bool set_base64_kernel(Base64Kernel kernel) noexcept;

// The kernel a value of TENSORD_CPU leads to on this machine.
[[nodiscard]] Base64Kernel choose_base64_kernel(std::string_view wish) noexcept;

[[nodiscard]] std::string_view to_string(Base64Kernel kernel) noexcept;
[[nodiscard]] std::string_view to_string(Base64Verdict verdict) noexcept;

}  // namespace tensorwire
