#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace wherry {

Progress::Progress(bool wanted) : enabled_(wanted && ::isatty(STDERR_FILENO) != 0) {}

void Progress::at(const std::string& stage, double done, double total) {
  const Clock::time_point now = Clock::now();
  if (!enabled_ || now - begin_ < std::chrono::milliseconds(700) || now - last_ < std::chrono::milliseconds(50)) return;
  last_ = now;
  drawn_ = true;
  constexpr int width = 30;
  std::string bar;
  if (total > 0) {
    const int full = static_cast<int>(done / total * width);
    bar = fmt::format(" [{}{}] {:3.0f}%", std::string(static_cast<std::size_t>(full), '='),
                      std::string(static_cast<std::size_t>(width - full), ' '), done / total * 100);
  }
  fmt::print(stderr, "\r\033[K{:<12}{}", stage, bar);
  std::fflush(stderr);
}

void Progress::clear() {
  if (drawn_) fmt::print(stderr, "\r\033[K");
  drawn_ = false;
}

}  // namespace wherry
