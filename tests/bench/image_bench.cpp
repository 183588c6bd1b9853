// Measures image decoding through the library beside libpng and TurboJPEG called directly on the same bytes.
//
// Both sides write to warm memory of the same alignment (libjpeg-turbo stores to aligned rows past the cache, which
// costs a 224 × 224 image some 8 % and is the price of aligned tensors), and each pair stands side by side in one run.
// Compare the medians of
//   image_bench --benchmark_repetitions=9 --benchmark_report_aggregates_only=true
//   --benchmark_enable_random_interleaving=true
#include <benchmark/benchmark.h>
#include <png.h>
#include <turbojpeg.h>

#include <cstring>
#include <random>
#include <string>

#include "tensorwire/image.hpp"

namespace tensorwire {
namespace {

struct Size {
  const char* name;
  std::int64_t width;
  std::int64_t height;
};
constexpr Size kSizes[] = {{"12MP", 4000, 3000}, {"1080p", 1920, 1080}, {"224x224", 224, 224}};

// Soft shapes with a little noise: compresses about as a photograph does.
Tensor photo(const Size& size) {
  Tensor pixels = Tensor::allocate(DType::uint8, {size.height, size.width, 3}).value();
  const auto out = pixels.as_mutable<std::uint8_t>().value();
  std::minstd_rand random(1);
  std::size_t next = 0;
  for (std::int64_t y = 0; y < size.height; ++y) {
    for (std::int64_t x = 0; x < size.width; ++x) {
      for (std::int64_t c = 1; c <= 3; ++c) {
        const std::int64_t value = x * c * 255 / size.width + y * 200 / (size.height * c) + (x / 40 + y / 56) % 5 * 9;
        out[next++] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) % 240 + random() % 12);
      }
    }
  }
  return pixels;
}

Buffer encoded(const Size& size, ImageFormat format) { return encode_image(photo(size).view(), format).value(); }

void count(benchmark::State& state, const Buffer& file, const Size& size) {
  state.SetItemsProcessed(state.iterations() * size.width * size.height);
  state.counters["file"] = static_cast<double>(file.size());
}

void decode_by_library(benchmark::State& state, const Size& size, ImageFormat format) {
  const Buffer file = encoded(size, format);
  const auto pool = std::make_shared<BufferPool>();
  for (auto _ : state) {
    const DecodedImage decoded = decode_image(file.bytes(), {}, {}, *pool).value();
    benchmark::DoNotOptimize(decoded.pixels.bytes().data());
  }
  count(state, file, size);
}

void inspect_by_library(benchmark::State& state, const Size& size, ImageFormat format) {
  const Buffer file = encoded(size, format);
  for (auto _ : state) benchmark::DoNotOptimize(inspect_image(file.bytes()).value().width);
  count(state, file, size);
}

void decode_by_turbojpeg(benchmark::State& state, const Size& size) {
  const Buffer file = encoded(size, ImageFormat::jpeg);
  Buffer out = BufferPool::shared()->allocate(static_cast<std::size_t>(size.width * size.height * 3)).value();
  const auto* bytes = reinterpret_cast<const unsigned char*>(file.data());
  for (auto _ : state) {
    tjhandle handle = tjInitDecompress();
    int width = 0, height = 0, subsampling = 0, space = 0;
    tjDecompressHeader3(handle, bytes, file.size(), &width, &height, &subsampling, &space);
    if (tjDecompress2(handle, bytes, file.size(), reinterpret_cast<unsigned char*>(out.data()), width, 0, height,
                      TJPF_RGB, 0) != 0) {
      state.SkipWithError("TurboJPEG failed");
    }
    tjDestroy(handle);
  }
  count(state, file, size);
}

struct PngSource {
  const std::byte* next;
};

void read_png(png_structp png, png_bytep out, std::size_t length) {
  auto* source = static_cast<PngSource*>(png_get_io_ptr(png));
  std::memcpy(out, source->next, length);
  source->next += length;
}

void decode_by_libpng(benchmark::State& state, const Size& size) {
  const Buffer file = encoded(size, ImageFormat::png);
  Buffer out = BufferPool::shared()->allocate(static_cast<std::size_t>(size.width * size.height * 3)).value();
  for (auto _ : state) {
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
    png_infop info = png_create_info_struct(png);
    PngSource source{file.data()};
    png_set_read_fn(png, &source, &read_png);
    png_read_info(png, info);
    png_set_expand(png);
    png_read_update_info(png, info);
    for (std::int64_t y = 0; y < size.height; ++y)
      png_read_row(png, reinterpret_cast<png_bytep>(out.data() + y * size.width * 3), nullptr);
    png_read_end(png, nullptr);
    png_destroy_read_struct(&png, &info, nullptr);
  }
  count(state, file, size);
}

void encode_by_library(benchmark::State& state, const Size& size, ImageFormat format) {
  const Tensor pixels = photo(size);
  const auto pool = std::make_shared<BufferPool>();
  for (auto _ : state) benchmark::DoNotOptimize(encode_image(pixels.view(), format, {}, *pool).value().data());
  state.SetItemsProcessed(state.iterations() * size.width * size.height);
}

template <class Function, class... Arguments>
void add(const std::string& name, Function function, Arguments... arguments) {
  auto* added =
      benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { function(state, arguments...); });
  added->Unit(benchmark::kMicrosecond);
}

void register_all() {
  for (const Size& size : kSizes) {
    const std::string name = size.name;
    add("jpeg/" + name + "/library", decode_by_library, size, ImageFormat::jpeg);
    add("jpeg/" + name + "/turbojpeg", decode_by_turbojpeg, size);
    add("png/" + name + "/library", decode_by_library, size, ImageFormat::png);
    add("png/" + name + "/libpng", decode_by_libpng, size);
    add("inspect/jpeg/" + name, inspect_by_library, size, ImageFormat::jpeg);
    add("inspect/png/" + name, inspect_by_library, size, ImageFormat::png);
    add("encode/jpeg/" + name, encode_by_library, size, ImageFormat::jpeg);
    add("encode/png/" + name, encode_by_library, size, ImageFormat::png);
  }
}

}  // namespace
}  // namespace tensorwire

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  tensorwire::register_all();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
