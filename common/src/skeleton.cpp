// Turns SAX events into a message's parts and notes the first fault, with its place.
#include "skeleton.hpp"

#include <rapidjson/error/en.h>

#include <array>
#include <cmath>
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

// Reads one number's text with RapidJSON's own rules.
struct NumberEvents : rapidjson::BaseReaderHandler<rapidjson::UTF8<>, NumberEvents> {
  explicit NumberEvents(SkeletonHandler& target) : out(target) {}
  bool Default() { return false; }
  bool Int(int i) { return out.Int(i); }
  bool Uint(unsigned u) { return out.Uint(u); }
  bool Int64(std::int64_t i) { return out.Int64(i); }
  bool Uint64(std::uint64_t u) { return out.Uint64(u); }
  bool Double(double d) { return out.Double(d); }
  SkeletonHandler& out;
};

// The text behind an object that begins at text's first character.
std::string_view behind_object(std::string_view text) {
  std::size_t depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      return text.substr(i + 1);
    }
  }
  return {};
}

}  // namespace

void SkeletonHandler::begin(const char* const* cursor, const char* head) {
  cursor_ = cursor;
  head_ = head;
  json_fault_ = nullptr;
  levels_.clear();
  keys_.clear();
  building_.clear();
  next_payload_ = 0;
  depth_ = 0;
}

SkeletonHandler::Name SkeletonHandler::name_of(std::string_view key) noexcept {
  struct Entry {
    std::string_view text;
    Name name;
  };
  static constexpr std::array<Entry, 22> kNames = {{{"id", Name::id},
                                                    {"handler", Name::handler},
                                                    {"tensors", Name::tensors},
                                                    {"tensor", Name::tensor},
                                                    {"dtype", Name::dtype},
                                                    {"shape", Name::shape},
                                                    {"name", Name::name},
                                                    {"data", Name::data},
                                                    {"image", Name::image},
                                                    {"params", Name::params},
                                                    {"encoding", Name::encoding},
                                                    {"oneway", Name::oneway},
                                                    {"auth", Name::auth},
                                                    {"status", Name::status},
                                                    {"result", Name::result},
                                                    {"error", Name::error},
                                                    {"format", Name::format},
                                                    {"pixel_format", Name::pixel_format},
                                                    {"exif_orientation", Name::exif_orientation},
                                                    {"allow_damaged", Name::allow_damaged},
                                                    {"scale", Name::scale},
                                                    {"b64", Name::b64}}};
  for (const auto& entry : kNames) {
    if (entry.text == key) return entry.name;
  }
  return Name::unknown;
}

bool SkeletonHandler::Uint64(std::uint64_t u) {
  if (std::in_range<std::int64_t>(u)) return Int64(static_cast<std::int64_t>(u));
  return value({.kind = Scalar::Kind::unsigned_integer, .unsigned_integer = u});
}

bool SkeletonHandler::Double(double d) {
  if (!std::isfinite(d)) {  // whole-message mode only: RapidJSON was allowed them for the sake of `data`
    const auto token = text_.substr(offset());
    const auto digits = token.starts_with('-') ? token.substr(1) : token;
    if (!in_data() || !(token.starts_with("NaN") || digits.starts_with("Infinity"))) {
      json_fault_ = "NaN or an infinity stands outside of `data`";
      return false;
    }
  }
  return value({.kind = Scalar::Kind::number, .number = d});
}

bool SkeletonHandler::in_data() const noexcept {
  if (levels_.empty()) return false;
  const auto& level = levels_.back();
  const bool holds_tensor = level.place == Place::root || level.place == Place::tensor;
  return level.place == Place::list || (holds_tensor && level.member == Name::data);
}

