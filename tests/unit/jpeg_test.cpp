// Tests of JPEG decoding and encoding: every kind against plain libjpeg, orientation, scale, pixel formats, every
// refusal.
#include <gtest/gtest.h>
#include <turbojpeg.h>

#include <cmath>
#include <cstring>

#include "image_corpus.hpp"
#include "jpeg_markers.hpp"
#include "tensorwire/image.hpp"

namespace tensorwire {
namespace {

using image_corpus::as_file;
using image_corpus::JpegKind;
using image_corpus::make_jpeg;

using Samples = std::vector<std::uint8_t>;

// libjpeg with all its defaults and nothing of the code under test, as djpeg calls it.
Samples by_libjpeg(const std::string& file, J_COLOR_SPACE space, int scale = 1) {
  jpeg_decompress_struct decoder{};
  jpeg_error_mgr errors{};
  decoder.err = jpeg_std_error(&errors);  // a mistake in a test ends the program
  jpeg_create_decompress(&decoder);
  jpeg_mem_src(&decoder, reinterpret_cast<const unsigned char*>(file.data()), file.size());
  jpeg_read_header(&decoder, TRUE);
  decoder.scale_denom = static_cast<unsigned>(scale);
  decoder.out_color_space = space;
  jpeg_start_decompress(&decoder);
  const std::size_t stride = decoder.output_width * static_cast<std::size_t>(decoder.output_components);
  Samples out(stride * decoder.output_height);
  while (decoder.output_scanline < decoder.output_height) {
    JSAMPROW row = out.data() + stride * decoder.output_scanline;
    jpeg_read_scanlines(&decoder, &row, 1);
  }
  jpeg_finish_decompress(&decoder);
  jpeg_destroy_decompress(&decoder);
  return out;
}

bool is_cmyk(const JpegKind& kind) { return kind.color_space == JCS_CMYK || kind.color_space == JCS_YCCK; }

// djpeg's rule for its PNM output.
Samples rgb_of_cmyk(const Samples& cmyk) {
  Samples rgb;
  for (std::size_t i = 0; i + 3 < cmyk.size(); i += 4) {
    for (std::size_t c = 0; c < 3; ++c) {
      rgb.push_back(static_cast<std::uint8_t>(static_cast<double>(cmyk[i + c]) * cmyk[i + 3] / 255.0 + 0.5));
    }
  }
  return rgb;
}

Samples native_by_libjpeg(const JpegKind& kind, const std::string& file, int scale = 1) {
  if (kind.color_space == JCS_GRAYSCALE) return by_libjpeg(file, JCS_GRAYSCALE, scale);
  if (is_cmyk(kind)) return rgb_of_cmyk(by_libjpeg(file, JCS_CMYK, scale));
  return by_libjpeg(file, JCS_RGB, scale);
}

Tensor decoded(const std::string& file, const ImageOptions& options = {}) {
  return decode_image(as_file(file), options).value().pixels;
}

Samples samples_of(const Tensor& tensor) {
  const auto values = tensor.as<std::uint8_t>().value();
  return {values.begin(), values.end()};
}

void expect_refused(std::string_view file, ErrorCode code, std::string_view words, const ImageOptions& options = {},
                    const Limits& limits = {}) {
  Result<DecodedImage> result = decode_image(as_file(file), options, limits);
  ASSERT_FALSE(result.ok()) << "it was taken; expected " << words;
  EXPECT_EQ(to_string(result.error().code), to_string(code)) << result.error().message;
  EXPECT_NE(result.error().message.find(words), std::string::npos) << result.error().message;
}

TEST(Jpeg, EveryKindDecodesAsLibjpegDoes) {
  for (const JpegKind& kind : image_corpus::all_jpeg_kinds()) {
    SCOPED_TRACE(name_of(kind));
    for (const auto& [width, height] : {std::pair{1U, 1U}, {17U, 19U}, {16U, 16U}, {8U, 33U}, {65U, 9U}}) {
      const std::string file = make_jpeg(kind, width, height, width + height);
      const Tensor pixels = decoded(file);
      const int channels = kind.color_space == JCS_GRAYSCALE ? 1 : 3;
      ASSERT_EQ(pixels.shape(), (Shape{height, width, channels}));
      ASSERT_EQ(samples_of(pixels), native_by_libjpeg(kind, file)) << width << " × " << height;
    }
  }
}

TEST(Jpeg, EverySmallSizeDecodesAsLibjpegDoes) {
  const JpegKind kind{JCS_YCbCr, 2, 2};
  for (std::uint32_t width = 1; width <= 17; ++width) {
    for (std::uint32_t height = 1; height <= 19; ++height) {
      const std::string file = make_jpeg(kind, width, height);
      ASSERT_EQ(samples_of(decoded(file)), by_libjpeg(file, JCS_RGB)) << width << " × " << height;
    }
  }
}

TEST(Jpeg, TheHeaderAloneTellsWhatDecodingYields) {
  const std::string file = make_jpeg({JCS_CMYK, 1, 1, false, false, 0, 6}, 17, 9);
  ImageOptions options;
  options.exif_orientation = true;
  options.scale = 4;
  options.pixel_format = PixelFormat::rgba16;
  const ImageInfo info = inspect_image(as_file(file), options).value();
  EXPECT_EQ(info.format, ImageFormat::jpeg);
  EXPECT_EQ(info.width, 17);
  EXPECT_EQ(info.height, 9);
  EXPECT_EQ(info.channels, 3);
  EXPECT_EQ(info.bit_depth, 8);
  EXPECT_EQ(info.orientation, 6);
  EXPECT_EQ(info.dtype, DType::uint16);
  EXPECT_EQ(info.shape, (Shape{5, 3, 4}));
  EXPECT_EQ(decoded(file, options).shape(), info.shape);
}

TEST(Jpeg, ScaleDecodesAsLibjpegDoes) {
  for (const JpegKind& kind :
       {JpegKind{JCS_YCbCr, 2, 2}, JpegKind{JCS_GRAYSCALE}, JpegKind{JCS_YCbCr, 2, 1, true}, JpegKind{JCS_YCCK}}) {
    for (const int scale : {1, 2, 4, 8}) {
      SCOPED_TRACE(name_of(kind) + " scale " + std::to_string(scale));
      const std::string file = make_jpeg(kind, 45, 33);
      ImageOptions options;
      options.scale = scale;
      const Tensor pixels = decoded(file, options);
      EXPECT_EQ(pixels.shape()[0], (33 + scale - 1) / scale);
      EXPECT_EQ(pixels.shape()[1], (45 + scale - 1) / scale);
      EXPECT_EQ(samples_of(pixels), native_by_libjpeg(kind, file, scale));
    }
  }
}

TEST(Jpeg, AScaleThatIsNoneIsRefused) {
  ImageOptions options;
  options.scale = 3;
  expect_refused(make_jpeg({}, 8, 8), ErrorCode::bad_message, "scale must be 1, 2, 4 or 8, got 3", options);
}

// ---- pixel formats --------------------------------------------------------------------------------------------------

Samples rearranged(const Samples& rgb, PixelFormat format) {
  Samples out;
  for (std::size_t i = 0; i + 2 < rgb.size(); i += 3) {
    const bool bgr = format == PixelFormat::bgr8 || format == PixelFormat::bgra8;
    out.insert(out.end(), {rgb[i + (bgr ? 2U : 0U)], rgb[i + 1], rgb[i + (bgr ? 0U : 2U)]});
    if (format == PixelFormat::rgba8 || format == PixelFormat::bgra8 || format == PixelFormat::rgba16)
      out.push_back(255);
  }
  return out;
}

Samples gray_as_rgb(const Samples& gray) {
  Samples rgb;
  for (const std::uint8_t value : gray) rgb.insert(rgb.end(), 3, value);
  return rgb;
}

TEST(Jpeg, EveryKindBecomesEveryColourFormat) {
  for (const JpegKind& kind : {JpegKind{JCS_GRAYSCALE}, JpegKind{JCS_YCbCr, 2, 2}, JpegKind{JCS_RGB},
                               JpegKind{JCS_CMYK}, JpegKind{JCS_YCCK, 2, 1}}) {
    const std::string file = make_jpeg(kind, 21, 18);
    Samples rgb = native_by_libjpeg(kind, file);
    if (kind.color_space == JCS_GRAYSCALE) rgb = gray_as_rgb(rgb);
    for (const PixelFormat format : {PixelFormat::rgb8, PixelFormat::bgr8, PixelFormat::rgba8, PixelFormat::bgra8}) {
      SCOPED_TRACE(name_of(kind) + " as " + std::string(to_string(format)));
      EXPECT_EQ(samples_of(decoded(file, {.pixel_format = format})), rearranged(rgb, format));
    }
    for (const PixelFormat format : {PixelFormat::rgb16, PixelFormat::rgba16}) {
      SCOPED_TRACE(name_of(kind) + " as " + std::string(to_string(format)));
      const Tensor wide = decoded(file, {.pixel_format = format});
      const auto values = wide.as<std::uint16_t>().value();
      const Samples narrow = rearranged(rgb, format);
      ASSERT_EQ(values.size(), narrow.size());
      for (std::size_t i = 0; i < narrow.size(); ++i) ASSERT_EQ(values[i], narrow[i] * 257);
    }
  }
}

TEST(Jpeg, MonoIsTheLumaOfTheFile) {
  for (const JpegKind& kind : {JpegKind{JCS_GRAYSCALE}, JpegKind{JCS_YCbCr, 2, 2}, JpegKind{JCS_RGB}}) {
    const std::string file = make_jpeg(kind, 21, 18);
    EXPECT_EQ(samples_of(decoded(file, {.pixel_format = PixelFormat::mono8})), by_libjpeg(file, JCS_GRAYSCALE));
    const Tensor wide = decoded(file, {.pixel_format = PixelFormat::mono16});
    EXPECT_EQ(wide.shape(), (Shape{18, 21, 1}));
    EXPECT_EQ(wide.as<std::uint16_t>().value()[5], by_libjpeg(file, JCS_GRAYSCALE)[5] * 257);
  }
}

TEST(Jpeg, MonoOfCmykIsTheLumaOfItsRgb) {
  const JpegKind kind{JCS_YCCK};
  const std::string file = make_jpeg(kind, 21, 18);
  const Samples rgb = native_by_libjpeg(kind, file);
  const Samples mono = samples_of(decoded(file, {.pixel_format = PixelFormat::mono8}));
  ASSERT_EQ(mono.size() * 3, rgb.size());
  for (std::size_t i = 0; i < mono.size(); ++i) {
    ASSERT_NEAR(mono[i], 0.299 * rgb[3 * i] + 0.587 * rgb[3 * i + 1] + 0.114 * rgb[3 * i + 2], 0.51);
  }
}

// ---- EXIF orientation -----------------------------------------------------------------------------------------------

// Where EXIF says that the upright pixel (x, y) of a width × height image is stored.
std::pair<std::size_t, std::size_t> stored_at(int orientation, std::size_t x, std::size_t y, std::size_t width,
                                              std::size_t height) {
  switch (orientation) {
    case 2:
      return {width - 1 - x, y};
    case 3:
      return {width - 1 - x, height - 1 - y};
    case 4:
      return {x, height - 1 - y};
    case 5:
      return {y, x};
    case 6:
      return {y, height - 1 - x};
    case 7:
      return {width - 1 - y, height - 1 - x};
    case 8:
      return {width - 1 - y, x};
    default:
      return {x, y};
  }
}

void expect_upright(const JpegKind& kind, PixelFormat format) {
  constexpr std::size_t width = 21;
  constexpr std::size_t height = 34;
  const std::string file = make_jpeg(kind, width, height);
  const Tensor plain = decoded(file, {.pixel_format = format});
  const Tensor upright = decoded(file, {.pixel_format = format, .exif_orientation = true});
  const bool turned = kind.orientation >= 5;
  const std::size_t columns = turned ? height : width;
  const std::size_t rows = turned ? width : height;
  ASSERT_EQ(upright.shape(),
            (Shape{static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns), plain.shape()[2]}));
  const std::size_t pixel = plain.bytes().size() / (width * height);
  for (std::size_t y = 0; y < rows; ++y) {
    for (std::size_t x = 0; x < columns; ++x) {
      const auto [sx, sy] = stored_at(kind.orientation, x, y, width, height);
      const std::byte* got = upright.bytes().data() + (y * columns + x) * pixel;
      ASSERT_EQ(std::memcmp(got, plain.bytes().data() + (sy * width + sx) * pixel, pixel), 0) << x << ", " << y;
    }
  }
}

TEST(Jpeg, EveryOrientationIsAppliedOnRequestAndOnlyThen) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    for (const J_COLOR_SPACE space : {JCS_GRAYSCALE, JCS_YCbCr, JCS_CMYK}) {
      for (const PixelFormat format :
           {PixelFormat::native, PixelFormat::bgra8, PixelFormat::rgb16, PixelFormat::mono8}) {
        JpegKind kind{space};
        kind.orientation = orientation;
        kind.big_endian_exif = orientation % 2 == 0;
        SCOPED_TRACE(name_of(kind) + " as " + std::string(to_string(format)));
        expect_upright(kind, format);
      }
    }
  }
  JpegKind turned;
  turned.orientation = 6;
  EXPECT_EQ(decoded(make_jpeg(turned, 5, 9)).shape(), (Shape{9, 5, 3}));
}

