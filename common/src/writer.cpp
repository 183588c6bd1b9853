// Renders a message as a list of segments and gives them out piece by piece, encoding base64 on the way.
#include "tensorwire/writer.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <utility>

#include "list.hpp"
#include "tensorwire/base64.hpp"

namespace tensorwire {
namespace {

// Payloads up to this size are encoded into the text at once; a segment of their own would cost more.
constexpr std::size_t kInlinePayload = 384;

bool is_plain(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; });
}

void append_string(std::string& out, std::string_view text) {
  if (!is_plain(text)) return Json(text).dump_to(out);
  out.push_back('"');
  out.append(text);
  out.push_back('"');
}

template <class Integer>
void append_integer(std::string& out, Integer value) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out.append(digits, end);
}

}  // namespace

struct MessageWriter::Impl {
  // A stretch of the message: of text, of bytes to be sent as base64, or of bytes to be sent as they are.
  struct Segment {
    enum class Kind : std::uint8_t { text, base64, raw };
    Kind kind;
    std::size_t size;                  // bytes of the source
    const std::byte* bytes = nullptr;  // unless it is text
    [[nodiscard]] std::size_t wire_size() const noexcept { return kind == Kind::base64 ? encoded_size(size) : size; }
  };

  Dialect dialect = Dialect::framed;
  std::string text;
  std::size_t base = 0;              // where this message begins in it
  std::size_t text_in_segments = 0;  // text before this belongs to a segment already
  std::vector<Segment> segments;     // none: the message is its text
  std::vector<Buffer> lists;
  Reply reply;  // owns what the segments of a reply refer to
  std::uint64_t total = 0;
  std::uint64_t given = 0;
  std::size_t segment = 0;    // being read
  std::size_t at = 0;         // of its source
  std::size_t text_read = 0;  // of text

  void begin(Dialect which) {
    dialect = which;
    base = text.size();
    text.reserve(base + 256);
    if (dialect == Dialect::framed) text.append(4, '\0');
    text.push_back('{');
  }
  Result<void> end();
  void end_text();
  void payload(Segment::Kind kind, std::span<const std::byte> bytes);
  void inline_payload(std::span<const std::byte> bytes);

  void member(std::string_view name);
  void id(const RequestId& id);
  void string_member(std::string_view name, std::string_view value);
  void json_member(std::string_view name, const Json& json);
  void shape(const Shape& shape);
  Result<void> tensor_members(const TensorView& view, TensorEncoding encoding, BufferPool& pool);
  void image_members(std::span<const std::byte> file, const ImageOptions& options);
  Result<void> request_tensors(const OutgoingRequest& request);
  Result<void> request_item(const OutgoingItem& item, TensorEncoding encoding);
  Result<void> reply_members(const Reply& from, TensorEncoding encoding, BufferPool& pool);
  Result<void> reply_tensors(const Reply& from, TensorEncoding encoding, BufferPool& pool);
  void reply_error(const Error& error);

  std::size_t read_text(std::span<char> out) noexcept;
  std::size_t read_segment(std::span<char> out) noexcept;
  std::size_t read_base64(const Segment& source, std::span<char> out) noexcept;
};

void MessageWriter::Impl::end_text() {
  if (text.size() == text_in_segments) return;
  segments.push_back({Segment::Kind::text, text.size() - text_in_segments, nullptr});
  text_in_segments = text.size();
}

void MessageWriter::Impl::payload(Segment::Kind kind, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  if (kind == Segment::Kind::base64 && bytes.size() <= kInlinePayload) return inline_payload(bytes);
  end_text();
  segments.push_back({kind, bytes.size(), bytes.data()});
}

void MessageWriter::Impl::inline_payload(std::span<const std::byte> bytes) {
  std::array<char, encoded_size(kInlinePayload)> characters;
  Base64Encoder encoder;
  auto written = encoder.feed(bytes, characters.data());
  written += encoder.finish(characters.data() + written);
  text.append(characters.data(), written);
}

Result<void> MessageWriter::Impl::end() {
  text.push_back('}');
  if (dialect != Dialect::framed) text.push_back('\n');
  if (!segments.empty()) end_text();
  total = segments.empty() ? text.size() - base : 0;
  for (const auto& each : segments) total += each.wire_size();
  if (dialect != Dialect::framed) return {};
  const auto length = total - 4;
  if (length > kHardMaxFrame) {
    return Error{ErrorCode::frame_too_large,
                 "the message would be " + std::to_string(length) + " bytes long, a frame is at most " +
                     std::to_string(kHardMaxFrame),
                 ""};
  }
  for (std::size_t i = 0; i < 4; ++i) text[base + i] = static_cast<char>(length >> (24 - 8 * i) & 0xFF);
  return {};
}

