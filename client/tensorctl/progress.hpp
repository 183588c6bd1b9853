// A progress line on a terminal's stderr; silent everywhere else.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace tensorctl {

class Progress {
 public:
  // `wanted` false, or stderr being no terminal: nothing is ever shown.
  Progress(std::size_t total, bool wanted);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Redraws at most ten times a second.
  void update(std::size_t done, std::uint64_t bytes);
  // Takes the line away, so that others can be printed.
  void clear();
  [[nodiscard]] bool active() const noexcept { return active_; }

 private:
  [[nodiscard]] std::string line(std::size_t done, std::uint64_t bytes) const;
  std::size_t total_;
  bool active_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace tensorctl
