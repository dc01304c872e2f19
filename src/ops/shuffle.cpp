// Operators that move elements between channels and places: channel_shuffle, pixel_shuffle, pixel_unshuffle.
#include "ops/all_ops.h"
#include "ops/infer.h"
#include "ops/lowering.h"

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
    const std::int64_t n = r / channels, c = r % channels;         // out channel k·groups + g is in channel g·width + k
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
       .source = {.torch = "F.channel_shuffle({x}, {groups})"},
       .quant = {QuantRule::same_scale},
       .examples = {"channel_shuffle(x: float32[2, 6, 3, 4], groups: 2)", "channel_shuffle(x: float32[1, 12, 5, 5], groups: 3)",
                    "channel_shuffle(x: float32[1, 4, 5], groups: 4)"}},
  };
  return defs;
}

}  // namespace wherry::ops
