// Makes PNG and JPEG files of every kind for the tests, and the pixels that they must decode to.
#pragma once

#include <cstdio>  // before jpeglib.h, which needs FILE

#include <jpeglib.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace image_corpus {

inline std::span<const std::byte> as_file(std::string_view bytes) {
  return {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()};
}

// ---- PNG, written without libpng ------------------------------------------------------------------------------------

inline std::string u32(std::uint64_t value) {
  std::string text(4, '\0');
  for (unsigned i = 0; i < 4; ++i) text[i] = static_cast<char>(value >> (24 - 8 * i) & 255);
  return text;
}

inline constexpr std::string_view kPngSignature = "\x89PNG\r\n\x1a\n";

inline std::uint32_t crc_of(std::string_view bytes) {
  return static_cast<std::uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}

inline std::string chunk(std::string_view type, std::string_view data) {
  const std::string body = std::string(type) + std::string(data);
  return u32(data.size()) + body + u32(crc_of(body));
}

inline std::string deflated(std::string_view bytes, int level = 6) {
  uLongf length = compressBound(static_cast<uLong>(bytes.size()));
  std::string out(length, '\0');
  compress2(reinterpret_cast<Bytef*>(out.data()), &length, reinterpret_cast<const Bytef*>(bytes.data()),
            static_cast<uLong>(bytes.size()), level);
  out.resize(length);
  return out;
}

inline std::string ihdr(std::uint64_t width, std::uint64_t height, int depth, int color_type, bool interlaced = false) {
  std::string data = u32(width) + u32(height);
  data += {static_cast<char>(depth), static_cast<char>(color_type), '\0', '\0', static_cast<char>(interlaced ? 1 : 0)};
  return chunk("IHDR", data);
}

struct PngKind {
  int color_type;  // 0 grey, 2 RGB, 3 palette, 4 grey+alpha, 6 RGBA
  int depth;
  bool interlaced = false;
  bool transparency = false;  // a tRNS chunk
};

inline std::vector<PngKind> all_png_kinds() {
  constexpr std::array<std::array<int, 2>, 15> kinds = {{{0, 1},
                                                         {0, 2},
                                                         {0, 4},
                                                         {0, 8},
                                                         {0, 16},
                                                         {2, 8},
                                                         {2, 16},
                                                         {3, 1},
                                                         {3, 2},
                                                         {3, 4},
                                                         {3, 8},
                                                         {4, 8},
                                                         {4, 16},
                                                         {6, 8},
                                                         {6, 16}}};
  std::vector<PngKind> all;
  for (const auto& [type, depth] : kinds) {
    for (const bool interlaced : {false, true}) {
      all.push_back({type, depth, interlaced, false});
      if (type < 4) all.push_back({type, depth, interlaced, true});
    }
  }
  return all;
}

inline std::string name_of(const PngKind& kind) {
  return "type " + std::to_string(kind.color_type) + " depth " + std::to_string(kind.depth) +
         (kind.interlaced ? " interlaced" : "") + (kind.transparency ? " tRNS" : "");
}

struct Picture {
  std::string file;
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  int channels = 0;  // of the expected pixels
  int bits = 8;
  std::vector<std::uint16_t> pixels;  // expected, height × width × channels
};

class PngMaker {
 public:
  PngMaker(const PngKind& kind, std::uint32_t width, std::uint32_t height, std::uint64_t seed = 1)
      : kind_(kind), width_(width), height_(height), random_(seed) {
    channels_ = std::array{1, 0, 3, 1, 2, 0, 4}[static_cast<std::size_t>(kind.color_type)];
    fill_palette();
    const unsigned limit = kind.color_type == 3 ? static_cast<unsigned>(palette_.size()) : 1U << kind.depth;
    samples_.resize(std::size_t{width} * height * static_cast<unsigned>(channels_));
    for (std::uint16_t& sample : samples_) sample = static_cast<std::uint16_t>(random_() % limit);
    if (samples_.empty()) return;
    // The colour of the first pixel is the transparent one, and stands elsewhere too.
    for (std::size_t i = 0; i < 3; ++i) key_[i] = samples_[i % static_cast<std::size_t>(channels_)];
    for (int i = 0; i < channels_; ++i)
      samples_[samples_.size() - 1 - static_cast<std::size_t>(i)] =
          key_[static_cast<std::size_t>(channels_ - 1 - i) % 3];
  }

