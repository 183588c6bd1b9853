// Files, folders and globs of the command line, and how each file becomes the tensors of a request.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "settings.hpp"
#include "tensorclient/call.hpp"
#include "tensorwire/error.hpp"

namespace tensorctl {

struct Input {
  std::string path;
  std::string name;  // what its tensor is called: NAME of NAME=PATH, else the file's name without its extension
};

// Every file that the arguments stand for, in their order; a folder's and a glob's files by name. A folder gives the
// files in it (not below it) that load() knows by their extension. An Error where an argument stands for nothing.
[[nodiscard]] tensorwire::Result<std::vector<Input>> expand(const InputSettings& settings);

// Adds one file's tensors to the call: .npy, .png, .jpg/.jpeg, .json (a whole request, whose other members are taken
// over too, or a data list), and raw bytes where a dtype is given. Returns the file's size in bytes.
[[nodiscard]] tensorwire::Result<std::uint64_t> load(const Input& input, const InputSettings& settings,
                                                     tensorclient::Call& call);

// handler, params and encodings.
[[nodiscard]] tensorwire::Result<tensorclient::Call> make_call(const RequestSettings& settings);

// "480,640,3", "480x640x3" or "[480,640,3]"; one axis may be -1 where elements is known (>= 0).
[[nodiscard]] tensorwire::Result<tensorwire::Shape> parse_shape(const std::string& text, std::int64_t elements = -1);

}  // namespace tensorctl
