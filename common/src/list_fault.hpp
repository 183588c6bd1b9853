// The first thing that is wrong with a list's values, kept until the place of the list is known, then told as an Error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "list_scanner.hpp"
#include "tensorwire/dtype.hpp"
#include "tensorwire/error.hpp"

namespace tensorwire {

enum class ListFaultKind : std::uint8_t {
  range,        // a number that the dtype has no room for
  fraction,     // no integer where integers are wanted
  not_finite,   // NaN or an infinity that the dtype does not have
  no_number,    // a string that is none
  mixed,        // a numeric string among labels, with no dtype to say what is meant
  wrong_type,   // a JSON type that the dtype does not take
  long_number,  // more characters than are held
  long_string,
  ragged_length,  // a list of another length than the ones before it
  ragged_list,    // a list where its siblings are scalars
  ragged_value,   // a scalar where its siblings are lists
  too_deep,       // more axes than a tensor has
  no_memory,
};

struct ListFault {
  ListFaultKind kind = ListFaultKind::range;
  std::vector<std::uint64_t> path;  // the indices that lead to the offender
  ScalarKind scalar = ScalarKind::number;
  std::string text;             // the offending scalar: a number as it was written, a string decoded
  std::uint64_t found = 0;      // ragged_length: this list's length (at least, when it goes on),
  std::uint64_t expected = 0;   // the other lists' length; long_*: the limit
  std::optional<Error> memory;  // no_memory
};

// data_at is the JSON Pointer of the `data` member; inferred says that the sender gave no dtype.
[[nodiscard]] Error describe(const ListFault& fault, DType dtype, bool inferred, const std::string& data_at);

}  // namespace tensorwire
