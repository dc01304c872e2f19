// Operators that move elements between channels and places: channel_shuffle, pixel_shuffle, pixel_unshuffle.
#include "ops/all_ops.h"
#include "ops/infer.h"
#include "ops/keras_steps.h"
#include "ops/lowering.h"
#include "ops/onnx.h"
#include "ops/tflite_in.h"

#include <fmt/format.h>

#include <numeric>

#include <cstring>

namespace wherry::ops {

namespace {

// ---- channel_shuffle ------------------------------------------------------------------------------------------------

std::vector<Type> infer_channel_shuffle(const OpTypes& t) {
  const Type& x = t["x"];
  const std::int64_t groups = t.node.integer("groups");
  if (x.shape.size() < 3) infer::fault(fmt::format("channel_shuffle takes x of rank 3 or more, not {}", text(x)));
  if (groups <= 0) infer::fault(fmt::format("groups {} is not positive", groups));
  if (!x.shape[1].known() || x.shape[1].size() % groups != 0)
    infer::fault(fmt::format("{} channels do not split into {} groups", x.shape[1].text(), groups));
  return {x};
}

void eval_channel_shuffle(OpValues& v) {
  const Tensor& x = v["x"];
  const std::int64_t channels = x.sizes()[1], groups = v.node.integer("groups"), width = channels / groups;
  const std::int64_t rows = x.sizes()[0] * channels;
  const auto bytes = rows ? x.bytes() / static_cast<std::size_t>(rows) : 0;
  const std::byte* from = x.data();
  std::byte* to = v.out().mutable_data();
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t n = r / channels, c = r % channels;  // out channel k·groups + g is in channel g·width + k
    const std::int64_t source = n * channels + c % groups * width + c / groups;
    std::memcpy(to + static_cast<std::size_t>(r) * bytes, from + static_cast<std::size_t>(source) * bytes, bytes);
  }
}

void lower_channel_shuffle(TflLowering& t, const Node& node) {
  const Type type = tfl::channels_last(t.graph.type(node.outputs[0]));
  const std::int64_t groups = node.integer("groups"), width = type.shape.back().size() / groups;
  Dim places(1);
  for (std::size_t i = 0; i + 1 < type.shape.size(); ++i) places = places * type.shape[i];
  const int split = tfl::reshape(t, t.channels_last(node.inputs[0]), {type.dtype, {places, groups, width}});
  const int swapped = tfl::transpose(t, split, {0, 2, 1}, {type.dtype, {places, width, groups}});
  t.give_channels_last(node.outputs[0], tfl::reshape(t, swapped, type));
}

// ---- pixel_shuffle, pixel_unshuffle ---------------------------------------------------------------------------------

std::int64_t factor_of(const Node& node) {
  const std::int64_t factor = std::get<std::int64_t>(node.attrs[0]);
  infer::bounded(node.op->attrs[0].name, {factor});
  if (factor <= 0) infer::fault(fmt::format("{} {} is not positive", node.op->attrs[0].name, factor));
  return factor;
}

std::vector<Type> infer_pixel_shuffle(const OpTypes& t) {
  infer::needs_rank(t, "x", 4);
  Type out = t["x"];
  const std::int64_t r = factor_of(t.node);
  if (!out.shape[1].known() || out.shape[1].size() % (r * r) != 0)
    infer::fault(fmt::format("{} channels are not a multiple of {}", out.shape[1].text(), r * r));
  out.shape[1] = out.shape[1].size() / (r * r);
  for (const std::size_t i : {2, 3}) out.shape[i] = out.shape[i] * Dim(r);
  return {out};
}

std::vector<Type> infer_pixel_unshuffle(const OpTypes& t) {
  infer::needs_rank(t, "x", 4);
  Type out = t["x"];
  const std::int64_t r = factor_of(t.node);
  out.shape[1] = out.shape[1] * Dim(r) * Dim(r);
  for (const std::size_t i : {2, 3}) {
    if (out.shape[i].known() && out.shape[i].size() % r != 0)
      infer::fault(fmt::format("axis {} of {} is not a multiple of {}", i, text(t["x"]), r));
    out.shape[i] = floor_div(out.shape[i], Dim(r));
  }
  return {out};
}

// The wide side is [N, C, H·r, W·r], the deep one [N, C·r·r, H, W]; a strided view of one is the other.
void eval_pixel_shuffle(OpValues& v) {
  const Sizes& s = v.out().sizes();
  const std::int64_t r = factor_of(v.node), h = s[2] / r, w = s[3] / r;
  v["x"].reshaped({s[0], s[1], r, r, h, w}).permuted({0, 1, 4, 2, 5, 3}).copy_to(v.out().mutable_bytes().data());
}

void eval_pixel_unshuffle(OpValues& v) {
  const Sizes& s = v["x"].sizes();
  const std::int64_t r = factor_of(v.node), h = s[2] / r, w = s[3] / r;
  v["x"].reshaped({s[0], s[1], h, r, w, r}).permuted({0, 1, 3, 5, 2, 4}).copy_to(v.out().mutable_bytes().data());
}

// Channels ordered (outer, inner) become (inner, outer): the target's builtins count the place in the block first.
int swap_channels(TflLowering& t, int x, const Type& type, std::int64_t outer, std::int64_t inner) {
  if (outer == 1 || inner == 1) return x;
  const Dim places = type.shape[0] * type.shape[1] * type.shape[2];
  const int split = tfl::reshape(t, x, {type.dtype, {places, outer, inner}});
  return tfl::reshape(t, tfl::transpose(t, split, {0, 2, 1}, {type.dtype, {places, inner, outer}}), type);
}

void lower_pixel_shuffle(TflLowering& t, const Node& node) {
  const Type deep = tfl::channels_last(t.graph.type(node.inputs[0])), wide = tfl::channels_last(t.graph.type(node.outputs[0]));
  const std::int64_t r = factor_of(node);
  const int x = swap_channels(t, t.channels_last(node.inputs[0]), deep, wide.shape[3].size(), r * r);
  t.give_channels_last(node.outputs[0], r == 1 ? x : t.add("DEPTH_TO_SPACE", {x}, wide, {{"block_size", r}}));
}

void lower_pixel_unshuffle(TflLowering& t, const Node& node) {
  const Type wide = tfl::channels_last(t.graph.type(node.inputs[0])), deep = tfl::channels_last(t.graph.type(node.outputs[0]));
  const std::int64_t r = factor_of(node);
  const int x = t.channels_last(node.inputs[0]);
  const int y = r == 1 ? x : t.add("SPACE_TO_DEPTH", {x}, deep, {{"block_size", r}});
  t.give_channels_last(node.outputs[0], swap_channels(t, y, deep, r * r, wide.shape[3].size()));
}

// TFLite counts a block's places before the channels, PyTorch behind them: a shuffle of channels lies between.
std::vector<ValueId> convert_tflite_to_space(Builder& b, const ForeignNode& node) {
  const std::int64_t block = integer(node, "block_size");
  ValueId x = tfl_in::channels_first(b, tfl_in::input(node, 0));
  const Sizes shape = tfl_in::shape_of(b, node, x);
  if (shape.size() != 4 || block < 1 || shape[1] % (block * block) != 0)
    refuse(node, fmt::format("DEPTH_TO_SPACE of {}", text(to_shape(shape))));
  if (shape[1] > block * block) x = b("channel_shuffle", {x}, {{"groups", block * block}});
  return {tfl_in::channels_last(b, b("pixel_shuffle", {x}, {{"upscale_factor", block}}))};
}

std::vector<ValueId> convert_tflite_to_depth(Builder& b, const ForeignNode& node) {
  const std::int64_t block = integer(node, "block_size");
  const ValueId x = tfl_in::channels_first(b, tfl_in::input(node, 0));
  const Sizes shape = tfl_in::shape_of(b, node, x);
  if (shape.size() != 4 || block < 1) refuse(node, fmt::format("SPACE_TO_DEPTH of {}", text(to_shape(shape))));
  ValueId y = b("pixel_unshuffle", {x}, {{"downscale_factor", block}});
  if (shape[1] > 1) y = b("channel_shuffle", {y}, {{"groups", shape[1]}});
  return {tfl_in::channels_last(b, y)};
}

// ---- source text ----------------------------------------------------------------------------------------------------

constexpr std::string_view channel_shuffle_source = R"py(
def channel_shuffle(x, groups):
    """Takes channels from equal parts in turn."""
    parts = x.reshape(x.shape[0], groups, -1, *x.shape[2:])
    return parts.swapaxes(1, 2).reshape(x.shape)
)py";

