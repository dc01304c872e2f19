// Operators that change no number: they vanish in every target.
#include "ops/all_ops.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/keras_in.h"
#include "ops/onnx.h"

#include <cstring>

namespace wherry::ops {

namespace {

void copy(OpValues& v) {
  if (v.out().bytes()) std::memcpy(v.out().mutable_data(), v.inputs[0]->data(), v.out().bytes());
}

std::vector<ValueId> nothing(Builder&, const Node& node) { return {node.inputs[0]}; }

std::vector<ValueId> convert_dropout(Builder& b, const ForeignNode& node) {
  if (flag(node, "train", false)) refuse(node, fmt::format("'{}' drops at random: export the model in eval mode", node.target));
  const char* x = node.find("input") ? "input" : "self";  // the latter when it is written in place
  return {b("dropout", {node.value(x)}, {{"p", number(node, "p", 0.5)}})};
}

// ---- ONNX ----

std::vector<ValueId> convert_onnx_dropout(Builder& b, const ForeignNode& node) {
  const std::optional<double> training = onnx::fixed_number(b, node, 2, "training_mode");
  const double ratio = onnx::fixed_number(b, node, 1, "ratio").value_or(0.5);
  if (training.value_or(0) != 0 && ratio != 0) refuse(node, "'Dropout' drops at random: export the model in eval mode");
  const ValueId x = onnx::required(node, 0);
  std::vector<ValueId> out = {b("dropout", {x}, {{"p", ratio}})};
  if (node.output_count > 1)  // which elements stay: all
    out.push_back(b("full", {}, {{"size", onnx::static_shape(b, node, x)}, {"fill_value", 1.0}, {"dtype", DType::boolean}}));
  return out;
}

// A tensor, or numbers (opset 12).
std::vector<ValueId> convert_onnx_constant(Builder& b, const ForeignNode& node) {
  if (const ForeignArg* value = node.find("value")) return {std::get<ValueId>(value->value)};
  for (const char* name : {"value_float", "value_floats"})
    if (const Attr* attr = node.attr(name)) {
      const Floats numbers = std::get<Floats>(*coerce(*attr, AttrKind::numbers));
      const std::vector<float> values(numbers.begin(), numbers.end());
      const bool list = std::holds_alternative<Floats>(*attr);
      return {b.constant(Tensor::from(values, list ? Sizes{static_cast<std::int64_t>(values.size())} : Sizes{}))};
    }
  if (const Attr* attr = node.attr("value_int")) return {b.constant(Tensor::from<std::int64_t>({std::get<std::int64_t>(*attr)}, {}))};
  if (given(node, "value_ints")) return {b.ints(ints(node, "value_ints"))};
  refuse(node, "'Constant' holds neither a tensor nor numbers");
}
std::vector<ValueId> convert_keras_dropout(Builder& b, const ForeignNode& node) {
  return {b("dropout", {tfl_in::input(node, 0)}, {{"p", number(node, "rate", 0.5)}})};
}
std::vector<ValueId> convert_keras_nothing(Builder& b, const ForeignNode& node) { return {b("identity", {tfl_in::input(node, 0)})}; }

}  // namespace

OpList identity() {
  static const OpDef defs[] = {
      {.name = "dropout",
       .doc = "x itself: dropout as it is when a model is used.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {{"p", AttrKind::number, 0.5, "the share that training drops"}},
       .infer = infer::same_as_first,
       .eval = copy,
       .expand = nothing,
       .layout = {LayoutRule::any},
       .torch = {{"aten.dropout.default", "", 0, convert_dropout},
                 {"aten.native_dropout.default", "", 0, convert_dropout},
                 {"aten.feature_dropout.default", "", 0, convert_dropout},
                 {"aten.alpha_dropout.default", "", 0, convert_dropout},
                 {"aten.feature_alpha_dropout.default", "", 0, convert_dropout}},
       .onnx = {{.target = "Dropout", .convert = convert_onnx_dropout}},
       .keras_in = {{"Dropout", "", 0, convert_keras_dropout},
                    {"SpatialDropout1D", "", 0, convert_keras_dropout},
                    {"SpatialDropout2D", "", 0, convert_keras_dropout},
                    {"GaussianDropout", "", 0, convert_keras_dropout},
                    {"AlphaDropout", "", 0, convert_keras_dropout}},
       .keras = {.layer = "Dropout", .config = "rate=p"},
       .source = {.torch = "F.dropout({x}, p={p?}, training=False)",
                  .keras = "keras.layers.Dropout({p})({x}, training=False)",
                  .jax = "{x}",
                  .torch_module = "nn.Dropout(p={p?})"},
       .quant = {QuantRule::same_scale},
       .examples = {"dropout(x: float32[2, 3])", "dropout(x: float32[2, 3], p: 0.2)"}},
      {.name = "identity",
       .doc = "x itself.",
       .inputs = {{"x", "any tensor"}},
       .infer = infer::same_as_first,
       .eval = copy,
       .expand = nothing,
       .layout = {LayoutRule::any},
       .torch = {{"aten.clone.default", "x=self =memory_format"},
                 {"aten.contiguous.default", "x=self =memory_format"},
                 {"aten.alias.default", "x=self"},
                 {"aten.detach.default", "x=self"},
                 {"aten.detach_.default", "x=self"},
                 {"aten.lift_fresh_copy.default", "x=self"},
                 {"aten.lift_fresh.default", "x=self"},
                 {"aten.positive.default", "x=self"},
                 {"aten.resolve_conj.default", "x=self"},
                 {"aten.resolve_neg.default", "x=self"}},
       .onnx = {{"Identity", "x=0"}, {.target = "Constant", .convert = convert_onnx_constant}},
       .keras_in = {{"Identity", "", 0, convert_keras_nothing},
                    {"GaussianNoise", "", 0, convert_keras_nothing},
                    {"ActivityRegularization", "", 0, convert_keras_nothing}},
       .source = {.torch = "{x}", .keras = "{x}", .jax = "{x}", .torch_module = "nn.Identity()"},
       .quant = {QuantRule::same_scale},
       .examples = {"identity(x: float32[2, 3])", "identity(x: bool[4])"}},
  };
  return defs;
}

}  // namespace wherry::ops
