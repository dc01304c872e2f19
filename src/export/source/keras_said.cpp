#include "export/source/keras_said.h"

#include "base/text.h"
#include "ir/expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace wherry::source {

namespace {

struct Said {
  std::string_view expression, yes = {}, no = {};  // yes, no: words between which the expression chooses
  bool sides = false;
};

Said parts_of(std::string_view said) {
  const std::size_t if_at = said.find(" if "), else_at = said.find(" else ");
  if (if_at != std::string_view::npos && else_at != std::string_view::npos) {
    const auto word = [](std::string_view quoted) { return quoted.substr(1, quoted.size() - 2); };
    return {said.substr(if_at + 4, else_at - if_at - 4), word(said.substr(0, if_at)), word(said.substr(else_at + 6))};
  }
  if (said.starts_with("sides(")) return {.expression = said.substr(6, said.size() - 7), .sides = true};
  return {said};
}

std::vector<std::string> holes(std::string_view expression) {
  std::vector<std::string> names;
  for (std::size_t i = expression.find('$'); i != std::string_view::npos; i = expression.find('$', i + 1)) {
    std::size_t end = i + 1;
    while (end < expression.size() && (std::isalnum(static_cast<unsigned char>(expression[end])) != 0 || expression[end] == '_')) ++end;
    names.emplace_back(expression.substr(i + 1, end - i - 1));
  }
  return names;
}

// Two numbers that are the same are one.
Attr shortest(const Attr& attr) {
  const auto* list = std::get_if<Ints>(&attr);
  if (!list || list->empty()) return attr;
  return std::all_of(list->begin(), list->end(), [&](std::int64_t i) { return i == list->front(); }) ? Attr(list->front()) : attr;
}

std::optional<Attr> default_of(const OpDef& op, std::string_view name) {
  if (const int at = op.attr_index(name); at >= 0) return op.attrs[static_cast<std::size_t>(at)].fallback;
  for (const HyperDef& def : op.hyper)
    if (def.name == name) return def.fallback;
  return std::nullopt;
}

std::optional<Attr> evaluated(const std::string& expression, const std::map<std::string, Attr, std::less<>>& names) {
  const wherry::Scope scope{[&](std::string_view name) {
                              const auto it = names.find(name);
                              return it == names.end() ? nullptr : &it->second;
                            },
                            [] { return std::vector<std::string>{}; }};
  try {
    return evaluate(expression, scope);
  } catch (const ExpressionFault&) {
    return std::nullopt;
  }
}

std::optional<Attr> argument_in(const Step& step, std::string_view name, const Use& use) {
  const TextValue* text = step.argument(name);
  const std::optional<Attr> value = text ? value_in(*text, use) : default_of(*step.op, name);
  return value ? std::optional<Attr>(shortest(*value)) : value;
}

std::optional<Attr> said_in(const Step& step, std::string_view expression, const Use& use) {
  std::map<std::string, Attr, std::less<>> values;
  for (const std::string& name : holes(expression)) {
    const std::optional<Attr> value = argument_in(step, name, use);
    if (!value) return std::nullopt;
    values[name] = *value;
    if (expression == "$" + name) return value;
  }
  return evaluated(std::string(expression), values);
}

// Before and after each axis.
std::vector<Ints> pairs_of(const Attr& attr, std::size_t axes) {
  if (const auto* one = std::get_if<std::int64_t>(&attr)) return std::vector<Ints>(axes, Ints{*one, *one});
  const auto* list = std::get_if<Ints>(&attr);
  std::vector<Ints> pairs;
  if (list && list->size() == axes)
    for (const std::int64_t n : *list) pairs.push_back({n, n});
  else if (list && list->size() == 2 * axes)
    for (std::size_t i = 0; i < axes; ++i) pairs.push_back({(*list)[2 * i], (*list)[2 * i + 1]});
  return pairs;
}

std::vector<Ints> pairs_in(const KerasValue& value) {
  if (const auto* pairs = std::get_if<std::vector<Ints>>(&value)) return *pairs;
  if (const auto* attr = std::get_if<Attr>(&value))
    if (const auto* ints = std::get_if<Ints>(attr)) return {*ints};
  return {};
}

bool same_number(const Attr& a, const Attr& b) {
  const auto number = [](const Attr& x) -> std::optional<double> {
    if (const auto* i = std::get_if<std::int64_t>(&x)) return static_cast<double>(*i);
    if (const auto* d = std::get_if<double>(&x)) return *d;
    return std::nullopt;
  };
  const std::optional<double> x = number(a), y = number(b);
  return x && y && *x == *y;
}

bool depends(const TextValue& text) {
  if (text.kind == TextValue::string) return is_expression(text.string_value) && text.string_value.find("$index") == std::string::npos;
  return std::any_of(text.items.begin(), text.items.end(), depends);
}

bool one_for_all(std::string_view name) {
  constexpr std::array names = {"kernel_size", "strides", "dilation_rate", "pool_size", "size", "cropping", "output_size"};
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string pairs_text(const std::vector<Ints>& pairs, bool shorten) {
  const bool even = std::all_of(pairs.begin(), pairs.end(), [](const Ints& p) { return p[0] == p[1]; });
  if (shorten && even) {
    Ints firsts;
    for (const Ints& pair : pairs) firsts.push_back(pair[0]);
    return python_literal(shortest(firsts));
  }
  std::vector<std::string> parts;
  for (const Ints& pair : pairs) parts.push_back(python_literal(pair));
  return fmt::format("({}{})", join(parts, ", "), parts.size() == 1 ? "," : "");
}

}  // namespace

std::optional<Attr> value_in(const TextValue& text, const Use& use) {
  switch (text.kind) {
    case TextValue::null: return None{};
    case TextValue::boolean: return text.boolean_value;
    case TextValue::integer: return text.integer_value;
    case TextValue::number: return text.number_value;
    case TextValue::string:
      return is_expression(text.string_value) ? evaluated(text.string_value, use.params) : std::optional<Attr>(text.string_value);
    case TextValue::map: return std::nullopt;
    case TextValue::list: break;
  }
  Ints list;
  for (const TextValue& item : text.items) {
    const std::optional<Attr> value = value_in(item, use);
    const auto* number = value ? std::get_if<std::int64_t>(&*value) : nullptr;
    if (!number) return std::nullopt;
    list.push_back(*number);
  }
  return list;
}

bool is_open(const Step& step, std::string_view said) {
  const std::vector<std::string> names = holes(parts_of(said).expression);
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    const TextValue* text = step.argument(name);
    return text && depends(*text);
  });
}

