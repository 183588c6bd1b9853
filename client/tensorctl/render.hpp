// Replies as text that is pleasant to read: tensors as numpy prints them, JSON as indented lines and tables.
#pragma once

#include <cstdint>
#include <string>

#include "tensorwire/json.hpp"
#include "tensorwire/message.hpp"
#include "tensorwire/tensor.hpp"

namespace tensorctl {

// "1.5 KB", "34.2 MB": powers of 1000, three significant digits.
[[nodiscard]] std::string human_bytes(double bytes);
// "0.31 ms", "2.4 s"
[[nodiscard]] std::string human_seconds(double seconds);

// Small tensors (up to 64 elements) whole, of larger ones the first elements; `indent` spaces before each line.
[[nodiscard]] std::string render_values(const tensorwire::TensorView& view, std::size_t indent);
// One line for each member; an array of objects with the same members becomes a table.
[[nodiscard]] std::string render_json(const tensorwire::Json& json, std::size_t indent);
// The tensors and the result of a reply.
[[nodiscard]] std::string render_reply(const tensorwire::Reply& reply);

}  // namespace tensorctl
