#include "import/foreign.h"

#include "base/check.h"
#include "base/text.h"
#include "ops/formula.h"

#include <fmt/format.h>

#include <algorithm>

namespace wherry {

namespace {

struct Pair {
  std::string_view ours, theirs;
  std::optional<std::string_view> value;  // what theirs must be
};

// "x=self =cudnn_enabled =training:false"
std::vector<Pair> parse_pairs(std::string_view text) {
  std::vector<Pair> pairs;
  while (true) {
    const std::size_t start = text.find_first_not_of(' ');
    if (start == std::string_view::npos) return pairs;
    text.remove_prefix(start);
    std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(word.size());
    const std::size_t equals = word.find('=');
    WHERRY_CHECK(equals != std::string_view::npos, "pair '{}' has no '='", word);
    Pair pair{word.substr(0, equals), word.substr(equals + 1), {}};
    if (const std::size_t colon = pair.theirs.find(':'); colon != std::string_view::npos) {
      pair.value = pair.theirs.substr(colon + 1);
      pair.theirs = pair.theirs.substr(0, colon);
    }
    pairs.push_back(pair);
  }
}

class Conversion {
 public:
  Conversion(Builder& builder, const ForeignNode& node, const OpTable::Foreign& meaning)
      : builder_(builder), node_(node), op_(*meaning.op), pairs_(parse_pairs(meaning.map->pairs)), inputs_(op_.inputs.size(), absent) {
    for (const AttrDef& def : op_.attrs) attrs_.push_back(def.fallback);
  }

  std::vector<ValueId> run() {
    for (const ForeignArg& arg : node_.args) take(arg);
    for (std::size_t i = 0; i < op_.inputs.size(); ++i) require_input(i);
    std::vector<Attr> attrs;
    for (std::size_t i = 0; i < op_.attrs.size(); ++i) {
      if (!attrs_[i] && !op_.attrs[i].or_none) refuse(fmt::format("'{}' lacks its argument '{}'", node_.target, theirs(op_.attrs[i].name)));
      attrs.push_back(attrs_[i].value_or(None{}));
    }
    if (!inputs_.empty() && op_.inputs.back().role == Role::variadic) {
      inputs_.pop_back();
      inputs_.insert(inputs_.end(), list_.begin(), list_.end());
    }
    const std::string path = builder_.unique_path(builder_.path().empty() ? std::string(op_.name) : builder_.path());
    return builder_.node(op_, std::move(inputs_), std::move(attrs), path);
  }

 private:
  [[noreturn]] void refuse(std::string message, std::string next = {}) const {
    fail({.code = "E203",
          .message = std::move(message),
          .at = where(node_),
          .in = describe_inputs(builder_.graph(), node_),
          .next = std::move(next)});
  }

  std::string_view theirs(std::string_view ours) const {
    const auto it = std::find_if(pairs_.begin(), pairs_.end(), [&](const Pair& p) { return p.ours == ours; });
    return it == pairs_.end() ? ours : it->theirs;
  }

  void take(const ForeignArg& arg) {
    const auto it = std::find_if(pairs_.begin(), pairs_.end(), [&](const Pair& p) { return p.theirs == arg.name; });
    if (it != pairs_.end() && it->ours.empty()) return check_dropped(arg, *it);
    const std::string_view ours = it == pairs_.end() ? std::string_view(arg.name) : it->ours;
    if (const int input = op_.input_index(ours); input >= 0) return take_input(arg, static_cast<std::size_t>(input));
    if (const int attr = op_.attr_index(ours); attr >= 0) return take_attr(arg, static_cast<std::size_t>(attr));
    if (const Attr* value = std::get_if<Attr>(&arg.value)) {
      if (std::holds_alternative<None>(*value)) return;
      refuse(fmt::format("'{}' has the argument '{}' ({}), which Wherry does not know", node_.target, arg.name, text(*value)));
    }
    refuse(fmt::format("'{}' has the argument '{}', which Wherry does not know", node_.target, arg.name));
  }

  void check_dropped(const ForeignArg& arg, const Pair& pair) const {
    if (!pair.value) return;
    const Attr* value = std::get_if<Attr>(&arg.value);
    if (value && text(*value) == *pair.value) return;
    const bool training = arg.name == "training" || arg.name == "train";
    refuse(fmt::format("'{}' with {}={} cannot be honoured; only {} can", node_.target, arg.name, value ? text(*value) : "a tensor",
                       *pair.value),
           training ? "call model.eval() before torch.export.export" : "");
  }

  void take_input(const ForeignArg& arg, std::size_t index) {
    const Input& input = op_.inputs[index];
    if (const auto* list = std::get_if<std::vector<ValueId>>(&arg.value)) {
      const bool whole = std::find(list->begin(), list->end(), absent) == list->end();
      if (input.role != Role::variadic || !whole)
        refuse(fmt::format("argument '{}' of '{}' is a list, expected a tensor", arg.name, node_.target));
      list_ = *list;
      return;
    }
    if (const auto* value = std::get_if<ValueId>(&arg.value)) {
      if (input.role == Role::variadic)
        list_ = {*value};
      else
        inputs_[index] = *value;
      return;
    }
    const Attr& number = std::get<Attr>(arg.value);
    if (std::holds_alternative<None>(number)) return;
    const std::optional<Attr> scalar =
        std::holds_alternative<bool>(number) ? Attr(std::get<bool>(number) ? 1.0 : 0.0) : coerce(number, AttrKind::number);
    if (!scalar) refuse(fmt::format("argument '{}' of '{}' is {}, expected a tensor or a number", arg.name, node_.target, text(number)));
    inputs_[index] = builder_.scalar(std::get<double>(*scalar), scalar_dtype(std::holds_alternative<double>(number)));
  }

