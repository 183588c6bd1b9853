// Says whether two decoded messages are the same, down to the last byte; for tests and the fuzz target alike.
#pragma once

#include <cstring>
#include <string>

#include "tensorwire/reader.hpp"

namespace tensorwire::testing {

// Empty when both are the same tensors and images; otherwise what differs.
inline std::string difference(const std::vector<Item>& a, const std::vector<Item>& b) {
  if (a.size() != b.size()) return "counts of tensors differ";
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto& s = a[i];
    const auto& t = b[i];
    if (s.name != t.name || s.at != t.at || (s.image() == nullptr) != (t.image() == nullptr)) return "items differ";
    if (s.image() != nullptr) {
      if (!std::ranges::equal(s.image()->file(), t.image()->file())) return "image files differ";
      continue;
    }
    const auto& p = *s.tensor().value();
    const auto& q = *t.tensor().value();
    if (p.dtype() != q.dtype() || !(p.shape() == q.shape())) return "dtype or shape differs";
    if (p.dtype() == DType::string ? !std::ranges::equal(*p.strings(), *q.strings())
                                   : !std::ranges::equal(p.bytes(), q.bytes())) {
      return "elements differ";
    }
  }
  return "";
}

inline std::string difference(const std::optional<Error>& a, const std::optional<Error>& b) {
  if (a.has_value() != b.has_value()) return "one is an error: " + (a ? a->message : b->message);
  if (a && a->code != b->code) {
    return "codes " + std::string(to_string(a->code)) + " (" + a->message + ") and " + std::string(to_string(b->code)) +
           " (" + b->message + ")";
  }
  if (a && a->at != b->at) return "places " + a->at + " and " + b->at;
  return "";
}

// Empty when both are the same; otherwise what differs. Where both are errors, code and place count, the sentence does
// not (the oracle words some of them in another way).
inline std::string difference(const IncomingRequest& a, const IncomingRequest& b) {
  const auto errors = difference(a.error, b.error);
  if (!errors.empty()) return errors;
  const auto& x = a.request;
  const auto& y = b.request;
  if (a.error && a.error->code == ErrorCode::bad_json) return "";  // how far the text was read is not told
  if (x.id != y.id || x.handler != y.handler || x.oneway != y.oneway || x.encoding != y.encoding)
    return "members differ";
  if (x.params != y.params) return "params " + x.params.dump() + " and " + y.params.dump();
  return difference(x.tensors, y.tensors);
}

inline std::string difference(const IncomingReply& a, const IncomingReply& b) {
  const auto errors = difference(a.error, b.error);
  if (!errors.empty() || a.error) return errors;
  const auto remote = difference(a.reply.error, b.reply.error);
  if (!remote.empty()) return remote;
  if (a.reply.id != b.reply.id) return "ids differ";
  if (a.reply.result != b.reply.result) return "results " + a.reply.result.dump() + " and " + b.reply.result.dump();
  return difference(a.reply.tensors, b.reply.tensors);
}

// Feeds a whole message to a fresh reader, in pieces of the given size (the last one shorter), up to its end.
inline MessageReader reader_fed_in_pieces(std::string_view wire, Dialect dialect, std::size_t piece,
                                          const Limits& limits, const std::shared_ptr<BufferPool>& pool,
                                          MessageReader::Status& status) {
  MessageReader reader(dialect, limits, pool);
  status = MessageReader::Status::need_more;
  for (std::size_t at = 0; at < wire.size() && status == MessageReader::Status::need_more; at += piece) {
    // A copy of its own, so that a sanitizer sees every step beyond the piece.
    const std::string copy(wire.substr(at, piece));
    std::string_view view = copy;
    status = reader.feed(view);
  }
  return reader;
}

inline IncomingRequest read_in_pieces(std::string_view wire, Dialect dialect, std::size_t piece, const Limits& limits,
                                      const std::shared_ptr<BufferPool>& pool) {
  auto status = MessageReader::Status::need_more;
  auto reader = reader_fed_in_pieces(wire, dialect, piece, limits, pool, status);
  if (status != MessageReader::Status::need_more) return reader.take_request();
  IncomingRequest incoming;
  incoming.error = Error{ErrorCode::bad_frame, "truncated", ""};
  return incoming;
}

inline IncomingReply read_reply_in_pieces(std::string_view wire, std::size_t piece, const Limits& limits,
                                          const std::shared_ptr<BufferPool>& pool) {
  auto status = MessageReader::Status::need_more;
  auto reader = reader_fed_in_pieces(wire, Dialect::framed, piece, limits, pool, status);
  if (status != MessageReader::Status::need_more) return reader.take_reply();
  IncomingReply incoming;
  incoming.error = Error{ErrorCode::bad_frame, "truncated", ""};
  return incoming;
}

inline std::string framed(std::string_view json) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(json.size() >> shift & 0xFF));
  out.append(json);
  return out;
}

}  // namespace tensorwire::testing
