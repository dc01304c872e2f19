#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/einsum.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/gemm.h"
#include "ops/infer.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/onnx_attention.h"
#include "ops/tflite_in.h"

#include <limits>

namespace wherry::ops {

namespace {

// Both operands as stacks of matrices: rank 1 becomes a row (x) or a column (y), which the result does not keep.
struct Stacks {
  Shape x, y, batch, out;  // out: with the added row and column
};

Stacks stacks_of(const Shape& x, const Shape& y) {
  Stacks s{x, y, {}, {}};
  if (x.size() == 1) s.x.insert(s.x.begin(), Dim(1));
  if (y.size() == 1) s.y.emplace_back(1);
  s.batch = infer::broadcast_shapes(Shape(s.x.begin(), s.x.end() - 2), Shape(s.y.begin(), s.y.end() - 2));
  s.out = s.batch;
  s.out.push_back(s.x[s.x.size() - 2]);
  s.out.push_back(s.y.back());
  return s;
}

bool inner_fits(const OpTypes& t) {
  const Shape &x = t["x"].shape, &y = t["y"].shape;
  if (x.empty() || y.empty()) return false;
  return x.back() == (y.size() == 1 ? y[0] : y[y.size() - 2]);
}

std::vector<Type> infer_matmul(const OpTypes& t) {
  const Type &x = t["x"], &y = t["y"];
  if (x.dtype != y.dtype) infer::fault(fmt::format("x is {} and y {}", name(x.dtype), name(y.dtype)), "E502");
  infer::needs_float(t, "x");
  const Stacks s = stacks_of(x.shape, y.shape);
  Type out{x.dtype, s.batch};
  if (x.shape.size() > 1) out.shape.push_back(s.out[s.out.size() - 2]);
  if (y.shape.size() > 1) out.shape.push_back(s.out.back());
  return {out};
}

void eval(OpValues& v) {
  const Tensor &x = v["x"], &y = v["y"];
  const Stacks s = stacks_of(to_shape(x.sizes()), to_shape(y.sizes()));
  const Sizes batch = sizes(s.batch), out = sizes(s.out);
  const std::int64_t m = out[out.size() - 2], n = out.back(), k = s.x.back().size();
  const float *a = x.as<float>().data(), *b = y.as<float>().data();
  float* c = v.out().mutable_as<float>().data();
  if (v.out().count() == 0 || k == 0) return;
  const auto stack = [](const Shape& shape) { return sizes(Shape(shape.begin(), shape.end() - 2)); };
  Sizes all = batch;
  all.push_back(1);  // one matrix a step
  Sizes xs = broadcast_strides(stack(s.x), batch), ys = broadcast_strides(stack(s.y), batch);
  xs.push_back(0), ys.push_back(0);
  walk_rows(all, {xs, ys}, [&](std::int64_t at, const auto& from, std::int64_t count, const auto& step) {
    for (std::int64_t i = 0; i < count; ++i)
      gemm(m, n, k, a + (from[0] + i * step[0]) * m * k, columns_of(b + (from[1] + i * step[1]) * k * n, k, n), nullptr,
           c + (at + i) * m * n);
  });
}

double flops(const Graph& g, const Node& node) {
  const Type &x = g.type(node.inputs[0]), &y = g.type(node.inputs[1]);
  return static_cast<double>(known_count(stacks_of(x.shape, y.shape).out)) * static_cast<double>(known_count({x.shape.back()}));
}

// An operand as a stack of matrices, and whether it lies transposed: then BATCH_MATMUL reads it so.
struct Operand {
  int tensor;
  bool transposed;
};
Operand operand(TflLowering& l, ValueId v, const Shape& stack) {
  const Type& type = l.graph.type(v);
  const auto rank = static_cast<int>(type.shape.size());
  Order swapped = identity_order(rank);
  if (rank >= 2) std::swap(swapped[static_cast<std::size_t>(rank) - 1], swapped[static_cast<std::size_t>(rank) - 2]);
  if (rank >= 2 && l.order(v) == swapped) return {l.as_is(v), true};
  return {tfl::reshape(l, l.source_order(v), {type.dtype, stack}), false};
}

// A weight on the right is a FULLY_CONNECTED, which holds it transposed.
void lower(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], y = node.inputs[1], out = node.outputs[0];
  const Type& type = l.graph.type(out);
  const Stacks s = stacks_of(l.graph.type(x).shape, l.graph.type(y).shape);
  const Type wide{type.dtype, s.out};
  int tensor = -1;
  if (l.graph.is_constant(y) && s.y.size() == 2) {
    const int rows = tfl::reshape(l, l.source_order(x), {type.dtype, s.x});
    const int weights = l.constant(l.graph[y].constant->reshaped(sizes(s.y)).permuted({1, 0}), l.graph[y].name);
    tensor = l.add("FULLY_CONNECTED", {rows, weights, -1}, wide,
                   {{"fused_activation_function", "NONE"}, {"weights_format", "DEFAULT"}, {"keep_num_dims", true}});
  } else {
    const Operand a = operand(l, x, s.x), b = operand(l, y, s.y);
    tensor = l.add("BATCH_MATMUL", {a.tensor, b.tensor}, wide,
                   {{"adj_x", a.transposed}, {"adj_y", b.transposed}, {"asymmetric_quantize_inputs", false}});
  }
  l.give_source_order(out, tfl::reshape(l, tensor, type));
}

// beta * self + alpha * (a @ b).
template <Word a, Word b_name>
std::vector<ValueId> convert_add(Builder& b, const ForeignNode& node) {
  ValueId y = b("matmul", {node.value(a), node.value(b_name)});
  ValueId self = node.value("self");
  const double alpha = number(node, "alpha", 1), beta = number(node, "beta", 1);
  if (alpha != 1) y = b("mul", {y, b.scalar(alpha, b.type(y).dtype)});
  if (beta == 0) return {y};
  if (beta != 1) self = b("mul", {self, b.scalar(beta, b.type(self).dtype)});
  return {b("add", {self, y})};
}

// ---- scaled dot product attention ----

std::vector<Type> infer_attention(const OpTypes& t) {
  const Type &q = t["query"], &k = t["key"], &v = t["value"];
  infer::needs_float(t, "query");
  if (q.dtype != k.dtype || q.dtype != v.dtype)
    infer::fault(fmt::format("query is {}, key {}, value {}", name(q.dtype), name(k.dtype), name(v.dtype)), "E502");
  for (const Type* type : {&q, &k, &v})
    if (type->shape.size() < 2)
      infer::fault(fmt::format("scaled_dot_product_attention takes tensors of rank 2 or more, not {}", text(*type)));
  const auto axis = [](const Type& type, std::size_t from_end) { return type.shape[type.shape.size() - from_end]; };
  if (!(axis(q, 1) == axis(k, 1))) infer::fault(fmt::format("query {} and key {} differ in their last axis", text(q), text(k)));
  if (!(axis(k, 2) == axis(v, 2))) infer::fault(fmt::format("key {} and value {} differ in length", text(k), text(v)));
  const auto batch = [](const Type& type) { return Shape(type.shape.begin(), type.shape.end() - 2); };
  Shape out = infer::broadcast_shapes(infer::broadcast_shapes(batch(q), batch(k)), batch(v));
  out.push_back(axis(q, 2));
  out.push_back(axis(v, 1));
  if (const Type* mask = t.find("attn_mask")) {
    Shape scores(out.begin(), out.end() - 1);
    scores.push_back(axis(k, 2));
    if (infer::broadcast_shapes(scores, mask->shape) != scores)
      infer::fault(fmt::format("attn_mask {} does not fit scores {}", text(*mask), text(scores)));
  }
  if (t.node.flag("is_causal")) {
    if (t.find("attn_mask")) infer::fault("attn_mask and is_causal exclude each other");
    if (!axis(q, 2).known() || !axis(k, 2).known()) infer::fault("is_causal needs lengths that are known", "E504");
  }
  return {{q.dtype, out}};
}

std::vector<ValueId> expand_attention(Builder& b, const Node& node) {
  const ValueId q = node.inputs[0], k = node.inputs[1], v = node.inputs[2], mask = node.inputs[3];
  const Type type = b.type(q);
  const double depth = static_cast<double>(known_count({type.shape.back()}));
  const double scale = node.is_none("scale") ? 1 / std::sqrt(depth) : node.number("scale");
  const ValueId across = b("transpose", {k}, {{"dim0", std::int64_t{-2}}, {"dim1", std::int64_t{-1}}});
  ValueId scores = b("matmul", {b("mul", {q, b.scalar(scale, type.dtype)}), across});
  const ValueId never = b.scalar(-std::numeric_limits<double>::infinity(), type.dtype);
  if (node.flag("is_causal")) {
    const Shape& shape = b.type(scores).shape;
    const std::int64_t rows = shape[shape.size() - 2].size(), columns = shape.back().size();
    Tensor seen = Tensor::allocate(DType::boolean, {rows, columns});
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j <= std::min(i, columns - 1); ++j)
        seen.mutable_as<std::uint8_t>()[static_cast<std::size_t>(i * columns + j)] = 1;
    scores = b("where", {b.constant(std::move(seen)), scores, never});
  } else if (mask != absent) {
    scores = b.type(mask).dtype == DType::boolean ? b("where", {mask, scores, never}) : b("add", {scores, mask});
  }
  return {b("matmul", {b("softmax", {scores}, {{"dim", std::int64_t{-1}}}), v})};
}

