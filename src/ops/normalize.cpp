// Normalisation by the length of a vector, and by the neighbouring channels.
#include "ops/all_ops.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/onnx.h"

namespace wherry::ops {

namespace {

std::vector<Type> infer_normalize(const OpTypes& t) {
  infer::needs_float(t, "x");
  infer::axis(t.node.integer("dim"), static_cast<int>(t["x"].shape.size()));
  if (t.node.number("p") <= 0) infer::fault(fmt::format("p {} is not positive", t.node.number("p")));
  return {t["x"]};
}

// (sum of |x|^p along the axis)^(1/p), the axis kept.
ValueId length_of(Builder& b, ValueId x, double p, std::int64_t dim) {
  const auto number = [&](double value) { return b.scalar(value, b.type(x).dtype); };
  const ValueId powers = p == 2 ? b("square", {x}) : p == 1 ? b("abs", {x}) : b("pow", {b("abs", {x}), number(p)});
  const ValueId sum = b("sum", {powers}, {{"dim", Ints{dim}}, {"keepdim", true}});
  return p == 2 ? b("sqrt", {sum}) : p == 1 ? sum : b("pow", {sum, number(1 / p)});
}

std::vector<ValueId> expand_normalize(Builder& b, const Node& node) {
  const ValueId x = node.inputs[0], length = length_of(b, x, node.number("p"), node.integer("dim"));
  return {b("div", {x, b("maximum", {length, b.scalar(node.number("eps"), b.type(x).dtype)})})};
}

// A vector of zeros stays one.
std::vector<ValueId> convert_onnx_lp(Builder& b, const ForeignNode& n) {
  const double least = 1e-37;
  return {b("normalize", {onnx::required(n, 0)},
            {{"p", static_cast<double>(integer(n, "p", 2))}, {"dim", integer(n, "axis", -1)}, {"eps", least}})};
}

// (x - mean) / deviation over axes.
std::vector<ValueId> convert_onnx_mvn(Builder& b, const ForeignNode& n) {
  const ValueId x = onnx::required(n, 0);
  const Ints axes = ints(n, "axes", Ints{0, 2, 3});
  const ValueId centred = b("sub", {x, b("mean", {x}, {{"dim", axes}, {"keepdim", true}})});
  const ValueId deviation = b("sqrt", {b("mean", {b("square", {centred})}, {{"dim", axes}, {"keepdim", true}})});
  return {b("div", {centred, b("add", {deviation, b.scalar(1e-9, b.type(x).dtype)})})};
}

// ---- local_response_norm --------------------------------------------------------------------------------------------

std::vector<Type> infer_local(const OpTypes& t) {
  infer::needs_float(t, "x");
  const Type& x = t["x"];
  if (x.shape.size() < 3) infer::fault(fmt::format("local_response_norm takes x of rank 3 or more, not {}", text(x)));
  if (t.node.integer("size") < 1) infer::fault(fmt::format("size {} is not positive", t.node.integer("size")));
  return {x};
}

// x / (k + alpha · mean of the squares of `size` channels around)^beta
ValueId local(Builder& b, ValueId x, std::int64_t size, double alpha, double beta, double k, std::int64_t before) {
  const Type type = b.type(x);
  const auto number = [&](double value) { return b.scalar(value, type.dtype); };
  Ints pad(2 * (type.shape.size() - 1), 0);  // pairs from the last axis backwards, down to the channels
  pad[pad.size() - 2] = before, pad.back() = size - 1 - before;
  const ValueId squares = b("pad", {b("square", {x})}, {{"pad", pad}});
  if (!type.shape[1].known())
    fail({.code = "E504", .message = "local_response_norm needs a known number of channels", .at = b.path(), .next = "give it with --dim"});
  ValueId sum = absent;
  for (std::int64_t i = 0; i < size; ++i) {
    const ValueId part = b("slice", {squares}, {{"dim", std::int64_t{1}}, {"start", i}, {"end", i + type.shape[1].size()}});
    sum = sum == absent ? part : b("add", {sum, part});
  }
  const ValueId base = b("add", {b("mul", {sum, number(alpha / static_cast<double>(size))}), number(k)});
  return b("div", {x, b("pow", {base, number(beta)})});
}

std::vector<ValueId> expand_local(Builder& b, const Node& node) {
  const std::int64_t size = node.integer("size");
  return {local(b, node.inputs[0], size, node.number("alpha"), node.number("beta"), node.number("k"), size / 2)};
}

// ONNX's window of an even size has the larger half behind, PyTorch's before.
std::vector<ValueId> convert_onnx_lrn(Builder& b, const ForeignNode& n) {
  const ValueId x = onnx::required(n, 0);
  const std::int64_t size = integer(n, "size");
  const double alpha = number(n, "alpha", 1e-4), beta = number(n, "beta", 0.75), bias = number(n, "bias", 1);
  if (size < 1) refuse(n, fmt::format("'LRN' over {} channels", size));
  if (size % 2 == 0) return {local(b, x, size, alpha, beta, bias, (size - 1) / 2)};
  return {b("local_response_norm", {x}, {{"size", size}, {"alpha", alpha}, {"beta", beta}, {"k", bias}})};
}

constexpr std::string_view normalize_source = R"py(
def normalize(x, p=2.0, dim=1, eps=1e-12):
    """x divided by its length along an axis."""
    length = jnp.linalg.norm(x, ord=p, axis=dim, keepdims=True)
    return x / jnp.maximum(length, eps)
)py";

constexpr std::string_view local_response_norm_source = R"py(
def local_response_norm(x, size, alpha=0.0001, beta=0.75, k=1.0):
    """x divided by what the channels around it have, to a power."""
    around = [(0, 0), (size // 2, (size - 1) // 2), *[(0, 0)] * (x.ndim - 2)]
    window = (1, size, *(1,) * (x.ndim - 2))
    squares = jnp.pad(x * x, around)
    sums = jax.lax.reduce_window(squares, 0.0, jax.lax.add, window, (1,) * x.ndim, "VALID")
    return x / (k + alpha / size * sums) ** beta
)py";

}  // namespace

OpList normalize() {
  static const OpDef defs[] = {
      {.name = "normalize",
       .doc = "x divided by its length along an axis.",
       .inputs = {{"x", "any float tensor"}},
       .attrs = {{"p", AttrKind::number, 2.0, "which length: 2 is Euclid's, 1 the sum of sizes"},
                 {"dim", AttrKind::integer, std::int64_t{1}, "the axis"},
                 {"eps", AttrKind::number, 1e-12, "the least length that is divided by"}},
       .infer = infer_normalize,
       .expand = expand_normalize,
       .onnx = {{.target = "LpNormalization", .convert = convert_onnx_lp},
                {.target = "MeanVarianceNormalization", .convert = convert_onnx_mvn}},
       .source = {.torch = "F.normalize({x}, p={p?}, dim={dim?}, eps={eps?})",
                  .jax = "normalize({x}, p={p?}, dim={dim?}, eps={eps?})",
                  .jax_helpers = {normalize_source}},
       .quant = {QuantRule::float_only},
       .examples = {"normalize(x: float32[2, 8])", "normalize(x: float32[2, 3, 4], p: 1.0, dim: -1)"}},
      {.name = "local_response_norm",
       .doc = "x divided by what the channels around it have, to the power of beta.",
       .inputs = {{"x", "[N, C, spatial…]"}},
       .attrs = {{"size", AttrKind::integer, {}, "how many channels count"},
                 {"alpha", AttrKind::number, 1e-4, "by how much their mean square counts"},
                 {"beta", AttrKind::number, 0.75, "the power"},
                 {"k", AttrKind::number, 1.0, "added to it"}},
       .infer = infer_local,
       .expand = expand_local,
       .onnx = {{.target = "LRN", .convert = convert_onnx_lrn}},
       .source = {.torch = "F.local_response_norm({x}, {size}, alpha={alpha?}, beta={beta?}, k={k?})",
                  .jax = "local_response_norm({x}, {size}, alpha={alpha?}, beta={beta?}, k={k?})",
                  .jax_helpers = {local_response_norm_source}},
       .quant = {QuantRule::float_only},
       .examples = {"local_response_norm(x: float32[1, 8, 3, 4], size: 5, alpha: 0.1)",
                    "local_response_norm(x: float32[2, 6, 5], size: 2, alpha: 0.5, k: 2.0)"}},
  };
  return defs;
}

}  // namespace wherry::ops
