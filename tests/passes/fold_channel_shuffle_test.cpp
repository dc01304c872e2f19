#include "passes/fold_channel_shuffle.h"

#include "passes/name_channel_shuffle.h"

#include "../net.h"

namespace wherry {
namespace {

constexpr std::int64_t two = 2;

TEST(FoldChannelShuffle, GoesBackIntoTheOutputsOfTheConvolutionBefore) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 3, 6, 6]");
  ValueId y = net.node("relu", "relu", {net.batch_norm("bn", net.conv("conv", x, 8, 3))});
  y = net.node("shuffle", "channel_shuffle", {y}, {{"groups", two}});
  net.output("y", y);
  EXPECT_EQ(text(checked(fold_channel_shuffle, net.graph, 0)),
            "conv.shuffled = conv2d(x, conv.weight.folded, conv.bias.folded)\n"
            "bn.shuffled = batch_norm(conv.shuffled, bn.weight.folded, bn.bias.folded, bn.running_mean.folded, bn.running_var.folded)\n"
            "shuffle = relu(bn.shuffled)\n");
}

TEST(FoldChannelShuffle, GoesBackThroughADepthwiseConvolution) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 3, 6, 6]");
  const ValueId y = net.conv("dw", net.conv("pw", x, 6, 1), 6, 3, {{"groups", std::int64_t{6}}});
  net.output("y", net.node("shuffle", "channel_shuffle", {y}, {{"groups", std::int64_t{3}}}));
  const Graph result = checked(fold_channel_shuffle, net.graph, 0);
  EXPECT_EQ(text(result),
            "pw.shuffled = conv2d(x, pw.weight.folded, pw.bias.folded)\n"
            "shuffle = conv2d(pw.shuffled, dw.weight.folded, dw.bias.folded, groups: 6)\n");
}

// FBNet-A's three: the sum before the shuffle has another taker, the convolution behind it is grouped.
Graph fbnet_block(std::int64_t groups, int heads) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 8, 6, 6]");
  ValueId y = x;
  for (int i = 0; i < heads; ++i) y = net.conv(fmt::format("head{}", i), y, 8, 3, {{"padding", Ints{1, 1}}});
  y = net.node("shuffle", "channel_shuffle", {x}, {{"groups", two}});
  y = net.node("relu", "relu", {net.batch_norm("bn", net.conv("dw", y, 8, 3, {{"groups", std::int64_t{8}}, {"padding", Ints{1, 1}}}))});
  y = net.conv("pwl", y, 8, 1, {{"groups", groups}});
  for (int i = 0; i < heads; ++i) y = net.conv(fmt::format("tail{}", i), y, 8, 3, {{"padding", Ints{1, 1}}});
  net.output("y", net.node("sum", "add", {y, x}));
  return net.graph;
}

TEST(FoldChannelShuffle, GoesForwardIntoTheInputsOfTheConvolutionsBehind) {
  const Graph result = checked(fold_channel_shuffle, fbnet_block(1, 0));
  EXPECT_EQ(text(result),
            "dw.shuffled = conv2d(x, dw.weight.folded, dw.bias.folded, padding: [1, 1], groups: 8)\n"
            "bn.shuffled = batch_norm(dw.shuffled, bn.weight.folded, bn.bias.folded, bn.running_mean.folded, bn.running_var.folded)\n"
            "relu.shuffled = relu(bn.shuffled)\n"
            "pwl = conv2d(relu.shuffled, pwl.weight.folded, pwl.bias)\n"
            "sum = add(pwl, x)\n");
}

TEST(FoldChannelShuffle, MakesASmallGroupedConvolutionDense) {
  const Graph result = checked(fold_channel_shuffle, fbnet_block(2, 2));
  const auto pwl = std::find_if(result.nodes.begin(), result.nodes.end(), [](const Node& n) { return n.path == "pwl"; });
  EXPECT_EQ(pwl->integer("groups"), 1);
  EXPECT_EQ(result[pwl->inputs[1]].type, parse_type("float32[8, 8, 1, 1]"));
  EXPECT_THAT(text(result), testing::Not(testing::HasSubstr("channel_shuffle")));
}

TEST(FoldChannelShuffle, LeavesAShuffleWhoseTakingUpCostsTooMuch) {
  const Graph graph = fbnet_block(4, 0);
  EXPECT_EQ(text(fold_channel_shuffle(graph, all_ops())), text(graph));
}

TEST(FoldChannelShuffle, CarriesOneShuffleThroughAnother) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 12, 4, 4]");
  ValueId y = net.node("first", "channel_shuffle", {x}, {{"groups", two}});
  y = net.node("second", "channel_shuffle", {net.node("relu", "relu", {y})}, {{"groups", std::int64_t{3}}});
  net.output("y", net.conv("conv", y, 5, 3));
  EXPECT_EQ(text(checked(fold_channel_shuffle, net.graph)),
            "relu.shuffled = relu(x)\n"
            "conv = conv2d(relu.shuffled, conv.weight.folded, conv.bias)\n");
}

TEST(FoldChannelShuffle, LeavesAShuffleThatAnOutputOrASumSees) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 4, 4, 4]");
  const ValueId y = net.node("shuffle", "channel_shuffle", {x}, {{"groups", two}});
  net.output("sum", net.node("sum", "add", {net.conv("conv", y, 4, 1), y}));
  net.output("shuffled", net.node("other", "channel_shuffle", {net.node("relu", "relu", {x})}, {{"groups", two}}));
  EXPECT_EQ(text(fold_channel_shuffle(net.graph, all_ops())), text(net.graph));
}

Graph written_out(const Ints& dims) {
  Net net;
  const ValueId x = net.input("x", "float32[2, 6, 4, 5]");
  ValueId y = net.node("view", "reshape", {x}, {{"shape", Ints{2, 3, 2, 4, 5}}});
  y = net.node("swap", "permute", {y}, {{"dims", dims}});
  net.output("y", net.node("flat", "reshape", {y}, {{"shape", Ints{2, 6, 4, 5}}}));
  return net.graph;
}

TEST(NameChannelShuffle, KnowsTheThreeSteps) {
  EXPECT_EQ(text(checked(name_channel_shuffle, written_out({0, 2, 1, 3, 4}), 0)), "flat = channel_shuffle(x, groups: 3)\n");
}

TEST(NameChannelShuffle, LeavesOtherPermutations) {
  const Graph graph = written_out({0, 2, 1, 4, 3});
  EXPECT_EQ(text(name_channel_shuffle(graph, all_ops())), text(graph));
}

}  // namespace
}  // namespace wherry
