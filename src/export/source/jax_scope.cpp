#include "export/source/jax_scope.h"

#include "base/check.h"
#include "base/text.h"
#include "export/source/python_text.h"
#include "ir/constants.h"

#include <fmt/format.h>

#include <algorithm>

namespace wherry::source {

namespace {

bool is_weight(const Input& input) { return input.role == Role::parameter || input.role == Role::optional_parameter; }

bool mentions_index(const TextValue& value) {
  if (value.kind == TextValue::string) return value.string_value.find("$index") != std::string::npos;
  return std::any_of(value.items.begin(), value.items.end(), mentions_index);
}

class JaxScope {
 public:
  JaxScope(const JaxContext& context, std::size_t index)
      : context_(context),
        index_(index),
        scope_(context.program.scopes[index]),
        params_(context.params[index]),
        names_(context.module_names) {
    for (const char* name : {"params", "key", "keys", "init", "apply", "layer", "Block"}) names_.reserve(name);
    for (const auto& [param, name] : params_) names_.reserve(name);
    for (const Step& step : scope_.steps) handles_.push_back(step.block >= 0 ? names_.unique(python_name(step.layer->name)) : "");
    variables_ = name_variables(scope_, names_);
    alias_.assign(scope_.steps.size(), std::nullopt);
    for (const Step& step : scope_.steps) slots_.push_back(step.op ? slot_of(context_.program, step) : SourceSlot{});
    report_missing();
  }

  std::string write() { return context_.nnx ? write_module() : write_function(); }

 private:
  std::string write_function() {
    PythonText apply = write_apply();  // first: it finds the weights that no layer owns
    PythonText out;
    std::vector<std::pair<std::string, std::string>> late;
    out.open(fmt::format("def {}({}):", context_.functions[index_], join(block_parameters(scope_, params_, late), ", ")));
    docstring(out);
    for (const auto& [name, value] : late) {
      out.open(fmt::format("if {} is None:", name));
      out.statement(fmt::format("{} = {}", name, value));
      out.close();
    }
    for (std::size_t i = 0; i < scope_.steps.size(); ++i) write_handle(out, i);
    out.blank();
    write_init(out);
    return out.text() + "\n" + apply.text() + "\n    return Block(init, apply)\n";
  }

  std::string write_module() {
    inside_call_ = true;
    PythonText call = write_apply();  // first: it tells which parameters are kept, and finds the weights that no layer owns
    inside_call_ = false;
    PythonText out;
    std::vector<std::pair<std::string, std::string>> late;
    std::vector<std::string> parts = block_parameters(scope_, params_, late);
    parts.insert(parts.begin(), "self");
    parts.insert(parts.end(), {"*", "rngs"});
    out.open(fmt::format("class {}(nnx.Module):", context_.functions[index_]));
    docstring(out);
    out.blank();
    out.open(fmt::format("def __init__({}):", join(parts, ", ")));
    for (const auto& [name, value] : late) {
      out.open(fmt::format("if {} is None:", name));
      out.statement(fmt::format("{} = {}", name, value));
      out.close();
    }
    const std::string before = out.text();
    for (const auto& [attribute, param] : kept_) out.statement(fmt::format("self.{} = {}", attribute, param));
    for (std::size_t i = 0; i < scope_.steps.size(); ++i) write_attribute(out, i);
    for (const auto& [name, written] : weights_) {
      std::string key = "rngs.params()";
      const auto [kind, value] = fresh_weight(*written, key);
      write_assignment(out, python_string(name), name, fmt::format("nnx.{}({})", kind, value));
    }
    if (out.text() == before) out.statement("pass");
    return out.text() + "\n" + call.text();
  }

  void report_missing() const {
    for (std::size_t i = 0; i < scope_.steps.size(); ++i) {
      const Step& step = scope_.steps[i];
      if (step.op && (slots_[i].jax.empty() || (step.owns_weights && slots_[i].jax_init.empty())))
        context_.diagnostics.add({.code = "E202",
                                  .message = fmt::format("operator {} has no JAX source", step.op->name),
                                  .at = step.nodes.empty() ? step.layer->name : step.nodes[0]->where()});
    }
  }

