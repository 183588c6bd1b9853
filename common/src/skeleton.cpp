// Turns SAX events into a message's parts and notes the first fault, with its place.
#include "skeleton.hpp"

#include <rapidjson/error/en.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "plain_base64.hpp"

namespace tensorwire {
namespace {

// Up to this many members a comparison one by one is quicker than a set.
constexpr std::size_t kFewKeys = 16;

// RFC 6901: ~ and / are escaped in a pointer's tokens.
void append_token(std::string& out, std::string_view token) {
  out.push_back('/');
  for (const char c : token.substr(0, 200)) {
    if (c == '~') {
      out.append("~0");
    } else if (c == '/') {
      out.append("~1");
    } else {
      out.push_back(c);
    }
  }
}

// A number's text, which RapidJSON has checked, as the narrowest of int64, uint64 and double that holds it; false when
// it is beyond a double. (RapidJSON's own full-precision reading has undefined behaviour on some long numbers.)
bool read_number(const std::string& text, SkeletonHandler::Scalar& out) {
  using Kind = SkeletonHandler::Scalar::Kind;
  const char* const end = text.data() + text.size();
  const auto whole = [&](auto& value) {
    const auto read = std::from_chars(text.data(), end, value);
    return read.ec == std::errc{} && read.ptr == end;
  };
  if (whole(out.integer)) {
    out.kind = Kind::integer;
  } else if (whole(out.unsigned_integer)) {
    out.kind = Kind::unsigned_integer;
  } else {
    out.kind = Kind::number;
    if (!whole(out.number)) out.number = std::strtod(text.c_str(), nullptr);  // out of range: zero or infinite
  }
  return out.kind != Kind::number || std::isfinite(out.number);
}
// Whether RapidJSON takes a number outside of `data`: it refuses some with huge exponents, 0e400 among them. (In
// whole-message mode it has seen another exponent.)
bool rapidjson_takes(const std::string& number) {
  rapidjson::StringStream stream(number.c_str());
  rapidjson::BaseReaderHandler<> ignore;
  rapidjson::Reader reader;
  return !reader.Parse<rapidjson::kParseNumbersAsStringsFlag>(stream, ignore).IsError();
}

}  // namespace

void SkeletonHandler::begin(std::vector<Payload>& payloads, const char* const* cursor, const char* head) {
  payloads_ = &payloads;
  cursor_ = cursor;
  head_ = head;
  json_fault_ = nullptr;
  levels_.clear();
  keys_.clear();
  building_.clear();
  next_payload_ = 0;
  depth_ = 0;
}

// Whole-message mode only: RapidJSON was allowed NaN and infinities for the sake of `data`. All other numbers come as
// text.
bool SkeletonHandler::Double(double) {
  const auto token = text_.substr(offset());
  const auto digits = token.starts_with('-') ? token.substr(1) : token;
  if (in_data() && (token.starts_with("NaN") || digits.starts_with("Infinity")))
    return value({.kind = Scalar::Kind::number});
  json_fault_ = "NaN or an infinity stands outside of `data`";
  return false;
}

bool SkeletonHandler::in_data() const noexcept {
  if (levels_.empty()) return false;
  const auto& level = levels_.back();
  const bool holds_tensor = level.place == Place::root || level.place == Place::tensor;
  return level.place == Place::list || (holds_tensor && level.member == Name::data);
}

bool SkeletonHandler::RawNumber(const char* text, rapidjson::SizeType length, bool) {
  if (in_data()) return value({.kind = Scalar::Kind::number});  // the list's own reader looks at the text
  const std::string number = pool_ ? std::string(text_.substr(offset(), length)) : std::string(text, length);
  Scalar scalar;
  const bool taken = !pool_ || rapidjson_takes(number);
  if (taken && read_number(number, scalar)) return value(scalar);
  json_fault_ = "a number is too big for a double";
  return false;
}

bool SkeletonHandler::String(const char* text, rapidjson::SizeType length, bool) {
  const std::string_view string(text, length);
  if (!sound_text(string)) return false;
  return value({.kind = Scalar::Kind::string, .string = string});
}

// RapidJSON lets a lone low surrogate's escape through, as three bytes that are no UTF-8.
bool SkeletonHandler::sound_text(std::string_view text) noexcept {
  for (auto at = text.find('\xED'); at != std::string_view::npos; at = text.find('\xED', at + 1)) {
    if (at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) >= 0xA0) {
      json_fault_ = "a lone surrogate in a string";
      return false;
    }
  }
  return true;
}

