// Normalisation by stored statistics (batch_norm) and by the input's own (layer_norm, group_norm, instance_norm).
#include "base/simd.h"
#include "ops/all_ops.h"
#include "ops/axes.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/keras_in.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/onnx.h"
#include "ops/source_helpers.h"
#include "ops/spatial.h"

#include <fmt/format.h>

#include <cmath>

namespace wherry::ops {

namespace {

// y = x * scale[c] + shift[c] for each channel: what batch_norm comes to.
struct Affine {
  std::vector<float> scale, shift;
};

Affine affine_of(const Tensor* weight, const Tensor* bias, const Tensor& mean, const Tensor& var, double eps) {
  Affine out;
  for (std::int64_t c = 0; c < mean.count(); ++c) {
    const double scale = (weight ? weight->item(c) : 1.0) / std::sqrt(var.item(c) + eps);
    out.scale.push_back(static_cast<float>(scale));
    out.shift.push_back(static_cast<float>((bias ? bias->item(c) : 0.0) - mean.item(c) * scale));
  }
  return out;
}

double flops(const Graph& graph, const Node& node) { return static_cast<double>(known_count(graph.type(node.outputs[0]).shape)); }

std::vector<Shape> learned(const Hyper& hyper, const Shape& shape, bool by_default = true) {
  const bool affine = hyper_flag(hyper, "affine", by_default);
  return {affine ? shape : left_out(), affine && hyper_flag(hyper, "bias", true) ? shape : left_out()};
}

// Without a weight there is no bias either, so that `bias` need not be said.
Hyper learned_of(const Node& node) {
  const bool affine = has_input(node, "weight");
  return {{"affine", affine}, {"bias", !affine || has_input(node, "bias")}};
}

std::vector<HyperDef> learned_hyper(bool by_default = true) {
  return {{"affine", AttrKind::boolean, by_default, "whether a learned scale (and offset) follows"},
          {"bias", AttrKind::boolean, true, "whether the learned scale has an offset"}};
}

std::vector<HyperDef> channel_hyper(std::string_view channels, bool affine = true) {
  std::vector<HyperDef> hyper = {{channels, AttrKind::integer, {}, "number of channels"}};
  for (HyperDef& def : learned_hyper(affine)) hyper.push_back(std::move(def));
  return hyper;
}

bool scaled_before_shifted(const OpTypes& t) { return !t.find("bias") || t.find("weight"); }
std::vector<Rule> norm_rules() { return {{"no bias without weight", scaled_before_shifted}}; }
AttrDef eps_attr() { return {"eps", AttrKind::number, 1e-5, "added to the variance"}; }

// ---- batch_norm -----------------------------------------------------------------------------------------------------

std::vector<Type> infer_batch_norm(const OpTypes& t) {
  infer::needs_float(t, "x");
  const Shape& x = t["x"].shape;
  if (x.size() < 2) infer::fault(fmt::format("batch_norm takes x of rank 2 or more, not {}", text(t["x"])));
  for (const std::string_view input : {"weight", "bias", "running_mean", "running_var"}) infer::needs_vector(t, input, x[1]);
  return {t["x"]};
}

void eval_batch_norm(OpValues& v) {
  const Tensor& x = v["x"];
  const Affine a = affine_of(v.find("weight"), v.find("bias"), v["running_mean"], v["running_var"], v.node.number("eps"));
  const std::int64_t channels = x.sizes()[1], rows = x.sizes()[0] * channels, inner = rows ? x.count() / rows : 0;
  const float* from = x.as<float>().data();
  float* to = v.out().mutable_as<float>().data();
  vectorised([&]() __attribute__((always_inline)) {
    for (std::int64_t r = 0; r < rows; ++r) {
      const float scale = a.scale[static_cast<std::size_t>(r % channels)], shift = a.shift[static_cast<std::size_t>(r % channels)];
      for (std::int64_t i = r * inner; i < (r + 1) * inner; ++i) to[i] = from[i] * scale + shift;
    }
  });
}

std::vector<Shape> batch_norm_parameters(const Hyper& hyper, const Node&) {
  const Shape features = {hyper_int(hyper, "features")};
  std::vector<Shape> shapes = learned(hyper, features);
  shapes.insert(shapes.end(), 2, features);
  return shapes;
}

Hyper batch_norm_hyper(const Graph& graph, const Node& node) {
  Hyper hyper = learned_of(node);
  hyper.emplace("features", input_type(graph, node, "running_mean").shape[0].size());
  return hyper;
}

void lower_batch_norm(TflLowering& t, const Node& node) {
  const auto optional = [&](std::string_view input) { return has_input(node, input) ? &tfl::weight(t, node, input) : nullptr; };
  const Affine a = affine_of(optional("weight"), optional("bias"), tfl::weight(t, node, "running_mean"),
                             tfl::weight(t, node, "running_var"), node.number("eps"));
  const Sizes channels = {static_cast<std::int64_t>(a.scale.size())};
  const Type type = tfl::channels_last(t.graph.type(node.outputs[0]));
  const int scaled = tfl::binary(t, "MUL", t.channels_last(node.inputs[0]), t.constant(Tensor::from(a.scale, channels)), type);
  t.give_channels_last(node.outputs[0], tfl::binary(t, "ADD", scaled, t.constant(Tensor::from(a.shift, channels)), type));
}

// ---- statistics of the input itself ---------------------------------------------------------------------------------

// Rows of `inner` elements, each brought to mean 0 and variance 1.
void normalise_rows(std::span<const float> x, std::span<float> out, std::size_t inner, double eps) {
  for (std::size_t at = 0; inner && at < x.size(); at += inner) {
    double sum = 0, squares = 0;
    for (std::size_t i = at; i < at + inner; ++i) sum += x[i];
    const double mean = sum / static_cast<double>(inner);
    for (std::size_t i = at; i < at + inner; ++i) squares += (x[i] - mean) * (x[i] - mean);
    const double scale = 1 / std::sqrt(squares / static_cast<double>(inner) + eps);
    for (std::size_t i = at; i < at + inner; ++i) out[i] = static_cast<float>((x[i] - mean) * scale);
  }
}

// out[i] = out[i] * weight[k] + bias[k] where k counts runs of `run` elements.
void scale_runs(std::span<float> out, const Tensor* weight, const Tensor* bias, std::size_t run) {
  if (!weight || !run) return;
  const auto w = weight->as<float>(), b = bias ? bias->as<float>() : std::span<const float>();
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t k = i / run % w.size();
    out[i] = out[i] * w[k] + (bias ? b[k] : 0);
  }
}

void eval_statistics(OpValues& v, std::size_t inner, std::size_t run) {
  normalise_rows(v["x"].as<float>(), v.out().mutable_as<float>(), inner, v.node.number("eps"));
  scale_runs(v.out().mutable_as<float>(), v.find("weight"), v.find("bias"), run);
}

// (x - mean) / sqrt(variance + eps) over the tensor's `axes`.
int lower_statistics(TflLowering& t, int x, const Type& type, const std::vector<std::int64_t>& axes, double eps) {
  Type reduced = type;
  for (const std::int64_t a : axes) reduced.shape[static_cast<std::size_t>(a)] = 1;
  const int mean = tfl::mean(t, x, axes, reduced);
  const int variance = tfl::mean(t, t.add("SQUARED_DIFFERENCE", {x, mean}, type), axes, reduced);
  const int shifted = tfl::binary(t, "ADD", variance, t.constant(Tensor::scalar(eps)), reduced);
  return tfl::binary(t, "MUL", tfl::binary(t, "SUB", x, mean, type), t.add("RSQRT", {shifted}, reduced), type);
}

// weight and bias, brought by `arrange` to a shape that broadcasts.
template <class Arrange>
int lower_learned(TflLowering& t, const Node& node, int x, const Type& type, Arrange arrange) {
  for (const auto& [input, builtin] : {std::pair("weight", "MUL"), std::pair("bias", "ADD")})
    if (has_input(node, input)) x = tfl::binary(t, builtin, x, t.constant(arrange(tfl::weight(t, node, input))), type);
  return x;
}

// ---- layer_norm -----------------------------------------------------------------------------------------------------

void eval_layer_norm(OpValues& v) {
  const std::int64_t inner = element_count(v.node.ints("normalized_shape"));
  eval_statistics(v, static_cast<std::size_t>(inner), 1);
}

std::vector<Shape> layer_norm_parameters(const Hyper& hyper, const Node& node) {
  return learned(hyper, to_shape(node.ints("normalized_shape")));
}

void lower_layer_norm(TflLowering& t, const Node& node) {
  const ValueId value = node.inputs[0];
  const Order order = t.order(value);  // any order will do: the axes are followed to where they lie
  const Type type = ordered(t.graph.type(value), order);
  const std::size_t rank = order.size(), tail = node.ints("normalized_shape").size();
  const std::vector<std::int64_t> axes(order.end() - static_cast<std::ptrdiff_t>(tail), order.end());
  Order inverse(rank);
  for (std::size_t i = 0; i < rank; ++i) inverse[static_cast<std::size_t>(order[i])] = static_cast<int>(i);
  const int x = lower_statistics(t, t.as_is(value), type, axes, node.number("eps"));
  const auto arrange = [&](const Tensor& tensor) {
    Sizes wide(rank - tail, 1);
    wide.insert(wide.end(), tensor.sizes().begin(), tensor.sizes().end());
    return tensor.reshaped(wide).permuted(inverse);
  };
  t.give(node.outputs[0], lower_learned(t, node, x, type, arrange), order);
}

// ---- group_norm and instance_norm -----------------------------------------------------------------------------------

std::vector<Type> infer_channel_norm(const OpTypes& t) {
  infer::needs_float(t, "x");
  const Shape& x = t["x"].shape;
  if (x.size() < 2) infer::fault(fmt::format("{} takes x of rank 2 or more, not {}", t.node.op->name, text(t["x"])));
  for (const std::string_view input : {"weight", "bias"}) infer::needs_vector(t, input, x[1]);
  return {t["x"]};
}

bool groups_divide(const OpTypes& t) {
  const Shape& x = t["x"].shape;
  const std::int64_t groups = t.node.integer("num_groups");
  return groups > 0 && (x.size() < 2 || (x[1].known() && x[1].size() % groups == 0));
}

bool has_places(const OpTypes& t) { return t["x"].shape.size() >= 3; }

std::size_t places(const Tensor& x) { return static_cast<std::size_t>(element_count(Sizes(x.sizes().begin() + 2, x.sizes().end()))); }

void eval_group_norm(OpValues& v) {
  const Tensor& x = v["x"];
  const auto width = static_cast<std::size_t>(x.sizes()[1] / v.node.integer("num_groups"));
  eval_statistics(v, width * places(x), places(x));
}

void eval_instance_norm(OpValues& v) { eval_statistics(v, places(v["x"]), places(v["x"])); }

std::vector<Shape> group_norm_parameters(const Hyper& hyper, const Node&) { return learned(hyper, {hyper_int(hyper, "channels")}); }
std::vector<Shape> instance_norm_parameters(const Hyper& hyper, const Node&) {
  return learned(hyper, {hyper_int(hyper, "features")}, false);
}

template <const char* channels>
Hyper channel_norm_hyper(const Graph& graph, const Node& node) {
  Hyper hyper = learned_of(node);
  const Dim& size = input_type(graph, node, "x").shape[1];
  hyper.emplace(channels, size.known() ? size.size() : 1);
  return hyper;
}
constexpr char channels_word[] = "channels", features_word[] = "features";

Tensor as_it_is(const Tensor& tensor) { return tensor; }

void lower_group_norm(TflLowering& t, const Node& node) {
  const Type type = tfl::channels_last(t.graph.type(node.outputs[0]));
  const std::int64_t groups = node.integer("num_groups");
  Dim count(1);
  for (std::size_t i = 1; i + 1 < type.shape.size(); ++i) count = count * type.shape[i];
  const Type split{type.dtype, {type.shape[0], count, groups, type.shape.back().size() / groups}};
  const int x = lower_statistics(t, tfl::reshape(t, t.channels_last(node.inputs[0]), split), split, {1, 3}, node.number("eps"));
  t.give_channels_last(node.outputs[0], lower_learned(t, node, tfl::reshape(t, x, type), type, as_it_is));
}

void lower_instance_norm(TflLowering& t, const Node& node) {
  const Type type = tfl::channels_last(t.graph.type(node.outputs[0]));
  std::vector<std::int64_t> axes;
  for (std::size_t i = 1; i + 1 < type.shape.size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
  const int x = lower_statistics(t, t.channels_last(node.inputs[0]), type, axes, node.number("eps"));
  t.give_channels_last(node.outputs[0], lower_learned(t, node, x, type, as_it_is));
}

// PyTorch's operator has two meanings: with stored statistics it is batch_norm.
// x brought to mean 0 and variance 1 by the statistics of each channel over the batch and all places.
struct OfBatch {
  ValueId mean, variance, normal;
};
OfBatch of_batch(Builder& b, ValueId x, double eps) {
  const Type& type = b.type(x);
  const DType dtype = type.dtype;
  Ints axes = {0};
  for (std::int64_t i = 2; i < std::ssize(type.shape); ++i) axes.push_back(i);
  const ValueId mean = b("mean", {x}, {{"dim", axes}, {"keepdim", true}});
  const ValueId variance = b("var", {x}, {{"dim", axes}, {"correction", 0.0}, {"keepdim", true}});
  const ValueId scale = b("rsqrt", {b("add", {variance, b.scalar(eps, dtype)})});
  return {mean, variance, b("mul", {b("sub", {x, mean}), scale})};
}

// With statistics that nothing keeps: weights are standardised so.
std::vector<ValueId> convert_norm_of_batch(Builder& b, const ForeignNode& n) {
  const ValueId x = n.value("input");
  Ints along(b.type(x).shape.size(), 1);
  if (along.size() < 2) refuse(n, fmt::format("'{}' of {}, expected [N, C, …]", n.target, text(b.type(x))));
  along[1] = -1;
  ValueId y = of_batch(b, x, number(n, "eps")).normal;
  if (const ValueId weight = n.value("weight"); weight != absent) y = b("mul", {y, b("reshape", {weight}, {{"shape", along}})});
  if (const ValueId bias = n.value("bias"); bias != absent) y = b("add", {y, b("reshape", {bias}, {{"shape", along}})});
  return {y};
}

std::vector<ValueId> convert_batch_norm(Builder& b, const ForeignNode& n) {
  const bool training = flag(n, "training", false), kept = given(n, "running_mean") || given(n, "running_var");
  if (training && kept)
    fail({.code = "E203",
          .message = fmt::format("'{}' with training=true cannot be honoured; only false can", n.target),
          .at = n.source.file.empty() ? n.path : fmt::format("{} ({}:{})", n.path, n.source.file, n.source.line),
          .next = "call model.eval() before torch.export.export"});
  if (training) return convert_norm_of_batch(b, n);
  const std::vector<ValueId> inputs = {n.value("input"), n.value("weight"), n.value("bias"), n.value("running_mean"),
                                       n.value("running_var")};
  return {b("batch_norm", inputs, {{"eps", number(n, "eps", 1e-5)}})};
}

std::vector<ValueId> convert_instance_norm(Builder& b, const ForeignNode& n) {
  const std::vector<NamedAttr> eps = {{"eps", number(n, "eps", 1e-5)}};
  if (flag(n, "use_input_stats", true)) {
    if (given(n, "running_mean"))
      refuse(n, "instance_norm that updates running statistics cannot be honoured; call model.eval() before the export");
    return {b("instance_norm", {n.value("input"), n.value("weight"), n.value("bias")}, eps)};
  }
  return {b("batch_norm", {n.value("input"), n.value("weight"), n.value("bias"), n.value("running_mean"), n.value("running_var")}, eps)};
}

// ---- ONNX ----

// In training the statistics are those of x, and the running ones move towards them.
std::vector<ValueId> onnx_batch_norm_of_batch(Builder& b, const ForeignNode& n) {
  const ValueId x = onnx::required(n, 0);
  const auto rank = static_cast<std::int64_t>(b.type(x).shape.size());
  const DType type = b.type(x).dtype;
  const double kept = number(n, "momentum", 0.9);
  Ints column(static_cast<std::size_t>(std::max<std::int64_t>(rank - 1, 1)), 1);
  column[0] = -1;
  const auto each = [&](int input) { return b("reshape", {onnx::required(n, input)}, {{"shape", column}}); };
  const auto moved = [&](int input, ValueId fresh) {
    const ValueId flat = b("reshape", {fresh}, {{"shape", Ints{-1}}}), old = onnx::required(n, input);
    return b("add", {b("mul", {old, b.scalar(kept, b.type(old).dtype)}), b("mul", {flat, b.scalar(1 - kept, type)})});
  };
  const OfBatch batch = of_batch(b, x, number(n, "epsilon", 1e-5));
  return {b("add", {b("mul", {batch.normal, each(1)}), each(2)}), moved(3, batch.mean), moved(4, batch.variance)};
}

std::vector<ValueId> convert_onnx_batch_norm(Builder& b, const ForeignNode& n) {
  if (integer(n, "spatial", 1) != 1) refuse(n, "'BatchNormalization' with spatial 0 is not known: export the model with opset 9 or later");
  if (integer(n, "training_mode", 0) != 0) return onnx_batch_norm_of_batch(b, n);
  std::vector<ValueId> inputs;
  for (int i = 0; i < 5; ++i) inputs.push_back(onnx::required(n, i));
  return {b("batch_norm", inputs, {{"eps", number(n, "epsilon", 1e-5)}})};
}

std::vector<ValueId> convert_onnx_instance_norm(Builder& b, const ForeignNode& n) {
  return {b("instance_norm", {onnx::required(n, 0), onnx::required(n, 1), onnx::required(n, 2)}, {{"eps", number(n, "epsilon", 1e-5)}})};
}

// Scale and offset that are not of the normalised shape are multiplied and added behind.
std::vector<ValueId> convert_onnx_layer_norm(Builder& b, const ForeignNode& n) {
  const ValueId x = onnx::required(n, 0), scale = onnx::in(n, 1), shift = onnx::in(n, 2);
  const Sizes shape = onnx::static_shape(b, n, x);
  const int axis = infer::axis(integer(n, "axis", -1), static_cast<int>(shape.size()));
  const Ints last(shape.begin() + axis, shape.end());
  const double eps = number(n, "epsilon", 1e-5);
  const std::vector<NamedAttr> attrs = {{"normalized_shape", last}, {"eps", eps}};
  const auto fits = [&](ValueId v) { return v == absent || b.type(v).shape == to_shape(last); };
  std::vector<ValueId> out;
  if (fits(scale) && fits(shift) && scale != absent) {
    out = {b("layer_norm", {x, scale, shift}, attrs)};
  } else {
    ValueId y = b("layer_norm", {x}, attrs);
    if (scale != absent) y = b("mul", {y, scale});
    out = {shift == absent ? y : b("add", {y, shift})};
  }
  if (n.output_count < 2) return out;
  Ints axes;  // the statistics too: the mean, and one over the deviation
  for (std::size_t i = static_cast<std::size_t>(axis); i < shape.size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
  out.push_back(b("mean", {x}, {{"dim", axes}, {"keepdim", true}}));
  const ValueId variance = b("var", {x}, {{"dim", axes}, {"correction", 0.0}, {"keepdim", true}});
  out.push_back(b("rsqrt", {b("add", {variance, b.scalar(eps, b.type(x).dtype)})}));
  return out;
}

// Scale and offset for each channel; before opset 21 for each group.
template <bool by_group>
std::vector<ValueId> convert_onnx_group_norm(Builder& b, const ForeignNode& n) {
  const ValueId x = onnx::required(n, 0);
  ValueId scale = onnx::required(n, 1), shift = onnx::required(n, 2);
  const std::int64_t groups = integer(n, "num_groups");
  if (by_group) {
    const Dim channels = b.type(x).shape.at(1);
    if (!channels.known() || groups <= 0) refuse(n, "'GroupNormalization' needs a known number of channels");
    const auto each = [&](ValueId v) {
      return b("repeat_interleave", {v}, {{"repeats", channels.size() / groups}, {"dim", std::int64_t{0}}});
    };
    scale = each(scale), shift = each(shift);
  }
  return {b("group_norm", {x, scale, shift}, {{"num_groups", groups}, {"eps", number(n, "epsilon", 1e-5)}})};
}

// Scale and offset that ONNX wants and the layer lacks.
int onnx_vector(OnnxLowering& l, const Node& node, std::string_view input, std::int64_t size, double fill) {
  if (has_input(node, input)) return l[node.inputs[static_cast<std::size_t>(node.op->input_index(input))]];
  Tensor t = Tensor::allocate(DType::float32, {size});
  for (float& f : t.mutable_as<float>()) f = static_cast<float>(fill);
  return l.constant(t.cast(l.graph.type(node.inputs[0]).dtype), input);
}

void lower_onnx_batch_norm(OnnxLowering& l, const Node& node) {
  const std::int64_t channels = l.graph.type(node.inputs[3]).shape[0].size();
  const int scale = onnx_vector(l, node, "weight", channels, 1), shift = onnx_vector(l, node, "bias", channels, 0);
  l.give(node.outputs[0], l.add("BatchNormalization", {l[node.inputs[0]], scale, shift, l[node.inputs[3]], l[node.inputs[4]]},
                                {{"epsilon", node.attr("eps")}}));
}

// x normalised over `axes`, in single operators.
int onnx_statistics(OnnxLowering& l, const Node& node, int x, const Ints& axes) {
  const auto mean = [&](int v) {
    return l.opset < 18 ? l.add("ReduceMean", {v}, {{"axes", axes}}) : l.add("ReduceMean", {v, l.ints(axes, "axes")});
  };
  const DType type = l.graph.type(node.inputs[0]).dtype;
  const int centred = l.add("Sub", {x, mean(x)});
  const int variance = l.add("Add", {mean(l.add("Mul", {centred, centred})), l.scalar(node.number("eps"), type)});
  return l.add("Div", {centred, l.add("Sqrt", {variance})});
}

void lower_onnx_layer_norm(OnnxLowering& l, const Node& node) {
  const Ints& last = node.ints("normalized_shape");
  const auto rank = static_cast<std::int64_t>(l.graph.type(node.inputs[0]).shape.size()),
             axis = rank - static_cast<std::int64_t>(last.size());
  const int x = l[node.inputs[0]];
  const bool affine = has_input(node, "weight"), shifted = has_input(node, "bias");
  if (l.opset >= 17) {
    int scale = affine ? l[node.inputs[1]] : -1;
    if (!affine) {
      Tensor ones = Tensor::allocate(DType::float32, last);
      for (float& f : ones.mutable_as<float>()) f = 1;
      scale = l.constant(ones.cast(l.graph.type(node.inputs[0]).dtype), "weight");
    }
    return l.give(node.outputs[0], l.add("LayerNormalization", {x, scale, shifted ? l[node.inputs[2]] : -1},
                                         {{"axis", axis}, {"epsilon", node.attr("eps")}}));
  }
  Ints axes;
  for (std::int64_t i = axis; i < rank; ++i) axes.push_back(i);
  int y = onnx_statistics(l, node, x, axes);
  if (affine) y = l.add("Mul", {y, l[node.inputs[1]]});
  l.give(node.outputs[0], shifted ? l.add("Add", {y, l[node.inputs[2]]}) : y);
}

// The groups as channels of an instance norm; then each channel's own scale and offset.
void lower_onnx_group_norm(OnnxLowering& l, const Node& node) {
  const Shape& shape = l.graph.type(node.inputs[0]).shape;
  const std::int64_t groups = node.integer("num_groups");
  Tensor ones = Tensor::allocate(DType::float32, {groups});
  for (float& f : ones.mutable_as<float>()) f = 1;
  const DType type = l.graph.type(node.inputs[0]).dtype;
  const int scale = l.constant(ones.cast(type), "ones"), shift = l.constant(Tensor::allocate(type, {groups}), "zeros");
  const int split = l.add("Reshape", {l[node.inputs[0]], l.ints({0, groups, -1}, "split")});
  const int normal = l.add("InstanceNormalization", {split, scale, shift}, {{"epsilon", node.attr("eps")}});
  Ints merged;
  for (const Dim& d : shape) merged.push_back(d.known() ? d.size() : -1);
  if (std::count(merged.begin(), merged.end(), -1) > 1) l.refuse(node, "it has more than one open size; give them with --dim NAME=SIZE");
  int y = l.add("Reshape", {normal, l.ints(merged, "merged")});
  Ints column(shape.size() - 1, 1);
  column[0] = -1;
  const auto each = [&](int v) { return column.size() == 1 ? v : l.add("Reshape", {v, l.ints(column, "column")}); };
  if (has_input(node, "weight")) y = l.add("Mul", {y, each(l[node.inputs[1]])});
  l.give(node.outputs[0], has_input(node, "bias") ? l.add("Add", {y, each(l[node.inputs[2]])}) : y);
}

void lower_onnx_instance_norm(OnnxLowering& l, const Node& node) {
  const std::int64_t channels = l.graph.type(node.inputs[0]).shape[1].size();
  const int scale = onnx_vector(l, node, "weight", channels, 1), shift = onnx_vector(l, node, "bias", channels, 0);
  l.give(node.outputs[0], l.add("InstanceNormalization", {l[node.inputs[0]], scale, shift}, {{"epsilon", node.attr("eps")}}));
}

std::vector<Input> norm_inputs(std::string_view x, std::string_view size) {
  return {{"x", x}, {"weight", size, Role::optional_parameter}, {"bias", size, Role::optional_parameter}};
}

// ---- source text ----------------------------------------------------------------------------------------------------

constexpr std::string_view batch_norm_source = R"py(
def batch_norm(x, running_mean, running_var, weight=None, bias=None, eps=1e-05):
    """Normalises by stored statistics, which gradients leave alone."""
    mean, var = jax.lax.stop_gradient((running_mean, running_var))
    scale = jax.lax.rsqrt(var + eps)
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    shape = (-1, *(1,) * (x.ndim - 2))
    return x * scale.reshape(shape) + shift.reshape(shape)
)py";

constexpr std::string_view batch_norm_init_source = R"py(
def batch_norm_init(features, affine=True, bias=True):
    """The weights of batch_norm, and its statistics."""
    params = affine_init((features,), affine, bias)
    return params | {
        "running_mean": jnp.zeros(features),
        "running_var": jnp.ones(features),
    }
)py";

constexpr std::string_view normalised_source = R"py(
def normalised(x, axes, eps):
    """x with mean 0 and variance 1 over these axes."""
    mean = jnp.mean(x, axis=axes, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(jnp.var(x, axis=axes, keepdims=True) + eps)
)py";

constexpr std::string_view scaled_source = R"py(
def scaled(x, weight, bias):
    """x times a number for each channel, plus one."""
    shape = (-1, *(1,) * (x.ndim - 2))
    x = x if weight is None else x * weight.reshape(shape)
    return x if bias is None else x + bias.reshape(shape)
)py";