  NameOf locals() const {
    return [this](std::string_view param) {
      if (param == "index") return std::string("index");
      const std::string& name = params_.at(std::string(param));
      return inside_call_ ? "self." + keep(name) : name;
    };
  }

  // What a module's __call__ needs of __init__'s parameters.
  std::string keep(const std::string& param) const {
    std::string attribute = param;
    const auto is_layer = [&](const Step& step) { return step.layer->name == attribute; };
    while (std::any_of(scope_.steps.begin(), scope_.steps.end(), is_layer)) attribute += "_";
    kept_[attribute] = param;
    return attribute;
  }

  // ---- modules of NNX -----------------------------------------------------------------------------------------------

  static void write_assignment(PythonText& out, const std::string& quoted, const std::string& name, const std::string& value) {
    out.statement(is_identifier(name) && !is_python_word(name) ? fmt::format("self.{} = {}", name, value)
                                                               : fmt::format("setattr(self, {}, {})", quoted, value));
  }

  // The layer's module or weights: self.conv, getattr(self, "downsample.0").
  static std::string attribute_of(const Step& step) {
    const std::string& name = step.layer->name;
    if (step.layer->repeat) return fmt::format("getattr(self, f\"{}.{{index}}\")", name);
    return is_identifier(name) && !is_python_word(name) ? "self." + name : fmt::format("getattr(self, {})", python_string(name));
  }

  void write_attribute(PythonText& out, std::size_t i) const {
    const Step& step = scope_.steps[i];
    if (absent_from_body(step) || !has_entry(context_.program, step)) return;
    const std::string guard = condition(step), &name = step.layer->name;
    if (!guard.empty()) out.open(fmt::format("if {}:", guard));
    if (step.layer->repeat) out.open(fmt::format("for index in range({}):", python_value(*step.layer->repeat, locals())));
    const std::string quoted = step.layer->repeat ? fmt::format("f\"{}.{{index}}\"", name) : python_string(name);
    std::string value;
    if (step.block >= 0) {
      const auto block = static_cast<std::size_t>(step.block);
      const std::string given = block_arguments(context_.program.scopes[block], step, context_.params[block], locals());
      value = fmt::format("{}({}{}rngs=rngs)", context_.functions[block], given, given.empty() ? "" : ", ");
    } else {
      std::string arrays = filled_text(step, slots_[i].jax_init, {{"key", "rngs.params()"}});
      std::vector<std::string> others;
      for (const Input& input : step.op->inputs)
        if (is_weight(input) && !step.owns(input.name)) others.push_back(python_string(input.name));
      value = fmt::format("Weights({}{}{})", arrays, others.empty() ? "" : ", ", join(others, ", "));
    }
    write_assignment(out, quoted, step.layer->repeat ? "" : name, value);
    if (step.layer->repeat) out.close();
    if (!guard.empty()) out.close();
  }

  // A weight that no layer owns: what kind of variable it is, and its first value.
  static std::pair<std::string, std::string> fresh_weight(const TextValue& written, const std::string& key) {
    const std::optional<Type> type = parse_type(written.find("type")->string_value);
    const std::string sizes = python_literal(wherry::sizes(type->shape));
    if (is_float(type->dtype)) return {"Param", fmt::format("0.02 * jax.random.normal({}, {})", key, sizes)};
    return {"Variable", fmt::format("jnp.zeros({}, {})", sizes, type->dtype == DType::boolean ? "bool" : "int")};
  }

  bool absent_from_body(const Step& step) const { return !scope_.block && !step.on; }
  std::string condition(const Step& step) const {
    return step.layer->when && scope_.block ? python_value(*step.layer->when, locals()) : "";
  }