bool SkeletonHandler::first_of_its_name(std::string_view key) {
  auto& level = levels_.back();
  if (level.many_keys) return level.many_keys->insert(key).second;
  for (auto i = level.first_key; i < keys_.size(); ++i) {
    if (keys_[i] == key) return false;
  }
  keys_.push_back(key);
  if (keys_.size() - level.first_key > kFewKeys) {
    level.many_keys = std::make_unique<std::unordered_set<std::string_view>>(
        keys_.begin() + static_cast<std::ptrdiff_t>(level.first_key), keys_.end());
  }
  return true;
}

bool SkeletonHandler::Key(const char* text, rapidjson::SizeType length, bool) {
  const std::string_view key(text, length);
  if (!sound_text(key)) return false;
  auto& level = levels_.back();
  level.key = key;
  level.member = level.place == Place::json || level.place == Place::ignored ? Name::unknown : name_of(key);
  if (!first_of_its_name(key)) fault(ErrorCode::bad_message, "a member is given twice in one object");
  const bool tensor_place = level.place == Place::root || level.place == Place::tensor;
  if (tensor_place && level.member == Name::unknown && current_tensor().unknown_key.empty())
    current_tensor().unknown_key = key;
  return true;
}

// The tensor object stands third, in the array of the message's object.
TensorParts& SkeletonHandler::current_tensor() noexcept {
  const bool in_tensor = levels_.size() > 2 && levels_[2].place == Place::tensor;
  return in_tensor ? parts_.tensors.back() : parts_.direct;
}

bool SkeletonHandler::at_placeholder() const noexcept {
  return !pool_ && next_payload_ < payloads_->size() && (*payloads_)[next_payload_].skeleton_at == offset();
}

bool SkeletonHandler::value(const Scalar& scalar) {
  if (levels_.empty()) {
    fault(ErrorCode::bad_message, "a message must be a JSON object");
    return true;
  }
  auto& level = levels_.back();
  switch (level.place) {
    case Place::root:
      root_member(level.member, scalar);
      break;
    case Place::tensor:
      tensor_member(current_tensor(), level.member, scalar);
      break;
    case Place::wrapper:
      if (level.member == Name::b64) {
        const bool image = levels_[levels_.size() - 2].member == Name::image;
        take_payload(current_tensor(), image ? TensorParts::Form::image : TensorParts::Form::tensor, scalar);
      }
      break;
    case Place::shape:
      shape_element(scalar);
      break;
    case Place::tensors:
      wrong_type("an object");
      break;
    case Place::json:
      json_value(to_json(scalar));
      break;
    case Place::list:
    case Place::ignored:
      break;
  }
  next_element();
  return true;
}

bool SkeletonHandler::StartObject() { return start(true); }
bool SkeletonHandler::StartArray() { return start(false); }
bool SkeletonHandler::EndObject(rapidjson::SizeType) { return end(); }
bool SkeletonHandler::EndArray(rapidjson::SizeType) { return end(); }

bool SkeletonHandler::start(bool object) {
  const auto place = place_of_container(object);
  if (place != Place::list && ++depth_ > limits_.max_depth) {
    json_fault_ = "the JSON is nested too deep";
    return false;
  }
  levels_.push_back(Level{.place = place, .object = object, .first_key = keys_.size()});
  if (place == Place::json) building_.push_back(object ? Json(Json::Object{}) : Json(Json::Array{}));
  return json_fault_ == nullptr;
}