constexpr std::string_view layer_norm_source = R"py(
def layer_norm(x, shape, weight=None, bias=None, eps=1e-05):
    """Normalises over the last axes, those of the shape."""
    axes = 1 if isinstance(shape, int) else len(shape)
    x = normalised(x, tuple(range(-axes, 0)), eps)
    x = x if weight is None else x * weight
    return x if bias is None else x + bias
)py";

constexpr std::string_view group_norm_source = R"py(
def group_norm(x, groups, weight=None, bias=None, eps=1e-05):
    """Normalises over each group of channels."""
    y = x.reshape(x.shape[0], groups, -1)
    return scaled(normalised(y, 2, eps).reshape(x.shape), weight, bias)
)py";

constexpr std::string_view instance_norm_source = R"py(
def instance_norm(x, weight=None, bias=None, eps=1e-05):
    """Normalises each channel of each sample."""
    return scaled(normalised(x, tuple(range(2, x.ndim)), eps), weight, bias)
)py";

bool lacks_only_bias(const Node& node) { return has_input(node, "weight") && !has_input(node, "bias"); }

// torch.nn has a class for each number of axes, and no switch for the offset alone.
void source_of_batch_norm(SourceSlot& slot, const Graph& graph, std::span<const Node* const> nodes) {
  const std::size_t rank = graph.type(nodes[0]->inputs[0]).shape.size();
  const bool bias = !lacks_only_bias(*nodes[0]);
  constexpr std::string_view texts[3][2] = {
      {"nn.BatchNorm1d({features}, eps={eps?}, affine={affine?})", "without(nn.BatchNorm1d({features}, eps={eps?}), \"bias\")"},
      {"nn.BatchNorm2d({features}, eps={eps?}, affine={affine?})", "without(nn.BatchNorm2d({features}, eps={eps?}), \"bias\")"},
      {"nn.BatchNorm3d({features}, eps={eps?}, affine={affine?})", "without(nn.BatchNorm3d({features}, eps={eps?}), \"bias\")"}};
  slot.torch_module = texts[rank <= 3 ? 0 : rank == 4 ? 1 : 2][bias ? 0 : 1];
  if (!bias) slot.torch_helpers = {torch_text::without};
}

