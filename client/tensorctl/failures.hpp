// One line on stderr and the right exit code for everything that ends a command early.
#pragma once

#include <string>

#include "settings.hpp"
#include "tensorclient/outcome.hpp"

namespace tensorctl {

// "tensorctl: ..." on stderr.
void complain(const std::string& sentence);
// The same with the exit code to end with.
[[nodiscard]] int fail(Exit code, const std::string& sentence);
[[nodiscard]] int fail(const tensorclient::Failure& failure);
[[nodiscard]] Exit exit_code(const tensorclient::Failure& failure) noexcept;

}  // namespace tensorctl