constexpr std::string_view pixel_shuffle_source = R"py(
def pixel_shuffle(x, factor):
    """Spreads channels over blocks of factor by factor places."""
    n, c, h, w = x.shape
    blocks = x.reshape(n, c // factor**2, factor, factor, h, w)
    blocks = blocks.transpose(0, 1, 4, 2, 5, 3)
    return blocks.reshape(n, c // factor**2, h * factor, w * factor)
)py";

constexpr std::string_view pixel_unshuffle_source = R"py(
def pixel_unshuffle(x, factor):
    """Gathers blocks of factor by factor places into channels."""
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // factor, factor, w // factor, factor)
    blocks = blocks.transpose(0, 1, 3, 5, 2, 4)
    return blocks.reshape(n, c * factor**2, h // factor, w // factor)
)py";

// [N, places…, C] as [N, places…, split…], the axes moved, back to `result`.
int keras_rearranged(KerasLowering& k, int x, const Sizes& split, const std::vector<int>& axes, const Type& result) {
  const DType dtype = result.dtype;
  Sizes moved;
  for (const int axis : axes) moved.push_back(split[static_cast<std::size_t>(axis)]);
  const int apart = keras::reshape(k, x, {dtype, to_shape(split)});
  return keras::reshape(k, keras::transpose(k, apart, axes, {dtype, to_shape(moved)}), result);
}

constexpr std::string_view keras_shuffle_source = R"py(
def channel_shuffle(x, groups):
    """Channels of all groups in turn."""
    parts = ops.split(x, groups, axis=-1)
    return ops.reshape(ops.stack(parts, axis=-1), ops.shape(x))
)py";

