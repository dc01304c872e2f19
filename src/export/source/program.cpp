#include "export/source/program.h"

#include "base/check.h"
#include "base/text.h"
#include "ir/check_model.h"
#include "ir/expression.h"
#include "ir/flatten_values.h"
#include "ir/text/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>

namespace wherry::source {

namespace {

using flattening::Frame;

bool is_weight(const Input& input) { return input.role == Role::parameter || input.role == Role::optional_parameter; }

// Reads blocks as the model's layers need them, then follows the model through all uses.
class ProgramReader {
 public:
  ProgramReader(const Model& model, const Graph& graph, const OpTable& ops)
      : ops_(ops), faults_(diagnostics_), values_(faults_), program_{model, graph, {}} {
    for (const Block& block : model.blocks) blocks_.emplace(block.name, &block);
    for (const Node& node : graph.nodes) nodes_.emplace(node.path, &node);
  }

  Program read() {
    Scope body{.name = program_.model.name};
    for (const ModelInput& input : program_.model.inputs) body.inputs.push_back(input.name);
    read_scope(body, program_.model.layers, program_.model.outputs);
    program_.scopes.push_back(std::move(body));
    Frame frame;
    std::vector<Held> inputs;
    for (const Port& port : program_.graph.inputs) inputs.push_back({program_.graph.type(port.value), port.value});
    int use = -1;
    follow(static_cast<int>(program_.scopes.size()) - 1, frame, inputs, use);
    name_free_weights();
    return std::move(program_);
  }

 private:
  // ---- structure ----------------------------------------------------------------------------------------------------

  int scope_of(const std::string& name) {
    if (const auto it = index_.find(name); it != index_.end()) return it->second;
    const Block& block = *blocks_.at(name);
    Scope scope{.block = &block, .name = block.name, .doc = block.doc, .inputs = block.inputs};
    for (const bool required : {true, false})
      for (const Param& param : block.params)
        if (param.fallback.has_value() != required) scope.params.push_back(&param);
    read_scope(scope, block.layers, block.outputs);
    program_.scopes.push_back(std::move(scope));
    return index_[name] = static_cast<int>(program_.scopes.size()) - 1;
  }

  void read_scope(Scope& scope, const std::vector<Layer>& layers, const std::vector<std::pair<std::string, std::string>>& outputs) {
    std::map<std::string, int> by_name;
    for (const Layer& layer : layers) {
      Step step{.layer = &layer};
      if (layer.block.empty())
        of_operator(scope, by_name, step);
      else
        of_block(scope, by_name, step);
      by_name[layer.name] = static_cast<int>(scope.steps.size());
      scope.steps.push_back(std::move(step));
    }
    if (outputs.empty()) scope.outputs.emplace_back("output", before(scope));
    for (const auto& [name, reference] : outputs) scope.outputs.emplace_back(name, resolve(scope, by_name, reference));
  }

  static Ref before(const Scope& scope) {
    if (scope.steps.empty()) return {.kind = scope.inputs.empty() ? Ref::absent : Ref::input};
    return {.kind = Ref::step, .index = static_cast<int>(scope.steps.size()) - 1};
  }

  void of_operator(const Scope& scope, const std::map<std::string, int>& by_name, Step& step) {
    step.op = ops_.find(step.layer->op);
    step.list = step.op->outputs != 1;
    const InputPlan plan = plan_inputs(*step.op, std::max<std::size_t>(step.layer->inputs.size(), 1));
    if (step.layer->inputs.empty() && !plan.slots.empty()) step.inputs = {before(scope)};
    inputs_of(scope, by_name, step);
    step.slots.assign(plan.slots.begin(), plan.slots.begin() + static_cast<std::ptrdiff_t>(step.inputs.size()));
    for (const Input& input : step.op->inputs) step.owns_weights |= is_weight(input) && step.owns(input.name);
  }

