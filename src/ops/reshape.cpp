// Operators that keep the elements' order and change only how they are counted off.
#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/keras_in.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/tflite_in.h"

#include <cstring>
#include <numeric>

namespace wherry::ops {

namespace {

void copy(OpValues& v) {
  if (v.out().bytes()) std::memcpy(v.out().mutable_data(), v.inputs[0]->data(), v.out().bytes());
}

// A shape's element count as a number times symbols.
struct Count {
  std::int64_t number = 1;
  std::vector<std::string> symbols;
};
Count count_of(const Shape& shape) {
  Count count;
  for (const Dim& d : shape) {
    if (d.known())
      count.number *= d.size();
    else
      count.symbols.push_back(d.expression());
  }
  return count;
}

// The shape behind a list of sizes of which one may be -1.
Shape filled(const Shape& from, const Ints& wanted) {
  Shape out;
  std::size_t open = wanted.size();
  std::int64_t known = 1;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] < -1) infer::fault(fmt::format("shape {} has the size {}", text(Attr(wanted)), wanted[i]), "E503");
    if (wanted[i] == -1 && open < wanted.size()) infer::fault(fmt::format("shape {} has more than one -1", text(Attr(wanted))));
    if (wanted[i] == -1)
      open = i;
    else if (__builtin_mul_overflow(known, wanted[i], &known))
      infer::fault(fmt::format("shape {} overflows", text(Attr(wanted))), "E503");
    out.emplace_back(wanted[i] == -1 ? 1 : wanted[i]);
  }
  const Count count = count_of(from);
  const auto misfit = [&] {
    infer::fault(fmt::format("{} has {} elements and cannot become {}", text(from), element_count(from).text(), text(Attr(wanted))));
  };
  if (open == wanted.size()) {
    if (!count.symbols.empty() || count.number != known) misfit();
    return out;
  }
  if (known == 0 || count.number % known != 0) misfit();
  Dim rest(count.number / known);
  for (const std::string& symbol : count.symbols) rest = rest * Dim::symbol(symbol);
  out[open] = rest;
  return out;
}

std::vector<Type> infer_reshape(const OpTypes& t) { return {{t["x"].dtype, filled(t["x"].shape, t.node.ints("shape"))}}; }

// Groups of axes with the same product on both sides; axes of size 1 belong to none.
struct Groups {
  std::vector<std::vector<int>> from, to;
};
std::optional<Groups> groups_of(const Sizes& from, const Sizes& to) {
  Groups groups;
  std::size_t i = 0, j = 0;
  while (true) {
    while (i < from.size() && from[i] == 1) ++i;
    while (j < to.size() && to[j] == 1) ++j;
    if (i == from.size() && j == to.size()) return groups;
    if (i == from.size() || j == to.size()) return std::nullopt;
    std::vector<int> a{static_cast<int>(i)}, b{static_cast<int>(j)};
    std::int64_t x = from[i++], y = to[j++];
    while (x != y) {
      if (x < y) {
        if (i == from.size()) return std::nullopt;
        if (from[i] != 1) a.push_back(static_cast<int>(i));
        x *= from[i++];
      } else {
        if (j == to.size()) return std::nullopt;
        if (to[j] != 1) b.push_back(static_cast<int>(j));
        y *= to[j++];
      }
    }
    groups.from.push_back(std::move(a)), groups.to.push_back(std::move(b));
  }
}

// Axes (of sizes other than 1) as they lie in a tensor of that order.
std::vector<int> lying(const Order& order, const Sizes& sizes) {
  std::vector<int> axes;
  for (std::size_t i = 0; i < sizes.size(); ++i)
    if (sizes[i] != 1) axes.push_back(static_cast<int>(i));
  std::sort(axes.begin(), axes.end(),
            [&](int a, int b) { return order[static_cast<std::size_t>(a)] < order[static_cast<std::size_t>(b)]; });
  return axes;
}