TEST(Jpeg, ADamagedExifSegmentMeansNoOrientation) {
  const std::string good = image_corpus::exif_segment(6, true);
  const auto orientation_of = [](const std::string& segment) { return jpeg::exif_orientation(as_file(segment)); };
  EXPECT_EQ(orientation_of(good), 6);
  EXPECT_EQ(orientation_of(image_corpus::exif_segment(6, false)), 6);
  EXPECT_EQ(orientation_of(image_corpus::exif_segment(0, true)), 1);
  EXPECT_EQ(orientation_of(image_corpus::exif_segment(9, true)), 1);
  const std::size_t needed = good.size() - 4;  // the offset of a next directory is not read
  for (std::size_t length = 0; length < needed; ++length) {
    EXPECT_EQ(orientation_of(good.substr(0, length)), 1) << "cut at " << length;
  }
  std::string far = good;
  far.replace(10, 4, "\xff\xff\xff\xf0");  // the directory's offset
  EXPECT_EQ(orientation_of(far), 1);
  std::string other_order = good;
  other_order.replace(6, 2, "MI");
  EXPECT_EQ(orientation_of(other_order), 1);
}

// ---- damage ---------------------------------------------------------------------------------------------------------

TEST(Jpeg, ATruncatedFileIsRefusedAndTakenOnRequest) {
  const std::string file = make_jpeg({JCS_YCbCr, 2, 2}, 64, 64);
  const std::string half = file.substr(0, file.size() * 3 / 4);
  expect_refused(half, ErrorCode::bad_image, "libjpeg: Premature end of JPEG file");
  expect_refused(half, ErrorCode::bad_image, "\"allow_damaged\": true");
  const DecodedImage taken = decode_image(as_file(half), {.allow_damaged = true}).value();
  EXPECT_EQ(taken.warning, "Premature end of JPEG file");
  EXPECT_EQ(taken.pixels.shape(), (Shape{64, 64, 3}));
  const Samples whole = samples_of(decoded(file));
  const Samples cut = samples_of(taken.pixels);
  EXPECT_TRUE(std::equal(cut.begin(), cut.begin() + 64 * 3 * 16, whole.begin()));
  EXPECT_EQ(decode_image(as_file(file), {.allow_damaged = true}).value().warning, "");
}

