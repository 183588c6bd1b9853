// Follows a message's nesting and names byte by byte and hands each payload to its reader.
#include "scan.hpp"

#include <algorithm>
#include <cstring>

#include "hex.hpp"

namespace tensorwire {
namespace {

bool is_space(char c) noexcept { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// Resolves \uXXXX below U+0080 and \/; -1 for any other escape: the names that matter here need no more.
int plain_escape(std::string_view escape) noexcept {
  if (escape[0] != 'u') return escape[0] == '/' ? '/' : -1;
  if (escape.size() < 5) return -1;
  int code = 0;
  for (std::size_t i = 1; i < 5; ++i) {
    const int digit = hex_value(escape[i]);
    if (digit < 0) return -1;
    code = code * 16 + digit;
  }
  return code < 0x80 ? code : -1;
}

// Every connection may hold so much of a message besides its payloads' bytes; more of it is charged to the budget.
constexpr std::size_t kFreeBytes = 8U << 10;
constexpr std::size_t kChargeStep = 4U << 10;
// What a payload's readers take beside its bytes, measured with mallinfo2(): `{"data":[1]}` costs 3.2 KB in all.
constexpr std::size_t kListBytes = 3300;
constexpr std::size_t kTextBytes = 1500;

}  // namespace

void Scanned::clear() {
  skeleton.clear();
  payloads.clear();
  error.reset();
  wire_bytes = 0;
}

void Scanner::Capture::begin() noexcept {
  size = 0;
  active = true;
  too_long = false;
}

void Scanner::Capture::add(std::string_view piece) noexcept {
  if (size + piece.size() > chars.size()) {
    too_long = true;
    return;
  }
  std::memcpy(chars.data() + size, piece.data(), piece.size());
  size = static_cast<std::uint8_t>(size + piece.size());
}

std::string_view Scanner::Capture::text(std::array<char, 64>& scratch) const noexcept {
  const std::string_view raw(chars.data(), too_long ? 0 : size);
  if (raw.find('\\') == std::string_view::npos) return raw;
  std::size_t used = 0;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    char c = raw[i];
    if (c == '\\') {
      if (i + 1 == raw.size()) return {};
      const int code = plain_escape(raw.substr(i + 1));
      if (code < 0) return {};
      i += raw[i + 1] == 'u' ? 5 : 1;
      c = static_cast<char>(code);
    }
    scratch[used++] = c;
  }
  return {scratch.data(), used};
}

Scanner::Scanner(const Limits& limits, std::shared_ptr<BufferPool> pool)
    : limits_(limits), pool_(std::move(pool)), charge_(pool_->shared_budget()) {}

// What a large message made grow is not kept for the next one: most connections send none.
void Scanner::reset() {
  message_.clear();
  if (message_.skeleton.capacity() + message_.payloads.capacity() * sizeof(Payload) > kFreeBytes) {
    std::string().swap(message_.skeleton);
    std::vector<Payload>().swap(message_.payloads);
  }
  charge_.set(0);
  payload_bytes_ = 0;
  levels_.clear();
  excess_depth_ = 0;
  lex_ = Lex::plain;
  key_ = Key::other;
  expect_key_ = value_pending_ = in_key_ = wraps_image_ = false;
  capture_.active = false;
  dtype_.reset();
}

Scanner::Status Scanner::feed(std::string_view& text, std::uint64_t expected, bool to_end) {
  expected_ = expected;
  while (!text.empty()) {
    switch (lex_) {
      case Lex::plain:
        feed_plain(text);
        break;
      case Lex::string:
      case Lex::string_escape:
        feed_string(text);
        break;
      case Lex::text:
        feed_text(text);
        break;
      case Lex::list:
        feed_list(text);
        break;
      case Lex::trailing:
        if (!to_end) return Status::done;
        feed_trailing(text);
        break;
      case Lex::broken:
        return Status::broken;
    }
  }
  if (lex_ == Lex::broken) return Status::broken;
  return lex_ == Lex::trailing && !to_end ? Status::done : Status::more;
}

// Keeps everything up to the next byte that matters, and acts on that.
void Scanner::feed_plain(std::string_view& text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (is_space(c)) {
      ++at;
      continue;
    }
    const bool payload_begins = value_pending_ && key_ == Key::data && takes_tensors() && c != '{' && c != 'n';
    if (payload_begins) {
      keep(text.substr(0, at));
      text.remove_prefix(at);
      return begin_list();
    }
    ++at;
    if (on_structural(c)) break;
  }
  // What on_structural() diverted to has put its placeholder behind the byte that led to it.
  if (lex_ != Lex::text) keep(text.substr(0, at));
  if (lex_ == Lex::text) {
    keep(text.substr(0, at - 1));
    begin_text(key_ == Key::image || (key_ == Key::b64 && wraps_image_));
  }
  text.remove_prefix(at);
}

