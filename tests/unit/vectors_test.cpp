// Reads every golden vector cut into pieces of every size, and writes what they mean: the bytes and meanings that all
// languages share.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "tensorwire/reader.hpp"
#include "tensorwire/writer.hpp"

namespace {

using namespace tensorwire;

// What a peer's bytes came to: each message's meaning, and how the stream ended.
struct Outcome {
  std::vector<Json> messages;
  std::string ends = "whole";
};

struct Vector {
  std::string file;
  std::string data;
  Dialect dialect = Dialect::framed;
  bool replies = false;
  bool written = false;
  Outcome outcome;
};

std::string read_file(const std::string& name) {
  std::ifstream file(std::string(TENSORD_VECTORS_DIR) + "/" + name, std::ios::binary);
  EXPECT_TRUE(file) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string text_of(const Json& json, std::string_view name) {
  const auto* member = json.find(name);
  return std::string(member != nullptr ? member->as_string().value_or("") : "");
}

bool has(const Json& json, std::string_view name) { return json.find(name) != nullptr; }

Vector load(const Json& entry) {
  Vector vector;
  vector.file = text_of(entry, "file");
  vector.data = read_file(vector.file);
  vector.dialect = text_of(entry, "dialect") == "framed" ? Dialect::framed : Dialect::raw_json;
  vector.replies = text_of(entry, "kind") == "replies";
  vector.written = has(entry, "written");
  vector.outcome.messages = *entry.find("messages")->as_array();
  vector.outcome.ends = text_of(entry, "ends");
  return vector;
}

const std::vector<Vector>& all_vectors() {
  static const auto vectors = [] {
    std::vector<Vector> loaded;
    const auto index = Json::parse(read_file("index.json"));
    for (const auto& entry : *index.value().as_array()) loaded.push_back(load(entry));
    return loaded;
  }();
  return vectors;
}

std::string hex(std::span<const std::byte> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const auto byte : bytes) {
    text.push_back(digits[std::to_integer<std::size_t>(byte) >> 4]);
    text.push_back(digits[std::to_integer<std::size_t>(byte) & 15]);
  }
  return text;
}

std::vector<std::byte> unhex(std::string_view text) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

// Meanings in the vocabulary of index.json.

Json meaning_of(const Error& error, bool with_message = false) {
  auto json = Json::object({{"code", to_string(error.code)}});
  if (with_message) json.set("message", error.message);
  return json.set("at", error.at);
}

Json shape_json(const Shape& shape) {
  auto dims = Json::array();
  for (const auto dim : shape.dims()) dims.push(dim);
  return dims;
}

Json meaning_of(const Item& item) {
  const auto& tensor = *item.tensor().value();
  auto json =
      Json::object({{"name", item.name}, {"dtype", to_string(tensor.dtype())}, {"shape", shape_json(tensor.shape())}});
  if (tensor.dtype() == DType::string) {
    const auto held = tensor.strings().value();
    auto strings = Json::array();
    for (const auto& string : held) strings.push(string);
    json.set("strings", strings);
  } else {
    json.set("hex", hex(tensor.bytes()));
  }
  if (const auto* image = item.image()) {
    json.set("format", to_string(image->info().format));
    json.set("width", image->info().width);
    json.set("height", image->info().height);
    json.set("file", hex(image->file()));
  }
  return json;
}

void set_id(Json& json, const RequestId& id) {
  if (const auto* number = std::get_if<std::int64_t>(&id)) json.set("id", *number);
  if (const auto* large = std::get_if<std::uint64_t>(&id)) json.set("id", *large);
  if (const auto* text = std::get_if<std::string>(&id)) json.set("id", *text);
}

Json tensors_json(const std::vector<Item>& items) {
  auto tensors = Json::array();
  for (const auto& item : items) tensors.push(meaning_of(item));
  return tensors;
}

Json meaning_of(const IncomingRequest& incoming) {
  if (incoming.error) return Json::object({{"error", meaning_of(*incoming.error)}});
  const auto& request = incoming.request;
  auto json = Json::object();
  set_id(json, request.id);
  if (!request.handler.empty()) json.set("handler", request.handler);
  if (!request.params.is_null()) json.set("params", request.params);
  if (request.encoding == TensorEncoding::list) json.set("encoding", "list");
  if (request.oneway) json.set("oneway", true);
  if (!request.auth.empty()) json.set("auth", request.auth);
  return json.set("tensors", tensors_json(request.tensors));
}

Json meaning_of(const IncomingReply& incoming) {
  if (incoming.error) return Json::object({{"error", meaning_of(*incoming.error)}});
  auto json = Json::object();
  set_id(json, incoming.reply.id);
  if (incoming.reply.error) return json.set("reply_error", meaning_of(*incoming.reply.error, true));
  json.set("tensors", tensors_json(incoming.reply.tensors));
  if (!incoming.reply.result.is_null()) json.set("result", incoming.reply.result);
  return json;
}

// Members may stand in any order, so compare them sorted.
std::string sorted(const Json& json) {
  if (const auto* members = json.as_object()) {
    std::vector<std::string> texts;
    for (const auto& [name, value] : *members) texts.push_back(Json(name).dump() + ":" + sorted(value));
    std::sort(texts.begin(), texts.end());
    std::string out = "{";
    for (const auto& text : texts) out += text + ",";
    return out + "}";
  }
  if (const auto* items = json.as_array()) {
    std::string out = "[";
    for (const auto& item : *items) out += sorted(item) + ",";
    return out + "]";
  }
  return json.dump();
}

std::string to_text(const Outcome& outcome) {
  std::string out;
  for (const auto& message : outcome.messages) out += sorted(message) + "\n";
  return out + outcome.ends;
}

class Feeder {
 public:
  explicit Feeder(const Vector& vector)
      : replies_(vector.replies), reader_(vector.dialect, Limits{}, BufferPool::shared()) {}