  void of_block(const Scope& scope, const std::map<std::string, int>& by_name, Step& step) {
    step.block = scope_of(step.layer->block);
    const Block& block = *blocks_.at(step.layer->block);
    step.outputs = static_cast<int>(std::max<std::size_t>(block.outputs.size(), 1));
    step.list = step.outputs > 1;
    if (step.layer->inputs.empty() && !block.inputs.empty()) step.inputs = {before(scope)};
    inputs_of(scope, by_name, step);
  }

  void inputs_of(const Scope& scope, const std::map<std::string, int>& by_name, Step& step) {
    for (const TextValue& input : step.layer->inputs) step.inputs.push_back(input_of(scope, by_name, input));
    if (!step.inputs.empty()) step.handed_on = step.inputs[0];
    for (std::size_t i = 0; i < step.layer->inputs.size(); ++i)
      if (const TextValue& input = step.layer->inputs[i]; input.kind == TextValue::string && !is_expression(input.string_value)) {
        step.handed_on = step.inputs[i];
        break;
      }
  }

  Ref input_of(const Scope& scope, const std::map<std::string, int>& by_name, const TextValue& input) {
    if (input.kind == TextValue::null) return {};
    if (input.kind == TextValue::map) return {.kind = input.find("weight") ? Ref::weight : Ref::constant, .value = &input};
    if (input.kind != TextValue::string) return {.kind = Ref::number, .value = &input};
    const bool named = input.string_value.starts_with('$') && index_of(scope.inputs, input.string_value.substr(1)) >= 0;
    if (is_expression(input.string_value) && !named) return {.kind = Ref::number, .value = &input};
    return resolve(scope, by_name, input.string_value);
  }

  static int index_of(const std::vector<std::string>& list, std::string_view word) {
    const auto it = std::find(list.begin(), list.end(), word);
    return it == list.end() ? -1 : static_cast<int>(it - list.begin());
  }

  Ref resolve(const Scope& scope, const std::map<std::string, int>& by_name, const std::string& text) const {
    if (const int input = text.starts_with('$') ? index_of(scope.inputs, text.substr(1)) : -1; input >= 0)
      return {.kind = Ref::input, .index = input};
    const Reference reference = parse_reference(text);
    Ref ref{.kind = Ref::step};
    if (const auto it = by_name.find(reference.layer); it != by_name.end()) {
      ref.index = it->second;
    } else {  // one of a repeated layer: "body.1"
      const std::size_t dot = reference.layer.rfind('.');
      ref.index = by_name.at(reference.layer.substr(0, dot));
      ref.repeat = std::stoi(reference.layer.substr(dot + 1));
    }
    if (reference.output.empty()) return ref;
    const Step& step = scope.steps[static_cast<std::size_t>(ref.index)];
    int named = -1;
    if (step.block >= 0)
      for (const auto& [name, inner] : blocks_.at(step.layer->block)->outputs) {
        ++named;
        if (name == reference.output) return ref.output = named, ref;
      }
    ref.output = std::stoi(reference.output);
    return ref;
  }

  // ---- uses ---------------------------------------------------------------------------------------------------------

  // A value of one use. Where its text is a number, a constant or a weight, whoever takes it knows its place in the graph.
  struct Held {
    Type type = {};
    ValueId id = absent;
  };

  // One use of a scope while it is followed.
  struct Following {
    std::size_t scope;
    Frame& frame;
    std::vector<Held> inputs;
    std::vector<std::vector<Held>> results = {};  // by step
    std::vector<Part> parts = {};

    Held* find(const Ref& ref) {
      if (ref.kind == Ref::input)
        return static_cast<std::size_t>(ref.index) < inputs.size() ? &inputs[static_cast<std::size_t>(ref.index)] : nullptr;
      if (ref.kind != Ref::step) return nullptr;
      std::vector<Held>& step = results[static_cast<std::size_t>(ref.index)];
      return &step[std::min(static_cast<std::size_t>(ref.output), step.size() - 1)];
    }
    Held held(const Ref& ref) {
      const Held* found = find(ref);
      return found ? *found : Held{};
    }
    // What a layer was seen to take is what the scope's input is.
    void learn(const Ref& ref, ValueId id) {
      if (ref.kind != Ref::input) return;
      if (Held* input = find(ref); input && input->id == absent) input->id = id;
    }
  };