TEST(Jpeg, AFileCutAnywhereIsRefused) {
  for (const bool progressive : {false, true}) {
    const std::string file = make_jpeg({JCS_YCbCr, 2, 2, progressive}, 33, 17);
    for (std::size_t length = 0; length < file.size(); ++length) {
      expect_refused({file.data(), length}, ErrorCode::bad_image, "");
    }
  }
}

TEST(Jpeg, BytesBehindTheEndAreIgnored) {
  const std::string file = make_jpeg({}, 16, 16);
  EXPECT_EQ(samples_of(decoded(file + "trailing rubbish")), samples_of(decoded(file)));
}

// ---- what cannot be read --------------------------------------------------------------------------------------------

std::string with_frame_byte(std::size_t offset, char value, std::uint8_t frame_marker = 0xc0) {
  std::string file = make_jpeg({}, 16, 16);
  file[image_corpus::find_marker(file, frame_marker) + offset] = value;
  return file;
}

TEST(Jpeg, TwelveBitsAreRefusedClearly) {
  expect_refused(with_frame_byte(4, 12), ErrorCode::bad_image, "has 12 bits per sample, only 8 can be read");
}

TEST(Jpeg, LosslessAndHierarchicalAreRefusedClearly) {
  expect_refused(with_frame_byte(1, '\xc3'), ErrorCode::bad_image, "a lossless JPEG");
  expect_refused(with_frame_byte(1, '\xc5'), ErrorCode::bad_image, "a hierarchical JPEG");
}

