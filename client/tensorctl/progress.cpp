// Draws the progress line.
#include "progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "render.hpp"

namespace tensorctl {

Progress::Progress(std::size_t total, bool wanted) : total_(total), active_(wanted && ::isatty(STDERR_FILENO) == 1) {}

std::string Progress::line(std::size_t done, std::uint64_t bytes) const {
  constexpr std::size_t kWidth = 24;
  const std::size_t filled = total_ == 0 ? kWidth : std::min(kWidth, kWidth * done / total_);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  const double rate = seconds > 0 ? static_cast<double>(bytes) / seconds : 0;
  std::string text(1, '[');
  text.append(filled, '#').append(kWidth - filled, ' ').append("] ");
  text.append(std::to_string(done)).append("/").append(std::to_string(total_)).append("  ");
  return text.append(human_bytes(static_cast<double>(bytes))).append("  ").append(human_bytes(rate)).append("/s");
}

void Progress::update(std::size_t done, std::uint64_t bytes) {
  const auto now = std::chrono::steady_clock::now();
  if (!active_ || now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  shown_ = true;
  std::fprintf(stderr, "\r\033[K%s", line(done, bytes).c_str());
}

void Progress::clear() {
  if (shown_) std::fputs("\r\033[K", stderr);
  shown_ = false;
}

}  // namespace tensorctl
