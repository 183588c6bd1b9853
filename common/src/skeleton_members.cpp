// What each member of a message means: takes its value, or notes the fault, and takes the payloads that stand in
// tensors.
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "plain_base64.hpp"
#include "skeleton.hpp"

namespace tensorwire {
namespace {

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

Json SkeletonHandler::to_json(const Scalar& scalar) {
  switch (scalar.kind) {
    case Scalar::Kind::boolean:
      return scalar.boolean;
    case Scalar::Kind::integer:
      return scalar.integer;
    case Scalar::Kind::unsigned_integer:
      return scalar.unsigned_integer;
    case Scalar::Kind::number:
      return scalar.number;
    case Scalar::Kind::string:
      return scalar.string;
    case Scalar::Kind::null:
    case Scalar::Kind::container:  // comes as events of its own
      break;
  }
  return {};
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
      parts_.result = to_json(scalar);
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
      take_payload(tensor, TensorParts::Form::tensor, scalar);
      break;
    case Name::image:
      take_payload(tensor, TensorParts::Form::image, scalar);
      break;
    case Name::data:
      take_payload(tensor, TensorParts::Form::data, scalar);
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
  if (dimension < 0) {
    const auto came =
        scalar.kind == Scalar::Kind::container ? std::string("a container") : to_json(scalar).dump().substr(0, 64);
    fault(ErrorCode::bad_shape, "a dimension must be an integer from 0 to 9223372036854775807, got " + came);
  }
  if (shape.size() == kMaxRank) fault(ErrorCode::bad_shape, "a tensor has at most 32 dimensions");
  if (shape.size() <= kMaxRank) shape.push_back(dimension);
}

// Takes the payload that stands here: a placeholder, or (whole-message mode) the value itself.
void SkeletonHandler::take_payload(TensorParts& tensor, TensorParts::Form form, const Scalar& scalar) {
  if (at_placeholder()) return note_payload(tensor, form, next_payload_++);
  const bool is_text = scalar.kind == Scalar::Kind::string;
  if (pool_ && form == TensorParts::Form::data) {
    list_begin_ = offset();
    // RapidJSON reports these two when it has read them, all else before.
    if (scalar.kind == Scalar::Kind::boolean) list_begin_ -= scalar.boolean ? 4 : 5;
    return finish_inline_list();
  }
  if (pool_ && is_text) {
    Payload payload;
    payload.ready = plain_payload(scalar.string, form == TensorParts::Form::image, *pool_);
    payloads_->push_back(std::move(payload));
    return note_payload(tensor, form, payloads_->size() - 1);
  }
  if (form != TensorParts::Form::data) wrong_type("a base64 string (numbers belong in `data`)");
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
  payloads_->push_back(std::move(payload));
  note_payload(current_tensor(), TensorParts::Form::data, payloads_->size() - 1);
}

SkeletonHandler::Place SkeletonHandler::start_tensor(bool object) {
  if (!object) {
    wrong_type("an object");
    return Place::ignored;
  }
  if (parts_.tensors.size() == limits_.max_tensors) {
    fault(ErrorCode::bad_message, "a message may carry at most " + std::to_string(limits_.max_tensors) + " tensors");
    return Place::ignored;
  }
  parts_.tensors.emplace_back();
  return Place::tensor;
}

SkeletonHandler::Place SkeletonHandler::start_root_member(Name member, bool object) {
  switch (member) {
    case Name::tensors:
      if (object) wrong_type("an array of tensor objects");
      if (!object) parts_.has_tensors = true;
      return object ? Place::ignored : Place::tensors;
    case Name::params:
      if (!object) wrong_type("an object");
      return object ? Place::json : Place::ignored;
    case Name::result:
      return Place::json;
    case Name::error:
      return object ? Place::json : Place::ignored;
    case Name::id:
    case Name::handler:
    case Name::auth:
    case Name::encoding:
    case Name::oneway:
      root_member(member, {.kind = Scalar::Kind::container});
      return Place::ignored;
    default:
      return start_tensor_member(parts_.direct, member, object);
  }
}

SkeletonHandler::Place SkeletonHandler::start_tensor_member(TensorParts& tensor, Name member, bool object) {
  const bool wrapper = object && (member == Name::tensor || member == Name::image);
  if (wrapper) return Place::wrapper;
  if (member == Name::shape && !object) {
    tensor.describes = true;
    tensor.shape.emplace();
    return Place::shape;
  }
  if (member == Name::data && !object) {
    if (at_placeholder()) note_payload(tensor, TensorParts::Form::data, next_payload_++);
    if (pool_) list_begin_ = offset();
    return Place::list;
  }
  if (member == Name::data) {
    wrong_type("an array, or one scalar");
  } else {
    tensor_member(tensor, member, {.kind = Scalar::Kind::container});
  }
  return Place::ignored;
}

}  // namespace tensorwire