std::vector<ValueId> convert_attention(Builder& b, const ForeignNode& node) {
  if (number(node, "dropout_p", 0) != 0) refuse(node, "attention drops at random: export the model in eval mode");
  if (flag(node, "enable_gqa", false)) refuse(node, "attention with enable_gqa is not known: repeat keys and values in the model");
  return {b("scaled_dot_product_attention", {node.value("query"), node.value("key"), node.value("value"), node.value("attn_mask")},
            {{"is_causal", flag(node, "is_causal", false)}, {"scale", optional_number(node, "scale")}})};
}

std::vector<ValueId> convert_tflite(Builder& b, const ForeignNode& node) {
  std::vector<ValueId> xy = {tfl_in::input(node, 0), tfl_in::input(node, 1)};
  const char* turned[] = {"adj_x", "adj_y"};
  for (std::size_t i = 0; i < 2; ++i)
    if (flag(node, turned[i], false)) xy[i] = b("transpose", {xy[i]}, {{"dim0", std::int64_t{-2}}, {"dim1", std::int64_t{-1}}});
  return {b("matmul", xy)};
}

// ---- source text ----------------------------------------------------------------------------------------------------

constexpr std::string_view attention_source = R"py(
def attention(query, key, value, mask=None, is_causal=False, scale=None):
    """softmax(query @ key.T * scale + mask) @ value."""
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = query @ key.swapaxes(-1, -2) * scale
    if is_causal:
        mask = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    if mask is not None and mask.dtype == bool:
        scores = jnp.where(mask, scores, -jnp.inf)
    elif mask is not None:
        scores = scores + mask
    return jax.nn.softmax(scores, axis=-1) @ value
)py";

