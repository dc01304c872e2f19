#include "base/simd.h"
#include "ops/all_ops.h"
#include "ops/gemm.h"
#include "ops/infer.h"
#include "ops/keras_in.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/onnx.h"
#include "ops/onnx_recurrent.h"
#include "ops/source_helpers.h"
#include "ops/tflite_in.h"

#include <fmt/format.h>

namespace wherry::ops {

namespace {

std::vector<Type> infer_linear(const OpTypes& t) {
  infer::needs_float(t, "x");
  infer::needs_rank(t, "weight", 2);
  const Type &x = t["x"], &w = t["weight"];
  if (x.shape.empty()) infer::fault("linear takes x of rank 1 or more, not a scalar");
  if (w.dtype != x.dtype) infer::fault(fmt::format("x is {} and weight {}", name(x.dtype), name(w.dtype)), "E502");
  infer::needs_vector(t, "bias", w.shape[0]);
  Type out = x;
  out.shape.back() = w.shape[0];
  return {out};
}

bool last_axis_fits(const OpTypes& t) {
  const Shape &x = t["x"].shape, &w = t["weight"].shape;
  return x.empty() || w.size() != 2 || x.back() == w[1];
}

// One row times the weight: both lie along the sum, so that nothing needs packing.
void row_times(const float* x, const float* weight, std::int64_t depth, std::int64_t columns, float* out) {
  constexpr std::int64_t lanes = 16;
  vectorised([&]() __attribute__((always_inline)) {
    for (std::int64_t j = 0; j < columns; ++j, weight += depth) {
      float partial[lanes] = {};
      std::int64_t k = 0;
      for (; k + lanes <= depth; k += lanes)
        for (std::int64_t l = 0; l < lanes; ++l) partial[l] += x[k + l] * weight[k + l];
      float sum = 0;
      for (const float p : partial) sum += p;
      for (; k < depth; ++k) sum += x[k] * weight[k];
      out[j] = sum;
    }
  });
}

void eval(OpValues& values) {
  const Tensor &x = values["x"], &weight = values["weight"];
  const std::int64_t depth = weight.sizes()[1], columns = weight.sizes()[0], rows = depth ? x.count() / depth : 0;
  const float *from = x.as<float>().data(), *w = weight.as<float>().data();
  const std::span<float> out = values.out().mutable_as<float>();
  if (rows < 4)
    for (std::int64_t r = 0; r < rows; ++r) row_times(from + r * depth, w, depth, columns, out.data() + r * columns);
  else
    gemm(rows, columns, depth, from, columns_of_transposed(w, depth), nullptr, out.data());
  if (const Tensor* bias = values.find("bias")) {
    const auto b = bias->as<float>();
    for (std::size_t i = 0; i < out.size(); ++i) out[i] += b[i % b.size()];
  }
}

double flops(const Graph& graph, const Node& node) {
  return static_cast<double>(known_count(graph.type(node.outputs[0]).shape)) *
         static_cast<double>(known_count({input_type(graph, node, "weight").shape[1]}));
}

std::vector<Shape> parameters(const Hyper& hyper, const Node&) {
  const std::int64_t in = hyper_int(hyper, "in"), out = hyper_int(hyper, "out");
  return {{out, in}, hyper_flag(hyper, "bias", true) ? Shape{out} : left_out()};
}

Hyper hyper_of(const Graph& graph, const Node& node) {
  const Shape& w = input_type(graph, node, "weight").shape;
  return {{"in", w[1].size()}, {"out", w[0].size()}, {"bias", has_input(node, "bias")}};
}

void lower(TflLowering& t, const Node& node) {
  const Tensor& w = tfl::weight(t, node, "weight");
  const int filter = t.constant(w, t.graph[node.inputs[1]].name);
  const int bias = has_input(node, "bias") ? t.constant(tfl::weight(t, node, "bias"), t.graph[node.inputs[2]].name)
                                           : t.constant(Tensor::allocate(w.dtype(), {w.sizes()[0]}), node.path + ".bias");
  const Type &in = t.graph.type(node.inputs[0]), &out = t.graph.type(node.outputs[0]);
  int x = t.source_order(node.inputs[0]);
  Type result = out;
  if (in.shape.size() == 1) {
    x = tfl::reshape(t, x, {in.dtype, {1, in.shape[0]}});
    result.shape.insert(result.shape.begin(), Dim(1));
  }
  const int y = t.add("FULLY_CONNECTED", {x, filter, bias}, result,
                      {{"fused_activation_function", "NONE"}, {"weights_format", "DEFAULT"}, {"keep_num_dims", in.shape.size() > 2}});
  t.give_source_order(node.outputs[0], tfl::reshape(t, y, out));
}

// All axes but the one that is summed over become one, unless keep_num_dims says otherwise: the file states the result.
std::vector<ValueId> convert_tflite(Builder& b, const ForeignNode& node) {
  ValueId x = tfl_in::input(node, 0);
  const Sizes in = tfl_in::shape_of(b, node, x), weight = tfl_in::shape_of(b, node, tfl_in::input(node, 1));
  if (word(node, "weights_format", "DEFAULT") != "DEFAULT") refuse(node, "FULLY_CONNECTED with shuffled weights");
  if (weight.size() != 2 || weight[1] < 1 || element_count(in) % weight[1] != 0)
    refuse(node, fmt::format("FULLY_CONNECTED of {} with {}", text(to_shape(in)), text(to_shape(weight))));
  if (in.empty() || in.back() != weight[1]) x = tfl_in::reshaped(b, x, {element_count(in) / weight[1], weight[1]});
  const ValueId y = b("linear", {x, tfl_in::input(node, 1), tfl_in::has(node, 2) ? tfl_in::input(node, 2) : absent});
  return {tfl_in::as_stated(b, node, y)};
}

// ---- source text ----------------------------------------------------------------------------------------------------

constexpr std::string_view linear_source = R"py(
def linear(x, weight, bias=None):
    """x · weightᵀ + bias over the last axis."""
    y = x @ weight.T
    return y if bias is None else y + bias
)py";

constexpr std::string_view linear_init_source = R"py(
def linear_init(key, in_features, out_features, bias=True):
    """The weights of linear."""
    keys = jax.random.split(key)
    params = {"weight": uniform(keys[0], (out_features, in_features), in_features)}
    if bias:
        params["bias"] = uniform(keys[1], (out_features,), in_features)
    return params
)py";

