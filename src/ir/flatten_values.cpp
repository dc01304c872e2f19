#include "ir/flatten_values.h"

#include "ir/expression.h"

#include <fmt/format.h>

namespace wherry::flattening {

Attr Values::value(const TextValue& written, const Layer& layer, const Frame& frame) const {
  switch (written.kind) {
    case TextValue::null: return None{};
    case TextValue::boolean: return written.boolean_value;
    case TextValue::integer: return written.integer_value;
    case TextValue::number: return written.number_value;
    case TextValue::string: return is_expression(written.string_value) ? expression(written, layer, frame) : Attr(written.string_value);
    case TextValue::list: return list(written, layer, frame);
    case TextValue::map: break;
  }
  fault("E304", "a map cannot be a parameter's value", written, layer, frame);
}

bool Values::flag(const TextValue& written, const Layer& layer, const Frame& frame, std::string_view what) const {
  const Attr attr = value(written, layer, frame);
  if (const bool* truth = std::get_if<bool>(&attr)) return *truth;
  fault("E304", fmt::format("{} must be true or false, not {}", what, text(attr)), written, layer, frame);
}

std::string Values::key(const TextValue& written, const Layer& layer, const Frame& frame) const {
  const Attr attr = value(written, layer, frame);
  const auto* word = std::get_if<std::string>(&attr);
  if (!word) fault("E304", fmt::format("a weight's key must be a word, not {}", text(attr)), written, layer, frame);
  return word->starts_with('.') ? frame.path_of(word->substr(1)) : *word;
}

Attr Values::list(const TextValue& written, const Layer& layer, const Frame& frame) const {
  Ints ints;
  Floats numbers;
  Strings words;
  for (const TextValue& item : written.items) {
    const Attr attr = value(item, layer, frame);
    if (const auto* i = std::get_if<std::int64_t>(&attr))
      ints.push_back(*i), numbers.push_back(static_cast<double>(*i));
    else if (const auto* d = std::get_if<double>(&attr))
      numbers.push_back(*d);
    else if (const auto* s = std::get_if<std::string>(&attr))
      words.push_back(*s);
    else
      fault("E304", fmt::format("a list holds numbers or words, not {}", text(attr)), item, layer, frame);
  }
  if (ints.size() == written.items.size()) return ints;
  if (numbers.size() == written.items.size()) return numbers;
  if (words.size() == written.items.size()) return words;
  fault("E304", "a list holds either numbers or words", written, layer, frame);
}

Attr Values::expression(const TextValue& written, const Layer& layer, const Frame& frame) const {
  const Scope scope{[&](std::string_view name) {
                      const auto it = frame.params.find(name);
                      return it == frame.params.end() ? nullptr : &it->second;
                    },
                    [&] {
                      std::vector<std::string> names;
                      for (const auto& [name, param] : frame.params) names.push_back(name);
                      return names;
                    }};
  try {
    return evaluate(written.string_value, scope);
  } catch (const ExpressionFault& wrong) {
    const std::string& whole = written.string_value;
    const std::string shown = whole.size() > 60 ? whole.substr(0, 57) + "..." : whole;
    fault("E305", fmt::format("'{}': {}", shown, wrong.message), written, layer, frame, wrong.next);
  }
}

void Values::fault(std::string code, std::string message, const TextValue& at, const Layer& layer, const Frame& frame,
                   std::string next) const {
  const bool placed = at.line > 0;
  faults_.add(std::move(code), std::move(message), frame.origin, placed ? at.line : layer.line, placed ? at.column : layer.column,
              std::move(next), frame.path_of(layer.name));
  throw Abandoned{};
}

void Values::fault(std::string code, std::string message, const Layer& layer, const Frame& frame, std::string next) const {
  fault(std::move(code), std::move(message), TextValue{}, layer, frame, std::move(next));
}

}  // namespace wherry::flattening
