#include "lower/lower_tfl.h"

#include "../net.h"

namespace wherry {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string lowered(const Graph& graph, Io io = Io::nhwc) {
  Diagnostics diagnostics;
  const Lowered result = lower_to_tfl(graph, all_ops(), {.io = io}, diagnostics);
  diagnostics.throw_if_errors();
  return text(result.graph);
}

std::string refusal(const Graph& graph, const OpTable& ops = all_ops()) {
  Diagnostics diagnostics;
  lower_to_tfl(graph, ops, {}, diagnostics);
  EXPECT_TRUE(diagnostics.has_errors());
  return Failure(diagnostics.all()).what();
}

TEST(LowerTfl, GoesChannelsLastAndFusesTheActivation) {
  Net net;
  const ValueId x = net.input("image", "float32[1, 3, 8, 8]");
  net.output("logits", net.node("relu", "relu", {net.conv("conv", x, 4, 3, {{"padding", Ints{1, 1}}})}));
  EXPECT_EQ(lowered(net.graph),
            "net(image: float32[1, 8, 8, 3])\n"
            "relu = CONV_2D(image, conv.weight: float32[4, 3, 3, 3], conv.bias: float32[4]) padding=SAME stride_w=1 stride_h=1 "
            "dilation_w_factor=1 dilation_h_factor=1 fused_activation_function=RELU -> float32[1, 8, 8, 4]\n"
            "return logits: relu\n");
}

TEST(LowerTfl, KeepsTheSourcesLayoutAtTheBorderWhereAsked) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 3, 4, 5]");
  net.output("y", net.conv("conv", x, 4, 1));
  const std::string text = lowered(net.graph, Io::nchw);
  EXPECT_THAT(text, HasSubstr("net(x: float32[1, 3, 4, 5])\nx/transpose = TRANSPOSE(x, [0, 2, 3, 1]) -> float32[1, 4, 5, 3]\n"));
  EXPECT_THAT(text, HasSubstr("conv/transpose = TRANSPOSE(conv, [0, 3, 1, 2]) -> float32[1, 4, 4, 5]\nreturn y: conv/transpose\n"));
}

TEST(LowerTfl, MovesOnesByReshape) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 6, 1, 1]");
  net.output("y", net.conv("conv", x, 4, 1));
  const std::string text = lowered(net.graph, Io::nchw);
  EXPECT_THAT(text, HasSubstr("x/reshape = RESHAPE(x, [1, 1, 1, 6]) new_shape=[1, 1, 1, 6] -> float32[1, 1, 1, 6]\n"));
  EXPECT_THAT(text, Not(HasSubstr("TRANSPOSE")));
}

TEST(LowerTfl, TransposesAValueOnceForEachOrder) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 3, 4, 4]");
  net.output("y", net.node("sum", "add", {net.conv("a", x, 4, 1), net.conv("b", x, 4, 1)}));
  const std::string text = lowered(net.graph, Io::nchw);
  EXPECT_EQ(text.find("TRANSPOSE(x"), text.rfind("TRANSPOSE(x"));
}

TEST(LowerTfl, BroadcastsLowerRanksInTheTensorsOrder) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 3, 4, 5]");
  ValueId y = net.node("scale", "mul", {x, net.weight("per_channel", {3, 1, 1})});
  y = net.node("shift", "add", {y, net.weight("plane", {4, 5})});
  y = net.node("twice", "mul", {y, net.add.scalar(2, DType::float32)});
  net.output("y", net.node("by_input", "add", {y, net.input("row", "float32[3, 1, 1]")}));
  EXPECT_EQ(lowered(net.graph),
            "net(x: float32[1, 4, 5, 3], row: float32[3, 1, 1])\n"
            "scale = MUL(x, per_channel: float32[1, 1, 1, 3]) fused_activation_function=NONE -> float32[1, 4, 5, 3]\n"
            "shift = ADD(scale, plane: float32[1, 4, 5, 1]) fused_activation_function=NONE -> float32[1, 4, 5, 3]\n"
            "twice = MUL(shift, 2.0) fused_activation_function=NONE -> float32[1, 4, 5, 3]\n"
            "row/reshape = RESHAPE(row, [1, 1, 1, 3]) new_shape=[1, 1, 1, 3] -> float32[1, 1, 1, 3]\n"
            "by_input = ADD(twice, row/reshape) fused_activation_function=NONE -> float32[1, 4, 5, 3]\n"
            "return y: by_input\n");
}

