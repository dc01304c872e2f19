#include "ir/check_model.h"

#include "base/text.h"
#include "ir/text/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

namespace wherry {

namespace {

bool is_parameter(const Input& input) { return input.role == Role::parameter || input.role == Role::optional_parameter; }

template <class Rows>
std::vector<std::string> names_of(const Rows& rows) {
  std::vector<std::string> names;
  for (const auto& row : rows) names.emplace_back(row.name);
  return names;
}

template <class Rows>
bool has(const Rows& rows, std::string_view name) {
  return std::any_of(rows.begin(), rows.end(), [&](const auto& row) { return row.name == name; });
}

// The layers of one block, or of the model's body.
struct Body {
  const Block* block;  // nullptr: the model
  const std::vector<Layer>& layers;
  std::vector<std::string> inputs;
  Origin origin;
  std::unordered_map<std::string, std::size_t> index = {};  // layer's name → its position
};

class Checker {
 public:
  Checker(const Model& model, const OpTable& ops, TextFaults& faults) : model_(model), ops_(ops), faults_(faults) {
    for (const Block& block : model.blocks) blocks_.emplace(block.name, &block);
  }

  CheckedModel run() {
    for (const Block& block : model_.blocks) {
      body({&block, block.layers, block.inputs, origin_of(model_, &block)}, block.outputs, block.outputs_line, block.outputs_column);
      result_.circular |= contains_itself(block);
    }
    body({nullptr, model_.layers, names_of(model_.inputs), origin_of(model_, nullptr)}, model_.outputs, model_.outputs_line,
         model_.outputs_column);
    return std::move(result_);
  }

 private:
  void body(Body body, const std::vector<std::pair<std::string, std::string>>& outputs, int line, int column) {
    for (std::size_t i = 0; i < body.layers.size(); ++i) body.index.emplace(body.layers[i].name, i);
    for (std::size_t i = 0; i < body.layers.size(); ++i) {
      const int before = faults_.count();
      layer(body, i);
      if (faults_.count() > before) result_.faulty.insert(&body.layers[i]);
    }
    for (const auto& [name, reference] : outputs) {
      const std::string problem = unresolved(body, reference, body.layers.size());
      if (!problem.empty()) faults_.add("E306", fmt::format("output '{}': {}", name, problem), body.origin, line, column);
    }
  }

  void layer(const Body& body, std::size_t at) {
    const Layer& layer = body.layers[at];
    if (!layer.op.empty()) {
      if (const OpDef* op = ops_.find(layer.op))
        of_operator(body, layer, *op);
      else
        unknown(body, layer, fmt::format("there is no operator '{}'{}", layer.op, did_you_mean(layer.op, ops_.names())),
                "'wherry ops' lists them");
    } else if (!layer.block.empty()) {
      const auto it = blocks_.find(layer.block);
      const std::vector<std::string> known = it == blocks_.end() ? names_of(model_.blocks) : std::vector<std::string>{};
      if (it != blocks_.end())
        of_block(body, layer, *it->second);
      else
        unknown(body, layer, fmt::format("there is no block '{}'{}", layer.block, did_you_mean(layer.block, known)),
                known.empty() ? "define it under 'blocks' or load a library with 'use'" : "there are: " + join(known, ", "));
    } else {
      result_.faulty.insert(&layer);  // the reader said so
    }
    for (const TextValue& input : layer.inputs) reference(body, at, input);
  }

  void unknown(const Body& body, const Layer& layer, std::string message, std::string next) {
    faults_.add("E302", std::move(message), body.origin, layer.word_line ? layer.word_line : layer.line,
                layer.word_line ? layer.word_column : layer.column, std::move(next));
  }

  void lacks(const Body& body, const Layer& layer, const std::string& what, const std::string& names, std::string next) {
    faults_.add("E303", fmt::format("layer '{}' needs {} of {}", layer.name, names, what), body.origin, layer.line, layer.column,
                std::move(next));
  }