bool SkeletonHandler::RawNumber(const char*, rapidjson::SizeType length, bool) {
  if (in_data()) return value({.kind = Scalar::Kind::number});  // the list's own reader looks at the text
  const std::string copy(text_.substr(offset(), length));
  rapidjson::StringStream stream(copy.c_str());
  rapidjson::Reader reader;
  NumberEvents events(*this);
  if (reader.Parse<rapidjson::kParseFullPrecisionFlag>(stream, events)) return true;
  if (json_fault_ == nullptr) json_fault_ = "a number is too big for a double";
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

TensorParts& SkeletonHandler::current_tensor() noexcept {
  for (auto level = levels_.rbegin(); level != levels_.rend(); ++level) {
    if (level->place == Place::tensor) return parts_.tensors.back();
  }
  return parts_.direct;
}

bool SkeletonHandler::at_placeholder() const noexcept {
  return !pool_ && next_payload_ < payloads_.size() && payloads_[next_payload_].skeleton_at == offset();
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
        take_payload(current_tensor(), image ? TensorParts::Form::image : TensorParts::Form::tensor, &scalar);
      }
      break;
    case Place::shape:
      shape_element(scalar);
      break;
    case Place::tensors:
      wrong_type("an object");
      break;
    case Place::json:
      switch (scalar.kind) {
        case Scalar::Kind::null:
          json_value(Json());
          break;
        case Scalar::Kind::boolean:
          json_value(scalar.boolean);
          break;
        case Scalar::Kind::integer:
          json_value(scalar.integer);
          break;
        case Scalar::Kind::unsigned_integer:
          json_value(scalar.unsigned_integer);
          break;
        case Scalar::Kind::number:
          json_value(scalar.number);
          break;
        case Scalar::Kind::string:
          json_value(scalar.string);
          break;
      }
      break;
    case Place::list:
    case Place::ignored:
      break;
  }
  next_element();
  return true;
}

// null counts as absent: many serialisers write it for members that were not set.
void SkeletonHandler::root_member(Name member, const Scalar& scalar) {
  if (scalar.kind == Scalar::Kind::null) return;
  const bool is_string = scalar.kind == Scalar::Kind::string;
  switch (member) {
    case Name::id:
      if (is_string) {
        parts_.id = std::string(scalar.string);
      } else if (scalar.kind == Scalar::Kind::integer) {
        parts_.id = scalar.integer;
      } else if (scalar.kind == Scalar::Kind::unsigned_integer) {
        parts_.id = scalar.unsigned_integer;
      } else {
        wrong_type("a string or an integer (int64 or uint64)");
      }
      break;
    case Name::handler:
      is_string ? void(parts_.handler = scalar.string) : wrong_type("a string");
      break;
    case Name::auth:
      is_string ? void(parts_.auth = scalar.string) : wrong_type("a string");
      break;
    case Name::tensors:
      wrong_type("an array of tensor objects");
      break;
    case Name::params:
      wrong_type("an object");
      break;
    case Name::encoding:
      if (scalar.string == "base64" || scalar.string == "list") {
        parts_.encoding = scalar.string == "list" ? TensorEncoding::list : TensorEncoding::base64;
      } else {
        wrong_type("\"base64\" or \"list\"");
      }
      break;
    case Name::oneway:
      scalar.kind == Scalar::Kind::boolean ? void(parts_.oneway = scalar.boolean) : wrong_type("true or false");
      break;
    case Name::status:
      if (is_string) parts_.status = scalar.string;
      break;
    case Name::result:
      if (is_string) parts_.result = scalar.string;
      if (scalar.kind == Scalar::Kind::boolean) parts_.result = scalar.boolean;
      if (scalar.kind == Scalar::Kind::integer) parts_.result = scalar.integer;
      if (scalar.kind == Scalar::Kind::unsigned_integer) parts_.result = scalar.unsigned_integer;
      if (scalar.kind == Scalar::Kind::number) parts_.result = scalar.number;
      break;
    default:
      tensor_member(parts_.direct, member, scalar);
      break;
  }
}

