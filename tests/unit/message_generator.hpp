// Makes random messages, most of them valid and some broken in every way that people break them; the seed decides all.
#pragma once

#include <array>
#include <random>
#include <string>
#include <string_view>

namespace tensorwire::testing {

class MessageGenerator {
 public:
  explicit MessageGenerator(std::uint64_t seed) : random_(seed) {}

  std::string message() {
    std::string out = object_with_tensor_members(true);
    if (chance(8)) mutate(out);
    return out;
  }

 private:
  bool chance(unsigned one_in) { return random_() % one_in == 0; }
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }
  template <std::size_t N>
  std::string pick(const std::array<const char*, N>& choices) {
    return choices[below(N)];
  }

  std::string space() { return chance(6) ? pick(std::array{" ", "\n", "\t ", "\r\n"}) : ""; }

  std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
      if (chance(40)) {
        constexpr std::string_view kHex = "0123456789abcdef";
        out += "\\u00";
        out += kHex[static_cast<unsigned char>(c) >> 4 & 0xF];
        out += kHex[static_cast<unsigned char>(c) & 0xF];
      } else if (c == '/' && chance(2)) {
        out += "\\/";
      } else {
        out += c;
      }
    }
    return out + "\"";
  }

  std::string base64(std::size_t characters) {
    constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (std::size_t i = 0; i < characters; ++i) out += kAlphabet[below(64)];
    if (chance(3) && out.size() % 4 == 0 && !out.empty()) out.back() = '=';
    if (chance(30)) out += pick(std::array{"=", "-", "_", "\\n", " ", "\xC3\xA9", "\xFF", "\\ud800", "\\q", "\\u00e9"});
    return out;
  }

  std::string number() {
    return pick(std::array{"0", "1", "-1", "255", "1.5", "1e3", "-0", "2147483648", "18446744073709551615", "1e400",
                           "01", "NaN", "-Infinity", "Inf", "1.0", "123456789012345678901234567890"});
  }

  std::string list(int depth) {
    if (depth == 0 || chance(3))
      return chance(9) ? pick(std::array{"\"7\"", "true", "null", "\"label\"", "{\"a\":[1]}", "{\"a\":1,\"a\":2}"})
                       : number();
    std::string out = "[";
    const auto count = below(5);
    for (std::size_t i = 0; i < count; ++i) out += (i ? "," : "") + space() + list(depth - 1) + space();
    return out + "]";
  }

  std::string value(int depth) {
    switch (below(depth > 0 ? 7 : 5)) {
      case 0:
        return number();
      case 1:
        return pick(std::array{"true", "false", "null", "tru"});
      case 2:
        return quoted("text");
      case 3:
        return quoted(pick(std::array{"tensor", "data", "", "\xE2\x82\xAC"}));
      case 4:
        return "\"" + base64(below(30)) + "\"";
      case 5:
        return "[" + value(depth - 1) + "," + value(depth - 1) + "]";
      default:
        return "{" + quoted(pick(std::array{"a", "tensor", "tensors", "b64"})) + ":" + value(depth - 1) + "}";
    }
  }

  std::string member(std::string_view name, const std::string& text) {
    return space() + quoted(name) + space() + ":" + space() + text + space();
  }

  std::string tensor_members() {
    const auto elements = below(20);
    const auto bytes = elements;
    std::string encoded = base64((bytes * 4 + 2) / 3);
    while (encoded.size() % 4 != 0 && !chance(20)) encoded += '=';
    std::array<std::string, 5> members = {
        member("dtype",
               quoted(pick(std::array{"uint8", "int8", "float32", "torch.int64", "<f4", "string", "nope", "bool"}))),
        member("shape", chance(12) ? value(1) : "[" + std::to_string(chance(4) ? below(20) : elements) + "]"),
        chance(4) ? member("data", list(3))
                  : member(chance(8) ? "image" : "tensor",
                           chance(6) ? "{" + member("b64", "\"" + encoded + "\"") + "}" : "\"" + encoded + "\""),
        chance(3) ? member("name", quoted(pick(std::array{"a", "b", "c"}))) : "",
        chance(9) ? member(pick(std::array{"tensor", "data", "extra", "format", "dtype"}), value(2)) : ""};
    std::shuffle(members.begin(), members.end(), random_);
    std::string out;
    for (const auto& each : members) {
      if (!each.empty() && !chance(25)) out += (out.empty() ? "" : ",") + each;
    }
    return out;
  }

  std::string object_with_tensor_members(bool root) {
    std::string out = "{";
    const auto add = [&](const std::string& text) {
      if (!text.empty()) out += (out.back() == '{' ? "" : ",") + text;
    };
    if (root && chance(2)) add(member("id", chance(4) ? value(1) : "12"));
    if (root && chance(4)) add(member("params", value(3)));
    if (root && chance(4)) add(member("handler", chance(6) ? value(1) : "\"stats\""));
    if (root && chance(6)) add(member("oneway", chance(4) ? value(0) : "true"));
    if (root && chance(2)) {
      std::string entries;
      for (std::size_t i = below(4); i > 0; --i)
        entries += (entries.empty() ? "" : ",") + (chance(20) ? value(2) : object_with_tensor_members(false));
      add(member("tensors", "[" + entries + "]"));
    } else {
      add(tensor_members());
    }
    return out + "}";
  }

  void mutate(std::string& out) {
    const auto at = below(out.size());
    switch (below(4)) {
      case 0:
        out.erase(at, 1);
        break;
      case 1:
        out[at] = static_cast<char>(random_());
        break;
      case 2:
        out.insert(at, 1, pick(std::array{",", "}", "\"", "[", "\\", ":", "0"})[0]);
        break;
      default:
        out += pick(std::array{" ", "{}", "x", ","});
        break;
    }
  }

  std::mt19937_64 random_;
};

}  // namespace tensorwire::testing