// An order in which the axes lie as `wanted` says, axes of size 1 where they disturb least.
Order order_for(const std::vector<int>& wanted, const Sizes& sizes, const Order* preferred = nullptr) {
  const auto rank = static_cast<int>(sizes.size());
  if (preferred && lying(*preferred, sizes) == wanted) return *preferred;
  if (rank >= 4 && lying(TflLowering::channels_last_order(rank), sizes) == wanted) return TflLowering::channels_last_order(rank);
  if (lying(identity_order(rank), sizes) == wanted) return identity_order(rank);
  std::vector<int> sequence;  // axes of size 1 stay behind the axis that precedes them in the source
  const auto ones_after = [&](int axis) {
    for (int i = axis + 1; i < rank && sizes[static_cast<std::size_t>(i)] == 1; ++i) sequence.push_back(i);
  };
  ones_after(-1);
  for (const int axis : wanted) sequence.push_back(axis), ones_after(axis);
  Order order(sizes.size());
  for (std::size_t at = 0; at < sequence.size(); ++at) order[static_cast<std::size_t>(sequence[at])] = static_cast<int>(at);
  return order;
}

int reshaped(TflLowering& l, int x, const Type& type) { return tfl::reshape(l, x, type); }
int reshaped(KerasLowering& l, int x, const Type& type) { return keras::reshape(l, x, type); }

// Axes that are split or merged must lie side by side in source order; everything else may lie where it lies.
template <class Target>
void lower_reshape(Target& l, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Type& type = l.graph.type(out);
  const Sizes from = sizes(l.graph.type(x).shape), to = sizes(type.shape);
  std::optional<Groups> groups = groups_of(from, to);
  if (!groups) return l.give_source_order(out, reshaped(l, l.source_order(x), type));
  std::vector<std::size_t> turn(groups->from.size());
  std::iota(turn.begin(), turn.end(), std::size_t{0});
  const Order order = l.order(x);
  const auto first = [&](std::size_t g) {
    int at = order[static_cast<std::size_t>(groups->from[g][0])];
    for (const int axis : groups->from[g]) at = std::min(at, order[static_cast<std::size_t>(axis)]);
    return at;
  };
  std::sort(turn.begin(), turn.end(), [&](std::size_t a, std::size_t b) { return first(a) < first(b); });
  std::vector<int> wanted, result;
  for (const std::size_t g : turn) {
    wanted.insert(wanted.end(), groups->from[g].begin(), groups->from[g].end());
    result.insert(result.end(), groups->to[g].begin(), groups->to[g].end());
  }
  const int tensor = lying(order, from) == wanted ? l.as_is(x) : l.in_order(x, order_for(wanted, from));
  const Order after = order_for(result, to);
  l.give(out, reshaped(l, tensor, ordered(type, after)), after);
}

// The shape as an attribute: a symbolic size becomes -1.
Ints attr_of(const Node& node, const Shape& shape) {
  Ints out;
  for (const Dim& d : shape) out.push_back(d.known() ? d.size() : -1);
  if (std::count(out.begin(), out.end(), -1) > 1)
    fail({.code = "E504",
          .message = fmt::format("{} to {} has more than one size that is not known", node.op->name, text(shape)),
          .at = node.where(),
          .next = "export the model with fixed sizes"});
  return out;
}

std::vector<ValueId> as_reshape(Builder& b, const Node& node) {
  return {b("reshape", {node.inputs[0]}, {{"shape", attr_of(node, b.type(node.outputs[0]).shape)}})};
}

std::vector<ValueId> convert_view(Builder& b, const ForeignNode& node) {
  return {b("reshape", {node.value("self")}, {{"shape", shape_of_result(node, node.find("shape") ? "shape" : "size")}})};
}

std::vector<Type> infer_flatten(const OpTypes& t) {
  const Shape& x = t["x"].shape;
  if (x.empty()) return {{t["x"].dtype, {Dim(1)}}};
  const int start = infer::axis(t.node.integer("start_dim"), static_cast<int>(x.size()));
  const int end = infer::axis(t.node.integer("end_dim"), static_cast<int>(x.size()));
  if (start > end) infer::fault(fmt::format("start_dim {} lies behind end_dim {}", start, end));
  Shape out(x.begin(), x.begin() + start);
  Dim count(1);
  for (int i = start; i <= end; ++i) count = count * x[static_cast<std::size_t>(i)];
  out.push_back(count);
  out.insert(out.end(), x.begin() + end + 1, x.end());
  return {{t["x"].dtype, out}};
}

std::vector<Type> infer_unflatten(const OpTypes& t) {
  const Shape& x = t["x"].shape;
  const int axis = infer::axis(t.node.integer("dim"), static_cast<int>(x.size()));
  const Shape parts = filled({x[static_cast<std::size_t>(axis)]}, t.node.ints("sizes"));
  Shape out(x.begin(), x.begin() + axis);
  out.insert(out.end(), parts.begin(), parts.end());
  out.insert(out.end(), x.begin() + axis + 1, x.end());
  return {{t["x"].dtype, out}};
}