void keras_dense(KerasLowering& k, const Node& node) {
  const Type &in = k.graph.type(node.inputs[0]), &out = k.graph.type(node.outputs[0]);
  std::vector<KerasWeight> weights = {k.weight(node, "weight", "kernel", {1, 0})};
  if (has_input(node, "bias")) weights.push_back(k.weight(node, "bias", "bias"));
  int x = k.source_order(node.inputs[0]);
  Type result = out;
  if (in.shape.size() == 1) {
    x = keras::reshape(k, x, {in.dtype, {1, in.shape[0]}});
    result.shape.insert(result.shape.begin(), Dim(1));
  }
  const int y = k.add("Dense", {KerasRef{x}}, result,
                      {{"units", weights[0].view[0], "$out"}, {"use_bias", weights.size() == 2, "$bias", true}}, weights);
  k.give_source_order(node.outputs[0], keras::reshape(k, y, out));
}

// ---- ONNX ----

ValueId turned(Builder& b, ValueId x) { return b("transpose", {x}, {{"dim0", std::int64_t{0}}, {"dim1", std::int64_t{1}}}); }

// alpha * A' * B' + beta * C. With a weight for B and a vector for C that is linear.
std::vector<ValueId> convert_onnx_gemm(Builder& b, const ForeignNode& node) {
  ValueId x = onnx::required(node, 0), w = onnx::required(node, 1), c = onnx::in(node, 2);
  const double alpha = number(node, "alpha", 1), beta = number(node, "beta", 1);
  const bool turn = flag(node, "transB", false);
  if (flag(node, "transA", false)) x = turned(b, x);
  const Shape shape = b.type(w).shape;
  if (shape.size() != 2 || onnx::rank(b, x) != 2) refuse(node, fmt::format("'Gemm' of {} and {}", text(b.type(x)), text(b.type(w))));
  const Dim out = shape[turn ? 0 : 1];
  const auto scaled = [&](ValueId v, double by) { return by == 1 ? v : b("mul", {v, b.scalar(by, b.type(v).dtype)}); };
  const bool vector = c == absent || (b.graph().is_constant(c) && b.type(c).shape == Shape{out} && beta == 1);
  if (b.graph().is_constant(w) && vector && alpha == 1 && is_float(b.type(x).dtype)) return {b("linear", {x, turn ? w : turned(b, w), c})};
  const ValueId product = scaled(b("matmul", {x, turn ? turned(b, w) : w}), alpha);
  return {c == absent || beta == 0 ? product : b("add", {product, scaled(c, beta)})};
}

