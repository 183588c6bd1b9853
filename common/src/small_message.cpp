// The one pass over a small message: a cursor for the JSON, and the members that it may have.
#include "small_message.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "tensorwire/base64.hpp"

namespace tensorwire {
namespace {

// The nesting of a plain message: itself, `tensors`, a tensor, its shape.
constexpr std::size_t kPlainDepth = 4;
// Members of a flat object; more are not compared one by one for their names.
constexpr std::size_t kMaxFlatMembers = 16;
// Digits that an int64 has room for whatever they are.
constexpr std::ptrdiff_t kSafeDigits = 18;

constexpr bool is_plain(char c) noexcept { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; }

constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> table{};
  for (int i = 0; i < 0x80; ++i) table[static_cast<std::size_t>(i)] = is_plain(static_cast<char>(i));
  return table;
}();

// Walks over JSON text. Each function skips white space, takes what it is named after, and says whether that was there.
class Cursor {
 public:
  explicit Cursor(std::string_view text) noexcept : at_(text.data()), end_(text.data() + text.size()) {}

  [[nodiscard]] bool take(char c) noexcept {
    skip_space();
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }

  [[nodiscard]] bool take_word(std::string_view word) noexcept {
    skip_space();
    if (!rest().starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  // Whether c comes next; it stays.
  [[nodiscard]] bool next_is(char c) noexcept {
    skip_space();
    return at_ != end_ && *at_ == c;
  }

  [[nodiscard]] bool at_end() noexcept {
    skip_space();
    return at_ == end_;
  }

  // A string of plain characters only.
  [[nodiscard]] bool take_string(std::string_view& out) noexcept {
    if (!take('"')) return false;
    const char* const begin = at_;
    while (at_ != end_ && kPlain[static_cast<unsigned char>(*at_)]) ++at_;
    out = {begin, static_cast<std::size_t>(at_ - begin)};
    return at_ != end_ && *at_++ == '"';
  }

  // A string of any characters up to the next quote: whoever reads it has to judge them.
  [[nodiscard]] bool take_text(std::string_view& out) noexcept {
    if (!take('"')) return false;
    const auto* const quote = static_cast<const char*>(std::memchr(at_, '"', static_cast<std::size_t>(end_ - at_)));
    if (quote == nullptr) return false;
    out = {at_, static_cast<std::size_t>(quote - at_)};
    at_ = quote + 1;
    return true;
  }

  // An integer as JSON writes it; "-0" and what may not fit are left to others, as fractions are by what follows.
  [[nodiscard]] bool take_integer(std::int64_t& out) noexcept {
    skip_space();
    const char* const begin = at_;
    const bool negative = at_ != end_ && *at_ == '-';
    const char* const digits = begin + (negative ? 1 : 0);
    const auto read = std::from_chars(begin, end_, out);
    if (read.ec != std::errc{} || read.ptr - digits > kSafeDigits) return false;
    if (*digits == '0' && (negative || read.ptr - digits > 1)) return false;
    at_ = read.ptr;
    return at_ == end_ || (*at_ != '.' && *at_ != 'e' && *at_ != 'E');
  }

 private:
  [[nodiscard]] std::string_view rest() const noexcept { return {at_, static_cast<std::size_t>(end_ - at_)}; }
  void skip_space() noexcept {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }

  const char* at_;
  const char* end_;
};

// One tensor object while its members come in.
struct Draft {
  std::optional<std::string_view> name;
  std::optional<DType> dtype;
  std::optional<Shape> shape;
  std::optional<Buffer> bytes;
};

std::optional<DType> canonical_dtype(std::string_view name) noexcept {
  for (const auto& each : all_dtypes()) {
    if (each.name == name && each.dtype != DType::string) return each.dtype;
  }
  return std::nullopt;
}

// key == text, which compilers only compare inline where they know the length.
template <std::size_t N>
bool is(std::string_view key, const char (&text)[N]) noexcept {
  return key.size() == N - 1 && std::memcmp(key.data(), text, N - 1) == 0;
}

class Parser {
 public:
  Parser(std::string_view json, SmallMessage& out, std::size_t max_tensors, BufferPool& pool)
      : cursor_(json), out_(out), max_tensors_(max_tensors), pool_(pool) {}

  bool message() {
    if (!members([this](std::string_view key) { return root_member(key); }) || !cursor_.at_end()) return false;
    const bool direct = direct_.name || direct_.dtype || direct_.shape || direct_.bytes;
    return !direct || (!has_tensors_ && finish(direct_, ""));
  }

 private:
  enum Member : unsigned {
    id = 1,
    handler = 2,
    auth = 4,
    params = 8,
    result = 16,
    encoding = 32,
    oneway = 64,
    status = 128
  };

  // An object's members, each handed to `member` when its colon has been taken.
  template <class TakeMember>
  bool members(const TakeMember& member) {
    if (!cursor_.take('{')) return false;
    if (cursor_.take('}')) return true;
    do {
      std::string_view key;
      if (!cursor_.take_string(key) || !cursor_.take(':') || !member(key)) return false;
    } while (cursor_.take(','));
    return cursor_.take('}');
  }

  // False the second time.
  bool first(Member member) noexcept {
    const bool is_first = (seen_ & member) == 0;
    seen_ |= member;
    return is_first;
  }

  bool root_member(std::string_view key) {
    if (is(key, "id")) return first(id) && take_id();
    if (is(key, "handler")) return first(handler) && take_text(out_.request.handler);
    if (is(key, "tensors")) return !std::exchange(has_tensors_, true) && take_tensors();
    if (is(key, "status")) return first(status) && take_status();
    if (is(key, "result")) return first(result) && take_flat(out_.result);
    if (is(key, "params")) return first(params) && cursor_.next_is('{') && take_flat(out_.request.params);
    if (is(key, "encoding")) return first(encoding) && take_encoding();
    if (is(key, "oneway")) return first(oneway) && take_bool(out_.request.oneway);
    if (is(key, "auth")) return first(auth) && take_text(out_.request.auth);
    return tensor_member(direct_, key);
  }

  bool tensor_member(Draft& draft, std::string_view key) {
    if (is(key, "tensor")) return !draft.bytes && take_bytes(draft.bytes.emplace());
    if (is(key, "shape")) return !draft.shape && take_shape(draft.shape);
    if (is(key, "dtype")) return !draft.dtype && take_dtype(draft.dtype);
    if (is(key, "name")) return !draft.name && cursor_.take_string(draft.name.emplace());
    return false;
  }

  bool take_text(std::string& out) {
    std::string_view text;
    if (!cursor_.take_string(text)) return false;
    out.assign(text);
    return true;
  }

  bool take_id() {
    if (cursor_.next_is('"')) {
      std::string text;
      if (!take_text(text)) return false;
      out_.request.id = std::move(text);
      return true;
    }
    std::int64_t number = 0;
    if (!cursor_.take_integer(number)) return false;
    out_.request.id = number;
    return true;
  }

  bool take_status() {
    std::string_view text;
    return cursor_.take_string(text) && (out_.status_ok = text == "ok");
  }

  bool take_encoding() {
    std::string_view text;
    if (!cursor_.take_string(text) || (text != "list" && text != "base64")) return false;
    out_.request.encoding = text == "list" ? TensorEncoding::list : TensorEncoding::base64;
    return true;
  }

  bool take_bool(bool& out) {
    out = cursor_.next_is('t');
    return cursor_.take_word(out ? "true" : "false");
  }

  // A scalar, or an object of scalars.
  bool take_flat(Json& out) {
    if (!cursor_.next_is('{')) return take_scalar(out);
    Json::Object object;
    const auto member = [&](std::string_view key) {
      const auto same = [key](const Json::Member& each) { return each.first == key; };
      if (object.size() == kMaxFlatMembers || std::any_of(object.begin(), object.end(), same)) return false;
      return take_scalar(object.emplace_back(key, Json()).second);
    };
    if (!members(member)) return false;
    out = Json(std::move(object));
    return true;
  }

  bool take_scalar(Json& out) {
    if (cursor_.next_is('"')) {
      std::string text;
      if (!take_text(text)) return false;
      out = Json(std::move(text));
      return true;
    }
    if (cursor_.next_is('t') || cursor_.next_is('f')) {
      bool value = false;
      if (!take_bool(value)) return false;
      out = Json(value);
      return true;
    }
    std::int64_t number = 0;
    if (!cursor_.take_integer(number)) return false;
    out = Json(number);
    return true;
  }

  bool take_tensors() {
    if (!cursor_.take('[')) return false;
    if (cursor_.take(']')) return true;
    do {
      Draft draft;
      if (!members([this, &draft](std::string_view key) { return tensor_member(draft, key); })) return false;
      if (!finish(draft, "/tensors/" + std::to_string(out_.request.tensors.size()))) return false;
    } while (cursor_.take(','));
    return cursor_.take(']');
  }

  bool take_shape(std::optional<Shape>& out) {
    std::array<std::int64_t, kMaxRank> dims;
    std::size_t rank = 0;
    if (!cursor_.take('[')) return false;
    if (!cursor_.take(']')) {
      do {
        if (rank == kMaxRank || !cursor_.take_integer(dims[rank++])) return false;
      } while (cursor_.take(','));
      if (!cursor_.take(']')) return false;
    }
    auto shape = Shape::from(std::span(dims).first(rank));
    if (shape.ok()) out = *shape;
    return shape.ok();
  }

  bool take_dtype(std::optional<DType>& out) {
    std::string_view name;
    return cursor_.take_string(name) && (out = canonical_dtype(name));
  }

  // Padded base64 only: its length says how many bytes there are.
  bool take_bytes(Buffer& out) {
    std::string_view text;
    if (!cursor_.take_text(text) || text.size() % 4 != 0) return false;
    const std::size_t pads = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
    const std::size_t size = text.size() / 4 * 3 - pads;
    out = pool_.empty_buffer();
    if (!out.resize(size, size).ok()) return false;
    Base64Decoder decoder;
    const auto step = decoder.feed(text, out.bytes());
    return step.consumed == text.size() && step.written == out.size() && decoder.finish() == Base64Verdict::ok;
  }

  // A tensor object has ended: it must be complete, and its bytes must be those that its dtype and shape say.
  bool finish(Draft& draft, std::string at) {
    auto& tensors = out_.request.tensors;
    if (!draft.dtype || !draft.shape || !draft.bytes || tensors.size() >= max_tensors_) return false;
    const auto named = draft.name && !name_is_new(*draft.name);
    if (named || (*draft.dtype == DType::boolean && !are_booleans(draft.bytes->bytes()))) return false;
    auto tensor = Tensor::adopt(*draft.dtype, *draft.shape, *std::move(draft.bytes));
    if (!tensor.ok()) return false;
    auto& item = tensors.emplace_back(*std::move(tensor));
    if (draft.name) item.name = *draft.name;
    item.at = std::move(at);
    return true;
  }

  // Empty names, which need not differ here from none, are left to others as soon as there are two.
  [[nodiscard]] bool name_is_new(std::string_view name) const {
    const auto& tensors = out_.request.tensors;
    return std::none_of(tensors.begin(), tensors.end(), [name](const Item& item) { return item.name == name; });
  }

  [[nodiscard]] static bool are_booleans(std::span<const std::byte> bytes) {
    return std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return std::to_integer<int>(byte) <= 1; });
  }

  Cursor cursor_;
  SmallMessage& out_;
  const std::size_t max_tensors_;
  BufferPool& pool_;
  Draft direct_;
  bool has_tensors_ = false;
  unsigned seen_ = 0;
};

}  // namespace

SmallMessageReader::SmallMessageReader(const Limits& limits, std::shared_ptr<BufferPool> pool)
    : max_tensors_(limits.max_skeleton < kSmallMessage || limits.max_depth < kPlainDepth ? 0 : limits.max_tensors),
      pool_(std::move(pool)) {}

bool SmallMessageReader::read(std::string_view json, SmallMessage& out) const noexcept {
  if (max_tensors_ == 0) return false;
  out = SmallMessage();
  try {
    return Parser(json, out, max_tensors_, *pool_).message();
  } catch (const std::bad_alloc&) {  // the scanner will meet it again, and say so
    return false;
  }
}

}  // namespace tensorwire