  void docstring(PythonText& out) const {
    std::map<std::string, std::string> inputs;
    for (std::size_t i = 0; i < scope_.inputs.size(); ++i) inputs[scope_.inputs[i]] = variables_.inputs[i];
    const std::string types = signature(scope_, inputs, params_);
    const std::string summary = !scope_.doc.empty() ? scope_.doc : scope_.block ? scope_.name + "." : "The model " + scope_.name + ".";
    std::vector<std::string> rows;
    if (!types.empty()) rows = filled(types, out.room() - 4);
    for (std::size_t i = 1; i < rows.size(); ++i) rows[i] = "    " + rows[i];
    out.docstring(summary, rows);
  }

  // ---- blocks within ------------------------------------------------------------------------------------------------

  void write_handle(PythonText& out, std::size_t i) const {
    const Step& step = scope_.steps[i];
    if (step.block < 0 || absent_from_body(step)) return;
    const auto block = static_cast<std::size_t>(step.block);
    const std::string call = fmt::format("{}({})", context_.functions[block],
                                         block_arguments(context_.program.scopes[block], step, context_.params[block], locals()));
    if (!step.layer->repeat) return out.statement(fmt::format("{} = {}", handles_[i], call));
    const bool indexed =
        std::any_of(step.layer->args.begin(), step.layer->args.end(), [](const auto& arg) { return mentions_index(arg.second); });
    out.statement(fmt::format("{} = []", handles_[i]));
    out.open(fmt::format("for {} in range({}):", indexed ? "index" : "_", python_value(*step.layer->repeat, locals())));
    out.statement(fmt::format("{}.append({})", handles_[i], call));
    out.close();
  }

  // ---- init ---------------------------------------------------------------------------------------------------------

  void write_init(PythonText& out) const {
    out.open("def init(key):");
    int keys = 0;
    PythonText rows;
    rows.indent(), rows.indent();
    for (std::size_t i = 0; i < scope_.steps.size(); ++i) write_entry(rows, i, keys);
    for (const auto& [name, written] : weights_) {
      const auto [kind, value] = fresh_weight(*written, fmt::format("keys[{}]", keys));
      if (kind == "Param") ++keys;
      rows.statement(fmt::format("params[{}] = {}", python_string(name), value));
    }
    if (keys > 0) out.statement(fmt::format("keys = jax.random.split(key, {})", keys));
    out.statement("params = {}");
    out.append(rows);
    out.statement("return params");
    out.close();
  }

  void write_entry(PythonText& out, std::size_t i, int& keys) const {
    const Step& step = scope_.steps[i];
    if (absent_from_body(step) || !has_entry(context_.program, step)) return;
    const std::string guard = condition(step);
    if (!guard.empty()) out.open(fmt::format("if {}:", guard));
    const bool repeated = step.layer->repeat.has_value();
    const bool keyed = step.block >= 0 || slots_[i].jax_init.find("{key}") != std::string_view::npos;
    std::string key = keyed ? fmt::format("keys[{}]", keys++) : "";
    if (repeated && keyed) key = fmt::format("jax.random.fold_in({}, index)", key);
    if (repeated && step.block >= 0)
      out.open(fmt::format("for index, layer in enumerate({}):", handles_[i]));
    else if (repeated)
      out.open(fmt::format("for index in range({}):", python_value(*step.layer->repeat, locals())));
    const std::string entry = entry_of(step);
    out.statement(fmt::format("{} = {}", entry,
                              step.block >= 0 ? fmt::format("{}.init({})", repeated ? "layer" : handles_[i], key)
                                              : filled_text(step, slots_[i].jax_init, {{"key", key}})));
    if (step.op)
      for (const Input& input : step.op->inputs)
        if (is_weight(input) && !step.owns(input.name)) out.statement(fmt::format("del {}[{}]", entry, python_string(input.name)));
    if (repeated) out.close();
    if (!guard.empty()) out.close();
  }

  static std::string entry_of(const Step& step) {
    return step.layer->repeat ? fmt::format("params[f\"{}.{{index}}\"]", step.layer->name)
                              : fmt::format("params[{}]", python_string(step.layer->name));
  }

