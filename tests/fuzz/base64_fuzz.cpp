// Fuzzes the base64 codec: every kernel, at every split into two pieces, must agree with a plain decoder.
#include <cstdio>
#include <cstdlib>

#include "../unit/base64_oracle.hpp"

namespace {

namespace oracle = tensorwire::base64_oracle;

// Trying every split is quadratic work; beyond this length inputs reach nothing new in the kernels' loops.
constexpr std::size_t longest = 1100;

[[noreturn]] void report(const char* what, tensorwire::Base64Kernel kernel, std::size_t split) {
  std::fprintf(stderr, "%s: kernel %s, split at %zu\n", what, tensorwire::to_string(kernel).data(), split);
  std::abort();
}

void check_decoding(std::string_view text, tensorwire::Base64Kernel kernel) {
  const oracle::Decoded plain = oracle::decode(text);
  for (std::size_t split = 0; split <= text.size(); ++split) {
    if (oracle::decode_in_two(text, split) != plain) report("decoders differ", kernel, split);
  }
}

void check_encoding(std::string_view bytes, tensorwire::Base64Kernel kernel) {
  const std::string plain = oracle::encode(bytes);
  for (std::size_t split = 0; split <= bytes.size(); ++split) {
    if (oracle::encode_in_two(bytes, split) != plain) report("encoders differ", kernel, split);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size < longest ? size : longest);
  for (const tensorwire::Base64Kernel kernel : tensorwire::supported_base64_kernels()) {
    tensorwire::set_base64_kernel(kernel);
    check_decoding(input, kernel);
    check_encoding(input, kernel);
  }
  return 0;
}
