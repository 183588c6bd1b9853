// Reads a message's JSON through RapidJSON's SAX events into its parts; iterative, strict, with no tree of values.
#pragma once

#include <rapidjson/reader.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "parts.hpp"
#include "scan.hpp"

namespace tensorwire {

// The SAX handler. In skeleton mode payloads are recognised by their placeholders' places; without a Scanned
// (whole-message mode, for the oracle) it decodes each payload from the event or the text itself.
class SkeletonHandler {
 public:
  // A value that is no array and no object (or, as `container`, that it is one of the two).
  struct Scalar {
    enum class Kind : std::uint8_t { null, boolean, integer, unsigned_integer, number, string, container };
    Kind kind = Kind::null;
    bool boolean = false;
    std::int64_t integer = 0;
    std::uint64_t unsigned_integer = 0;  // only what exceeds int64
    double number = 0;
    std::string_view string = {};
  };

  // Keeps its memory from one message to the next; parts and limits must outlive it.
  SkeletonHandler(MessageParts& parts, const Limits& limits) : parts_(parts), limits_(limits) {}

  // cursor points to the stream's read position, which during a callback is the first character of its token.
  void begin(std::vector<Payload>& payloads, const char* const* cursor, const char* head);
  // Whole-message mode: payloads are made by this pool.
  void decode_inline(std::shared_ptr<BufferPool> pool, std::string_view text) {
    pool_ = std::move(pool);
    text_ = text;
  }
  // What makes the text no JSON although RapidJSON took it.
  [[nodiscard]] const char* json_fault() const noexcept { return json_fault_; }

  bool Null() { return value({.kind = Scalar::Kind::null}); }
  bool Bool(bool b) { return value({.kind = Scalar::Kind::boolean, .boolean = b}); }
  // Numbers come as text (kParseNumbersAsStringsFlag); these have to be there, but are not called.
  bool Int(int) { return false; }
  bool Uint(unsigned) { return false; }
  bool Int64(std::int64_t) { return false; }
  bool Uint64(std::uint64_t) { return false; }
  bool Double(double d);
  bool RawNumber(const char* text, rapidjson::SizeType length, bool);
  bool String(const char* text, rapidjson::SizeType length, bool);
  bool Key(const char* text, rapidjson::SizeType length, bool);
  bool StartObject();
  bool EndObject(rapidjson::SizeType);
  bool StartArray();
  bool EndArray(rapidjson::SizeType);

 private:
  enum class Place : std::uint8_t { root, tensors, tensor, wrapper, shape, json, list, ignored };
  enum class Name : std::uint8_t {
    unknown,
    id,
    handler,
    tensors,
    params,
    encoding,
    oneway,
    auth,
    status,
    result,
    error,
    name,
    tensor,
    image,
    data,
    dtype,
    shape,
    format,
    pixel_format,
    exif_orientation,
    allow_damaged,
    scale,
    b64,
  };
  struct Level {
    Place place;
    bool object;
    std::uint32_t index = 0;      // of the array's current element
    Name member = Name::unknown;  // of the object's current member
    std::string_view key = {};
    std::size_t first_key = 0;  // of this object's keys in keys_
    std::unique_ptr<std::unordered_set<std::string_view>> many_keys =
        nullptr;  // once there are too many to compare one by one
  };

  static Name name_of(std::string_view key) noexcept;
  bool value(const Scalar& scalar);
  [[nodiscard]] static Json to_json(const Scalar& scalar);
  void root_member(Name member, const Scalar& scalar);
  void tensor_member(TensorParts& tensor, Name member, const Scalar& scalar);
  void image_member(TensorParts& tensor, Name member, const Scalar& scalar);
  void shape_element(const Scalar& scalar);
  void json_value(Json json);
  bool start(bool object);
  bool end();
  [[nodiscard]] Place place_of_container(bool object);
  [[nodiscard]] Place start_tensor(bool object);
  [[nodiscard]] Place start_root_member(Name member, bool object);
  [[nodiscard]] Place start_tensor_member(TensorParts& tensor, Name member, bool object);
  void take_payload(TensorParts& tensor, TensorParts::Form form, const Scalar& scalar);
  void finish_inline_list();
  void note_payload(TensorParts& tensor, TensorParts::Form form, std::size_t payload);
  [[nodiscard]] bool at_placeholder() const noexcept;
  [[nodiscard]] bool in_data() const noexcept;
  [[nodiscard]] bool first_of_its_name(std::string_view key);
  [[nodiscard]] TensorParts& current_tensor() noexcept;
  [[nodiscard]] std::size_t offset() const noexcept { return static_cast<std::size_t>(*cursor_ - head_); }
  void wrong_type(const char* wanted);
  void fault(ErrorCode code, std::string message);
  [[nodiscard]] std::string pointer() const;
  [[nodiscard]] bool sound_text(std::string_view text) noexcept;
  void next_element() {
    if (!levels_.empty() && !levels_.back().object) ++levels_.back().index;
  }

  MessageParts& parts_;
  std::vector<Payload>* payloads_ = nullptr;
  const Limits& limits_;
  const char* const* cursor_ = nullptr;
  const char* head_ = nullptr;
  std::shared_ptr<BufferPool> pool_;  // set in whole-message mode
  std::string_view text_;             // likewise
  std::size_t list_begin_ = 0;        // likewise: where the current `data` list begins
  const char* json_fault_ = nullptr;
  std::vector<Level> levels_;
  std::vector<std::string_view> keys_;
  std::vector<Json> building_;  // the open containers of params, result or error
  std::size_t next_payload_ = 0;
  std::size_t depth_ = 0;  // open levels, those of `data` lists (which have a limit of their own) left out
};

// The sentence for what RapidJSON stopped at, with the likeliest cause.
[[nodiscard]] std::string describe_json_error(const rapidjson::ParseResult& result, std::string_view text);

}  // namespace tensorwire