  std::string filled_text(const Step& step, std::string_view slot, const std::map<std::string, std::string>& holes) const {
    return filled_slot(
        slot,
        [&](std::string_view hole) -> std::optional<std::string> {
          if (const auto it = holes.find(std::string(hole)); it != holes.end()) return it->second;
          return argument_text(step, hole, "jnp.", locals());
        },
        [&](std::string_view hole) { return default_text(*step.op, hole, "jnp."); });
  }

  // ---- weights by key -----------------------------------------------------------------------------------------------

  // params["stem"]["conv"]["weight"] for stem.conv.weight, as blocks hold their parameters.
  std::string weight_access(const Scope& scope, const std::string& access, const std::string& key) const {
    for (const Step& step : scope.steps) {
      const std::string& name = step.layer->name;
      if (!key.starts_with(name + ".")) continue;
      std::string rest = key.substr(name.size() + 1), entry = name;
      if (step.layer->repeat) {
        const std::size_t dot = rest.find('.');
        if (dot == std::string::npos) continue;
        entry += "." + rest.substr(0, dot), rest = rest.substr(dot + 1);
      }
      const std::string inner = member(access, entry);
      if (step.block >= 0) return weight_access(context_.program.scopes[static_cast<std::size_t>(step.block)], inner, rest);
      const int input = step.op ? step.op->input_index(rest) : -1;
      if (input >= 0 && is_weight(step.op->inputs[static_cast<std::size_t>(input)]))
        return fmt::format("{}{}[{}]", inner, context_.nnx ? "()" : "", python_string(rest));
    }
    return member(access, key) + (context_.nnx ? "[...]" : "");
  }
  std::string member(const std::string& access, const std::string& name) const {
    if (!context_.nnx) return fmt::format("{}[{}]", access, python_string(name));
    return is_identifier(name) && !is_python_word(name) ? access + "." + name : fmt::format("getattr({}, {})", access, python_string(name));
  }
  std::string root() const { return context_.nnx ? "self" : "params"; }

  std::string relative_key(const std::string& written, const Step& step) const {
    if (written.starts_with('.')) return written.substr(1);
    if (scope_.block)
      context_.diagnostics.add({.code = "E202",
                                .message = fmt::format("weight '{}' is taken from outside of its block {}", written, scope_.name),
                                .at = step.layer->name,
                                .next = "name it relative to the block ('.key'), or give it to the block as an input"});
    return written;
  }

  std::string named_weight(const Ref& ref, const Step& step) {
    const std::string key = relative_key(ref.value->find("weight")->string_value, step);
    const std::string access = weight_access(scope_, root(), key);
    const bool own = access == fmt::format("params[{}]", python_string(key)) || access.ends_with("[...]");
    if (own) weights_.emplace(key, ref.value);
    return access;
  }

  // **params["conv"], weight=params["embed"]["weight"]
  std::string parameters(const Step& step, const std::map<std::string, std::string>& inputs) const {
    std::vector<std::string> parts;
    if (step.owns_weights) parts.push_back("**" + (context_.nnx ? attribute_of(step) + "()" : entry_of(step)));
    for (const Input& input : step.op->inputs) {
      const std::string name(input.name);
      if (!is_weight(input) || step.owns(name)) continue;
      if (const auto it = inputs.find(name); it != inputs.end()) {
        if (it->second != "None") parts.push_back(fmt::format("{}={}", name, it->second));
        continue;
      }
      const bool missing = !step.nodes.empty() && step.nodes[0]->inputs[static_cast<std::size_t>(step.op->input_index(name))] == absent;
      for (const auto& [key, where] : step.layer->weights)
        if ((key.empty() || key == name) && !missing)
          parts.push_back(fmt::format(
              "{}={}", name, weight_access(scope_, root(), relative_key(where.string_value, step) + (key.empty() ? "." + name : ""))));
    }
    return join(parts, ", ");
  }

  // ---- apply --------------------------------------------------------------------------------------------------------