// dim null: every axis of size 1.
std::vector<Type> infer_squeeze(const OpTypes& t) {
  const Shape& x = t["x"].shape;
  const Attr& attr = t.node.attr("dim");
  std::vector<int> gone;
  if (const Ints* dims = std::get_if<Ints>(&attr))
    for (const std::int64_t d : *dims) gone.push_back(infer::axis(d, std::max(1, static_cast<int>(x.size()))));
  Shape out;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const bool named = std::holds_alternative<None>(attr) || std::find(gone.begin(), gone.end(), static_cast<int>(i)) != gone.end();
    if (!named || !(x[i] == Dim(1))) out.push_back(x[i]);
  }
  return {{t["x"].dtype, out}};
}

std::vector<Type> infer_unsqueeze(const OpTypes& t) {
  Type out = t["x"];
  const int axis = infer::axis(t.node.integer("dim"), static_cast<int>(out.shape.size()) + 1);
  out.shape.insert(out.shape.begin() + axis, Dim(1));
  return {out};
}

std::vector<ValueId> convert_squeeze(Builder& b, const ForeignNode& node) {
  return {b("squeeze", {node.value("self")}, {{"dim", optional_ints(node, "dim")}})};
}

// The file states the result's shape, whatever the operator is called.
std::vector<ValueId> convert_tflite(Builder& b, const ForeignNode& node) { return {tfl_in::as_stated(b, node, tfl_in::input(node, 0))}; }

// ---- source text ----------------------------------------------------------------------------------------------------

constexpr std::string_view flatten_source = R"py(
def flatten(x, start_dim=0, end_dim=-1):
    """Merges the axes from start_dim to end_dim into one."""
    start, end = start_dim % x.ndim, end_dim % x.ndim
    merged = math.prod(x.shape[start : end + 1])
    return x.reshape(*x.shape[:start], merged, *x.shape[end + 1 :])
)py";

constexpr std::string_view unflatten_source = R"py(
def unflatten(x, dim, sizes):
    """Splits an axis into several."""
    dim = dim % x.ndim
    return x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])
)py";

constexpr std::string_view squeeze_source = R"py(
def squeeze(x, dim=None):
    """Without the axes of size 1 among these; None: among all."""
    axes = range(x.ndim) if dim is None else [d % x.ndim for d in dim]
    return jnp.squeeze(x, tuple(d for d in axes if x.shape[d] == 1))
)py";

std::vector<ValueId> convert_keras_reshape(Builder& b, const ForeignNode& node) {
  const ValueId x = tfl_in::input(node, 0);
  Ints shape = node.target == "Flatten" ? Ints{-1} : ints(node, "target_shape");
  shape.insert(shape.begin(), tfl_in::shape_of(b, node, x).at(0));
  return {b("reshape", {x}, {{"shape", shape}})};
}

}  // namespace

