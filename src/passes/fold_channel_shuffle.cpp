#include "passes/fold_channel_shuffle.h"

#include "passes/convolution.h"

#include <algorithm>
#include <array>
#include <map>

namespace wherry {

namespace {

constexpr double most_added_work = 0.05;  // of the model's multiply-accumulates

// Channel c of the new value is channel order[c] of the old one.
using Channels = std::vector<int>;

Channels after(const Channels& first, const Channels& then) {  // first[then[c]]
  Channels result;
  for (const int c : then) result.push_back(first[static_cast<std::size_t>(c)]);
  return result;
}

Channels inverse(const Channels& order) {
  Channels result(order.size());
  for (std::size_t c = 0; c < order.size(); ++c) result[static_cast<std::size_t>(order[c])] = static_cast<int>(c);
  return result;
}

bool is_shuffle(const Node& node) { return node.op->name == "channel_shuffle"; }

// Channel c of the shuffle's output is channel taken_from(…)[c] of its input.
Channels taken_from(const Graph& graph, const Node& shuffle) {
  const auto channels = static_cast<int>(graph.type(shuffle.inputs[0]).shape[1].size()),
             groups = static_cast<int>(shuffle.integer("groups"));
  Channels order;
  for (int c = 0; c < channels; ++c) order.push_back(c % groups * (channels / groups) + c / groups);
  return order;
}

// One tensor in, one out, each channel by itself and all alike: parameters, if any, are one number for each channel.
bool treats_channels_alike(const Graph& graph, const Node& node) {
  static const std::array<std::string_view, 9> spatial = {"max_pool1d",          "max_pool2d",          "avg_pool1d",
                                                          "avg_pool2d",          "adaptive_avg_pool1d", "adaptive_avg_pool2d",
                                                          "adaptive_max_pool1d", "adaptive_max_pool2d", "interpolate"};
  if (node.outputs.size() != 1 || node.inputs.empty() || graph.is_constant(node.inputs[0])) return false;
  for (std::size_t i = 1; i < node.inputs.size(); ++i) {
    const ValueId v = node.inputs[i];
    if (v == absent) continue;
    if (!graph.is_constant(v) || graph.type(v).dtype != DType::float32 || graph.type(v).shape.size() > 1) return false;
  }
  if (node.op->name == "batch_norm" || node.op->name == "prelu") return true;
  if (std::find(spatial.begin(), spatial.end(), node.op->name) != spatial.end()) return true;
  return node.op->layout.kind == LayoutRule::any && node.op->inputs.size() == 1 &&
         graph.type(node.outputs[0]).shape == graph.type(node.inputs[0]).shape;
}

// What is to be done: the new channel order of every value that gets one, and the shuffles that go.
struct Plan {
  std::map<ValueId, Channels> orders;
  std::map<const Node*, bool> absorbed;  // true: the shuffle's own output keeps its meaning
  double added = 0;                      // multiply-accumulates
};

class Planner {
 public:
  Planner(const Graph& graph) : graph_(graph), uses_(graph) {
    for (const Node& node : graph.nodes)
      if (node.op->flops) total_ += node.op->flops(graph, node);
  }

  Plan run() {
    for (const Node& node : graph_.nodes) {
      if (!is_shuffle(node) || plan_.absorbed.contains(&node) || plan_.orders.contains(node.inputs[0])) continue;
      if (attempt([&] { return backwards(node.inputs[0], taken_from(graph_, node)); }))
        plan_.absorbed[&node] = true;
      else if (attempt([&] { return forwards(node.outputs[0], inverse(taken_from(graph_, node))); }))
        plan_.absorbed[&node] = false;
    }
    return std::move(plan_);
  }

 private:
  template <class Try>
  bool attempt(Try what) {
    const Plan before = plan_;
    if (what()) return true;
    plan_ = before;
    return false;
  }

  // Makes `v` come out in that order, so that its one taker gets it so.
  bool backwards(ValueId v, const Channels& order) {
    const int producer = uses_.producer[static_cast<std::size_t>(v)];
    if (producer < 0 || !uses_.single(v) || !plan_.orders.emplace(v, order).second) return false;
    const Node& node = graph_.nodes[static_cast<std::size_t>(producer)];
    if (const std::optional<Convolution> conv = as_convolution(graph_, node); conv && conv->channel_axis == 1)
      return conv->depthwise() ? backwards(node.inputs[0], order) : conv->groups == 1;
    return treats_channels_alike(graph_, node) && backwards(node.inputs[0], order);
  }

  // Takes up, in all that take `v`, that it comes in that order.
  bool forwards(ValueId v, const Channels& order) {
    if (uses_.is_output[static_cast<std::size_t>(v)] || !plan_.orders.emplace(v, order).second) return false;
    for (const int user : uses_.users[static_cast<std::size_t>(v)])
      if (!takes_up(graph_.nodes[static_cast<std::size_t>(user)], order)) return false;
    return true;
  }

