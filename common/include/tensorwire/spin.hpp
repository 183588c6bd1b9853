// Whether to look again for a moment before going to sleep, told by how often that has paid lately.
#pragma once

#include <chrono>
#include <cstdint>

namespace tensorwire {

// About what a system takes to put a thread to sleep and to wake it, which is several times what answering a small
// message takes: no wait that was worth watching is longer.
inline constexpr std::chrono::microseconds kUsualSpin{50};

// Whoever expects bytes within microseconds does better to look for them again and again for a moment than to be woken;
// whoever expects them wrongly burns that moment's CPU time. So after some vain moments in a row only one wait in many
// is tried. Not thread-safe.
class Spin {
 public:
  // Asked before each wait.
  [[nodiscard]] bool worth_trying() noexcept {
    if (vain_ < kPatience) return true;
    untried_ = (untried_ + 1) % kRetryEvery;
    return untried_ == 0;
  }
  // What came of a moment that was tried.
  void note(bool found) noexcept {
    if (found) {
      vain_ = 0;
    } else if (vain_ < kPatience) {
      ++vain_;
    }
  }

 private:
  static constexpr unsigned kPatience = 4;
  static constexpr unsigned kRetryEvery = 32;
  unsigned vain_ = 0;
  unsigned untried_ = 0;
};

}  // namespace tensorwire
