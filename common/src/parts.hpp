// What a message's skeleton says, member by member, before any payload is looked at.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tensorwire/image.hpp"
#include "tensorwire/message.hpp"

namespace tensorwire {

// The members of one tensor object. Texts point into the skeleton.
struct TensorParts {
  enum class Form : std::uint8_t { none, tensor, image, data };
  Form form = Form::none;
  std::size_t payload = 0;  // index into the message's payloads, unless form is none
  std::optional<std::string_view> name;
  std::optional<std::string_view> dtype;
  std::optional<std::vector<std::int64_t>> shape;
  std::optional<std::string_view> format;
  ImageOptions image_options;
  bool describes = false;        // dtype, shape, format or pixel_format was given
  std::string_view unknown_key;  // the first member that means nothing here: a misspelling, when something is missing
};

struct MessageParts {
  RequestId id;
  std::string_view handler;
  std::string_view auth;
  Json params;
  TensorEncoding encoding = TensorEncoding::base64;
  bool oneway = false;
  std::string_view status;  // of a reply
  Json result;
  Json error;
  TensorParts direct;                // a single tensor's members that stand in the message itself
  std::vector<TensorParts> tensors;  // the entries of `tensors`
  bool has_tensors = false;
  // The first thing that is wrong with what was said; the JSON itself was sound so far.
  std::optional<Error> fault;
  void clear() { *this = MessageParts(); }
};

}  // namespace tensorwire