  PythonText write_apply() {
    PythonText out;
    out.indent();
    std::vector<std::string> parts = {context_.nnx ? "self" : "params"};
    parts.insert(parts.end(), variables_.inputs.begin(), variables_.inputs.end());
    out.open(fmt::format("def {}({}):", context_.nnx ? "__call__" : "apply", join(parts, ", ")));
    for (std::size_t i = 0; i < scope_.steps.size(); ++i) write_step(out, i);
    std::vector<std::string> results;
    for (const auto& [name, ref] : scope_.outputs) results.push_back(value(ref, nullptr));
    if (results.size() > 1 && !scope_.block)
      for (std::size_t i = 0; i < results.size(); ++i)
        results[i] = fmt::format("{}: {}", python_string(scope_.outputs[i].first), results[i]);
    const std::string list = join(results, ", ");
    out.statement("return " + (results.size() > 1 && !scope_.block ? "{" + list + "}" : list));
    return out;
  }

  const Ref& followed(const Ref& ref) const {
    const Ref* at = &ref;
    while (at->kind == Ref::step && alias_[static_cast<std::size_t>(at->index)]) at = &*alias_[static_cast<std::size_t>(at->index)];
    return *at;
  }

  std::string value(const Ref& ref, const Step* step) {
    switch (ref.kind) {
      case Ref::absent: return "None";
      case Ref::input:
      case Ref::step: return variables_.text(scope_, followed(ref));
      case Ref::number: return python_value(*ref.value, locals());
      case Ref::constant: return constant(*ref.value);
      case Ref::weight: return named_weight(ref, *step);
    }
    return "";
  }

  static std::string lists(const TextValue& value) {
    if (value.kind != TextValue::list) return python_value(value, {});
    std::vector<std::string> items;
    for (const TextValue& item : value.items) items.push_back(lists(item));
    return fmt::format("[{}]", join(items, ", "));
  }
  std::string constant(const TextValue& written) {
    std::optional<DType> dtype;
    if (const TextValue* word = written.find("dtype")) dtype = parse_dtype(word->string_value);
    const ConstantText read = parse_constant(*written.find("constant"), dtype);
    WHERRY_CHECK(read.tensor, "a constant that flatten has read");
    const DType kind = read.tensor->dtype();
    const std::string type = kind == DType::boolean ? "bool" : kind == DType::int64 ? "int" : fmt::format("jnp.{}", name(kind));
    const std::string variable = names_.unique("constant");
    constants_.push_back(fmt::format("{} = jnp.array({}, {})", variable, lists(*written.find("constant")), type));
    return variable;
  }

  std::map<std::string, std::string> inputs_of(const Step& step) {
    std::map<std::string, std::string> inputs;
    std::vector<std::string> list;
    for (std::size_t i = 0; i < step.inputs.size(); ++i) {
      const Input& input = step.op->inputs[static_cast<std::size_t>(step.slots[i])];
      const std::string text = value(step.inputs[i], &step);
      if (input.role == Role::variadic) list.push_back(text);
      inputs[std::string(input.name)] = input.role == Role::variadic ? fmt::format("[{}]", join(list, ", ")) : text;
    }
    for (const Input& input : step.op->inputs)
      if (!is_weight(input)) inputs.emplace(std::string(input.name), "None");
    return inputs;
  }

  std::string call(const Step& step, std::size_t i, const std::string& first) {
    if (step.block >= 0) {
      std::vector<std::string> inputs;
      if (!context_.nnx) inputs.push_back(entry_of(step));
      for (std::size_t k = 0; k < step.inputs.size(); ++k)
        inputs.push_back(k == 0 && !first.empty() ? first : value(step.inputs[k], &step));
      if (context_.nnx) return fmt::format("{}({})", attribute_of(step), join(inputs, ", "));
      return fmt::format("{}.apply({})", step.layer->repeat ? "layer" : handles_[i], join(inputs, ", "));
    }
    std::map<std::string, std::string> inputs = inputs_of(step);
    if (!first.empty()) inputs[std::string(step.op->inputs[static_cast<std::size_t>(step.slots[0])].name)] = first;
    inputs["parameters"] = parameters(step, inputs);
    return filled_text(step, slots_[i].jax, inputs);
  }

