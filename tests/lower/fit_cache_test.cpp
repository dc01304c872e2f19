#include "lower/fit_cache.h"

#include "passes/pipeline.h"

#include "../net.h"

namespace wherry {
namespace {

Lowered lowered(const Net& net) {
  Diagnostics diagnostics;
  std::vector<PassRecord> records;
  Lowered result = lower_to_tfl(run_passes(net.graph, all_ops(), {}, records), all_ops(), {}, diagnostics);
  diagnostics.throw_if_errors();
  return result;
}

// expand → depthwise → project, on 4 × 4 places: `middle` channels, each with 3 × 3 taps of 8 bytes.
struct Residual : Net {
  ValueId x = input("x", "float32[1, 8, 4, 4]"), expanded, filtered, projected;
  explicit Residual(std::int64_t middle, std::int64_t groups = 1) {
    expanded = node("relu1", "relu", {conv("expand", x, middle, 1, {{"groups", groups}})});
    filtered = node("relu2", "relu", {conv("depthwise", expanded, middle, 3, {{"groups", middle}, {"padding", Ints{1, 1}}})});
    projected = conv("project", filtered, 8, 1);
  }
};

TEST(FitCache, PartsAreEqualAndTheirResultsAddedUp) {
  Residual net(40);
  net.output("y", net.node("relu3", "relu", {net.projected}));
  Lowered l = lowered(net);
  EXPECT_EQ(fit_cache(l, 2), 1);  // 2048 bytes hold 28 channels: one row of 16
  EXPECT_EQ(count_builtins(l.graph), (std::map<std::string, int>{{"ADD", 2}, {"CONV_2D", 6}, {"DEPTHWISE_CONV_2D", 3}}));
  std::vector<Sizes> windows;
  for (const TflNode& node : l.graph.nodes)
    if (node.builtin == "DEPTHWISE_CONV_2D") windows.push_back(l.graph.tensors[static_cast<std::size_t>(node.inputs[1])].sizes);
  EXPECT_EQ(windows, (std::vector<Sizes>{{1, 3, 3, 16}, {1, 3, 3, 16}, {1, 3, 3, 8}}));
  const TflNode& last = l.graph.nodes.back();  // the activation is behind the whole sum
  EXPECT_EQ(last.builtin, "ADD");
  EXPECT_EQ(last.find("fused_activation_function")->value, Attr(std::string("RELU")));
  EXPECT_EQ(last.outputs[0], l.graph.outputs[0].value);
}

TEST(FitCache, WhatFitsStaysAsItIs) {
  Residual net(40);
  net.output("y", net.projected);
  Lowered l = lowered(net);
  const std::string before = text(l.graph);
  EXPECT_EQ(fit_cache(l, 3), 0);  // 42 channels
  EXPECT_EQ(text(l.graph), before);
}

TEST(FitCache, WindowsThatOverflowItWithOneRowStayWhole) {
  Residual net(40);
  net.output("y", net.projected);
  Lowered l = lowered(net);
  EXPECT_EQ(fit_cache(l, 1), 0);  // 14 channels
}

TEST(FitCache, WhatOthersTakeStaysWhole) {
  Residual seen(40);
  seen.output("y", seen.projected);
  seen.output("middle", seen.filtered);
  Lowered l = lowered(seen);
  EXPECT_EQ(fit_cache(l, 2), 0);

  Residual gated(40);
  const ValueId gate = gated.node("sigmoid", "sigmoid", {gated.filtered});
  gated.output("y", gated.conv("out", gated.node("gate", "mul", {gated.filtered, gate}), 8, 1));
  l = lowered(gated);
  EXPECT_EQ(fit_cache(l, 2), 0);
}

TEST(FitCache, GroupedConvolutionsAroundItStayWhole) {
  Residual net(40, 2);
  net.output("y", net.projected);
  Lowered l = lowered(net);
  EXPECT_EQ(fit_cache(l, 2), 0);
}

TEST(FitCache, TapsOfWhatWasSplitGo) {
  Residual net(40);
  net.output("y", net.projected);
  Lowered l = lowered(net);
  const auto tapped = [&](const std::string& name) {
    return std::any_of(l.taps.begin(), l.taps.end(), [&](const TflTap& tap) { return tap.name == name; });
  };
  EXPECT_TRUE(tapped("relu1") && tapped("project"));
  fit_cache(l, 2);
  EXPECT_FALSE(tapped("relu1"));
  EXPECT_TRUE(tapped("project"));
}

}  // namespace
}  // namespace wherry