TEST(LowerTfl, GivesPermutesForNothing) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 4, 5, 3]");  // channels last by its author, who permutes before the convolution
  const ValueId y = net.node("to_nchw", "permute", {x}, {{"dims", Ints{0, 3, 1, 2}}});
  net.output("y", net.node("to_nhwc", "permute", {net.conv("conv", y, 4, 1)}, {{"dims", Ints{0, 2, 3, 1}}}));
  EXPECT_THAT(lowered(net.graph, Io::nchw), Not(HasSubstr("TRANSPOSE")));
}

TEST(LowerTfl, MapsAnAxisToWhereItLies) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 3, 4, 5]");
  net.output("y", net.node("cat", "cat", {x, net.conv("conv", x, 2, 1)}, {{"dim", std::int64_t{1}}}));
  EXPECT_THAT(lowered(net.graph), HasSubstr("cat = CONCATENATION(x, conv) axis=3"));
}

TEST(LowerTfl, SharesEqualConstants) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 3, 9, 9]");
  ValueId y = net.conv("a", x, 3, 3, {{"padding", Ints{1, 1}}, {"stride", Ints{2, 2}}, {"groups", std::int64_t{3}}});
  y = net.node("b", "conv2d", {x, net.graph.nodes[0].inputs[1], net.graph.nodes[0].inputs[2]},
               {{"padding", Ints{1, 1}}, {"stride", Ints{2, 2}}, {"groups", std::int64_t{3}}});
  net.output("y", net.node("sum", "add", {y, net.graph.nodes[0].outputs[0]}));
  Diagnostics diagnostics;
  const Lowered result = lower_to_tfl(net.graph, all_ops(), {}, diagnostics);
  int constants = 0;
  for (const TflTensor& tensor : result.graph.tensors) constants += tensor.constant.has_value();
  EXPECT_EQ(constants, 2) << text(result.graph);
}

TEST(LowerTfl, TapsEveryValueThatSurvives) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 3, 4, 4]");
  const ValueId y = net.node("relu", "relu", {net.conv("conv", x, 5, 1)});
  net.output("y", net.node("flat", "flatten", {net.node("turned", "permute", {y}, {{"dims", Ints{0, 2, 3, 1}}})},
                           {{"start_dim", std::int64_t{1}}}));
  Diagnostics diagnostics;
  const Lowered result = lower_to_tfl(net.graph, all_ops(), {}, diagnostics);
  std::vector<std::string> names;
  for (const TflTap& tap : result.taps) {
    EXPECT_EQ(net.graph[tap.value].name, tap.name);
    EXPECT_EQ(result.graph.tensors[static_cast<std::size_t>(tap.tensor)].name, tap.name);
    names.push_back(tap.name + text(Attr(Ints(tap.order.begin(), tap.order.end()))));
  }
  EXPECT_THAT(names, testing::ElementsAre("x[0, 3, 1, 2]", "relu[0, 3, 1, 2]", "flat[0, 1]"));  // conv went into relu, turned is relu
}

TEST(LowerTfl, KeepsThePathAndTheSourceLine) {
  Net net;
  net.output("y", net.conv("head.conv", net.input("x", "float32[1, 3, 4, 4]"), 5, 1));
  Diagnostics diagnostics;
  const Lowered result = lower_to_tfl(net.graph, all_ops(), {}, diagnostics);
  EXPECT_EQ(result.graph.nodes.at(0).path, "head.conv");
  EXPECT_EQ(result.graph.nodes.at(0).source.line, 1);
}

TEST(LowerTfl, NamesTheDimensionsWithoutASize) {
  Net net;
  net.output("y", net.node("relu", "relu", {net.input("x", "float32[batch, 3, height, 4]")}));
  EXPECT_EQ(refusal(net.graph),
            "error E504: TFLite needs a size for every dimension; without one: batch, height\n"
            "  try  give each a size: --dim batch=1 --dim height=1\n");
}

