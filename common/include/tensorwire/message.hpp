// What a message means: the request that a handler gets and the reply that it gives.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tensorwire/error.hpp"
#include "tensorwire/image.hpp"
#include "tensorwire/json.hpp"
#include "tensorwire/tensor.hpp"

namespace tensorwire {

// A request's id, given back unchanged; monostate when it had none.
using RequestId = std::variant<std::monostate, std::int64_t, std::uint64_t, std::string>;

// How a reply's tensors are written: base64 of their bytes, or JSON numbers.
enum class TensorEncoding : std::uint8_t { base64, list };

// One entry of a message's `tensors`: a tensor, or an image whose pixels are decoded when first asked for. Move-only.
class Item {
 public:
  Item() = default;
  Item(Tensor tensor) : content_(std::move(tensor)) {}  // NOLINT(google-explicit-constructor)
  Item(Image image) : content_(std::move(image)) {}     // NOLINT(google-explicit-constructor)
  Item(std::string item_name, Tensor tensor) : name(std::move(item_name)), content_(std::move(tensor)) {}
  Item(std::string item_name, Image image) : name(std::move(item_name)), content_(std::move(image)) {}

  std::string name;  // empty when the sender gave none
  // Where it stood in the request, a JSON Pointer such as "/tensors/0" ("" when its members stood in the request
  // itself).
  std::string at;

  [[nodiscard]] const Image* image() const noexcept { return std::get_if<Image>(&content_); }
  [[nodiscard]] Image* image() noexcept { return std::get_if<Image>(&content_); }
  // The elements: of the tensor, or of the image's pixels (decoded now if they were not; `bad_image` with its place).
  // Valid while this Item lives unchanged.
  [[nodiscard]] Result<const Tensor*> tensor() const;
  // The same, moved out.
  [[nodiscard]] Result<Tensor> take_tensor();
  // Typed access in one step: item.as<float>().value()
  template <class T>
  [[nodiscard]] Result<std::span<const T>> as() const {
    auto found = tensor();
    if (!found.ok()) return std::move(found).error();
    auto values = (*found)->template as<T>();
    if (!values.ok() && values.error().at.empty()) values.error().at = at;
    return values;
  }

 private:
  std::variant<Tensor, Image> content_;
};

struct Request {
  RequestId id;
  std::string handler;  // empty: the server's default
  std::vector<Item> tensors;
  Json params;  // an object, or null when the request had none
  TensorEncoding encoding = TensorEncoding::base64;
  bool oneway = false;
  std::string auth;              // the `auth` member, or empty
  std::uint64_t wire_bytes = 0;  // bytes that the message took on the wire
  // Turns true when nobody waits for the reply any more (timeout, shutdown); null outside a server.
  std::shared_ptr<const std::atomic<bool>> cancel_flag;

  [[nodiscard]] bool cancelled() const noexcept { return cancel_flag && cancel_flag->load(std::memory_order_relaxed); }
  // The entry of that name / at that index; throws ErrorException (bad_message, naming what is there) when there is
  // none, which the sender of a request gets as an error reply.
  [[nodiscard]] const Item& tensor(std::string_view name) const;
  [[nodiscard]] const Item& tensor(std::size_t index) const;
};

// A handler's answer. Move-only.
struct Reply {
  RequestId id;  // the server fills it in
  std::vector<Item>
      tensors;  // an Item made from an Image goes out as its file (`image`), one from a Tensor as its elements
  Json result;  // anything but null stands in the reply
  std::optional<Error> error;  // an error reply: tensors and result are not sent then

  Reply() = default;
  Reply(Json json) : result(std::move(json)) {}                  // NOLINT(google-explicit-constructor)
  Reply(Error failure) : error(std::move(failure)) {}            // NOLINT(google-explicit-constructor)
  Reply(std::vector<Item> items) : tensors(std::move(items)) {}  // NOLINT(google-explicit-constructor)
  [[nodiscard]] static Reply of(std::string name, Tensor tensor) {
    Reply reply;
    reply.tensors.emplace_back(std::move(name), std::move(tensor));
    return reply;
  }
};

}  // namespace tensorwire