OpList reshape() {
  static const OpDef defs[] = {
      {.name = "reshape",
       .doc = "The same elements in the same order, counted off into another shape.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {{"shape", AttrKind::ints, {}, "the sizes; one may be -1: what remains"}},
       .infer = infer_reshape,
       .eval = copy,
       .torch = {{"aten.reshape.default", "", 0, convert_view},
                 {"aten.view.default", "", 0, convert_view},
                 {"aten._unsafe_view.default", "", 0, convert_view},
                 {"aten.view_as.default", "", 0, convert_view},
                 {"aten.reshape_as.default", "", 0, convert_view}},
       .tflite_in = {{"RESHAPE", "", 0, convert_tflite}, {"SQUEEZE", "", 0, convert_tflite}, {"EXPAND_DIMS", "", 0, convert_tflite}},
       .keras_in = {{"Reshape", "", 0, convert_keras_reshape}, {"Flatten", "", 0, convert_keras_reshape}},
       .tflite = {.lower = lower_reshape},
       .keras = {.lower = lower_reshape},
       .source = {.torch = "torch.reshape({x}, {shape})", .keras = "keras.ops.reshape({x}, {shape})", .jax = "jnp.reshape({x}, {shape})"},
       .quant = {QuantRule::same_scale},
       .examples = {"reshape(x: float32[2, 6, 4, 4], shape: [2, -1])", "reshape(x: float32[2, 6], shape: [2, 6, 1, 1])",
                    "reshape(x: float32[1, 6, 4, 4], shape: [1, 2, 3, 4, 4])", "reshape(x: float32[2, 3, 4], shape: [4, 6])",
                    "reshape(x: float32[1, 6, 4, 4], shape: [1, 6, 16])", "reshape(x: float32[1], shape: [])"}},
      {.name = "flatten",
       .doc = "Merges the axes from start_dim to end_dim into one.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {{"start_dim", AttrKind::integer, std::int64_t{0}, "the first axis that is merged"},
                 {"end_dim", AttrKind::integer, std::int64_t{-1}, "the last one"}},
       .infer = infer_flatten,
       .eval = copy,
       .expand = as_reshape,
       .torch = {{"aten.flatten.using_ints", "x=self"}},
       .source = {.torch = "torch.flatten({x}, start_dim={start_dim?}, end_dim={end_dim?})",
                  .keras = "keras.layers.Flatten()({x})",
                  .jax = "flatten({x}, start_dim={start_dim?}, end_dim={end_dim?})",
                  .torch_module = "nn.Flatten(start_dim={start_dim}, end_dim={end_dim?})",
                  .jax_helpers = {flatten_source}},
       .quant = {QuantRule::same_scale},
       .examples = {"flatten(x: float32[2, 6, 1, 1], start_dim: 1)", "flatten(x: float32[2, 3, 4, 5], start_dim: 1)",
                    "flatten(x: float32[1, 3, 4, 5], start_dim: 2)", "flatten(x: float32[2, 3])"}},
      {.name = "unflatten",
       .doc = "Splits an axis into several.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {{"dim", AttrKind::integer, {}, "the axis"},
                 {"sizes", AttrKind::ints, {}, "what it becomes; one size may be -1: what remains"}},
       .infer = infer_unflatten,
       .eval = copy,
       .expand = as_reshape,
       .torch = {{"aten.unflatten.int", "x=self"}},
       .source = {.torch = "torch.unflatten({x}, {dim}, {sizes})",
                  .jax = "unflatten({x}, {dim}, {sizes})",
                  .torch_module = "nn.Unflatten({dim}, {sizes})",
                  .jax_helpers = {unflatten_source}},
       .quant = {QuantRule::same_scale},
       .examples = {"unflatten(x: float32[1, 6, 4, 4], dim: 1, sizes: [2, -1])", "unflatten(x: float32[2, 12], dim: -1, sizes: [3, 4])"}},
      {.name = "squeeze",
       .doc = "Takes away axes of size 1; a named axis of another size stays.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {{"dim", AttrKind::ints, None{}, "the axes; null: all", {}, false, true}},
       .infer = infer_squeeze,
       .eval = copy,
       .expand = as_reshape,
       .torch = {{"aten.squeeze.default", "", 0, convert_squeeze},
                 {"aten.squeeze.dim", "", 0, convert_squeeze},
                 {"aten.squeeze.dims", "", 0, convert_squeeze},
                 {"aten.squeeze_.default", "", 0, convert_squeeze},
                 {"aten.squeeze_.dim", "", 0, convert_squeeze}},
       .source = {.torch = "torch.squeeze({x}, {dim!?})",
                  .keras = "keras.ops.squeeze({x}, {dim})",
                  .jax = "squeeze({x}, dim={dim?})",
                  .jax_helpers = {squeeze_source}},
       .quant = {QuantRule::same_scale},
       .examples = {"squeeze(x: float32[2, 6, 1, 1])", "squeeze(x: float32[1, 6, 1, 3], dim: [2, 3])",
                    "squeeze(x: float32[1, 6, 4, 4], dim: 0)"}},
      {.name = "unsqueeze",
       .doc = "Adds an axis of size 1.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {{"dim", AttrKind::integer, {}, "where the result has it"}},
       .infer = infer_unsqueeze,
       .eval = copy,
       .expand = as_reshape,
       .torch = {{"aten.unsqueeze.default", "x=self"}, {"aten.unsqueeze_.default", "x=self"}},
       .source = {.torch = "torch.unsqueeze({x}, {dim})",
                  .keras = "keras.ops.expand_dims({x}, {dim})",
                  .jax = "jnp.expand_dims({x}, {dim})"},
       .quant = {QuantRule::same_scale},
       .examples = {"unsqueeze(x: float32[2, 6], dim: -1)", "unsqueeze(x: float32[6, 4, 4], dim: 0)",
                    "unsqueeze(x: float32[1, 6, 4, 4], dim: 2)"}},
  };
  return defs;
}

}  // namespace wherry::ops
