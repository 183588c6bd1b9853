// The scanning reader against whole-message RapidJSON with a plain base64 decoder, on generated messages cut anywhere.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "compare_requests.hpp"
#include "message_generator.hpp"

namespace tensorwire {
namespace {

using testing::difference;
using testing::framed;
using testing::read_in_pieces;

std::uint64_t FromEnvironment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

TEST(ScanOracle, AnySplitOfAnyMessageGivesWhatTheWholeGives) {
  const auto seed = FromEnvironment("TENSORD_SEED", std::random_device{}());
  const auto count = FromEnvironment("TENSORD_SCAN_MESSAGES", 20'000);
  std::cout << "seed: TENSORD_SEED=" << seed << "\n";
  testing::MessageGenerator generator(seed);
  std::mt19937_64 random(seed);
  const auto& pool = BufferPool::shared();
  std::uint64_t accepted = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto json = generator.message();
    const auto oracle = decode_request_oracle(json, Limits{}, pool);
    accepted += oracle.error ? 0 : 1;
    const auto wire = framed(json);
    for (const std::size_t piece :
         {wire.size(), std::size_t{1}, 1 + static_cast<std::size_t>(random() % wire.size())}) {
      const auto read = read_in_pieces(wire, Dialect::framed, piece, Limits{}, pool);
      ASSERT_EQ(difference(read, oracle), "") << "message " << i << " in pieces of " << piece << ": " << json;
    }
  }
  EXPECT_GT(accepted, count / 10) << "the generator makes too few valid messages to show anything";
}

}  // namespace
}  // namespace tensorwire
