// Walks a JPEG file from marker to marker; everything is bounds-checked and nothing is believed.
#include "jpeg_markers.hpp"

#include <cstring>

#include "image_codec.hpp"

namespace tensorwire::jpeg {
namespace {

constexpr std::uint8_t kSoi = 0xd8;
constexpr std::uint8_t kEoi = 0xd9;
constexpr std::uint8_t kSos = 0xda;
constexpr std::uint8_t kApp1 = 0xe1;

std::uint8_t u8(std::span<const std::byte> bytes, std::size_t at) noexcept {
  return std::to_integer<std::uint8_t>(bytes[at]);
}
std::uint32_t u16(std::span<const std::byte> bytes, std::size_t at) noexcept {
  return static_cast<std::uint32_t>(u8(bytes, at)) << 8 | u8(bytes, at + 1);
}

// DHT, JPG and DAC share the range of the frame headers.
bool is_frame(std::uint8_t marker) noexcept {
  return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}
// Markers without a length: TEM, RST0…7, SOI.
bool is_bare(std::uint8_t marker) noexcept { return marker == 0x01 || (marker >= 0xd0 && marker <= kSoi); }

struct Segment {
  std::uint8_t marker;
  std::span<const std::byte> data;  // without the length field
};

// Gives the segments one after the other, passing over entropy-coded data and stray bytes between them.
class Walk {
 public:
  explicit Walk(std::span<const std::byte> file) noexcept : rest_(file) {}

  [[nodiscard]] std::optional<Segment> next() noexcept {
    while (to_marker()) {
      const std::uint8_t marker = u8(rest_, 1);
      rest_ = rest_.subspan(2);
      if (marker == kEoi) return std::nullopt;
      if (is_bare(marker)) continue;
      return segment(marker);
    }
    return std::nullopt;
  }

 private:
  // Moves to the next 0xFF that a marker follows: neither a stuffed zero nor a fill byte.
  [[nodiscard]] bool to_marker() noexcept {
    while (rest_.size() >= 2) {
      const void* found = std::memchr(rest_.data(), 0xff, rest_.size() - 1);
      if (found == nullptr) return false;
      rest_ = rest_.subspan(static_cast<std::size_t>(static_cast<const std::byte*>(found) - rest_.data()));
      const std::uint8_t after = u8(rest_, 1);
      if (after != 0x00 && after != 0xff) return true;
      rest_ = rest_.subspan(after == 0x00 ? 2 : 1);
    }
    return false;
  }

  [[nodiscard]] std::optional<Segment> segment(std::uint8_t marker) noexcept {
    if (rest_.size() < 2) return std::nullopt;
    const std::uint32_t length = u16(rest_, 0);
    if (length < 2 || length > rest_.size()) return std::nullopt;
    const Segment found{marker, rest_.subspan(2, length - 2)};
    rest_ = rest_.subspan(length);
    return found;
  }

  std::span<const std::byte> rest_;
};

std::optional<Frame> parse_frame(const Segment& segment) noexcept {
  if (segment.data.size() < 6) return std::nullopt;
  return Frame{segment.marker, u8(segment.data, 0), u16(segment.data, 3), u16(segment.data, 1), u8(segment.data, 5)};
}

// A TIFF structure's bytes in the order that its header names.
class Tiff {
 public:
  explicit Tiff(std::span<const std::byte> bytes) noexcept : bytes_(bytes) {
    little_ = bytes.size() >= 2 && u8(bytes, 0) == 'I';
  }
  [[nodiscard]] bool has(std::size_t at, std::size_t length) const noexcept {
    return at <= bytes_.size() && length <= bytes_.size() - at;
  }
  [[nodiscard]] std::uint32_t word(std::size_t at) const noexcept {
    const std::uint32_t first = u8(bytes_, at);
    const std::uint32_t second = u8(bytes_, at + 1);
    return little_ ? second << 8 | first : first << 8 | second;
  }
  [[nodiscard]] std::uint32_t dword(std::size_t at) const noexcept {
    return little_ ? word(at + 2) << 16 | word(at) : word(at) << 16 | word(at + 2);
  }
  [[nodiscard]] bool valid() const noexcept {
    if (!has(0, 8)) return false;
    const bool marked = little_ ? u8(bytes_, 1) == 'I' : u8(bytes_, 0) == 'M' && u8(bytes_, 1) == 'M';
    return marked && word(2) == 42;
  }

 private:
  std::span<const std::byte> bytes_;
  bool little_ = false;
};

constexpr std::uint32_t kOrientationTag = 0x0112;
constexpr std::uint32_t kShort = 3;

}  // namespace

int exif_orientation(std::span<const std::byte> app1) noexcept {
  constexpr std::size_t header = 6;  // "Exif\0\0"
  if (app1.size() < header || std::memcmp(app1.data(), "Exif\0", 5) != 0) return 1;
  const Tiff tiff(app1.subspan(header));
  if (!tiff.valid()) return 1;
  const std::size_t directory = tiff.dword(4);
  if (!tiff.has(directory, 2)) return 1;
  const std::uint32_t entries = tiff.word(directory);
  for (std::uint32_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + std::size_t{12} * i;
    if (!tiff.has(entry, 12)) return 1;
    if (tiff.word(entry) != kOrientationTag) continue;
    const std::uint32_t value = tiff.word(entry + 8);
    return tiff.word(entry + 2) == kShort && value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Markers read_markers(std::span<const std::byte> file) noexcept {
  Markers markers;
  bool seen_exif = false;
  Walk walk(file);
  while (const std::optional<Segment> segment = walk.next()) {
    if (segment->marker == kSos) break;
    if (is_frame(segment->marker) && !markers.frame) markers.frame = parse_frame(*segment);
    if (segment->marker == kApp1 && !seen_exif && segment->data.size() >= 6 &&
        std::memcmp(segment->data.data(), "Exif\0", 5) == 0) {
      seen_exif = true;
      markers.orientation = exif_orientation(segment->data);
    }
  }
  return markers;
}

int count_scans(std::span<const std::byte> file, int enough) noexcept {
  int scans = 0;
  Walk walk(file);
  while (scans < enough) {
    const std::optional<Segment> segment = walk.next();
    if (!segment) break;
    if (segment->marker == kSos) ++scans;
  }
  return scans;
}

bool has_signature(std::span<const std::byte> file) noexcept {
  return file.size() >= 3 && u8(file, 0) == 0xff && u8(file, 1) == kSoi && u8(file, 2) == 0xff;
}

}  // namespace tensorwire::jpeg
