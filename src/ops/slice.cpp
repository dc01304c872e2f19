// Parts of a tensor, by position.
#include "ops/all_ops.h"
#include "ops/axes.h"
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

struct Range {
  std::int64_t start = 0, end = 0, step = 1;
};

// start and end as Python's slices mean them, for an axis of that size.
Range range_of(const Node& node, std::int64_t size) {
  const auto clip = [size](std::int64_t at) { return std::clamp<std::int64_t>(at < 0 ? at + size : at, 0, size); };
  Range r{clip(node.integer("start")), node.is_none("end") ? size : clip(node.integer("end")), node.integer("step")};
  r.end = std::max(r.end, r.start);
  r.step = std::min(r.step, std::max<std::int64_t>(size, 1));  // a longer step takes the first element as well
  return r;
}

std::vector<Type> infer_slice(const OpTypes& t) {
  Type out = t["x"];
  const int axis = infer::axis(t.node.integer("dim"), static_cast<int>(out.shape.size()));
  Dim& size = out.shape[static_cast<std::size_t>(axis)];
  const std::int64_t step = t.node.integer("step");
  if (step < 1) infer::fault(fmt::format("step {} is not positive", step));
  if (size.known()) {
    const Range r = range_of(t.node, size.size());
    size = Dim((r.end - r.start + r.step - 1) / r.step);
    return {out};
  }
  const std::int64_t start = std::max<std::int64_t>(t.node.integer("start"), -(std::int64_t{1} << 60));
  if (t.node.is_none("end") && start >= 0)
    size = ceil_div(size - Dim(start), Dim(step));
  else if (t.node.is_none("end"))
    size = ceil_div(Dim(-start), Dim(step));
  else if (const std::int64_t end = t.node.integer("end"); end < 0 && start >= 0)
    size = ceil_div(size - Dim(start - end), Dim(step));
  else
    infer::fault(fmt::format("how much [{}:{}] takes of an axis of size {} is not known", start, end, size.text()), "E504");
  return {out};
}

void eval_slice(OpValues& v) {
  const Tensor& x = v["x"];
  const auto axis = static_cast<std::size_t>(infer::axis(v.node.integer("dim"), x.rank()));
  const Range r = range_of(v.node, x.sizes()[axis]);
  Sizes strides = contiguous_strides(x.sizes());
  const std::int64_t offset = r.start * strides[axis];
  strides[axis] *= r.step;
  copy_view(x, offset, strides, v.out());
}

void lower_slice(TflLowering& l, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Order order = l.order(x);
  const int tensor = l.as_is(x);
  const auto axis = static_cast<std::size_t>(infer::axis(node.integer("dim"), static_cast<int>(order.size())));
  const auto at = static_cast<std::size_t>(order[axis]);
  const Range r = range_of(node, l.graph.type(x).shape[axis].size());
  const Type type = ordered(l.graph.type(out), order);
  const Sizes whole = l.tensor(tensor).sizes;
  if (sizes(type.shape) == whole) return l.give(out, tensor, order);
  Ints begin(order.size()), end = whole, step(order.size(), 1);
  begin[at] = r.start, end[at] = r.end, step[at] = r.step;
  if (r.step == 1) {
    end[at] -= begin[at];
    l.give(out, l.add("SLICE", {tensor, tfl::int32s(l, begin), tfl::int32s(l, end)}, type), order);
  } else {
    const std::int64_t none = 0;
    l.give(out,
           l.add("STRIDED_SLICE", {tensor, tfl::int32s(l, begin), tfl::int32s(l, end), tfl::int32s(l, step)}, type,
                 {{"begin_mask", none}, {"end_mask", none}, {"ellipsis_mask", none}, {"new_axis_mask", none}, {"shrink_axis_mask", none}}),
           order);
  }
}

std::vector<ValueId> slice_node(Builder& b, ValueId x, std::int64_t dim, std::int64_t start, Attr end, std::int64_t step) {
  return {b("slice", {x}, {{"dim", dim}, {"start", start}, {"end", std::move(end)}, {"step", step}})};
}

std::vector<ValueId> convert_slice(Builder& b, const ForeignNode& node) {
  Attr end = None{};
  if (given(node, "end") && integer(node, "end") != std::numeric_limits<std::int64_t>::max()) end = integer(node, "end");
  return slice_node(b, node.value("self"), integer(node, "dim", 0), integer(node, "start", 0), end, integer(node, "step", 1));
}

std::vector<ValueId> convert_narrow(Builder& b, const ForeignNode& node) {
  const ValueId x = node.value("self");
  const std::int64_t dim = integer(node, "dim"), start = integer(node, "start"), end = start + integer(node, "length");
  return slice_node(b, x, dim, start, start < 0 && end == 0 ? Attr(None{}) : Attr(end), 1);
}

