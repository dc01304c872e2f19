#include "export/source/python_text.h"

#include "base/text.h"

#include <algorithm>
#include <functional>

namespace wherry::source {

namespace {

constexpr std::size_t none = std::string_view::npos;

// Calls f(position, depth) for every character outside of quotes; a bracket itself counts as outside of itself.
void each_outside(std::string_view text, const std::function<void(std::size_t, int)>& f) {
  int depth = 0;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote) {
      if (c == '\\') ++i;
      if (c == quote) quote = 0;
      continue;
    }
    if (c == '"' || c == '\'') quote = c;
    const bool closes = c == ')' || c == ']' || c == '}';
    if (closes) --depth;
    f(i, depth);
    if (c == '(' || c == '[' || c == '{') ++depth;
  }
}

// The first place of `word` that no bracket encloses.
std::size_t find_outside(std::string_view text, std::string_view word) {
  std::size_t found = none;
  each_outside(text, [&](std::size_t i, int depth) {
    if (found == none && depth == 0 && text.substr(i).starts_with(word)) found = i;
  });
  return found;
}

// The opening bracket of the group that the text ends with, but for ":".
std::size_t last_group(std::string_view text) {
  const std::size_t end = text.ends_with(':') ? text.size() - 2 : text.size() - 1;
  std::size_t open = none, last = none;
  each_outside(text, [&](std::size_t i, int depth) {
    const char c = text[i];
    if (depth != 0) return;
    if (c == '(' || c == '[' || c == '{') open = i;
    if ((c == ')' || c == ']' || c == '}') && i == end) last = open;
  });
  return last;
}

bool fits(std::string_view text, int room) { return static_cast<int>(text.size()) <= room; }

void append(std::vector<std::string>& rows, const std::vector<std::string>& more, std::string_view before = "    ") {
  for (const std::string& row : more) rows.push_back(row.empty() ? row : std::string(before) + row);
}

// An expression with operators, in rows that begin with them.
std::vector<std::string> at_operators(const std::string& value, int room) {
  if (fits(value, room)) return {value};
  for (const std::vector<std::string_view>& words :
       {std::vector<std::string_view>{" if ", " else "}, std::vector<std::string_view>{" or "}, std::vector<std::string_view>{" and "},
        std::vector<std::string_view>{" + ", " - "}, std::vector<std::string_view>{" * ", " / ", " // "}}) {
    std::vector<std::size_t> cuts;
    each_outside(value, [&](std::size_t i, int depth) {
      for (const std::string_view word : words)
        if (depth == 0 && std::string_view(value).substr(i).starts_with(word)) cuts.push_back(i);
    });
    if (cuts.empty()) continue;
    std::vector<std::string> rows;
    std::size_t begin = 0;
    for (const std::size_t cut : cuts) append(rows, broken(value.substr(begin, cut - begin), room), ""), begin = cut + 1;
    append(rows, broken(value.substr(begin), room), "");
    return rows;
  }
  return broken(value, room);
}

bool has_operator(std::string_view value) {
  for (const std::string_view word :
       {" if ", " or ", " and ", " + ", " - ", " * ", " / ", " // ", " == ", " != ", " < ", " > ", " <= ", " >= "})
    if (find_outside(value, word) != none) return true;
  return false;
}

// Brackets around one expression, not around arguments or a tuple: a comma would change what they mean.
bool only_groups(const std::string& text, std::size_t open, const std::string& body) {
  if (text[open] != '(' || find_outside(body, ",") != none) return false;
  if (open == 0) return true;
  const char before = text[open - 1];
  return std::isalnum(static_cast<unsigned char>(before)) == 0 && before != '_' && before != ')' && before != ']';
}

