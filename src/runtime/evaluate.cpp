#include "runtime/evaluate.h"

#include "base/check.h"
#include "base/text.h"
#include "ir/expand.h"

#include <numbers>
#include <set>

namespace wherry {

namespace {

void require_evaluable(const Graph& graph) {
  Diagnostics diagnostics;
  std::set<std::string_view> seen;
  for (const Node& node : graph.nodes)
    if (!node.op->eval && seen.insert(node.op->name).second)
      diagnostics.add({.code = "E704",
                       .message = fmt::format("operator '{}' has neither a reference evaluator nor an expansion", node.op->name),
                       .at = node.where(),
                       .next = "convert with --no-verify and compare in your own framework, or give the operator an eval slot"});
  std::set<std::string> symbols;
  for (const Port& port : graph.inputs)
    for (const Dim& d : graph.type(port.value).shape)
      if (!d.known()) symbols.insert(d.text());
  if (!symbols.empty())
    diagnostics.add({.code = "E504",
                     .message = fmt::format("the model has dimensions without a size: {}", join({symbols.begin(), symbols.end()}, ", ")),
                     .next = fmt::format("give each a size: --dim {}=1", *symbols.begin())});
  diagnostics.throw_if_errors();
}

}  // namespace

Evaluator::Evaluator(const Graph& graph, const OpTable& ops)
    : graph_(expand(graph, ops, [](const OpDef& op) { return op.eval != nullptr; })) {
  require_evaluable(graph_);
  std::vector<int> last(graph_.values.size(), -1);
  for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
    for (const ValueId v : graph_.nodes[i].inputs)
      if (v != absent) last[static_cast<std::size_t>(v)] = static_cast<int>(i);
    for (const ValueId v : graph_.nodes[i].outputs) last[static_cast<std::size_t>(v)] = static_cast<int>(i);
  }
  for (const Port& port : graph_.outputs) last[static_cast<std::size_t>(port.value)] = -1;
  dies_after_.resize(graph_.nodes.size());
  for (std::size_t v = 0; v < last.size(); ++v)
    if (last[v] >= 0) dies_after_[static_cast<std::size_t>(last[v])].push_back(static_cast<ValueId>(v));
}

std::vector<Tensor> Evaluator::run(const std::vector<Tensor>& inputs, const Observe& observe) const {
  std::vector<Tensor> live(graph_.values.size());
  for (std::size_t v = 0; v < live.size(); ++v)
    if (graph_.values[v].constant) live[v] = graph_.values[v].constant->cast(computed_as(graph_.values[v].type.dtype));
  if (inputs.size() != graph_.inputs.size())
    fail({.code = "E705", .message = fmt::format("{} inputs given, the model takes {}", inputs.size(), graph_.inputs.size())});
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Type& wanted = graph_.type(graph_.inputs[i].value);
    const bool fits =
        inputs[i].sizes() == sizes(wanted.shape) && (inputs[i].dtype() == wanted.dtype || inputs[i].dtype() == carrier(wanted.dtype) ||
                                                     (is_float(inputs[i].dtype()) && is_float(wanted.dtype)));
    if (!fits)
      fail({.code = "E705",
            .message = fmt::format("input '{}' is {}, the model takes {}", graph_.inputs[i].name, text(inputs[i].type()), text(wanted))});
    live[static_cast<std::size_t>(graph_.inputs[i].value)] = inputs[i].cast(computed_as(wanted.dtype));
  }
  const int total = static_cast<int>(graph_.nodes.size());
  for (int i = 0; i < total; ++i) {
    const Node& node = graph_.nodes[static_cast<std::size_t>(i)];
    std::vector<const Tensor*> in;
    for (const ValueId v : node.inputs) in.push_back(v == absent ? nullptr : &live[static_cast<std::size_t>(v)]);
    std::vector<Tensor> out;
    for (const ValueId v : node.outputs) out.push_back(Tensor::allocate(computed_as(graph_.type(v).dtype), sizes(graph_.type(v).shape)));
    OpValues values{node, in, out};
    node.op->eval(values);
    for (std::size_t k = 0; k < out.size(); ++k) {
      if (observe) observe(graph_[node.outputs[k]], out[k], i + 1, total);
      live[static_cast<std::size_t>(node.outputs[k])] = std::move(out[k]);
    }
    for (const ValueId v : dies_after_[static_cast<std::size_t>(i)]) live[static_cast<std::size_t>(v)] = Tensor();
  }
  std::vector<Tensor> outputs;
  for (const Port& port : graph_.outputs) outputs.push_back(live[static_cast<std::size_t>(port.value)].cast(graph_.type(port.value).dtype));
  return outputs;
}

namespace {

// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
struct SplitMix {
  std::uint64_t state;
  std::uint64_t next() {
    std::uint64_t z = state += 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
  }
  double uniform() { return (static_cast<double>(next() >> 11U) + 0.5) * 0x1.0p-53; }  // in (0, 1)
};

}  // namespace

std::vector<Tensor> seeded_tensors(const std::vector<Type>& types, std::uint64_t seed) {
  SplitMix random{seed};
  std::vector<Tensor> tensors;
  for (const Type& type : types) {
    Tensor tensor = Tensor::allocate(is_float(type.dtype) ? DType::float32 : DType::int64, sizes(type.shape));
    if (is_float(type.dtype)) {
      const auto values = tensor.mutable_as<float>();
      for (std::size_t i = 0; i < values.size(); i += 2) {  // Box and Muller's transform, two at a time
        const double radius = std::sqrt(-2 * std::log(random.uniform())), angle = 2 * std::numbers::pi * random.uniform();
        values[i] = static_cast<float>(radius * std::cos(angle));
        if (i + 1 < values.size()) values[i + 1] = static_cast<float>(radius * std::sin(angle));
      }
    } else {
      for (std::int64_t& value : tensor.mutable_as<std::int64_t>())
        value = static_cast<std::int64_t>(random.next() % (type.dtype == DType::boolean ? 2 : 10));
    }
    tensors.push_back(tensor.cast(type.dtype));
  }
  return tensors;
}

}  // namespace wherry
