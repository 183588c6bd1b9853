// Gathers a request's parts and turns them into what the wire's writer takes.
#include "tensorclient/call.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "socket.hpp"

namespace tensorclient {

Call& Call::tensor(std::string name, const TensorView& view) {
  Entry entry;
  entry.name = std::move(name);
  entry.view = view;
  entries_.push_back(std::move(entry));
  return *this;
}

Call& Call::tensor(std::string name, Tensor tensor) {
  Entry entry;
  entry.name = std::move(name);
  entry.owned_tensor = std::move(tensor);
  entries_.push_back(std::move(entry));
  return *this;
}

Call& Call::image(std::string name, std::span<const std::byte> file, const tensorwire::ImageOptions& options) {
  Entry entry;
  entry.name = std::move(name);
  entry.image = true;
  entry.file = file;
  entry.options = options;
  entries_.push_back(std::move(entry));
  return *this;
}

Call& Call::image(std::string name, tensorwire::Buffer file, const tensorwire::ImageOptions& options) {
  image(std::move(name), file.bytes(), options);
  entries_.back().owned_file = std::move(file);  // moving a Buffer leaves its bytes where they are
  return *this;
}

Outcome<void> Call::image_file(std::string name, const std::string& path, const tensorwire::ImageOptions& options) {
  auto file = read_file(path);
  if (!file.ok()) return std::move(file).failure();
  const auto header = tensorwire::inspect_image(file->bytes(), options);
  if (!header.ok()) {
    tensorwire::Error error = header.error();
    error.message = path + ": " + error.message;
    return Failure::invalid(std::move(error));
  }
  image(std::move(name), std::move(file).value(), options);
  return {};
}

Outcome<void> Call::pixels(std::string name, const TensorView& pixels, tensorwire::ImageFormat format,
                           const tensorwire::EncodeOptions& encode, const tensorwire::ImageOptions& options) {
  auto file = tensorwire::encode_image(pixels, format, encode);
  if (!file.ok()) return Failure::invalid(std::move(file).error());
  image(std::move(name), std::move(file).value(), options);
  return {};
}

Call& Call::handler(std::string name) {
  handler_ = std::move(name);
  return *this;
}

Call& Call::param(std::string name, Json value) {
  params_.set(std::move(name), std::move(value));
  return *this;
}

Call& Call::params(Json object) {
  params_ = std::move(object);
  return *this;
}

Call& Call::payload(TensorEncoding encoding) {
  payload_ = encoding;
  return *this;
}

Call& Call::encoding(TensorEncoding encoding) {
  encoding_ = encoding;
  return *this;
}

Call& Call::oneway(bool value) {
  oneway_ = value;
  return *this;
}

Call& Call::id(tensorwire::RequestId value) {
  id_ = std::move(value);
  return *this;
}

Call& Call::timeout(std::chrono::milliseconds value) {
  timeout_ = value;
  return *this;
}

tensorwire::OutgoingRequest Call::request() const {
  tensorwire::OutgoingRequest request;
  request.id = id_;
  request.handler = handler_;
  request.params = params_;
  request.payload = payload_;
  request.encoding = encoding_;
  request.oneway = oneway_;
  request.tensors.reserve(entries_.size());
  for (const Entry& entry : entries_) {
    tensorwire::OutgoingItem& item = request.tensors.emplace_back();
    item.name = entry.name;
    item.view = entry.owned_tensor ? entry.owned_tensor->view() : entry.view;
    item.image = entry.image;
    item.file = entry.file;
    item.image_options = entry.options;
  }
  return request;
}

namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

Failure unreadable(const std::string& path, const std::string& reason) {
  return Failure::invalid("cannot read '" + path + "': " + reason);
}

// Reads to the end, whatever size the file claims to have (a pipe claims 0). `room_for` is that size and one byte more,
// so that the end is seen without growing the buffer.
Outcome<void> read_all(int fd, tensorwire::Buffer& into, std::size_t room_for, const std::string& path) {
  constexpr std::size_t kStep = 256 << 10;
  std::size_t filled = 0;
  while (true) {
    const std::size_t room = filled < room_for ? room_for - filled : kStep;
    if (const auto grown = into.resize(filled + room, room_for); !grown.ok()) {
      return unreadable(path, grown.error().message);
    }
    const ssize_t n = ::read(fd, into.data() + filled, room);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return unreadable(path, error_text(errno));
    filled += static_cast<std::size_t>(n);
    if (n > 0) continue;
    if (const auto cut = into.resize(filled); !cut.ok()) return unreadable(path, cut.error().message);
    return {};
  }
}

}  // namespace

Outcome<tensorwire::Buffer> read_file(const std::string& path, tensorwire::BufferPool& pool) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) return unreadable(path, error_text(errno));
  struct stat status {};
  if (::fstat(file.fd, &status) != 0) return unreadable(path, error_text(errno));
  if (S_ISDIR(status.st_mode)) return unreadable(path, "it is a folder");
  tensorwire::Buffer buffer = pool.empty_buffer();
  const auto room_for = static_cast<std::size_t>(status.st_size) + 1;
  if (auto done = read_all(file.fd, buffer, room_for, path); !done.ok()) return std::move(done).failure();
  return buffer;
}

}  // namespace tensorclient
