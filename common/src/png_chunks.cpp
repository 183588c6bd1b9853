// Walks the chunks of a PNG file: a length that exceeds the file is refused here, whatever libpng would do with it.
#include "png_chunks.hpp"

#include <string>
#include <string_view>

#include "image_codec.hpp"

namespace tensorwire::png {
namespace {

constexpr std::string_view kSignature = "\x89PNG\r\n\x1a\n";
constexpr std::size_t kFrame = 12;  // length, type and CRC around a chunk's data
constexpr std::size_t kIhdrData = 13;

std::uint32_t read_u32(std::span<const std::byte> bytes) noexcept {
  return std::to_integer<std::uint32_t>(bytes[0]) << 24 | std::to_integer<std::uint32_t>(bytes[1]) << 16 |
         std::to_integer<std::uint32_t>(bytes[2]) << 8 | std::to_integer<std::uint32_t>(bytes[3]);
}

struct Chunk {
  std::size_t offset;  // of the length field in the file
  std::uint32_t length;
  std::string_view type;
};

Chunk chunk_at(std::span<const std::byte> file, std::size_t offset) noexcept {
  return {offset, read_u32(file.subspan(offset)), {reinterpret_cast<const char*>(file.data()) + offset + 4, 4}};
}

// The type comes off the wire; what is no letter is shown as '?'.
std::string printable(std::string_view type) {
  std::string text(type);
  for (char& c : text) {
    const bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (!letter) c = '?';
  }
  return text;
}

Error bad(std::string message) { return {ErrorCode::bad_image, "PNG: " + std::move(message), ""}; }

Error cut_in_chunk(const Chunk& chunk, std::size_t available) {
  return bad("chunk " + printable(chunk.type) + " at byte " + std::to_string(chunk.offset) + " says it has " +
             std::to_string(chunk.length) + " bytes of data, but only " + std::to_string(available) +
             " are left in the file: truncated?");
}

Error cut_before_end(std::size_t offset) {
  return bad("the file ends at byte " + std::to_string(offset) + " without an IEND chunk: truncated?");
}

}  // namespace

bool has_signature(std::span<const std::byte> file) noexcept {
  return file.size() >= kSignature.size() &&
         std::string_view(reinterpret_cast<const char*>(file.data()), kSignature.size()) == kSignature;
}

Result<Header> check_chunks(std::span<const std::byte> file) {
  std::size_t offset = kSignature.size();
  Header header{};
  for (bool first = true;; first = false) {
    if (file.size() - offset < kFrame) return cut_before_end(file.size());
    const Chunk chunk = chunk_at(file, offset);
    const std::size_t available = file.size() - offset - kFrame;
    if (chunk.length > available) return cut_in_chunk(chunk, available);
    if (first) {
      if (chunk.type != "IHDR" || chunk.length != kIhdrData) {
        return bad("expected a 13-byte IHDR chunk first, got " + printable(chunk.type) + " of " +
                   std::to_string(chunk.length) + " bytes");
      }
      header = {read_u32(file.subspan(offset + 8)), read_u32(file.subspan(offset + 12))};
    }
    if (chunk.type == "IEND") return header;
    offset += kFrame + chunk.length;
  }
}

}  // namespace tensorwire::png
