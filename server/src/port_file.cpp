// Writes the port beside its place and renames it there.
#include "port_file.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

namespace tensord {

tensorwire::Result<void> write_port_file(const std::string& path, std::uint16_t port) {
  if (path.empty()) return {};
  const std::string temporary = path + "." + std::to_string(getpid()) + ".tmp";
  bool written = false;
  {
    std::ofstream file(temporary, std::ios::trunc);
    file << port << '\n' << std::flush;
    written = file.good();
  }
  if (written && std::rename(temporary.c_str(), path.c_str()) == 0) return {};
  const std::string reason = std::strerror(errno);  // NOLINT(concurrency-mt-unsafe)
  std::remove(temporary.c_str());
  return tensorwire::Error{tensorwire::ErrorCode::internal, "--port-file: cannot write \"" + path + "\": " + reason,
                           ""};
}

}  // namespace tensord
