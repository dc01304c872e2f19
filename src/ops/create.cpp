// Tensors out of nothing. Constant folding turns them into constants.
#include "ops/all_ops.h"
#include "ops/elementwise.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/onnx.h"
#include "ops/tflite_in.h"

#include <limits>

namespace wherry::ops {

namespace {

DType dtype_of(const Node& node) { return std::get<DType>(node.attr("dtype")); }

std::vector<Type> infer_full(const OpTypes& t) {
  for (const std::int64_t s : t.node.ints("size"))
    if (s < 0) infer::fault(fmt::format("size {} holds a negative number", text(t.node.attr("size"))), "E503");
  return {{dtype_of(t.node), to_shape(t.node.ints("size"))}};
}

void eval_full(OpValues& v) {
  with_type(v.node, v.out().dtype(), [&](auto zero) {
    using T = decltype(zero);
    for (T& y : v.out().mutable_as<T>()) y = static_cast<T>(v.node.number("fill_value"));
  });
}

std::vector<Type> infer_arange(const OpTypes& t) {
  const double start = t.node.number("start"), end = t.node.number("end"), step = t.node.number("step");
  if (step == 0 || (end - start) / step < 0 || !std::isfinite((end - start) / step))
    infer::fault(fmt::format("arange from {} to {} by {} does not end", start, end, step));
  const double count = std::ceil((end - start) / step);
  if (count > 9e15) infer::fault("arange has too many elements", "E503");
  return {{dtype_of(t.node), {Dim(static_cast<std::int64_t>(count))}}};
}

void eval_arange(OpValues& v) {
  const double start = v.node.number("start"), step = v.node.number("step");
  with_type(v.node, v.out().dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto out = v.out().mutable_as<T>();
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<T>(start + static_cast<double>(i) * step);
  });
}

// What folding left, an output of the model: a constant.
template <EvalFn eval, class Target>
void lower(Target& l, const Node& node) {
  const Type& type = l.graph.type(node.outputs[0]);
  std::vector<Tensor> out{Tensor::allocate(is_float(type.dtype) ? DType::float32 : type.dtype, sizes(type.shape))};
  OpValues values{node, {}, out};
  eval(values);
  l.give_source_order(node.outputs[0], l.constant(out[0].cast(type.dtype)));
}

// One number in every place of x.
ValueId everywhere(Builder& b, ValueId x, ValueId number) { return b("where", {b("eq", {x, x}), number, number}); }

// A tensor of one number with one size that is known when the model runs: it follows an input that has this size.
ValueId open_full(Builder& b, const ForeignNode& node, const Shape& shape, double fill, DType type) {
  const auto open = std::find_if(shape.begin(), shape.end(), [](const Dim& d) { return !d.known(); });
  const auto same = [&](const Dim& d) { return d == *open; };
  const bool one = std::count_if(shape.begin(), shape.end(), [](const Dim& d) { return !d.known(); }) == 1;
  for (const Port& input : b.graph().inputs) {
    const Shape& has = b.type(input.value).shape;
    const auto axis = std::find_if(has.begin(), has.end(), same) - has.begin();
    if (!one || axis == std::ssize(has)) continue;
    ValueId line = input.value;
    for (auto i = std::ssize(has); i-- > 0;)
      if (i != axis) line = b("select", {line}, {{"dim", static_cast<std::int64_t>(i)}, {"index", std::int64_t{0}}});
    const ValueId number = b.scalar(fill, type);
    Ints column, whole;
    for (const Dim& d : shape) column.push_back(d.known() ? 1 : -1), whole.push_back(d.known() ? d.size() : -1);
    const ValueId filled = everywhere(b, line, number);
    return b("expand", {b("reshape", {filled}, {{"shape", column}})}, {{"size", whole}});
  }
  refuse(node, fmt::format("'{}' makes a tensor of {}, whose size is not known", node.target, text(shape)));
}

// zeros, ones, full and their new_ forms: `value` is what fills, or nothing where fill_value says it.
template <Word value>
std::vector<ValueId> convert_full(Builder& b, const ForeignNode& node) {
  const std::string_view fixed = value;
  const bool like = std::string_view(node.target).find("_like") != std::string_view::npos;
  const Shape shape = like                        ? b.type(node.value("self")).shape
                      : node.output_types.empty() ? to_shape(ints(node, "size"))
                                                  : node.output_types[0].shape;
  double fill = fixed.empty() ? 0 : fixed == "0" ? 0 : 1;
  DType type = node.find("self") ? b.type(node.value("self")).dtype : DType::float32;
  if (fixed.empty()) {
    const Attr* attr = node.attr("fill_value");
    const bool* truth = attr ? std::get_if<bool>(attr) : nullptr;
    fill = truth ? (*truth ? 1 : 0) : number(node, "fill_value");
    if (!node.find("self") && attr && std::holds_alternative<std::int64_t>(*attr)) type = DType::int64;
    if (!node.find("self") && truth) type = DType::boolean;
  }
  const DType gives = stated_dtype(node).value_or(type);
  if (!is_static(shape) && like) return {everywhere(b, node.value("self"), b.scalar(fill, gives))};
  if (!is_static(shape)) return {open_full(b, node, shape, fill, gives)};
  return {b("full", {}, {{"size", Ints(sizes(shape))}, {"fill_value", fill}, {"dtype", gives}})};
}

std::vector<ValueId> convert_scalar_tensor(Builder& b, const ForeignNode& node) {
  return {b("full", {}, {{"size", Ints{}}, {"fill_value", number(node, "s")}, {"dtype", stated_dtype(node).value_or(DType::float32)}})};
}

std::vector<ValueId> convert_arange(Builder& b, const ForeignNode& node) {
  bool whole = true;
  for (const std::string_view name : {"start", "end", "step"})
    if (const Attr* attr = node.attr(name)) whole = whole && !std::holds_alternative<double>(*attr);
  const DType type = stated_dtype(node).value_or(whole ? DType::int64 : DType::float32);
  return {b("arange", {},
            {{"start", number(node, "start", 0)}, {"end", number(node, "end")}, {"step", number(node, "step", 1)}, {"dtype", type}})};
}

const AttrDef dtype_attr{"dtype", AttrKind::dtype, DType::float32, "the data type"};

// A tensor's shape is known here: a constant.
std::vector<ValueId> convert_tflite_shape(Builder& b, const ForeignNode& node) {
  const Sizes shape = tfl_in::shape_of(b, node, tfl_in::input(node, 0));
  return {b.constant(Tensor::from<std::int64_t>(shape, {static_cast<std::int64_t>(shape.size())}).cast(node.output_types.at(0).dtype))};
}

// ---- ONNX: what the model is told when it is read ----

std::vector<ValueId> convert_onnx_full(Builder& b, const ForeignNode& node) {
  const Tensor* size = onnx::fixed(b, node, 0, "shape");
  if (!size) refuse(node, "'ConstantOfShape' lacks its shape");
  double fill = 0;
  DType type = DType::float32;
  if (const ForeignArg* value = node.find("value")) {
    const Tensor& tensor = *b.graph()[std::get<ValueId>(value->value)].constant;
    if (tensor.count() != 1) refuse(node, fmt::format("the value of 'ConstantOfShape' has {} elements, expected one", tensor.count()));
    fill = tensor.item(), type = tensor.dtype();
  }
  return {b("full", {}, {{"size", size->to_ints()}, {"fill_value", fill}, {"dtype", type}})};
}

// Ones along a diagonal, `k` to the right of the main one.
std::vector<ValueId> convert_onnx_eye(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0);
  const Sizes shape = onnx::static_shape(b, node, x);
  if (shape.size() != 2) refuse(node, fmt::format("'EyeLike' takes a matrix, not {}", text(b.type(x))));
  const DType type = given(node, "dtype") ? onnx::dtype(node, "dtype") : b.type(x).dtype;
  const std::int64_t k = integer(node, "k", 0);
  std::vector<float> ones;
  for (std::int64_t i = 0; i < shape[0]; ++i)
    for (std::int64_t j = 0; j < shape[1]; ++j) ones.push_back(j - i == k ? 1 : 0);
  return {b.constant(Tensor::from(ones, shape).cast(type), b.path())};
}