  // `extra` are chunks to stand before the pixels.
  [[nodiscard]] Picture make(std::string_view extra = {}) const {
    Picture picture;
    picture.width = width_;
    picture.height = height_;
    picture.bits = kind_.depth == 16 ? 16 : 8;
    picture.file = std::string(kPngSignature) + ihdr(width_, height_, kind_.depth, kind_.color_type, kind_.interlaced);
    if (kind_.color_type == 3) picture.file += chunk("PLTE", palette_chunk());
    if (kind_.transparency) picture.file += chunk("tRNS", transparency_chunk());
    picture.file += extra;
    picture.file += chunk("IDAT", deflated(scanlines())) + chunk("IEND", "");
    expand(picture);
    return picture;
  }

  [[nodiscard]] std::string scanlines() const {
    if (!kind_.interlaced) return pass(0, 0, 1, 1);
    return pass(0, 0, 8, 8) + pass(4, 0, 8, 8) + pass(0, 4, 4, 8) + pass(2, 0, 4, 4) + pass(0, 2, 2, 4) +
           pass(1, 0, 2, 2) + pass(0, 1, 1, 2);
  }

 private:
  struct Color {
    std::uint8_t red, green, blue, alpha;
  };

  void fill_palette() {
    if (kind_.color_type != 3) return;
    palette_.resize(kind_.depth == 8 ? 200 : std::size_t{1} << kind_.depth);
    for (Color& color : palette_) {
      const std::uint64_t bits = random_();
      color = {static_cast<std::uint8_t>(bits), static_cast<std::uint8_t>(bits >> 8),
               static_cast<std::uint8_t>(bits >> 16), 255};
    }
    if (!kind_.transparency) return;
    for (std::size_t i = 0; i < (palette_.size() + 1) / 2; ++i)
      palette_[i].alpha = static_cast<std::uint8_t>(random_());
  }

  [[nodiscard]] std::string palette_chunk() const {
    std::string data;
    for (const Color& color : palette_)
      data += {static_cast<char>(color.red), static_cast<char>(color.green), static_cast<char>(color.blue)};
    return data;
  }

  [[nodiscard]] std::string transparency_chunk() const {
    std::string data;
    if (kind_.color_type == 3) {
      for (std::size_t i = 0; i < (palette_.size() + 1) / 2; ++i) data += static_cast<char>(palette_[i].alpha);
      return data;
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(channels_); ++i)
      data += {static_cast<char>(key_[i] >> 8), static_cast<char>(key_[i] & 255)};
    return data;
  }

  [[nodiscard]] const std::uint16_t* pixel(std::uint32_t x, std::uint32_t y) const {
    return &samples_[(std::size_t{y} * width_ + x) * static_cast<unsigned>(channels_)];
  }

  // The rows of one Adam7 pass (or of the whole image), unfiltered.
  [[nodiscard]] std::string pass(std::uint32_t x0, std::uint32_t y0, std::uint32_t dx, std::uint32_t dy) const {
    std::string out;
    if (x0 >= width_) return out;
    for (std::uint32_t y = y0; y < height_; y += dy) {
      out += '\0';
      append_row(out, x0, y, dx);
    }
    return out;
  }

  void append_row(std::string& out, std::uint32_t x0, std::uint32_t y, std::uint32_t dx) const {
    unsigned pending = 0;
    int bits = 0;
    for (std::uint32_t x = x0; x < width_; x += dx) {
      for (int c = 0; c < channels_; ++c) {
        pending = pending << kind_.depth | pixel(x, y)[c];
        bits += kind_.depth;
        for (; bits >= 8; bits -= 8) out += static_cast<char>(pending >> (bits - 8) & 255);
      }
    }
    if (bits > 0) out += static_cast<char>(pending << (8 - bits) & 255);
  }