void SkeletonHandler::tensor_member(TensorParts& tensor, Name member, const Scalar& scalar) {
  if (scalar.kind == Scalar::Kind::null) return;
  const bool is_string = scalar.kind == Scalar::Kind::string;
  switch (member) {
    case Name::name:
      is_string ? void(tensor.name = scalar.string) : wrong_type("a string");
      break;
    case Name::dtype:
      tensor.describes = true;
      is_string ? void(tensor.dtype = scalar.string) : wrong_type("a string such as \"float32\"");
      break;
    case Name::shape:
      tensor.describes = true;
      fault(ErrorCode::bad_shape, "shape must be an array of dimensions such as [2,3]");
      break;
    case Name::format:
      tensor.describes = true;
      is_string ? void(tensor.format = scalar.string) : wrong_type("\"png\" or \"jpeg\"");
      break;
    case Name::tensor:
      take_payload(tensor, TensorParts::Form::tensor, &scalar);
      break;
    case Name::image:
      take_payload(tensor, TensorParts::Form::image, &scalar);
      break;
    case Name::data:
      take_payload(tensor, TensorParts::Form::data, &scalar);
      break;
    default:
      image_member(tensor, member, scalar);
      break;
  }
}

void SkeletonHandler::image_member(TensorParts& tensor, Name member, const Scalar& scalar) {
  const bool is_bool = scalar.kind == Scalar::Kind::boolean;
  auto& options = tensor.image_options;
  if (member == Name::pixel_format) {
    tensor.describes = true;
    auto format = parse_pixel_format(scalar.string);
    format.ok() ? void(options.pixel_format = *format) : fault(format.error().code, format.error().message);
  } else if (member == Name::exif_orientation) {
    is_bool ? void(options.exif_orientation = scalar.boolean) : wrong_type("true or false");
  } else if (member == Name::allow_damaged) {
    is_bool ? void(options.allow_damaged = scalar.boolean) : wrong_type("true or false");
  } else if (member == Name::scale) {
    const auto scale = scalar.integer;
    const bool known = scale == 1 || scale == 2 || scale == 4 || scale == 8;
    known ? void(options.scale = static_cast<int>(scale)) : wrong_type("1, 2, 4 or 8");
  }
}

void SkeletonHandler::shape_element(const Scalar& scalar) {
  auto& shape = *current_tensor().shape;
  auto dimension = scalar.kind == Scalar::Kind::integer ? scalar.integer : -1;
  // 2^53: from there on a double no longer tells neighbouring integers apart.
  const bool whole = scalar.kind == Scalar::Kind::number && scalar.number >= 0 && scalar.number < 9007199254740992.0 &&
                     scalar.number == std::floor(scalar.number);
  if (whole) dimension = static_cast<std::int64_t>(scalar.number);
  if (dimension < 0) fault(ErrorCode::bad_shape, "a dimension must be an integer from 0 to 9223372036854775807");
  if (shape.size() == kMaxRank) fault(ErrorCode::bad_shape, "a tensor has at most 32 dimensions");
  if (shape.size() <= kMaxRank) shape.push_back(dimension);
}

// Takes the payload that stands here: a placeholder, or (whole-message mode) the value itself.
void SkeletonHandler::take_payload(TensorParts& tensor, TensorParts::Form form, const Scalar* scalar) {
  if (at_placeholder()) return note_payload(tensor, form, next_payload_++);
  const bool is_text = scalar != nullptr && scalar->kind == Scalar::Kind::string;
  if (pool_ && form == TensorParts::Form::data) {
    list_begin_ = offset();
    // RapidJSON reports these two when it has read them, all else before.
    if (scalar->kind == Scalar::Kind::boolean) list_begin_ -= scalar->boolean ? 4 : 5;
    return finish_inline_list();
  }
  if (pool_ && is_text) {
    Payload payload;
    payload.ready = plain_payload(scalar->string, form == TensorParts::Form::image, *pool_);
    payloads_.push_back(std::move(payload));
    return note_payload(tensor, form, payloads_.size() - 1);
  }
  if (form != TensorParts::Form::data) return wrong_type("a base64 string (numbers belong in `data`)");
}

