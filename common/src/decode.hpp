// Makes requests and replies of scanned messages: checks what was said against the payloads and builds typed tensors.
#pragma once

#include <memory>

#include "parts.hpp"
#include "scan.hpp"
#include "skeleton.hpp"
#include "tensorwire/reader.hpp"

namespace tensorwire {

// What is wrong with a reply that does not say how it went.
[[nodiscard]] Error no_status();

// Keeps the parser's memory from one message to the next. One for each connection.
class Decoder {
 public:
  Decoder(const Limits& limits, std::shared_ptr<BufferPool> pool);
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  // Consumes the scanned message (its skeleton is parsed in place).
  [[nodiscard]] IncomingRequest request(Scanned& scanned);
  [[nodiscard]] IncomingReply reply(Scanned& scanned);
  // The same for a whole message's text, payloads included (see decode_request_oracle).
  [[nodiscard]] IncomingRequest request_from_text(std::string_view json);

 private:
  [[nodiscard]] std::optional<Error> parse_skeleton(Scanned& scanned);
  [[nodiscard]] IncomingRequest build_request(std::vector<Payload>& payloads, std::optional<Error> error);
  [[nodiscard]] Result<std::vector<Item>> build_items(std::vector<Payload>& payloads);

  Limits limits_;
  std::shared_ptr<BufferPool> pool_;
  MessageParts parts_;
  SkeletonHandler handler_;
  rapidjson::Reader reader_;
};

}  // namespace tensorwire