void source_of_group_norm(SourceSlot& slot, const Graph&, std::span<const Node* const> nodes) {
  if (!lacks_only_bias(*nodes[0])) return;
  slot.torch_module = "without(nn.GroupNorm({num_groups}, {channels}, eps={eps?}), \"bias\")";
  slot.torch_helpers = {torch_text::without};
}

void source_of_instance_norm(SourceSlot& slot, const Graph& graph, std::span<const Node* const> nodes) {
  const std::size_t rank = graph.type(nodes[0]->inputs[0]).shape.size();
  const bool bias = !lacks_only_bias(*nodes[0]);
  constexpr std::string_view texts[3][2] = {{"nn.InstanceNorm1d({features}, eps={eps?}, affine={affine?})",
                                             "without(nn.InstanceNorm1d({features}, eps={eps?}, affine=True), \"bias\")"},
                                            {"nn.InstanceNorm2d({features}, eps={eps?}, affine={affine?})",
                                             "without(nn.InstanceNorm2d({features}, eps={eps?}, affine=True), \"bias\")"},
                                            {"nn.InstanceNorm3d({features}, eps={eps?}, affine={affine?})",
                                             "without(nn.InstanceNorm3d({features}, eps={eps?}, affine=True), \"bias\")"}};
  slot.torch_module = texts[rank <= 3 ? 0 : rank == 4 ? 1 : 2][bias ? 0 : 1];
  if (!bias) slot.torch_helpers = {torch_text::without};
}

