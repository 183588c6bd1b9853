// openat, O_NOFOLLOW and renameat2: the checks and the use are one and the same system call.
#include "handlers/files.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include "tensorwire/utf8.hpp"

namespace tensord::handlers {
namespace {

using tensorwire::Error;
using tensorwire::ErrorCode;
using tensorwire::Result;

constexpr std::size_t kMaxPath = 1024;
constexpr std::size_t kMaxName = 200;  // a temporary name must still fit into the system's 255
constexpr int kFolder = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

Error refused(std::string why) { return Error{ErrorCode::bad_message, std::move(why), ""}; }

Error failed(const std::string& what, int reason) {
  if (reason == ELOOP || reason == ENOTDIR) return refused(what + ": a link or a file stands where a folder should be");
  return Error{ErrorCode::handler_failed, what + ": " + std::generic_category().message(reason), ""};
}

// Characters that make a name look like another one: zero-width, direction marks, line separators, byte order mark.
bool is_deceptive(char32_t c) {
  return (c >= 0x80 && c < 0xA0) || c == 0xAD || c == 0x61C || (c >= 0x200B && c <= 0x200F) ||
         (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFB) ||
         (c >= 0xE0000 && c <= 0xE007F);
}

// Slashes and dots that are not the ASCII ones, which some systems fold to them.
bool is_lookalike(char32_t c) {
  return c == 0x2044 || c == 0x2215 || c == 0x29F8 || c == 0xFF0F || c == 0xFF3C || c == 0x2024 || c == 0x2025 ||
         c == 0xFF0E;
}

bool is_plain_text(std::string_view name) {
  while (!name.empty()) {
    const auto [c, length] = tensorwire::first_character(name);
    if (length == 0 || c < 0x20 || c == 0x7F || c == '\\' || is_deceptive(c) || is_lookalike(c)) return false;
    name.remove_prefix(length);
  }
  return true;
}

Result<void> check_name(std::string_view name) {
  if (name.empty()) return refused("the path is absolute, or has an empty name in it; give a name below the folder");
  if (name.front() == '.') return refused("names that begin with a dot (\"..\" among them) are refused");
  if (name.size() > kMaxName)
    return refused("a name in the path is longer than " + std::to_string(kMaxName) + " bytes");
  if (!is_plain_text(name)) {
    return refused(
        "the name holds a backslash, a control character, an invisible character or bytes that are no UTF-8");
  }
  return {};
}

Result<void> write_all(int file, std::span<const std::byte> bytes, const std::string& what) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failed(what, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

std::string temporary_name() {
  static std::atomic<unsigned> next{0};
  return ".tensord-" + std::to_string(getpid()) + "-" + std::to_string(next.fetch_add(1)) + ".tmp";
}

// Where the file system cannot rename without replacing, a hard link does the same: it never replaces.
int put_in_place(int folder, const std::string& temporary, const std::string& name, bool overwrite) {
  if (overwrite) return ::renameat(folder, temporary.c_str(), folder, name.c_str());
  if (::renameat2(folder, temporary.c_str(), folder, name.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return -1;
  if (::linkat(folder, temporary.c_str(), folder, name.c_str(), 0) != 0) return -1;
  return ::unlinkat(folder, temporary.c_str(), 0);
}

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(number_, other.number_);
  return *this;
}

Descriptor::~Descriptor() {
  if (number_ >= 0) ::close(number_);
}

Result<std::vector<std::string>> split_safe_path(std::string_view path) {
  if (path.empty()) return refused("the file name is empty");
  if (path.size() > kMaxPath) return refused("the path is longer than " + std::to_string(kMaxPath) + " bytes");
  std::vector<std::string> components;
  while (true) {
    const std::size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    if (auto verdict = check_name(name); !verdict.ok()) return std::move(verdict).error();
    components.emplace_back(name);
    if (slash == std::string_view::npos) return components;
    path.remove_prefix(slash + 1);
  }
}

Result<Descriptor> open_parent(const std::string& root, const std::vector<std::string>& components) {
  Descriptor folder(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.number() < 0) return failed("--save-dir cannot be opened", errno);
  for (std::size_t i = 0; i + 1 < components.size(); ++i) {
    const char* const name = components[i].c_str();
    if (::mkdirat(folder.number(), name, 0777) != 0 && errno != EEXIST) {
      return failed("the folder \"" + components[i] + "\" cannot be made", errno);
    }
    Descriptor next(::openat(folder.number(), name, kFolder));
    if (next.number() < 0) return failed("the folder \"" + components[i] + "\" cannot be opened", errno);
    folder = std::move(next);
  }
  return folder;
}

Result<void> write_whole(const std::string& root, const std::string& path, bool overwrite,
                         std::span<const std::span<const std::byte>> pieces) {
  auto components = split_safe_path(path);
  if (!components.ok()) return std::move(components).error();
  auto folder = open_parent(root, *components);
  if (!folder.ok()) return std::move(folder).error();
  const int at = folder->number();
  const std::string temporary = temporary_name();
  const std::string what = "\"" + path + "\" cannot be written";
  const Descriptor file(::openat(at, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
  if (file.number() < 0) return failed(what, errno);
  Result<void> verdict;
  for (const auto piece : pieces) {
    if (verdict.ok()) verdict = write_all(file.number(), piece, what);
  }
  if (verdict.ok() && put_in_place(at, temporary, components->back(), overwrite) != 0) {
    verdict = errno == EEXIST
                  ? refused("\"" + path + "\" exists already; send params {\"overwrite\": true} to replace it")
                  : failed(what, errno);
  }
  if (!verdict.ok()) ::unlinkat(at, temporary.c_str(), 0);
  return verdict;
}

Result<void> append_whole(const std::string& root, const std::string& path, std::span<const std::byte> bytes) {
  auto components = split_safe_path(path);
  if (!components.ok()) return std::move(components).error();
  auto folder = open_parent(root, *components);
  if (!folder.ok()) return std::move(folder).error();
  const std::string what = "\"" + path + "\" cannot be written";
  const int flags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  const Descriptor file(::openat(folder->number(), components->back().c_str(), flags, 0666));
  struct stat status {};
  if (file.number() < 0 || ::fstat(file.number(), &status) != 0) return failed(what, errno);
  if (!S_ISREG(status.st_mode)) return refused("\"" + path + "\" is no regular file");
  while (::flock(file.number(), LOCK_EX) != 0) {
    if (errno != EINTR) return failed(what, errno);
  }
  if (::fstat(file.number(), &status) != 0) return failed(what, errno);
  Result<void> verdict = write_all(file.number(), bytes, what);
  if (!verdict.ok() && ::ftruncate(file.number(), status.st_size) != 0) return failed(what, errno);
  return verdict;
}

}  // namespace tensord::handlers