// Begins a member: a comma where one is due, its name and the colon.
void MessageWriter::Impl::member(std::string_view name) {
  if (text.back() != '{') text.push_back(',');
  text.push_back('"');
  text.append(name);
  text.append("\":");
}

void MessageWriter::Impl::id(const RequestId& id) {
  if (std::holds_alternative<std::monostate>(id)) return;
  member("id");
  if (const auto* string = std::get_if<std::string>(&id)) append_string(text, *string);
  if (const auto* integer = std::get_if<std::int64_t>(&id)) append_integer(text, *integer);
  if (const auto* natural = std::get_if<std::uint64_t>(&id)) append_integer(text, *natural);
}

void MessageWriter::Impl::string_member(std::string_view name, std::string_view value) {
  member(name);
  append_string(text, value);
}

void MessageWriter::Impl::json_member(std::string_view name, const Json& json) {
  member(name);
  json.dump_to(text);
}

void MessageWriter::Impl::shape(const Shape& shape) {
  member("shape");
  text.push_back('[');
  for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
    if (axis != 0) text.push_back(',');
    append_integer(text, shape[axis]);
  }
  text.push_back(']');
}

Result<void> MessageWriter::Impl::tensor_members(const TensorView& view, TensorEncoding encoding, BufferPool& pool) {
  string_member("dtype", to_string(view.dtype()));
  shape(view.shape());
  if (encoding == TensorEncoding::base64 && view.dtype() != DType::string) {
    member("tensor");
    text.push_back('"');
    payload(Segment::Kind::base64, view.bytes());
    text.push_back('"');
    return {};
  }
  auto list = pool.empty_buffer();
  auto rendered = append_list(list, view);
  if (!rendered.ok()) return rendered;
  member("data");
  lists.push_back(std::move(list));
  payload(Segment::Kind::raw, lists.back().bytes());
  return {};
}

void MessageWriter::Impl::image_members(std::span<const std::byte> file, const ImageOptions& options) {
  const ImageOptions usual;
  if (options.pixel_format != usual.pixel_format) string_member("pixel_format", to_string(options.pixel_format));
  if (options.exif_orientation) json_member("exif_orientation", true);
  if (options.allow_damaged) json_member("allow_damaged", true);
  if (options.scale != usual.scale) json_member("scale", options.scale);
  member("image");
  text.push_back('"');
  payload(Segment::Kind::base64, file);
  text.push_back('"');
}

Result<void> MessageWriter::Impl::request_item(const OutgoingItem& item, TensorEncoding encoding) {
  if (!item.name.empty()) string_member("name", item.name);
  if (!item.image) return tensor_members(item.view, encoding, *BufferPool::shared());
  image_members(item.file, item.image_options);
  return {};
}

Result<void> MessageWriter::Impl::request_tensors(const OutgoingRequest& request) {
  if (request.tensors.empty()) return {};
  if (request.tensors.size() == 1 && request.tensors[0].name.empty())
    return request_item(request.tensors[0], request.payload);
  member("tensors");
  text.push_back('[');
  for (const auto& item : request.tensors) {
    if (&item != request.tensors.data()) text.push_back(',');
    text.push_back('{');
    auto written = request_item(item, request.payload);
    if (!written.ok()) return written;
    text.push_back('}');
  }
  text.push_back(']');
  return {};
}

Result<void> MessageWriter::Impl::reply_tensors(const Reply& from, TensorEncoding encoding, BufferPool& pool) {
  if (from.tensors.empty()) return {};
  member("tensors");
  text.push_back('[');
  for (const auto& item : from.tensors) {
    if (&item != from.tensors.data()) text.push_back(',');
    text.push_back('{');
    if (!item.name.empty()) string_member("name", item.name);
    if (const auto* image = item.image()) {
      string_member("format", to_string(image->info().format));
      image_members(image->file(), image->options());
    } else {
      auto tensor = item.tensor();
      auto written =
          tensor.ok() ? tensor_members((*tensor)->view(), encoding, pool) : Result<void>(std::move(tensor).error());
      if (!written.ok()) return written;
    }
    text.push_back('}');
  }
  text.push_back(']');
  return {};
}

void MessageWriter::Impl::reply_error(const Error& error) {
  member("error");
  text.push_back('{');
  string_member("code", to_string(error.code));
  string_member("message", error.message);
  if (!error.at.empty()) string_member("at", error.at);
  text.push_back('}');
}

Result<void> MessageWriter::Impl::reply_members(const Reply& from, TensorEncoding encoding, BufferPool& pool) {
  id(from.id);
  string_member("status", from.error ? "error" : "ok");
  if (from.error) {
    reply_error(*from.error);
    return {};
  }
  auto written = reply_tensors(from, encoding, pool);
  if (written.ok() && !from.result.is_null()) json_member("result", from.result);
  return written;
}