TEST(Jpeg, TwoComponentsAreRefusedClearly) {
  std::string file = make_jpeg({JCS_GRAYSCALE}, 8, 8);
  const std::size_t frame = image_corpus::find_marker(file, 0xc0);
  file[frame + 3] = 14;
  file[frame + 9] = 2;
  file.insert(frame + 13, "\x02\x11\0", 3);
  expect_refused(file, ErrorCode::bad_image, "has 2 components");
}

TEST(Jpeg, AHeaderWithoutAnyScanIsToldInTheWordsOfLibjpeg) {
  expect_refused("\xff\xd8\xff\xd9", ErrorCode::bad_image, "libjpeg: JPEG datastream contains no image");
  expect_refused("\xff\xd8\xff", ErrorCode::bad_image, "libjpeg: Premature end of JPEG file");
}

TEST(Jpeg, AnImpossibleSizeIsRefusedFromTheHeader) {
  for (const bool progressive : {false, true}) {
    std::string file = make_jpeg({JCS_YCbCr, 1, 1, progressive}, 16, 16);
    const std::size_t frame = image_corpus::find_marker(file, progressive ? 0xc2 : 0xc0);
    file.replace(frame + 5, 4, "\xff\xff\xff\xff");
    expect_refused(file, ErrorCode::image_too_large, "65535 × 65535 × 3 samples are more than the limit of 100000000");
  }
}

