// The plain decoder of a payload's text that the streaming one is compared with: whole strings, one character at a
// time.
#pragma once

#include <string_view>

#include "tensorwire/buffer.hpp"
#include "tensorwire/error.hpp"

namespace tensorwire {

// text has its JSON escapes resolved already. Errors as PayloadText::finish().
[[nodiscard]] Result<Buffer> plain_payload(std::string_view text, bool image, BufferPool& pool);

}  // namespace tensorwire