ValueId cut(Builder& b, ValueId x, std::size_t axis, std::int64_t start, std::int64_t end, std::int64_t step, std::int64_t size) {
  if (start == 0 && end == size && step == 1) return x;
  return b("slice", {x}, {{"dim", static_cast<std::int64_t>(axis)}, {"start", start}, {"end", end}, {"step", step}});
}

std::vector<ValueId> convert_tflite(Builder& b, const ForeignNode& node) {
  ValueId x = tfl_in::input(node, 0);
  const Sizes shape = tfl_in::shape_of(b, node, x);
  const Ints begin = tfl_in::constant_ints(b, node, 1), size = tfl_in::constant_ints(b, node, 2);
  if (begin.size() != shape.size() || size.size() != shape.size()) refuse(node, "SLICE with another number of axes than its tensor");
  for (std::size_t i = 0; i < shape.size(); ++i) x = cut(b, x, i, begin[i], size[i] < 0 ? shape[i] : begin[i] + size[i], 1, shape[i]);
  return {x};
}

// STRIDED_SLICE along one axis. A step of -1 is a flip of what lies between; masks say that the axis's own end is meant, or that one
// position is taken.
class Stride {
 public:
  Stride(Builder& b, const ForeignNode& node)
      : b_(b),
        node_(node),
        begin_(tfl_in::constant_ints(b, node, 1)),
        end_(tfl_in::constant_ints(b, node, 2)),
        step_(tfl_in::constant_ints(b, node, 3)) {}

  bool fits(std::size_t rank) const { return begin_.size() <= rank && end_.size() == begin_.size() && step_.size() == begin_.size(); }
  std::size_t axes() const { return begin_.size(); }

  ValueId along(ValueId x, std::size_t i, std::int64_t size) const {
    if (said("shrink_axis_mask", i)) {
      const std::int64_t at = place(begin_[i], size, 0, size - 1);
      return cut(b_, x, i, at, at + 1, 1, size);
    }
    if (step_[i] > 0) {
      const std::int64_t from = said("begin_mask", i) ? 0 : place(begin_[i], size, 0, size);
      return cut(b_, x, i, from, said("end_mask", i) ? size : place(end_[i], size, from, size), step_[i], size);
    }
    if (step_[i] != -1) refuse(node_, fmt::format("STRIDED_SLICE with the step {}", step_[i]));
    const std::int64_t last = said("begin_mask", i) ? size - 1 : place(begin_[i], size, -1, size - 1);
    const std::int64_t before = said("end_mask", i) ? -1 : place(end_[i], size, -1, last);
    return b_("flip", {cut(b_, x, i, before + 1, last + 1, 1, size)}, {{"dims", Ints{static_cast<std::int64_t>(i)}}});
  }

 private:
  bool said(const char* mask, std::size_t i) const { return (integer(node_, mask, 0) >> i & 1) != 0; }
  static std::int64_t place(std::int64_t at, std::int64_t size, std::int64_t least, std::int64_t most) {
    return std::clamp(at < 0 ? at + size : at, least, std::max(least, most));
  }
  Builder& b_;
  const ForeignNode& node_;
  Ints begin_, end_, step_;
};

std::vector<ValueId> convert_tflite_strided(Builder& b, const ForeignNode& node) {
  ValueId x = tfl_in::input(node, 0);
  const Sizes shape = tfl_in::shape_of(b, node, x);
  const Stride stride(b, node);
  if (integer(node, "ellipsis_mask", 0) != 0 || integer(node, "new_axis_mask", 0) != 0 || flag(node, "offset", false) ||
      !stride.fits(shape.size()))
    refuse(node, "STRIDED_SLICE with an ellipsis, a new axis or an offset");
  for (std::size_t i = 0; i < stride.axes(); ++i) x = stride.along(x, i, shape[i]);
  return {tfl_in::as_stated(b, node, x)};
}

// ---- source text ----------------------------------------------------------------------------------------------------

constexpr std::string_view slice_axis_source = R"py(
def slice_axis(x, dim, start=0, end=None, step=1):
    """x[start:end:step] along an axis."""
    return x[(slice(None),) * (dim % x.ndim) + (slice(start, end, step),)]
)py";

void keras_slice(KerasLowering& k, const Node& node) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const Order order = k.order(x);
  const auto axis = static_cast<std::size_t>(infer::axis(node.integer("dim"), static_cast<int>(order.size())));
  const Range r = range_of(node, k.graph.type(x).shape[axis].size());
  const std::int64_t size = k.graph.type(out).shape[axis].size();
  k.give(out, keras::slice(k, k.as_is(x), order[axis], r.start, size, ordered(k.graph.type(x), order), r.step), order);
}

// ---- ONNX ----

