// Between data types.
#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/keras_steps.h"
#include "ops/onnx.h"
#include "ops/tflite_in.h"

#include <cstring>

namespace wherry::ops {

namespace {

std::vector<Type> infer_cast(const OpTypes& t) { return {{std::get<DType>(t.node.attr("dtype")), t["x"].shape}}; }

void eval_cast(OpValues& v) {
  const Tensor out = v["x"].cast(v.out().dtype());
  if (out.bytes()) std::memcpy(v.out().mutable_data(), out.data(), out.bytes());
}

void lower_cast(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Order order = l.order(x);
  if (l.graph.type(x).dtype == l.graph.type(out).dtype) return l.give(out, l.as_is(x), order);
  l.give(out, l.add("CAST", {l.as_is(x)}, ordered(l.graph.type(out), order)), order);
}

// The type that the node asks for, or the input itself where it asks for none other.
template <Word argument>
std::vector<ValueId> convert(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  const std::string_view other = argument;
  if (!other.empty()) return {cast(b, x, b.type(node.value(other)).dtype)};
  const std::optional<DType> type = dtype(node, "dtype");
  return {type ? cast(b, x, *type) : x};
}

std::vector<ValueId> convert_tflite(Builder& b, const ForeignNode& node) {
  return {cast(b, tfl_in::input(node, 0), node.output_types.at(0).dtype)};
}

void keras_cast(KerasLowering& k, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  if (k.graph.type(x).dtype == k.graph.type(out).dtype) return k.give(out, k.as_is(x), k.order(x));
  keras::lower_each(k, node, "ops.core.Cast", {{"dtype", k.graph.type(out).dtype}});
}

std::vector<ValueId> convert_onnx(Builder& b, const ForeignNode& node) {
  return {cast(b, onnx::required(node, 0), onnx::dtype(node, "to"))};
}

std::vector<ValueId> convert_onnx_like(Builder& b, const ForeignNode& node) {
  return {cast(b, onnx::required(node, 0), b.type(onnx::required(node, 1)).dtype)};
}

}  // namespace

OpList cast() {
  static const OpDef defs[] = {
      {.name = "cast",
       .doc = "x in another data type; floats become integers by dropping what follows the point.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {{"dtype", AttrKind::dtype, {}, "the data type wanted"}},
       .infer = infer_cast,
       .eval = eval_cast,
       .layout = {LayoutRule::any},
       .torch = {{"aten.to.dtype", "", 0, convert<"">},
                 {"aten.to.dtype_layout", "", 0, convert<"">},
                 {"aten.to.device", "", 0, convert<"">},
                 {"aten.to.other", "", 0, convert<"other">},
                 {"aten._to_copy.default", "", 0, convert<"">},
                 {"aten.type_as.default", "", 0, convert<"other">}},
       .onnx = {{.target = "Cast", .convert = convert_onnx}, {.target = "CastLike", .since = 15, .convert = convert_onnx_like}},
       .tflite_in = {{"CAST", "", 0, convert_tflite}},
       .tflite = {.lower = lower_cast},
       .onnx_out = {.op = "Cast", .attributes = "to=dtype"},
       .keras = {.lower = keras_cast},
       .source = {.torch = "{x}.to({dtype})", .keras = "keras.ops.cast({x}, '{dtype}')", .jax = "{x}.astype({dtype})"},
       .examples = {"cast(x: float32[2, 3], dtype: int32)", "cast(x: int64[4], dtype: float32)", "cast(x: bool[4], dtype: float32)"}},
  };
  return defs;
}

}  // namespace wherry::ops