  void expand(Picture& picture) const {
    const bool alpha_added = kind_.transparency;
    picture.channels = (kind_.color_type == 3 ? 3 : channels_) + (alpha_added ? 1 : 0);
    for (std::uint32_t y = 0; y < height_; ++y) {
      for (std::uint32_t x = 0; x < width_; ++x) expand_pixel(pixel(x, y), picture);
    }
  }

  void expand_pixel(const std::uint16_t* from, Picture& picture) const {
    if (kind_.color_type == 3) {
      const Color& color = palette_[*from];
      picture.pixels.insert(picture.pixels.end(), {color.red, color.green, color.blue});
      if (kind_.transparency) picture.pixels.push_back(color.alpha);
      return;
    }
    const int scale = kind_.depth < 8 ? 255 / ((1 << kind_.depth) - 1) : 1;
    for (int c = 0; c < channels_; ++c) picture.pixels.push_back(static_cast<std::uint16_t>(from[c] * scale));
    if (!kind_.transparency) return;
    const bool transparent = std::equal(from, from + channels_, key_.begin());
    picture.pixels.push_back(transparent ? std::uint16_t{0}
                                         : static_cast<std::uint16_t>(picture.bits == 16 ? 65535 : 255));
  }

  PngKind kind_;
  std::uint32_t width_;
  std::uint32_t height_;
  int channels_ = 1;
  std::mt19937_64 random_;
  std::vector<Color> palette_;
  std::array<std::uint16_t, 3> key_{};
  std::vector<std::uint16_t> samples_;
};

// ---- JPEG, written with libjpeg -------------------------------------------------------------------------------------

struct JpegKind {
  J_COLOR_SPACE color_space = JCS_YCbCr;  // in the file: grey, YCbCr, RGB, CMYK, YCCK
  int horizontal = 1;                     // sampling of the first component; the others have 1
  int vertical = 1;
  bool progressive = false;
  bool arithmetic = false;
  int restart_rows = 0;
  int orientation = 0;  // EXIF, when not 0
  bool big_endian_exif = true;
  int quality = 85;
};

inline std::vector<JpegKind> all_jpeg_kinds() {
  std::vector<JpegKind> all;
  constexpr std::array<std::array<int, 2>, 6> samplings = {{{1, 1}, {2, 1}, {1, 2}, {2, 2}, {4, 1}, {4, 2}}};
  for (const bool progressive : {false, true}) {
    for (const bool arithmetic : {false, true}) {
      all.push_back({JCS_GRAYSCALE, 1, 1, progressive, arithmetic});
      all.push_back({JCS_RGB, 1, 1, progressive, arithmetic});
      for (const J_COLOR_SPACE space : {JCS_YCbCr, JCS_CMYK, JCS_YCCK}) {
        for (const auto& [h, v] : samplings) {
          const bool fits = space == JCS_YCbCr || h * v <= 4;  // an MCU has at most 10 blocks
          if (fits) all.push_back({space, h, v, progressive, arithmetic});
        }
      }
    }
  }
  return all;
}

inline std::string name_of(const JpegKind& kind) {
  return "space " + std::to_string(kind.color_space) + " sampling " + std::to_string(kind.horizontal) + "x" +
         std::to_string(kind.vertical) + (kind.progressive ? " progressive" : "") +
         (kind.arithmetic ? " arithmetic" : "") + " orientation " + std::to_string(kind.orientation);
}

// The data of an APP1 segment that names an orientation.
inline std::string exif_segment(int orientation, bool big_endian) {
  const auto value = static_cast<char>(orientation);
  const std::string big{"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", 19};
  const std::string little{"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", 18};
  std::string tiff = big_endian ? big + value + std::string("\0\0", 2) : little + value + std::string("\0\0\0", 3);
  return std::string("Exif\0\0", 6) + tiff + std::string(4, '\0');
}

