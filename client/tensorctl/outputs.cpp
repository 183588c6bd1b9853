// Writes each file beside its final place first and renames it when it is whole.
#include "outputs.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string_view>
#include <system_error>

#include "tensorwire/image.hpp"
#include "tensorwire/npy.hpp"

namespace tensorctl {

namespace fs = std::filesystem;
using tensorwire::Error;
using tensorwire::ErrorCode;
using tensorwire::Item;
using tensorwire::Result;

namespace {

Error problem(std::string sentence) { return {ErrorCode::bad_message, std::move(sentence), {}}; }

Error cannot_write(const std::string& path, int error) {
  return problem("cannot write '" + path + "': " + std::generic_category().message(error));
}

bool write_whole(int fd, std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t n = ::write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    data = data.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

Result<Written> write_file(const std::string& path, std::span<const std::byte> head, std::span<const std::byte> body) {
  const std::string partial = path + ".part" + std::to_string(::getpid());
  const int fd = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return cannot_write(path, errno);
  bool good = write_whole(fd, head) && write_whole(fd, body);
  int error = errno;
  if (::close(fd) != 0 && good) {
    good = false;
    error = errno;
  }
  if (good && ::rename(partial.c_str(), path.c_str()) != 0) {
    good = false;
    error = errno;
  }
  if (good) return Written{path, head.size() + body.size()};
  (void)::unlink(partial.c_str());
  return cannot_write(path, error);
}

Result<Written> write_npy(const std::string& path, const tensorwire::Tensor& tensor) {
  auto header = tensorwire::npy_header(tensor.dtype(), tensor.shape());
  if (!header.ok()) return std::move(header).error();
  return write_file(path, std::as_bytes(std::span(*header)), tensor.bytes());
}

Result<Written> write_image(const std::string& path, const Item& item, tensorwire::ImageFormat format) {
  const tensorwire::Image* image = item.image();
  if (image != nullptr && image->info().format == format) return write_file(path, {}, image->file());
  auto tensor = item.tensor();
  if (!tensor.ok()) return std::move(tensor).error();
  auto file = tensorwire::encode_image((*tensor)->view(), format);
  if (!file.ok()) return std::move(file).error();
  return write_file(path, {}, file->bytes());
}

Result<Written> write_item(const std::string& path, const Item& item) {
  const std::string extension = fs::path(path).extension().string();
  if (extension == ".npy") {
    auto tensor = item.tensor();
    if (!tensor.ok()) return std::move(tensor).error();
    return write_npy(path, **tensor);
  }
  auto format = tensorwire::parse_image_format(extension.empty() ? extension : extension.substr(1));
  if (!format.ok()) return problem("cannot write '" + path + "': expected a name that ends in .npy, .png or .jpg");
  return write_image(path, item, *format);
}

// A name from the server becomes a file name: nothing in it may lead out of the folder.
std::string file_name(const Item& item, std::size_t index) {
  std::string name = item.name.empty() ? "tensor" + std::to_string(index) : item.name;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20; },
      '_');
  if (name.starts_with('.')) name.front() = '_';
  const tensorwire::Image* image = item.image();
  if (image == nullptr) return name + ".npy";
  return name + (image->info().format == tensorwire::ImageFormat::png ? ".png" : ".jpg");
}

bool is_folder(const std::string& path) {
  std::error_code error;
  return path.ends_with('/') || fs::is_directory(path, error);
}

Result<std::vector<std::string>> paths_for(const tensorwire::Reply& reply, const std::vector<std::string>& paths) {
  if (paths.size() != 1 || !is_folder(paths.front())) {
    if (paths.size() == reply.tensors.size()) return paths;
    return problem("the reply has " + std::to_string(reply.tensors.size()) + " tensors and -o was given " +
                   std::to_string(paths.size()) + " times: give one -o for each, or a folder for all");
  }
  std::error_code error;
  fs::create_directories(paths.front(), error);
  if (error) return cannot_write(paths.front(), error.value());
  std::vector<std::string> found;
  for (std::size_t i = 0; i < reply.tensors.size(); ++i) {
    found.push_back((fs::path(paths.front()) / file_name(reply.tensors[i], i)).string());
  }
  return found;
}

}  // namespace

Result<std::vector<Written>> write_outputs(const tensorwire::Reply& reply, const std::vector<std::string>& paths) {
  auto targets = paths_for(reply, paths);
  if (!targets.ok()) return std::move(targets).error();
  std::vector<Written> written;
  for (std::size_t i = 0; i < targets->size(); ++i) {
    auto one = write_item((*targets)[i], reply.tensors[i]);
    if (!one.ok()) return std::move(one).error();
    written.push_back(std::move(one).value());
  }
  return written;
}

}  // namespace tensorctl