  void of_operator(const Body& body, const Layer& layer, const OpDef& op) {
    std::vector<std::string> known = names_of(op.hyper);
    for (const AttrDef& def : op.attrs)
      if (!has(op.hyper, def.name)) known.emplace_back(def.name);
    arguments(body, layer, known, fmt::format("operator {}", op.name));
    for (const HyperDef& def : op.hyper)
      if (!def.fallback && !has_argument(layer, def.name))
        lacks(body, layer, fmt::format("operator {}", op.name), fmt::format("'{}'", def.name),
              fmt::format("'wherry ops {}' shows what the operator takes", op.name));
    for (const AttrDef& def : op.attrs)
      if (!def.fallback && !has(op.hyper, def.name) && !has_argument(layer, def.name))
        lacks(body, layer, fmt::format("operator {}", op.name), fmt::format("'{}'", def.name),
              fmt::format("'wherry ops {}' shows what the operator takes", op.name));
    for (const auto& [name, key] : layer.weights) {
      if (name.empty()) continue;
      std::vector<std::string> parameters;
      for (const Input& input : op.inputs)
        if (is_parameter(input)) parameters.emplace_back(input.name);
      if (std::find(parameters.begin(), parameters.end(), name) == parameters.end())
        faults_.add("E302", fmt::format("operator {} has no weight '{}'{}", op.name, name, did_you_mean(name, parameters)), body.origin,
                    key.key_line, key.key_column, parameters.empty() ? "" : "its weights are: " + join(parameters, ", "));
    }
    input_count(body, layer, op);
  }

  void input_count(const Body& body, const Layer& layer, const OpDef& op) {
    const std::size_t given = std::max<std::size_t>(layer.inputs.size(), 1);
    const InputPlan plan = plan_inputs(op, given);
    if (given < plan.least || (plan.least > 1 && layer.inputs.empty())) {
      std::vector<std::string> names;
      for (const Input& input : op.inputs)
        if (input.role == Role::tensor || input.role == Role::variadic) names.emplace_back(input.name);
      faults_.add(
          "E303",
          fmt::format("operator {} takes {} inputs ({}), layer '{}' gives {}", op.name, plan.least, join(names, ", "), layer.name, given),
          body.origin, layer.line, layer.column, "write 'inputs: [first, second]'");
    } else if (plan.slots.size() < layer.inputs.size()) {
      faults_.add("E304",
                  fmt::format("operator {} takes at most {} inputs, layer '{}' gives {}", op.name, op.inputs.size(), layer.name, given),
                  body.origin, layer.line, layer.column);
    }
  }

  void of_block(const Body& body, const Layer& layer, const Block& block) {
    const std::string what = fmt::format("block {}", block.name);
    arguments(body, layer, names_of(block.params), what);
    for (const Param& param : block.params)
      if (!param.fallback && !has_argument(layer, param.name))
        lacks(body, layer, what, fmt::format("'{}'", param.name), "the block takes: " + join(names_of(block.params), ", "));
    if (!layer.weights.empty())
      faults_.add("E304", "weights can be named for operators, not for blocks", body.origin, layer.line, layer.column);
    const std::size_t given = std::max<std::size_t>(layer.inputs.size(), 1), wanted = block.inputs.size();
    if (given < wanted) {
      const std::vector<std::string> left(block.inputs.begin() + static_cast<std::ptrdiff_t>(given), block.inputs.end());
      lacks(body, layer, what, fmt::format("the input{} '{}'", left.size() > 1 ? "s" : "", join(left, "', '")),
            "write 'inputs: [first, second]'");
    } else if (layer.inputs.size() > wanted) {
      faults_.add("E304", fmt::format("block {} takes {} inputs, layer '{}' gives {}", block.name, wanted, layer.name, given), body.origin,
                  layer.line, layer.column);
    }
  }

  static bool has_argument(const Layer& layer, std::string_view name) {
    return std::any_of(layer.args.begin(), layer.args.end(), [&](const auto& arg) { return arg.first == name; });
  }

  void arguments(const Body& body, const Layer& layer, const std::vector<std::string>& known, const std::string& what) {
    std::vector<std::string> keys = known;
    for (const char* key : {"inputs", "when", "repeat", "weights"}) keys.emplace_back(key);
    for (const auto& [name, value] : layer.args) {
      if (std::find(known.begin(), known.end(), name) != known.end()) continue;
      faults_.add("E302", fmt::format("{} has no parameter '{}'{}", what, name, did_you_mean(name, keys)), body.origin, value.key_line,
                  value.key_column, known.empty() ? "it takes none" : "it takes: " + join(known, ", "));
    }
  }

  void reference(const Body& body, std::size_t at, const TextValue& input) {
    if (input.kind != TextValue::string) return;
    const std::string problem = unresolved(body, input.string_value, at);
    if (problem.empty()) return;
    const auto it = body.index.find(parse_reference(input.string_value).layer);
    const bool circle = it != body.index.end() && it->second >= at && waits_for(body, it->second, at);
    faults_.add(circle ? "E307" : "E306",
                !circle            ? problem
                : it->second == at ? fmt::format("layer '{}' takes itself", it->first)
                                   : fmt::format("layers '{}' and '{}' wait for each other", body.layers[at].name, it->first),
                body.origin, input.line, input.column, circle ? "a layer can take only what stands above it" : "");
  }