  // Its outputs; `inputs` learn the values that are taken.
  std::vector<Held> follow(int index, Frame& frame, std::vector<Held>& inputs, int& use_index) {
    const std::size_t at = static_cast<std::size_t>(index);
    Following f{at, frame, inputs};
    for (std::size_t i = 0; i < program_.scopes[at].steps.size(); ++i) {
      std::vector<Held> given;
      for (const Ref& ref : program_.scopes[at].steps[i].inputs) given.push_back(f.held(ref));
      f.results.push_back(follow_step(f, i, given));
    }
    Use use{.path = frame.path, .params = frame.params, .inputs = {}, .outputs = {}, .input_values = {}, .output_values = {}, .parts = {}};
    std::vector<Held> outputs;
    for (const auto& [name, ref] : program_.scopes[at].outputs) {
      outputs.push_back(f.held(ref));
      use.outputs.push_back(outputs.back().type);
      use.output_values.push_back(outputs.back().id);
    }
    for (const Held& input : f.inputs) use.inputs.push_back(input.type), use.input_values.push_back(input.id);
    use.parts = std::move(f.parts);
    use_index = static_cast<int>(program_.scopes[at].uses.size());
    program_.scopes[at].uses.push_back(std::move(use));
    inputs = std::move(f.inputs);
    return outputs;
  }

  std::vector<Held> follow_step(Following& f, std::size_t index, std::vector<Held> inputs) {
    Frame& frame = f.frame;
    const Layer& layer = *program_.scopes[f.scope].steps[index].layer;
    const bool on = !layer.when || values_.flag(*layer.when, layer, frame, "when");
    (on ? program_.scopes[f.scope].steps[index].on : program_.scopes[f.scope].steps[index].off) = true;
    std::vector<Held> result = {f.held(program_.scopes[f.scope].steps[index].handed_on)};
    if (!on) return result;
    if (!layer.repeat) return follow_one(f, index, -1, frame.path_of(layer.name), inputs);
    const std::int64_t count = std::get<std::int64_t>(values_.value(*layer.repeat, layer, frame));
    const auto outer = frame.params.find("index");
    const std::optional<Attr> saved = outer == frame.params.end() ? std::nullopt : std::optional(outer->second);
    for (std::int64_t k = 0; k < count; ++k) {
      frame.params["index"] = k;
      result = follow_one(f, index, static_cast<int>(k), frame.path_of(fmt::format("{}.{}", layer.name, k)), inputs);
      if (!inputs.empty()) inputs[0] = result[0];
    }
    frame.params.erase("index");
    if (saved) frame.params["index"] = *saved;
    return result;
  }

  std::vector<Held> follow_one(Following& f, std::size_t index, int repeat, const std::string& path, std::vector<Held>& inputs) {
    Step& step = program_.scopes[f.scope].steps[index];
    const auto learn = [&](std::size_t k, ValueId id) {
      if (repeat <= 0 || k > 0) f.learn(program_.scopes[f.scope].steps[index].inputs[k], id);
    };
    if (step.op) {
      const auto it = nodes_.find(path);
      WHERRY_CHECK(it != nodes_.end(), "no node has the path '{}'", path);
      const Node& node = *it->second;
      step.nodes.push_back(&node);
      step.outputs = static_cast<int>(node.outputs.size());
      f.parts.push_back({.step = static_cast<int>(index), .repeat = repeat, .node = &node});
      std::vector<int> taken(node.op->inputs.size(), 0);  // a variadic input stands for all that remain
      for (std::size_t k = 0; k < step.slots.size(); ++k) {
        const auto slot = static_cast<std::size_t>(step.slots[k]);
        const std::size_t at = slot + static_cast<std::size_t>(taken[slot]++);
        if (at < node.inputs.size()) learn(k, node.inputs[at]);
      }
      std::vector<Held> results;
      for (const ValueId v : node.outputs) results.push_back({program_.graph.type(v), v});
      return results;
    }
    const Layer& layer = *step.layer;
    Frame inner{.path = path, .depth = f.frame.depth + 1};
    for (const Param& param : blocks_.at(layer.block)->params) {
      const auto given = std::find_if(layer.args.begin(), layer.args.end(), [&](const auto& arg) { return arg.first == param.name; });
      inner.params[param.name] =
          given == layer.args.end() ? values_.value(*param.fallback, layer, inner) : values_.value(given->second, layer, f.frame);
    }
    int use = -1;
    std::vector<Held> results = follow(step.block, inner, inputs, use);
    Part part{.step = static_cast<int>(index), .repeat = repeat, .use = use};
    for (std::size_t k = 0; k < inputs.size(); ++k) learn(k, inputs[k].id), part.inputs.push_back(inputs[k].id);
    for (const Held& result : results) part.outputs.push_back(result.id);
    f.parts.push_back(std::move(part));
    return results;
  }

