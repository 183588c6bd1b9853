// Tests of the base64 codec: CPython's verdicts, every split, every kernel against a plain decoder, and its bounds.
#include "tensorwire/base64.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <random>

#include "../vectors/base64_verdicts.hpp"
#include "base64_oracle.hpp"

namespace tensorwire {
namespace {

using base64_oracle::Decoded;
using Random = std::mt19937_64;

// Asked before any test chooses another one.
const Base64Kernel kernel_at_start = base64_kernel();

// Runs every test once per kernel this machine supports, and leaves the choice as it was.
class Base64 : public testing::TestWithParam<Base64Kernel> {
 protected:
  void SetUp() override { ASSERT_TRUE(set_base64_kernel(GetParam())); }
  void TearDown() override { set_base64_kernel(before_); }

 private:
  Base64Kernel before_ = base64_kernel();
};

INSTANTIATE_TEST_SUITE_P(Kernels, Base64, testing::ValuesIn(supported_base64_kernels()),
                         [](const auto& kernel) { return std::string(to_string(kernel.param)); });

std::string random_bytes(Random& random, std::size_t length) {
  std::string bytes(length, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

std::size_t below(Random& random, std::size_t bound) { return static_cast<std::size_t>(random() % bound); }

// Number from the environment, so that a long run needs no other program.
std::uint64_t setting(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    text.push_back("0123456789abcdef"[static_cast<unsigned char>(c) >> 4]);
    text.push_back("0123456789abcdef"[c & 15]);
  }
  return text;
}

std::string describe(std::string_view text) {
  Base64Decoder decoder;
  std::string bytes;
  base64_oracle::feed_exactly(decoder, text, bytes);
  return decoder.describe();
}

// Compares one text with CPython's table and moves on in it; every split and the plain decoder must say the same.
void expect_next(std::string_view text, std::string_view& verdicts, std::string_view& bytes) {
  ASSERT_FALSE(verdicts.empty());
  const auto verdict = static_cast<Base64Verdict>(verdicts.front() - '0');
  verdicts.remove_prefix(1);
  const Decoded plain = base64_oracle::decode(text);
  EXPECT_EQ(plain.verdict, verdict) << '"' << text << '"';
  for (std::size_t split = 0; split <= text.size(); ++split) {
    EXPECT_EQ(base64_oracle::decode_in_two(text, split), plain) << '"' << text << "\" split at " << split;
  }
  if (verdict != Base64Verdict::ok) return;
  const std::size_t end = bytes.find(',');
  EXPECT_EQ(hex(plain.bytes), bytes.substr(0, end)) << '"' << text << '"';
  bytes.remove_prefix(end + 1);
}

TEST_P(Base64, JudgesEveryShortTextAsPythonDoes) {
  std::string_view verdicts = base64_vectors::verdicts;
  std::string_view bytes = base64_vectors::bytes;
  constexpr std::size_t letters = base64_vectors::alphabet.size();
  std::size_t texts = 1;
  for (std::size_t length = 0; length <= base64_vectors::longest; ++length, texts *= letters) {
    for (std::size_t number = 0; number < texts; ++number) {
      std::string text(length, '\0');
      std::size_t rest = number;
      for (std::size_t i = length; i-- > 0; rest /= letters) text[i] = base64_vectors::alphabet[rest % letters];
      expect_next(text, verdicts, bytes);
    }
  }
  EXPECT_TRUE(verdicts.empty());
  EXPECT_TRUE(bytes.empty());
}

TEST_P(Base64, KnowsTheAlphabetThatPythonKnows) {
  std::string_view verdicts = base64_vectors::byte_verdicts;
  std::string_view bytes = base64_vectors::byte_bytes;
  for (int c = 0; c < 256; ++c) expect_next(std::string("AAA") + static_cast<char>(c), verdicts, bytes);
  EXPECT_TRUE(verdicts.empty());
}

TEST_P(Base64, DecodesEveryLengthAtEverySplit) {
  Random random(1);
  for (std::size_t length = 0; length <= 300; ++length) {
    const std::string bytes = random_bytes(random, length);
    const std::string text = base64_oracle::encode(bytes);
    const Decoded expected = {Base64Verdict::ok, text.size(), bytes};
    for (std::size_t split = 0; split <= text.size(); ++split) {
      ASSERT_EQ(base64_oracle::decode_in_two(text, split), expected) << length << " bytes split at " << split;
    }
  }
}

TEST_P(Base64, JudgesEveryTextLengthAtEverySplit) {
  Random random(2);
  const std::string all = base64_oracle::encode(random_bytes(random, 300));
  for (std::size_t length = 0; length <= 300; ++length) {
    const std::string text = all.substr(0, length);
    const Decoded expected = base64_oracle::decode(text);
    for (std::size_t split = 0; split <= length; ++split) {
      ASSERT_EQ(base64_oracle::decode_in_two(text, split), expected) << length << " characters split at " << split;
    }
  }
}

TEST_P(Base64, EncodesEveryLengthAtEverySplit) {
  Random random(3);
  for (std::size_t length = 0; length <= 300; ++length) {
    const std::string bytes = random_bytes(random, length);
    const std::string expected = base64_oracle::encode(bytes);
    ASSERT_EQ(expected.size(), encoded_size(length));
    for (std::size_t split = 0; split <= length; ++split) {
      ASSERT_EQ(base64_oracle::encode_in_two(bytes, split), expected) << length << " bytes split at " << split;
    }
  }
}

TEST_P(Base64, FindsEveryByteAtEveryPosition) {
  Random random(4);
  const std::string good = base64_oracle::encode(random_bytes(random, 447));
  for (std::size_t position = 0; position < good.size(); ++position) {
    std::string text = good;
    for (unsigned c = 0; c < 256; ++c) {
      text[position] = static_cast<char>(c);
      ASSERT_EQ(base64_oracle::decode_in_two(text, text.size()), base64_oracle::decode(text))
          << "byte " << c << " at " << position;
    }
  }
}

TEST_P(Base64, StopsExactlyBeforeTheEndOfTheText) {
  Random random(5);
  for (std::size_t length = 0; length <= 300; ++length) {
    for (const char stop : {'"', '\\', '\n', '\0', '\x80'}) {
      const std::string text = base64_oracle::encode(random_bytes(random, length));
      // More base64 behind the stop must not be touched.
      const std::string in = text + stop + std::string(80, 'A');
      std::vector<std::byte> out(max_decoded_size(in.size()));
      Base64Decoder decoder;
      const auto step = decoder.feed(in, out.data());
      ASSERT_EQ(step.consumed, text.size());
      ASSERT_EQ(step.written, length);
      ASSERT_EQ(decoder.finish(), Base64Verdict::ok);
    }
  }
}

TEST_P(Base64, StopsWhereTheRoomEnds) {
  Random random(6);
  const std::string bytes = random_bytes(random, 300);
  const std::string text = base64_oracle::encode(bytes);
  for (std::size_t room = 0; room <= bytes.size(); ++room) {
    const auto out = std::make_unique<std::byte[]>(room);
    Base64Decoder decoder;
    const auto step = decoder.feed(text, std::span(out.get(), room));
    ASSERT_EQ(step.written, room);
    ASSERT_EQ(std::memcmp(out.get(), bytes.data(), room), 0);
    // Only a group's first character needs no room.
    ASSERT_EQ(step.consumed, room == bytes.size() ? text.size() : room / 3 * 4 + room % 3 + 1);
    std::vector<std::byte> rest(bytes.size() - room);
    const auto last = decoder.feed(std::string_view(text).substr(step.consumed), rest);
    ASSERT_EQ(last.written, rest.size());
    ASSERT_EQ(decoder.finish(), Base64Verdict::ok);
    if (!rest.empty()) {
      ASSERT_EQ(std::memcmp(rest.data(), bytes.data() + room, rest.size()), 0);
    }
  }
}

TEST_P(Base64, NeedsNoRoomForPadding) {
  Base64Decoder decoder;
  std::byte byte{};
  EXPECT_EQ(decoder.feed("/w", std::span(&byte, 1)).consumed, 2U);
  EXPECT_EQ(byte, std::byte{0xff});
  EXPECT_EQ(decoder.finish(), Base64Verdict::incorrect_padding);
  EXPECT_EQ(decoder.feed("==", std::span<std::byte>()).consumed, 2U);
  EXPECT_EQ(decoder.finish(), Base64Verdict::ok);
}

TEST_P(Base64, FindsTheEndOfARefusedText) {
  Base64Decoder decoder;
  decoder.reject('-');
  EXPECT_TRUE(decoder.failed());
  const auto step = decoder.feed(std::string(500, 'A') + "==A\"AAAA", std::span<std::byte>());
  EXPECT_EQ(step.consumed, 503U);
  EXPECT_EQ(step.written, 0U);
  EXPECT_EQ(decoder.finish(), Base64Verdict::bad_character);
  EXPECT_EQ(decoder.fault_position(), 0U);
  EXPECT_EQ(decoder.position(), 504U);
}

// A page followed by one that must not be touched; blocks taken from its end show any access behind them.
class GuardedPage {
 public:
  GuardedPage() : size_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    pages_ = static_cast<char*>(mmap(nullptr, 2 * size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (pages_ == MAP_FAILED || mprotect(pages_ + size_, size_, PROT_NONE) != 0) std::abort();
  }
  ~GuardedPage() { munmap(pages_, 2 * size_); }
  GuardedPage(const GuardedPage&) = delete;
  GuardedPage& operator=(const GuardedPage&) = delete;
  char* last(std::size_t bytes) { return pages_ + size_ - bytes; }

 private:
  std::size_t size_;
  char* pages_;
};

// Masked loads and stores are invisible to sanitizers, hence the page protection and the canary in front.
TEST_P(Base64, StaysInsideItsBuffers) {
  Random random(7);
  GuardedPage input;
  GuardedPage output;
  for (std::size_t length = 0; length <= 800; ++length) {
    const std::string bytes = random_bytes(random, length);
    const std::string text = base64_oracle::encode(bytes);
    std::memcpy(input.last(text.size()), text.data(), text.size());
    char* const decoded = output.last(length);
    decoded[-1] = '#';
    Base64Decoder decoder;
    const auto step =
        decoder.feed({input.last(text.size()), text.size()}, std::span(reinterpret_cast<std::byte*>(decoded), length));
    ASSERT_EQ(step.written, length);
    ASSERT_EQ(std::string_view(decoded, length), bytes);
    ASSERT_EQ(decoded[-1], '#');

    std::memcpy(input.last(length), bytes.data(), length);
    char* const encoded = output.last(text.size());
    encoded[-1] = '#';
    Base64Encoder encoder;
    const std::size_t written = encoder.feed({reinterpret_cast<std::byte*>(input.last(length)), length}, encoded);
    ASSERT_EQ(written + encoder.finish(encoded + written), text.size());
    ASSERT_EQ(std::string_view(encoded, text.size()), text);
    ASSERT_EQ(encoded[-1], '#');
  }
}

// What a sender might get wrong, somewhere in an otherwise good text, at lengths around the kernels' blocks.
std::string adversarial_text(Random& random) {
  const std::size_t length = below(random, 16) == 0 ? below(random, 700) : below(random, 100);
  std::string text = base64_oracle::encode(random_bytes(random, length));
  constexpr std::string_view nasty = "=-_+/\"\\ \n\r\t%:,@[`{^\x7f\x80\xaf\xff";
  switch (below(random, 8)) {
    case 0:
      return random_bytes(random, below(random, 100));
    case 1:
      text.resize(below(random, text.size() + 1));
      break;
    case 2:
      text.append(below(random, 5), '=');
      break;
    case 3:
      text += base64_oracle::encode(random_bytes(random, below(random, 10)));
      break;
    case 4:
      for (std::size_t faults = 1 + below(random, 3); !text.empty() && faults > 0; --faults) {
        text[below(random, text.size())] = nasty[below(random, nasty.size())];
      }
      break;
    case 5:
      text.insert(below(random, text.size() + 1), 1, nasty[below(random, nasty.size())]);
      break;
    case 6:
      if (!text.empty()) text[below(random, text.size())] = static_cast<char>(random());
      break;
    default:
      break;
  }
  return text;
}

// Feeds a text in one to six pieces, from and to blocks that are reused, which a run of many inputs needs to be quick.
void decode_in_random_pieces(Random& random, std::string_view text, std::vector<std::byte>& out, Decoded& result) {
  Base64Decoder decoder;
  std::size_t written = 0;
  std::size_t cuts = below(random, 6);
  while (!text.empty()) {
    const std::size_t length = cuts == 0 ? text.size() : below(random, text.size() + 1);
    if (cuts > 0) --cuts;
    const auto step = decoder.feed(text.substr(0, length), std::span(out).subspan(written));
    written += step.written;
    text.remove_prefix(step.consumed);
    if (step.consumed < length) {
      decoder.reject(static_cast<unsigned char>(text.front()));
      text.remove_prefix(1);
    }
  }
  result.verdict = decoder.finish();
  result.fault_position = decoder.fault_position();
  result.bytes.assign(reinterpret_cast<const char*>(out.data()), written);
}

void expect_same_text_back(Random& random, const Decoded& plain, std::string& encoded) {
  encoded.resize(encoded_size(plain.bytes.size()));
  const std::size_t split = below(random, plain.bytes.size() + 1);
  const auto bytes = std::as_bytes(std::span(plain.bytes));
  Base64Encoder encoder;
  std::size_t length = encoder.feed(bytes.first(split), encoded.data());
  length += encoder.feed(bytes.subspan(split), encoded.data() + length);
  length += encoder.finish(encoded.data() + length);
  ASSERT_EQ(length, encoded.size());
  const Decoded again = base64_oracle::decode(encoded);
  ASSERT_EQ(again.verdict, Base64Verdict::ok);
  ASSERT_EQ(again.bytes, plain.bytes);
}

// TENSORD_BASE64_INPUTS makes this as long as wanted, TENSORD_BASE64_SEED repeats a run.
TEST(Base64Agreement, AllKernelsAgreeWithThePlainDecoder) {
  const std::uint64_t inputs = setting("TENSORD_BASE64_INPUTS", 100000);
  const std::uint64_t seed = setting("TENSORD_BASE64_SEED", std::random_device{}());
  const Base64Kernel before = base64_kernel();
  const std::vector<Base64Kernel> kernels = supported_base64_kernels();
  std::cout << "seed " << seed << ", " << inputs << " inputs, " << kernels.size() << " kernels\n";
  Random random(seed);
  std::vector<std::byte> out(2048);
  Decoded result;
  std::string encoded;
  for (std::uint64_t i = 0; i < inputs && !testing::Test::HasFailure(); ++i) {
    const std::string text = adversarial_text(random);
    const Decoded plain = base64_oracle::decode(text);
    for (const Base64Kernel kernel : kernels) {
      set_base64_kernel(kernel);
      decode_in_random_pieces(random, text, out, result);
      ASSERT_EQ(result, plain) << to_string(kernel) << ", input " << i << ", seed " << seed << ": " << hex(text);
      expect_same_text_back(random, plain, encoded);
    }
  }
  set_base64_kernel(before);
}

// Worth running with each value of the variable.
TEST(Base64Kernels, TheEnvironmentChoosesTheFirst) {
  const char* wish = std::getenv("TENSORD_CPU");
  EXPECT_EQ(kernel_at_start, choose_base64_kernel(wish == nullptr ? "" : wish));
}

TEST(Base64Kernels, WishesThatCannotBeMetGiveTheBest) {
  const std::vector<Base64Kernel> supported = supported_base64_kernels();
  ASSERT_FALSE(supported.empty());
  EXPECT_EQ(supported.back(), Base64Kernel::portable);
  for (const Base64Kernel kernel : supported) EXPECT_EQ(choose_base64_kernel(to_string(kernel)), kernel);
  for (const char* wish : {"", "sse9", "AVX2", "neon,portable"}) {
    EXPECT_EQ(choose_base64_kernel(wish), supported.front()) << wish;
  }
  for (const auto kernel : {Base64Kernel::neon, Base64Kernel::avx2, Base64Kernel::avx512}) {
    const bool here = std::find(supported.begin(), supported.end(), kernel) != supported.end();
    EXPECT_EQ(choose_base64_kernel(to_string(kernel)), here ? kernel : supported.front());
    if (!here) {
      EXPECT_FALSE(set_base64_kernel(kernel));
    }
  }
}

TEST(Base64Describe, HintsAtTheLikelyCause) {
  EXPECT_EQ(describe("AAAA"), "valid base64");
  EXPECT_EQ(describe("=AAA"), "the base64 text begins with padding ('=')");
  EXPECT_EQ(
      describe("AA==AAAA"),
      "excess text after the base64 padding at character 4 (counted from 0): were several encoded pieces joined?");
  EXPECT_EQ(describe("AAAA=AAA"),
            "base64 data after padding ('=') at character 5 (counted from 0): were several encoded pieces joined?");
  EXPECT_EQ(describe("AAAAA"), "5 base64 data characters are one more than a multiple of 4: is the text cut off?");
  EXPECT_EQ(describe("AAAAA="), "5 base64 data characters are one more than a multiple of 4: is the text cut off?");
  EXPECT_EQ(describe("AA"), "incorrect base64 padding: 2 '=' missing at the end");
  EXPECT_EQ(describe("AA="), "incorrect base64 padding: 1 '=' missing at the end");
  EXPECT_EQ(describe("AAA"), "incorrect base64 padding: 1 '=' missing at the end");
  EXPECT_EQ(describe("AAAA\n"),
            "white space at character 4 (counted from 0): base64.encodebytes or a line-wrapping encoder was used; "
            "use base64.b64encode");
  for (const char* text : {"AA-A", "AA_A"}) {
    EXPECT_NE(describe(text).find("URL-safe base64: use the standard alphabet (base64.b64encode, not "
                                  "urlsafe_b64encode)"),
              std::string::npos);
  }
  EXPECT_EQ(describe("data:image/png;base64,AAAA"),
            "':' is not base64, at character 4 (counted from 0); a data: URL is not allowed here: send only what "
            "follows its comma");
  EXPECT_EQ(describe("Data:AAA"), "':' is not base64, at character 4 (counted from 0)");
  EXPECT_EQ(describe("AA%3D"),
            "'%' is not base64, at character 2 (counted from 0); is the text percent-encoded for a URL?");
  EXPECT_EQ(describe("AA\xc3\xa9"), "byte 0xc3 is not base64, at character 2 (counted from 0)");
}

TEST(Base64Describe, NamesEveryVerdictAndKernel) {
  for (int i = 0; i <= 6; ++i) EXPECT_NE(to_string(static_cast<Base64Verdict>(i)), "unknown");
  for (int i = 0; i <= 3; ++i) EXPECT_NE(to_string(static_cast<Base64Kernel>(i)), "unknown");
}

}  // namespace
}  // namespace tensorwire
