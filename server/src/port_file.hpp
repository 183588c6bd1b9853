// The file that tells scripts which port was picked.
#pragma once

#include <cstdint>
#include <string>

#include "tensorwire/error.hpp"

namespace tensord {

// Writes "PORT\n" so that the file appears complete or not at all; nothing for an empty path. `internal` with the
// system's reason.
[[nodiscard]] tensorwire::Result<void> write_port_file(const std::string& path, std::uint16_t port);

}  // namespace tensord