// One axis after the other. A negative step goes through the axis turned round: end … start become positions from behind.
std::vector<ValueId> convert_onnx(Builder& b, const ForeignNode& node) {
  ValueId x = onnx::required(node, 0);
  const auto list = [&](int index, std::string_view name, Ints fallback) {
    return onnx::fixed_ints(b, node, index, name).value_or(fallback);
  };
  const Ints starts = list(1, "starts", {}), ends = list(2, "ends", {});
  Ints every;
  for (std::size_t i = 0; i < starts.size(); ++i) every.push_back(static_cast<std::int64_t>(i));
  const Ints axes = list(3, "axes", every), steps = list(4, "steps", Ints(starts.size(), 1));
  if (ends.size() != starts.size() || axes.size() != starts.size() || steps.size() != starts.size())
    refuse(node,
           fmt::format("'Slice' has {} starts, {} ends, {} axes and {} steps", starts.size(), ends.size(), axes.size(), steps.size()));
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const int axis = infer::axis(axes[i], static_cast<int>(onnx::rank(b, x)));
    const Dim size = b.type(x).shape[static_cast<std::size_t>(axis)];
    std::int64_t start = starts[i], end = ends[i], step = steps[i];
    if (step == 0) refuse(node, "'Slice' has a step of 0");
    if (step < 0) {
      if (!size.known()) refuse(node, "'Slice' backwards needs an axis whose size is known");
      const auto from_behind = [&](std::int64_t at) {
        return size.size() - 1 - std::clamp<std::int64_t>(at < 0 ? at + size.size() : at, -1, size.size() - 1);
      };
      x = b("flip", {x}, {{"dims", Ints{axis}}});
      start = from_behind(start), end = ends[i] < -size.size() ? size.size() : from_behind(end), step = -step;
    }
    if (size.known() && end > size.size()) end = size.size();
    const bool whole = !size.known() && end > std::numeric_limits<std::int32_t>::max() - 1;
    x = slice_node(b, x, axis, start, whole || (size.known() && end == size.size()) ? Attr(None{}) : Attr(end), step).at(0);
  }
  return {starts.empty() ? b("identity", {x}) : x};
}

void lower_onnx(OnnxLowering& l, const Node& node) {
  const std::int64_t end = node.is_none("end") ? std::numeric_limits<std::int64_t>::max() : node.integer("end");
  l.give(node.outputs[0], l.add("Slice", {l[node.inputs[0]], l.ints({node.integer("start")}, "start"), l.ints({end}, "end"),
                                          l.ints({node.integer("dim")}, "axis"), l.ints({node.integer("step")}, "step")}));
}

}  // namespace

OpList slice() {
  static const OpDef defs[] = {
      {.name = "slice",
       .doc = "The part of x from start up to end along one axis, every step-th element, as x[start:end:step] means it.",
       .inputs = {{"x", "any tensor"}},
       .attrs = {{"dim", AttrKind::integer, std::int64_t{0}, "the axis"},
                 {"start", AttrKind::integer, std::int64_t{0}, "the first position; negative counts from the end"},
                 {"end", AttrKind::integer, None{}, "the position behind the last; null: the end", {}, false, true},
                 {"step", AttrKind::integer, std::int64_t{1}, "how far to go for each element"}},
       .infer = infer_slice,
       .eval = eval_slice,
       .layout = {LayoutRule::axis, "dim"},
       .torch = {{"aten.slice.Tensor", "", 0, convert_slice},
                 {"aten.narrow.default", "", 0, convert_narrow},
                 {"aten.narrow_copy.default", "", 0, convert_narrow}},
       .onnx = {{.target = "Slice", .convert = convert_onnx}},
       .tflite_in = {{"SLICE", "", 0, convert_tflite}, {"STRIDED_SLICE", "", 0, convert_tflite_strided}},
       .tflite = {.lower = lower_slice},
       .onnx_out = {.lower = lower_onnx},
       .keras = {.lower = keras_slice},
       .source = {.torch = "slice_axis({x}, {dim}, start={start?}, end={end?}, step={step?})",
                  .keras = "{x}[{start}:{end}:{step}]",
                  .jax = "slice_axis({x}, {dim}, start={start?}, end={end?}, step={step?})",
                  .torch_helpers = {slice_axis_source},
                  .jax_helpers = {slice_axis_source}},
       .quant = {QuantRule::same_scale},
       .examples = {"slice(x: float32[1, 8, 4, 4], dim: 1, start: 2, end: 5)", "slice(x: float32[2, 9], dim: -1, start: 1, step: 3)",
                    "slice(x: float32[6, 2], start: -3, end: -1)", "slice(x: float32[1, 3, 8, 8], dim: 2, start: 1, end: 100, step: 2)"}},
  };
  return defs;
}

}  // namespace wherry::ops
