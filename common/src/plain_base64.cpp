// CPython 3.11's strict base64 rules, written down as plainly as they can be.
#include "plain_base64.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <string>

namespace tensorwire {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool decode(std::string_view text, std::string& out) {
  if (text.starts_with('=')) return false;
  unsigned bits = 0;
  int quad = 0;
  int pads = 0;
  bool padding = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '=') {
      padding = true;
      if (quad >= 2 && quad + ++pads >= 4) return i + 1 == text.size();
      continue;
    }
    const auto value = kAlphabet.find(text[i]);
    if (value == std::string_view::npos || padding) return false;
    bits = (bits << 6 | static_cast<unsigned>(value)) & 0xFFFFFF;
    quad = (quad + 1) % 4;
    if (quad == 2) out.push_back(static_cast<char>(bits >> 4 & 0xFF));
    if (quad == 3) out.push_back(static_cast<char>(bits >> 2 & 0xFF));
    if (quad == 0) out.push_back(static_cast<char>(bits & 0xFF));
  }
  return quad == 0;
}

Error refused(ErrorCode code) { return {code, "refused by the plain decoder", ""}; }

}  // namespace

Result<Buffer> plain_payload(std::string_view text, bool image, BufferPool& pool) {
  std::string scheme(text.substr(0, 5));
  std::transform(scheme.begin(), scheme.end(), scheme.begin(), [](unsigned char c) { return std::tolower(c); });
  if (image && scheme == "data:") {
    std::string head(text.substr(5, std::min<std::size_t>(text.find(','), 5 + 129) - 5));
    std::transform(head.begin(), head.end(), head.begin(), [](unsigned char c) { return std::tolower(c); });
    if (5 + head.size() >= text.size() || head.size() > 128 || !head.ends_with(";base64"))
      return refused(ErrorCode::bad_base64);
    const auto type = head.substr(0, head.find(';'));
    if (type != "image/png" && type != "image/jpeg" && type != "image/jpg") return refused(ErrorCode::bad_image);
    text.remove_prefix(5 + head.size() + 1);
  }
  std::string bytes;
  if (!decode(text, bytes)) return refused(ErrorCode::bad_base64);
  auto buffer = pool.allocate(bytes.size());
  if (buffer.ok()) std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(buffer->data()));
  return buffer;
}

}  // namespace tensorwire
