#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/elementwise.h"
#include "ops/infer.h"
#include "ops/keras_in.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/tflite_in.h"

namespace wherry::ops {

namespace {

std::vector<Type> infer_prelu(const OpTypes& t) {
  infer::needs_float(t, "x");
  infer::needs_rank(t, "weight", 1);
  if (t["weight"].dtype != t["x"].dtype)
    infer::fault(fmt::format("x is {} and weight {}", name(t["x"].dtype), name(t["weight"].dtype)), "E502");
  return {t["x"]};
}

bool one_or_channels(const OpTypes& t) {
  const Shape& w = t["weight"].shape;
  return w.size() != 1 || w[0] == Dim(1) || (t["x"].shape.size() >= 2 && w[0] == t["x"].shape[1]);
}

void eval(OpValues& v) {
  const Tensor &x = v["x"], &weight = v["weight"];
  std::int64_t inner = 1;
  for (int i = 2; i < x.rank(); ++i) inner *= x.sizes()[static_cast<std::size_t>(i)];
  with_float(v.node, x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto from = x.as<T>(), slope = weight.as<T>();
    const auto to = v.out().mutable_as<T>();
    const auto channels = static_cast<std::int64_t>(slope.size());
    for (std::size_t i = 0; i < from.size(); ++i) {
      const std::int64_t channel = channels == 1 ? 0 : static_cast<std::int64_t>(i) / inner % channels;
      to[i] = from[i] > 0 ? from[i] : from[i] * slope[static_cast<std::size_t>(channel)];
    }
  });
}

// PRELU broadcasts its slopes along all axes but the last, where the channels lie.
void lower(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Tensor& weight = tfl::weight(l, node, "weight");
  const auto rank = static_cast<int>(l.graph.type(x).shape.size());
  const Order order = rank >= 3 ? TflLowering::channels_last_order(rank) : identity_order(rank);
  Sizes slopes(static_cast<std::size_t>(std::max(rank - 1, 1)), 1);
  slopes.back() = weight.count();
  const int alpha = l.constant(weight.reshaped(slopes), l.graph[node.inputs[1]].name);
  l.give(out, l.add("PRELU", {l.in_order(x, order), alpha}, ordered(l.graph.type(out), order)), order);
}

// One slope for each channel is ours; slopes of another shape are a choice between x and their product.
std::vector<ValueId> convert_tflite(Builder& b, const ForeignNode& node) {
  const ValueId x = tfl_in::input(node, 0), slopes = tfl_in::input(node, 1);
  const Sizes shape = tfl_in::shape_of(b, node, x), given = tfl_in::shape_of(b, node, slopes);
  const std::int64_t count = element_count(given), channels = shape.empty() ? 1 : shape.back();
  const bool each = count == 1 || (count == channels && given.back() == channels);
  if (shape.size() > 1 && b.graph().is_constant(slopes) && each)
    return {tfl_in::channels_last(b, b("prelu", {tfl_in::channels_first(b, x), tfl_in::reshaped(b, slopes, {count})}))};
  return {b("where", {b("gt", {x, b.scalar(0, b.type(x).dtype)}), x, b("mul", {x, slopes})})};
}

// ---- source text ----------------------------------------------------------------------------------------------------

constexpr std::string_view prelu_source = R"py(
def prelu(x, weight):
    """x above zero, x times a learned slope below."""
    slopes = weight.reshape(-1, *(1,) * max(x.ndim - 2, 0))
    return jnp.where(x > 0, x, slopes * x)
)py";

void keras_prelu(KerasLowering& k, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const auto rank = static_cast<int>(k.graph.type(x).shape.size());
  if (rank < 2) k.refuse(node, "Keras's PReLU takes a batch");
  const std::int64_t slopes = element_count(sizes(k.graph.type(node.inputs[1]).shape));
  Sizes view(static_cast<std::size_t>(rank - 1), 1);
  view.back() = slopes;
  Ints shared;
  for (int axis = 1; axis < (slopes == 1 ? rank : rank - 1); ++axis) shared.push_back(axis);
  std::vector<KerasEntry> config;
  if (!shared.empty()) config.push_back({"shared_axes", shared});
  k.give_channels_last(out, k.add("PReLU", {KerasRef{k.channels_last(x)}}, keras::channels_last(k.graph.type(out)), config,
                                  {k.weight(node, "weight", "alpha", {}, view)}));
}

std::vector<ValueId> convert_keras(Builder& b, const ForeignNode& node) {
  const ValueId x = tfl_in::input(node, 0), alpha = keras_in::variable(node, 0);
  const Sizes slopes = tfl_in::shape_of(b, node, alpha);
  if (element_count(slopes) != slopes.back()) refuse(node, "PReLU with a slope of its own for each place");
  const ValueId weight = tfl_in::reshaped(b, alpha, {slopes.back()});
  return {tfl_in::channels_last(b, b("prelu", {tfl_in::channels_first(b, x), weight}))};
}

}  // namespace

OpList prelu() {
  static const OpDef defs[] = {
      {.name = "prelu",
       .doc = "x above zero, x times a learned slope below: one slope for all or one for each channel.",
       .inputs = {{"x", "any float tensor; axis 1 holds the channels"}, {"weight", "the slopes", Role::parameter}},
       .hyper = {{"num_parameters", AttrKind::integer, std::int64_t{1}, "how many slopes: 1, or the number of channels"}},
       .rules = {{"weight.shape[0] == 1 or weight.shape[0] == x.shape[1]", one_or_channels}},
       .infer = infer_prelu,
       .eval = eval,
       .parameters = [](const Hyper& hyper, const Node&) -> std::vector<Shape> { return {{hyper_int(hyper, "num_parameters")}}; },
       .hyper_of = [](const Graph& graph, const Node& node) -> Hyper {
         return {{"num_parameters", input_type(graph, node, "weight").shape[0].size()}};
       },
       .layout = {LayoutRule::spatial},
       .torch = {{"aten.prelu.default", "x=self"}},
       .tflite_in = {{"PRELU", "", 0, convert_tflite}},
       .keras_in = {{"PReLU", "", 0, convert_keras}},
       .tflite = {.lower = lower},
       .keras = {.lower = keras_prelu},
       .source = {.torch = "F.prelu({x}, {weight})",
                  .keras = "keras.layers.PReLU(shared_axes=[1, 2])({x})",
                  .jax = "prelu({x}, {parameters})",
                  .torch_module = "nn.PReLU({num_parameters?})",
                  .jax_init = "{\"weight\": jnp.full(({num_parameters},), 0.25)}",
                  .jax_helpers = {prelu_source}},
       .quant = {QuantRule::own_range},
       .examples = {"prelu(x: float32[2, 6, 4, 4], num_parameters: 6)", "prelu(x: float32[2, 6, 4, 4])",
                    "prelu(x: float32[3, 5], num_parameters: 5)", "prelu(x: float32[2, 6, 4], num_parameters: 6)"}},
  };
  return defs;
}

}  // namespace wherry::ops
