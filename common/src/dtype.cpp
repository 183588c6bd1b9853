// The dtype vocabularies as tables, and the nearest known name for a dtype that is unknown.
#include "tensorwire/dtype.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <vector>

namespace tensorwire {
namespace {

using Kind = DTypeKind;

constexpr std::array<DTypeInfo, kDTypeCount> kInfos = {{
    {DType::boolean, "bool", 1, Kind::boolean, 1},
    {DType::int8, "int8", 1, Kind::signed_integer, 1},
    {DType::int16, "int16", 2, Kind::signed_integer, 2},
    {DType::int32, "int32", 4, Kind::signed_integer, 4},
    {DType::int64, "int64", 8, Kind::signed_integer, 8},
    {DType::uint8, "uint8", 1, Kind::unsigned_integer, 1},
    {DType::uint16, "uint16", 2, Kind::unsigned_integer, 2},
    {DType::uint32, "uint32", 4, Kind::unsigned_integer, 4},
    {DType::uint64, "uint64", 8, Kind::unsigned_integer, 8},
    {DType::float16, "float16", 2, Kind::floating, 2},
    {DType::bfloat16, "bfloat16", 2, Kind::floating, 2},
    {DType::float32, "float32", 4, Kind::floating, 4},
    {DType::float64, "float64", 8, Kind::floating, 8},
    {DType::float8_e4m3fn, "float8_e4m3fn", 1, Kind::floating, 1},
    {DType::float8_e5m2, "float8_e5m2", 1, Kind::floating, 1},
    {DType::complex64, "complex64", 8, Kind::complex, 4},
    {DType::complex128, "complex128", 16, Kind::complex, 8},
    {DType::string, "string", 0, Kind::string, 1},
}};
constexpr bool in_enum_order() {
  for (std::size_t index = 0; index < kInfos.size(); ++index) {
    if (static_cast<std::size_t>(kInfos[index].dtype) != index) return false;
  }
  return true;
}
static_assert(in_enum_order());

struct Name {
  std::string_view text;
  DType dtype;
};

// What torch, numpy and TensorFlow call them besides the canonical names, with or without their prefix. Where torch and
// numpy differ (float, int), torch's meaning holds, as the contract says.
constexpr Name kNames[] = {
    {"half", DType::float16},       {"float", DType::float32},      {"double", DType::float64},
    {"short", DType::int16},        {"int", DType::int32},          {"long", DType::int64},
    {"cfloat", DType::complex64},   {"cdouble", DType::complex128}, {"bool_", DType::boolean},
    {"bool8", DType::boolean},      {"single", DType::float32},     {"float_", DType::float64},
    {"int_", DType::int64},         {"intp", DType::int64},         {"uintp", DType::uint64},
    {"intc", DType::int32},         {"uintc", DType::uint32},       {"longlong", DType::int64},
    {"ulonglong", DType::uint64},   {"csingle", DType::complex64},  {"complex_", DType::complex128},
    {"complex", DType::complex128}, {"str", DType::string},         {"str_", DType::string},
    {"boolean", DType::boolean},
};

// Open Inference Protocol; also behind TYPE_. Its integers and BOOL are the canonical names.
constexpr Name kInferenceNames[] = {
    {"fp16", DType::float16}, {"bf16", DType::bfloat16}, {"fp32", DType::float32},
    {"fp64", DType::float64}, {"bytes", DType::string},
};

// safetensors, where it does not say the same as numpy.
constexpr Name kSafetensorsNames[] = {
    {"f64", DType::float64},         {"f32", DType::float32},
    {"f16", DType::float16},         {"i64", DType::int64},
    {"i32", DType::int32},           {"i16", DType::int16},
    {"u64", DType::uint64},          {"u32", DType::uint32},
    {"u16", DType::uint16},          {"f8_e4m3", DType::float8_e4m3fn},
    {"f8_e5m2", DType::float8_e5m2}, {"c64", DType::complex64},
};

// The two codes that say one thing in safetensors and, in lower case, another in numpy.
constexpr Name kUpperCaseNames[] = {{"I8", DType::int8}, {"U8", DType::uint8}};

// numpy's codes: kind and bytes.
constexpr Name kNumpyCodes[] = {
    {"b1", DType::boolean}, {"?", DType::boolean},    {"i1", DType::int8},        {"i2", DType::int16},
    {"i4", DType::int32},   {"i8", DType::int64},     {"u1", DType::uint8},       {"u2", DType::uint16},
    {"u4", DType::uint32},  {"u8", DType::uint64},    {"f2", DType::float16},     {"f4", DType::float32},
    {"f8", DType::float64}, {"c8", DType::complex64}, {"c16", DType::complex128},
};

constexpr std::string_view kModulePrefixes[] = {"torch.", "tf.", "numpy.", "np."};

// Longest text that is looked at or repeated in a message.
constexpr std::size_t kMaxShown = 64;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

std::optional<DType> find(std::span<const Name> names, std::string_view text) noexcept {
  const auto found = std::find_if(names.begin(), names.end(), [&](const Name& name) { return name.text == text; });
  return found == names.end() ? std::nullopt : std::optional(found->dtype);
}

std::optional<DType> find_canonical(std::string_view text) noexcept {
  const auto found = std::find_if(kInfos.begin(), kInfos.end(), [&](const auto& entry) { return entry.name == text; });
  return found == kInfos.end() ? std::nullopt : std::optional(found->dtype);
}

std::optional<DType> find_first(std::string_view text, std::initializer_list<std::span<const Name>> tables) noexcept {
  if (const auto dtype = find_canonical(text)) return dtype;
  for (const auto table : tables) {
    if (const auto dtype = find(table, text)) return dtype;
  }
  return std::nullopt;
}

// What stands inside of (all in lower case) TensorFlow's "<dtype: 'float32'>", numpy's "dtype('float32')" and Python's
// "<class 'numpy.float32'>".
std::string_view unwrap(std::string_view text) noexcept {
  const bool wrapped = text.starts_with("<dtype: '") || text.starts_with("dtype('") || text.starts_with("<class '");
  const std::size_t open = text.find('\'');
  const std::size_t close = text.rfind('\'');
  return wrapped && close > open ? text.substr(open + 1, close - open - 1) : text;
}

// A dtype without byte order; text is lower case.
std::optional<DType> find_lower(std::string_view text) noexcept {
  for (const auto prefix : kModulePrefixes) {
    if (text.starts_with(prefix)) return find_first(text.substr(prefix.size()), {kNames});
  }
  if (text.starts_with("type_")) return find_first(text.substr(5), {kInferenceNames});
  if (text.starts_with("dt_")) return find_first(text.substr(3), {kNames});
  return find_first(text, {kNames, kInferenceNames, kSafetensorsNames, kNumpyCodes});
}

bool is_byte_order(char c) noexcept { return c == '<' || c == '>' || c == '|' || c == '='; }

// Changes, insertions, deletions and swaps of neighbours that lead from a to b.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> above(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = above[j - 1] + (a[i - 1] != b[j - 1] ? 1 : 0);
      row[j] = std::min({change, above[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(above);
    above.swap(row);
  }
  return above[b.size()];
}

// Keeps the candidate that is nearest to the text, the first of equals.
struct Nearest {
  std::string text;  // lower case
  std::string found;
  std::size_t best = std::numeric_limits<std::size_t>::max();

  void consider(std::string candidate) {
    const std::size_t longer = std::max(text.size(), candidate.size());
    if (longer - std::min(text.size(), candidate.size()) >= best) return;  // so far apart at least
    const std::size_t far = distance(text, lower(candidate));
    if (far >= best) return;
    best = far;
    found = std::move(candidate);
  }
};

std::string nearest_name(std::string_view text) {
  constexpr std::size_t kLongest = 24;  // no name is longer, and a long text must not cost long
  Nearest nearest{lower(text.substr(0, kLongest)), {}};
  for (const std::string_view prefix : {"", "torch.", "tf.", "TYPE_", "DT_"}) {
    for (const auto& entry : kInfos) {
      const bool capital = prefix.ends_with('_');
      nearest.consider(std::string(prefix) + (capital ? upper(entry.name) : std::string(entry.name)));
    }
  }
  for (const auto& name : kNames) nearest.consider(std::string(name.text));
  for (const auto& name : kInferenceNames) nearest.consider(upper(name.text));
  for (const auto& name : kSafetensorsNames) nearest.consider(upper(name.text));
  return nearest.found;
}

// What a numpy typestr means that is no dtype here, by its kind letter; empty for other letters.
std::string_view numpy_meaning(char kind) noexcept {
  switch (kind) {
    case 'U':
      return "numpy's unicode strings; send labels in `data`, with dtype string";
    case 'S':
      return "numpy's byte strings; send labels in `data`, with dtype string";
    case 'O':
      return "numpy's Python objects; convert the array to numbers first";
    case 'M':
    case 'm':
      return "numpy's dates; send array.astype('int64')";
    case 'V':
      return "numpy's raw records; send their fields one by one";
    default:
      return {};
  }
}

// Whether this is such a typestr. Only in exactly numpy's letters: "<u4" and "<U4" are different things.
bool is_foreign_typestr(std::string_view text) noexcept {
  return text.size() > 1 && is_byte_order(text.front()) && !numpy_meaning(text[1]).empty();
}

Error unknown_dtype(std::string_view text) {
  std::string shown(text.substr(0, kMaxShown));
  if (text.size() > kMaxShown) shown += "...";
  if (is_foreign_typestr(text)) {
    return {ErrorCode::bad_dtype, "dtype \"" + shown + "\" means " + std::string(numpy_meaning(text[1])), {}};
  }
  return {ErrorCode::bad_dtype, "dtype \"" + shown + "\" is unknown; did you mean " + nearest_name(text) + "?", {}};
}

}  // namespace

const DTypeInfo& info(DType dtype) noexcept { return kInfos[static_cast<std::size_t>(dtype)]; }

std::span<const DTypeInfo> all_dtypes() noexcept { return kInfos; }

Result<ParsedDType> parse_dtype(std::string_view text) {
  if (text.size() > kMaxShown || is_foreign_typestr(text)) return unknown_dtype(text);
  if (const auto dtype = find(kUpperCaseNames, text)) return ParsedDType{*dtype, false};
  const std::string lowered = lower(text);
  const std::string_view bare = unwrap(lowered);
  const bool ordered = !bare.empty() && is_byte_order(bare.front());
  const auto dtype = ordered ? find(kNumpyCodes, bare.substr(1)) : find_lower(bare);
  if (!dtype) return unknown_dtype(text);
  return ParsedDType{*dtype, ordered && bare.front() == '>' && info(*dtype).swap_unit > 1};
}

}  // namespace tensorwire