TEST(Jpeg, TheLimitCountsSamplesOfTheFileAndOfTheResult) {
  const std::string file = make_jpeg({}, 16, 16);
  Limits limits;
  limits.max_pixels = 16 * 16 * 3;
  EXPECT_TRUE(decode_image(as_file(file), {}, limits).ok());
  expect_refused(file, ErrorCode::image_too_large, "16 × 16 × 4", {.pixel_format = PixelFormat::rgba8}, limits);
  limits.max_pixels -= 1;
  expect_refused(file, ErrorCode::image_too_large, "16 × 16 × 3", {}, limits);
  expect_refused(file, ErrorCode::image_too_large, "16 × 16 × 3", {.scale = 8}, limits);
}

// A progressive file whose last scan is repeated: legal for a decoder, and each repetition walks all coefficients.
std::string with_scans(int scans) {
  std::string file = make_jpeg({JCS_GRAYSCALE, 1, 1, true}, 16, 16);
  const std::size_t last = file.rfind("\xff\xda");
  const std::string scan = file.substr(last, file.size() - 2 - last);
  const int present = jpeg::count_scans(as_file(file), 1000);
  file.resize(file.size() - 2);
  for (int i = present; i < scans; ++i) file += scan;
  return file + "\xff\xd9";
}

TEST(Jpeg, MoreScansThanTheLimitAreRefused) {
  EXPECT_EQ(jpeg::count_scans(as_file(with_scans(100)), 1000), 100);
  EXPECT_TRUE(decode_image(as_file(with_scans(100)), {.allow_damaged = true}).ok());
  expect_refused(with_scans(101), ErrorCode::image_too_large, "more than 100 scans", {.allow_damaged = true});
  expect_refused(with_scans(10'000), ErrorCode::image_too_large, "more than 100 scans", {.allow_damaged = true});
}

TEST(Jpeg, DecodingStopsWhenItsTimeIsUp) {
  Limits limits;
  limits.max_image_ms = 0;
  for (const bool progressive : {false, true}) {
    expect_refused(make_jpeg({JCS_YCbCr, 2, 2, progressive}, 64, 64), ErrorCode::image_too_large,
                   "longer than the limit of 0 ms", {}, limits);
  }
}

TEST(Jpeg, CoefficientsOfAProgressiveFileAreChargedToTheBudget) {
  const std::uint64_t pixels = 256 * 256 * 3;
  const auto budget = std::make_shared<MemoryBudget>(pixels * 2);
  const auto pool = std::make_shared<BufferPool>(BufferPool::Options{0}, budget);
  EXPECT_TRUE(decode_image(as_file(make_jpeg({}, 256, 256)), {}, {}, *pool).ok());
  Result<DecodedImage> refused = decode_image(as_file(make_jpeg({JCS_YCbCr, 1, 1, true}, 256, 256)), {}, {}, *pool);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::overloaded);
  EXPECT_EQ(budget->used(), 0U);
}

// ---- encoding -------------------------------------------------------------------------------------------------------

double mean_error(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::abs(a[i] - b[i]);
  return sum / static_cast<double>(a.size());
}

TEST(Jpeg, EncodedPixelsComeBackNearly) {
  for (const int channels : {1, 3}) {
    const Samples photo = image_corpus::photo(200, 100, channels, 1, 2);
    EncodeOptions options;
    options.jpeg_quality = 95;
    for (const Subsampling subsampling : {Subsampling::s444, Subsampling::s422, Subsampling::s420}) {
      options.subsampling = subsampling;
      const TensorView view(std::span<const std::uint8_t>(photo), {100, 200, channels});
      const Buffer file = encode_image(view, ImageFormat::jpeg, options).value();
      const Tensor back = decode_image(file.bytes()).value().pixels;
      ASSERT_EQ(back.shape(), view.shape());
      EXPECT_LT(mean_error(back.as<std::uint8_t>().value(), photo), 3.0);
    }
  }
}

TEST(Jpeg, SubsamplingAndQualityReachTheFile) {
  const Samples photo = image_corpus::photo(64, 64, 3);
  const TensorView view(std::span<const std::uint8_t>(photo), {64, 64, 3});
  EncodeOptions options;
  constexpr std::array samplings = {std::pair{Subsampling::s444, TJSAMP_444}, std::pair{Subsampling::s422, TJSAMP_422},
                                    std::pair{Subsampling::s420, TJSAMP_420}};
  for (const auto& [subsampling, expected] : samplings) {
    options.subsampling = subsampling;
    const Buffer file = encode_image(view, ImageFormat::jpeg, options).value();
    int width = 0, height = 0, got = 0, space = 0;
    tjhandle handle = tjInitDecompress();
    tjDecompressHeader3(handle, reinterpret_cast<const unsigned char*>(file.data()), file.size(), &width, &height, &got,
                        &space);
    tjDestroy(handle);
    EXPECT_EQ(got, expected);
  }
  options.jpeg_quality = 20;
  const std::size_t coarse = encode_image(view, ImageFormat::jpeg, options).value().size();
  options.jpeg_quality = 100;
  EXPECT_LT(coarse * 2, encode_image(view, ImageFormat::jpeg, options).value().size());
}

TEST(Jpeg, EncodingALargeImageGrowsItsBuffer) {
  const Samples noise = image_corpus::photo(1500, 1000, 3, 9, 200);
  EncodeOptions options;
  options.jpeg_quality = 100;
  const Buffer file =
      encode_image(TensorView(std::span<const std::uint8_t>(noise), {1000, 1500, 3}), ImageFormat::jpeg, options)
          .value();
  EXPECT_GT(file.size(), 1'000'000U);
  EXPECT_EQ(file.data()[file.size() - 2], std::byte{0xff});
  EXPECT_EQ(file.data()[file.size() - 1], std::byte{0xd9});
  EXPECT_EQ(decode_image(file.bytes()).value().pixels.shape(), (Shape{1000, 1500, 3}));
}

TEST(Jpeg, EncodingNeedsRoomInTheBudget) {
  const auto pool = std::make_shared<BufferPool>(BufferPool::Options{0}, std::make_shared<MemoryBudget>(10'000));
  const Samples noise = image_corpus::photo(200, 200, 1);
  Result<Buffer> file =
      encode_image(TensorView(std::span<const std::uint8_t>(noise), {200, 200}), ImageFormat::jpeg, {}, *pool);
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().code, ErrorCode::overloaded);
  EXPECT_EQ(pool->budget()->used(), 0U);
}

TEST(Jpeg, WhatJpegCannotHoldIsRefused) {
  const std::vector<std::uint16_t> wide(4 * 4 * 3);
  const Samples four(4 * 4 * 4);
  const Samples long_row(65'501);
  const auto code_of = [](const TensorView& view) { return encode_image(view, ImageFormat::jpeg).error().code; };
  EXPECT_EQ(code_of(TensorView(std::span<const std::uint16_t>(wide), {4, 4, 3})), ErrorCode::bad_dtype);
  EXPECT_EQ(code_of(TensorView(std::span<const std::uint8_t>(four), {4, 4, 4})), ErrorCode::bad_shape);
  EXPECT_EQ(code_of(TensorView(std::span<const std::uint8_t>(long_row), {1, 65'501})), ErrorCode::bad_shape);
}

}  // namespace
}  // namespace tensorwire
