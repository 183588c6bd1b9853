// The handlers of a server by name.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <variant>

#include "tensord/handler.hpp"

namespace tensord {

struct Route {
  std::variant<Handler, AsyncHandler> handler;
  HandlerOptions options;
};

// Filled before the server starts and only read afterwards, so that it needs no lock.
using Routes = std::map<std::string, Route, std::less<>>;

// "echo, info, stats": for the sentence that says what there is.
[[nodiscard]] inline std::string names_of(const Routes& routes) {
  std::string names;
  for (const auto& [name, route] : routes) names += (names.empty() ? "" : ", ") + name;
  return names;
}

}  // namespace tensord
