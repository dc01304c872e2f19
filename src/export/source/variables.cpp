#include "export/source/variables.h"

#include "base/check.h"
#include "base/text.h"
#include "ir/expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace wherry::source {

namespace {

constexpr std::array<std::string_view, 3> pool = {"x", "y", "z"};

// What a text says without parameters.
std::optional<Attr> literal(const TextValue& value) {
  switch (value.kind) {
    case TextValue::null: return None{};
    case TextValue::boolean: return value.boolean_value;
    case TextValue::integer: return value.integer_value;
    case TextValue::number: return value.number_value;
    case TextValue::string: return is_expression(value.string_value) ? std::nullopt : std::optional<Attr>(value.string_value);
    case TextValue::list: break;
    case TextValue::map: return std::nullopt;
  }
  Ints ints;
  Floats floats;
  Strings words;
  for (const TextValue& item : value.items) {
    const std::optional<Attr> one = literal(item);
    if (!one) return std::nullopt;
    if (const auto* i = std::get_if<std::int64_t>(&*one))
      ints.push_back(*i), floats.push_back(static_cast<double>(*i));
    else if (const auto* d = std::get_if<double>(&*one))
      floats.push_back(*d);
    else if (const auto* s = std::get_if<std::string>(&*one))
      words.push_back(*s);
  }
  if (!words.empty()) return words;
  if (ints.size() == value.items.size()) return ints;
  return floats;
}

// (2, 2) is 2 where one number may stand for all.
Attr shortest(const Attr& attr, AttrKind kind) {
  const auto* list = std::get_if<Ints>(&attr);
  const bool may = kind == AttrKind::ints1 || kind == AttrKind::ints2 || kind == AttrKind::ints3;
  if (!list || list->empty() || !may) return attr;
  const bool same = std::all_of(list->begin(), list->end(), [&](std::int64_t i) { return i == list->front(); });
  return same ? Attr(list->front()) : attr;
}

struct Declared {
  AttrKind kind;
  std::optional<Attr> fallback;
};

std::optional<Declared> declared(const OpDef& op, std::string_view name) {
  for (const HyperDef& def : op.hyper)
    if (def.name == name && op.attr_index(name) < 0) return Declared{def.kind, def.fallback};
  const int at = op.attr_index(name);
  if (at < 0) return std::nullopt;
  const AttrDef& def = op.attrs[static_cast<std::size_t>(at)];
  return Declared{def.kind, def.fallback};
}

// A hole "dim!": a list of one number is that number.
bool takes_one(std::string_view& hole) {
  const bool one = hole.ends_with('!');
  if (one) hole.remove_suffix(1);
  return one;
}

Attr without_list(const Attr& attr) {
  if (const auto* ints = std::get_if<Ints>(&attr); ints && ints->size() == 1) return ints->front();
  if (const auto* floats = std::get_if<Floats>(&attr); floats && floats->size() == 1) return floats->front();
  return attr;
}

std::string attr_text(const Attr& attr, AttrKind kind, std::string_view prefix) {
  if (const auto* dtype = std::get_if<DType>(&attr)) {
    if (prefix == "jnp." && *dtype == DType::boolean) return "bool";
    if (prefix == "jnp." && *dtype == DType::int64) return "int";  // JAX's own width, unless it is told to use 64 bits
    return fmt::format("{}{}", prefix, name(*dtype));
  }
  return python_literal(shortest(attr, kind));
}

}  // namespace

std::string Variables::text(const Scope& scope, const Ref& ref) const {
  if (ref.kind == Ref::input) return inputs[static_cast<std::size_t>(ref.index)];
  WHERRY_CHECK(ref.kind == Ref::step, "a value without a name");
  const std::string& name = steps[static_cast<std::size_t>(ref.index)];
  if (ref.repeat >= 0) return fmt::format("{}_all[{}]", name, ref.repeat);
  return scope.steps[static_cast<std::size_t>(ref.index)].list ? fmt::format("{}[{}]", name, ref.output) : name;
}

