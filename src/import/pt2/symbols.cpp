#include "import/pt2/symbols.h"

#include "base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <memory>

namespace wherry::pt2 {

namespace {

// One grammar for both spellings: calls ("Add(a, b)") and signs ("a + b").
struct Term {
  enum Kind { number, symbol, call } kind = number;
  std::int64_t value = 0;
  std::string name;
  std::vector<Term> args;
};

constexpr int deepest = 100;
constexpr std::size_t longest = 4096;

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::optional<Term> all() {
    if (text_.size() > longest) return std::nullopt;
    std::optional<Term> term = sum(0);
    skip();
    return at_ == text_.size() ? term : std::nullopt;
  }

 private:
  void skip() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool take(std::string_view sign) {
    skip();
    if (!text_.substr(at_).starts_with(sign)) return false;
    at_ += sign.size();
    return true;
  }
  static bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.'; }
  std::string_view word() {
    skip();
    const std::size_t start = at_;
    while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    return text_.substr(start, at_ - start);
  }

  std::optional<Term> sum(int depth) {
    std::optional<Term> left = product(depth);
    while (left) {
      const char* name = take("+") ? "Add" : take("-") ? "Sub" : nullptr;
      if (!name) break;
      left = join(name, std::move(left), product(depth));
    }
    return left;
  }

  std::optional<Term> product(int depth) {
    std::optional<Term> left = unary(depth);
    while (left) {
      const char* name = take("//") ? "FloorDiv" : take("*") ? "Mul" : take("%") ? "Mod" : nullptr;
      if (!name) break;
      left = join(name, std::move(left), unary(depth));
    }
    return left;
  }

  static std::optional<Term> join(const char* name, std::optional<Term> left, std::optional<Term> right) {
    if (!left || !right) return std::nullopt;
    Term term{.kind = Term::call, .name = name};
    term.args.push_back(std::move(*left));
    term.args.push_back(std::move(*right));
    return term;
  }

  std::optional<Term> unary(int depth) {
    if (depth > deepest) return std::nullopt;
    if (take("-")) return join("Sub", Term{}, unary(depth + 1));
    if (take("(")) {
      std::optional<Term> inside = sum(depth + 1);
      return take(")") ? inside : std::nullopt;
    }
    const std::string_view name = word();
    if (name.empty()) return std::nullopt;
    if (std::isdigit(static_cast<unsigned char>(name[0]))) return integer(name);
    if (!take("(")) return Term{.kind = Term::symbol, .name = std::string(name)};
    return name == "Symbol" || name == "Dummy" ? symbol() : call(name, depth + 1);
  }

  static std::optional<Term> integer(std::string_view digits) {
    Term term;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), term.value);
    return error == std::errc() && end == digits.data() + digits.size() ? std::optional(term) : std::nullopt;
  }

  std::optional<Term> symbol() {  // after "Symbol(": 's0', assumptions…)
    if (!take("'")) return std::nullopt;
    const std::size_t end = text_.find('\'', at_), close = text_.find(')', at_);
    if (end == std::string_view::npos || close == std::string_view::npos || close < end) return std::nullopt;
    Term term{.kind = Term::symbol, .name = std::string(text_.substr(at_, end - at_))};
    at_ = close + 1;
    return is_identifier(term.name) ? std::optional(term) : std::nullopt;
  }

  std::optional<Term> call(std::string_view name, int depth) {
    Term term{.kind = Term::call, .name = std::string(name)};
    if (!take(")")) {
      do {
        std::optional<Term> arg = sum(depth);
        if (!arg) return std::nullopt;
        term.args.push_back(std::move(*arg));
      } while (take(","));
      if (!take(")")) return std::nullopt;
    }
    if (name == "Integer" && term.args.size() == 1) return std::move(term.args[0]);
    return term;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

bool is_division(const Term& t) { return (t.name == "FloorDiv" || t.name == "CleanDiv") && t.args.size() == 2; }
bool is_positive_number(const Dim& d) { return d.known() && d.size() > 0; }

Dim to_dim(const Term& term) {
  if (term.kind == Term::number) return term.value;
  if (term.kind == Term::symbol) return Dim::symbol(term.name);
  std::vector<Dim> args;
  for (const Term& arg : term.args) args.push_back(to_dim(arg));
  if ((term.name == "Add" || term.name == "Mul") && !args.empty()) {
    // Symbols first, numbers last: "s0 + 1", but "2 * s0".
    if (term.name == "Add") std::stable_partition(args.begin(), args.end(), [](const Dim& d) { return !d.known(); });
    Dim result = args[0];
    for (std::size_t i = 1; i < args.size(); ++i) result = term.name == "Add" ? result + args[i] : result * args[i];
    return result;
  }
  if (term.name == "Sub" && args.size() == 2) return args[0] - args[1];
  if (is_division(term) && (!args[1].known() || is_positive_number(args[1]))) return floor_div(args[0], args[1]);
  std::vector<std::string> words;
  for (const Dim& arg : args) words.push_back(arg.text());
  return Dim::symbol(fmt::format("{}({})", term.name, join(words, ", ")));
}

void collect(const Term& term, std::map<std::string, std::int64_t>& symbols) {
  if (term.kind == Term::symbol) symbols[term.name] = 0;
  for (const Term& arg : term.args) collect(arg, symbols);
}

std::int64_t floor_of(std::int64_t a, std::int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0); }

