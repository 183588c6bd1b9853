// The sending machine: exact bytes, any size of the caller's buffer, and what is written reads back.
#include "tensorwire/writer.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "compare_requests.hpp"

namespace tensorwire {
namespace {

std::string Drain(MessageWriter& writer, std::size_t room) {
  std::string out;
  std::vector<char> buffer(room);
  while (const auto size = writer.read(buffer)) out.append(buffer.data(), size);
  EXPECT_EQ(writer.remaining_bytes(), 0U);
  EXPECT_EQ(writer.total_bytes(), out.size());
  return out;
}

std::string Write(const OutgoingRequest& request, Dialect dialect = Dialect::framed, std::size_t room = 4096) {
  auto writer = MessageWriter::request(request, dialect);
  EXPECT_TRUE(writer.ok());
  return Drain(*writer, room);
}

TEST(Writer, OneTensorWithoutNameStandsInTheRequest) {
  const std::array<float, 2> values = {1.0F, 2.0F};
  OutgoingRequest request;
  request.tensors.push_back({.name = "", .view = TensorView(std::span<const float>(values), {2})});
  EXPECT_EQ(Write(request, Dialect::raw_json), "{\"dtype\":\"float32\",\"shape\":[2],\"tensor\":\"AACAPwAAAEA=\"}\n");
}

TEST(Writer, AllMembersInAFrame) {
  const std::array<std::uint8_t, 1> value = {1};
  OutgoingRequest request;
  request.id = std::string("a\"b");
  request.handler = "h";
  request.params = Json::object({{"k", 1}});
  request.encoding = TensorEncoding::list;
  request.oneway = true;
  request.auth = "t";
  request.tensors.push_back({.name = "x", .view = TensorView(std::span<const std::uint8_t>(value), {})});
  const std::string json = R"({"id":"a\"b","handler":"h","auth":"t","params":{"k":1},"encoding":"list","oneway":true,)"
                           R"("tensors":[{"name":"x","dtype":"uint8","shape":[],"tensor":"AQ=="}]})";
  EXPECT_EQ(Write(request), testing::framed(json));
}

Reply ReplyOf(std::size_t bytes, Json result) {
  const std::vector<std::uint8_t> values(bytes, 7);
  const Shape shape{static_cast<std::int64_t>(bytes)};
  Reply reply = Reply::of("x", Tensor::copy_of(std::span<const std::uint8_t>(values), shape).value());
  reply.id = std::int64_t{5};
  reply.result = std::move(result);
  return reply;
}

std::string WriteReply(Reply reply, TensorEncoding encoding, Dialect dialect) {
  auto writer = MessageWriter::reply(std::move(reply), encoding, dialect);
  EXPECT_TRUE(writer.ok());
  return Drain(*writer, 4096);
}

TEST(Writer, ASmallReplyIsAppendedAsAWriterWouldGiveIt) {
  constexpr auto kBase64 = TensorEncoding::base64;
  for (const auto dialect : {Dialect::framed, Dialect::raw_json}) {
    std::string out = "before";
    std::string expected = out;
    for (const std::size_t bytes : {0U, 1U, 2U, 3U, 64U, 384U}) {
      const Json result = Json::object({{"nbytes", static_cast<std::int64_t>(bytes)}, {"text", "a\nb"}});
      EXPECT_TRUE(MessageWriter::append_small_reply(ReplyOf(bytes, result), kBase64, dialect, out));
      expected += WriteReply(ReplyOf(bytes, result), kBase64, dialect);
    }
    EXPECT_TRUE(MessageWriter::append_small_reply(Reply(Json(1)), TensorEncoding::list, dialect, out));
    EXPECT_EQ(out, expected + WriteReply(Reply(Json(1)), TensorEncoding::list, dialect));
  }
}

TEST(Writer, AReplyThatWantsAWriterLeavesTheTextAsItWas) {
  std::string out = "before";
  const auto append = [&](const Reply& reply, TensorEncoding encoding) {
    return MessageWriter::append_small_reply(reply, encoding, Dialect::framed, out);
  };
  EXPECT_FALSE(append(ReplyOf(385, {}), TensorEncoding::base64));
  EXPECT_FALSE(append(ReplyOf(3, {}), TensorEncoding::list));
  EXPECT_FALSE(append(Reply(Error{ErrorCode::bad_json, "no", ""}), TensorEncoding::base64));
  EXPECT_EQ(out, "before");
}

TEST(Writer, TheSizeOfTheCallersBufferDoesNotMatter) {
  std::vector<std::int16_t> values(1000);
  std::iota(values.begin(), values.end(), std::int16_t{-500});
  OutgoingRequest request;
  for (const std::size_t n : {0U, 1U, 2U, 3U, 997U}) {
    request.tensors.push_back(
        {.name = std::string_view("abcdefgh").substr(0, 1 + n % 7),
         .view = TensorView(std::span<const std::int16_t>(values).first(n), {static_cast<std::int64_t>(n)})});
  }
  const auto whole = Write(request);
  for (std::size_t room = 64; room < 300; ++room) EXPECT_EQ(Write(request, Dialect::framed, room), whole) << room;
}

TEST(Writer, RepliesReadBack) {
  const std::array<std::int64_t, 2> values = {INT64_MIN, INT64_MAX};
  for (const auto encoding : {TensorEncoding::base64, TensorEncoding::list}) {
    Reply reply = Reply::of("y", *Tensor::copy_of(std::span<const std::int64_t>(values), {2, 1}));
    reply.id = std::uint64_t{1} << 63;
    reply.result = Json::object({{"note", "a\nb"}});
    auto writer = MessageWriter::reply(std::move(reply), encoding, Dialect::framed);
    ASSERT_TRUE(writer.ok());
    const auto wire = Drain(*writer, 64);
    MessageReader reader(Dialect::framed, Limits{}, BufferPool::shared());
    std::string_view view = wire;
    ASSERT_EQ(reader.feed(view), MessageReader::Status::message);
    auto incoming = reader.take_reply();
    ASSERT_FALSE(incoming.error) << incoming.error->message;
    EXPECT_EQ(std::get<std::uint64_t>(incoming.reply.id), std::uint64_t{1} << 63);
    EXPECT_EQ(incoming.reply.tensors[0].as<std::int64_t>().value()[0], INT64_MIN);
    EXPECT_EQ(incoming.reply.tensors[0].tensor().value()->shape(), (Shape{2, 1}));
    EXPECT_EQ(incoming.reply.result.dump(), R"({"note":"a\nb"})");
  }
}

TEST(Writer, AnErrorReplyCarriesCodeSentenceAndPlace) {
  Reply reply(Error{ErrorCode::bad_dtype, "no", "/tensors/0/dtype"});
  auto writer = MessageWriter::reply(std::move(reply), TensorEncoding::base64, Dialect::raw_json);
  ASSERT_TRUE(writer.ok());
  EXPECT_EQ(
      Drain(*writer, 64),
      "{\"status\":\"error\",\"error\":{\"code\":\"bad_dtype\",\"message\":\"no\",\"at\":\"/tensors/0/dtype\"}}\n");
}

TEST(Writer, AFrameBeyondTheCapIsRefused) {
  // 1 GiB of address space; the pages are never touched, since the length is known before anything is encoded.
  const auto tensor = Tensor::allocate(DType::uint8, {1LL << 30});
  if (!tensor.ok()) GTEST_SKIP() << "no address space";
  OutgoingRequest request;
  request.tensors.push_back({.name = "", .view = tensor->view()});
  auto writer = MessageWriter::request(request, Dialect::framed);
  ASSERT_FALSE(writer.ok());
  EXPECT_EQ(writer.error().code, ErrorCode::frame_too_large);
}

}  // namespace
}  // namespace tensorwire
