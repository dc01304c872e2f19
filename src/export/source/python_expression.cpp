#include "export/source/python_expression.h"

#include "base/check.h"
#include "base/text.h"
#include "ir/expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace wherry::source {

namespace {

constexpr std::array words_of_python = {
    "False",  "None",     "True", "and",    "as",   "assert", "async",   "await",  "break", "class",  "continue", "def",
    "del",    "elif",     "else", "except", "for",  "from",   "finally", "global", "if",    "import", "in",       "is",
    "lambda", "nonlocal", "not",  "or",     "pass", "raise",  "return",  "try",    "while", "with",   "yield",
};
constexpr std::array built_in = {
    // and modules, that generated texts use
    "min", "max",   "range", "super", "len",   "list", "dict", "float", "zip", "enumerate", "isinstance", "iter", "next",
    "int", "tuple", "self",  "math",  "torch", "nn",   "F",    "jax",   "jnp", "nnx",       "keras",      "np",
};

bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

std::string number(double value) {
  if (std::isnan(value)) return R"(float("nan"))";
  if (std::isinf(value)) return value > 0 ? R"(float("inf"))" : R"(-float("inf"))";
  std::string written = text(Attr(value));
  if (const std::size_t plus = written.find("e+"); plus != std::string::npos) written.erase(plus + 1, 1);
  return written;
}

std::string tuple(const std::vector<std::string>& parts) {
  return parts.size() == 1 ? fmt::format("({},)", parts[0]) : fmt::format("({})", join(parts, ", "));
}

template <class T, class F>
std::string tuple_of(const std::vector<T>& items, F text) {
  std::vector<std::string> parts;
  for (const T& item : items) parts.push_back(text(item));
  return tuple(parts);
}

// Tokens of an expression, spaced as Python is.
class Expression {
 public:
  Expression(std::string_view text, const NameOf& name) : text_(text), name_(name) {}

  std::string python() {
    while (at_ < text_.size()) token();
    return out_;
  }

 private:
  void token() {
    const char c = text_[at_];
    if (c == ' ' || c == '\n') return void(++at_);
    if (c == '\'') return quoted();
    if (c == '$' || is_name(c) || c == '.') return word();
    for (const std::string_view op : {"==", "!=", "<=", ">=", "//", "+", "-", "*", "/", "%", "<", ">"})
      if (text_.substr(at_).starts_with(op)) return binary(op);
    at_ += 1;
    out_ += c == ',' ? ", " : std::string(1, c);
    operand_ = c == ')';
  }

  void quoted() {
    const std::size_t end = text_.find('\'', at_ + 1);
    operand(python_string(text_.substr(at_ + 1, end - at_ - 1)));
    at_ = end + 1;
  }

  void word() {
    const std::size_t begin = at_++;
    while (at_ < text_.size() && (is_name(text_[at_]) || text_[at_] == '.' || (is_exponent_sign(begin)))) ++at_;
    const std::string_view word = text_.substr(begin, at_ - begin);
    if (word == "and" || word == "or") {
      out_ += fmt::format(" {} ", word);
      operand_ = false;
    } else if (word == "not") {
      out_ += "not ";
    } else {
      operand(word.starts_with('$') ? name_(word.substr(1))
              : word == "true"      ? "True"
              : word == "false"     ? "False"
              : word == "null"      ? "None"
                                    : std::string(word));
    }
  }
  bool is_exponent_sign(std::size_t begin) const {
    return (text_[at_] == '-' || text_[at_] == '+') && std::isdigit(static_cast<unsigned char>(text_[begin])) != 0 &&
           (text_[at_ - 1] == 'e' || text_[at_ - 1] == 'E');
  }

  void operand(const std::string& text) {
    out_ += text;
    operand_ = true;
  }
  void binary(std::string_view op) {
    at_ += op.size();
    out_ += operand_ ? fmt::format(" {} ", op) : std::string(op);
    operand_ = false;
  }

  std::string_view text_;
  const NameOf& name_;
  std::size_t at_ = 0;
  std::string out_;
  bool operand_ = false;  // what stands behind out_'s end is a value: a sign is an operator
};

}  // namespace