  bool takes_up(const Node& node, const Channels& order) {
    if (const std::optional<Convolution> conv = as_convolution(graph_, node)) {
      if (node.op->name == "linear") return graph_.type(node.inputs[0]).shape.size() == 2;
      if (conv->depthwise()) return forwards(node.outputs[0], order);
      if (conv->groups == 1) return true;
      if (conv->transposed || !node.op->flops) return false;
      plan_.added += node.op->flops(graph_, node) * static_cast<double>(conv->groups - 1);
      return plan_.added <= most_added_work * total_;
    }
    if (is_shuffle(node)) {
      plan_.absorbed[&node] = false;
      return forwards(node.outputs[0], after(inverse(taken_from(graph_, node)), order));
    }
    return treats_channels_alike(graph_, node) && forwards(node.outputs[0], order);
  }

  const Graph& graph_;
  Uses uses_;
  Plan plan_;
  double total_ = 0;
};

// [out, in / groups, …] → [out, in, …], zero where a group does not reach.
Tensor dense(const Convolution& conv) {
  const Tensor weight = conv.weight.contiguous();
  Sizes sizes = weight.sizes();
  const std::int64_t row = weight.count() / std::max<std::int64_t>(conv.out, 1), rows_per_group = conv.out / conv.groups;
  sizes[1] = conv.in;
  Tensor result = Tensor::allocate(DType::float32, sizes);
  const float* from = weight.as<float>().data();
  float* to = result.mutable_as<float>().data();
  for (std::int64_t o = 0; o < conv.out; ++o) std::copy_n(from + o * row, row, to + o * row * conv.groups + o / rows_per_group * row);
  return result;
}

class Rewrite {
 public:
  Rewrite(const Graph& graph, const OpTable& ops, const Plan& plan) : plan_(plan), rw_(graph, ops) {}

  Graph run() {
    for (const Node& node : rw_.old().nodes) {
      if (const auto gone = plan_.absorbed.find(&node); gone != plan_.absorbed.end())
        absorb(node, gone->second);
      else if (!order_of(node.inputs.empty() ? absent : node.inputs[0]) && !order_of(node.outputs[0]))
        rw_.copy(node);
      else if (const std::optional<Convolution> conv = as_convolution(rw_.old(), node))
        change(node, *conv);
      else
        carry(node);
    }
    return rw_.finish();
  }

 private:
  const Channels* order_of(ValueId v) const {
    const auto it = plan_.orders.find(v);
    return it == plan_.orders.end() ? nullptr : &it->second;
  }

  void absorb(const Node& shuffle, bool keeps_meaning) {
    if (keeps_meaning)
      rw_.replace(shuffle, {rw_[shuffle.inputs[0]]});
    else
      rw_.map(shuffle.outputs[0], rw_[shuffle.inputs[0]]);
  }

  void change(const Node& node, const Convolution& conv) {
    const Channels *in = order_of(node.inputs[0]), *out = order_of(node.outputs[0]);
    const bool depthwise = conv.depthwise();
    Tensor weight = in && !depthwise && conv.groups > 1 ? dense(conv) : conv.weight;
    std::optional<Tensor> bias = conv.bias;
    const std::size_t out_axis = conv.transposed ? 1 : 0;
    if (in && !depthwise) weight = taken(weight, 1 - out_axis, *in);
    if (out) weight = taken(weight, depthwise ? 0 : out_axis, *out);
    if (out && bias) bias = taken(*bias, 0, *out);
    finish(node, add_changed(rw_, conv, weight, bias, in && !depthwise ? 1 : conv.groups));
  }

  // Carries the order through: parameters of one number for each channel follow.
  void carry(const Node& node) {
    const Channels& order = *order_of(node.outputs[0]);
    std::vector<ValueId> inputs;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId v = node.inputs[i];
      const bool follows = i > 0 && v != absent && rw_.old()[v].constant->count() == static_cast<std::int64_t>(order.size());
      inputs.push_back(follows ? rw_.builder().constant(taken(*rw_.old()[v].constant, 0, order), folded_key(rw_.old()[v].name)) : rw_[v]);
    }
    rw_.builder().at(node.path, node.source);
    finish(node, rw_.builder().node(*node.op, std::move(inputs), node.attrs, node.path)[0]);
  }

  void finish(const Node& node, ValueId fresh) {
    rw_.replace(node, {fresh});
    if (order_of(node.outputs[0])) rw_.graph()[fresh].name += ".shuffled";  // it equals no value of the source
  }

  const Plan& plan_;
  Rewriter rw_;
};

}  // namespace

Graph fold_channel_shuffle(const Graph& graph, const OpTable& ops) {
  const Plan plan = Planner(graph).run();
  return plan.absorbed.empty() ? graph : Rewrite(graph, ops, plan).run();
}

}  // namespace wherry
