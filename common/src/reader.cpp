// Bounds each message (frame prefix, or the braces of raw JSON), drives the scanner and hands out decoded messages.
#include "tensorwire/reader.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "decode.hpp"
#include "scan.hpp"
#include "small_message.hpp"

namespace tensorwire {
namespace {

constexpr std::size_t kPrefixBytes = 4;

bool is_letter(unsigned char c) noexcept { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

std::uint32_t big_endian(const std::array<unsigned char, kPrefixBytes>& bytes) noexcept {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 | bytes[3];
}

std::uint32_t little_endian(const std::array<unsigned char, kPrefixBytes>& bytes) noexcept {
  return std::uint32_t{bytes[3]} << 24 | std::uint32_t{bytes[2]} << 16 | std::uint32_t{bytes[1]} << 8 | bytes[0];
}

// Why a length can make no sense: the usual mistakes, told by the bytes.
std::string guess_prefix(const std::array<unsigned char, kPrefixBytes>& bytes, std::uint64_t max_frame) {
  if (bytes[0] == 0x16 && bytes[1] == 0x03) return "; this looks like TLS, which is not spoken here";
  if (bytes[0] == ' ' || bytes[0] == '\n' || bytes[0] == '\r' || bytes[0] == '\t') {
    return "; the first bytes are white space: raw JSON must begin with '{'";
  }
  const auto swapped = little_endian(bytes);
  if (swapped > 0 && swapped <= std::min<std::uint64_t>(max_frame, 0xFF'FFFF)) {
    return "; was the length (" + std::to_string(swapped) +
           "?) sent little-endian? It is big-endian: struct.pack('>I', n)";
  }
  return "; if it is meant, start the receiver with a larger --max-frame";
}

}  // namespace

Dialect classify_first_byte(unsigned char byte) noexcept {
  if (byte <= kHardMaxFrame >> 24) return Dialect::framed;
  if (byte == '{') return Dialect::raw_json;
  return is_letter(byte) ? Dialect::http : Dialect::unknown;
}

struct MessageReader::Impl {
  Impl(Dialect which, const Limits& wanted, std::shared_ptr<BufferPool> buffers)
      : dialect(which), limits(wanted), pool(std::move(buffers)), scanner(wanted, pool), small_reader(wanted, pool) {}

  Status feed(std::string_view& input);
  Status feed_frame(std::string_view& input);
  Status feed_raw(std::string_view& input);
  bool read_small(std::string_view& input);
  bool read_prefix(std::string_view& input);
  void check_length();
  Status fail(ErrorCode code, std::string message);
  Decoder& ready_decoder();
  Scanned& scanned();
  IncomingRequest small_request();
  IncomingReply small_reply();
  void next_message();
  template <class Incoming>
  void finish(Incoming& incoming);

  Dialect dialect;
  Limits limits;
  std::shared_ptr<BufferPool> pool;
  Scanner scanner;
  SmallMessageReader small_reader;
  // Made when a first message is whole: most of what a connection would cost that never sends one.
  std::unique_ptr<Decoder> decoder;
  std::unique_ptr<SmallMessage> small;
  bool is_small = false;  // the message is in `small`, and the scanner has seen nothing of it
  std::array<unsigned char, kPrefixBytes> prefix{};
  std::size_t prefix_bytes = 0;
  std::uint64_t missing = 0;   // of the current frame
  std::uint64_t arrived = 0;   // of the current message
  bool broken = false;         // the scanner gave up; the rest of the frame is passed over
  std::optional<Error> fatal;  // nothing can be read any more
  Status status = Status::need_more;
};

MessageReader::Status MessageReader::Impl::feed(std::string_view& input) {
  if (status == Status::need_more) status = dialect == Dialect::raw_json ? feed_raw(input) : feed_frame(input);
  return status;
}

bool MessageReader::Impl::read_prefix(std::string_view& input) {
  while (prefix_bytes < kPrefixBytes && !input.empty()) {
    prefix[prefix_bytes++] = static_cast<unsigned char>(input.front());
    input.remove_prefix(1);
    ++arrived;
    if (prefix_bytes == kPrefixBytes) check_length();
  }
  return prefix_bytes == kPrefixBytes;
}

void MessageReader::Impl::check_length() {
  const std::uint64_t length = big_endian(prefix);
  const auto limit = std::min(limits.max_frame, kHardMaxFrame);
  missing = length;
  if (length == 0)
    fail(ErrorCode::bad_frame, "a frame of 0 bytes holds no JSON object; its length is that of the JSON that follows");
  if (length > limit) {
    fail(ErrorCode::frame_too_large, "the frame announces " + std::to_string(length) +
                                         " bytes, the most that is taken is " + std::to_string(limit) +
                                         guess_prefix(prefix, limit));
  }
}

MessageReader::Status MessageReader::Impl::feed_frame(std::string_view& input) {
  if (arrived == 0 && read_small(input)) return Status::message;
  if (!read_prefix(input)) return Status::need_more;
  if (fatal) return Status::fatal;
  auto body = input.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(missing, input.size())));
  const auto size = body.size();
  if (!broken) broken = scanner.feed(body, missing, true) == Scanner::Status::broken;
  input.remove_prefix(size);
  missing -= size;
  arrived += size;
  return missing == 0 ? Status::message : Status::need_more;
}

// A small frame that has arrived whole, read in one pass.
bool MessageReader::Impl::read_small(std::string_view& input) {
  if (input.size() < kPrefixBytes) return false;
  std::array<unsigned char, kPrefixBytes> length_bytes{};
  std::memcpy(length_bytes.data(), input.data(), kPrefixBytes);
  const std::size_t length = big_endian(length_bytes);
  if (length > kSmallMessage || length > limits.max_frame || length > input.size() - kPrefixBytes) return false;
  if (!small) small = std::make_unique<SmallMessage>();
  is_small = small_reader.read(input.substr(kPrefixBytes, length), *small);
  if (!is_small) return false;
  arrived = kPrefixBytes + length;
  input.remove_prefix(kPrefixBytes + length);
  return true;
}

MessageReader::Status MessageReader::Impl::feed_raw(std::string_view& input) {
  if (arrived == 0) {
    input.remove_prefix(std::min(input.find_first_not_of(" \t\r\n"), input.size()));
    if (input.empty()) return Status::need_more;
    if (input.front() != '{') {
      return fail(ErrorCode::bad_json, "each message must be a JSON object, which begins with '{'");
    }
  }
  const auto before = input.size();
  const auto scanned = scanner.feed(input, 0, false);
  arrived += before - input.size();
  if (scanned == Scanner::Status::broken) return fail(ErrorCode::bad_json, scanner.message().error->message);
  if (arrived > std::min(limits.max_frame, kHardMaxFrame)) {
    return fail(ErrorCode::frame_too_large,
                "the JSON object is longer than the " + std::to_string(limits.max_frame) + " bytes that are taken");
  }
  return scanned == Scanner::Status::done ? Status::message : Status::need_more;
}

MessageReader::Status MessageReader::Impl::fail(ErrorCode code, std::string message) {
  fatal = Error{code, std::move(message), ""};
  return Status::fatal;
}

Decoder& MessageReader::Impl::ready_decoder() {
  if (!decoder) decoder = std::make_unique<Decoder>(limits, pool);
  return *decoder;
}

Scanned& MessageReader::Impl::scanned() {
  auto& message = scanner.message();
  message.wire_bytes = arrived;
  return message;
}

IncomingRequest MessageReader::Impl::small_request() {
  IncomingRequest incoming;
  incoming.request = std::move(small->request);
  incoming.request.wire_bytes = arrived;
  next_message();
  return incoming;
}

IncomingReply MessageReader::Impl::small_reply() {
  IncomingReply incoming;
  incoming.reply.id = std::move(small->request.id);
  if (small->status_ok) {
    incoming.reply.tensors = std::move(small->request.tensors);
    incoming.reply.result = std::move(small->result);
  } else {
    incoming.error = no_status();
  }
  next_message();
  return incoming;
}

void MessageReader::Impl::next_message() {
  if (!std::exchange(is_small, false)) scanner.reset();
  prefix_bytes = 0;
  missing = arrived = 0;
  broken = false;
  if (!fatal) status = Status::need_more;
}

template <class Incoming>
void MessageReader::Impl::finish(Incoming& incoming) {
  if (fatal) {
    incoming.error = fatal;
    incoming.fatal = true;
  }
  // Where one raw object that is no JSON ends and the next begins cannot be told.
  if (dialect == Dialect::raw_json && incoming.error && incoming.error->code == ErrorCode::bad_json) {
    fatal = incoming.error;
    incoming.fatal = true;
    status = Status::fatal;
  }
  next_message();
}

MessageReader::MessageReader(Dialect dialect, const Limits& limits, std::shared_ptr<BufferPool> pool)
    : impl_(std::make_unique<Impl>(dialect, limits, std::move(pool))) {}
MessageReader::~MessageReader() = default;
MessageReader::MessageReader(MessageReader&&) noexcept = default;
MessageReader& MessageReader::operator=(MessageReader&&) noexcept = default;

MessageReader::Status MessageReader::feed(std::string_view& input) { return impl_->feed(input); }

IncomingRequest MessageReader::take_request() {
  if (impl_->is_small) return impl_->small_request();
  IncomingRequest incoming;
  if (!impl_->fatal) incoming = impl_->ready_decoder().request(impl_->scanned());
  impl_->finish(incoming);
  return incoming;
}

IncomingReply MessageReader::take_reply() {
  if (impl_->is_small) return impl_->small_reply();
  IncomingReply incoming;
  if (!impl_->fatal) incoming = impl_->ready_decoder().reply(impl_->scanned());
  impl_->finish(incoming);
  return incoming;
}

bool MessageReader::in_message() const noexcept { return impl_->status == Status::need_more && impl_->arrived > 0; }
std::uint64_t MessageReader::message_bytes() const noexcept { return impl_->arrived; }
std::uint64_t MessageReader::missing_bytes() const noexcept { return impl_->missing; }

}  // namespace tensorwire
