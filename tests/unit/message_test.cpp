// A request's entries are found by name and number, and errors say what is there and where it stood.
#include "tensorwire/message.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace tensorwire {
namespace {

Tensor numbers(std::vector<std::int32_t> values) {
  const Shape shape{static_cast<std::int64_t>(values.size())};
  return Tensor::copy_of(std::span<const std::int32_t>(values), shape).value();
}

Request request_of(std::vector<std::string> names) {
  Request request;
  for (auto& name : names) request.tensors.emplace_back(std::move(name), numbers({1, 2}));
  return request;
}

template <class Key>
Error failure_of(const Request& request, Key key) {
  try {
    static_cast<void>(request.tensor(key));
  } catch (const ErrorException& thrown) {
    return thrown.error();
  }
  return {ErrorCode::internal, "nothing was thrown", {}};
}

TEST(Request, FindsEntriesByNameAndNumber) {
  const Request request = request_of({"a", "b"});
  EXPECT_EQ(&request.tensor("b"), &request.tensors[1]);
  EXPECT_EQ(&request.tensor(std::size_t{0}), &request.tensors[0]);
}

TEST(Request, SaysWhichEntriesItHas) {
  const Error error = failure_of(request_of({"a", "", "b"}), std::string_view("x"));
  EXPECT_EQ(error.code, ErrorCode::bad_message);
  EXPECT_EQ(error.message, "the request has no tensor \"x\"; it has \"a\", an unnamed one, \"b\"");
  EXPECT_EQ(error.at, "/tensors");
  EXPECT_EQ(failure_of(request_of({}), std::string_view("x")).message, "the request has no tensor \"x\"; it has none");
  EXPECT_EQ(failure_of(request_of({"a"}), std::size_t{1}).message,
            "the request has no tensor number 1 (counted from 0); it has 1");
}

TEST(Request, ListsAFewOfVeryManyEntries) {
  const Error error = failure_of(request_of(std::vector<std::string>(1000, "name")), std::string_view("x"));
  EXPECT_LT(error.message.size(), 200U);
  EXPECT_TRUE(error.message.ends_with(", ..."));
}

TEST(Request, IsCancelledByItsFlagOnly) {
  Request request;
  EXPECT_FALSE(request.cancelled());
  const auto flag = std::make_shared<std::atomic<bool>>(false);
  request.cancel_flag = flag;
  EXPECT_FALSE(request.cancelled());
  *flag = true;
  EXPECT_TRUE(request.cancelled());
}

TEST(Item, GivesItsTensorTyped) {
  const Item item("a", numbers({4, 5, 6}));
  EXPECT_EQ(item.image(), nullptr);
  EXPECT_EQ((*item.tensor())->size(), 3);
  EXPECT_EQ(item.as<std::int32_t>().value()[2], 6);
}

TEST(Item, PointsAtItselfWhenTheDtypeIsAnother) {
  Item item("a", numbers({4}));
  item.at = "/tensors/0";
  const auto wrong = item.as<float>();
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code, ErrorCode::bad_dtype);
  EXPECT_EQ(wrong.error().at, "/tensors/0");
}

TEST(Item, GivesItsTensorAwayOnce) {
  Item item("a", numbers({4, 5}));
  const Tensor taken = item.take_tensor().value();
  EXPECT_EQ(taken.size(), 2);
  EXPECT_EQ((*item.tensor())->size(), 0);
}

// A PNG whose header is right and whose pixels are not: one byte of IDAT is turned over.
Image damaged_image() {
  constexpr std::size_t kInsideIdat = 8 + 25 + 8 + 2;  // signature, IHDR, IDAT's length and type, zlib's header
  const std::vector<std::uint8_t> pixels(12 * 12, 7);
  auto file = encode_image(TensorView(std::span<const std::uint8_t>(pixels), {12, 12}), ImageFormat::png).value();
  file.data()[kInsideIdat] ^= std::byte{0xFF};
  return Image::open(std::move(file)).value();
}

TEST(Item, ADamagedImageIsAnErrorWithItsPlace) {
  Item item("photo", damaged_image());
  item.at = "/tensors/3";
  ASSERT_NE(item.image(), nullptr);
  const auto pixels = item.tensor();
  ASSERT_FALSE(pixels.ok());
  EXPECT_EQ(pixels.error().code, ErrorCode::bad_image);
  EXPECT_EQ(pixels.error().at, "/tensors/3/image");
  EXPECT_EQ(item.take_tensor().error().at, "/tensors/3/image");
}

TEST(Item, GivesAnImagesPixelsAsATensor) {
  const std::vector<std::uint8_t> pixels = {1, 2, 3, 4, 5, 6};
  auto file = encode_image(TensorView(std::span<const std::uint8_t>(pixels), {2, 3}), ImageFormat::png).value();
  Item item("photo", Image::open(std::move(file)).value());
  EXPECT_EQ((*item.tensor())->shape(), Shape({2, 3, 1}));
  EXPECT_EQ(item.as<std::uint8_t>().value()[5], 6);
  EXPECT_EQ(item.take_tensor()->shape(), Shape({2, 3, 1}));
}

TEST(Reply, IsMadeFromWhatAHandlerHas) {
  EXPECT_EQ(Reply(Json::object({{"n", 1}})).result.dump(), R"({"n":1})");
  EXPECT_EQ(Reply(Error{ErrorCode::timeout, "late", {}}).error->code, ErrorCode::timeout);
  const Reply reply = Reply::of("x", numbers({1}));
  ASSERT_EQ(reply.tensors.size(), 1U);
  EXPECT_EQ(reply.tensors[0].name, "x");
}

}  // namespace
}  // namespace tensorwire