// A gradient with noise, `components` interleaved samples per pixel.
inline std::vector<std::uint8_t> photo(std::uint32_t width, std::uint32_t height, int components,
                                       std::uint64_t seed = 1, unsigned noise = 32) {
  std::mt19937_64 random(seed);
  std::vector<std::uint8_t> samples;
  samples.reserve(std::size_t{width} * height * static_cast<unsigned>(components));
  for (std::uint32_t y = 0; y < height; ++y) {
    for (std::uint32_t x = 0; x < width; ++x) {
      for (unsigned c = 0; c < static_cast<unsigned>(components); ++c) {
        const unsigned slope = (x * (c + 1) + y * (4 - c)) * 200 / (5 * (width + height));
        samples.push_back(static_cast<std::uint8_t>(slope % 220 + random() % noise));
      }
    }
  }
  return samples;
}

inline J_COLOR_SPACE input_space_of(J_COLOR_SPACE in_file) {
  if (in_file == JCS_GRAYSCALE) return JCS_GRAYSCALE;
  return in_file == JCS_CMYK || in_file == JCS_YCCK ? JCS_CMYK : JCS_RGB;
}

inline std::string make_jpeg(const JpegKind& kind, std::uint32_t width, std::uint32_t height,
                             const std::vector<std::uint8_t>& samples) {
  jpeg_compress_struct encoder{};
  jpeg_error_mgr errors{};
  encoder.err = jpeg_std_error(&errors);  // a mistake in a test ends the program
  jpeg_create_compress(&encoder);
  unsigned char* bytes = nullptr;
  unsigned long length = 0;
  jpeg_mem_dest(&encoder, &bytes, &length);
  encoder.image_width = width;
  encoder.image_height = height;
  encoder.in_color_space = input_space_of(kind.color_space);
  encoder.input_components = encoder.in_color_space == JCS_GRAYSCALE ? 1 : encoder.in_color_space == JCS_CMYK ? 4 : 3;
  jpeg_set_defaults(&encoder);
  jpeg_set_colorspace(&encoder, kind.color_space);
  jpeg_set_quality(&encoder, kind.quality, TRUE);
  for (int i = 1; i < encoder.num_components; ++i)
    encoder.comp_info[i].h_samp_factor = encoder.comp_info[i].v_samp_factor = 1;
  encoder.comp_info[0].h_samp_factor = kind.horizontal;
  encoder.comp_info[0].v_samp_factor = kind.vertical;
  if (kind.color_space == JCS_YCCK) {  // black is as sharp as luma there, in CMYK it is not
    encoder.comp_info[3].h_samp_factor = kind.horizontal;
    encoder.comp_info[3].v_samp_factor = kind.vertical;
  }
  encoder.arith_code = kind.arithmetic ? TRUE : FALSE;
  encoder.restart_in_rows = kind.restart_rows;
  if (kind.progressive) jpeg_simple_progression(&encoder);
  jpeg_start_compress(&encoder, TRUE);
  if (kind.orientation != 0) {
    const std::string exif = exif_segment(kind.orientation, kind.big_endian_exif);
    jpeg_write_marker(&encoder, JPEG_APP0 + 1, reinterpret_cast<const JOCTET*>(exif.data()),
                      static_cast<unsigned>(exif.size()));
  }
  while (encoder.next_scanline < height) {
    auto* row = const_cast<JSAMPLE*>(
        &samples[std::size_t{encoder.next_scanline} * width * static_cast<unsigned>(encoder.input_components)]);
    jpeg_write_scanlines(&encoder, &row, 1);
  }
  jpeg_finish_compress(&encoder);
  std::string file(reinterpret_cast<const char*>(bytes), length);
  jpeg_destroy_compress(&encoder);
  std::free(bytes);
  return file;
}

inline std::string make_jpeg(const JpegKind& kind, std::uint32_t width, std::uint32_t height, std::uint64_t seed = 1) {
  const J_COLOR_SPACE space = input_space_of(kind.color_space);
  const int components = space == JCS_GRAYSCALE ? 1 : space == JCS_CMYK ? 4 : 3;
  return make_jpeg(kind, width, height, photo(width, height, components, seed));
}

// Where the first marker of that kind stands; npos when there is none.
inline std::size_t find_marker(const std::string& file, unsigned char marker) {
  const char text[] = {'\xff', static_cast<char>(marker)};
  return file.find(std::string_view(text, 2));
}

}  // namespace image_corpus