void keras_matmul(KerasLowering& k, const Node& node) {
  const ValueId x = node.inputs[0], y = node.inputs[1], out = node.outputs[0];
  const std::size_t x_rank = k.graph.type(x).shape.size(), y_rank = k.graph.type(y).shape.size();
  const Type& type = k.graph.type(out);
  const bool by_matrix = k.graph.is_constant(y) && y_rank == 2 && x_rank >= 2;
  if (by_matrix && !k.as_code()) {
    const KerasWeight kernel = k.weight(node, "y", "kernel");
    return k.give_source_order(
        out, k.add("Dense", {KerasRef{k.source_order(x)}}, type, {{"units", kernel.view[1]}, {"use_bias", false}}, {kernel}));
  }
  if (!by_matrix && (x_rank != y_rank || x_rank < 3)) k.touch(0);
  k.give_source_order(out, k.add("ops.numpy.Matmul", {KerasRef{k.source_order(x)}, KerasRef{k.source_order(y)}}, type));
}

}  // namespace

OpList matmul() {
  static const OpDef defs[] = {
      {.name = "matmul",
       .doc = "The matrix product over the last two axes; the axes before them broadcast, rank 1 counts as a row or a column.",
       .inputs = {{"x", "a stack of matrices [m, k]"}, {"y", "a stack of matrices [k, n]"}},
       .rules = {{"the last axis of x == the last axis but one of y", inner_fits}},
       .infer = infer_matmul,
       .eval = eval,
       .flops = flops,
       .torch = {{"aten.matmul.default", "x=self y=other"},
                 {"aten.mm.default", "x=self y=mat2"},
                 {"aten.bmm.default", "x=self y=mat2"},
                 {"aten.mv.default", "x=self y=vec"},
                 {"aten.dot.default", "x=self y=tensor"},
                 {"aten.addmm.default", "", 0, convert_add<"mat1", "mat2">},
                 {"aten.baddbmm.default", "", 0, convert_add<"batch1", "batch2">},
                 {"aten.einsum.default", "", 0, einsum::convert_torch}},
       .onnx = {{"MatMul", "x=0 y=1"}, {.target = "Einsum", .since = 12, .convert = einsum::convert_onnx}},
       .tflite_in = {{"BATCH_MATMUL", "", 0, convert_tflite}},
       .tflite = {.lower = lower},
       .onnx_out = {.op = "MatMul"},
       .keras = {.lower = keras_matmul},
       .source = {"torch.matmul({x}, {y})", "keras.ops.matmul({x}, {y})", "jnp.matmul({x}, {y})"},
       .quant = {QuantRule::own_range},
       .examples = {"matmul(x: float32[2, 3, 4], y: float32[2, 4, 5])", "matmul(x: float32[3, 4], y: const float32[4, 5])",
                    "matmul(x: float32[2, 1, 3, 4], y: float32[5, 4, 6])", "matmul(x: float32[4], y: float32[2, 4, 3])",
                    "matmul(x: float32[2, 3, 4], y: float32[4])", "matmul(x: float32[4], y: float32[4])"}},
      {.name = "scaled_dot_product_attention",
       .doc = "softmax(query @ keyᵀ * scale + attn_mask) @ value.",
       .inputs = {{"query", "[…, length, depth]"},
                  {"key", "[…, source length, depth]"},
                  {"value", "[…, source length, value depth]"},
                  {"attn_mask", "bool: which scores count; float: what is added to them", Role::optional}},
       .attrs = {{"is_causal", AttrKind::boolean, false, "whether a position sees only those up to itself"},
                 {"scale", AttrKind::number, None{}, "what the scores are multiplied by; null: 1 / sqrt(depth)", {}, false, true}},
       .infer = infer_attention,
       .expand = expand_attention,
       .torch = {{"aten.scaled_dot_product_attention.default", "", 0, convert_attention}},
       .onnx = onnx_attention::maps(),
       .source = {.torch = "F.scaled_dot_product_attention({query}, {key}, {value}, {attn_mask}, is_causal={is_causal?}, scale={scale?})",
                  .keras = "keras.ops.dot_product_attention({query}, {key}, {value})",
                  .jax = "attention({query}, {key}, {value}, {attn_mask}, is_causal={is_causal?}, scale={scale?})",
                  .jax_helpers = {attention_source}},
       .quant = {QuantRule::own_range},
       .examples = {"scaled_dot_product_attention(query: float32[1, 2, 5, 4], key: float32[1, 2, 6, 4], value: float32[1, 2, 6, 3])",
                    "scaled_dot_product_attention(query: float32[1, 2, 5, 4], key: float32[1, 2, 5, 4], value: float32[1, 2, 5, 4], "
                    "is_causal: true)",
                    "scaled_dot_product_attention(query: float32[2, 5, 4], key: float32[2, 6, 4], value: float32[2, 6, 4], "
                    "attn_mask: float32[5, 6], scale: 0.25)"}},
  };
  return defs;
}

}  // namespace wherry::ops
