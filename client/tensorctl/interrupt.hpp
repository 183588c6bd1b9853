// Ctrl-C and SIGTERM: the first raises a flag that every wait looks at, the second ends the program at once.
#pragma once

#include <atomic>

namespace tensorctl {

void catch_interrupts();
// What tensorclient::Options::cancel wants.
[[nodiscard]] const std::atomic<bool>& interrupted() noexcept;

}  // namespace tensorctl
