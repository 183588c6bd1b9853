// Tests of PNG decoding and encoding: every kind against samples known beforehand, every pixel format, every refusal.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "image_corpus.hpp"
#include "tensorwire/image.hpp"

namespace tensorwire {
namespace {

using image_corpus::as_file;
using image_corpus::chunk;
using image_corpus::Picture;
using image_corpus::PngKind;
using image_corpus::PngMaker;

std::vector<std::uint16_t> samples_of(const Tensor& tensor) {
  std::vector<std::uint16_t> samples;
  if (tensor.dtype() == DType::uint8) {
    const auto values = tensor.as<std::uint8_t>().value();
    samples.assign(values.begin(), values.end());
  } else {
    const auto values = tensor.as<std::uint16_t>().value();
    samples.assign(values.begin(), values.end());
  }
  return samples;
}

Error refusal(std::string_view file, const ImageOptions& options = {}, const Limits& limits = {}) {
  Result<DecodedImage> decoded = decode_image(as_file(file), options, limits);
  if (decoded.ok()) return {ErrorCode::internal, "it was taken", ""};
  return decoded.error();
}

void expect_refused(std::string_view file, ErrorCode code, std::string_view words, const ImageOptions& options = {},
                    const Limits& limits = {}) {
  const Error error = refusal(file, options, limits);
  EXPECT_EQ(to_string(error.code), to_string(code)) << error.message;
  EXPECT_NE(error.message.find(words), std::string::npos) << error.message;
}

void expect_decodes(const Picture& picture) {
  Result<DecodedImage> decoded = decode_image(as_file(picture.file));
  ASSERT_TRUE(decoded.ok()) << decoded.error().message;
  const Tensor& pixels = decoded->pixels;
  EXPECT_EQ(pixels.dtype(), picture.bits == 16 ? DType::uint16 : DType::uint8);
  EXPECT_EQ(pixels.shape(), (Shape{picture.height, picture.width, picture.channels}));
  EXPECT_EQ(samples_of(pixels), picture.pixels);
  EXPECT_EQ(decoded->warning, "");
}

const Picture& any_picture() {
  static const Picture picture = PngMaker({2, 8}, 13, 11).make();
  return picture;
}

TEST(Png, EveryKindInEverySmallSizeDecodesToItsSamples) {
  for (const PngKind& kind : image_corpus::all_png_kinds()) {
    SCOPED_TRACE(name_of(kind));
    for (std::uint32_t width = 1; width <= 17; ++width) {
      for (std::uint32_t height = 1; height <= 19; ++height) {
        expect_decodes(PngMaker(kind, width, height, width * 100 + height).make());
        if (testing::Test::HasFailure()) FAIL() << width << " × " << height;
      }
    }
  }
}

TEST(Png, TheHeaderAloneTellsWhatDecodingYields) {
  for (const PngKind& kind : image_corpus::all_png_kinds()) {
    SCOPED_TRACE(name_of(kind));
    const Picture picture = PngMaker(kind, 9, 5).make();
    const ImageInfo info = inspect_image(as_file(picture.file)).value();
    EXPECT_EQ(info.format, ImageFormat::png);
    EXPECT_EQ(info.width, 9);
    EXPECT_EQ(info.height, 5);
    EXPECT_EQ(info.bit_depth, kind.depth);
    EXPECT_EQ(info.channels, picture.channels);
    EXPECT_EQ(info.orientation, 1);
    EXPECT_EQ(info.shape, (Shape{5, 9, picture.channels}));
    EXPECT_EQ(info.dtype, kind.depth == 16 ? DType::uint16 : DType::uint8);
  }
}

// ---- pixel formats: the same pixels as the native decoding, rearranged by the plain formulas below ------------------

struct Rgba {
  double red, green, blue, alpha;  // 0…1
};

Rgba native_pixel(const Picture& picture, std::size_t index) {
  const std::uint16_t* p = &picture.pixels[index * static_cast<std::size_t>(picture.channels)];
  const double top = picture.bits == 16 ? 65535 : 255;
  const bool color = picture.channels >= 3;
  const bool alpha = picture.channels % 2 == 0;
  return {p[0] / top, p[color ? 1 : 0] / top, p[color ? 2 : 0] / top, alpha ? p[picture.channels - 1] / top : 1.0};
}

std::vector<double> wanted_pixel(const Rgba& from, PixelFormat format) {
  switch (format) {
    case PixelFormat::mono8:
    case PixelFormat::mono16:
      return {0.299 * from.red + 0.587 * from.green + 0.114 * from.blue};
    case PixelFormat::rgb8:
    case PixelFormat::rgb16:
      return {from.red, from.green, from.blue};
    case PixelFormat::bgr8:
      return {from.blue, from.green, from.red};
    case PixelFormat::bgra8:
      return {from.blue, from.green, from.red, from.alpha};
    default:
      return {from.red, from.green, from.blue, from.alpha};
  }
}

void expect_format(const Picture& picture, PixelFormat format) {
  ImageOptions options;
  options.pixel_format = format;
  Result<DecodedImage> decoded = decode_image(as_file(picture.file), options);
  ASSERT_TRUE(decoded.ok()) << decoded.error().message;
  EXPECT_EQ(inspect_image(as_file(picture.file), options).value().shape, decoded->pixels.shape());
  const bool wide = to_string(format).ends_with("16");
  const bool mono = to_string(format).starts_with("mono");
  ASSERT_EQ(decoded->pixels.dtype(), wide ? DType::uint16 : DType::uint8);
  const double top = wide ? 65535 : 255;
  // Grey is a weighted sum: libpng's weights have 15 bits, and a 16-bit sum is rounded once more on its way to 8.
  const double tolerance = mono ? (wide && picture.bits == 16 ? 4.0 : wide ? 257.0 : 1.01) : 0.5;
  const std::vector<std::uint16_t> got = samples_of(decoded->pixels);
  std::size_t next = 0;
  for (std::size_t i = 0; i < std::size_t{picture.width} * picture.height; ++i) {
    for (const double value : wanted_pixel(native_pixel(picture, i), format)) {
      ASSERT_NEAR(got.at(next), value * top, tolerance) << "sample " << next;
      ++next;
    }
  }
  EXPECT_EQ(next, got.size());
}

TEST(Png, EveryKindBecomesEveryPixelFormat) {
  constexpr std::array formats = {PixelFormat::mono8, PixelFormat::rgb8,   PixelFormat::bgr8,  PixelFormat::rgba8,
                                  PixelFormat::bgra8, PixelFormat::mono16, PixelFormat::rgb16, PixelFormat::rgba16};
  for (const PngKind& kind : image_corpus::all_png_kinds()) {
    const Picture picture = PngMaker(kind, 17, 6, 7).make();
    for (const PixelFormat format : formats) {
      SCOPED_TRACE(name_of(kind) + " as " + std::string(to_string(format)));
      expect_format(picture, format);
    }
  }
}

// ---- ancillary chunks -----------------------------------------------------------------------------------------------

TEST(Png, AncillaryChunksChangeNothing) {
  const std::string gamma = chunk("gAMA", image_corpus::u32(22000));
  const std::string chroma = chunk("cHRM", std::string(32, '\1'));
  const std::string profile = chunk("iCCP", std::string("x\0\0", 3) + image_corpus::deflated("no profile at all"));
  const std::string background = chunk("bKGD", std::string(6, '\7'));
  const std::string significant = chunk("sBIT", "\5\6\5");
  const std::string text = chunk("iTXt", std::string("Comment\0\0\0\0\0", 12) + std::string(20 << 20, 'x'));
  const std::string unknown = chunk("prIv", "something private");
  std::string many;
  for (int i = 0; i < 5000; ++i) many += chunk("tEXt", std::string("k\0v", 3));
  expect_decodes(PngMaker({2, 8}, 9, 9).make(gamma + chroma + significant + background));
  expect_decodes(PngMaker({2, 16}, 9, 9).make(profile + unknown));
  expect_decodes(PngMaker({6, 8}, 9, 9).make(text + many));
}

TEST(Png, GammaChangesNoGrey) {
  const Picture plain = PngMaker({2, 8}, 16, 16).make();
  const Picture with_gamma = PngMaker({2, 8}, 16, 16).make(chunk("gAMA", image_corpus::u32(100000)));
  ImageOptions options;
  options.pixel_format = PixelFormat::mono8;
  EXPECT_EQ(samples_of(decode_image(as_file(plain.file), options).value().pixels),
            samples_of(decode_image(as_file(with_gamma.file), options).value().pixels));
}

TEST(Png, BytesBehindTheEndAreIgnored) {
  Picture picture = any_picture();
  picture.file += "trailing rubbish";
  expect_decodes(picture);
}

TEST(Png, PixelsMayComeInManyChunksAndSomeMayBeEmpty) {
  const PngMaker maker({2, 8}, 13, 11);
  Picture picture = maker.make();
  const std::string stream = image_corpus::deflated(maker.scanlines());
  picture.file = std::string(image_corpus::kPngSignature) + image_corpus::ihdr(13, 11, 8, 2);
  for (const char byte : stream) picture.file += chunk("IDAT", {&byte, 1}) + chunk("IDAT", "");
  picture.file += chunk("IEND", "");
  expect_decodes(picture);
}

// ---- refusals -------------------------------------------------------------------------------------------------------

std::string file_of(std::string_view chunks) { return std::string(image_corpus::kPngSignature) + std::string(chunks); }

TEST(Png, AFileCutAnywhereIsRefused) {
  const std::string& file = any_picture().file;
  for (std::size_t length = 0; length < file.size(); ++length) {
    ASSERT_EQ(refusal({file.data(), length}).code, ErrorCode::bad_image) << "cut at " << length;
  }
}

TEST(Png, AnyOneFlippedBitIsRefused) {
  const std::string file = PngMaker({3, 4, false, true}, 5, 5).make(chunk("tEXt", "k\0v")).file;
  for (std::size_t bit = 0; bit < file.size() * 8; ++bit) {
    std::string damaged = file;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    ASSERT_NE(refusal(damaged).message, "it was taken") << "bit " << bit;
  }
}

TEST(Png, AWrongChecksumIsToldInTheWordsOfLibpng) {
  std::string file = any_picture().file;
  file[file.size() - 14] = static_cast<char>(file[file.size() - 14] ^ 1);  // in the CRC of IDAT
  expect_refused(file, ErrorCode::bad_image, "libpng: IDAT: CRC error");
}

TEST(Png, TooFewRowsAreRefused) {
  const std::string rows(1 + 3 * 4, '\0');
  expect_refused(
      file_of(image_corpus::ihdr(4, 4, 8, 2) + chunk("IDAT", image_corpus::deflated(rows)) + chunk("IEND", "")),
      ErrorCode::bad_image, "libpng: Not enough image data");
}

TEST(Png, RowsBeyondTheLastAreHarmless) {
  const std::string rows(40 * (1 + 3 * 4), '\0');
  const std::string file =
      file_of(image_corpus::ihdr(4, 4, 8, 2) + chunk("IDAT", image_corpus::deflated(rows)) + chunk("IEND", ""));
  EXPECT_EQ(samples_of(decode_image(as_file(file)).value().pixels), std::vector<std::uint16_t>(48, 0));
}

// libpng takes the second form with a warning, because all rows are there when it meets the sum.
TEST(Png, AWrongAdlerSumIsRefusedWhereverItStands) {
  std::string stream = image_corpus::deflated(std::string(4 * (1 + 3 * 4), '\0'));
  stream.back() = static_cast<char>(stream.back() ^ 1);
  const std::string head = image_corpus::ihdr(4, 4, 8, 2);
  const std::string end = chunk("IEND", "");
  const std::string_view pixels(stream.data(), stream.size() - 4);
  const std::string_view sum(stream.data() + stream.size() - 4, 4);
  expect_refused(file_of(head + chunk("IDAT", stream) + end), ErrorCode::bad_image, "IDAT: incorrect data check");
  expect_refused(file_of(head + chunk("IDAT", pixels) + chunk("IDAT", sum) + end), ErrorCode::bad_image,
                 "IDAT: incorrect data check");
}

TEST(Png, MissingOrMisplacedChunksAreRefused) {
  const std::string idat = chunk("IDAT", image_corpus::deflated(std::string(2, '\0')));
  const std::string end = chunk("IEND", "");
  expect_refused(file_of(idat + end), ErrorCode::bad_image, "expected a 13-byte IHDR chunk first, got IDAT");
  expect_refused(file_of(chunk("IHDR", "short") + idat + end), ErrorCode::bad_image, "got IHDR of 5 bytes");
  expect_refused(file_of(image_corpus::ihdr(1, 1, 8, 3) + idat + end), ErrorCode::bad_image, "libpng: ");
  expect_refused(file_of(image_corpus::ihdr(1, 1, 8, 0) + end), ErrorCode::bad_image, "libpng: ");
  expect_refused(file_of(image_corpus::ihdr(1, 1, 7, 0) + idat + end), ErrorCode::bad_image, "libpng: ");
  expect_refused(file_of(image_corpus::ihdr(1, 1, 8, 0) + chunk("CRIT", "") + idat + end), ErrorCode::bad_image,
                 "libpng: CRIT: unhandled critical chunk");
  expect_refused(file_of(image_corpus::ihdr(0, 1, 8, 0) + idat + end), ErrorCode::bad_image, "libpng: ");
}

// The 57 bytes: signature, IHDR, and a chunk that claims 2 GB. libpng 1.6 makes room for what the chunk claims.
TEST(Png, AChunkThatClaimsMoreThanTheFileHoldsIsRefusedBeforeLibpng) {
  for (const char* type : {"iTXt", "zTXt", "iCCP", "tEXt", "PLTE", "IDAT", "eXIf"}) {
    for (const std::uint64_t claim : {0x7fff'ffffULL, 0x8000'0000ULL, 0xffff'ffffULL, 13ULL}) {
      std::string file = file_of(image_corpus::ihdr(1, 1, 8, 0)) + image_corpus::u32(claim) + type;
      file.resize(57, 'x');
      expect_refused(file, ErrorCode::bad_image, "are left in the file: truncated?");
    }
  }
}

TEST(Png, AnImpossibleSizeIsRefusedFromTheHeader) {
  const std::string idat = chunk("IDAT", "x") + chunk("IEND", "");
  expect_refused(file_of(image_corpus::ihdr(65535, 65535, 8, 0) + idat), ErrorCode::image_too_large,
                 "65535 × 65535 × 1 samples are more than the limit of 100000000");
  expect_refused(file_of(image_corpus::ihdr(0xffff'ffff, 0xffff'ffff, 16, 6) + idat), ErrorCode::image_too_large, "");
  expect_refused(file_of(image_corpus::ihdr(0x7fff'ffff, 1, 1, 0) + idat), ErrorCode::image_too_large,
                 "no side may exceed 1000000");
}

TEST(Png, TheLimitCountsSamplesOfTheFileAndOfTheResult) {
  Limits limits;
  limits.max_pixels = 13 * 11 * 3;
  EXPECT_TRUE(decode_image(as_file(any_picture().file), {}, limits).ok());
  ImageOptions wide;
  wide.pixel_format = PixelFormat::rgba8;
  expect_refused(any_picture().file, ErrorCode::image_too_large, "13 × 11 × 4", wide, limits);
  limits.max_pixels -= 1;
  expect_refused(any_picture().file, ErrorCode::image_too_large, "13 × 11 × 3", {}, limits);
  ImageOptions narrow;
  narrow.pixel_format = PixelFormat::mono8;
  expect_refused(any_picture().file, ErrorCode::image_too_large, "13 × 11 × 3", narrow, limits);
}

TEST(Png, DecodingStopsWhenItsTimeIsUp) {
  Limits limits;
  limits.max_image_ms = 0;
  expect_refused(any_picture().file, ErrorCode::image_too_large, "longer than the limit of 0 ms", {}, limits);
}

TEST(Png, PixelsAreChargedToTheBudget) {
  const auto budget = std::make_shared<MemoryBudget>(64 << 10);
  const auto pool = std::make_shared<BufferPool>(BufferPool::Options{0}, budget);
  const Picture large = PngMaker({0, 8}, 300, 300).make();
  Result<DecodedImage> decoded = decode_image(as_file(large.file), {}, {}, *pool);
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.error().code, ErrorCode::overloaded);
  EXPECT_EQ(budget->used(), 0U);
}

TEST(Png, ScaleIsForJpegOnly) {
  ImageOptions options;
  options.scale = 2;
  expect_refused(any_picture().file, ErrorCode::bad_message, "scale 2 is for JPEG only", options);
}

// ---- encoding -------------------------------------------------------------------------------------------------------

template <class Sample>
void expect_round_trip(const Shape& shape, int level) {
  std::mt19937_64 random(3);
  std::vector<Sample> values(static_cast<std::size_t>(shape.element_count().value()));
  for (Sample& value : values) value = static_cast<Sample>(random());
  EncodeOptions options;
  options.png_level = level;
  Result<Buffer> file = encode_image(TensorView(std::span<const Sample>(values), shape), ImageFormat::png, options);
  ASSERT_TRUE(file.ok()) << file.error().message;
  const Tensor pixels = decode_image(file->bytes()).value().pixels;
  EXPECT_EQ(pixels.shape(), (Shape{shape[0], shape[1], shape.rank() == 3 ? shape[2] : 1}));
  const auto got = pixels.as<Sample>().value();
  EXPECT_TRUE(std::equal(got.begin(), got.end(), values.begin(), values.end()));
}

TEST(Png, EncodedPixelsComeBackTheSame) {
  for (const int level : {0, 1, 3, 9}) {
    for (const std::int64_t channels : {1, 2, 3, 4}) {
      expect_round_trip<std::uint8_t>({19, 23, channels}, level);
      expect_round_trip<std::uint16_t>({19, 23, channels}, level);
    }
    expect_round_trip<std::uint8_t>({1, 1}, level);
    expect_round_trip<std::uint16_t>({200, 300}, level);
  }
}

TEST(Png, EncodingNeedsRoomInTheBudget) {
  const auto pool = std::make_shared<BufferPool>(BufferPool::Options{0}, std::make_shared<MemoryBudget>(10'000));
  const std::vector<std::uint8_t> noise = image_corpus::photo(200, 200, 1, 5, 250);
  Result<Buffer> file =
      encode_image(TensorView(std::span<const std::uint8_t>(noise), {200, 200}), ImageFormat::png, {}, *pool);
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().code, ErrorCode::overloaded);
  EXPECT_EQ(pool->budget()->used(), 0U);
}

}  // namespace
}  // namespace tensorwire
