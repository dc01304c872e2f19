// A progress bar on stderr: only on a terminal, and only for what takes longer than a moment.
#pragma once

#include <chrono>
#include <string>

namespace wherry {

class Progress {
 public:
  explicit Progress(bool wanted);  // false (--json, --quiet) never draws
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void at(const std::string& stage, double done = 0, double total = 0);  // total 0: no bar, the stage's name alone
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  bool enabled_;
  bool drawn_ = false;
  Clock::time_point begin_ = Clock::now(), last_{};
};

}  // namespace wherry
