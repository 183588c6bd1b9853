// The one-pass reader: which messages it takes, that it reads them as the scanner does, and that it leaves all others.
#include "small_message.hpp"

#include <gtest/gtest.h>

#include "compare_requests.hpp"

namespace tensorwire {
namespace {

const auto& Pool() { return BufferPool::shared(); }

bool Takes(std::string_view json, const Limits& limits = {}) {
  SmallMessage message;
  return SmallMessageReader(limits, Pool()).read(json, message);
}

// Each is read whole (in one pass) and byte by byte (by the scanner).
void ExpectTakenAlike(std::string_view json) {
  EXPECT_TRUE(Takes(json)) << json;
  const auto wire = testing::framed(json);
  const auto whole = testing::read_in_pieces(wire, Dialect::framed, wire.size(), {}, Pool());
  const auto scanned = testing::read_in_pieces(wire, Dialect::framed, 1, {}, Pool());
  EXPECT_EQ(testing::difference(whole, scanned), "") << json;
  EXPECT_EQ(whole.request.wire_bytes, scanned.request.wire_bytes) << json;
  EXPECT_EQ(whole.request.auth, scanned.request.auth) << json;
  const auto reply = testing::read_reply_in_pieces(wire, wire.size(), {}, Pool());
  EXPECT_EQ(testing::difference(reply, testing::read_reply_in_pieces(wire, 1, {}, Pool())), "") << json;
}

TEST(SmallMessage, PlainOnesAreReadAsTheScannerReadsThem) {
  for (
      const char* const json : {
          R"({})",
          R"({"id":7,"handler":"echo","tensor":"AQID","dtype":"uint8","shape":[3]})",
          R"( { "id" : -7 , "tensors" : [ { "name" : "a" , "dtype" : "float32" , "shape" : [ 1 , 1 ] , "tensor" : "AACAPw==" } ] } )",
          R"({"id":"seven","tensors":[],"oneway":true,"encoding":"list","auth":"secret","params":{"axis":0}})",
          R"({"tensor":"AQA=","dtype":"bool","shape":[2],"name":"mask","encoding":"base64","oneway":false})",
          R"({"tensor":"AQ==","dtype":"uint8","shape":[]})",
          R"({"tensor":"","dtype":"float64","shape":[0,3]})",
          R"({"tensors":[{"dtype":"uint8","shape":[1],"tensor":"AQ=="},{"dtype":"uint8","shape":[1],"tensor":"Ag=="}]})",
          R"({"id":1,"status":"ok","result":{"nbytes":64,"warm":true,"cold":false,"text":"a b"}})",
          R"({"id":999999999999999999,"status":"ok","result":-5})",
          R"({"status":"ok","result":"text","params":{}})",
      }) {
    ExpectTakenAlike(json);
  }
}

TEST(SmallMessage, WhateverIsNotPlainIsLeftToTheScanner) {
  for (const char* const json : {
           "",
           "{",
           "[]",
           "7",
           R"({"id":1)",
           R"({"id":1}})",
           R"({"id":1}x)",
           R"({"id":1,})",
           R"({"id" 1})",
           R"({"id":1,"id":1})",
           R"({"params":{"a":1,"a":1}})",
           R"({"tensors":[],"tensors":[]})",
           R"({"unknown":1})",
           R"({"id":1.0})",
           R"({"id":1e3})",
           R"({"id":-0})",
           R"({"id":01})",
           R"({"id":null})",
           R"({"id":9999999999999999999})",
           R"({"id":tru})",
           R"({"oneway":1})",
           R"({"encoding":"hex"})",
           R"({"handler":"\u0065cho"})",
           "{\"handler\":\"\xC3\xA9\"}",
           "{\"handler\":\"a\nb\"}",
           R"({"params":[]})",
           R"({"params":{"a":[1]}})",
           R"({"params":{"a":{}}})",
           R"({"params":{"a":1.5}})",
           R"({"params":null})",
           R"({"status":"error"})",
           R"({"error":{}})",
           R"({"tensor":"AQID","dtype":"uint8"})",
           R"({"tensor":"AQID","shape":[3]})",
           R"({"dtype":"uint8","shape":[3]})",
           R"({"tensor":"AQID","dtype":"uint8","shape":[4]})",
           R"({"tensor":"AQID","dtype":"torch.uint8","shape":[3]})",
           R"({"tensor":"AQID","dtype":"uint8","shape":[-3]})",
           R"({"tensor":"AQID","dtype":"uint8","shape":[3.0]})",
           R"({"tensor":"AQI","dtype":"uint8","shape":[2]})",
           R"({"tensor":"AQ-D","dtype":"uint8","shape":[3]})",
           R"({"tensor":"AQ=D","dtype":"uint8","shape":[3]})",
           R"({"tensor":"AQ\/D","dtype":"uint8","shape":[3]})",
           R"({"tensor":"AgM=","dtype":"bool","shape":[2]})",
           R"({"tensor":"AQID","dtype":"string","shape":[3]})",
           R"({"data":[1,2,3],"dtype":"uint8","shape":[3]})",
           R"({"tensor":"AQID","dtype":"uint8","shape":[3],"tensors":[]})",
           R"({"name":"a"})",
           R"({"tensors":[{"name":"a","dtype":"uint8","shape":[1],"tensor":"AQ=="},)"
           R"({"name":"a","dtype":"uint8","shape":[1],"tensor":"AQ=="}]})",
       }) {
    EXPECT_FALSE(Takes(json)) << json;
  }
  EXPECT_FALSE(Takes(std::string_view("{\"id\":1\0}", 9)));
}

TEST(SmallMessage, LimitsThatASmallMessageCanReachAreTheScanners) {
  constexpr const char* kTwo =
      R"({"tensors":[{"dtype":"uint8","shape":[1],"tensor":"AQ=="},{"dtype":"uint8","shape":[1],"tensor":"Ag=="}]})";
  EXPECT_TRUE(Takes(kTwo));
  EXPECT_FALSE(Takes(kTwo, {.max_tensors = 1}));
  EXPECT_FALSE(Takes(kTwo, {.max_skeleton = 100}));
  EXPECT_FALSE(Takes(kTwo, {.max_depth = 3}));
}

TEST(SmallMessage, WithoutMemoryForItsBytesItIsLeftToTheScanner) {
  const auto pool = std::make_shared<BufferPool>(BufferPool::Options{}, std::make_shared<MemoryBudget>(2));
  SmallMessage message;
  EXPECT_FALSE(SmallMessageReader({}, pool).read(R"({"tensor":"AQID","dtype":"uint8","shape":[3]})", message));
}

}  // namespace
}  // namespace tensorwire
