// Measures list reading and writing beside RapidJSON's DOM; bytes per second are those of the JSON text.
// TENSORD_BENCH_LIST_MB sets the size of each text (default 32); with TENSORD_BENCH_TEXT_DIR the texts are also written
// there, for list_vs_python.py.
#include <benchmark/benchmark.h>
#include <rapidjson/document.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "list.hpp"

namespace tensorwire {
namespace {

constexpr std::size_t kPiece = 64U << 10;  // what a session reads at a time

std::size_t text_bytes() {
  const char* megabytes = std::getenv("TENSORD_BENCH_LIST_MB");
  return (megabytes != nullptr ? std::strtoul(megabytes, nullptr, 10) : 32UL) * 1'000'000;
}

// What the elements of a text are, by name. Separators are ", ", as Python's json writes them.
using Element = double (*)(std::mt19937_64&);
const std::map<std::string, std::pair<DType, Element>> kTexts = {
    {"int32", {DType::int32, [](std::mt19937_64& r) -> double { return static_cast<std::int32_t>(r()); }}},
    {"pixels", {DType::uint8, [](std::mt19937_64& r) -> double { return static_cast<std::uint8_t>(r()); }}},
    // json.dumps(float32_array.tolist()): the doubles that the floats are, with up to 17 digits.
    {"float32", {DType::float32, [](std::mt19937_64& r) { return double{std::normal_distribution<float>()(r)}; }}},
    {"float64", {DType::float64, [](std::mt19937_64& r) { return std::normal_distribution<double>()(r); }}},
};

std::string make_text(Element element, bool whole) {
  std::mt19937_64 random(7);
  std::string text = "[";
  std::array<char, 32> digits{};
  while (text.size() < text_bytes()) {
    const double value = element(random);
    char* const last = digits.data() + digits.size();
    char* const end = whole ? std::to_chars(digits.data(), last, static_cast<std::int64_t>(value)).ptr
                            : std::to_chars(digits.data(), last, value).ptr;
    text.append(text.size() > 1 ? ", " : "").append(digits.data(), end);
  }
  return text + "]";
}

const std::string& text_of(const std::string& name) {
  static std::map<std::string, std::string> made;
  const auto found = made.find(name);
  if (found != made.end()) return found->second;
  const auto& [dtype, element] = kTexts.at(name);
  std::string text = make_text(element, info(dtype).kind != DTypeKind::floating);
  if (const char* directory = std::getenv("TENSORD_BENCH_TEXT_DIR")) {
    std::ofstream(std::string(directory) + "/" + name + ".json", std::ios::binary) << text;
  }
  return made.emplace(name, std::move(text)).first->second;
}

void count_text(benchmark::State& state, const std::string& text) {
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}

// As a session does it: pieces of kPiece bytes. known: the dtype stood before the list.
Result<Tensor> read_list(std::string_view text, DType dtype, bool known, const std::shared_ptr<BufferPool>& pool) {
  ListReader reader(known ? std::optional(dtype) : std::nullopt, Limits{}, pool);
  std::string_view rest = text;
  while (!rest.empty()) {
    const auto step = reader.feed(rest.substr(0, kPiece), rest.size());
    rest.remove_prefix(step.consumed);
    if (step.status == ListReader::Status::done) break;
  }
  return reader.finish(dtype, std::nullopt, "/data");
}

void read(benchmark::State& state, const std::string& name, bool known) {
  const std::string& text = text_of(name);
  const auto pool = std::make_shared<BufferPool>();
  for (auto _ : state) {
    auto tensor = read_list(text, kTexts.at(name).first, known, pool);
    if (!tensor.ok()) state.SkipWithError("refused");
    benchmark::DoNotOptimize(tensor);
  }
  count_text(state, text);
}

template <class T>
T get(const rapidjson::Value& value) {
  if constexpr (std::is_integral_v<T>) return static_cast<T>(value.GetInt());
  return static_cast<T>(value.GetDouble());
}

// Parses into a tree, then copies the numbers to a typed array.
template <class T>
void rapidjson_dom(benchmark::State& state, const std::string& name) {
  const std::string& text = text_of(name);
  for (auto _ : state) {
    rapidjson::Document document;
    document.Parse(text.data(), text.size());
    if (document.HasParseError()) state.SkipWithError("refused");
    std::vector<T> values;
    values.reserve(document.Size());
    for (const auto& value : document.GetArray()) values.push_back(get<T>(value));
    benchmark::DoNotOptimize(values.data());
  }
  count_text(state, text);
}

// The tree alone.
void rapidjson_parse(benchmark::State& state, const std::string& name) {
  const std::string& text = text_of(name);
  for (auto _ : state) {
    rapidjson::Document document;
    document.Parse(text.data(), text.size());
    benchmark::DoNotOptimize(document);
  }
  count_text(state, text);
}

void write(benchmark::State& state, const std::string& name) {
  auto tensor = read_list(text_of(name), kTexts.at(name).first, true, BufferPool::shared());
  std::size_t written = 0;
  for (auto _ : state) {
    Buffer out = BufferPool::shared()->empty_buffer();
    if (!append_list(out, tensor->view()).ok()) state.SkipWithError("refused");
    written = out.size();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(written));
}

const int kRegistered = [] {
  const auto add = [](const std::string& name, auto run, auto... arguments) {
    benchmark::RegisterBenchmark(name.c_str(), run, arguments...)->Unit(benchmark::kMillisecond);
  };
  for (const auto& [name, what] : kTexts) {
    add("read/" + name, read, name, true);
    add("read_dtype_last/" + name, read, name, false);
    visit_dtype(what.first, [&]<class T>() {
      if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>)
        add("rapidjson_dom/" + name, rapidjson_dom<T>, name);
    });
    add("rapidjson_parse/" + name, rapidjson_parse, name);
    add("write/" + name, write, name);
  }
  return 0;
}();

}  // namespace
}  // namespace tensorwire