TEST(LowerTfl, NamesTheOperatorWhoseShapeDependsOnTheData) {
  static const OpDef finding[] = {{.name = "find", .doc = "Where x is not zero.", .inputs = {{"x", "any"}}, .infer = [](const OpTypes&) {
                                     return std::vector<Type>{{DType::int64, {Dim::symbol("u0")}}};
                                   }}};
  OpTable ops;
  ops.add(finding);
  Net net;
  Builder builder(net.graph, ops);
  builder.at("mask", {"model.py", 3});
  net.output("y", builder("find", {net.input("x", "float32[2]")}));
  EXPECT_THAT(refusal(net.graph, ops),
              HasSubstr("error E504: TFLite needs a size for every dimension; 'find' gives int64[u0], which depends on the data\n"
                        "  at   mask (model.py:3)\n"));
}

TEST(LowerTfl, NamesEveryOperatorThatTheTargetLacks) {
  static const OpDef lacking[] = {{.name = "mystery", .doc = "Nobody knows.", .inputs = {{"x", "any"}}, .infer = [](const OpTypes& t) {
                                     return std::vector<Type>{*t.inputs[0]};
                                   }}};
  OpTable ops;
  ops.add(lacking);
  Net net;
  Builder builder(net.graph, ops);
  const ValueId x = net.input("x", "float32[2, 3]");
  builder.at("block.first", {"model.py", 7});
  const ValueId y = builder("mystery", {x});
  builder.at("block.second", {"model.py", 8});
  net.output("y", builder("mystery", {y}));
  const std::string message = refusal(net.graph, ops);
  EXPECT_THAT(message, HasSubstr("error E202: 'mystery' cannot become TFLite: the operator has no tflite slot and no expansion\n"
                                 "  at   block.first (model.py:7)\n"
                                 "  in   x: float32[2, 3]\n"
                                 "  try  "));
  EXPECT_THAT(message, HasSubstr("  at   block.second (model.py:8)\n"));
}

TEST(ToFloat16, PutsADequantizeBehindEachWeight) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 3, 4, 4]");
  net.output("y", net.node("twice", "mul", {net.conv("conv", x, 5, 1), net.add.scalar(2)}));
  Diagnostics diagnostics;
  Lowered result = lower_to_tfl(net.graph, all_ops(), {}, diagnostics);
  to_float16(result.graph, diagnostics);
  EXPECT_THAT(text(result.graph), HasSubstr("conv.weight/float32 = DEQUANTIZE(conv.weight: float16[5, 1, 1, 3]) -> float32[5, 1, 1, 3]\n"
                                            "conv.bias/float32 = DEQUANTIZE(conv.bias: float16[5]) -> float32[5]\n"
                                            "conv = CONV_2D(x, conv.weight/float32, conv.bias/float32)"));
  EXPECT_THAT(text(result.graph), HasSubstr("MUL(conv, 2.0)"));
  EXPECT_TRUE(diagnostics.all().empty());
}

TEST(ToFloat16, WarnsWhereAWeightLeavesItsRange) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 2]");
  ValueId y = net.node("big", "mul", {x, net.numbers("big.weight", {1, 70000}, {2})});
  y = net.node("small", "mul", {y, net.numbers("small.weight", {1e-9F, -1e-9F}, {2})});
  net.output("y", net.node("fine", "mul", {y, net.numbers("fine.weight", {1e-9F, 1}, {2})}));
  Diagnostics diagnostics;
  Lowered result = lower_to_tfl(net.graph, all_ops(), {}, diagnostics);
  to_float16(result.graph, diagnostics);
  ASSERT_EQ(diagnostics.all().size(), 2U);
  EXPECT_FALSE(diagnostics.has_errors());
  EXPECT_THAT(render(diagnostics.all()[0]), HasSubstr("warning E404: weight 'big.weight' has 1 numbers beyond 65504, float16's largest\n"));
  EXPECT_THAT(render(diagnostics.all()[1]), HasSubstr("weight 'small.weight' has only numbers too small for float16: all become zero\n"));
}

}  // namespace
}  // namespace wherry