  // ---- parameters that no layer owns: functional.linear(x, self.w) ----

  // They become inputs of their layers, as weights that are no operator's parameters are.
  void name_free_weights() {
    std::set<std::string> owned;
    for (const Node& node : program_.graph.nodes)
      for (const Input& input : node.op->inputs)
        if (is_weight(input)) owned.insert(fmt::format("{}.{}", node.path, input.name));
    for (Scope& scope : program_.scopes)
      for (Step& step : scope.steps)
        if (step.op && !step.nodes.empty() && !step.layer->repeat) name_free_weights(step, owned);
  }

  void name_free_weights(Step& step, const std::set<std::string>& owned) {
    for (std::size_t slot = 0; slot < step.op->inputs.size(); ++slot) {
      const Input& input = step.op->inputs[slot];
      const auto written = std::find_if(step.layer->weights.begin(), step.layer->weights.end(),
                                        [&](const auto& weight) { return weight.first == input.name; });
      const ValueId value = step.nodes[0]->inputs.at(slot);
      if (!is_weight(input) || written == step.layer->weights.end() || value == absent) continue;
      const Type& type = program_.graph.type(value);
      const bool one_type = std::all_of(step.nodes.begin(), step.nodes.end(),
                                        [&](const Node* node) { return program_.graph.type(node->inputs[slot]) == type; });
      if (owned.contains(program_.graph[value].name) || !one_type) continue;
      TextValue& said = program_.free_weights.emplace_back(TextValue::empty_map());
      said.put("weight", written->second);
      said.put("type", TextValue::of(text(type)));
      step.inputs.push_back({.kind = Ref::weight, .value = &said});
      step.slots.push_back(static_cast<int>(slot));
    }
    const auto own = [&](std::size_t slot) {
      return is_weight(step.op->inputs[slot]) && step.owns(step.op->inputs[slot].name) && step.nodes[0]->inputs.at(slot) != absent;
    };
    step.owns_weights = false;
    for (std::size_t slot = 0; slot < step.op->inputs.size(); ++slot) step.owns_weights |= own(slot);
  }

  const OpTable& ops_;
  Diagnostics diagnostics_;
  TextFaults faults_;
  flattening::Values values_;
  Program program_;
  std::unordered_map<std::string, const Block*> blocks_;
  std::unordered_map<std::string, const Node*> nodes_;
  std::map<std::string, int> index_;  // of scopes
};

// A size of one axis in every use, as one word.
class DimWords {
 public:
  DimWords(const Scope& scope, const std::map<std::string, std::string>& param_names) : scope_(scope), param_names_(param_names) {}

  std::string word(const std::function<Dim(const Use&)>& dim, std::size_t axis, std::size_t rank) {
    std::vector<std::string> sizes;
    for (const Use& use : scope_.uses) sizes.push_back(dim(use).text());
    if (std::all_of(sizes.begin(), sizes.end(), [&](const std::string& s) { return s == sizes[0]; })) return sizes[0];
    for (const Param* param : scope_.params) {
      const auto says = [&](std::size_t i) {
        const Attr& value = scope_.uses[i].params.at(param->name);
        return std::holds_alternative<std::int64_t>(value) && text(value) == sizes[i];
      };
      bool all = true;
      for (std::size_t i = 0; i < sizes.size(); ++i) all = all && says(i);
      if (all) return param_names_.at(param->name);
    }
    std::string letter = rank == 4 && axis < 4 ? std::string(1, "NCHW"[axis]) : fmt::format("D{}", axis);
    while (letters_.contains(letter) && letters_.at(letter) != sizes) letter += "'";
    letters_[letter] = sizes;
    return letter;
  }