// The sizes from start to end (opset 15), as they are when the model is read.
std::vector<ValueId> convert_onnx_shape(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0);
  const std::int64_t rank = onnx::rank(b, x);
  const auto bounded = [&](std::int64_t at) { return std::clamp<std::int64_t>(at < 0 ? at + rank : at, 0, rank); };
  const std::int64_t start = bounded(integer(node, "start", 0)), end = std::max(start, bounded(integer(node, "end", rank)));
  const Shape& shape = b.type(x).shape;
  const Shape part(shape.begin() + start, shape.begin() + end);
  return {b.ints(is_static(part) ? sizes(part) : onnx::static_shape(b, node, x))};
}

std::vector<ValueId> convert_onnx_size(Builder& b, const ForeignNode& node) {
  const std::int64_t count = element_count(onnx::static_shape(b, node, onnx::required(node, 0)));
  return {b.scalar(static_cast<double>(count), DType::int64)};
}

std::vector<ValueId> convert_onnx_range(Builder& b, const ForeignNode& node) {
  const auto end = [&](int index, std::string_view name) {
    const std::optional<double> value = onnx::fixed_number(b, node, index, name);
    if (!value) refuse(node, fmt::format("'Range' lacks its {}", name));
    return *value;
  };
  const double start = end(0, "start"), step = end(2, "delta");
  double limit = end(1, "limit");
  if ((limit - start) * step < 0) limit = start;  // nothing
  return {b("arange", {}, {{"start", start}, {"end", limit}, {"step", step}, {"dtype", b.type(onnx::required(node, 0)).dtype}})};
}

