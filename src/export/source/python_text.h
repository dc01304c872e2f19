// Python source as `ruff format` leaves it: 88 columns, four spaces, one argument a row where a list does not fit one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace wherry::source {

class PythonText {
 public:
  // One statement, however long; it is broken at its last bracket, a conditional or a condition within brackets of its own.
  // The statement is written as it would stand in one row: spaces around operators, double quotes, no comma behind the last part.
  void statement(const std::string& text);
  void open(const std::string& header) { statement(header), ++depth_; }  // "class A(nn.Module):", what follows stands within
  void indent() { ++depth_; }
  void close() { --depth_; }
  void append(const PythonText& other) { text_ += other.text_; }  // rows that are indented already
  void blank(int rows = 1);                                       // before the next statement; the greatest one counts
  void docstring(const std::string& summary, const std::vector<std::string>& rows = {});
  void raw(std::string_view definition);             // whole rows of the module's level
  int room() const { return columns - 4 * depth_; }  // columns that a row has
  std::string text() const { return text_; }

  static constexpr int columns = 88;

 private:
  void row(const std::string& text);

  std::string text_;
  int depth_ = 0, blanks_ = 0;
};

// The statement in rows, indented against the first one.
std::vector<std::string> broken(const std::string& statement, int room);
// Where no bracket or quote encloses: the parts between commas.
std::vector<std::string> arguments_of(std::string_view list);
// Whether a name such as "torch." stands in the source, and not as the end of a longer one.
bool mentions(const std::string& source, std::string_view name);
// Words in rows of at most `width` columns.
std::vector<std::string> filled(const std::string& words, int width);

}  // namespace wherry::source
