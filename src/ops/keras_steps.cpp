#include "ops/keras_steps.h"

#include "ops/axes.h"
#include "ops/infer.h"

#include <algorithm>

namespace wherry::keras {

namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

bool merges(KerasLowering& k, int a, int b) {
  const KerasTensor &x = k.tensor(a), &y = k.tensor(b);
  return k.batched() && !k.as_code() && !x.constant && !y.constant && x.type == y.type && x.type.shape.size() >= 2;
}

// "same" gives as many places as steps fit, and pads what they need, the larger half behind.
bool pads_the_same(const Dim& in, const Window& w) {
  const std::int64_t size = in.size(), out = (size + w.stride - 1) / w.stride;
  const std::int64_t total = std::max<std::int64_t>((out - 1) * w.stride + w.extent() - size, 0);
  return (size + w.before + w.after - w.extent()) / w.stride + 1 == out && w.before == total / 2 && w.before + w.after >= total;
}

// The same for every size: as many places come out as go in.
bool pads_the_same_always(const Window& w) { return w.stride == 1 && w.before == w.after && w.before + w.after == w.extent() - 1; }

}  // namespace

void lower_each(KerasLowering& k, const Node& node, std::string_view layer, std::vector<KerasEntry> config) {
  const ValueId x = node.inputs[0], out = node.outputs[0];
  const std::vector<int> order = k.order(x);
  k.give(out, k.add(layer, {KerasRef{k.as_is(x)}}, ops::ordered(k.graph.type(out), order), std::move(config)), order);
}

void lower_activation(KerasLowering& k, const Node& node, const char* function) {
  lower_each(k, node, "Activation", {{"activation", std::string(function)}});
}

Type channels_last(const Type& type) {
  return ops::ordered(type, LayoutLowering::channels_last_order(static_cast<int>(type.shape.size())));
}

int reshape(KerasLowering& k, int x, const Type& type) {
  const Sizes from = sizes(k.tensor(x).type.shape), to = sizes(type.shape);
  if (from == to) return x;
  const bool keeps = !from.empty() && !to.empty() && from[0] == to[0];
  if (!keeps) k.touch(0);
  if (!k.batched() || to.size() < 2 || (k.as_code() && to.size() > 2)) {
    Ints shape(to);
    if (k.batched()) shape[0] = -1;
    return k.add("ops.numpy.Reshape", {KerasRef{x}}, type, {{"newshape", shape}});
  }
  if (to.size() == 2) return k.add("Flatten", {KerasRef{x}}, type);
  return k.add("Reshape", {KerasRef{x}}, type, {{"target_shape", Ints(to.begin() + 1, to.end())}});
}

int transpose(KerasLowering& k, int x, const std::vector<int>& axes, const Type& type) {
  if (axes.empty() || axes[0] != 0) k.touch(0);
  if (!k.batched() || k.as_code()) return k.add("ops.numpy.Transpose", {KerasRef{x}}, type, {{"axes", Ints(axes.begin(), axes.end())}});
  return k.add("Permute", {KerasRef{x}}, type, {{"dims", Ints(axes.begin() + 1, axes.end())}});  // counts from 1: the batch is axis 0
}

int slice(KerasLowering& k, int x, int axis, std::int64_t begin, std::int64_t size, const Type& x_type, std::int64_t step) {
  if (x_type.shape[at(axis)] == Dim(size) && step == 1) return x;
  k.touch(axis);
  Type out = x_type;
  out.shape[at(axis)] = size;
  std::vector<KerasSlice> index(at(axis) + 1);
  index.back() = {begin, begin + (size - 1) * step + 1, step};
  if (size == 0) index.back().stop = begin;
  return k.add("ops.numpy.GetItem", {KerasRef{x}, index}, out);
}

int concatenate(KerasLowering& k, const std::vector<int>& parts, int axis, const Type& type) {
  if (parts.size() == 1) return parts[0];
  k.touch(axis);
  std::vector<KerasRef> refs;
  bool tensors = k.batched() && !k.as_code();
  for (const int part : parts) {
    refs.push_back({part});
    tensors = tensors && !k.tensor(part).constant;
  }
  return k.add(tensors ? "Concatenate" : "ops.numpy.Concatenate", {refs}, type, {{"axis", std::int64_t{axis}}});
}

int binary(KerasLowering& k, const std::string& name, int a, int b, const Type& type) {
  const bool layer = name == "Add" || name == "Subtract" || name == "Multiply" || name == "Maximum" || name == "Minimum";
  if (layer && merges(k, a, b)) return k.add(name, {std::vector<KerasRef>{{a}, {b}}}, type);
  return k.add("ops.numpy." + name, {KerasRef{a}, KerasRef{b}}, type);
}

Padded pad(KerasLowering& k, const Node& node, ValueId x, const std::vector<Window>& windows, PadOptions options) {
  Padded out{k.channels_last(x), channels_last(k.graph.type(x)), "valid"};
  bool none = true, same = options.same;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    none = none && windows[i].before == 0 && windows[i].after <= 0;
    same = same && (k.as_code() ? pads_the_same_always(windows[i]) : pads_the_same(out.type.shape[i + 1], windows[i]));
  }
  const bool told = k.as_code() && options.strided;  // whether code can choose between the two
  if (same && (!none || told)) {
    out.padding = "same";
    out.either = none;
    return out;
  }
  if (none && !told) return out;
  std::vector<Ints> pads;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    const std::int64_t after = std::max<std::int64_t>(windows[i].after, 0);
    pads.push_back({windows[i].before, after});
    out.type.shape[i + 1] = out.type.shape[i + 1] + Dim(windows[i].before + after);
  }
  const KerasNode* maker = k.producer(out.x);
  if (options.fill == 0 ||
      (options.fill < 0 && maker && maker->layer == "ReLU")) {  // among numbers of zero or more, zeros are never the greatest
    const KerasValue amounts = windows.size() == 1 ? KerasValue(Attr(pads[0])) : KerasValue(pads);
    out.x = k.add(places(k, node, "ZeroPadding"), {KerasRef{out.x}}, out.type, {{"padding", amounts, "sides($padding)"}});
    if (told) k.only_when(out.x, "$stride != 1");
    return out;
  }
  pads.insert(pads.begin(), Ints{0, 0});
  pads.push_back({0, 0});
  out.x = k.add("ops.numpy.Pad", {KerasRef{out.x}, Attr(options.fill)}, out.type, {{"pad_width", pads}, {"mode", std::string("constant")}});
  return out;
}

Ints kernels(const std::vector<Window>& windows) {
  Ints list;
  for (const Window& w : windows) list.push_back(w.kernel);
  return list;
}
Ints strides(const std::vector<Window>& windows) {
  Ints list;
  for (const Window& w : windows) list.push_back(w.stride);
  return list;
}
Ints dilations(const std::vector<Window>& windows) {
  Ints list;
  for (const Window& w : windows) list.push_back(w.dilation);
  return list;
}

std::vector<int> places_first(std::size_t places) {
  std::vector<int> axes;
  for (std::size_t i = 0; i < places; ++i) axes.push_back(static_cast<int>(i) + 2);
  axes.insert(axes.end(), {1, 0});
  return axes;
}

std::string places(const KerasLowering& k, const Node& node, std::string_view layer) {
  return fmt::format("{}{}D", layer, k.graph.type(node.inputs[0]).shape.size() - 2);
}

}  // namespace wherry::keras
