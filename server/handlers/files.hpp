// Files below one folder that names from senders cannot leave: opened component by component, never through a link.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensorwire/error.hpp"

namespace tensord::handlers {

// An open descriptor; closes itself.
class Descriptor {
 public:
  Descriptor() noexcept = default;
  explicit Descriptor(int number) noexcept : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(other.number_) { other.number_ = -1; }
  Descriptor& operator=(Descriptor&& other) noexcept;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor();
  [[nodiscard]] int number() const noexcept { return number_; }

 private:
  int number_ = -1;
};

// The components of a relative path. Refused (`bad_message`): an empty, too long or absolute one, empty components, "."
// and "..", backslashes, control characters, bytes that are no UTF-8, invisible and direction-changing characters, and
// names that begin with a dot or are longer than a file name can be.
[[nodiscard]] tensorwire::Result<std::vector<std::string>> split_safe_path(std::string_view path);

// The folder that a file of that path stands in, created where it is missing; no link is followed below root.
[[nodiscard]] tensorwire::Result<Descriptor> open_parent(const std::string& root,
                                                         const std::vector<std::string>& components);

// Writes the pieces to a temporary file beside its place and renames it there, so that the name holds the whole file or
// what it held before. An existing one is `bad_message` without overwrite. Errors name the path as the sender gave it.
[[nodiscard]] tensorwire::Result<void> write_whole(const std::string& root, const std::string& path, bool overwrite,
                                                   std::span<const std::span<const std::byte>> pieces);

// Appends all of bytes in one go, or (when the disk is full) nothing; creates the file. One writer at a time.
[[nodiscard]] tensorwire::Result<void> append_whole(const std::string& root, const std::string& path,
                                                    std::span<const std::byte> bytes);

}  // namespace tensord::handlers
