// Operators that change no number: they vanish in every target.
#include "ops/all_ops.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/keras_in.h"

#include <cstring>

namespace wherry::ops {

namespace {

void copy(OpValues& v) {
  if (v.out().bytes()) std::memcpy(v.out().mutable_data(), v.inputs[0]->data(), v.out().bytes());
}

std::vector<ValueId> nothing(Builder&, const Node& node) { return {node.inputs[0]}; }

std::vector<ValueId> convert_dropout(Builder& b, const ForeignNode& node) {
  if (flag(node, "train", false)) refuse(node, fmt::format("'{}' drops at random: export the model in eval mode", node.target));
  return {b("dropout", {node.value("input")}, {{"p", number(node, "p", 0.5)}})};
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
                 {"aten.dropout_.default", "", 0, convert_dropout},
                 {"aten.feature_dropout.default", "", 0, convert_dropout},
                 {"aten.feature_dropout_.default", "", 0, convert_dropout},
                 {"aten.alpha_dropout.default", "", 0, convert_dropout},
                 {"aten.feature_alpha_dropout.default", "", 0, convert_dropout}},
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