// ---- Keras ----------------------------------------------------------------------------------------------------------

// What the layers of normalisation share: gamma and beta where the node has them.
std::vector<KerasWeight> keras_learned(KerasLowering& k, const Node& node, std::vector<KerasEntry>& config) {
  std::vector<KerasWeight> weights;
  config.push_back({"epsilon", node.number("eps"), "$eps"});
  if (has_input(node, "weight"))
    weights.push_back(k.weight(node, "weight", "gamma"));
  else
    config.push_back({"scale", false});
  if (has_input(node, "bias"))
    weights.push_back(k.weight(node, "bias", "beta"));
  else
    config.push_back({"center", false});
  return weights;
}

// PyTorch's momentum of 0.1 is the share of the new, Keras's 0.9 that of the old.
void keras_batch_norm(KerasLowering& k, const Node& node) {
  std::vector<KerasEntry> config = {{"momentum", 0.9}};
  std::vector<KerasWeight> weights = keras_learned(k, node, config);
  weights.push_back(k.weight(node, "running_mean", "moving_mean"));
  weights.push_back(k.weight(node, "running_var", "moving_variance"));
  const ValueId out = node.outputs[0];
  k.give_channels_last(out, k.add("BatchNormalization", {KerasRef{k.channels_last(node.inputs[0])}},
                                  keras::channels_last(k.graph.type(out)), config, weights));
}

