// Fuzzes JSON values and dtype names: what parses is written as a text that parses to the same value.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "tensorwire/dtype.hpp"
#include "tensorwire/json.hpp"

namespace {

using tensorwire::Json;

// A wrong name is compared with all known ones; longer texts reach nothing new there and slow the rest down.
constexpr std::size_t kLongestDType = 40;

void require(bool holds) {
  if (!holds) std::abort();
}

// A string of any bytes becomes JSON that parses.
void check_string(std::string_view bytes) {
  const auto read = Json::parse(Json(bytes).dump());
  require(read.ok() && read->as_string().has_value());
}

void check_dtype(std::string_view text) {
  const auto dtype = tensorwire::parse_dtype(text);
  if (!dtype.ok()) return require(dtype.error().message.size() < 300);
  const auto canonical = tensorwire::parse_dtype(tensorwire::to_string(dtype->dtype));
  require(canonical.ok() && canonical->dtype == dtype->dtype && !canonical->big_endian);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_string(text);
  if (text.size() <= kLongestDType) check_dtype(text);
  const auto value = Json::parse(text);
  if (!value.ok()) return 0;
  const auto again = Json::parse(value->dump());
  require(again.ok() && *again == *value);
  return 0;
}
