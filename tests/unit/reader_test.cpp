// The receiving machine on literal messages: what they mean, what is refused and why, and that pieces do not matter.
#include "tensorwire/reader.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "compare_requests.hpp"

namespace tensorwire {
namespace {

using testing::framed;
using testing::read_in_pieces;

const auto& Pool() { return BufferPool::shared(); }

IncomingRequest Read(std::string_view json, const Limits& limits = {}) {
  const auto wire = framed(json);
  return read_in_pieces(wire, Dialect::framed, wire.size(), limits, Pool());
}

// "code at: message" of a refused message.
std::string Refusal(std::string_view json, const Limits& limits = {}) {
  const auto incoming = Read(json, limits);
  if (!incoming.error) return "accepted";
  return std::string(to_string(incoming.error->code)) + " " + incoming.error->at + ": " + incoming.error->message;
}

std::string CodeAndPlace(std::string_view json, const Limits& limits = {}) {
  const auto text = Refusal(json, limits);
  return text.substr(0, text.find(':'));
}

TEST(Reader, ATensorBecomesTypedElements) {
  auto incoming = Read(R"({"id":7,"handler":"h","tensor":"AACAPwAAAEA=","dtype":"float32","shape":[2]})");
  ASSERT_FALSE(incoming.error) << incoming.error->message;
  EXPECT_EQ(std::get<std::int64_t>(incoming.request.id), 7);
  EXPECT_EQ(incoming.request.handler, "h");
  ASSERT_EQ(incoming.request.tensors.size(), 1U);
  const auto values = incoming.request.tensors[0].as<float>().value();
  EXPECT_EQ(values[0], 1.0F);
  EXPECT_EQ(values[1], 2.0F);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(values.data()) % 64, 0U);
}

TEST(Reader, MembersComeInAnyOrder) {
  for (const char* json :
       {R"({"tensor":"AQID","shape":[3],"dtype":"uint8"})", R"({"shape":[3],"tensor":"AQID","dtype":"uint8"})",
        R"({"dtype":"uint8","shape":[3],"tensor":"AQID"})"}) {
    auto incoming = Read(json);
    ASSERT_FALSE(incoming.error) << incoming.error->message;
    EXPECT_EQ(incoming.request.tensors[0].as<std::uint8_t>().value()[2], 3);
  }
}

TEST(Reader, IdsAreKeptExactly) {
  EXPECT_EQ(std::get<std::uint64_t>(Read(R"({"id":18446744073709551615})").request.id), 18446744073709551615ULL);
  EXPECT_EQ(std::get<std::int64_t>(Read(R"({"id":-9223372036854775808})").request.id), INT64_MIN);
  EXPECT_EQ(std::get<std::string>(Read(R"({"id":"a\u00e9"})").request.id), "a\xC3\xA9");
  EXPECT_EQ(CodeAndPlace(R"({"id":1.5})"), "bad_message /id");
  EXPECT_EQ(CodeAndPlace(R"({"id":18446744073709551616})"), "bad_message /id");
  EXPECT_EQ(CodeAndPlace(R"({"id":[1]})"), "bad_message /id");
}

TEST(Reader, EscapesInsideBase64AreHonoured) {
  for (const char* text : {R"(\/+\/+)", R"(\u002f\u002B\u002f\u002B)", "/+/+"}) {
    auto incoming = Read(std::string(R"({"dtype":"u1","shape":[3],"tensor":")") + text + "\"}");
    ASSERT_FALSE(incoming.error) << incoming.error->message;
    EXPECT_EQ(incoming.request.tensors[0].as<std::uint8_t>().value()[0], 0xFF);
  }
  auto padded = Read(R"({"dtype":"u1","shape":[1],"tensor":"AQ\u003d\u003d"})");
  ASSERT_FALSE(padded.error) << padded.error->message;
}

TEST(Reader, WrapperAndBigEndian) {
  auto incoming =
      Read(R"({"tensors":[{"name":"x","tensor":{"b64":"AAEAAg==","more":[1]},"dtype":">i2","shape":[2]}]})");
  ASSERT_FALSE(incoming.error) << incoming.error->message;
  EXPECT_EQ(incoming.request.tensor("x").as<std::int16_t>().value()[1], 2);
}

TEST(Reader, PayloadNamesInsideParamsAreOrdinaryMembers) {
  auto incoming = Read(R"({"params":{"tensor":"!","data":[1,{"image":"?"}]},"x":{"tensors":[{"tensor":5}]}})");
  ASSERT_FALSE(incoming.error) << incoming.error->message;
  EXPECT_EQ(incoming.request.params.dump(), R"({"tensor":"!","data":[1,{"image":"?"}]})");
}

TEST(Reader, NullCountsAsAbsent) {
  auto incoming = Read(R"({"id":null,"handler":null,"params":null,"tensors":[{"name":null,"image":null,"data":null,)"
                       R"("dtype":"u1","shape":[1],"tensor":"AQ=="}]})");
  ASSERT_FALSE(incoming.error) << incoming.error->message;
}

TEST(Reader, RefusalsNameCodeAndPlace) {
  EXPECT_EQ(CodeAndPlace("[1]"), "bad_message ");
  EXPECT_EQ(CodeAndPlace("5"), "bad_message ");
  EXPECT_EQ(CodeAndPlace("{"), "bad_json ");
  EXPECT_EQ(CodeAndPlace("{} {}"), "bad_json ");
  EXPECT_EQ(CodeAndPlace("{}]"), "bad_json ");
  EXPECT_EQ(CodeAndPlace("{'id':1}"), "bad_json ");
  EXPECT_EQ(CodeAndPlace(R"({"id":1,})"), "bad_json ");
  EXPECT_EQ(CodeAndPlace(R"({"params":{"x":NaN}})"), "bad_json ");
  EXPECT_EQ(CodeAndPlace(R"({"params":{"x":1e400}})"), "bad_json ");
  EXPECT_EQ(CodeAndPlace(R"({"params":{"x":"\udc00"}})"), "bad_json ");
  EXPECT_EQ(CodeAndPlace(std::string("{\"x\":1}\0", 8)), "bad_json ");
  EXPECT_EQ(CodeAndPlace("\xEF\xBB\xBF{}"), "bad_json ");
  EXPECT_EQ(CodeAndPlace(R"({"id":1,"id":2})"), "bad_message /id");
  EXPECT_EQ(CodeAndPlace(R"({"params":{"a/b":{"~":1,"~":1}}})"), "bad_message /params/a~1b/~0");
  EXPECT_EQ(CodeAndPlace(R"({"handler":5})"), "bad_message /handler");
  EXPECT_EQ(CodeAndPlace(R"({"encoding":"hex"})"), "bad_message /encoding");
  EXPECT_EQ(CodeAndPlace(R"({"oneway":1})"), "bad_message /oneway");
  EXPECT_EQ(CodeAndPlace(R"({"tensors":{}})"), "bad_message /tensors");
  EXPECT_EQ(CodeAndPlace(R"({"tensors":[1]})"), "bad_message /tensors/0");
  EXPECT_EQ(CodeAndPlace(R"({"tensors":[{}]})"), "bad_message /tensors/0");
  EXPECT_EQ(CodeAndPlace(R"({"tensro":"AQ==","dtype":"u1","shape":[1]})"), "bad_message ");
  EXPECT_EQ(CodeAndPlace(R"({"tensor":"AQ==","shape":[1]})"), "bad_message ");
  EXPECT_EQ(CodeAndPlace(R"({"tensor":"AQ==","dtype":"u1"})"), "bad_message ");
  EXPECT_EQ(CodeAndPlace(R"({"tensor":[1],"dtype":"u1","shape":[1]})"), "bad_message /tensor");
  EXPECT_EQ(CodeAndPlace(R"({"tensor":"AQ==","image":"AQ==","dtype":"u1","shape":[1]})"), "bad_message /image");
  EXPECT_EQ(CodeAndPlace(R"({"tensor":"AQ==","dtype":"flaot32","shape":[1]})"), "bad_dtype /dtype");
  EXPECT_EQ(CodeAndPlace(R"({"tensor":"AQ==","dtype":"string","shape":[1]})"), "bad_dtype /dtype");
  EXPECT_EQ(CodeAndPlace(R"({"tensor":"AQ==","dtype":"u1","shape":[-1]})"), "bad_shape /shape/0");
  EXPECT_EQ(CodeAndPlace(R"({"tensor":"AQ==","dtype":"u1","shape":[0,1.5]})"), "bad_shape /shape/1");
  EXPECT_EQ(CodeAndPlace(R"({"tensor":"","dtype":"u1","shape":[0,9223372036854775808]})"), "bad_shape /shape/1");
  EXPECT_EQ(CodeAndPlace(R"({"tensor":"AQ==","dtype":"u1","shape":1})"), "bad_shape /shape");
  EXPECT_EQ(CodeAndPlace(R"({"tensor":"AQ==","dtype":"f8","shape":[4611686018427387904]})"), "bad_shape /shape");
  EXPECT_EQ(CodeAndPlace(R"({"tensor":"AQ=","dtype":"u1","shape":[1]})"), "bad_base64 /tensor");
  EXPECT_EQ(CodeAndPlace(R"({"tensor":"A-==","dtype":"u1","shape":[1]})"), "bad_base64 /tensor");
  EXPECT_EQ(CodeAndPlace(R"({"tensor":"AQ==","dtype":"u1","shape":[2]})"), "size_mismatch /tensor");
  EXPECT_EQ(CodeAndPlace(R"({"tensor":"Ag==","dtype":"bool","shape":[1]})"), "value_out_of_range /tensor");
  EXPECT_EQ(CodeAndPlace(R"({"image":"AQ=="})"), "bad_image /image");
  EXPECT_EQ(CodeAndPlace(R"({"image":"AQ==","pixel_format":"hsv"})"), "bad_message /pixel_format");
  EXPECT_EQ(CodeAndPlace(R"({"tensors":[{"name":"a","tensor":"AQ==","dtype":"u1","shape":[1]},)"
                         R"({"name":"a","tensor":"AQ==","dtype":"u1","shape":[1]}]})"),
            "bad_message /tensors/1/name");
}

TEST(Reader, ASizeMismatchNamesTheLikeliestMistake) {
  const auto text = Refusal(R"({"tensor":"AAAAAAAAAAAAAAAAAAAAAA==","dtype":"float32","shape":[2]})");
  EXPECT_NE(text.find("needs 8 bytes, got 16: float64 sent as float32?"), std::string::npos) << text;
}

TEST(Reader, LimitsHold) {
  Limits limits;
  limits.max_frame = 64;
  limits.max_depth = 4;
  limits.max_skeleton = 40;
  limits.max_tensors = 1;
  EXPECT_EQ(CodeAndPlace(R"({"a":[[[1]]]})", limits), "accepted");
  EXPECT_EQ(CodeAndPlace(R"({"a":[[[[1]]]]})", limits), "bad_json ");
  EXPECT_EQ(CodeAndPlace(R"({"aaaaaaaaaaaaaaaaaaaaaaaa":"aaaaaaaaaaaaaaaaaaaaa"})", limits), "bad_message ");
  EXPECT_EQ(CodeAndPlace("{" + std::string(80, ' ') + "}", limits), "frame_too_large ");
  EXPECT_EQ(CodeAndPlace(R"({"tensors":[{"data":1},{"data":1}]})", limits), "bad_message /tensors/1");
}

TEST(Reader, AFrameOfNoBytesIsFatal) {
  MessageReader reader(Dialect::framed, Limits{}, Pool());
  std::string_view wire("\0\0\0\0more", 8);
  EXPECT_EQ(reader.feed(wire), MessageReader::Status::fatal);
  const auto incoming = reader.take_request();
  EXPECT_TRUE(incoming.fatal);
  EXPECT_EQ(incoming.error->code, ErrorCode::bad_frame);
  EXPECT_EQ(reader.feed(wire), MessageReader::Status::fatal);
}

TEST(Reader, AnErrorLeavesTheNextFrameUnharmed) {
  MessageReader reader(Dialect::framed, Limits{}, Pool());
  const auto wire =
      framed(R"({"id":1,"tensor":"@@@@","dtype":"u1","shape":[3]})") + framed("{\"id\":2]") + framed(R"({"id":3})");
  std::string_view view = wire;
  ASSERT_EQ(reader.feed(view), MessageReader::Status::message);
  auto first = reader.take_request();
  EXPECT_EQ(first.error->code, ErrorCode::bad_base64);
  EXPECT_EQ(std::get<std::int64_t>(first.request.id), 1);
  ASSERT_EQ(reader.feed(view), MessageReader::Status::message);
  auto second = reader.take_request();
  EXPECT_EQ(second.error->code, ErrorCode::bad_json);
  EXPECT_FALSE(second.fatal);
  EXPECT_EQ(std::get<std::int64_t>(second.request.id), 2);
  ASSERT_EQ(reader.feed(view), MessageReader::Status::message);
  EXPECT_FALSE(reader.take_request().error);
  EXPECT_FALSE(reader.in_message());
}

TEST(Reader, RawObjectsComeBackToBack) {
  MessageReader reader(Dialect::raw_json, Limits{}, Pool());
  std::string_view view = "{\"id\":1}{\"id\":2}\n \t\r\n{\"id\":3,\"data\":[1,{}]}{\"id\":4}";
  for (std::int64_t id = 1; id <= 4; ++id) {
    ASSERT_EQ(reader.feed(view), MessageReader::Status::message);
    const auto incoming = reader.take_request();
    EXPECT_EQ(std::get<std::int64_t>(incoming.request.id), id);
    EXPECT_EQ(incoming.error.has_value(), id == 3);
    EXPECT_FALSE(incoming.fatal);
  }
  EXPECT_EQ(reader.feed(view), MessageReader::Status::need_more);
  EXPECT_FALSE(reader.in_message());
}

TEST(Reader, RawTextThatIsNoJsonEndsTheStream) {
  for (const char* text : {"{\"a\" 1}{\"id\":2}", "{]", "{}x", "{\"tensor\":\"\\q\"}", "{\"data\":[1 2]}"}) {
    MessageReader reader(Dialect::raw_json, Limits{}, Pool());
    std::string_view view = text;
    auto status = reader.feed(view);
    auto incoming = reader.take_request();
    if (!incoming.fatal) {
      ASSERT_EQ(reader.feed(view), MessageReader::Status::fatal) << text;
      incoming = reader.take_request();
    }
    EXPECT_NE(status, MessageReader::Status::need_more) << text;
    EXPECT_TRUE(incoming.fatal) << text;
    EXPECT_EQ(incoming.error->code, ErrorCode::bad_json) << text;
  }
}

TEST(Reader, ARawObjectLongerThanAFrameMayBeIsFatal) {
  Limits limits;
  limits.max_frame = 20;
  MessageReader reader(Dialect::raw_json, limits, Pool());
  std::string_view view = "{\"a\":\"0123456789012345678901234567890";
  EXPECT_EQ(reader.feed(view), MessageReader::Status::fatal);
  EXPECT_EQ(reader.take_request().error->code, ErrorCode::frame_too_large);
}

TEST(Reader, FirstBytesTellTheDialect) {
  for (int byte = 0; byte < 256; ++byte) {
    const auto c = static_cast<unsigned char>(byte);
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const auto expected = byte <= 0x40  ? Dialect::framed
                          : byte == '{' ? Dialect::raw_json
                          : letter      ? Dialect::http
                                        : Dialect::unknown;
    EXPECT_EQ(classify_first_byte(c), expected) << byte;
  }
}

TEST(Reader, APayloadIsNeverHeldAsText) {
  // 4 MiB of base64 pass through a reader whose skeleton may have 1 KiB.
  Limits limits;
  limits.max_skeleton = 1024;
  const auto json = R"({"tensor":")" + std::string(4U << 20, 'A') + R"(","dtype":"uint8","shape":[3145728]})";
  const auto incoming = read_in_pieces(framed(json), Dialect::framed, 65536, limits, Pool());
  ASSERT_FALSE(incoming.error) << incoming.error->message;
}

TEST(Reader, DataUrls) {
  EXPECT_EQ(CodeAndPlace(R"({"image":"data:image/png,AAAA"})"), "bad_base64 /image");
  EXPECT_EQ(CodeAndPlace(R"({"image":"data:image/webp;base64,AAAA"})"), "bad_image /image");
  EXPECT_EQ(CodeAndPlace(R"({"image":"data:"})"), "bad_base64 /image");
  EXPECT_EQ(CodeAndPlace(R"({"image":"data:image\/png;base64,iVBORw0K"})"), "bad_image /image");
}

TEST(Reader, RepliesAreRead) {
  MessageReader reader(Dialect::framed, Limits{}, Pool());
  const auto wire =
      framed(
          R"({"id":"a","status":"ok","tensors":[{"name":"y","dtype":"int8","shape":[1],"tensor":"/w=="}],"result":{"n":1}})") +
      framed(R"({"id":2,"status":"error","error":{"code":"bad_shape","message":"m","at":"/shape"}})");
  std::string_view view = wire;
  ASSERT_EQ(reader.feed(view), MessageReader::Status::message);
  auto first = reader.take_reply();
  ASSERT_FALSE(first.error) << first.error->message;
  EXPECT_EQ(first.reply.tensors[0].as<std::int8_t>().value()[0], -1);
  EXPECT_EQ(first.reply.result.dump(), R"({"n":1})");
  ASSERT_EQ(reader.feed(view), MessageReader::Status::message);
  auto second = reader.take_reply();
  ASSERT_TRUE(second.reply.error);
  EXPECT_EQ(second.reply.error->code, ErrorCode::bad_shape);
  EXPECT_EQ(second.reply.error->at, "/shape");
}

}  // namespace
}  // namespace tensorwire
