// discard: decodes everything, keeps nothing, and says how many bytes that were.
#include <span>
#include <utility>

#include "handlers/builtin.hpp"

namespace tensord::handlers {

Reply discard(Request request) {
  require_tensors(request, "discard");
  std::uint64_t bytes = 0;
  for (const Item& item : request.tensors) {
    const Tensor& tensor = *item.tensor().value();
    bytes += tensor.bytes().size();
    if (tensor.dtype() != tensorwire::DType::string) continue;
    const std::span<const std::string> strings = tensor.strings().value();
    for (const std::string& text : strings) bytes += text.size();
  }
  Json result;
  result.set("nbytes", bytes);
  add_warnings(request, result);
  return result;
}

}  // namespace tensord::handlers
