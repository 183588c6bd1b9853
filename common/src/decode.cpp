// The last step of receiving: skeleton to parts, parts and payloads to a request or a reply.
#include "decode.hpp"

#include <algorithm>
#include <unordered_set>

#include "items.hpp"

namespace tensorwire {
namespace {

constexpr unsigned kStrict = rapidjson::kParseInsituFlag | rapidjson::kParseIterativeFlag |
                             rapidjson::kParseValidateEncodingFlag | rapidjson::kParseNumbersAsStringsFlag;
// Whole-message mode sees the payloads too, and `data` may hold NaN and infinities.
constexpr unsigned kWhole = kStrict | rapidjson::kParseNanAndInfFlag;

Error no_payload(const TensorParts& parts, const std::string& at) {
  std::string message =
      "a tensor needs one of `tensor` (base64), `image` (base64 of a PNG or JPEG) and `data` (a list)";
  if (!parts.unknown_key.empty()) message += "; is \"" + std::string(parts.unknown_key.substr(0, 64)) + "\" misspelt?";
  return {ErrorCode::bad_message, std::move(message), at};
}

// RapidJSON's UTF-8 check reads up to three bytes behind a character that the text's end cuts short.
constexpr std::size_t kPadding = 4;

// RapidJSON refuses numbers beyond a double even where it leaves them as text, but in `data` their own reader judges
// them. So exponents become zeros in the copy that it parses; the handler looks at the original.
void neutralise_exponents(std::string& json) {
  bool in_string = false;
  bool in_exponent = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
      continue;
    }
    const bool digit = c >= '0' && c <= '9';
    if (digit && in_exponent) json[i] = '0';
    const bool sign = (c == '+' || c == '-') && in_exponent && (json[i - 1] == 'e' || json[i - 1] == 'E');
    in_exponent = (c == 'e' || c == 'E') || (in_exponent && (digit || sign));
    in_string = c == '"';
  }
}

std::string place_of(std::size_t index) { return "/tensors/" + std::to_string(index); }

// An error reply's `error` object.
Error read_error(const Json& json) {
  const auto text = [&](std::string_view name) {
    const auto* member = json.find(name);
    return std::string(member != nullptr ? member->as_string().value_or("") : "");
  };
  return {parse_error_code(text("code")).value_or(ErrorCode::internal), text("message"), text("at")};
}

}  // namespace

Error no_status() { return {ErrorCode::bad_message, "a reply needs `status`, \"ok\" or \"error\"", "/status"}; }

Decoder::Decoder(const Limits& limits, std::shared_ptr<BufferPool> pool)
    : limits_(limits), pool_(std::move(pool)), handler_(parts_, limits_) {}

// The error that makes the message no message at all. parts_ holds what was read before it.
std::optional<Error> Decoder::parse_skeleton(Scanned& scanned) {
  parts_.clear();
  scanned.skeleton.append(kPadding, '\0');
  rapidjson::InsituStringStream stream(scanned.skeleton.data());
  handler_.begin(scanned.payloads, &stream.src_, stream.head_);
  const auto parsed = reader_.Parse<kStrict>(stream, handler_);
  if (scanned.error) return std::move(scanned.error);
  if (handler_.json_fault() != nullptr) return Error{ErrorCode::bad_json, handler_.json_fault(), ""};
  if (parsed.IsError()) return Error{ErrorCode::bad_json, describe_json_error(parsed, scanned.skeleton), ""};
  return std::nullopt;
}