SkeletonHandler::Place SkeletonHandler::place_of_container(bool object) {
  if (levels_.empty()) {
    if (!object) fault(ErrorCode::bad_message, "a message must be a JSON object");
    return object ? Place::root : Place::ignored;
  }
  const auto& level = levels_.back();
  switch (level.place) {
    case Place::json:
      return Place::json;
    case Place::list:
      return object ? Place::ignored : Place::list;
    case Place::shape:
      shape_element({});
      break;
    case Place::tensors:
      return start_tensor(object);
    case Place::root:
      return start_root_member(level.member, object);
    case Place::tensor:
      return start_tensor_member(current_tensor(), level.member, object);
    case Place::wrapper:
      if (level.member == Name::b64) wrong_type("a base64 string");
      break;
    case Place::ignored:
      break;
  }
  return Place::ignored;
}

bool SkeletonHandler::end() {
  const auto ended = levels_.back().place;
  const auto parent_is_list = levels_.size() > 1 && levels_[levels_.size() - 2].place == Place::list;
  keys_.resize(levels_.back().first_key);
  levels_.pop_back();
  if (ended != Place::list) --depth_;
  if (ended == Place::json) {
    auto json = std::move(building_.back());
    building_.pop_back();
    json_value(std::move(json));
  }
  if (ended == Place::list && !parent_is_list && pool_) finish_inline_list();
  if (ended == Place::wrapper && current_tensor().form == TensorParts::Form::none && !parts_.fault) {
    fault(ErrorCode::bad_message, "the object must hold the base64 text in `b64`");
  }
  next_element();
  return json_fault_ == nullptr;
}

// Attaches a value of params, result or error to the container that is being built, or to the message.
void SkeletonHandler::json_value(Json json) {
  const auto& level = levels_.back();
  if (!building_.empty()) {
    building_.back().is_object() ? building_.back().append(std::string(level.key), std::move(json))
                                 : building_.back().push(std::move(json));
  } else if (level.member == Name::params) {
    parts_.params = std::move(json);
  } else if (level.member == Name::result) {
    parts_.result = std::move(json);
  } else if (level.member == Name::error) {
    parts_.error = std::move(json);
  }
}

void SkeletonHandler::wrong_type(const char* wanted) {
  if (parts_.fault) return;
  const auto& level = levels_.back();
  const std::string what =
      level.object ? "\"" + std::string(level.key.substr(0, 64)) + "\"" : std::string("each entry");
  fault(ErrorCode::bad_message, what + " must be " + wanted);
}

void SkeletonHandler::fault(ErrorCode code, std::string message) {
  if (!parts_.fault) parts_.fault = Error{code, std::move(message), pointer()};
}

std::string SkeletonHandler::pointer() const {
  std::string out;
  for (const auto& level : levels_) {
    if (level.place == Place::list) break;  // elements that were diverted are not counted here
    append_token(out, level.object ? level.key : std::to_string(level.index));
  }
  return out;
}

std::string describe_json_error(const rapidjson::ParseResult& result, std::string_view text) {
  std::string message = "not valid JSON: ";
  message += rapidjson::GetParseError_En(result.Code());
  if (text.starts_with("\xEF\xBB\xBF")) message += " It begins with a byte order mark; send UTF-8 without one.";
  const auto rest = text.substr(std::min(result.Offset(), text.size()));
  if (rest.starts_with('\''))
    message += " JSON strings take double quotes; was str(dict) sent instead of json.dumps(dict)?";
  if (rest.starts_with("NaN") || rest.starts_with("Infinity") || rest.starts_with("-Infinity")) {
    message += " NaN and infinities are taken in `data` only.";
  }
  if (rest.starts_with("True") || rest.starts_with("False") || rest.starts_with("None")) {
    message += " JSON writes true, false and null; was str(dict) sent instead of json.dumps(dict)?";
  }
  return message;
}

}  // namespace tensorwire