std::string python_string(std::string_view word) {
  std::string out = "\"";
  for (const char c : word) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string python_literal(const Attr& attr) {
  if (std::holds_alternative<None>(attr)) return "None";
  if (const bool* b = std::get_if<bool>(&attr)) return *b ? "True" : "False";
  if (const auto* s = std::get_if<std::string>(&attr)) return python_string(*s);
  if (const auto* d = std::get_if<DType>(&attr)) return python_string(name(*d));
  if (const auto* d = std::get_if<double>(&attr)) return number(*d);
  if (const auto* ints = std::get_if<Ints>(&attr)) return tuple_of(*ints, [](std::int64_t i) { return std::to_string(i); });
  if (const auto* floats = std::get_if<Floats>(&attr)) return tuple_of(*floats, number);
  if (const auto* strings = std::get_if<Strings>(&attr)) return tuple_of(*strings, [](const std::string& s) { return python_string(s); });
  return text(attr);
}

std::string python_value(const TextValue& value, const NameOf& name) {
  switch (value.kind) {
    case TextValue::null: return "None";
    case TextValue::boolean: return value.boolean_value ? "True" : "False";
    case TextValue::integer: return std::to_string(value.integer_value);
    case TextValue::number: return number(value.number_value);
    case TextValue::string:
      return is_expression(value.string_value) ? Expression(value.string_value, name).python() : python_string(value.string_value);
    case TextValue::list: return tuple_of(value.items, [&](const TextValue& item) { return python_value(item, name); });
    case TextValue::map: break;
  }
  WHERRY_CHECK(false, "a map is no value of Python's");
}

bool is_python_word(std::string_view name) {
  return std::find(words_of_python.begin(), words_of_python.end(), name) != words_of_python.end();
}

bool is_reserved(std::string_view name) {
  return is_python_word(name) || std::find(built_in.begin(), built_in.end(), name) != built_in.end();
}

std::string python_name(std::string_view text) {
  std::string name;
  for (const char c : text) name += is_name(c) ? c : '_';
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0])) != 0) name = "layer_" + name;
  return is_reserved(name) ? name + "_" : name;
}

std::string class_name(std::string_view text) {
  std::string name;
  bool begins = true;
  for (const char c : text) {
    const bool word = is_name(c) && c != '_';
    if (word) name += begins ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    begins = !word;
  }
  return name.empty() || std::isdigit(static_cast<unsigned char>(name[0])) != 0 ? "Model" + name : name;
}

std::string function_name(std::string_view text) {
  std::string name;
  const auto upper = [&](std::size_t i) { return i < text.size() && std::isupper(static_cast<unsigned char>(text[i])) != 0; };
  const auto lower = [&](std::size_t i) { return i < text.size() && std::islower(static_cast<unsigned char>(text[i])) != 0; };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool begins = upper(i) && i > 0 && (!upper(i - 1) || lower(i + 1)) && text[i - 1] != '_';
    if (begins) name += '_';
    name += is_name(text[i]) ? static_cast<char>(std::tolower(static_cast<unsigned char>(text[i]))) : '_';
  }
  return python_name(name);
}

std::string Names::unique(const std::string& wanted) {
  std::string name = wanted;
  for (int n = 2; !free(name); ++n) name = fmt::format("{}_{}", wanted, n);
  taken_.insert(name);
  return name;
}

namespace {

struct Hole {
  std::size_t begin, end;  // of "{name}" or "{name?}"
  std::string_view name;
  bool droppable;
};

std::optional<Hole> next_hole(std::string_view slot, std::size_t from) {
  for (std::size_t i = slot.find('{', from); i != std::string_view::npos; i = slot.find('{', i + 1)) {
    const std::size_t close = slot.find('}', i);
    if (close == std::string_view::npos) return {};
    std::string_view name = slot.substr(i + 1, close - i - 1);
    const bool droppable = name.ends_with('?');
    if (droppable) name.remove_suffix(1);
    const std::string_view word = name.ends_with('!') ? name.substr(0, name.size() - 1) : name;
    if (is_identifier(word)) return Hole{i, close + 1, name, droppable};
  }
  return {};
}

// "a + b" within "{x} * 2" needs brackets, within "f({x}, 2)" none.
bool needs_brackets(const std::string& value, const std::string& before, std::string_view after) {
  int depth = 0;
  bool compound = false;
  for (const char c : value) {
    depth += c == '(' || c == '[' || c == '{' ? 1 : c == ')' || c == ']' || c == '}' ? -1 : 0;
    compound |= c == ' ' && depth == 0;
  }
  if (!compound && !value.starts_with('-')) return false;
  const bool opened = before.empty() || before.ends_with('(') || before.ends_with(", ") || before.ends_with('=') || before.ends_with('[') ||
                      before.ends_with('*');
  const bool closed = after.empty() || after.starts_with(')') || after.starts_with(',') || after.starts_with(']');
  return !(opened && closed);
}

}  // namespace

std::vector<std::string> holes_of(std::string_view slot) {
  std::vector<std::string> names;
  for (std::optional<Hole> hole = next_hole(slot, 0); hole; hole = next_hole(slot, hole->end))
    names.emplace_back(hole->name.substr(0, hole->name.find('!')));
  return names;
}

std::string filled_slot(std::string_view slot, const HoleOf& hole_text, const NameOf& fallback) {
  std::string out;
  std::size_t at = 0;
  while (const std::optional<Hole> hole = next_hole(slot, at)) {
    out += slot.substr(at, hole->begin - at);
    at = hole->end;
    const std::optional<std::string> value = hole_text(hole->name);
    if (value ? value->empty() : hole->droppable) {  // the whole argument goes: ", stride={stride?}"
      const std::size_t comma = out.rfind(", "), open = out.find_last_of("([");
      const bool first = comma == std::string::npos || (open != std::string::npos && open > comma);
      out.resize(first ? open + 1 : comma);
      if (first && slot.substr(at).starts_with(", ")) at += 2;
      continue;
    }
    const std::string filled = value ? *value : fallback(hole->name);
    out += needs_brackets(filled, out, slot.substr(at)) ? "(" + filled + ")" : filled;
  }
  return out + std::string(slot.substr(at));
}

}  // namespace wherry::source
