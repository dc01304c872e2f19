#include "ops/lowering.h"

#include "base/check.h"

#include <fmt/format.h>

#include <algorithm>

namespace wherry::tfl {

Type channels_last(const Type& type) {
  if (type.shape.size() < 3) return type;
  Type out{type.dtype, {type.shape[0]}};
  out.shape.insert(out.shape.end(), type.shape.begin() + 2, type.shape.end());
  out.shape.push_back(type.shape[1]);
  return out;
}

const Tensor& weight(TflLowering& t, const Node& node, std::string_view input) {
  const ValueId id = node.inputs[static_cast<std::size_t>(node.op->input_index(input))];
  if (!t.graph.is_constant(id)) t.refuse(node, fmt::format("its {} is computed, not a constant", input));
  return *t.graph[id].constant;
}

int int32s(TflLowering& t, const std::vector<std::int64_t>& values, Sizes sizes) {
  if (sizes.empty()) sizes = {static_cast<std::int64_t>(values.size())};
  return t.constant(Tensor::from(std::vector<std::int32_t>(values.begin(), values.end()), sizes));
}

int reshape(TflLowering& t, int x, const Type& type) {
  std::vector<std::int64_t> shape;
  for (const Dim& d : type.shape) shape.push_back(d.known() ? d.size() : -1);
  if (is_static(type.shape) && t.tensor(x).sizes == shape) return x;
  return t.add("RESHAPE", {x, int32s(t, shape)}, type, {{"new_shape", Ints(shape)}});
}

int transpose(TflLowering& t, int x, const std::vector<int>& axes, const Type& type) {
  return t.add("TRANSPOSE", {x, int32s(t, {axes.begin(), axes.end()})}, type);
}

int mean(TflLowering& t, int x, const std::vector<std::int64_t>& axes, const Type& type, bool keep_dims) {
  return t.add("MEAN", {x, int32s(t, axes)}, type, {{"keep_dims", keep_dims}});
}

int concatenate(TflLowering& t, const std::vector<int>& parts, int axis, const Type& type) {
  if (parts.size() == 1) return parts[0];
  return t.add("CONCATENATION", parts, type, {{"axis", std::int64_t{axis}}, {"fused_activation_function", "NONE"}});
}

int slice(TflLowering& t, int x, int axis, std::int64_t begin, std::int64_t size, const Type& x_type) {
  Type out = x_type;
  const auto at = static_cast<std::size_t>(axis);
  if (out.shape[at] == Dim(size)) return x;
  out.shape[at] = size;
  std::vector<std::int64_t> begins(out.shape.size(), 0), lengths;
  for (const Dim& d : out.shape) lengths.push_back(d.known() ? d.size() : -1);  // -1: all that remains
  begins[at] = begin;
  return t.add("SLICE", {x, int32s(t, begins), int32s(t, lengths)}, out);
}

int binary(TflLowering& t, std::string_view builtin, int a, int b, const Type& type) {
  return t.add(builtin, {a, b}, type, {{"fused_activation_function", "NONE"}});
}

namespace {

// Takes the spatial padding out of a PAD that makes `x`: its zeros become part of the windows' own.
void merge_pad(TflLowering& t, int& x, Type& type, std::vector<Window>& windows) {
  const TflNode* pad = t.producer(x);
  if (!pad || pad->builtin != "PAD") return;
  const std::optional<Tensor>& amounts = t.tensor(pad->inputs[1]).constant;
  if (!amounts) return;
  const std::vector<std::int64_t> p = amounts->to_ints();
  const std::size_t rank = type.shape.size();
  if (p.size() != 2 * rank || p[0] || p[1] || p[2 * rank - 2] || p[2 * rank - 1]) return;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    windows[i].before += p[2 * i + 2], windows[i].after += p[2 * i + 3];
    type.shape[i + 1] = type.shape[i + 1] - Dim(p[2 * i + 2] + p[2 * i + 3]);
  }
  x = pad->inputs[0];
}

std::int64_t outputs(std::int64_t in, const Window& w) { return (in + w.before + w.after - w.extent()) / w.stride + 1; }

bool equals_same(std::int64_t in, const Window& w) {
  const std::int64_t out = (in + w.stride - 1) / w.stride;
  return outputs(in, w) == out && std::max<std::int64_t>((out - 1) * w.stride + w.extent() - in, 0) / 2 == w.before;
}

// How much of the padding behind is read at all: the last window may end before it.
std::int64_t read_after(std::int64_t in, const Window& w) {
  return std::max<std::int64_t>((outputs(in, w) - 1) * w.stride + w.extent() - in - w.before, 0);
}

}  // namespace

Framed frame(TflLowering& t, const Node& node, ValueId x, std::vector<Window> windows, const Framing& framing) {
  const float fill = framing.fill;
  Framed out{.x = t.channels_last(x), .type = channels_last(t.graph.type(x)), .padding = "VALID", .windows = {}};
  for (std::size_t i = 0; i < windows.size(); ++i)
    if (!out.type.shape[i + 1].known()) t.refuse(node, "its spatial sizes are symbolic; the target needs them as numbers");
  if (fill == 0 && framing.merge) merge_pad(t, out.x, out.type, windows);
  if (windows.size() == 1) {
    windows.insert(windows.begin(), Window{});
    out.type.shape.insert(out.type.shape.begin() + 1, Dim(1));
    out.x = reshape(t, out.x, out.type);
  }
  bool same = framing.same;
  std::vector<std::int64_t> pads(8, 0);
  for (std::size_t i = 0; i < 2; ++i) {
    const std::int64_t in = out.type.shape[i + 1].size();
    same = same && equals_same(in, windows[i]);
    pads[2 * i + 2] = windows[i].before, pads[2 * i + 3] = read_after(in, windows[i]);
  }
  out.windows = windows;
  if (pads == std::vector<std::int64_t>(8, 0)) return out;
  if (same) {
    out.padding = "SAME";
    return out;
  }
  for (std::size_t i = 1; i < 3; ++i) out.type.shape[i] = out.type.shape[i] + Dim(pads[2 * i] + pads[2 * i + 1]);
  std::vector<int> inputs = {out.x, int32s(t, pads, {4, 2})};
  if (fill != 0) inputs.push_back(t.constant(Tensor::from(std::vector<float>{fill}, {})));
  out.x = t.add(fill == 0 ? "PAD" : "PADV2", inputs, out.type);
  return out;
}

std::vector<TflOption> pool_options(const Framed& framed) {
  return {{"padding", std::string(framed.padding)},   {"stride_w", framed.windows[1].stride},      {"stride_h", framed.windows[0].stride},
          {"filter_width", framed.windows[1].kernel}, {"filter_height", framed.windows[0].kernel}, {"fused_activation_function", "NONE"}};
}

Type framed_output(const Graph& graph, const Node& node) {
  Type type = channels_last(graph.type(node.outputs[0]));
  if (type.shape.size() == 3) type.shape.insert(type.shape.begin() + 1, Dim(1));
  return type;
}

void give_framed(TflLowering& t, const Node& node, int tensor) {
  t.give_channels_last(node.outputs[0], reshape(t, tensor, channels_last(t.graph.type(node.outputs[0]))));
}

}  // namespace wherry::tfl
