// Keeps a library from writing to the terminal: while this lives, what the process writes to stderr is collected.
#pragma once

#include <string>

namespace wherry {

class QuietStderr {
 public:
  QuietStderr();
  ~QuietStderr();  // gives stderr back, and passes on what other threads wrote to it meanwhile
  QuietStderr(const QuietStderr&) = delete;
  QuietStderr& operator=(const QuietStderr&) = delete;

  // The library's complaints so far ("ERROR: …", "WARNING: …"), joined by "; ", without those words.
  std::string complaints() const;

 private:
  int kept_ = -1, collected_ = -1;
};

}  // namespace wherry
