// What a user is told when something cannot be done: collected, so that all of it is said at once.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <exception>
#include <string>
#include <string_view>
#include <vector>

namespace wherry {

enum class Severity { warning, error };

// A place in a text file; `text` is the whole line, so that a caret can be drawn under `column` (both count from 1).
struct Place {
  std::string file;
  int line = 0;
  int column = 0;
  std::string text;
  int length = 1;  // how many columns the caret line underlines
};

// One message. `code` is a row of codes.def. Only code and message are required.
struct Diagnostic {
  std::string code;
  std::string message;    // what is wrong, with found against expected: one sentence, no full stop
  std::string at = {};    // module path and source line: "backbone.stage2.attn (model.py:118)"
  std::string in = {};    // the types that went in: "x: float32[1, 64, 28, 28]"
  std::string next = {};  // the next step: what the user can do; empty: the code's own
  Place place = {};       // a place in a text file, if the fault is there
  Severity severity = Severity::error;
};

class Diagnostics {
 public:
  void add(Diagnostic diagnostic);
  bool has_errors() const { return errors_ > 0; }
  const std::vector<Diagnostic>& all() const { return all_; }
  // Throws Failure with all that was collected, if one of them is an error.
  void throw_if_errors();

 private:
  std::vector<Diagnostic> all_;
  int errors_ = 0;
};

// Ends the work on a user's fault. Caught in cli/main.cpp and in the Python bindings, nowhere else.
class Failure : public std::exception {
 public:
  explicit Failure(std::vector<Diagnostic> diagnostics);
  const char* what() const noexcept override { return text_.c_str(); }
  const std::vector<Diagnostic>& diagnostics() const { return diagnostics_; }

 private:
  std::vector<Diagnostic> diagnostics_;
  std::string text_;
};

// Ends the work at once with one message: for a fault after which nothing more can be read.
[[noreturn]] void fail(Diagnostic diagnostic);

// The message as printed: code, place with caret, at, in, next. Colour only if the caller knows a terminal reads it.
std::string render(const Diagnostic& diagnostic, bool colour = false);
nlohmann::ordered_json to_json(const Diagnostic& diagnostic);

// Every error code with its meaning and the step that is said where a message has none of its own, in order: the source of docs/errors.md.
struct CodeMeaning {
  std::string_view code, meaning, next;
};
const std::vector<CodeMeaning>& all_codes();

}  // namespace wherry