void SkeletonHandler::note_payload(TensorParts& tensor, TensorParts::Form form, std::size_t payload) {
  if (tensor.form != TensorParts::Form::none) {
    return fault(ErrorCode::bad_message, "a tensor takes exactly one of `tensor`, `image` and `data`");
  }
  tensor.form = form;
  tensor.payload = payload;
}

void SkeletonHandler::finish_inline_list() {
  Payload payload;
  payload.kind = Payload::Kind::list;
  payload.list.emplace(std::nullopt, limits_, pool_);
  auto rest = text_.substr(list_begin_);
  for (;;) {
    const auto step = payload.list->feed(rest, rest.size());
    rest.remove_prefix(step.consumed);
    if (step.status == ListReader::Status::object) {
      rest = behind_object(rest);
      continue;
    }
    if (step.status == ListReader::Status::syntax) json_fault_ = "the list is no JSON";
    break;
  }
  payloads_.push_back(std::move(payload));
  note_payload(current_tensor(), TensorParts::Form::data, payloads_.size() - 1);
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
  auto& level = levels_.back();
  auto place = Place::ignored;
  switch (level.place) {
    case Place::json:
      return Place::json;
    case Place::list:
      return object ? Place::ignored : Place::list;
    case Place::shape:
      shape_element({});
      return Place::ignored;
    case Place::tensors:
      if (!object) wrong_type("an object");
      if (!object) return Place::ignored;
      if (parts_.tensors.size() == limits_.max_tensors) {
        fault(ErrorCode::bad_message,
              "a message may carry at most " + std::to_string(limits_.max_tensors) + " tensors");
        return Place::ignored;
      }
      parts_.tensors.emplace_back();
      return Place::tensor;
    case Place::root:
      switch (level.member) {
        case Name::tensors:
          if (!object) parts_.has_tensors = true;
          if (object) wrong_type("an array of tensor objects");
          return object ? Place::ignored : Place::tensors;
        case Name::params:
          if (!object) wrong_type("an object");
          return object ? Place::json : Place::ignored;
        case Name::result:
          return Place::json;
        case Name::error:
          return object ? Place::json : Place::ignored;
        case Name::id:
          wrong_type("a string or an integer (int64 or uint64)");
          break;
        case Name::handler:
        case Name::auth:
          wrong_type("a string");
          break;
        case Name::encoding:
          wrong_type("\"base64\" or \"list\"");
          break;
        case Name::oneway:
          wrong_type("true or false");
          break;
        default:
          start_tensor_member(parts_.direct, level.member, object, place);
          break;
      }
      return place;
    case Place::tensor:
      start_tensor_member(current_tensor(), level.member, object, place);
      return place;
    case Place::wrapper:
      if (level.member == Name::b64) wrong_type("a base64 string");
      return place;
    case Place::ignored:
      return place;
  }
  return place;
}

void SkeletonHandler::start_tensor_member(TensorParts& tensor, Name member, bool object, Place& place) {
  switch (member) {
    case Name::shape:
      tensor.describes = true;
      if (object) return fault(ErrorCode::bad_shape, "shape must be an array of dimensions such as [2,3]");
      tensor.shape.emplace();
      place = Place::shape;
      break;
    case Name::tensor:
    case Name::image:
      if (object) {
        place = Place::wrapper;
      } else {
        wrong_type("a base64 string (numbers belong in `data`)");
      }
      break;
    case Name::data:
      if (object) return wrong_type("an array, or one scalar");
      if (at_placeholder()) take_payload(tensor, TensorParts::Form::data, nullptr);
      if (pool_) list_begin_ = offset();
      place = Place::list;
      break;
    case Name::name:
      wrong_type("a string");
      break;
    case Name::dtype:
      tensor.describes = true;
      wrong_type("a string such as \"float32\"");
      break;
    case Name::format:
      tensor.describes = true;
      wrong_type("\"png\" or \"jpeg\"");
      break;
    case Name::pixel_format:
      tensor.describes = true;
      image_member(tensor, member, {});
      break;
    case Name::exif_orientation:
    case Name::allow_damaged:
    case Name::scale:
      image_member(tensor, member, {});
      break;
    default:
      break;
  }
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
