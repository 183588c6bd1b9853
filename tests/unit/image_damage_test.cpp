// Damages small files of every kind: cut at every byte, and changed at random. Each must give an error or whole pixels.
//
// TENSORD_IMAGE_FLIPS sets how many files are changed at random; run it large under the sanitizers.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <iostream>

#include "image_corpus.hpp"
#include "tensorwire/image.hpp"

namespace tensorwire {
namespace {

using Random = std::mt19937_64;

constexpr std::uint64_t kMemory = 256ULL << 20;

std::uint64_t setting(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::vector<std::string> corpus() {
  std::vector<std::string> files;
  std::uint32_t size = 0;
  for (const image_corpus::PngKind& kind : image_corpus::all_png_kinds()) {
    size = size % 17 + 1;
    files.push_back(image_corpus::PngMaker(kind, size, 19 - size, size).make().file);
  }
  for (image_corpus::JpegKind kind : image_corpus::all_jpeg_kinds()) {
    size = size % 17 + 1;
    kind.orientation = static_cast<int>(size % 9);
    kind.restart_rows = static_cast<int>(size % 2);
    files.push_back(image_corpus::make_jpeg(kind, size, 19 - size, size));
  }
  return files;
}

struct Outcomes {
  std::uint64_t whole = 0;
  std::uint64_t refused = 0;
  double slowest = 0;  // seconds
};

// Decodes once; the pool holds no more than 256 MiB, and the result is whole or an error that names its kind.
void decode_damaged(std::string_view file, const ImageOptions& options, Outcomes& outcomes) {
  static const auto budget = std::make_shared<MemoryBudget>(kMemory);
  static const auto pool = std::make_shared<BufferPool>(BufferPool::Options{1 << 20}, budget);
  // An exact copy, so that a sanitizer sees the first byte that is read behind it.
  const std::vector<char> copy(file.begin(), file.end());
  const auto start = std::chrono::steady_clock::now();
  Result<DecodedImage> decoded = decode_image(image_corpus::as_file({copy.data(), copy.size()}), options, {}, *pool);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  outcomes.slowest = std::max(outcomes.slowest, took.count());
  if (decoded.ok()) {
    ++outcomes.whole;
    const Result<ImageInfo> info = inspect_image(image_corpus::as_file({copy.data(), copy.size()}), options);
    ASSERT_TRUE(info.ok()) << info.error().message;
    ASSERT_EQ(decoded->pixels.shape(), info->shape);
    ASSERT_EQ(decoded->pixels.dtype(), info->dtype);
    ASSERT_TRUE(options.allow_damaged || decoded->warning.empty()) << decoded->warning;
    return;
  }
  ++outcomes.refused;
  const ErrorCode code = decoded.error().code;
  ASSERT_TRUE(code == ErrorCode::bad_image || code == ErrorCode::image_too_large || code == ErrorCode::overloaded)
      << to_string(code) << ": " << decoded.error().message;
  ASSERT_FALSE(decoded.error().message.empty());
}

void report(const char* what, const Outcomes& outcomes) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::cout << what << ": " << outcomes.whole << " decoded, " << outcomes.refused << " refused, the slowest took "
            << outcomes.slowest * 1e3 << " ms, peak of the process " << usage.ru_maxrss / 1024 << " MiB\n";
}

TEST(DamagedImages, CutAtEveryByteGiveAnErrorOrWholePixels) {
  Outcomes outcomes;
  for (const std::string& file : corpus()) {
    for (std::size_t length = 0; length <= file.size(); ++length) {
      decode_damaged({file.data(), length}, {}, outcomes);
      decode_damaged({file.data(), length}, {.exif_orientation = true, .allow_damaged = true}, outcomes);
      if (HasFatalFailure()) FAIL() << "cut at " << length << " of " << file.size();
    }
  }
  EXPECT_GE(outcomes.whole, corpus().size() * 2);
  report("cut", outcomes);
}

ImageOptions random_options(Random& random) {
  ImageOptions options;
  options.allow_damaged = random() % 2 == 0;
  options.exif_orientation = random() % 2 == 0;
  if (random() % 2 == 0) options.pixel_format = static_cast<PixelFormat>(random() % 9);
  return options;
}

// The CRCs of a PNG catch every flip; putting them right lets the damage through to what lies behind them.
void repair_checksums(std::string& file) {
  std::size_t at = 8;
  while (at + 12 <= file.size()) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(file[at + i]);
    if (length > file.size() - at - 12) return;
    file.replace(at + 8 + length, 4, image_corpus::u32(image_corpus::crc_of({file.data() + at + 4, length + 4})));
    at += 12 + length;
  }
}

TEST(DamagedImages, ChangedAtRandomGiveAnErrorOrWholePixels) {
  const std::uint64_t seed = setting("TENSORD_SEED", 20240517);
  const std::uint64_t count = setting("TENSORD_IMAGE_FLIPS", 5000);
  Random random(seed);
  const std::vector<std::string> files = corpus();
  Outcomes outcomes;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string file = files[random() % files.size()];
    for (std::uint64_t flips = 1 + random() % 3; flips > 0; --flips)
      file[random() % file.size()] = static_cast<char>(random());
    if (file[1] == 'P' && random() % 4 != 0) repair_checksums(file);
    decode_damaged(file, random_options(random), outcomes);
    if (HasFatalFailure()) FAIL() << "file " << i << " of seed " << seed;
  }
  EXPECT_EQ(outcomes.whole + outcomes.refused, count);
  EXPECT_GT(outcomes.whole, 0U);
  EXPECT_GT(outcomes.refused, 0U);
  report("changed", outcomes);
}

}  // namespace
}  // namespace tensorwire
