// A reply's tensors into files: .npy, .png or .jpg, each written whole or not at all.
#pragma once

#include <string>
#include <vector>

#include "tensorwire/error.hpp"
#include "tensorwire/message.hpp"

namespace tensorctl {

struct Written {
  std::string path;
  std::uint64_t bytes = 0;
};

// One path for each tensor, or one folder (an existing one, or a path that ends in '/') for all: NAME.npy there, or the
// original file of an image. `bad_message` when paths and tensors do not match, or the system's reason.
[[nodiscard]] tensorwire::Result<std::vector<Written>> write_outputs(const tensorwire::Reply& reply,
                                                                     const std::vector<std::string>& paths);

}  // namespace tensorctl
