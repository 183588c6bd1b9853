// A plain base64 decoder and encoder, and a caller of the resumable ones, for tests and fuzzers to compare.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "tensorwire/base64.hpp"

namespace tensorwire::base64_oracle {

struct Decoded {
  Base64Verdict verdict = Base64Verdict::ok;
  std::size_t fault_position = 0;
  std::string bytes;  // decoded before the fault, if there is one
  bool operator==(const Decoded&) const = default;
};

inline int value_of(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

// Follows CPython's binascii.a2b_base64(text, strict_mode=True) step for step, and so is as slow as it is plain.
inline Decoded decode(std::string_view text) {
  Decoded result;
  const auto fault = [&result](Base64Verdict verdict, std::size_t position) {
    result.verdict = verdict;
    result.fault_position = position;
    return result;
  };
  if (text.starts_with('=')) return fault(Base64Verdict::leading_padding, 0);
  int quad_position = 0;
  int pads = 0;
  int left = 0;
  bool padding_started = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '=') {
      padding_started = true;
      if (quad_position >= 2 && quad_position + ++pads >= 4) {
        if (i + 1 < text.size()) return fault(Base64Verdict::excess_data, i + 1);
        return fault(Base64Verdict::ok, text.size());
      }
      continue;
    }
    const int value = value_of(text[i]);
    if (value < 0) return fault(Base64Verdict::bad_character, i);
    if (padding_started) return fault(Base64Verdict::discontinuous_padding, i);
    pads = 0;
    if (quad_position == 1) result.bytes.push_back(static_cast<char>(left << 2 | value >> 4));
    if (quad_position == 2) result.bytes.push_back(static_cast<char>((left & 15) << 4 | value >> 2));
    if (quad_position == 3) result.bytes.push_back(static_cast<char>((left & 3) << 6 | value));
    left = value;
    quad_position = (quad_position + 1) % 4;
  }
  if (quad_position == 1) return fault(Base64Verdict::one_more_than_multiple, text.size());
  return fault(quad_position == 0 ? Base64Verdict::ok : Base64Verdict::incorrect_padding, text.size());
}

inline std::string encode(std::string_view bytes) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t k) {
      return i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U;
    };
    const unsigned bits = byte(0) << 16 | byte(1) << 8 | byte(2);
    for (unsigned k = 0; k < 4; ++k) text.push_back(i + k > bytes.size() ? '=' : letters[bits >> (18 - 6 * k) & 63]);
  }
  return text;
}

// Feeds one piece as a parser would: whatever stops the decoder inside it is rejected. The piece and the room for its
// bytes are copied to blocks of their exact size, so that an address sanitizer sees the first byte outside of them.
inline void feed_exactly(Base64Decoder& decoder, std::string_view piece, std::string& bytes) {
  const auto input = std::make_unique<char[]>(piece.size());
  std::copy(piece.begin(), piece.end(), input.get());
  for (std::size_t at = 0; at < piece.size();) {
    const std::size_t room = max_decoded_size(piece.size() - at);
    const auto output = std::make_unique<std::byte[]>(room);
    const auto step = decoder.feed(std::string_view(input.get() + at, piece.size() - at), output.get());
    bytes.append(reinterpret_cast<const char*>(output.get()), step.written);
    at += step.consumed;
    if (at < piece.size()) decoder.reject(static_cast<unsigned char>(piece[at++]));
  }
}

inline Decoded result_of(const Base64Decoder& decoder, std::string bytes) {
  return {decoder.finish(), decoder.fault_position(), std::move(bytes)};
}

inline Decoded decode_in_two(std::string_view text, std::size_t split) {
  Base64Decoder decoder;
  std::string bytes;
  feed_exactly(decoder, text.substr(0, split), bytes);
  feed_exactly(decoder, text.substr(split), bytes);
  return result_of(decoder, std::move(bytes));
}

inline void encode_exactly(Base64Encoder& encoder, std::string_view piece, std::string& text) {
  const auto input = std::make_unique<std::byte[]>(piece.size());
  std::copy(piece.begin(), piece.end(), reinterpret_cast<char*>(input.get()));
  const auto output = std::make_unique<char[]>(encoded_size(piece.size()));
  const std::size_t length = encoder.feed({input.get(), piece.size()}, output.get());
  text.append(output.get(), length);
}

inline std::string encode_in_two(std::string_view bytes, std::size_t split) {
  Base64Encoder encoder;
  std::string text;
  encode_exactly(encoder, bytes.substr(0, split), text);
  encode_exactly(encoder, bytes.substr(split), text);
  char last[4];
  return text.append(last, encoder.finish(last));
}

}  // namespace tensorwire::base64_oracle