void keras_layer_norm(KerasLowering& k, const Node& node) {
  const ValueId out = node.outputs[0];
  const auto rank = static_cast<std::int64_t>(k.graph.type(out).shape.size());
  const auto normalized = static_cast<std::int64_t>(node.ints("normalized_shape").size());
  if (rank == normalized) k.touch(0);
  Ints axes;
  for (std::int64_t i = rank - normalized; i < rank; ++i) axes.push_back(i);
  std::vector<KerasEntry> config = {{"axis", normalized == 1 ? Attr(std::int64_t{-1}) : Attr(axes)}};
  const std::vector<KerasWeight> weights = keras_learned(k, node, config);
  k.give_source_order(out, k.add("LayerNormalization", {KerasRef{k.source_order(node.inputs[0])}}, k.graph.type(out), config, weights));
}

// Instance normalisation is that of as many groups as there are channels.
void keras_group_norm(KerasLowering& k, const Node& node) {
  const ValueId out = node.outputs[0];
  const Type type = keras::channels_last(k.graph.type(out));
  const bool instance = node.op->name == "instance_norm";
  std::vector<KerasEntry> config = {
      {"groups", instance ? type.shape.back().size() : node.integer("num_groups"), instance ? "$features" : "$num_groups"}};
  const std::vector<KerasWeight> weights = keras_learned(k, node, config);
  k.give_channels_last(out, k.add("GroupNormalization", {KerasRef{k.channels_last(node.inputs[0])}}, type, config, weights));
}