// nullopt: an overflow, a division by zero, or a function that is not known.
std::optional<std::int64_t> evaluate(const Term& term, const std::map<std::string, std::int64_t>& symbols) {
  if (term.kind == Term::number) return term.value;
  if (term.kind == Term::symbol) return symbols.at(term.name);
  std::vector<std::int64_t> args;
  for (const Term& arg : term.args) {
    const std::optional<std::int64_t> value = evaluate(arg, symbols);
    if (!value) return std::nullopt;
    args.push_back(*value);
  }
  if (args.empty()) return std::nullopt;
  std::int64_t result = args[0];
  bool wrapped = false;
  for (std::size_t i = 1; i < args.size(); ++i) {
    const std::int64_t arg = args[i];
    if (term.name == "Add")
      wrapped |= __builtin_add_overflow(result, arg, &result);
    else if (term.name == "Sub")
      wrapped |= __builtin_sub_overflow(result, arg, &result);
    else if (term.name == "Mul")
      wrapped |= __builtin_mul_overflow(result, arg, &result);
    else if (term.name == "Max")
      result = std::max(result, arg);
    else if (term.name == "Min")
      result = std::min(result, arg);
    else if (arg == 0 || arg == -1)
      return std::nullopt;
    else if (is_division(term))
      result = floor_of(result, arg);
    else if (term.name == "Mod" || term.name == "PythonMod")
      result -= floor_of(result, arg) * arg;
    else
      return std::nullopt;
  }
  return wrapped ? std::nullopt : std::optional(result);
}

}  // namespace

std::optional<Dim> parse_symbolic(std::string_view expression) {
  const std::optional<Term> term = Parser(expression).all();
  return term ? std::optional(to_dim(*term)) : std::nullopt;
}

bool same_size(const Dim& a, const Dim& b) {
  if (a == b) return true;
  if (a.known() && b.known()) return false;
  const std::optional<Term> left = Parser(a.text()).all(), right = Parser(b.text()).all();
  if (!left || !right) return false;
  std::map<std::string, std::int64_t> symbols;
  collect(*left, symbols);
  collect(*right, symbols);
  constexpr std::array<std::int64_t, 8> samples = {97, 128, 210, 223, 256, 331, 500, 1024};
  for (std::size_t shift = 0; shift < samples.size(); ++shift) {
    std::size_t i = shift;
    for (auto& [name, value] : symbols) {
      value = samples[i % samples.size()] + static_cast<std::int64_t>(i / samples.size());
      ++i;
    }
    const auto found = evaluate(*left, symbols), expected = evaluate(*right, symbols);
    if (!found || !expected || *found != *expected) return false;
  }
  return true;
}

bool same_shape(const Shape& a, const Shape& b) { return std::equal(a.begin(), a.end(), b.begin(), b.end(), same_size); }

}  // namespace wherry::pt2