Result<std::vector<Item>> Decoder::build_items(std::vector<Payload>& payloads) {
  const bool direct = parts_.direct.form != TensorParts::Form::none;
  if (direct && parts_.has_tensors) {
    return Error{ErrorCode::bad_message, "a message has either `tensors` or one tensor's own members, not both", ""};
  }
  if (!direct && parts_.direct.describes) return no_payload(parts_.direct, "");
  std::vector<Item> items;
  items.reserve(direct ? 1 : parts_.tensors.size());
  std::unordered_set<std::string_view> names;
  const auto add = [&](TensorParts& parts, const std::string& at) -> Result<void> {
    if (parts.form == TensorParts::Form::none) return no_payload(parts, at);
    if (parts.name && parts_.tensors.size() > 1 && !names.insert(*parts.name).second) {
      return Error{ErrorCode::bad_message,
                   "two tensors have the same name \"" + std::string(parts.name->substr(0, 64)) + "\"", at + "/name"};
    }
    auto item = build_item(parts, payloads[parts.payload], at, limits_, pool_);
    if (!item.ok()) return std::move(item).error();
    items.push_back(*std::move(item));
    return {};
  };
  if (direct) {
    auto added = add(parts_.direct, "");
    if (!added.ok()) return std::move(added).error();
  }
  for (std::size_t i = 0; i < parts_.tensors.size(); ++i) {
    auto added = add(parts_.tensors[i], place_of(i));
    if (!added.ok()) return std::move(added).error();
  }
  return items;
}

IncomingRequest Decoder::build_request(std::vector<Payload>& payloads, std::optional<Error> error) {
  IncomingRequest incoming;
  auto& request = incoming.request;
  request.id = std::move(parts_.id);
  request.handler = parts_.handler;
  request.auth = parts_.auth;
  request.params = std::move(parts_.params);
  request.encoding = parts_.encoding;
  request.oneway = parts_.oneway;
  incoming.error = error ? std::move(error) : std::move(parts_.fault);
  if (incoming.error) return incoming;
  auto items = build_items(payloads);
  if (items.ok()) {
    request.tensors = *std::move(items);
  } else {
    incoming.error = std::move(items).error();
  }
  return incoming;
}

IncomingRequest Decoder::request(Scanned& scanned) {
  auto error = parse_skeleton(scanned);
  auto incoming = build_request(scanned.payloads, std::move(error));
  incoming.request.wire_bytes = scanned.wire_bytes;
  return incoming;
}

IncomingReply Decoder::reply(Scanned& scanned) {
  IncomingReply incoming;
  incoming.error = parse_skeleton(scanned);
  if (!incoming.error) incoming.error = std::move(parts_.fault);
  incoming.reply.id = std::move(parts_.id);
  if (incoming.error) return incoming;
  if (parts_.status != "ok" && parts_.status != "error") {
    incoming.error = no_status();
    return incoming;
  }
  if (parts_.status == "error") {
    incoming.reply.error = read_error(parts_.error);
    return incoming;
  }
  auto items = build_items(scanned.payloads);
  if (!items.ok()) {
    incoming.error = std::move(items).error();
    return incoming;
  }
  incoming.reply.tensors = *std::move(items);
  incoming.reply.result = std::move(parts_.result);
  return incoming;
}

IncomingRequest Decoder::request_from_text(std::string_view json) {
  parts_.clear();
  std::vector<Payload> payloads;
  std::string copy(json);
  neutralise_exponents(copy);
  copy.append(kPadding, '\0');
  rapidjson::InsituStringStream stream(copy.data());
  handler_.decode_inline(pool_, json);
  handler_.begin(payloads, &stream.src_, stream.head_);
  const auto parsed = reader_.Parse<kWhole>(stream, handler_);
  std::optional<Error> error;
  if (handler_.json_fault() != nullptr) error = Error{ErrorCode::bad_json, handler_.json_fault(), ""};
  if (!error && parsed.IsError()) error = Error{ErrorCode::bad_json, describe_json_error(parsed, json), ""};
  if (!error && json.find('\0') != std::string_view::npos) error = Error{ErrorCode::bad_json, "a NUL byte", ""};
  auto incoming = build_request(payloads, std::move(error));
  incoming.request.wire_bytes = json.size();
  return incoming;
}

IncomingRequest decode_request_oracle(std::string_view json, const Limits& limits,
                                      const std::shared_ptr<BufferPool>& pool) {
  Decoder decoder(limits, pool);
  return decoder.request_from_text(json);
}

}  // namespace tensorwire
