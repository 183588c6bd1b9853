// Flips bytes of the golden messages at random: each is refused with a typed error or read exactly as it now stands.
//
// TENSORD_FLIPS sets how many messages are flipped, TENSORD_SEED repeats a run; run it large under the sanitizers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <random>
#include <utility>

#include "compare_requests.hpp"

namespace tensorwire {
namespace {

using testing::difference;
using testing::framed;
using testing::read_in_pieces;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// The JSON of every whole frame in the vectors' framed files.
std::vector<std::string> golden_bodies() {
  std::vector<std::string> bodies;
  for (const auto& file : std::filesystem::directory_iterator(TENSORD_VECTORS_DIR "/messages")) {
    std::ifstream stream(file.path(), std::ios::binary);
    const std::string data{std::istreambuf_iterator<char>(stream), {}};
    for (std::size_t at = 0; at + 4 < data.size() && data[at] == '\0';) {
      std::size_t length = 0;
      for (std::size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(data[at + i]);
      if (length == 0 || length > data.size() - at - 4) break;
      bodies.push_back(data.substr(at + 4, length));
      at += 4 + length;
    }
  }
  std::ranges::sort(bodies);  // the folder's order is nobody's
  return bodies;
}

class Flipper {
 public:
  explicit Flipper(std::uint64_t seed) : random_(seed) {}

  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }

  std::string flipped(std::string text) {
    constexpr std::size_t kCounts[] = {1, 1, 1, 1, 2, 3, 8};
    for (std::size_t i = kCounts[below(std::size(kCounts))]; i > 0; --i) {
      char& byte = text[below(text.size())];
      byte = below(2) == 0 ? static_cast<char>(byte ^ 1 << below(8)) : static_cast<char>(random_());
    }
    return text;
  }

 private:
  std::mt19937_64 random_;
};

// Whether each tensor has the bytes that its shape and dtype ask for; images are decoded for it.
std::string broken_promise(const Request& request) {
  for (const Item& item : request.tensors) {
    const auto tensor = item.tensor();
    if (!tensor.ok()) {
      if (item.image() == nullptr) return "a tensor that is none: " + tensor.error().message;
      continue;
    }
    if ((*tensor)->dtype() == DType::string) {
      if (!std::cmp_equal(*(*tensor)->shape().element_count(), (*tensor)->strings()->size()))
        return "the wrong number of strings";
      continue;
    }
    const auto bytes = (*tensor)->shape().byte_count((*tensor)->dtype());
    if (!bytes.ok() || *bytes != (*tensor)->bytes().size()) return "the bytes are not those of the shape and dtype";
  }
  return "";
}

TEST(Flips, OfGoldenMessagesGiveATypedErrorOrWhatTheMessageNowSays) {
  const auto seed = from_environment("TENSORD_SEED", std::random_device{}());
  const auto count = from_environment("TENSORD_FLIPS", 20'000);
  std::cout << "seed: TENSORD_SEED=" << seed << "\n";
  const auto bodies = golden_bodies();
  ASSERT_GT(bodies.size(), 100U);
  Flipper flipper(seed);
  const auto& pool = BufferPool::shared();
  std::map<std::string_view, std::uint64_t> outcomes;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto body = flipper.flipped(bodies[flipper.below(bodies.size())]);
    const auto piece = 1 + flipper.below(body.size() + 4);
    const auto read = read_in_pieces(framed(body), Dialect::framed, piece, Limits{}, pool);
    const auto oracle = decode_request_oracle(body, Limits{}, pool);
    ASSERT_EQ(difference(read, oracle), "") << "flip " << i << " in pieces of " << piece << ": " << body;
    ++outcomes[read.error ? to_string(read.error->code) : "taken"];
    if (read.error) continue;
    ASSERT_EQ(broken_promise(read.request), "") << "flip " << i << ": " << body;
  }
  std::cout << "flipped messages: " << count;
  for (const auto& [what, times] : outcomes) std::cout << ", " << what << " " << times;
  std::cout << "\n";
  EXPECT_GT(outcomes["taken"], count / 100);
  EXPECT_GT(outcomes["bad_json"], count / 100);
}

// The prefix too: then nothing can be said of the messages, but that reading ends or waits for more.
TEST(Flips, OfWholeFramesAreReadToAnEndOrWaitForMore) {
  const auto seed = from_environment("TENSORD_SEED", std::random_device{}());
  const auto count = from_environment("TENSORD_FLIPS", 20'000) / 4;
  std::cout << "seed: TENSORD_SEED=" << seed << "\n";
  const auto bodies = golden_bodies();
  Flipper flipper(seed);
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string wire;
    for (int n = 0; n < 3; ++n) wire += framed(bodies[flipper.below(bodies.size())]);
    wire = flipper.flipped(std::move(wire));
    const auto dialect = classify_first_byte(static_cast<unsigned char>(wire.front()));
    if (dialect != Dialect::framed && dialect != Dialect::raw_json) continue;
    MessageReader reader(dialect, Limits{}, BufferPool::shared());
    std::string_view rest = wire;
    for (auto status = reader.feed(rest); status != MessageReader::Status::need_more; status = reader.feed(rest)) {
      const auto incoming = reader.take_request();
      if (incoming.fatal) break;
      const std::string broken = incoming.error ? "" : broken_promise(incoming.request);
      ASSERT_EQ(broken, "") << wire;
    }
  }
}

}  // namespace
}  // namespace tensorwire
