// What the built-in handlers share, and their registration.
#include "handlers/builtin.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "tensord/server.hpp"

namespace tensord {
namespace handlers {

void require_tensors(const Request& request, const char* handler) {
  if (!request.tensors.empty()) return;
  throw ErrorException(Error{ErrorCode::bad_message,
                             std::string(handler) +
                                 " needs at least one tensor: give \"tensors\", or one of \"tensor\", " +
                                 "\"image\" and \"data\"",
                             ""});
}

std::string label(const Item& item, std::size_t index) { return item.name.empty() ? std::to_string(index) : item.name; }

const Json* param(const Request& request, const char* name) { return request.params.find(name); }

void allow_params(const Request& request, std::initializer_list<const char*> known) {
  const Json::Object* const params = request.params.as_object();
  if (params == nullptr) return;
  for (const auto& [name, value] : *params) {
    if (std::any_of(known.begin(), known.end(), [&given = name](const char* k) { return given == k; })) continue;
    std::string names;
    for (const char* const k : known) names += (names.empty() ? "" : ", ") + std::string(k);
    throw ErrorException(Error{ErrorCode::bad_message,
                               "this handler has no parameter \"" + name + "\"" +
                                   (names.empty() ? "; it takes none" : "; there are: " + names),
                               "/params"});
  }
}

void add_warnings(const Request& request, Json& result) {
  Json warnings;
  for (const Item& item : request.tensors) {
    const Image* const image = item.image();
    if (image == nullptr || image->warning().empty()) continue;
    warnings.push(Json::object({{"at", item.at}, {"message", image->warning()}}));
  }
  if (!warnings.is_null()) result.set("warnings", std::move(warnings));
}

}  // namespace handlers

void add_builtin_handlers(Server& server) {
  using namespace handlers;
  // Beyond this, reading all elements takes longer than handing them to another thread.
  constexpr std::uint64_t kQuickStats = 16U << 10;
  const std::string save_dir = server.options().save_dir;
  server.handle("echo", echo, {.quick = true, .description = "gives the tensors back; params.format: as png or jpeg"});
  server.handle(
      "stats", stats,
      {.quick = true, .quick_max_bytes = kQuickStats, .description = "minimum, maximum, mean, std and counts"});
  server.handle("discard", discard, {.quick = true, .description = "decodes all, keeps nothing, tells the bytes"});
  server.handle("save", [save_dir](Request request) { return save(std::move(request), save_dir); },
                {.description = "writes tensors as .npy and images as their files below --save-dir"});
  server.handle("record", [save_dir](Request request) { return record(std::move(request), save_dir); },
                {.description = "appends to a TFRecord file below --save-dir"});
  server.handle("info", [&server](Request /*request*/) { return Reply(server.info()); },
                {.quick = true, .description = "version, limits, handlers, dtypes, uptime and counters"});
}

}  // namespace tensord