Variables name_variables(const Scope& scope, Names& names) {
  Variables variables;
  const LastUses last(scope);
  std::map<std::string, int> holders;  // of pooled names: when the value is taken last
  for (std::size_t i = 0; i < scope.inputs.size(); ++i) {
    std::string name = scope.inputs[i] == "input" ? "x" : python_name(scope.inputs[i]);
    name = names.unique(name);
    if (std::find(pool.begin(), pool.end(), name) != pool.end()) holders[name] = last.inputs[i];
    variables.inputs.push_back(name);
  }
  std::vector<std::string> free;
  for (const std::string_view name : pool)
    if (names.free(std::string(name)) || holders.contains(std::string(name))) free.emplace_back(name), names.reserve(std::string(name));
  for (std::size_t i = 0; i < scope.steps.size(); ++i) {
    const Step& step = scope.steps[i];
    const int now = static_cast<int>(i);
    std::vector<std::string> wanted;
    for (const Ref* ref : {&step.handed_on, step.inputs.empty() ? &step.handed_on : &step.inputs[0]})
      if ((ref->kind == Ref::input || ref->kind == Ref::step) && ref->repeat < 0) {
        const std::string& name = ref->kind == Ref::input ? variables.inputs[static_cast<std::size_t>(ref->index)]
                                                          : variables.steps[static_cast<std::size_t>(ref->index)];
        if (std::find(free.begin(), free.end(), name) != free.end()) wanted.push_back(name);
      }
    wanted.insert(wanted.end(), free.begin(), free.end());
    std::string name;
    for (const std::string& candidate : wanted)
      if (const auto holder = holders.find(candidate); !step.list && (holder == holders.end() || holder->second <= now)) {
        name = candidate;
        holders[name] = last.steps[i];
        break;
      }
    variables.steps.push_back(name.empty() ? names.unique(python_name(step.layer->name)) : name);
  }
  return variables;
}

std::map<std::string, std::string> parameter_names(const Scope& scope, Names& names) {
  std::map<std::string, std::string> result;
  for (const Param* param : scope.params) {
    const std::string wanted = param->name == "in" ? "in_channels" : param->name == "out" ? "out_channels" : python_name(param->name);
    result[param->name] = names.unique(wanted);
  }
  return result;
}

SourceSlot slot_of(const Program& program, const Step& step) {
  SourceSlot slot = step.op->source;
  if (step.op->source_for && !step.nodes.empty()) step.op->source_for(slot, program.graph, step.nodes);
  return slot;
}

std::optional<std::string> argument_text(const Step& step, std::string_view name, std::string_view prefix, const NameOf& names) {
  const bool one = takes_one(name);
  const std::optional<Declared> def = declared(*step.op, name);
  WHERRY_CHECK(def, "the source text of {} has the hole '{}'", step.op->name, name);
  const TextValue* value = step.argument(name);
  if (!value) return std::nullopt;
  const std::optional<Attr> said = literal(*value);
  if (!said) return python_value(*value, names);
  const Attr attr = coerce(*said, def->kind).value_or(*said);
  if (def->fallback && coerce(*def->fallback, def->kind).value_or(*def->fallback) == attr) return std::nullopt;
  return attr_text(one ? without_list(attr) : attr, def->kind, prefix);
}

std::string default_text(const OpDef& op, std::string_view name, std::string_view prefix) {
  takes_one(name);
  const std::optional<Declared> def = declared(op, name);
  WHERRY_CHECK(def, "the source text of {} has the hole '{}'", op.name, name);
  return def->fallback ? attr_text(coerce(*def->fallback, def->kind).value_or(*def->fallback), def->kind, prefix) : "None";
}

bool is_input(const OpDef& op, std::string_view name) { return op.input_index(name) >= 0; }

std::string block_arguments(const Scope& block, const Step& step, const std::map<std::string, std::string>& block_params,
                            const NameOf& names) {
  std::vector<std::string> parts;
  for (const Param* param : block.params) {
    const TextValue* value = step.argument(param->name);
    if (!value || (param->fallback && *value == *param->fallback)) continue;
    const std::string text = python_value(*value, names);
    parts.push_back(param->fallback ? fmt::format("{}={}", block_params.at(param->name), text) : text);
  }
  return join(parts, ", ");
}

std::vector<std::string> block_parameters(const Scope& block, const std::map<std::string, std::string>& names,
                                          std::vector<std::pair<std::string, std::string>>& late) {
  std::vector<std::string> parts;
  for (const Param* param : block.params) {
    const std::string& name = names.at(param->name);
    if (!param->fallback) {
      parts.push_back(name);
    } else if (literal(*param->fallback)) {
      parts.push_back(fmt::format("{}={}", name, python_value(*param->fallback, {})));
    } else {
      late.emplace_back(name, python_value(*param->fallback, [&](std::string_view p) { return names.at(std::string(p)); }));
      parts.push_back(name + "=None");
    }
  }
  return parts;
}

}  // namespace wherry::source
