// Fuzzes .npy reading: whatever is read has the size that its shape says, and reads the same when it is written again.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "tensorwire/npy.hpp"

namespace {

using tensorwire::Tensor;

void require(bool holds) {
  if (!holds) std::abort();
}

void check_rewritten(const Tensor& tensor) {
  std::string file = tensorwire::npy_header(tensor.dtype(), tensor.shape()).value();
  file.append(reinterpret_cast<const char*>(tensor.bytes().data()), tensor.bytes().size());
  const auto again = tensorwire::read_npy(std::as_bytes(std::span(file)));
  require(again.ok() && again->dtype() == tensor.dtype() && again->shape() == tensor.shape());
  require(std::ranges::equal(again->bytes(), tensor.bytes()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto tensor = tensorwire::read_npy(std::as_bytes(std::span(data, size)));
  if (!tensor.ok()) {
    require(tensor.error().message.size() < 400);
    return 0;
  }
  require(tensor->shape().byte_count(tensor->dtype()).value() == tensor->bytes().size());
  require(tensor->bytes().size() <= size);
  check_rewritten(*tensor);
  return 0;
}
