// One request in the making: a handler's name, its tensors and images (borrowed or owned), its params.
#pragma once

#include <chrono>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tensorclient/outcome.hpp"
#include "tensorwire/image.hpp"
#include "tensorwire/json.hpp"
#include "tensorwire/message.hpp"
#include "tensorwire/tensor.hpp"
#include "tensorwire/writer.hpp"

namespace tensorclient {

using tensorwire::Json;
using tensorwire::Reply;
using tensorwire::Shape;
using tensorwire::Tensor;
using tensorwire::TensorEncoding;
using tensorwire::TensorView;

// Built step by step; every step returns the Call itself:
//
//   Call("stats").tensor("x", values, {2, 3}).param("axis", 0)
//
// What is given as a view or span is borrowed and never copied: it must live until Client::call or submit returns, or
// until an async_call completes. What is moved in is owned. Names must be unique within one call; one nameless tensor
// stands directly in the request, as bare receivers expect it. Move-only.
class Call {
 public:
  // An empty name leaves the choice to the server (its --default-handler).
  explicit Call(std::string handler = {}) : handler_(std::move(handler)) {}
  Call(Call&&) noexcept = default;
  Call& operator=(Call&&) noexcept = default;

  // Borrows.
  Call& tensor(std::string name, const TensorView& view);
  // Any contiguous range of elements that outlives the Call's use: a vector, an array, a span (but no temporary
  // vector).
  template <std::ranges::contiguous_range R>
  requires(std::is_lvalue_reference_v<R> || std::ranges::borrowed_range<R>) Call& tensor(std::string name, R&& values,
                                                                                         const Shape& shape) {
    using T = std::remove_cv_t<std::ranges::range_value_t<R>>;
    const std::span<const T> span(std::ranges::data(values), std::ranges::size(values));
    return tensor(std::move(name), TensorView(span, shape));
  }
  // Owns.
  Call& tensor(std::string name, Tensor tensor);

  // A whole PNG or JPEG file, borrowed; it is sent as it is and decoded by the server.
  Call& image(std::string name, std::span<const std::byte> file, const tensorwire::ImageOptions& options = {});
  // The same, owned.
  Call& image(std::string name, tensorwire::Buffer file, const tensorwire::ImageOptions& options = {});
  // Reads the file now; `invalid` when it cannot be read or is neither PNG nor JPEG.
  [[nodiscard]] Outcome<void> image_file(std::string name, const std::string& path,
                                         const tensorwire::ImageOptions& options = {});
  // Encodes a pixel buffer of shape [height, width] or [height, width, channels] as PNG or JPEG now; the pixels are not
  // needed afterwards. `invalid` when they fit no such image (tensorwire::encode_image says what does).
  [[nodiscard]] Outcome<void> pixels(std::string name, const TensorView& pixels, tensorwire::ImageFormat format,
                                     const tensorwire::EncodeOptions& encode = {},
                                     const tensorwire::ImageOptions& options = {});

  // Another handler than the constructor's.
  Call& handler(std::string name);
  // A member of `params`; the last one of a name counts.
  Call& param(std::string name, Json value);
  // All of `params` at once: an object, or null.
  Call& params(Json object);
  // How these tensors are written: base64 (default), or lists of JSON numbers.
  Call& payload(TensorEncoding encoding);
  // How the reply's tensors are asked for.
  Call& encoding(TensorEncoding encoding);
  // No reply is wanted: send it with Client::send or AsyncClient::async_send.
  Call& oneway(bool value = true);
  // Instead of the number that the client would choose; it stands in the reply.
  Call& id(tensorwire::RequestId value);
  // For this call instead of Options::timeout; 0 waits for ever.
  Call& timeout(std::chrono::milliseconds value);

  [[nodiscard]] const std::string& handler() const noexcept { return handler_; }
  [[nodiscard]] const Json& params() const noexcept { return params_; }
  [[nodiscard]] bool is_oneway() const noexcept { return oneway_; }
  [[nodiscard]] const tensorwire::RequestId& id() const noexcept { return id_; }
  [[nodiscard]] std::optional<std::chrono::milliseconds> timeout() const noexcept { return timeout_; }
  // What the wire's writer takes; borrows from this Call (and from what it borrows).
  [[nodiscard]] tensorwire::OutgoingRequest request() const;

 private:
  struct Entry {
    std::string name;
    TensorView view;
    bool image = false;
    std::span<const std::byte> file;
    tensorwire::ImageOptions options;
    std::optional<Tensor> owned_tensor;
    tensorwire::Buffer owned_file;
  };
  std::string handler_;
  std::vector<Entry> entries_;
  Json params_;
  TensorEncoding payload_ = TensorEncoding::base64;
  TensorEncoding encoding_ = TensorEncoding::base64;
  bool oneway_ = false;
  tensorwire::RequestId id_;
  std::optional<std::chrono::milliseconds> timeout_;
};

// A whole file in memory from the pool; `invalid`, naming the path and the system's reason, when it cannot be read.
[[nodiscard]] Outcome<tensorwire::Buffer> read_file(const std::string& path,
                                                    tensorwire::BufferPool& pool = *tensorwire::BufferPool::shared());

}  // namespace tensorclient
