#include "passes/fold_batchnorm.h"

#include "passes/convolution.h"

#include <algorithm>
#include <cmath>

namespace wherry {

namespace {

// y = x * scale[c] + shift[c]
struct Affine {
  std::vector<double> scale, shift;
};

const Tensor* constant(const Graph& graph, const Node& node, std::string_view name) {
  const ValueId v = node.inputs[static_cast<std::size_t>(node.op->input_index(name))];
  return graph.is_constant(v) ? &*graph[v].constant : nullptr;
}

std::optional<Affine> of_batch_norm(const Graph& graph, const Node& node, std::size_t channels) {
  const Tensor *mean = constant(graph, node, "running_mean"), *var = constant(graph, node, "running_var");
  const Tensor *weight = constant(graph, node, "weight"), *bias = constant(graph, node, "bias");
  const bool weight_given = node.inputs[1] != absent, bias_given = node.inputs[2] != absent;
  if (!mean || !var || weight_given != (weight != nullptr) || bias_given != (bias != nullptr)) return {};
  Affine affine;
  for (std::size_t i = 0; i < channels; ++i) {
    const auto c = static_cast<std::int64_t>(i);
    const double scale = (weight ? weight->item(c) : 1.0) / std::sqrt(var->item(c) + node.number("eps"));
    affine.scale.push_back(scale);
    affine.shift.push_back((bias ? bias->item(c) : 0.0) - mean->item(c) * scale);
  }
  return affine;
}

// A constant that is one number for each channel, or one for all; empty when it is neither.
std::vector<double> per_channel(const Tensor& tensor, std::size_t rank, std::size_t axis, std::size_t channels) {
  const Sizes& sizes = tensor.sizes();
  if (tensor.count() == 1) return sizes.size() <= rank ? std::vector<double>(channels, tensor.item()) : std::vector<double>();
  const std::size_t missing = rank - std::min(rank, sizes.size());
  if (sizes.size() > rank || axis < missing || tensor.count() != static_cast<std::int64_t>(channels) ||
      sizes[axis - missing] != tensor.count())
    return {};
  std::vector<double> values(channels);
  for (std::size_t c = 0; c < channels; ++c) values[c] = tensor.item(static_cast<std::int64_t>(c));
  return values;
}

// x with a constant: x + c, x - c, c - x, x * c, x / c.
std::optional<Affine> of_arithmetic(const Graph& graph, const Node& node, ValueId x, std::size_t axis, std::size_t channels) {
  const std::string_view op = node.op->name;
  const bool first = node.inputs[0] == x;
  const ValueId other = node.inputs[first ? 1 : 0];
  if (!graph.is_constant(other) || !is_float(graph.type(other).dtype)) return {};
  const std::vector<double> c = per_channel(*graph[other].constant, graph.type(x).shape.size(), axis, channels);
  const bool finite = std::all_of(c.begin(), c.end(), [&](double v) { return std::isfinite(v) && (op != "div" || v != 0); });
  if (c.empty() || !finite || (op == "div" && (!first || !node.is_none("rounding_mode")))) return {};
  Affine affine{std::vector<double>(channels, 1.0), std::vector<double>(channels, 0.0)};
  for (std::size_t i = 0; i < channels; ++i) {
    if (op == "mul") affine.scale[i] = c[i];
    if (op == "div") affine.scale[i] = 1 / c[i];
    if (op == "add") affine.shift[i] = c[i];
    if (op == "sub") affine.shift[i] = first ? -c[i] : c[i];
    if (op == "sub" && !first) affine.scale[i] = -1;
  }
  return affine;
}

std::optional<Affine> affine_of(const Graph& graph, const Node& node, ValueId x, const Convolution& conv) {
  if (node.op->outputs != 1 || graph.type(node.outputs[0]) != graph.type(x)) return {};
  const std::string_view op = node.op->name;
  const auto channels = static_cast<std::size_t>(conv.out), axis = static_cast<std::size_t>(conv.channel_axis);
  if (op == "batch_norm") return axis == 1 ? of_batch_norm(graph, node, channels) : std::nullopt;
  if (op == "add" || op == "sub" || op == "mul" || op == "div") return of_arithmetic(graph, node, x, axis, channels);
  return {};
}

// One pass over the weight's memory: [outer][channels][inner], outer blocks of a transposed convolution by group.
Tensor scaled(const Convolution& conv, const std::vector<double>& scale) {
  const Tensor dense = conv.weight.contiguous();
  const std::int64_t outer = conv.transposed ? conv.in : 1, rows = conv.out / (conv.transposed ? conv.groups : 1);
  const std::int64_t inner = dense.count() / std::max<std::int64_t>(outer * rows, 1);
  Tensor result = Tensor::allocate(DType::float32, dense.sizes());
  const float* from = dense.as<float>().data();
  float* to = result.mutable_as<float>().data();
  for (std::int64_t o = 0; o < outer; ++o) {
    const std::int64_t first = conv.transposed ? o / (conv.in / conv.groups) * rows : 0;
    for (std::int64_t r = 0; r < rows; ++r, from += inner, to += inner) {
      const double factor = scale[static_cast<std::size_t>(first + r)];
      for (std::int64_t i = 0; i < inner; ++i) to[i] = static_cast<float>(from[i] * factor);
    }
  }
  return result;
}

bool all_ones(const std::vector<double>& scale) {
  return std::all_of(scale.begin(), scale.end(), [](double s) { return s == 1; });
}

// The chain's nodes from the convolution on, and what they come to together.
struct Chain {
  std::vector<const Node*> nodes;
  Affine affine;
};

Chain chain_behind(const Graph& graph, const Uses& uses, const Convolution& conv) {
  const auto channels = static_cast<std::size_t>(conv.out);
  Chain chain{{}, {std::vector<double>(channels, 1.0), std::vector<double>(channels, 0.0)}};
  for (std::size_t c = 0; conv.bias && c < channels; ++c) chain.affine.shift[c] = conv.bias->item(static_cast<std::int64_t>(c));
  ValueId x = conv.node->outputs[0];
  while (uses.single(x)) {
    const Node& next = graph.nodes[static_cast<std::size_t>(uses.users[static_cast<std::size_t>(x)][0])];
    const std::optional<Affine> step = affine_of(graph, next, x, conv);
    if (!step) break;
    for (std::size_t c = 0; c < channels; ++c) {
      chain.affine.scale[c] *= step->scale[c];
      chain.affine.shift[c] = chain.affine.shift[c] * step->scale[c] + step->shift[c];
    }
    chain.nodes.push_back(&next);
    x = next.outputs[0];
  }
  return chain;
}

}  // namespace

Graph fold_batchnorm(const Graph& graph, const OpTable& ops) {
  const Uses uses(graph);
  Rewriter rw(graph, ops);
  std::vector<bool> folded(graph.nodes.size());
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (folded[n]) continue;
    const std::optional<Convolution> conv = as_convolution(graph, node);
    const Chain chain = conv ? chain_behind(graph, uses, *conv) : Chain{};
    if (chain.nodes.empty()) {
      rw.copy(node);
      continue;
    }
    const Tensor weight = all_ones(chain.affine.scale) ? conv->weight : scaled(*conv, chain.affine.scale);
    const std::vector<float> shift(chain.affine.shift.begin(), chain.affine.shift.end());
    const ValueId out = add_changed(rw, *conv, weight, Tensor::from(shift, {conv->out}), conv->groups);
    rw.replace(*chain.nodes.back(), {out});
    for (const Node* done : chain.nodes) folded[static_cast<std::size_t>(done - graph.nodes.data())] = true;
  }
  return rw.finish();
}

}  // namespace wherry
