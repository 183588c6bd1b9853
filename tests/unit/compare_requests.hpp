// Says whether two decoded messages are the same, down to the last byte; for tests and the fuzz target alike.
#pragma once

#include <cstring>
#include <string>

#include "tensorwire/reader.hpp"

namespace tensorwire::testing {

// Empty when both are the same; otherwise what differs. Where both are errors, code and place count, the sentence does
// not (the oracle words some of them in another way).
inline std::string difference(const IncomingRequest& a, const IncomingRequest& b) {
  if (a.error.has_value() != b.error.has_value()) {
    return "one is an error: " + (a.error ? a.error->message : b.error->message);
  }
  if (a.error && a.error->code != b.error->code) {
    return "codes " + std::string(to_string(a.error->code)) + " (" + a.error->message + ") and " +
           std::string(to_string(b.error->code)) + " (" + b.error->message + ")";
  }
  if (a.error && a.error->at != b.error->at) return "places " + a.error->at + " and " + b.error->at;
  const auto& x = a.request;
  const auto& y = b.request;
  if (a.error && a.error->code == ErrorCode::bad_json) return "";  // how far the text was read is not told
  if (x.id != y.id || x.handler != y.handler || x.oneway != y.oneway || x.encoding != y.encoding)
    return "members differ";
  if (x.params != y.params) return "params " + x.params.dump() + " and " + y.params.dump();
  if (x.tensors.size() != y.tensors.size()) return "counts of tensors differ";
  for (std::size_t i = 0; i < x.tensors.size(); ++i) {
    const auto& s = x.tensors[i];
    const auto& t = y.tensors[i];
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

// Feeds a whole message to a fresh reader in pieces of the given size (the last one shorter).
inline IncomingRequest read_in_pieces(std::string_view wire, Dialect dialect, std::size_t piece, const Limits& limits,
                                      const std::shared_ptr<BufferPool>& pool) {
  MessageReader reader(dialect, limits, pool);
  auto status = MessageReader::Status::need_more;
  for (std::size_t at = 0; at < wire.size() && status == MessageReader::Status::need_more; at += piece) {
    // A copy of its own, so that a sanitizer sees every step beyond the piece.
    const std::string copy(wire.substr(at, piece));
    std::string_view view = copy;
    status = reader.feed(view);
  }
  if (status == MessageReader::Status::need_more) {
    IncomingRequest incoming;
    incoming.error = Error{ErrorCode::bad_frame, "truncated", ""};
    return incoming;
  }
  return reader.take_request();
}

inline std::string framed(std::string_view json) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(json.size() >> shift & 0xFF));
  out.append(json);
  return out;
}

}  // namespace tensorwire::testing