// gamma and beta are there as the layer scales and centers; the axes are the last but where it says otherwise.
std::vector<ValueId> convert_keras_norm(Builder& b, const ForeignNode& node) {
  const bool scale = flag(node, "scale", true), center = flag(node, "center", true);
  const ValueId x = tfl_in::input(node, 0);
  const ValueId weight = scale ? keras_in::variable(node, 0) : absent, bias = center ? keras_in::variable(node, scale ? 1 : 0) : absent;
  const int learned_count = int(scale) + int(center);
  const NamedAttr eps{"eps", number(node, "epsilon", 1e-3)};
  const auto rank = static_cast<std::int64_t>(b.type(x).shape.size());
  const Ints axes =
      node.attr("axis") && std::holds_alternative<Ints>(*node.attr("axis")) ? ints(node, "axis") : Ints{integer(node, "axis", -1)};
  const std::int64_t first = axes.at(0) < 0 ? axes[0] + rank : axes[0];
  if (first + static_cast<std::int64_t>(axes.size()) != rank)
    refuse(node, fmt::format("'{}' over axes that are not the last", node.target));
  if (node.target == "LayerNormalization") {
    const Sizes shape = tfl_in::shape_of(b, node, x);
    return {b("layer_norm", {x, weight, bias}, {{"normalized_shape", Ints(shape.begin() + first, shape.end())}, eps})};
  }
  const ValueId image = tfl_in::channels_first(b, x);
  if (node.target == "GroupNormalization") {
    std::int64_t groups = integer(node, "groups", 32);
    if (groups == -1) groups = tfl_in::shape_of(b, node, x).back();
    return {tfl_in::channels_last(b, b("group_norm", {image, weight, bias}, {{"num_groups", groups}, eps}))};
  }
  const ValueId mean = keras_in::variable(node, learned_count), variance = keras_in::variable(node, learned_count + 1);
  return {tfl_in::channels_last(b, b("batch_norm", {image, weight, bias, mean, variance}, {eps}))};
}