void keras_channel_shuffle(KerasLowering& k, const Node& node) {
  const Type type = keras::channels_last(k.graph.type(node.outputs[0]));
  const std::int64_t groups = node.integer("groups");
  if (k.as_code()) {
    const int x = k.channels_last(node.inputs[0]), y = k.add("channel_shuffle", {KerasRef{x}}, type, {{"groups", groups, "$groups"}});
    k.define(y, keras_shuffle_source);
    return k.give_channels_last(node.outputs[0], y);
  }
  Sizes split = sizes(type.shape);
  const std::int64_t width = split.back() / groups;
  split.back() = groups;
  split.push_back(width);
  std::vector<int> axes(split.size());
  std::iota(axes.begin(), axes.end(), 0);
  std::swap(axes[axes.size() - 1], axes[axes.size() - 2]);
  k.give_channels_last(node.outputs[0], keras_rearranged(k, k.channels_last(node.inputs[0]), split, axes, type));
}

void keras_pixel_shuffle(KerasLowering& k, const Node& node) {
  const Sizes from = sizes(keras::channels_last(k.graph.type(node.inputs[0])).shape);
  const std::int64_t r = factor_of(node);
  k.give_channels_last(node.outputs[0],
                       keras_rearranged(k, k.channels_last(node.inputs[0]), {from[0], from[1], from[2], from[3] / (r * r), r, r},
                                        {0, 1, 4, 2, 5, 3}, keras::channels_last(k.graph.type(node.outputs[0]))));
}