 private:
  const Scope& scope_;
  const std::map<std::string, std::string>& param_names_;
  std::map<std::string, std::vector<std::string>> letters_;  // the sizes, by use, that each stands for
};

}  // namespace

bool Step::owns(std::string_view weight) const {
  for (std::size_t i = 0; i < slots.size(); ++i)
    if (op->inputs[static_cast<std::size_t>(slots[i])].name == weight) return false;
  return std::none_of(layer->weights.begin(), layer->weights.end(), [&](const auto& w) { return w.first.empty() || w.first == weight; });
}

const TextValue* Step::argument(std::string_view name) const {
  for (const auto& [key, value] : layer->args)
    if (key == name) return &value;
  return nullptr;
}

Program read_program(const Model& model, const Graph& graph, const OpTable& ops) { return ProgramReader(model, graph, ops).read(); }

LastUses::LastUses(const Scope& scope) : inputs(scope.inputs.size(), -1), steps(scope.steps.size(), -1), takers(scope.steps.size(), 0) {
  const auto see = [&](const Ref& ref, int at) {
    if (ref.kind == Ref::input) inputs[static_cast<std::size_t>(ref.index)] = at;
    if (ref.kind == Ref::step) steps[static_cast<std::size_t>(ref.index)] = at, ++takers[static_cast<std::size_t>(ref.index)];
  };
  for (std::size_t i = 0; i < scope.steps.size(); ++i)
    for (const Ref& ref : scope.steps[i].inputs) see(ref, static_cast<int>(i));
  for (const auto& [name, ref] : scope.outputs) see(ref, static_cast<int>(scope.steps.size()));
}

std::string signature(const Scope& scope, const std::map<std::string, std::string>& input_names,
                      const std::map<std::string, std::string>& param_names, std::vector<int> (*order)(const Type&)) {
  if (scope.uses.empty()) return "";
  DimWords words(scope, param_names);
  const auto type_text = [&](const auto& type_in) {
    const Type& first = type_in(scope.uses[0]);
    const bool same_rank =
        std::all_of(scope.uses.begin(), scope.uses.end(), [&](const Use& use) { return type_in(use).shape.size() == first.shape.size(); });
    if (!same_rank) return fmt::format("{}[...]", name(first.dtype));
    std::vector<std::string> dims;
    for (std::size_t axis = 0; axis < first.shape.size(); ++axis)
      dims.push_back(words.word([&](const Use& use) { return type_in(use).shape[axis]; }, axis, first.shape.size()));
    if (order) {
      const std::vector<std::string> source = dims;
      for (std::size_t axis = 0; axis < dims.size(); ++axis) dims[static_cast<std::size_t>(order(first)[axis])] = source[axis];
    }
    return fmt::format("{}[{}]", name(first.dtype), join(dims, ", "));
  };
  std::vector<std::string> takes, gives;
  for (std::size_t i = 0; i < scope.inputs.size() && i < scope.uses[0].inputs.size(); ++i)
    takes.push_back(
        fmt::format("{}: {}", input_names.at(scope.inputs[i]), type_text([&](const Use& use) -> const Type& { return use.inputs[i]; })));
  for (std::size_t i = 0; i < scope.outputs.size(); ++i)
    gives.push_back((scope.outputs.size() > 1 ? scope.outputs[i].first + ": " : "") +
                    type_text([&](const Use& use) -> const Type& { return use.outputs[i]; }));
  return (takes.empty() ? "" : join(takes, ", ") + " ") + "-> " + join(gives, ", ");
}

}  // namespace wherry::source