  void write_constants(PythonText& out) {
    for (const std::string& constant : constants_) out.statement(constant);
    constants_.clear();
  }

  void write_step(PythonText& out, std::size_t i) {
    const Step& step = scope_.steps[i];
    if (absent_from_body(step) && !(step.layer->repeat && !step.layer->when)) {
      alias_[i] = step.handed_on;
      return;
    }
    const std::string& result = variables_.steps[i];
    if (step.layer->repeat) return write_repeat(out, step, i);
    const std::string text = call(step, i, ""), guard = condition(step);
    const auto assign = [&](const std::string& right) {
      write_constants(out);
      if (right != result) out.statement(fmt::format("{} = {}", result, right));
    };
    if (guard.empty()) return assign(text);
    const std::string otherwise = value(step.handed_on, &step);
    const std::string row = fmt::format("{} = {} if {} else {}", result, text, guard, otherwise);
    if (static_cast<int>(row.size()) <= out.room()) {
      write_constants(out);
      return out.statement(row);
    }
    out.open(fmt::format("if {}:", guard));
    assign(text);
    out.close();
    if (otherwise == result) return;
    out.open("else:");
    assign(otherwise);
    out.close();
  }

  void write_repeat(PythonText& out, const Step& step, std::size_t i) {
    const std::string& result = variables_.steps[i];
    const std::string first = step.inputs.empty() ? "" : value(step.inputs[0], &step), guard = condition(step);
    if (first != result) out.statement(fmt::format("{} = {}", result, first));
    if (!guard.empty()) out.open(fmt::format("if {}:", guard));
    const bool taken = takes_one_of(static_cast<int>(i));
    if (taken) out.statement(fmt::format("{}_all = []", result));
    const bool entry = has_entry(context_.program, step);
    if (step.block >= 0 && !context_.nnx)
      out.open(fmt::format("for index, layer in enumerate({}):", handles_[i]));
    else
      out.open(fmt::format("for {} in range({}):", entry ? "index" : "_", python_value(*step.layer->repeat, locals())));
    const std::string text = call(step, i, result);
    write_constants(out);
    out.statement(fmt::format("{} = {}", result, text));
    if (taken) out.statement(fmt::format("{}_all.append({})", result, result));
    out.close();
    if (!guard.empty()) out.close();
  }

  bool takes_one_of(int index) const {
    const auto one = [&](const Ref& ref) { return ref.kind == Ref::step && ref.index == index && ref.repeat >= 0; };
    for (const Step& step : scope_.steps)
      if (std::any_of(step.inputs.begin(), step.inputs.end(), one)) return true;
    return std::any_of(scope_.outputs.begin(), scope_.outputs.end(), [&](const auto& output) { return one(output.second); });
  }

  const JaxContext& context_;
  const std::size_t index_;
  const Scope& scope_;
  const std::map<std::string, std::string>& params_;
  Names names_;
  bool inside_call_ = false;                         // of a module: parameters are attributes
  mutable std::map<std::string, std::string> kept_;  // attribute → parameter
  std::vector<std::string> handles_;
  Variables variables_;
  std::vector<SourceSlot> slots_;
  std::vector<std::string> constants_;               // statements that the next one needs
  std::vector<std::optional<Ref>> alias_;            // of the body's layers that are off: what stands for them
  std::map<std::string, const TextValue*> weights_;  // that no layer owns: key → {weight, type}
};

}  // namespace

bool has_entry(const Program& program, const Step& step) {
  return step.block >= 0 || (step.op && step.owns_weights && !slot_of(program, step).jax_init.empty());
}

std::string jax_scope(const JaxContext& context, std::size_t scope) { return JaxScope(context, scope).write(); }

}  // namespace wherry::source