// True when the byte changes what the next bytes mean.
bool Scanner::on_structural(char c) {
  switch (c) {
    case '"':
      begin_string();
      return true;
    case '{':
      open(true);
      return false;
    case '[':
      open(false);
      return false;
    case '}':
      close(true);
      return lex_ != Lex::plain;
    case ']':
      close(false);
      return lex_ != Lex::plain;
    case ',':
      expect_key_ = !levels_.empty() && levels_.back().object;
      return false;
    case ':':
      expect_key_ = false;
      value_pending_ = true;
      return false;
    case '\0':
      break_json("a NUL byte stands outside of a string");
      return true;
    default:
      value_pending_ = false;
      return false;
  }
}

bool Scanner::takes_tensors() const noexcept {
  return excess_depth_ == 0 && !levels_.empty() &&
         (levels_.back().role == Role::root || levels_.back().role == Role::tensor);
}

bool Scanner::diverts_text() const noexcept {
  if (!value_pending_ || levels_.empty() || excess_depth_ != 0) return false;
  if (levels_.back().role == Role::wrapper) return key_ == Key::b64;
  return takes_tensors() && (key_ == Key::tensor || key_ == Key::image);
}

void Scanner::open(bool object) {
  Role role = Role::other;
  if (levels_.empty()) {
    role = object ? Role::root : Role::other;
  } else if (excess_depth_ == 0) {
    const auto parent = levels_.back().role;
    if (object && parent == Role::tensors) role = Role::tensor;
    if (object && value_pending_ && takes_tensors() && (key_ == Key::tensor || key_ == Key::image))
      role = Role::wrapper;
    if (!object && value_pending_ && parent == Role::root && key_ == Key::tensors) role = Role::tensors;
  }
  if (role == Role::wrapper) wraps_image_ = key_ == Key::image;
  if (role == Role::tensor) dtype_.reset();
  if (levels_.size() >= limits_.max_depth) {
    ++excess_depth_;
    too_deep();
  } else {
    levels_.push_back({role, object});
  }
  expect_key_ = object;
  value_pending_ = false;
}

void Scanner::close(bool object) {
  value_pending_ = false;
  expect_key_ = false;
  if (excess_depth_ > 0) {
    --excess_depth_;
    return;
  }
  if (levels_.empty() || levels_.back().object != object) {
    return break_json(object ? "a '}' closes nothing that '{' opened" : "a ']' closes nothing that '[' opened");
  }
  const auto role = levels_.back().role;
  levels_.pop_back();
  if (role == Role::list_object) lex_ = Lex::list;
  if (levels_.empty()) lex_ = Lex::trailing;
}

void Scanner::begin_string() {
  if (diverts_text() && room_for_payload(false)) {
    lex_ = Lex::text;
    return;
  }
  lex_ = Lex::string;
  in_key_ = expect_key_;
  if (in_key_) key_ = Key::other;
  // Beyond the deepest level no name means anything.
  if ((in_key_ && excess_depth_ == 0) || (value_pending_ && key_ == Key::dtype && takes_tensors())) capture_.begin();
  value_pending_ = false;
}

void Scanner::feed_string(std::string_view& text) {
  std::size_t at = 0;
  if (lex_ == Lex::string_escape) {
    ++at;
    lex_ = Lex::string;
  }
  while (at < text.size() && text[at] != '"' && text[at] != '\\') {
    if (static_cast<unsigned char>(text[at]) < 0x20)
      return break_json("a control character stands in a string; write it as \\u00XX");
    ++at;
  }
  if (capture_.active) capture_.add(text.substr(0, at));
  const bool ends = at < text.size() && text[at] == '"';
  if (at < text.size() && text[at] == '\\') {
    if (capture_.active) capture_.add("\\");
    lex_ = Lex::string_escape;
  }
  keep(text.substr(0, std::min(at + 1, text.size())));
  text.remove_prefix(std::min(at + 1, text.size()));
  if (ends) end_string();
}

void Scanner::end_string() {
  lex_ = Lex::plain;
  if (!capture_.active) return;
  capture_.active = false;
  std::array<char, 64> scratch{};
  const auto text = capture_.text(scratch);
  if (!in_key_) {
    const auto parsed = parse_dtype(text);
    if (parsed.ok()) dtype_ = parsed->dtype;
    return;
  }
  key_ = text == "tensor"    ? Key::tensor
         : text == "image"   ? Key::image
         : text == "data"    ? Key::data
         : text == "tensors" ? Key::tensors
         : text == "dtype"   ? Key::dtype
         : text == "b64"     ? Key::b64
                             : Key::other;
}