  // Why the reference cannot be followed from layer `at`; "" when it can, or when it is an expression.
  std::string unresolved(const Body& body, const std::string& text, std::size_t at) const {
    if (!text.empty() && text[0] == '$') {
      const std::string name = text.substr(1);
      std::vector<std::string> known = body.inputs;
      if (body.block)
        for (const Param& param : body.block->params) known.push_back(param.name);
      if (!is_identifier(name) || name == "index" || std::find(known.begin(), known.end(), name) != known.end()) return {};
      const std::string guess = nearest(name, known);
      return fmt::format("there is no input '{}'{}", text, guess.empty() ? "" : fmt::format("; did you mean '${}'?", guess));
    }
    if (text.find('$') != std::string::npos) return {};
    const std::string name = parse_reference(text).layer;
    auto it = body.index.find(name);
    if (it == body.index.end())  // one of a repeated layer: block.3
      if (const std::size_t dot = name.rfind('.'); dot != std::string::npos) {
        it = body.index.find(name.substr(0, dot));
        if (it != body.index.end() && !body.layers[it->second].repeat) it = body.index.end();
      }
    if (it != body.index.end() && it->second < at) return {};
    if (it != body.index.end()) return fmt::format("layer '{}' stands below; layers are written in the order in which they run", name);
    if (std::find(body.inputs.begin(), body.inputs.end(), name) != body.inputs.end())
      return fmt::format("there is no layer '{}'; the input of this name is '${}'", name, name);
    std::vector<std::string> known;
    for (const Layer& layer : body.layers) known.push_back(layer.name);
    return fmt::format("there is no layer '{}'{}", name, did_you_mean(name, known));
  }

  // Whether layer `from` needs the result of layer `target`.
  bool waits_for(const Body& body, std::size_t from, std::size_t target) const {
    std::vector<bool> seen(body.layers.size());
    std::vector<std::size_t> open = {from};
    while (!open.empty()) {
      const std::size_t i = open.back();
      open.pop_back();
      if (i == target) return true;
      if (seen[i]) continue;
      seen[i] = true;
      if (body.layers[i].inputs.empty() && i > 0) open.push_back(i - 1);
      for (const TextValue& input : body.layers[i].inputs) {
        if (input.kind != TextValue::string) continue;
        const auto it = body.index.find(parse_reference(input.string_value).layer);
        if (it != body.index.end()) open.push_back(it->second);
      }
    }
    return false;
  }

  // Depth first over the blocks that `block` uses, without recursion: a chain of blocks may be long.
  bool contains_itself(const Block& block) {
    std::map<const Block*, const Block*> user;  // who uses it, on the way from `block`
    std::vector<const Block*> open = {&block};
    while (!open.empty()) {
      const Block* current = open.back();
      open.pop_back();
      for (const Layer& layer : current->layers) {
        const auto it = blocks_.find(layer.block);
        if (layer.block.empty() || it == blocks_.end()) continue;
        if (it->second == &block) {
          std::string chain = block.name;
          for (const Block* b = current; b != &block; b = user[b]) chain = b->name + " → " + chain;
          faults_.add("E307", fmt::format("block '{}' contains itself: {} → {}", block.name, block.name, chain), origin_of(model_, current),
                      layer.line, layer.column, "use 'repeat' for a stack of equal layers");
          return true;
        }
        if (user.emplace(it->second, current).second) open.push_back(it->second);
      }
    }
    return false;
  }

  const Model& model_;
  const OpTable& ops_;
  TextFaults& faults_;
  std::unordered_map<std::string, const Block*> blocks_;
  CheckedModel result_;
};

}  // namespace

InputPlan plan_inputs(const OpDef& op, std::size_t given) {
  InputPlan plan;
  std::vector<int> tensors;
  bool variadic = false;
  for (std::size_t i = 0; i < op.inputs.size(); ++i) {
    const Role role = op.inputs[i].role;
    if (is_parameter(op.inputs[i])) continue;
    tensors.push_back(static_cast<int>(i));
    if (role != Role::optional) plan.least = tensors.size();
    variadic = role == Role::variadic;
  }
  plan.most = variadic ? SIZE_MAX : tensors.size();
  while (variadic && tensors.size() < given) tensors.push_back(tensors.back());
  if (given > tensors.size() && given <= op.inputs.size()) {
    plan.slots.resize(op.inputs.size());
    for (std::size_t i = 0; i < plan.slots.size(); ++i) plan.slots[i] = static_cast<int>(i);
  } else {
    plan.slots = std::move(tensors);
  }
  return plan;
}

CheckedModel check_model(const Model& model, const OpTable& ops, TextFaults& faults) { return Checker(model, ops, faults).run(); }

}  // namespace wherry
