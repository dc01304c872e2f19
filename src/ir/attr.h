// Attribute values: what stands behind a hyperparameter's name.
#pragma once

#include "ir/dtype.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace wherry {

struct None {
  bool operator==(const None&) const = default;
};
using Ints = std::vector<std::int64_t>;
using Floats = std::vector<double>;
using Strings = std::vector<std::string>;
using Attr = std::variant<None, bool, std::int64_t, double, std::string, Ints, Floats, DType, Strings>;

// What an attribute accepts. ints2 … are int lists of that length where one int stands for all ("stride: 2").
enum class AttrKind { boolean, integer, number, string, ints, ints1, ints2, ints3, numbers, dtype, strings };

std::string text(const Attr& attr);    // as the text form writes it: 2, [1, 2], true, "same"
std::string_view name(AttrKind kind);  // "an int", "two ints", …
// `attr` as `kind` wants it (1 → 1.0, 2 → [2, 2], one number → a list of it), or nullopt when it is something else.
std::optional<Attr> coerce(const Attr& attr, AttrKind kind);

}  // namespace wherry
