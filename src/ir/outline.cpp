#include "ir/outline.h"

#include "ir/outline_params.h"
#include "ir/outline_text.h"

#include <algorithm>
#include <set>

namespace wherry {

namespace {

using namespace outlining;

class Outliner {
 public:
  explicit Outliner(const Graph& graph) : graph_(graph), tree_(graph) {}

  Model run() {
    Model model;
    model.name = graph_.name;
    for (const std::vector<const Instance*>& instances : tree_.classes()) make_blocks(instances);
    const Body body = read_body(tree_, tree_.root, calls_);
    std::vector<std::string> inputs;
    for (const Port& port : graph_.inputs) {
      inputs.push_back(port.name);
      model.inputs.push_back({.name = port.name, .type = graph_.type(port.value)});
    }
    Template whole = *merge({&body});
    model.blocks = in_order();
    model.layers = layers_of(whole, inputs);
    for (std::size_t k = 0; k < graph_.outputs.size(); ++k)
      model.outputs.emplace_back(graph_.outputs[k].name, reference(body.outputs[k], whole, inputs));
    return model;
  }

 private:
  // Instances of one class become one block, or several where no one list of layers serves them all.
  void make_blocks(const std::vector<const Instance*>& instances) {
    std::vector<Body> bodies;
    for (const Instance* instance : instances) bodies.push_back(read_body(tree_, *instance, calls_));
    std::vector<std::size_t> rest(instances.size());
    for (std::size_t i = 0; i < rest.size(); ++i) rest[i] = i;
    while (rest.size() > 1) {
      std::vector<std::size_t> together = rest, apart;
      std::optional<Template> block = merged(bodies, together);
      if (!block) split_rest(bodies, rest, together, apart);
      if (!block) block = merged(bodies, together);
      if (together.size() > 1 && block->lines.size() > 1) {
        const auto [name, parameters] = add_block(instances[together[0]]->type, *block);
        for (std::size_t n = 0; n < together.size(); ++n) {
          const Instance& instance = *instances[together[n]];
          Call& call =
              calls_[&instance] = {.block = name, .inputs = bodies[together[n]].inputs, .outputs = outputs_of(tree_, instance), .args = {}};
          for (const Parameter& parameter : parameters) call.args.push_back({parameter.name, parameter.values[n], parameter.fallbacks[n]});
        }
      }
      rest = apart;
    }
  }

  static std::optional<Template> merged(const std::vector<Body>& bodies, const std::vector<std::size_t>& chosen) {
    std::vector<const Body*> some;
    for (const std::size_t i : chosen) some.push_back(&bodies[i]);
    return merge(some);
  }

  // The first, and each that fits with those before it.
  static void split_rest(const std::vector<Body>& bodies, const std::vector<std::size_t>& rest, std::vector<std::size_t>& together,
                         std::vector<std::size_t>& apart) {
    together = {rest[0]};
    for (std::size_t i = 1; i < rest.size(); ++i) {
      together.push_back(rest[i]);
      if (merged(bodies, together)) continue;
      together.pop_back();
      apart.push_back(rest[i]);
    }
  }

  std::pair<std::string, std::vector<Parameter>> add_block(const std::string& type, Template& form) {
    Block block;
    block.name = unique_name(type);
    std::vector<Parameter> parameters = parametrize(form);
    for (const Parameter& parameter : parameters) {
      Param param{.name = parameter.name};
      if (parameter.fallback)
        param.fallback = *parameter.fallback;
      else
        param.kind = kind_of(parameter.values);
      block.params.push_back(std::move(param));
    }
    block.inputs = input_names(std::max(form.inputs, 1));
    block.layers = layers_of(form, block.inputs);
    const bool last = form.outputs.empty() || (form.outputs.size() == 1 && form.outputs[0].previous);
    for (std::size_t k = 0; k < form.outputs.size() && !last; ++k)
      block.outputs.emplace_back(k == 0 ? "output" : fmt::format("output{}", k + 1), reference(form.outputs[k].ref, form, block.inputs));
    blocks_.push_back(std::move(block));
    return {blocks_.back().name, std::move(parameters)};
  }

  std::string unique_name(const std::string& wanted) {
    std::string name = wanted;
    const bool digit = std::isdigit(static_cast<unsigned char>(wanted.back())) != 0;
    for (int n = 2; !names_.insert(name).second; ++n) name = fmt::format("{}{}{}", wanted, digit ? "_" : "", n);
    return name;
  }

  // Each block after those that it uses; where that leaves a choice, the one that the model needs first.
  std::vector<Block> in_order() {
    std::map<std::string, int> first;
    for (const auto& [instance, call] : calls_) {
      const auto [it, fresh] = first.emplace(call.block, instance->first);
      if (!fresh) it->second = std::min(it->second, instance->first);
    }
    std::stable_sort(blocks_.begin(), blocks_.end(), [&](const Block& a, const Block& b) { return first[a.name] < first[b.name]; });
    std::vector<Block> sorted;
    std::set<std::string> done;
    while (sorted.size() < blocks_.size())
      for (Block& block : blocks_) {
        const bool ready = !done.contains(block.name) && std::all_of(block.layers.begin(), block.layers.end(), [&](const Layer& l) {
          return l.block.empty() || done.contains(l.block);
        });
        if (!ready) continue;
        done.insert(block.name);
        sorted.push_back(block);
        break;
      }
    return sorted;
  }

  static std::string kind_of(const std::vector<Attr>& values) {
    const auto all = [&](auto type) {
      return std::all_of(values.begin(), values.end(), [](const Attr& v) { return std::holds_alternative<decltype(type)>(v); });
    };
    if (all(std::int64_t{})) return "int";
    if (all(double{})) return "float";
    if (all(bool{})) return "bool";
    return all(std::string{}) ? "string" : "ints";
  }

  const Graph& graph_;
  const Tree tree_;
  Calls calls_;
  std::vector<Block> blocks_;
  std::set<std::string> names_;  // of blocks
};

}  // namespace

Model outline(const Graph& graph, const OpTable&) { return Outliner(graph).run(); }

Weights weights_of(const Graph& graph) {
  Weights weights;
  for (const Value& value : graph.values)
    if (value.constant && !value.name.empty()) weights.emplace(value.name, *value.constant);
  return weights;
}

}  // namespace wherry