void keras_pixel_unshuffle(KerasLowering& k, const Node& node) {
  const Sizes from = sizes(keras::channels_last(k.graph.type(node.inputs[0])).shape);
  const std::int64_t r = factor_of(node);
  k.give_channels_last(node.outputs[0],
                       keras_rearranged(k, k.channels_last(node.inputs[0]), {from[0], from[1] / r, r, from[2] / r, r, from[3]},
                                        {0, 1, 3, 5, 2, 4}, keras::channels_last(k.graph.type(node.outputs[0]))));
}

// ---- PyTorch: functional.fold ---------------------------------------------------------------------------------------

// The kernel that puts channel i·width + j at place (i, j).
Tensor places(std::int64_t height, std::int64_t width, DType type) {
  const std::int64_t count = height * width;
  Tensor kernel = Tensor::allocate(DType::float32, {count, 1, height, width});
  for (std::int64_t i = 0; i < count; ++i) kernel.mutable_as<float>()[static_cast<std::size_t>(i * count + i)] = 1;
  return kernel.cast(type);
}

// Windows next to each other are a pixel_shuffle; those that overlap are added by a transposed convolution of each channel alone.
std::vector<ValueId> convert_col2im(Builder& b, const ForeignNode& n) {
  ValueId x = n.value("self");
  const Ints size = for_axes(n, "output_size", 2), kernel = for_axes(n, "kernel_size", 2), dilation = for_axes(n, "dilation", 2);
  const Ints padding = for_axes(n, "padding", 2), stride = for_axes(n, "stride", 2);
  const NamedAttr first{"dim", std::int64_t{0}};
  const bool single = b.type(x).shape.size() == 2;
  if (single) x = b("unsqueeze", {x}, {first});
  const Type type = b.type(x);
  const std::int64_t taps = kernel[0] * kernel[1];
  Ints steps, behind;
  for (std::size_t i = 0; i < 2; ++i) {
    const std::int64_t room = size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1;
    if (room < 0 || stride[i] < 1) refuse(n, fmt::format("'{}' to {} with a kernel of {}", n.target, text(Attr(size)), text(Attr(kernel))));
    steps.push_back(room / stride[i] + 1);
    behind.push_back(room % stride[i]);
  }
  const bool fits = type.shape.size() == 3 && type.shape[1].known() && taps > 0 && type.shape[1].size() % taps == 0 &&
                    type.shape[2] == Dim(steps[0] * steps[1]);
  if (!fits) refuse(n, fmt::format("'{}' of {}, expected [N, C · {}, {}]", n.target, text(type), taps, steps[0] * steps[1]));
  const std::int64_t channels = type.shape[1].size() / taps;
  const bool apart = kernel == stride && kernel[0] == kernel[1] && dilation == Ints{1, 1} && padding == Ints{0, 0} && behind == Ints{0, 0};
  ValueId y = b("reshape", {x}, {{"shape", Ints{-1, apart ? channels * taps : taps, steps[0], steps[1]}}});
  if (apart) {
    y = b("pixel_shuffle", {y}, {{"upscale_factor", kernel[0]}});
  } else {
    y = b("conv_transpose2d", {y, b.constant(places(kernel[0], kernel[1], type.dtype), b.path() + ".weight"), absent},
          {{"stride", stride}, {"padding", padding}, {"output_padding", behind}, {"dilation", dilation}});
    y = b("reshape", {y}, {{"shape", Ints{-1, channels, size[0], size[1]}}});
  }
  return {single ? b("squeeze", {y}, {first}) : y};
}

// ---- ONNX ----

// Axes split by one reshape, turned, and merged by another.
ValueId rearranged(Builder& b, ValueId x, const Ints& split, const Ints& turn, const Ints& merged) {
  return b("reshape", {b("permute", {b("reshape", {x}, {{"shape", split}})}, {{"dims", turn}})}, {{"shape", merged}});
}