  // A number takes the tensors' type, unless a fraction meets integers: then the result's.
  DType scalar_dtype(bool fraction) const {
    for (const ForeignArg& arg : node_.args) {
      const auto* value = std::get_if<ValueId>(&arg.value);
      if (!value || *value == absent) continue;
      const DType dtype = builder_.type(*value).dtype;
      if (!fraction || is_float(dtype)) return dtype;
    }
    return node_.output_types.empty() ? DType::float32 : node_.output_types[0].dtype;
  }

  void take_attr(const ForeignArg& arg, std::size_t index) {
    const AttrDef& def = op_.attrs[index];
    const Attr* value = std::get_if<Attr>(&arg.value);
    if (!value) refuse(fmt::format("argument '{}' of '{}' is computed by the model, expected {}", arg.name, node_.target, name(def.kind)));
    if (std::holds_alternative<None>(*value)) {
      if (def.or_none)
        attrs_[index] = *value;
      else if (!def.fallback)
        refuse(fmt::format("argument '{}' of '{}' is None, expected {}", arg.name, node_.target, name(def.kind)));
      return;
    }
    const auto* word = std::get_if<std::string>(value);
    std::optional<Attr> taken = word && def.or_string ? std::optional(*value) : coerce(*value, def.kind);
    const bool legal = !word || def.choices.empty() || std::find(def.choices.begin(), def.choices.end(), *word) != def.choices.end();
    if (!taken || !legal)
      refuse(fmt::format("argument '{}' of '{}' is {}, expected {}", arg.name, node_.target, text(*value),
                         legal ? std::string(name(def.kind)) : "one of " + fmt::format("{}", fmt::join(def.choices, ", "))));
    attrs_[index] = std::move(taken);
  }

  void require_input(std::size_t index) const {
    const Input& input = op_.inputs[index];
    const bool given = input.role == Role::variadic ? !list_.empty() : inputs_[index] != absent;
    if (given || input.role == Role::optional || input.role == Role::optional_parameter) return;
    refuse(fmt::format("'{}' lacks its argument '{}'", node_.target, theirs(input.name)));
  }

  Builder& builder_;
  const ForeignNode& node_;
  const OpDef& op_;
  const std::vector<Pair> pairs_;
  std::vector<ValueId> inputs_, list_;
  std::vector<std::optional<Attr>> attrs_;
};

}  // namespace

std::string where(const ForeignNode& node) {
  return node.source.file.empty() ? node.path : fmt::format("{} ({}:{})", node.path, node.source.file, node.source.line);
}

std::string describe_inputs(const Graph& graph, const ForeignNode& node) {
  std::vector<std::string> parts;
  const auto one = [&](const std::string& name, ValueId v) {
    if (v != absent) parts.push_back(fmt::format("{}: {}", name, text(graph.type(v))));
  };
  for (const ForeignArg& arg : node.args) {
    if (const auto* value = std::get_if<ValueId>(&arg.value)) one(arg.name, *value);
    if (const auto* list = std::get_if<std::vector<ValueId>>(&arg.value))
      for (const ValueId v : *list) one(arg.name, v);
  }
  return join(parts, ", ");
}

std::vector<ValueId> convert_foreign(Builder& builder, const ForeignNode& node, const OpTable::Foreign& meaning) {
  if (!meaning.map->convert && meaning.map->formula.empty()) return Conversion(builder, node, meaning).run();
  const auto refuse = [&](const char* reason) {
    fail({.code = "E203",
          .message = fmt::format("the arguments of '{}' are not what Wherry knows of it ({})", node.target, reason),
          .at = where(node),
          .in = describe_inputs(builder.graph(), node)});
  };
  try {
    return meaning.map->convert ? meaning.map->convert(builder, node) : ops::convert_formula(builder, node, *meaning.map);
  } catch (const TypeFault& fault) {
    fail({.code = fault.code, .message = fault.message, .at = where(node), .in = describe_inputs(builder.graph(), node)});
  } catch (const std::bad_variant_access&) {
    refuse("one is of another kind");
  } catch (const std::logic_error& error) {  // an argument that breaks what the operator relies on
    refuse(error.what());
  }
  return {};
}

void UnknownOperators::add(const Graph& graph, const ForeignNode& node, std::string next) {
  Seen& seen = seen_[node.target];
  if (seen.count++ > 0) return;
  order_.push_back(node.target);
  seen.at = where(node);
  seen.in = describe_inputs(graph, node);
  seen.next = next.empty() ? "write the layer with other operators, or add this one: docs/adding-an-operator.md" : std::move(next);
}

void UnknownOperators::report(const std::vector<std::string>& known, Diagnostics& diagnostics) const {
  for (const std::string& target : order_) {
    const Seen& seen = seen_.at(target);
    diagnostics.add({.code = "E201",
                     .message = fmt::format("'{}' ({} {}) is not an operator that Wherry knows{}", target, seen.count,
                                            seen.count == 1 ? "use" : "uses", did_you_mean(target, known)),
                     .at = seen.at,
                     .in = seen.in,
                     .next = seen.next});
  }
}

}  // namespace wherry
