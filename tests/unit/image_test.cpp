// Tests of images whatever their format: names, what is no image, the Image that decodes once, and what is refused
// cheaply.
#include "tensorwire/image.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "image_corpus.hpp"

namespace tensorwire {
namespace {

using image_corpus::as_file;
using image_corpus::chunk;

Buffer buffer_of(std::string_view bytes, BufferPool& pool = *BufferPool::shared()) {
  Buffer buffer = pool.allocate(bytes.size()).value();
  std::memcpy(buffer.data(), bytes.data(), bytes.size());
  return buffer;
}

const std::string& png_file() {
  static const std::string file = image_corpus::PngMaker({2, 8}, 13, 11).make().file;
  return file;
}
const std::string& jpeg_file() {
  static const std::string file = image_corpus::make_jpeg({}, 13, 11);
  return file;
}

TEST(ImageNames, FormatsAreKnownInAnyLetterCase) {
  EXPECT_EQ(parse_image_format("png").value(), ImageFormat::png);
  EXPECT_EQ(parse_image_format("JPG").value(), ImageFormat::jpeg);
  EXPECT_EQ(parse_image_format("Jpeg").value(), ImageFormat::jpeg);
  const Error error = parse_image_format("webp").error();
  EXPECT_EQ(error.code, ErrorCode::bad_image);
  EXPECT_EQ(error.message, "expected image format png, jpeg or jpg, got \"webp\"");
  EXPECT_EQ(to_string(ImageFormat::png), "png");
  EXPECT_EQ(to_string(ImageFormat::jpeg), "jpeg");
}

TEST(ImageNames, PixelFormatsAreKnownInAnyLetterCase) {
  for (const char* name : {"native", "mono8", "rgb8", "bgr8", "rgba8", "bgra8", "mono16", "rgb16", "rgba16"}) {
    EXPECT_EQ(to_string(parse_pixel_format(name).value()), name);
  }
  EXPECT_EQ(parse_pixel_format("BGR8").value(), PixelFormat::bgr8);
  const Error error = parse_pixel_format("rgb").error();
  EXPECT_EQ(error.code, ErrorCode::bad_message);
  EXPECT_EQ(
      error.message,
      "pixel_format \"rgb\" is unknown; known are native, mono8, rgb8, bgr8, rgba8, bgra8, mono16, rgb16, rgba16");
}

TEST(ImageNames, AnEndlessNameIsNotRepeatedWhole) {
  EXPECT_LT(parse_image_format(std::string(1 << 20, 'x')).error().message.size(), 200U);
}

std::string complaint(std::string_view file) {
  const Result<ImageInfo> info = inspect_image(as_file(file));
  return info.ok() ? "" : std::string(to_string(info.error().code)) + ": " + info.error().message;
}

TEST(WhatIsNoImage, IsToldByItsName) {
  EXPECT_EQ(complaint(""), "bad_image: expected a whole PNG or JPEG file, got 0 bytes");
  EXPECT_EQ(complaint("GIF89a..."), "bad_image: expected a whole PNG or JPEG file, got a GIF");
  EXPECT_EQ(complaint("RIFF....WEBP"), "bad_image: expected a whole PNG or JPEG file, got a WebP");
  EXPECT_EQ(complaint(std::string("MM\0*", 4)), "bad_image: expected a whole PNG or JPEG file, got a TIFF");
  EXPECT_NE(complaint("\x93NUMPY\1").find("send its elements as a tensor"), std::string::npos);
  EXPECT_NE(complaint("iVBORw0KGgo=").find("encoded twice?"), std::string::npos);
  EXPECT_NE(complaint("/9j/4AAQ").find("encoded twice?"), std::string::npos);
  EXPECT_EQ(complaint("\1\2\3"),
            "bad_image: expected a whole PNG or JPEG file, got 3 bytes that begin with 01 02 03: raw pixels go as "
            "`tensor` with dtype and shape");
}

TEST(ImageValue, KeepsItsFileAndKnowsItsHeader) {
  const Image image = Image::open(buffer_of(png_file())).value();
  EXPECT_EQ(image.info().format, ImageFormat::png);
  EXPECT_EQ(image.info().shape, (Shape{11, 13, 3}));
  ASSERT_EQ(image.file().size(), png_file().size());
  EXPECT_EQ(std::memcmp(image.file().data(), png_file().data(), png_file().size()), 0);
}

TEST(ImageValue, IsRefusedAtOnceWhenItsHeaderIsBad) {
  EXPECT_EQ(Image::open(buffer_of("no image")).error().code, ErrorCode::bad_image);
  Limits limits;
  limits.max_pixels = 10;
  EXPECT_EQ(Image::open(buffer_of(png_file()), {}, limits).error().code, ErrorCode::image_too_large);
}

TEST(ImageValue, DecodesWhenFirstAskedAndOnlyOnce) {
  const auto budget = std::make_shared<MemoryBudget>(1 << 20);
  const auto pool = std::make_shared<BufferPool>(BufferPool::Options{0}, budget);
  const Image image = Image::open(buffer_of(jpeg_file()), {}, {}, pool).value();
  EXPECT_EQ(budget->used(), 0U);
  const Tensor* first = image.pixels().value();
  EXPECT_GE(budget->used(), 13U * 11 * 3);
  EXPECT_EQ(first->shape(), (Shape{11, 13, 3}));
  EXPECT_EQ(image.pixels().value(), first);
}

TEST(ImageValue, GivesItsPixelsAway) {
  Image image = Image::open(buffer_of(jpeg_file())).value();
  const std::byte* data = image.pixels().value()->bytes().data();
  const Tensor taken = image.take_pixels().value();
  EXPECT_EQ(taken.bytes().data(), data);
  EXPECT_EQ(image.file().size(), jpeg_file().size());
  const Tensor again = image.take_pixels().value();
  EXPECT_TRUE(std::equal(again.bytes().begin(), again.bytes().end(), taken.bytes().begin(), taken.bytes().end()));
}

TEST(ImageValue, RemembersWhyItCannotBeDecoded) {
  const std::string cut = jpeg_file().substr(0, jpeg_file().size() - 20);
  Image image = Image::open(buffer_of(cut)).value();
  EXPECT_EQ(image.pixels().error().code, ErrorCode::bad_image);
  EXPECT_EQ(image.pixels().error().message, image.take_pixels().error().message);
  const Image taken = Image::open(buffer_of(cut), {.allow_damaged = true}).value();
  EXPECT_EQ(taken.warning(), "");
  EXPECT_TRUE(taken.pixels().ok());
  EXPECT_EQ(taken.warning(), "Premature end of JPEG file");
}

TEST(ImageValue, TriesAgainAfterTheBudgetWasFull) {
  const auto budget = std::make_shared<MemoryBudget>(64 << 10);
  const auto pool = std::make_shared<BufferPool>(BufferPool::Options{0}, budget);
  const Image image = Image::open(buffer_of(jpeg_file()), {}, {}, pool).value();
  ASSERT_TRUE(budget->try_charge(64 << 10));
  EXPECT_EQ(image.pixels().error().code, ErrorCode::overloaded);
  budget->release(64 << 10);
  EXPECT_TRUE(image.pixels().ok());
}

TEST(ImageValue, NeverOpenedSaysSo) { EXPECT_EQ(Image().pixels().error().code, ErrorCode::internal); }

TEST(Encoding, RefusesWhatIsNoImage) {
  const std::vector<float> floats(12);
  const std::vector<std::uint8_t> bytes(60);
  const auto code_of = [](const TensorView& view, const EncodeOptions& options = {},
                          ImageFormat format = ImageFormat::png) {
    return encode_image(view, format, options).error().code;
  };
  const std::span<const std::uint8_t> span(bytes);
  EXPECT_EQ(code_of(TensorView(std::span<const float>(floats), {2, 2, 3})), ErrorCode::bad_dtype);
  EXPECT_EQ(code_of(TensorView(span, {60})), ErrorCode::bad_shape);
  EXPECT_EQ(code_of(TensorView(span, {1, 2, 5, 6})), ErrorCode::bad_shape);
  EXPECT_EQ(code_of(TensorView(span, {3, 4, 5})), ErrorCode::bad_shape);
  EXPECT_EQ(code_of(TensorView(span.first(0), {0, 4, 3})), ErrorCode::bad_shape);
  EXPECT_EQ(code_of(TensorView(span, {4, 5, 3}), {.png_level = 10}), ErrorCode::bad_message);
  EXPECT_EQ(code_of(TensorView(span, {4, 5, 3}), {.jpeg_quality = 0}, ImageFormat::jpeg), ErrorCode::bad_message);
}

// ---- bombs: small files that ask for much ---------------------------------------------------------------------------

std::string png_of(const std::string& chunks) {
  return std::string(image_corpus::kPngSignature) + chunks + chunk("IEND", "");
}

std::string claiming_chunk(const char* type) {
  std::string file =
      std::string(image_corpus::kPngSignature) + image_corpus::ihdr(1, 1, 8, 0) + image_corpus::u32(0x7fff'ffff) + type;
  file.resize(57, 'x');
  return file;
}

std::string jpeg_bomb_header(bool progressive) {
  std::string file = image_corpus::make_jpeg({JCS_YCbCr, 2, 2, progressive}, 16, 16);
  file.replace(image_corpus::find_marker(file, progressive ? 0xc2 : 0xc0) + 5, 4, "\xff\xff\xff\xff");
  return file;
}

std::string scan_bomb() {
  std::string file =
      image_corpus::make_jpeg({JCS_GRAYSCALE, 1, 1, true}, 4000, 4000, std::vector<std::uint8_t>(16'000'000));
  const std::size_t last = file.rfind("\xff\xda");
  const std::string scan = file.substr(last, file.size() - 2 - last);
  file.resize(file.size() - 2);
  for (int i = 0; i < 10'000; ++i) file += scan;
  return file + "\xff\xd9";
}

struct Bomb {
  const char* name;
  std::string file;
};

std::vector<Bomb> bombs() {
  const std::string rest = chunk("IDAT", image_corpus::deflated(std::string(1 << 20, '\0')));
  return {{"PNG of 65535 × 65535", png_of(image_corpus::ihdr(65535, 65535, 8, 2) + rest)},
          {"JPEG of 65535 × 65535", jpeg_bomb_header(false)},
          {"progressive JPEG of 65535 × 65535", jpeg_bomb_header(true)},
          {"iTXt of 2 GB", claiming_chunk("iTXt")},
          {"zTXt of 2 GB", claiming_chunk("zTXt")},
          {"iCCP of 2 GB", claiming_chunk("iCCP")},
          {"JPEG of 10,000 scans", scan_bomb()}};
}

// A field of /proc/self/status in bytes.
std::size_t memory_field(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field + ":")) return std::strtoull(line.c_str() + field.size() + 1, nullptr, 10) * 1024;
  }
  ADD_FAILURE() << "/proc/self/status has no " << field;
  return 0;
}

// The most memory that `work` had on top of what was there before.
template <class Work>
std::size_t peak_growth(Work work) {
  std::ofstream("/proc/self/clear_refs") << "5";  // VmHWM starts anew
  const std::size_t before = memory_field("VmRSS");
  work();
  const std::size_t peak = memory_field("VmHWM");
  return peak > before ? peak - before : 0;
}

TEST(Bombs, AreRefusedWithinFourMegabytes) {
  for (const Bomb& bomb : bombs()) {
    SCOPED_TRACE(bomb.name);
    for (const bool allow_damaged : {false, true}) {
      ErrorCode code = ErrorCode::internal;
      const std::size_t growth = peak_growth([&] {
        Result<DecodedImage> decoded = decode_image(as_file(bomb.file), {.allow_damaged = allow_damaged});
        if (!decoded.ok()) code = decoded.error().code;
      });
      EXPECT_TRUE(code == ErrorCode::bad_image || code == ErrorCode::image_too_large) << to_string(code);
      EXPECT_LT(growth, 4U << 20);
    }
  }
}

// 100 MB of zeros behind an image of 4 × 4: what the header does not announce is never unpacked.
TEST(Bombs, PixelsBeyondTheHeaderAreNotUnpacked) {
  const std::string file =
      png_of(image_corpus::ihdr(4, 4, 8, 0) + chunk("IDAT", image_corpus::deflated(std::string(100 << 20, '\0'), 9)));
  EXPECT_LT(file.size(), 120'000U);
  const std::size_t growth = peak_growth([&] { EXPECT_TRUE(decode_image(as_file(file)).ok()); });
  EXPECT_LT(growth, 4U << 20);
}

// Ancillary text that would unpack to 100 MB is passed over.
TEST(Bombs, CompressedTextIsNotUnpacked) {
  const std::string text =
      chunk("zTXt", std::string("k\0\0", 3) + image_corpus::deflated(std::string(100 << 20, 'x'), 9));
  const std::string file = image_corpus::PngMaker({2, 8}, 4, 4).make(text).file;
  const std::size_t growth = peak_growth([&] { EXPECT_TRUE(decode_image(as_file(file)).ok()); });
  EXPECT_LT(growth, 4U << 20);
}

}  // namespace
}  // namespace tensorwire