// CRD counts the channel first, as PyTorch does; DCR the place in the block.
std::vector<ValueId> convert_onnx_depth_to_space(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0);
  const std::int64_t r = integer(node, "blocksize");
  if (word(node, "mode", "DCR") == "CRD") return {b("pixel_shuffle", {x}, {{"upscale_factor", r}})};
  const Sizes s = onnx::static_shape(b, node, x);
  if (s.size() != 4 || r <= 0 || s[1] % (r * r)) refuse(node, fmt::format("'DepthToSpace' of {} by {}", text(b.type(x)), r));
  return {rearranged(b, x, {s[0], r, r, s[1] / (r * r), s[2], s[3]}, {0, 3, 4, 1, 5, 2}, {s[0], s[1] / (r * r), s[2] * r, s[3] * r})};
}

std::vector<ValueId> convert_onnx_space_to_depth(Builder& b, const ForeignNode& node) {
  const ValueId x = onnx::required(node, 0);
  const std::int64_t r = integer(node, "blocksize");
  if (word(node, "mode", "DCR") == "CRD") return {b("pixel_unshuffle", {x}, {{"downscale_factor", r}})};
  const Sizes s = onnx::static_shape(b, node, x);
  if (s.size() != 4 || r <= 0 || s[2] % r || s[3] % r) refuse(node, fmt::format("'SpaceToDepth' of {} by {}", text(b.type(x)), r));
  return {rearranged(b, x, {s[0], s[1], s[2] / r, r, s[3] / r, r}, {0, 3, 5, 1, 2, 4}, {s[0], s[1] * r * r, s[2] / r, s[3] / r})};
}

// The shape with its first size open, so that a batch may be.
Ints open_batch(Ints shape) {
  shape[0] = -1;
  return shape;
}

void lower_onnx_rearranged(OnnxLowering& l, const Node& node, const Ints& split, const Ints& turn, const Ints& merged) {
  const int wide = l.add("Reshape", {l[node.inputs[0]], l.ints(open_batch(split), "split")});
  const int turned = l.add("Transpose", {wide}, {{"perm", turn}});
  l.give(node.outputs[0], l.add("Reshape", {turned, l.ints(open_batch(merged), "merged")}));
}

// All sizes but the first, which stays open.
Sizes sizes_but_first(OnnxLowering& l, const Node& node) {
  Shape shape = l.graph.type(node.inputs[0]).shape;
  if (!shape.empty()) shape[0] = 1;
  if (!is_static(shape))
    l.refuse(node, fmt::format("{} has open sizes; give them with --dim NAME=SIZE", text(l.graph.type(node.inputs[0]))));
  return sizes(shape);
}

void lower_onnx_channel_shuffle(OnnxLowering& l, const Node& node) {
  const Sizes s = sizes_but_first(l, node);
  const std::int64_t groups = node.integer("groups");
  Ints split = {s[0], groups, s[1] / groups}, turn = {0, 2, 1};
  for (std::size_t i = 2; i < s.size(); ++i) split.push_back(s[i]), turn.push_back(static_cast<std::int64_t>(i) + 1);
  lower_onnx_rearranged(l, node, split, turn, s);
}

void lower_onnx_pixel_unshuffle(OnnxLowering& l, const Node& node) {
  const Sizes s = sizes_but_first(l, node);
  const std::int64_t r = factor_of(node);
  lower_onnx_rearranged(l, node, {s[0], s[1], s[2] / r, r, s[3] / r, r}, {0, 1, 3, 5, 2, 4}, {s[0], s[1] * r * r, s[2] / r, s[3] / r});
}

}  // namespace

