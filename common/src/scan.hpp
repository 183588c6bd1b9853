// The scanner: passes once over a message's text, diverts payloads into their final buffers and keeps the small rest.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "list.hpp"
#include "payload_text.hpp"
#include "tensorwire/buffer.hpp"
#include "tensorwire/error.hpp"
#include "tensorwire/limits.hpp"

namespace tensorwire {

// What was diverted at one place of the text.
struct Payload {
  enum class Kind : std::uint8_t { text, list };
  Kind kind = Kind::text;
  // Where its placeholder begins in the skeleton: `""` for a text; `[`, any objects in it, `]` for a list (tokens that
  // end by themselves, so that what follows cannot merge with them).
  std::size_t skeleton_at = 0;
  std::optional<PayloadText> text;
  std::optional<ListReader> list;
  std::optional<DType> list_dtype;      // what the list was read as, when its dtype stood before it
  std::optional<Result<Buffer>> ready;  // the bytes, where they were decoded by other means than text
};

// A message after scanning: its JSON with placeholders where the payloads were.
struct Scanned {
  std::string skeleton;
  std::vector<Payload> payloads;
  // Why the text cannot be JSON or exceeds a limit. It outranks whatever the skeleton says.
  std::optional<Error> error;
  std::uint64_t wire_bytes = 0;

  void clear();
};

// Follows strings, nesting and member names; everything else about the skeleton's syntax is left to the JSON parser
// that reads it afterwards. Payloads are followed strictly, since nobody reads them again.
//
// Diverted are, in the request's own object and in the objects of its `tensors`: the strings of `tensor`, `image` and
// of a {"b64": …} there, and whatever stands in `data` (but null or an object).
class Scanner {
 public:
  Scanner(const Limits& limits, std::shared_ptr<BufferPool> pool);

  // Forgets the current message.
  void reset();

  enum class Status : std::uint8_t {
    more,    // all consumed
    done,    // the message's object has ended (what follows is not consumed)
    broken,  // no JSON; message().error says why, and nothing more can be fed
  };
  // Consumes a prefix of text. `expected` bounds what the message may still come to, text included (0: unknown).
  // With `to_end`, text behind the object is taken along (the frame says where the message ends); `done` is not given
  // then.
  Status feed(std::string_view& text, std::uint64_t expected, bool to_end);

  [[nodiscard]] Scanned& message() noexcept { return message_; }

 private:
  enum class Role : std::uint8_t { other, root, tensors, tensor, wrapper, list_object };
  enum class Key : std::uint8_t { other, tensor, image, data, tensors, dtype, b64 };
  enum class Lex : std::uint8_t { plain, string, string_escape, text, list, trailing, broken };
  struct Level {
    Role role;
    bool object;
  };
  // The raw characters of a member's name or of a dtype, as far as they matter.
  struct Capture {
    std::array<char, 64> chars;
    std::uint8_t size = 0;
    bool active = false;
    bool too_long = false;
    void begin() noexcept;
    void add(std::string_view piece) noexcept;
    // The text with its escapes resolved; empty when it is too long to matter.
    [[nodiscard]] std::string_view text(std::array<char, 64>& scratch) const noexcept;
  };

  void feed_plain(std::string_view& text);
  void feed_string(std::string_view& text);
  void feed_text(std::string_view& text);
  void feed_list(std::string_view& text);
  void feed_trailing(std::string_view& text);
  [[nodiscard]] bool on_structural(char c);
  void open(bool object);
  void close(bool object);
  void begin_string();
  void end_string();
  void begin_text(bool image);
  void begin_list();
  [[nodiscard]] bool takes_tensors() const noexcept;
  [[nodiscard]] bool diverts_text() const noexcept;
  [[nodiscard]] bool room_for_payload(bool list);
  [[nodiscard]] bool hold(std::size_t bytes);
  void keep(std::string_view piece);
  void fail(ErrorCode code, std::string message);
  void too_deep();
  void break_json(std::string message);

  Limits limits_;
  std::shared_ptr<BufferPool> pool_;
  MemoryCharge charge_;            // for the skeleton and the payloads' own objects
  std::size_t payload_bytes_ = 0;  // what the latter come to
  Scanned message_;
  std::vector<Level> levels_;
  std::size_t excess_depth_ = 0;  // levels beyond limits_.max_depth, which are only counted
  std::uint64_t expected_ = 0;
  Lex lex_ = Lex::plain;
  Key key_ = Key::other;
  bool expect_key_ = false;
  bool value_pending_ = false;
  bool in_key_ = false;
  bool wraps_image_ = false;  // the innermost wrapper stands at `image`
  Capture capture_;
  std::optional<DType> dtype_;  // of the tensor object that is being read, when it stood before
};

}  // namespace tensorwire
