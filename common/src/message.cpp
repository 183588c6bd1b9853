// Access to a request's entries, with errors that say what is there and where it stood.
#include "tensorwire/message.hpp"

#include <algorithm>

namespace tensorwire {
namespace {

// The most names that an error lists.
constexpr std::size_t kMaxListed = 16;

Error with_place(Error error, const std::string& item_at) {
  if (error.at.empty()) error.at = item_at + "/image";
  return error;
}

std::string list_names(const std::vector<Item>& items) {
  std::string text;
  for (std::size_t index = 0; index < std::min(items.size(), kMaxListed); ++index) {
    if (index != 0) text += ", ";
    text += items[index].name.empty() ? "an unnamed one" : '"' + items[index].name + '"';
  }
  return items.size() > kMaxListed ? text + ", ..." : text;
}

std::string what_it_has(const std::vector<Item>& items) {
  return items.empty() ? "it has none" : "it has " + list_names(items);
}

}  // namespace

Result<const Tensor*> Item::tensor() const {
  const auto* own = std::get_if<Tensor>(&content_);
  if (own != nullptr) return own;
  auto pixels = image()->pixels();
  if (!pixels.ok()) return with_place(std::move(pixels).error(), at);
  return pixels;
}

Result<Tensor> Item::take_tensor() {
  auto* own = std::get_if<Tensor>(&content_);
  if (own != nullptr) return std::exchange(*own, Tensor());
  auto pixels = image()->take_pixels();
  if (!pixels.ok()) return with_place(std::move(pixels).error(), at);
  return pixels;
}

const Item& Request::tensor(std::string_view name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const Item& item) { return item.name == name; });
  if (found != tensors.end()) return *found;
  throw ErrorException({ErrorCode::bad_message,
                        "the request has no tensor \"" + std::string(name) + "\"; " + what_it_has(tensors),
                        "/tensors"});
}

const Item& Request::tensor(std::size_t index) const {
  if (index < tensors.size()) return tensors[index];
  throw ErrorException({ErrorCode::bad_message,
                        "the request has no tensor number " + std::to_string(index) + " (counted from 0); it has " +
                            std::to_string(tensors.size()),
                        "/tensors"});
}

}  // namespace tensorwire