OpList shuffle() {
  static const OpDef defs[] = {
      {.name = "channel_shuffle",
       .doc = "Takes channels from `groups` equal parts in turn: one of the first, one of the second and so on.",
       .inputs = {{"x", "[N, C, …]"}},
       .attrs = {{"groups", AttrKind::integer, {}, "number of parts"}},
       .infer = infer_channel_shuffle,
       .eval = eval_channel_shuffle,
       .layout = {LayoutRule::spatial},
       .torch = {{"aten.channel_shuffle.default", "x=self"}, {"aten.native_channel_shuffle.default", "x=self"}},
       .tflite = {.lower = lower_channel_shuffle},
       .onnx_out = {.lower = lower_onnx_channel_shuffle},
       .keras = {.lower = keras_channel_shuffle},
       .source = {.torch = "F.channel_shuffle({x}, {groups})",
                  .jax = "channel_shuffle({x}, {groups})",
                  .torch_module = "nn.ChannelShuffle({groups})",
                  .jax_helpers = {channel_shuffle_source}},
       .quant = {QuantRule::same_scale},
       .examples = {"channel_shuffle(x: float32[2, 6, 3, 4], groups: 2)", "channel_shuffle(x: float32[1, 12, 5, 5], groups: 3)",
                    "channel_shuffle(x: float32[1, 4, 5], groups: 4)"}},
      {.name = "pixel_shuffle",
       .doc = "Spreads each r·r channels over a block of r by r places.",
       .inputs = {{"x", "[N, C·r·r, H, W]"}},
       .attrs = {{"upscale_factor", AttrKind::integer, {}, "r"}},
       .infer = infer_pixel_shuffle,
       .eval = eval_pixel_shuffle,
       .layout = {LayoutRule::spatial},
       .torch = {{"aten.pixel_shuffle.default", "x=self"}, {.target = "aten.col2im.default", .convert = convert_col2im}},
       .onnx = {{.target = "DepthToSpace", .convert = convert_onnx_depth_to_space}},
       .tflite_in = {{"DEPTH_TO_SPACE", "", 0, convert_tflite_to_space}},
       .tflite = {.lower = lower_pixel_shuffle},
       .onnx_out = {.op = "DepthToSpace", .attributes = "blocksize=upscale_factor mode=#CRD"},
       .keras = {.lower = keras_pixel_shuffle},
       .source = {.torch = "F.pixel_shuffle({x}, {upscale_factor})",
                  .jax = "pixel_shuffle({x}, {upscale_factor})",
                  .torch_module = "nn.PixelShuffle({upscale_factor})",
                  .jax_helpers = {pixel_shuffle_source}},
       .quant = {QuantRule::same_scale},
       .examples = {"pixel_shuffle(x: float32[2, 12, 3, 4], upscale_factor: 2)",
                    "pixel_shuffle(x: float32[1, 9, 2, 3], upscale_factor: 3)"}},
      {.name = "pixel_unshuffle",
       .doc = "Gathers each block of r by r places into r·r channels.",
       .inputs = {{"x", "[N, C, H·r, W·r]"}},
       .attrs = {{"downscale_factor", AttrKind::integer, {}, "r"}},
       .infer = infer_pixel_unshuffle,
       .eval = eval_pixel_unshuffle,
       .layout = {LayoutRule::spatial},
       .torch = {{"aten.pixel_unshuffle.default", "x=self"}},
       .onnx = {{.target = "SpaceToDepth", .convert = convert_onnx_space_to_depth}},
       .tflite_in = {{"SPACE_TO_DEPTH", "", 0, convert_tflite_to_depth}},
       .tflite = {.lower = lower_pixel_unshuffle},
       .onnx_out = {.lower = lower_onnx_pixel_unshuffle},
       .keras = {.lower = keras_pixel_unshuffle},
       .source = {.torch = "F.pixel_unshuffle({x}, {downscale_factor})",
                  .jax = "pixel_unshuffle({x}, {downscale_factor})",
                  .torch_module = "nn.PixelUnshuffle({downscale_factor})",
                  .jax_helpers = {pixel_unshuffle_source}},
       .quant = {QuantRule::same_scale},
       .examples = {"pixel_unshuffle(x: float32[2, 3, 6, 4], downscale_factor: 2)",
                    "pixel_unshuffle(x: float32[1, 1, 6, 9], downscale_factor: 3)"}},
  };
  return defs;
}

}  // namespace wherry::ops