OpDef batch_norm_def() {
  std::vector<Input> inputs = norm_inputs("[N, C, …]", "[C]");
  inputs.push_back({"running_mean", "[C]", Role::parameter});
  inputs.push_back({"running_var", "[C]", Role::parameter});
  return {
      .name = "batch_norm",
      .doc = "(x - running_mean) / sqrt(running_var + eps) * weight + bias, channel by channel. Inference only: the statistics are stored.",
      .inputs = inputs,
      .attrs = {eps_attr()},
      .hyper = channel_hyper("features"),
      .rules = norm_rules(),
      .infer = infer_batch_norm,
      .eval = eval_batch_norm,
      .flops = flops,
      .parameters = batch_norm_parameters,
      .hyper_of = batch_norm_hyper,
      .layout = {LayoutRule::spatial},
      .torch = {{.target = "aten.batch_norm.default", .convert = convert_batch_norm},
                {.target = "aten._native_batch_norm_legit.no_stats", .convert = convert_norm_of_batch},
                {"aten._native_batch_norm_legit_no_training.default", "x=input =momentum"}},
      .onnx = {{.target = "BatchNormalization", .convert = convert_onnx_batch_norm}},
      .keras_in = {{"BatchNormalization", "", 0, convert_keras_norm}},
      .tflite = {.lower = lower_batch_norm},
      .onnx_out = {.lower = lower_onnx_batch_norm},
      .keras = {.lower = keras_batch_norm},
      .source = {.torch = "F.batch_norm({x}, {running_mean}, {running_var}, {weight}, {bias}, eps={eps})",
                 .keras = "keras.ops.batch_normalization({x}, {running_mean}, {running_var}, -1, {bias}, {weight}, {eps})",
                 .jax = "batch_norm({x}, {parameters}, eps={eps?})",
                 .torch_module = "nn.BatchNorm2d({features}, eps={eps?}, affine={affine?})",
                 .jax_init = "batch_norm_init({features}, affine={affine?}, bias={bias?})",
                 .jax_helpers = {jax::affine_init, batch_norm_source, batch_norm_init_source}},
      .source_for = source_of_batch_norm,
      .quant = {QuantRule::own_range},
      .examples = {"batch_norm(x: float32[2, 5, 4, 3], features: 5)",
                   "batch_norm(x: float32[3, 4], features: 4, affine: false, eps: 0.001)",
                   "batch_norm(x: float32[2, 3, 7], features: 3, bias: false)"}};
}

