// What both clients make of a reply: whose it is, what it says, and whether the server says farewell with it.
#pragma once

#include <string>

#include "tensorclient/outcome.hpp"
#include "tensorwire/reader.hpp"

namespace tensorclient {

// True when the reply answers the request with that id. An error without an id does: it is the server's word on a
// request whose id it could not read, and the order says whose that is.
[[nodiscard]] bool belongs(const tensorwire::IncomingReply& incoming, const tensorwire::RequestId& id);
// An error behind which the server closes the connection: nothing more should be sent.
[[nodiscard]] bool is_farewell(const tensorwire::IncomingReply& incoming);
[[nodiscard]] Outcome<tensorwire::Reply> outcome_of(tensorwire::IncomingReply incoming);

// Sentences for streams that make no sense.
[[nodiscard]] std::string not_a_reply(const tensorwire::IncomingReply& incoming);
[[nodiscard]] std::string wrong_id(const tensorwire::IncomingReply& incoming, const tensorwire::RequestId& id);

}  // namespace tensorclient
