// The daemon's own handlers; each file beside this one holds one of them.
#pragma once

#include <string>

#include "tensord/handler.hpp"

namespace tensord::handlers {

// Throws bad_message when a request carries no tensor at all.
void require_tensors(const Request& request, const char* handler);
// What to call an item in a message or file: its name, or else its index.
[[nodiscard]] std::string label(const Item& item, std::size_t index);
// The member of params of that name; null when there is none.
[[nodiscard]] const Json* param(const Request& request, const char* name);
// Throws bad_message, naming the place, when there are params that a handler does not know: misspelt ones.
void allow_params(const Request& request, std::initializer_list<const char*> known);
// What decoders warned of (images taken with allow_damaged), as result member "warnings"; nothing when there is none.
void add_warnings(const Request& request, Json& result);

[[nodiscard]] Reply echo(Request request);
[[nodiscard]] Reply stats(Request request);
[[nodiscard]] Reply discard(Request request);
[[nodiscard]] Reply save(Request request, const std::string& save_dir);
[[nodiscard]] Reply record(Request request, const std::string& save_dir);

}  // namespace tensord::handlers
