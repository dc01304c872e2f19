#include "ir/expression.h"

#include "base/text.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

namespace wherry {

namespace {

constexpr int deepest = 64;

bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Evaluator {
 public:
  Evaluator(std::string_view text, const Scope& scope) : text_(text), scope_(scope) {}

  Attr all() {
    Attr value = either();
    skip_space();
    if (at_ < text_.size()) fault(fmt::format("'{}' is not expected here", text_[at_]));
    return value;
  }

 private:
  [[noreturn]] void fault(std::string message, std::size_t offset) const { throw ExpressionFault{std::move(message), offset}; }
  [[noreturn]] void fault(std::string message) const { fault(std::move(message), at_); }

  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }

  bool take(std::string_view token) {
    skip_space();
    if (!text_.substr(at_).starts_with(token)) return false;
    const std::size_t end = at_ + token.size();
    if (is_name(token.back()) && end < text_.size() && is_name(text_[end])) return false;
    at_ = end;
    return true;
  }

  bool truth(const Attr& value, std::string_view what, std::size_t offset) const {
    if (const bool* flag = std::get_if<bool>(&value)) return *flag;
    fault(fmt::format("'{}' takes true or false, not {}", what, text(value)), offset);
  }

  Attr either() {
    const std::size_t start = at_;
    Attr left = both();
    while (take("or")) {
      const bool right = truth(both(), "or", start);
      left = truth(left, "or", start) || right;
    }
    return left;
  }

  Attr both() {
    const std::size_t start = at_;
    Attr left = negation();
    while (take("and")) {
      const bool right = truth(negation(), "and", start);
      left = truth(left, "and", start) && right;
    }
    return left;
  }

  Attr negation() {
    if (!take("not")) return comparison();
    const std::size_t start = at_;
    if (++depth_ > deepest) fault("the expression nests too deep");
    const bool value = truth(negation(), "not", start);
    --depth_;
    return !value;
  }

  static std::optional<double> number(const Attr& value) {
    if (const auto* i = std::get_if<std::int64_t>(&value)) return static_cast<double>(*i);
    if (const auto* d = std::get_if<double>(&value)) return *d;
    return std::nullopt;
  }

  static bool equal(const Attr& a, const Attr& b) {
    const auto x = number(a), y = number(b);
    return x && y && a.index() != b.index() ? *x == *y : a == b;
  }

  Attr comparison() {
    const std::size_t start = at_;
    const Attr left = sum();
    for (const std::string_view sign : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (!take(sign)) continue;
      const Attr right = sum();
      if (sign == "==") return equal(left, right);
      if (sign == "!=") return !equal(left, right);
      const auto x = number(left), y = number(right);
      if (!x || !y) fault(fmt::format("'{}' compares numbers, not {} and {}", sign, text(left), text(right)), start);
      return sign == "<" ? *x < *y : sign == ">" ? *x > *y : sign == "<=" ? *x <= *y : *x >= *y;
    }
    return left;
  }

  Attr sum() {
    Attr left = product();
    while (true) {
      const std::size_t start = at_;
      if (take("+"))
        left = arithmetic('+', left, product(), start);
      else if (take("-"))
        left = arithmetic('-', left, product(), start);
      else
        return left;
    }
  }

  Attr product() {
    Attr left = unary();
    while (true) {
      const std::size_t start = at_;
      if (take("//"))
        left = arithmetic('|', left, unary(), start);
      else if (take("*"))
        left = arithmetic('*', left, unary(), start);
      else if (take("/"))
        left = arithmetic('/', left, unary(), start);
      else if (take("%"))
        left = arithmetic('%', left, unary(), start);
      else
        return left;
    }
  }

  Attr unary() {
    const std::size_t start = at_;
    if (!take("-")) return primary();
    if (++depth_ > deepest) fault("the expression nests too deep");
    const Attr value = arithmetic('-', std::int64_t{0}, unary(), start);
    --depth_;
    return std::holds_alternative<double>(value) && std::get<double>(value) == 0 ? Attr(-0.0) : value;
  }

  Attr primary() {
    skip_space();
    if (++depth_ > deepest) fault("the expression nests too deep");
    Attr value = operand();
    --depth_;
    return value;
  }

