// Fuzzes frame, scan and decode: any bytes, cut at places the input chooses, must give what whole-message RapidJSON
// gives.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "../unit/compare_requests.hpp"

using namespace tensorwire;

namespace {

void check(const std::string& difference, std::size_t piece) {
  if (difference.empty()) return;
  std::fprintf(stderr, "in pieces of %zu: %s\n", piece, difference.c_str());
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto& pool = BufferPool::shared();
  Limits limits;
  limits.max_pixels = 1'000'000;
  const std::size_t piece = 1 + data[0] % 64;
  const std::string_view json(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto oracle = decode_request_oracle(json, limits, pool);
  const std::string wire = testing::framed(json);
  // Whole, where a small message is read in one pass, and in pieces.
  for (const std::size_t step : {wire.size(), piece}) {
    check(testing::difference(testing::read_in_pieces(wire, Dialect::framed, step, limits, pool), oracle), step);
  }
  const auto reply = testing::read_reply_in_pieces(wire, wire.size(), limits, pool);
  check(testing::difference(reply, testing::read_reply_in_pieces(wire, piece, limits, pool)), piece);
  // Raw JSON: the same bytes must neither crash nor be read beyond their end, whatever they are.
  static_cast<void>(testing::read_in_pieces(json, Dialect::raw_json, piece, limits, pool));
  return 0;
}
