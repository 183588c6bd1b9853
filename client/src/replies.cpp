// Judges replies.
#include "replies.hpp"

#include <utility>

namespace tensorclient {

using tensorwire::ErrorCode;
using tensorwire::IncomingReply;
using tensorwire::RequestId;

namespace {

std::string id_text(const RequestId& id) {
  if (const auto* text = std::get_if<std::string>(&id)) return "\"" + *text + "\"";
  if (const auto* number = std::get_if<std::int64_t>(&id)) return std::to_string(*number);
  if (const auto* number = std::get_if<std::uint64_t>(&id)) return std::to_string(*number);
  return "none";
}

bool has_no_id(const IncomingReply& incoming) { return incoming.reply.id.index() == 0; }

}  // namespace

bool belongs(const IncomingReply& incoming, const RequestId& id) {
  return incoming.reply.id == id || (has_no_id(incoming) && (incoming.reply.error || incoming.error));
}

bool is_farewell(const IncomingReply& incoming) {
  if (!incoming.reply.error) return false;
  const ErrorCode code = incoming.reply.error->code;
  // A server that has no room for the connection itself answers before it has read any id.
  return code == ErrorCode::bad_frame || code == ErrorCode::frame_too_large || code == ErrorCode::unauthorized ||
         code == ErrorCode::shutting_down || (code == ErrorCode::overloaded && has_no_id(incoming));
}

Outcome<tensorwire::Reply> outcome_of(IncomingReply incoming) {
  if (incoming.error) {
    return Failure{FailureKind::protocol, "the reply cannot be read: " + incoming.error->message, Delivery::answered,
                   incoming.error->code, incoming.error->at};
  }
  if (incoming.reply.error) return Failure::remote(std::move(*incoming.reply.error));
  return std::move(incoming.reply);
}

std::string not_a_reply(const IncomingReply& incoming) {
  return "what the peer sent is no reply of a tensord: " +
         (incoming.error ? incoming.error->message : std::string("the stream cannot be followed"));
}

std::string wrong_id(const IncomingReply& incoming, const RequestId& id) {
  return "expected the reply with id " + id_text(id) + ", got one with id " + id_text(incoming.reply.id);
}

}  // namespace tensorclient