// Payloads without number would make the list of them grow without bound.
bool Scanner::room_for_payload(bool list) {
  if (message_.payloads.size() > limits_.max_tensors) {
    fail(ErrorCode::bad_message, "a message may carry at most " + std::to_string(limits_.max_tensors) + " tensors");
    return false;
  }
  const std::size_t more = list ? kListBytes : kTextBytes;
  if (!hold(message_.skeleton.capacity() + payload_bytes_ + more)) return false;
  payload_bytes_ += more;
  return true;
}

// Charges what the message holds besides its payloads' bytes; `overloaded` when the budget has no more.
bool Scanner::hold(std::size_t bytes) {
  if (bytes <= kFreeBytes || bytes <= charge_.bytes()) return true;
  if (charge_.try_set((bytes + kChargeStep - 1) / kChargeStep * kChargeStep)) return true;
  fail(ErrorCode::overloaded, "no memory for a message of " + std::to_string(bytes) +
                                  " bytes besides its payloads: all that messages together may hold is in use; try "
                                  "again later");
  return false;
}

void Scanner::begin_text(bool image) {
  Payload payload;
  payload.skeleton_at = message_.skeleton.size();
  payload.text.emplace(image, *pool_);
  message_.payloads.push_back(std::move(payload));
  keep("\"\"");
  value_pending_ = false;
}

void Scanner::begin_list() {
  value_pending_ = false;
  if (!room_for_payload(true)) return;
  Payload payload;
  payload.kind = Payload::Kind::list;
  payload.skeleton_at = message_.skeleton.size();
  payload.list_dtype = dtype_;
  payload.list.emplace(dtype_, limits_, pool_);
  message_.payloads.push_back(std::move(payload));
  keep("[");
  lex_ = Lex::list;
}

void Scanner::feed_text(std::string_view& text) {
  auto& payload = *message_.payloads.back().text;
  switch (payload.feed(text, expected_)) {
    case PayloadText::Status::more:
      break;
    case PayloadText::Status::done:
      lex_ = Lex::plain;
      break;
    case PayloadText::Status::bad:
      break_json(payload.syntax_error());
      break;
  }
}

void Scanner::feed_list(std::string_view& text) {
  auto& payload = message_.payloads.back();
  const auto step = payload.list->feed(text, expected_);
  text.remove_prefix(step.consumed);
  switch (step.status) {
    case ListReader::Status::more:
      break;
    case ListReader::Status::done:
      keep("]");
      lex_ = Lex::plain;
      break;
    case ListReader::Status::object:
      if (message_.skeleton.size() > payload.skeleton_at + 1) keep(",");
      keep("{");
      text.remove_prefix(1);
      if (levels_.size() >= limits_.max_depth) too_deep();
      levels_.push_back({Role::list_object, true});
      expect_key_ = true;
      lex_ = Lex::plain;
      break;
    case ListReader::Status::syntax:
      break_json(payload.list->syntax_error());
      break;
  }
}

void Scanner::feed_trailing(std::string_view& text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  if (!text.empty()) break_json("text follows behind the end of the object");
}

void Scanner::keep(std::string_view piece) {
  // Behind an error nobody reads more of the skeleton than its id, which may stand just before the byte that broke it.
  if (message_.error && lex_ != Lex::broken) return;
  if (message_.skeleton.size() + piece.size() > limits_.max_skeleton) {
    return fail(ErrorCode::bad_message, "the message apart from its payloads is longer than " +
                                            std::to_string(limits_.max_skeleton) + " bytes");
  }
  const std::size_t size = message_.skeleton.size() + piece.size();
  if (size > message_.skeleton.capacity()) {
    const std::size_t grown = std::max(size, 2 * message_.skeleton.capacity());
    if (!hold(grown + payload_bytes_)) return;
    message_.skeleton.reserve(grown);
  }
  message_.skeleton.append(piece);
}

void Scanner::fail(ErrorCode code, std::string message) {
  if (!message_.error) message_.error = Error{code, std::move(message), ""};
}

void Scanner::too_deep() {
  if (message_.error) return;  // a million levels need one sentence
  fail(ErrorCode::bad_json, "the JSON is nested deeper than " + std::to_string(limits_.max_depth) + " levels");
}

void Scanner::break_json(std::string message) {
  message_.error = Error{ErrorCode::bad_json, std::move(message), ""};
  lex_ = Lex::broken;
}

}  // namespace tensorwire
