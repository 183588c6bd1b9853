// Maps failures to exit codes and prints them.
#include "failures.hpp"

#include <algorithm>
#include <cstdio>

namespace tensorctl {

void complain(const std::string& sentence) {
  std::string line = sentence;
  // The words may be a server's: none of them shall move the terminal's cursor or make a second line.
  std::replace_if(
      line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  std::fprintf(stderr, "tensorctl: %s\n", line.c_str());
}

int fail(Exit code, const std::string& sentence) {
  complain(sentence);
  return code;
}

Exit exit_code(const tensorclient::Failure& failure) noexcept {
  using tensorclient::FailureKind;
  switch (failure.kind) {
    case FailureKind::invalid:
      return kUsage;
    case FailureKind::connect_failed:
    case FailureKind::disconnected:
    case FailureKind::protocol:
      return kNoConnection;
    case FailureKind::deadline_exceeded:
      return kTimeout;
    case FailureKind::remote:
      return kRemoteError;
    case FailureKind::cancelled:
      return kInterrupted;
  }
  return kUsage;
}

int fail(const tensorclient::Failure& failure) {
  return fail(exit_code(failure),
              failure.kind == tensorclient::FailureKind::cancelled ? "interrupted" : failure.describe());
}

}  // namespace tensorctl
