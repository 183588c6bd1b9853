// One tensor object's parts and payload to a typed tensor or an opened image.
#pragma once

#include <memory>
#include <string>

#include "parts.hpp"
#include "scan.hpp"
#include "tensorwire/message.hpp"

namespace tensorwire {

// at is the tensor object's JSON Pointer ("" when its members stand in the message itself). Consumes the payload.
[[nodiscard]] Result<Item> build_item(TensorParts& parts, Payload& payload, const std::string& at, const Limits& limits,
                                      const std::shared_ptr<BufferPool>& pool);

}  // namespace tensorwire