std::vector<std::string> in_group(const std::string& text, std::size_t open, int room) {
  const std::size_t close = text.rfind(text[open] == '(' ? ')' : text[open] == '[' ? ']' : '}');
  const std::string body = text.substr(open + 1, close - open - 1);
  std::vector<std::string> rows = {text.substr(0, open + 1)};
  if (fits(body, room - 4) && !body.empty()) {
    rows.push_back("    " + body);
  } else if (only_groups(text, open, body)) {
    append(rows, at_operators(body, room - 4));
  } else {
    for (const std::string& part : arguments_of(body)) {
      append(rows, broken(part, room - 5));
      rows.back() += ",";
    }
  }
  rows.push_back(text.substr(close));
  return rows;
}

}  // namespace

std::vector<std::string> arguments_of(std::string_view list) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  const auto take = [&](std::size_t end) {
    std::string_view part = list.substr(begin, end - begin);
    while (part.starts_with(' ')) part.remove_prefix(1);
    if (!part.empty()) parts.emplace_back(part);
    begin = end + 1;
  };
  each_outside(list, [&](std::size_t i, int depth) {
    if (depth == 0 && list[i] == ',') take(i);
  });
  take(list.size());
  return parts;
}

std::vector<std::string> broken(const std::string& statement, int room) {
  if (fits(statement, room)) return {statement};
  std::string head, value = statement, tail;
  const bool condition = statement.starts_with("if ") && statement.ends_with(':');
  const std::size_t equals = find_outside(statement, " = ");
  if (condition)
    head = "if ", value = statement.substr(3, statement.size() - 4), tail = ":";
  else if (statement.starts_with("return "))
    head = "return ", value = statement.substr(7);
  else if (equals != none)
    head = statement.substr(0, equals + 3), value = statement.substr(equals + 3);
  const bool whole = head.empty() && !condition;
  if (!whole && has_operator(value)) {
    std::vector<std::string> rows = {head + "("};
    append(rows, at_operators(value, room - 4));
    rows.push_back(")" + tail);
    return rows;
  }
  const std::size_t open = last_group(statement);
  return open == none ? std::vector<std::string>{statement} : in_group(statement, open, room);
}

bool mentions(const std::string& source, std::string_view name) {
  for (std::size_t at = source.find(name); at != std::string::npos; at = source.find(name, at + 1)) {
    const char before = at == 0 ? '\n' : source[at - 1];
    if (std::isalnum(static_cast<unsigned char>(before)) == 0 && before != '_' && before != '.') return true;
  }
  return false;
}

std::vector<std::string> filled(const std::string& words, int width) {
  std::vector<std::string> rows;
  for (const std::string& word : split(words, ' ')) {
    if (rows.empty() || static_cast<int>(rows.back().size() + 1 + word.size()) > width)
      rows.push_back(word);
    else
      rows.back() += " " + word;
  }
  return rows;
}

void PythonText::row(const std::string& text) {
  if (!text_.empty()) text_.append(static_cast<std::size_t>(blanks_), '\n');
  blanks_ = 0;
  if (!text.empty()) text_ += std::string(static_cast<std::size_t>(4 * depth_), ' ') + text;
  text_ += '\n';
}

void PythonText::statement(const std::string& text) {
  for (const std::string& r : broken(text, room())) row(r);
}

void PythonText::blank(int rows) { blanks_ = std::max(blanks_, rows); }

void PythonText::docstring(const std::string& summary, const std::vector<std::string>& rows) {
  const std::vector<std::string> first = filled(summary, room() - 6);
  const bool one = rows.empty() && first.size() == 1;
  for (std::size_t i = 0; i < first.size(); ++i) row((i == 0 ? R"(""")" : "") + first[i] + (one ? R"(""")" : ""));
  if (one) return;
  if (!rows.empty()) row("");
  for (const std::string& line : rows) row(line);
  row(R"(""")");
}

void PythonText::raw(std::string_view definition) {
  while (definition.starts_with('\n')) definition.remove_prefix(1);
  while (definition.ends_with('\n')) definition.remove_suffix(1);
  for (const std::string& line : split(std::string(definition), '\n')) row(line);
}

}  // namespace wherry::source