  // Copies the piece into a block of its own, so that a sanitizer sees whoever reads beyond it.
  void feed(std::string_view piece) {
    const std::vector<char> block(piece.begin(), piece.end());
    std::string_view rest(block.data(), block.size());
    while (outcome_.ends != "fatal") {
      if (reader_.feed(rest) == MessageReader::Status::need_more) return;
      const bool fatal = replies_ ? take(reader_.take_reply()) : take(reader_.take_request());
      if (fatal) outcome_.ends = "fatal";
    }
  }

  Outcome finish() {
    if (outcome_.ends == "whole" && reader_.in_message()) outcome_.ends = "truncated";
    return std::move(outcome_);
  }

 private:
  template <class Incoming>
  bool take(const Incoming& incoming) {
    outcome_.messages.push_back(meaning_of(incoming));
    return incoming.fatal;
  }

  bool replies_;
  MessageReader reader_;
  Outcome outcome_;
};

std::string read_in_pieces(const Vector& vector, std::string_view data, std::size_t size) {
  Feeder feeder(vector);
  for (std::size_t at = 0; at < data.size(); at += size) feeder.feed(data.substr(at, size));
  return to_text(feeder.finish());
}

std::string read_cut_at(const Vector& vector, std::string_view data, std::size_t cut) {
  Feeder feeder(vector);
  feeder.feed(data.substr(0, cut));
  feeder.feed(data.substr(cut));
  return to_text(feeder.finish());
}

// The frames of a stream that consists of whole ones; of any other the stream itself.
std::vector<std::string_view> units(const Vector& vector) {
  std::string_view rest = vector.data;
  if (vector.dialect != Dialect::framed || vector.outcome.ends != "whole") return {rest};
  std::vector<std::string_view> frames;
  while (!rest.empty()) {
    std::size_t length = 4;
    for (std::size_t i = 0; i < 4; ++i) length += std::size_t{static_cast<unsigned char>(rest[i])} << (24 - 8 * i);
    frames.push_back(rest.substr(0, length));
    rest.remove_prefix(length);
  }
  return frames;
}

TEST(Vectors, MeanWhatTheIndexSays) {
  ASSERT_GT(all_vectors().size(), 25U);
  for (const auto& vector : all_vectors()) {
    EXPECT_EQ(read_in_pieces(vector, vector.data, vector.data.size()), to_text(vector.outcome)) << vector.file;
  }
}

TEST(Vectors, MeanTheSameInPiecesOfEverySize) {
  for (const auto& vector : all_vectors()) {
    for (const auto unit : units(vector)) {
      const auto whole = read_in_pieces(vector, unit, unit.size());
      for (std::size_t size = 1; size <= unit.size(); ++size) {
        ASSERT_EQ(read_in_pieces(vector, unit, size), whole) << vector.file << " in pieces of " << size;
        ASSERT_EQ(read_cut_at(vector, unit, size), whole) << vector.file << " cut at " << size;
      }
    }
  }
}

TEST(Vectors, StreamsMeanTheSameInSmallPieces) {
  for (const auto& vector : all_vectors()) {
    for (const std::size_t size : {1U, 2U, 3U, 4U, 5U, 7U, 13U, 31U, 64U, 65U, 127U, 256U, 1021U}) {
      ASSERT_EQ(read_in_pieces(vector, vector.data, size), to_text(vector.outcome)) << vector.file << " by " << size;
    }
  }
}

TEST(Vectors, WholeMessageOracleAgrees) {
  for (const auto& vector : all_vectors()) {
    if (vector.dialect != Dialect::framed || vector.replies || vector.outcome.ends != "whole") continue;
    std::size_t index = 0;
    for (const auto unit : units(vector)) {
      const auto incoming = decode_request_oracle(unit.substr(4), Limits{}, BufferPool::shared());
      EXPECT_EQ(sorted(meaning_of(incoming)), sorted(vector.outcome.messages.at(index))) << vector.file << " " << index;
      ++index;
    }
  }
}

// A meaning as a writer takes it, with what the views in it refer to.
struct Outgoing {
  OutgoingRequest request;
  std::vector<std::vector<std::byte>> bytes;
  std::vector<std::vector<std::string>> strings;
};

RequestId id_of(const Json& meaning) {
  const auto* id = meaning.find("id");
  if (id == nullptr) return {};
  if (const auto text = id->as_string()) return std::string(*text);
  if (const auto number = id->as_int()) return *number;
  return id->as_uint().value();
}

Shape shape_of(const Json& tensor) {
  std::vector<std::int64_t> dims;
  for (const auto& dim : *tensor.find("shape")->as_array()) dims.push_back(dim.as_int().value());
  return Shape::from(dims).value();
}

OutgoingItem item_of(const Json& tensor, Outgoing& owner) {
  OutgoingItem item;
  item.name = tensor.find("name")->as_string().value();
  if (has(tensor, "file")) {
    item.image = true;
    item.file = owner.bytes.emplace_back(unhex(text_of(tensor, "file")));
  } else if (const auto* strings = tensor.find("strings")) {
    auto& held = owner.strings.emplace_back();
    for (const auto& string : *strings->as_array()) held.emplace_back(string.as_string().value());
    item.view = TensorView(shape_of(tensor), held);
  } else {
    const auto dtype = parse_dtype(text_of(tensor, "dtype")).value().dtype;
    item.view = TensorView(dtype, shape_of(tensor), owner.bytes.emplace_back(unhex(text_of(tensor, "hex"))));
  }
  return item;
}

Outgoing outgoing_of(const Json& meaning) {
  Outgoing outgoing;
  const auto& tensors = *meaning.find("tensors")->as_array();
  outgoing.bytes.reserve(tensors.size());
  outgoing.strings.reserve(tensors.size());
  auto& request = outgoing.request;
  request.id = id_of(meaning);
  if (has(meaning, "handler")) request.handler = meaning.find("handler")->as_string().value();
  if (has(meaning, "params")) request.params = *meaning.find("params");
  if (has(meaning, "auth")) request.auth = meaning.find("auth")->as_string().value();
  request.encoding = has(meaning, "encoding") ? TensorEncoding::list : TensorEncoding::base64;
  request.oneway = has(meaning, "oneway");
  for (const auto& tensor : tensors) request.tensors.push_back(item_of(tensor, outgoing));
  return outgoing;
}

std::string write(MessageWriter writer, std::size_t piece) {
  std::string out;
  std::vector<char> block(piece);
  const auto total = writer.total_bytes();
  while (const auto count = writer.read(block)) out.append(block.data(), count);
  EXPECT_EQ(out.size(), total);
  EXPECT_EQ(writer.remaining_bytes(), 0U);
  return out;
}

TEST(Vectors, AreWrittenByteForByte) {
  for (const auto& vector : all_vectors()) {
    if (!vector.written) continue;
    for (const std::size_t piece : {64U, 65U, 100U, 4096U}) {
      std::string data;
      for (const auto& meaning : vector.outcome.messages) {
        const auto outgoing = outgoing_of(meaning);
        data += write(MessageWriter::request(outgoing.request, vector.dialect).value(), piece);
      }
      EXPECT_EQ(data, vector.data) << vector.file;
    }
  }
}

// The meaning of an image whose options (bgr8, ...) its meaning does not name cannot be written back.
bool can_be_written(const Vector& vector) {
  return !vector.replies && vector.file != "messages/images.bin" &&
         std::none_of(vector.outcome.messages.begin(), vector.outcome.messages.end(),
                      [](const Json& meaning) { return has(meaning, "error"); });
}

std::string written_as(const Vector& vector, TensorEncoding payload) {
  std::string data;
  for (const auto& meaning : vector.outcome.messages) {
    auto outgoing = outgoing_of(meaning);
    outgoing.request.payload = payload;
    data += write(MessageWriter::request(outgoing.request, vector.dialect).value(), 64);
  }
  return data;
}

TEST(Vectors, RequestsWrittenFromTheirMeaningAreReadBack) {
  for (const auto& vector : all_vectors()) {
    if (!can_be_written(vector)) continue;
    const auto expected = to_text(Outcome{vector.outcome.messages, "whole"});
    EXPECT_EQ(read_in_pieces(vector, written_as(vector, TensorEncoding::base64), 61), expected) << vector.file;
    // A list keeps that a value is NaN, but not the bits of that NaN.
    if (vector.file == "messages/dtypes.bin" || vector.file == "messages/aliases.bin") continue;
    EXPECT_EQ(read_in_pieces(vector, written_as(vector, TensorEncoding::list), 61), expected) << vector.file;
  }
}

Reply reply_of(const Json& meaning) {
  Reply reply;
  reply.id = id_of(meaning);
  if (const auto* error = meaning.find("reply_error")) {
    reply.error =
        Error{parse_error_code(text_of(*error, "code")).value(), text_of(*error, "message"), text_of(*error, "at")};
    return reply;
  }
  Outgoing owner;
  const auto& tensors = *meaning.find("tensors")->as_array();
  owner.bytes.reserve(tensors.size());
  for (const auto& tensor : tensors) {
    const auto item = item_of(tensor, owner);
    reply.tensors.emplace_back(std::string(item.name), Tensor::copy_of(item.view).value());
  }
  if (has(meaning, "result")) reply.result = *meaning.find("result");
  return reply;
}

TEST(Vectors, RepliesWrittenFromTheirMeaningAreReadBack) {
  for (const auto& vector : all_vectors()) {
    if (!vector.replies) continue;
    for (const auto encoding : {TensorEncoding::base64, TensorEncoding::list}) {
      std::string data;
      for (const auto& meaning : vector.outcome.messages) {
        data += write(MessageWriter::reply(reply_of(meaning), encoding, vector.dialect).value(), 64);
      }
      EXPECT_EQ(read_in_pieces(vector, data, 61), to_text(vector.outcome)) << vector.file;
    }
  }
}

}  // namespace