bool is_plain(std::string_view said) {
  const Said parts = parts_of(said);
  return parts.yes.empty() && parts.expression.find(' ') == std::string_view::npos;
}

bool says(const Step& step, std::string_view said, const Use& use, const KerasValue& value) {
  const Said parts = parts_of(said);
  const std::optional<Attr> found = said_in(step, parts.expression, use);
  if (!found) return false;
  if (parts.sides) {
    const std::vector<Ints> wanted = pairs_in(value);
    return !wanted.empty() && pairs_of(*found, wanted.size()) == wanted;
  }
  const auto* wanted = std::get_if<Attr>(&value);
  if (!wanted) return false;
  if (!parts.yes.empty()) {
    const bool* flag = std::get_if<bool>(&*found);
    return flag && *wanted == Attr(std::string(*flag ? parts.yes : parts.no));
  }
  return shortest(*wanted) == *found || same_number(*wanted, *found);
}

std::optional<bool> holds(const Step& step, std::string_view when, const Use& use) {
  const std::optional<Attr> found = said_in(step, when, use);
  const bool* flag = found ? std::get_if<bool>(&*found) : nullptr;
  return flag ? std::optional<bool>(*flag) : std::nullopt;
}

bool gives_ends(const Step& step, std::string_view said, const Use& use) {
  const Said parts = parts_of(said);
  const std::optional<Attr> found = parts.sides ? said_in(step, parts.expression, use) : std::nullopt;
  const auto* list = found ? std::get_if<Ints>(&*found) : nullptr;
  return list && list->size() == 4;
}

std::string said_text(const Step& step, std::string_view said, const NameOf& names, bool as_pairs) {
  const Said parts = parts_of(said);
  const bool alone = parts.expression.find(' ') == std::string_view::npos;
  const NameOf argument = [&](std::string_view name) {
    const TextValue* text = step.argument(name);
    std::string value = text ? python_value(*text, names) : python_literal(shortest(default_of(*step.op, name).value_or(None{})));
    return !alone && value.find(' ') != std::string::npos ? "(" + value + ")" : value;
  };
  const TextValue expression{.kind = TextValue::string, .string_value = std::string(parts.expression)};
  const std::string text = python_value(expression, argument);
  if (!parts.yes.empty()) return fmt::format("{} if {} else {}", python_string(parts.yes), text, python_string(parts.no));
  return as_pairs ? fmt::format("sides({})", text) : text;
}

std::string float_text(float value) {
  if (!std::isfinite(value)) return python_literal(static_cast<double>(value));
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string keras_text(const std::string& name, const KerasValue& value) {
  if (const auto* attr = std::get_if<Attr>(&value)) {
    if (name == "padding")
      if (const auto* pair = std::get_if<Ints>(attr))
        return pairs_text({*pair}, true) == python_literal(shortest(*pair)) ? python_literal(shortest(*pair)) : python_literal(*pair);
    return python_literal(one_for_all(name) ? shortest(*attr) : *attr);
  }
  if (const auto* pairs = std::get_if<std::vector<Ints>>(&value)) return pairs_text(*pairs, name == "padding");
  return "None";
}

}  // namespace wherry::source
