#include "passes/fold_batchnorm.h"

#include "../net.h"

namespace wherry {
namespace {

TEST(FoldBatchnorm, GoesIntoTheConvolutionBeforeIt) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 3, 8, 8]");
  net.output("y", net.node("relu", "relu", {net.batch_norm("bn", net.conv("conv", x, 4, 3))}));
  const Graph result = checked(fold_batchnorm, net.graph);
  EXPECT_EQ(text(result),
            "bn = conv2d(x, conv.weight.folded, conv.bias.folded)\n"
            "relu = relu(bn)\n");
  EXPECT_EQ(result.nodes[0].path, "conv");
  EXPECT_EQ(result.nodes[0].where(), "conv (net.py:1)");
}

TEST(FoldBatchnorm, MakesABiasWhereThereIsNone) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 3, 8, 8]");
  net.output("y", net.batch_norm("bn", net.node("conv", "conv2d", {x, net.weight("conv.weight", {4, 3, 1, 1})})));
  EXPECT_EQ(text(checked(fold_batchnorm, net.graph)), "bn = conv2d(x, conv.weight.folded, conv.bias.folded)\n");
}

TEST(FoldBatchnorm, FollowsTheChannelsOfEveryKind) {
  Net net;
  const ValueId x = net.input("x", "float32[2, 4, 9]"), m = net.input("m", "float32[3, 5]"),
                image = net.input("image", "float32[1, 6, 5, 5]");
  net.output("conv1d", net.batch_norm("bn1", net.conv("conv1", x, 6, 3, {{"groups", std::int64_t{2}}})));
  net.output("linear",
             net.batch_norm("bn2", net.node("linear", "linear", {m, net.weight("linear.weight", {7, 5}), net.weight("linear.bias", {7})})));
  net.output("depthwise", net.batch_norm("bn3", net.conv("conv3", image, 6, 3, {{"groups", std::int64_t{6}}})));
  EXPECT_EQ(checked(fold_batchnorm, net.graph).nodes.size(), 3U);
}

TEST(FoldBatchnorm, FollowsTheGroupsOfATransposedConvolution) {
  if (!all_ops().find("conv_transpose2d")) GTEST_SKIP() << "no conv_transpose2d";
  Net net;
  const ValueId x = net.input("x", "float32[1, 4, 5, 5]");
  const ValueId y = net.node("up", "conv_transpose2d", {x, net.weight("up.weight", {4, 3, 2, 2}), net.weight("up.bias", {6})},
                             {{"groups", std::int64_t{2}}, {"stride", Ints{2, 2}}});
  net.output("y", net.batch_norm("bn", y));
  EXPECT_EQ(checked(fold_batchnorm, net.graph).nodes.size(), 1U);
}

TEST(FoldBatchnorm, FoldsArithmeticWithANumberForEachChannel) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 3, 4, 4]");
  ValueId y = net.conv("conv", x, 4, 1);
  y = net.node("mul", "mul", {y, net.weight("scale", {4, 1, 1})});
  y = net.node("sub", "sub", {net.weight("from", {1, 4, 1, 1}), y});
  y = net.node("div", "div", {y, net.add.scalar(0.5)});
  y = net.node("add", "add", {y, net.add.scalar(3)});
  net.output("y", y);
  EXPECT_EQ(text(checked(fold_batchnorm, net.graph)), "add = conv2d(x, conv.weight.folded, conv.bias.folded)\n");
}

TEST(FoldBatchnorm, LeavesTheWeightAloneWhereOnlyTheBiasChanges) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 3, 4, 4]");
  net.output("y", net.node("add", "add", {net.conv("conv", x, 4, 1), net.weight("shift", {4, 1, 1})}));
  const Graph result = checked(fold_batchnorm, net.graph);
  EXPECT_EQ(text(result), "add = conv2d(x, conv.weight, conv.bias.folded)\n");
  EXPECT_EQ(result[result.nodes[0].inputs[1]].constant->storage(), net.graph[net.graph.nodes[0].inputs[1]].constant->storage());
}

TEST(FoldBatchnorm, LeavesWhatIsNotItsOwn) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 4, 4, 4]");
  const ValueId shared = net.conv("shared", x, 4, 1);
  net.output("a", net.batch_norm("bn_of_shared", shared));
  net.output("b", shared);
  net.output("c", net.batch_norm("bn_of_input", x));
  net.output("d", net.node("wide", "add", {net.conv("conv", x, 4, 1), net.weight("per_column", {4})}));
  net.output("e", net.node("over", "div", {net.add.scalar(1), net.conv("divisor", x, 4, 1)}));
  EXPECT_EQ(text(fold_batchnorm(net.graph, all_ops())), text(net.graph));
}

}  // namespace
}  // namespace wherry
