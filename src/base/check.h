// CHECK states an invariant of Wherry itself. What a user typed or fed in never reaches one: that is a Diagnostic.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace wherry {

// A bug in Wherry. The command line prints it as such, asks for a report, and exits 1.
struct InternalError : std::logic_error {
  using std::logic_error::logic_error;
};

[[noreturn]] void check_failed(const char* file, int line, const char* condition, const std::string& message);

}  // namespace wherry

#define WHERRY_CHECK(condition, ...)                                                                    \
  do {                                                                                                  \
    if (!(condition)) ::wherry::check_failed(__FILE__, __LINE__, #condition, fmt::format(__VA_ARGS__)); \
  } while (false)
