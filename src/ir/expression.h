// Expressions of the text: "$kernel // 2", "$stride == 1 and $in == $out", "max($in, 8)".
#pragma once

#include "ir/attr.h"

#include <functional>

namespace wherry {

// Whether a word of the text is an expression: it names a parameter somewhere.
inline bool is_expression(std::string_view text) { return text.find('$') != std::string_view::npos; }

struct ExpressionFault {
  std::string message;
  std::size_t offset = 0;  // where in the expression
  std::string next = {};
};

// The parameters in sight.
struct Scope {
  std::function<const Attr*(std::string_view)> find;  // nullptr: there is none of that name
  std::function<std::vector<std::string>()> names;    // for "did you mean"
};

// From loosest to tightest: or, and, not, comparison (not chained), + -, * / // %, unary -, and numbers, true, false, null,
// 'word', $name, (…), min(…), max(…). Integers stay integers but under /, rounding is towards minus infinity, and what does
// not fit 64 bits is a fault, as are division by zero and operands of the wrong kind. Throws ExpressionFault.
Attr evaluate(std::string_view expression, const Scope& scope);

}  // namespace wherry