// A weight of the file: ONNX makes such tensors from others only.
template <EvalFn eval>
void lower_onnx(OnnxLowering& l, const Node& node) {
  const Type& type = l.graph.type(node.outputs[0]);
  std::vector<Tensor> out{Tensor::allocate(is_float(type.dtype) ? DType::float32 : type.dtype, sizes(type.shape))};
  OpValues values{node, {}, out};
  eval(values);
  l.give(node.outputs[0], l.constant(out[0].cast(type.dtype), "value"));
}

}  // namespace

OpList create() {
  static const OpDef defs[] = {
      {.name = "full",
       .doc = "A tensor of one number.",
       .inputs = {},
       .attrs = {{"size", AttrKind::ints, {}, "the sizes"}, {"fill_value", AttrKind::number, 0.0, "the number"}, dtype_attr},
       .infer = infer_full,
       .eval = eval_full,
       .torch = {{"aten.full.default", "", 0, convert_full<"">},
                 {"aten.full_like.default", "", 0, convert_full<"">},
                 {"aten.new_full.default", "", 0, convert_full<"">},
                 {"aten.zeros.default", "", 0, convert_full<"0">},
                 {"aten.empty.memory_format", "", 0, convert_full<"0">},  // memory that something else fills
                 {"aten.zeros_like.default", "", 0, convert_full<"0">},
                 {"aten.new_zeros.default", "", 0, convert_full<"0">},
                 {"aten.ones.default", "", 0, convert_full<"1">},
                 {"aten.ones_like.default", "", 0, convert_full<"1">},
                 {"aten.new_ones.default", "", 0, convert_full<"1">},
                 {"aten.scalar_tensor.default", "", 0, convert_scalar_tensor}},
       .onnx = {{.target = "ConstantOfShape", .since = 9, .convert = convert_onnx_full},
                {.target = "EyeLike", .since = 9, .convert = convert_onnx_eye},
                {.target = "Shape", .convert = convert_onnx_shape},
                {.target = "Size", .convert = convert_onnx_size}},
       .tflite_in = {{"SHAPE", "", 0, convert_tflite_shape}},
       .tflite = {.lower = lower<eval_full, TflLowering>},
       .onnx_out = {.lower = lower_onnx<eval_full>},
       .keras = {.lower = lower<eval_full, KerasLowering>},
       .source = {.torch = "torch.full({size}, {fill_value}, dtype={dtype})",
                  .keras = "keras.ops.full({size}, {fill_value})",
                  .jax = "jnp.full({size}, {fill_value}, dtype={dtype})"},
       .examples = {"full(size: [2, 3], fill_value: 0.5)", "full(size: [], fill_value: 3, dtype: int64)"}},
      {.name = "arange",
       .doc = "Numbers from start up to but not including end.",
       .inputs = {},
       .attrs = {{"start", AttrKind::number, 0.0, "the first number"},
                 {"end", AttrKind::number, {}, "where it ends"},
                 {"step", AttrKind::number, 1.0, "the distance between two"},
                 dtype_attr},
       .infer = infer_arange,
       .eval = eval_arange,
       .torch = {{"aten.arange.default", "", 0, convert_arange},
                 {"aten.arange.start", "", 0, convert_arange},
                 {"aten.arange.start_step", "", 0, convert_arange}},
       .onnx = {{.target = "Range", .since = 11, .convert = convert_onnx_range}},
       .tflite = {.lower = lower<eval_arange, TflLowering>},
       .onnx_out = {.lower = lower_onnx<eval_arange>},
       .keras = {.lower = lower<eval_arange, KerasLowering>},
       .source = {.torch = "torch.arange({start}, {end}, {step}, dtype={dtype})",
                  .keras = "keras.ops.arange({start}, {end}, {step})",
                  .jax = "jnp.arange({start}, {end}, {step}, dtype={dtype})"},
       .examples = {"arange(end: 5, dtype: int64)", "arange(start: 1, end: 2, step: 0.25)"}},
  };
  return defs;
}

}  // namespace wherry::ops