  Attr operand() {
    if (take("(")) {
      Attr value = either();
      if (!take(")")) fault("')' is missing");
      return value;
    }
    if (take("true")) return true;
    if (take("false")) return false;
    if (take("null")) return None{};
    if (take("min(")) return extreme(true);
    if (take("max(")) return extreme(false);
    if (at_ < text_.size() && text_[at_] == '$') return parameter();
    if (at_ < text_.size() && (is_digit(text_[at_]) || text_[at_] == '.')) return literal();
    if (at_ < text_.size() && text_[at_] == '\'') return word();
    fault(at_ < text_.size() ? fmt::format("'{}' is not expected here", text_[at_]) : "the expression ends too early");
  }

  Attr extreme(bool least) {
    const std::size_t start = at_;
    std::optional<Attr> best;
    do {
      Attr value = either();
      const auto x = number(value);
      if (!x) fault(fmt::format("min and max take numbers, not {}", text(value)), start);
      if (!best || (least ? *x < *number(*best) : *x > *number(*best))) best = std::move(value);
    } while (take(","));
    if (!take(")")) fault("')' is missing");
    return *best;
  }

  Attr parameter() {
    const std::size_t start = at_++;
    while (at_ < text_.size() && is_name(text_[at_])) ++at_;
    const std::string_view name = text_.substr(start + 1, at_ - start - 1);
    if (const Attr* value = scope_.find(name)) return *value;
    const std::vector<std::string> names = scope_.names();
    const std::string guess = nearest(name, names);
    throw ExpressionFault{
        fmt::format("there is no parameter '${}'{}", name, guess.empty() ? "" : fmt::format("; did you mean '${}'?", guess)), start,
        names.empty() ? "there are no parameters here" : "there are: $" + join(names, ", $")};
  }

  Attr literal() {
    const std::size_t start = at_;
    while (at_ < text_.size() &&
           (is_name(text_[at_]) || text_[at_] == '.' || ((text_[at_] == '-' || text_[at_] == '+') && text_[at_ - 1] == 'e')))
      ++at_;
    const char *first = text_.data() + start, *last = text_.data() + at_;
    std::int64_t integer = 0;
    if (const auto [end, error] = std::from_chars(first, last, integer); error == std::errc() && end == last) return integer;
    double real = 0;
    const auto [end, error] = std::from_chars(first, last, real);
    const bool whole = std::all_of(first, last, is_digit);
    if (error != std::errc() || end != last || whole)
      fault(fmt::format("'{}' is not a number that fits", text_.substr(start, at_ - start)), start);
    return real;
  }

  Attr word() {
    const std::size_t end = text_.find('\'', at_ + 1);
    if (end == std::string_view::npos) fault("the quote is not closed");
    std::string value(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return value;
  }

  Attr arithmetic(char sign, const Attr& a, const Attr& b, std::size_t start) const {
    const std::string_view shown = sign == '|' ? "//" : std::string_view(&sign, 1);
    const auto x = number(a), y = number(b);
    if (!x || !y) fault(fmt::format("'{}' takes numbers, not {} and {}", shown, text(a), text(b)), start);
    if ((sign == '/' || sign == '|' || sign == '%') && *y == 0)
      fault(fmt::format("division by zero: {} {} {}", text(a), shown, text(b)), start);
    if (sign == '/') return *x / *y;
    const auto *i = std::get_if<std::int64_t>(&a), *j = std::get_if<std::int64_t>(&b);
    if (i && j) return whole_numbers(sign, *i, *j, start);
    switch (sign) {
      case '+': return *x + *y;
      case '-': return *x - *y;
      case '*': return *x * *y;
      case '|': return std::floor(*x / *y);
      default: return *x - std::floor(*x / *y) * *y;
    }
  }

  Attr whole_numbers(char sign, std::int64_t a, std::int64_t b, std::size_t start) const {
    std::int64_t result = 0;
    bool overflow = false;
    if (sign == '+')
      overflow = __builtin_add_overflow(a, b, &result);
    else if (sign == '-')
      overflow = __builtin_sub_overflow(a, b, &result);
    else if (sign == '*')
      overflow = __builtin_mul_overflow(a, b, &result);
    else if (b == -1)
      overflow = sign == '|' && __builtin_sub_overflow(std::int64_t{0}, a, &result);
    else {
      const std::int64_t rest = a % b, below = rest != 0 && (rest < 0) != (b < 0) ? 1 : 0;
      result = sign == '|' ? a / b - below : rest + below * b;
    }
    if (overflow) fault("the result does not fit 64 bits", start);
    return result;
  }

  std::string_view text_;
  const Scope& scope_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Attr evaluate(std::string_view expression, const Scope& scope) { return Evaluator(expression, scope).all(); }

}  // namespace wherry
