// What can be read from a JPEG's markers without a decoder: the frame header, the EXIF orientation, the scans.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace tensorwire::jpeg {

struct Frame {
  std::uint8_t marker;  // 0xC0 … 0xCF, which names the process: baseline, progressive, arithmetic, lossless …
  int precision;        // bits per sample
  std::uint32_t width;
  std::uint32_t height;
  int components;
};

struct Markers {
  std::optional<Frame> frame;
  int orientation = 1;  // EXIF, 1…8
};

// Reads the markers before the first scan. It judges nothing: where the structure breaks it stops, and what it has not
// found keeps its default; the decoder then says what is wrong.
[[nodiscard]] Markers read_markers(std::span<const std::byte> file) noexcept;

// How many scans the file announces, at most `enough`: counting ends there.
[[nodiscard]] int count_scans(std::span<const std::byte> file, int enough) noexcept;

// The orientation that an APP1 segment's data names, 1 when it names none; for any bytes whatever.
[[nodiscard]] int exif_orientation(std::span<const std::byte> app1) noexcept;

}  // namespace tensorwire::jpeg