Result<MessageWriter> MessageWriter::request(const OutgoingRequest& request, Dialect dialect) {
  MessageWriter writer;
  auto& impl = *writer.impl_;
  impl.begin(dialect);
  impl.id(request.id);
  if (!request.handler.empty()) impl.string_member("handler", request.handler);
  if (!request.auth.empty()) impl.string_member("auth", request.auth);
  if (!request.params.is_null()) impl.json_member("params", request.params);
  if (request.encoding == TensorEncoding::list) impl.string_member("encoding", "list");
  if (request.oneway) impl.json_member("oneway", true);
  auto written = impl.request_tensors(request);
  if (written.ok()) written = impl.end();
  if (!written.ok()) return std::move(written).error();
  return writer;
}

Result<MessageWriter> MessageWriter::reply(Reply reply, TensorEncoding encoding, Dialect dialect, BufferPool& pool) {
  MessageWriter writer;
  auto& impl = *writer.impl_;
  impl.reply = std::move(reply);
  impl.begin(dialect);
  auto written = impl.reply_members(impl.reply, encoding, pool);
  if (written.ok()) written = impl.end();
  if (!written.ok()) return std::move(written).error();
  return writer;
}

namespace {

// Whether all of the reply would be text with small payloads in it.
bool is_small(const Reply& reply, TensorEncoding encoding) {
  if (reply.error || reply.tensors.size() > 4) return false;
  return std::all_of(reply.tensors.begin(), reply.tensors.end(), [encoding](const Item& item) {
    if (encoding != TensorEncoding::base64 || item.image() != nullptr) return false;
    const auto tensor = item.tensor();
    return tensor.ok() && (*tensor)->dtype() != DType::string && (*tensor)->bytes().size() <= kInlinePayload;
  });
}

}  // namespace

bool MessageWriter::append_small_reply(const Reply& reply, TensorEncoding encoding, Dialect dialect, std::string& out) {
  if (!is_small(reply, encoding)) return false;
  const std::size_t before = out.size();
  Impl impl;
  impl.text.swap(out);
  try {
    impl.begin(dialect);
    const bool written = impl.reply_members(reply, encoding, *BufferPool::shared()).ok() && impl.end().ok();
    impl.text.swap(out);
    if (!written) out.resize(before);
    return written;
  } catch (...) {  // no memory
    impl.text.swap(out);
    out.resize(before);
    throw;
  }
}

std::size_t MessageWriter::Impl::read_base64(const Segment& source, std::span<char> out) noexcept {
  const auto left = source.size - at;
  auto take = std::min(left, out.size() / 4 * 3);
  if (take == 0) return 0;
  Base64Encoder encoder;
  auto written = encoder.feed({source.bytes + at, take}, out.data());
  written += encoder.finish(out.data() +
                            written);  // adds nothing but behind the last bytes: all other pieces are whole groups
  at += take;
  return written;
}

// Gives what fits of the current segment; 0 when out is too small for any of it.
std::size_t MessageWriter::Impl::read_segment(std::span<char> out) noexcept {
  const auto& source = segments[segment];
  std::size_t written = 0;
  if (source.kind == Segment::Kind::base64) {
    written = read_base64(source, out);
  } else {
    const auto* from =
        source.kind == Segment::Kind::text ? text.data() + text_read : reinterpret_cast<const char*>(source.bytes) + at;
    written = std::min(source.size - at, out.size());
    std::memcpy(out.data(), from, written);
    at += written;
    if (source.kind == Segment::Kind::text) text_read += written;
  }
  if (at == source.size) {
    ++segment;
    at = 0;
  }
  return written;
}

std::size_t MessageWriter::Impl::read_text(std::span<char> out) noexcept {
  const auto written = std::min(text.size() - text_read, out.size());
  std::memcpy(out.data(), text.data() + text_read, written);
  text_read += written;
  given += written;
  return written;
}

MessageWriter::MessageWriter() : impl_(std::make_unique<Impl>()) {}
MessageWriter::~MessageWriter() = default;
MessageWriter::MessageWriter(MessageWriter&&) noexcept = default;
MessageWriter& MessageWriter::operator=(MessageWriter&&) noexcept = default;

std::uint64_t MessageWriter::total_bytes() const noexcept { return impl_->total; }
std::uint64_t MessageWriter::remaining_bytes() const noexcept { return impl_->total - impl_->given; }

std::size_t MessageWriter::read(std::span<char> out) noexcept {
  auto& impl = *impl_;
  if (impl.segments.empty()) return impl.read_text(out);
  std::size_t filled = 0;
  while (impl.segment < impl.segments.size()) {
    const auto written = impl.read_segment(out.subspan(filled));
    if (written == 0) break;
    filled += written;
  }
  impl.given += filled;
  return filled;
}

}  // namespace tensorwire
