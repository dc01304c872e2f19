#include "ir/type.h"

#include "base/check.h"
#include "base/text.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

namespace wherry {

Dim Dim::symbol(std::string expression) {
  Dim dim;
  dim.expression_ = std::move(expression);
  return dim;
}

std::int64_t Dim::size() const {
  WHERRY_CHECK(known(), "size of symbolic dimension '{}'", expression_);
  return size_;
}

std::string Dim::text() const { return known() ? std::to_string(size_) : expression_; }

namespace {

std::string operand(const Dim& d) {
  const bool simple = d.known() || is_identifier(d.expression());
  return simple ? d.text() : "(" + d.text() + ")";
}

Dim symbolic(const Dim& a, const char* sign, const Dim& b) { return Dim::symbol(operand(a) + " " + sign + " " + operand(b)); }

// "h - 2" as "h" and -2; an expression that ends in no number as itself and 0.
std::pair<Dim, std::int64_t> without_constant(const Dim& d) {
  const std::string& e = d.expression();
  const std::size_t digits = e.find_last_not_of("0123456789") + 1;
  if (digits == e.size() || digits < 4 || e.size() - digits > 15) return {d, 0};
  const std::string_view sign = std::string_view(e).substr(digits - 3, 3);
  if (sign != " + " && sign != " - ") return {d, 0};
  std::string base = e.substr(0, digits - 3);
  const std::int64_t size = std::stoll(e.substr(digits));
  int depth = 0;
  bool wrapped = base.front() == '(';
  for (std::size_t i = 0; i < base.size(); ++i) {
    depth += base[i] == '(' ? 1 : base[i] == ')' ? -1 : 0;
    if (depth == 0 && i + 1 < base.size()) wrapped = false;
  }
  if (depth != 0) return {d, 0};
  if (wrapped) base = base.substr(1, base.size() - 2);
  return {Dim::symbol(std::move(base)), sign == " + " ? size : -size};
}

// INT64_MAX on overflow: verify and infer refuse such a size (E503), so that no later arithmetic can wrap.
constexpr std::int64_t too_large = std::numeric_limits<std::int64_t>::max();

}  // namespace

Dim operator+(const Dim& a, const Dim& b) {
  if (a.known() && b.known()) {
    std::int64_t sum = 0;
    return __builtin_add_overflow(a.size(), b.size(), &sum) ? too_large : sum;
  }
  if (a.known() && a.size() == 0) return b;
  if (b.known() && b.size() == 0) return a;
  if (a.known()) return b + a;
  if (!b.known()) return symbolic(a, "+", b);
  const auto [base, constant] = without_constant(a);
  std::int64_t sum = 0;
  if (__builtin_add_overflow(constant, b.size(), &sum)) return too_large;
  return sum == 0 ? base : sum < 0 ? symbolic(base, "-", Dim(-sum)) : symbolic(base, "+", Dim(sum));
}

Dim operator-(const Dim& a, const Dim& b) {
  if (b.known()) return a + Dim(-b.size());
  if (a == b) return Dim(0);
  return symbolic(a, "-", b);
}

Dim operator*(const Dim& a, const Dim& b) {
  if (a.known() && b.known()) {
    std::int64_t product = 0;
    return __builtin_mul_overflow(a.size(), b.size(), &product) ? too_large : product;
  }
  if (a.known() && a.size() == 1) return b;
  if (b.known() && b.size() == 1) return a;
  return symbolic(a, "*", b);
}

Dim floor_div(const Dim& a, const Dim& b) {
  WHERRY_CHECK(!b.known() || b.size() > 0, "division of a dimension by {}", b.text());
  if (a.known() && b.known()) return a.size() >= 0 ? a.size() / b.size() : -((-a.size() + b.size() - 1) / b.size());
  if (b.known() && b.size() == 1) return a;
  if (a == b) return Dim(1);
  return symbolic(a, "//", b);
}

Dim ceil_div(const Dim& a, const Dim& b) { return b == Dim(1) ? a : floor_div(a + b - Dim(1), b); }

std::string text(const Shape& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) out.append(i ? ", " : "").append(shape[i].text());
  return out + "]";
}

bool is_empty(const Shape& shape) {
  return std::any_of(shape.begin(), shape.end(), [](const Dim& d) { return d.known() && d.size() == 0; });
}

bool is_static(const Shape& shape) {
  for (const Dim& d : shape)
    if (!d.known()) return false;
  return true;
}

Sizes sizes(const Shape& shape) {
  Sizes out;
  for (const Dim& d : shape) out.push_back(d.size());
  return out;
}

Shape to_shape(const Sizes& sizes) { return Shape(sizes.begin(), sizes.end()); }

Dim element_count(const Shape& shape) {
  Dim count(1);
  for (const Dim& d : shape) count = count * d;
  return count;
}

std::int64_t element_count(const Sizes& sizes) {
  std::int64_t count = 1;
  for (const std::int64_t s : sizes) count *= s;
  return count;
}

Sizes contiguous_strides(const Sizes& sizes) {
  Sizes strides(sizes.size());
  std::int64_t step = 1;
  for (std::size_t i = sizes.size(); i-- > 0;) strides[i] = step, step *= sizes[i];
  return strides;
}

std::string text(const Type& type) { return std::string(name(type.dtype)) + text(type.shape); }

std::optional<Type> parse_type(std::string_view text) {
  const std::size_t open = text.find('[');
  if (open == std::string_view::npos || text.back() != ']') return std::nullopt;
  const std::optional<DType> dtype = parse_dtype(text.substr(0, open));
  if (!dtype) return std::nullopt;
  Type type{*dtype, {}};
  const std::string_view inside = text.substr(open + 1, text.size() - open - 2);
  if (inside.find_first_not_of(' ') == std::string_view::npos) return type;
  for (std::string part : split(inside, ',')) {
    const std::size_t first = part.find_first_not_of(' ');
    if (first == std::string::npos) return std::nullopt;
    part = part.substr(first, part.find_last_not_of(' ') - first + 1);
    std::int64_t size = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), size);
    if (error == std::errc() && end == part.data() + part.size()) {
      if (size < 0) return std::nullopt;
      type.shape.emplace_back(size);
    } else if (error == std::errc() || !(std::isalpha(static_cast<unsigned char>(part[0])) || part[0] == '_' || part[0] == '(')) {
      return std::nullopt;
    } else {
      type.shape.push_back(Dim::symbol(part));
    }
  }
  return type;
}

}  // namespace wherry