OpDef layer_norm_def() {
  return {.name = "layer_norm",
          .doc = "Brings the last axes to mean 0 and variance 1, then scales and shifts them element by element.",
          .inputs = norm_inputs("[…, normalized_shape]", "[normalized_shape]"),
          .attrs = {{"normalized_shape", AttrKind::ints, {}, "sizes of the last axes, over which the statistics are taken"}, eps_attr()},
          .hyper = learned_hyper(),
          .rules = norm_rules(),
          .infer = infer::over_last_axes,
          .eval = eval_layer_norm,
          .flops = flops,
          .parameters = layer_norm_parameters,
          .hyper_of = [](const Graph&, const Node& node) { return learned_of(node); },
          .layout = {LayoutRule::fixed},
          .torch = {{"aten.layer_norm.default", "x=input =cudnn_enable"}, {"aten.native_layer_norm.default", "x=input"}},
          .onnx = {{.target = "LayerNormalization", .since = 17, .convert = convert_onnx_layer_norm}},
          .keras_in = {{"LayerNormalization", "", 0, convert_keras_norm}},
          .tflite = {.lower = lower_layer_norm},
          .onnx_out = {.lower = lower_onnx_layer_norm},
          .keras = {.lower = keras_layer_norm},
          .source = {.torch = "F.layer_norm({x}, {normalized_shape}, {weight}, {bias}, {eps})",
                     .jax = "layer_norm({x}, {normalized_shape}, {parameters}, eps={eps?})",
                     .torch_module = "nn.LayerNorm({normalized_shape!}, eps={eps?}, elementwise_affine={affine?}, bias={bias?})",
                     .jax_init = "affine_init({normalized_shape}, affine={affine?}, bias={bias?})",
                     .jax_helpers = {jax::affine_init, normalised_source, layer_norm_source}},
          .quant = {QuantRule::float_only},
          .examples = {"layer_norm(x: float32[2, 5, 8], normalized_shape: 8)",
                       "layer_norm(x: float32[2, 3, 4, 5], normalized_shape: [4, 5], bias: false, eps: 0.001)",
                       "layer_norm(x: float32[2, 3, 4, 5], normalized_shape: [3, 4, 5], affine: false)"}};
}

OpDef group_norm_def() {
  return {.name = "group_norm",
          .doc = "Brings each group of channels to mean 0 and variance 1, then scales and shifts channel by channel.",
          .inputs = norm_inputs("[N, C, …]", "[C]"),
          .attrs = {{"num_groups", AttrKind::integer, {}, "number of groups"}, eps_attr()},
          .hyper = channel_hyper("channels"),
          .rules = {norm_rules()[0], {"x.shape[1] divisible by num_groups", groups_divide}},
          .infer = infer_channel_norm,
          .eval = eval_group_norm,
          .flops = flops,
          .parameters = group_norm_parameters,
          .hyper_of = channel_norm_hyper<channels_word>,
          .layout = {LayoutRule::spatial},
          .torch = {{"aten.group_norm.default", "x=input =cudnn_enabled"},
                    {"aten.native_group_norm.default", "x=input num_groups=group =N =C =HxW"}},
          .onnx = {{.target = "GroupNormalization", .since = 18, .convert = convert_onnx_group_norm<true>},
                   {.target = "GroupNormalization", .since = 21, .convert = convert_onnx_group_norm<false>}},
          .keras_in = {{"GroupNormalization", "", 0, convert_keras_norm}},
          .tflite = {.lower = lower_group_norm},
          .onnx_out = {.lower = lower_onnx_group_norm},
          .keras = {.lower = keras_group_norm},
          .source = {.torch = "F.group_norm({x}, {num_groups}, {weight}, {bias}, {eps})",
                     .jax = "group_norm({x}, {num_groups}, {parameters}, eps={eps?})",
                     .torch_module = "nn.GroupNorm({num_groups}, {channels}, eps={eps?}, affine={affine?})",
                     .jax_init = "affine_init(({channels},), affine={affine?}, bias={bias?})",
                     .jax_helpers = {jax::affine_init, normalised_source, scaled_source, group_norm_source}},
          .source_for = source_of_group_norm,
          .quant = {QuantRule::float_only},
          .examples = {"group_norm(x: float32[2, 6, 4, 3], num_groups: 2, channels: 6)",
                       "group_norm(x: float32[2, 6, 5], num_groups: 6, channels: 6, affine: false)",
                       "group_norm(x: float32[3, 4], num_groups: 2, channels: 4)"}};
}

OpDef instance_norm_def() {
  return {
      .name = "instance_norm",
      .doc = "Brings each channel of each sample to mean 0 and variance 1, then scales and shifts channel by channel.",
      .inputs = norm_inputs("[N, C, spatial…]", "[C]"),
      .attrs = {eps_attr()},
      .hyper = channel_hyper("features", false),
      .rules = {norm_rules()[0], {"x has rank 3 or more", has_places}},
      .infer = infer_channel_norm,
      .eval = eval_instance_norm,
      .flops = flops,
      .parameters = instance_norm_parameters,
      .hyper_of = channel_norm_hyper<features_word>,
      .layout = {LayoutRule::spatial},
      .torch = {{.target = "aten.instance_norm.default", .convert = convert_instance_norm}},
      .onnx = {{.target = "InstanceNormalization", .convert = convert_onnx_instance_norm}},
      .tflite = {.lower = lower_instance_norm},
      .onnx_out = {.lower = lower_onnx_instance_norm},
      .keras = {.lower = keras_group_norm},
      .source = {.torch = "F.instance_norm({x}, None, None, {weight}, {bias}, True, 0.1, {eps})",
                 .jax = "instance_norm({x}, {parameters}, eps={eps?})",
                 .torch_module = "nn.InstanceNorm2d({features}, eps={eps?}, affine={affine?})",
                 .jax_init = "affine_init(({features},), affine={affine}, bias={bias?})",
                 .jax_helpers = {jax::affine_init, normalised_source, scaled_source, instance_norm_source}},
      .source_for = source_of_instance_norm,
      .quant = {QuantRule::float_only},
      .examples = {"instance_norm(x: float32[2, 3, 5, 6], features: 3)", "instance_norm(x: float32[2, 4, 9], features: 4, affine: true)"}};
}

}  // namespace

OpList norm() {
  static const OpDef defs[] = {batch_norm_def(), layer_norm_def(), group_norm_def(), instance_norm_def()};
  return defs;
}

}  // namespace wherry::ops