// Gemm is for matrices; MatMul takes any rank.
void lower_onnx(OnnxLowering& l, const Node& node) {
  const int x = l[node.inputs[0]], w = l[node.inputs[1]], bias = has_input(node, "bias") ? l[node.inputs[2]] : -1;
  const ValueId out = node.outputs[0];
  if (l.graph.type(node.inputs[0]).shape.size() == 2) return l.give(out, l.add("Gemm", {x, w, bias}, {{"transB", std::int64_t{1}}}));
  const int y = l.add("MatMul", {x, l.add("Transpose", {w}, {{"perm", Ints{1, 0}}})});
  l.give(out, bias < 0 ? y : l.add("Add", {y, bias}));
}

std::vector<ValueId> convert_keras(Builder& b, const ForeignNode& node) {
  const ValueId weight = tfl_in::permuted(b, keras_in::variable(node, 0), {1, 0});
  return {b("linear", {tfl_in::input(node, 0), weight, keras_in::variable(node, 1)})};
}

std::vector<ForeignMap> onnx_maps() {
  std::vector<ForeignMap> maps = {{.target = "Gemm", .convert = convert_onnx_gemm}};
  for (const ForeignMap& map : onnx_recurrent::maps()) maps.push_back(map);
  return maps;
}

}  // namespace

OpList linear() {
  static const OpDef defs[] = {
      {.name = "linear",
       .doc = "x · weightᵀ + bias over the last axis.",
       .inputs = {{"x", "[…, in]"}, {"weight", "[out, in]", Role::parameter}, {"bias", "[out]", Role::optional_parameter}},
       .hyper = {{"in", AttrKind::integer, {}, "size of the last axis"},
                 {"out", AttrKind::integer, {}, "size of the result's last axis"},
                 {"bias", AttrKind::boolean, true, "whether a learned offset is added"}},
       .rules = {{"x.shape[-1] == weight.shape[1]", last_axis_fits}},
       .infer = infer_linear,
       .eval = eval,
       .flops = flops,
       .parameters = parameters,
       .hyper_of = hyper_of,
       .layout = {LayoutRule::fixed},
       .torch = {{"aten.linear.default", "x=input"}},
       .onnx = onnx_maps(),
       .tflite_in = {{"FULLY_CONNECTED", "", 0, convert_tflite}},
       .keras_in = {{"Dense", "", 0, convert_keras}},
       .tflite = {.lower = lower},
       .onnx_out = {.lower = lower_onnx},
       .keras = {.lower = keras_dense},
       .source = {.torch = "F.linear({x}, {weight}, {bias})",
                  .keras = "keras.ops.matmul({x}, keras.ops.transpose({weight})) + {bias}",
                  .jax = "linear({x}, {parameters})",
                  .torch_module = "nn.Linear({in}, {out}, bias={bias?})",
                  .jax_init = "linear_init({key}, {in}, {out}, bias={bias?})",
                  .jax_helpers = {jax::uniform, linear_source, linear_init_source}},
       .quant = {QuantRule::weighted},
       .examples = {"linear(x: float32[2, 16], in: 16, out: 10)", "linear(x: float32[2, 5, 37], in: 37, out: 21)",
                    "linear(x: float32[1, 2, 3, 8], in: 8, out: 4, bias: false)", "linear(x: float32[9], in: 9, out: 3)"}},
  };
  return defs;
}

}  // namespace wherry::ops
