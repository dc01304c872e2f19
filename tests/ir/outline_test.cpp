#include "ir/outline.h"

#include "base/diagnostics.h"
#include "import/pt2/read_pt2.h"
#include "ir/flatten.h"
#include "ir/text/read_model.h"
#include "ir/text/write_model.h"
#include "ops/all_ops.h"
#include "outline_network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

namespace wherry {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Model outlined(const Graph& graph) { return outline(graph, all_ops()); }
std::string text_of(const Graph& graph) { return write_yaml(outlined(graph)); }

Graph parsed(const std::string& text, const Weights& weights) {
  Diagnostics diagnostics;
  const Model model = parse_model(text, "model.yaml", {}, diagnostics);
  Graph graph = flatten(model, all_ops(), {.weights = &weights}, diagnostics);
  for (const Diagnostic& diagnostic : diagnostics.all()) ADD_FAILURE() << render(diagnostic) << "\nin\n" << text;
  return graph;
}

void expect_round_trip(const Graph& graph) {
  const std::string text = text_of(graph);
  const Graph back = parsed(text, weights_of(graph));
  EXPECT_EQ(first_difference(graph, back), "") << text;
  EXPECT_EQ(text_of(back), text);
}

std::vector<std::string> block_names(const Graph& graph) {
  std::vector<std::string> names;
  for (const Block& block : outlined(graph).blocks) names.push_back(block.name);
  return names;
}

TEST(Outline, MakesBlocksWithParametersOfAMobileNetwork) {
  const Network net = mobile();
  EXPECT_EQ(text_of(net.graph), R"(wherry: 1
name: mobile
blocks:
  ConvBNRelu:
    params: {in: int, out: int, kernel: 1, stride: 1, groups: 1, relu: true}
    layers:
      conv: {op: conv2d, in: $in, out: $out, kernel_size: $kernel, stride: $stride, padding: $kernel // 2, groups: $groups}
      bn:   {op: batch_norm, features: $out}
      relu: {op: relu, when: $relu}
  IRFBlock:
    params: {in: int, mid: int, out: int, kernel: 3, stride: 1, shuffle: false}
    layers:
      pw:       {block: ConvBNRelu, when: $in != $mid, in: $in, out: $mid}
      shuffle:  {op: channel_shuffle, when: $shuffle, groups: 2}
      dw:       {block: ConvBNRelu, in: $mid, out: $mid, kernel: $kernel, stride: $stride, groups: $mid}
      pwl:      {block: ConvBNRelu, in: $mid, out: $out, relu: false}
      res_conn: {op: add, inputs: [pwl, $input], when: $in == $out}
model:
  inputs: {image: "float32[1, 3, 64, 64]"}
  layers:
    backbone.stages.xif0_0: {block: ConvBNRelu, in: 3, out: 16, kernel: 3, stride: 2}
    backbone.stages.xif2_0: {block: IRFBlock, in: 16, mid: 48, out: 24, stride: 2}
    backbone.stages.xif2_1: {block: IRFBlock, in: 24, mid: 24, out: 24}
    backbone.stages.xif3_0: {block: IRFBlock, in: 24, mid: 144, out: 32, kernel: 5, stride: 2}
    backbone.stages.xif3_1: {block: IRFBlock, in: 32, mid: 96, out: 32, kernel: 5}
    backbone.stages.xif3_2: {block: IRFBlock, in: 32, mid: 32, out: 32, shuffle: true}
    backbone.stages.xif4_0: {block: IRFBlock, in: 32, mid: 192, out: 64}
    head.avg_pool: {op: adaptive_avg_pool2d, output_size: 1}
    head.flatten: {op: flatten, start_dim: 1}
  outputs: {logits: head.flatten}
)");
  expect_round_trip(net.graph);
}

TEST(Outline, TakesTheInputWhereASideBranchIsOff) {
  const Network net = resnet();
  const std::string text = text_of(net.graph);
  EXPECT_THAT(text, HasSubstr("params: {in: int, out: int, stride: 1}\n"));
  EXPECT_THAT(text,
              HasSubstr("downsample.0: {op: conv2d, inputs: $input, when: $in != $out, in: $in, out: $out, kernel_size: 1, bias: false, "
                        "stride: $stride}\n"));
  EXPECT_THAT(text, HasSubstr("add: {op: add, inputs: [bn2, downsample.1]}\n"));
  EXPECT_THAT(text, HasSubstr("layer2.0: {block: BasicBlock, in: 64, out: 128, stride: 2}\n"));
  expect_round_trip(net.graph);
}

TEST(Outline, KeepsAFlagWhereComparingChannelsWouldBeACoincidence) {
  Network net;
  ValueId x = net.irf("a", net.input("x", {1, 8, 16, 16}), 8, 16, 8);
  net.output("y", net.irf("b", x, 8, 24, 12, {3, 2}));
  const std::string text = text_of(net.graph);
  EXPECT_THAT(text, HasSubstr("res_conn: {op: add, inputs: [pwl, $input], when: $residual}"));
  EXPECT_THAT(text, HasSubstr("a: {block: IRFBlock, mid: 16, out: 8, residual: true}"));
  expect_round_trip(net.graph);
}

TEST(Outline, MakesASecondBlockWhereTheWiringDiffers) {
  Network net;
  ValueId x = net.input("x", {1, 4, 8, 8});
  for (const std::string path : {"a", "b", "c", "d"}) {
    net.module(path, "Cell");
    const ValueId left = net.op(path + ".left", "relu", {x}), right = net.op(path + ".right", "relu", {path < "c" ? x : left});
    x = net.op(path + ".sum", "add", {left, right});
  }
  net.output("y", x);
  EXPECT_THAT(block_names(net.graph), ElementsAre("Cell", "Cell2"));
  expect_round_trip(net.graph);
}

TEST(Outline, DissolvesModulesWhoseNodesDoNotStandTogether) {
  Network net;
  const ValueId x = net.input("x", {1, 4, 8, 8});
  net.module("a", "Pair"), net.module("b", "Pair");
  const ValueId a = net.op("a.one", "relu", {x}), b = net.op("b.one", "relu", {x});
  net.output("y", net.op("b.two", "relu", {b}));
  net.output("z", net.op("a.two", "relu", {a}));
  EXPECT_THAT(block_names(net.graph), IsEmpty());
  expect_round_trip(net.graph);
}

TEST(Outline, DissolvesTheSecondCallOfAModule) {
  Network net;
  ValueId x = net.conv_bn_relu("a", net.input("x", {1, 4, 8, 8}), 4, 4);
  x = net.conv_bn_relu("b", x, 4, 4);
  net.module("a_1", "ConvBNRelu");
  const Node first = net.graph.nodes[0], second = net.graph.nodes[1];
  x = net.op("a_1.conv", "conv2d", {x, first.inputs[1], first.inputs[2]});
  x = net.op("a_1.bn", "batch_norm", {x, second.inputs[1], second.inputs[2], second.inputs[3], second.inputs[4]});
  net.output("y", net.op("a_1.relu", "relu", {x}));
  EXPECT_THAT(text_of(net.graph), HasSubstr("a_1.conv: {op: conv2d, weights: a.conv, in: 4"));
  expect_round_trip(net.graph);
}

TEST(Outline, NamesSeveralInputsAndOutputsOfABlock) {
  Network net;
  ValueId x = net.input("x", {1, 4, 8, 8}), y = net.input("y", {1, 4, 8, 8});
  for (const std::string path : {"a", "b"}) {
    net.module(path, "Swap");
    const ValueId sum = net.op(path + ".sum", "add", {x, y}), product = net.op(path + ".product", "mul", {y, x});
    x = net.op(path + ".relu", "relu", {product});
    y = sum;
  }
  net.output("left", x);
  net.output("right", y);
  EXPECT_THAT(block_names(net.graph), ElementsAre("Swap"));
  expect_round_trip(net.graph);
}

TEST(Outline, WritesConstantsInPlace) {
  Network net;
  ValueId x = net.op("scaled", "mul", {net.input("x", {2, 3}), net.scalar(0.5F)});
  x = net.op("shifted", "add", {x, net.constant(Tensor::from<float>({1, 2.5F, -3}, {3}), "")});
  net.output("y", net.op("weighted", "mul", {x, net.weight("table", {2, 3})}));
  const std::string text = text_of(net.graph);
  EXPECT_THAT(text, HasSubstr("scaled:   {op: mul, inputs: [$x, 0.5]}"));
  EXPECT_THAT(text, HasSubstr("shifted:  {op: add, inputs: [scaled, {constant: [1.0, 2.5, -3.0]}]}"));
  EXPECT_THAT(text, HasSubstr("weighted: {op: mul, inputs: [shifted, {weight: table, type: \"float32[2, 3]\"}]}"));
  expect_round_trip(net.graph);
}

TEST(Outline, MakesBlocksOfBlocks) {
  Network net;
  ValueId x = net.input("x", {1, 8, 16, 16});
  std::int64_t channels = 8;
  for (const std::string path : {"s0", "s1", "s2"}) {
    net.module(path, "Stage");
    x = net.irf(path + ".first", x, channels, channels * 4, channels * 2, {3, 2});
    channels *= 2;
    x = net.irf(path + ".second", x, channels, channels * 4, channels);
  }
  net.output("y", x);
  EXPECT_THAT(block_names(net.graph), ElementsAre("ConvBNRelu", "IRFBlock", "Stage"));
  expect_round_trip(net.graph);
}

TEST(Outline, SaysARepeatedBlockOnce) {
  Network net;
  ValueId x = net.conv_bn_relu("stem", net.input("x", {1, 4, 8, 8}), 4, 4, {3});
  for (const std::string path : {"layers.0", "layers.1", "layers.2"}) x = net.conv_bn_relu(path, x, 4, 4);
  net.output("y", x);
  net.output("inner", net.graph.nodes[8].outputs[0]);
  EXPECT_THAT(text_of(net.graph), HasSubstr("layers: {block: ConvBNRelu, repeat: 3}\n"));
  EXPECT_THAT(text_of(net.graph), HasSubstr("outputs: {y: layers.2, inner: layers.1}\n"));
  expect_round_trip(net.graph);
}

TEST(Outline, PassesTheBranchOnWhereASumBeginsWithTheInput) {
  Network net;
  ValueId x = net.input("x", {1, 4, 8, 8});
  for (const std::string path : {"a", "b", "c"}) {
    net.module(path, "Residual");
    ValueId y = net.op(path + ".act", "relu", {net.conv(path + ".conv", x, 4, 4, {3})});
    x = path == "b" ? y : net.op(path + ".sum", "add", {x, y});
  }
  net.output("y", x);
  const std::string text = text_of(net.graph);
  EXPECT_THAT(text, HasSubstr("sum:  {op: add, inputs: [$input, act], when: $residual}"));
  EXPECT_THAT(text, HasSubstr("b: {block: Residual, residual: false}"));
  expect_round_trip(net.graph);
}

TEST(Outline, KeepsWeightsOfABlockThatNoOperatorOwns) {
  Network net;
  ValueId x = net.input("x", {1, 4, 8, 8});
  for (const std::string path : {"a", "b"}) {
    net.module(path, "Scale");
    x = net.op(path + ".mul", "mul", {net.conv(path + ".conv", x, 4, 4, {}), net.weight(path + ".gamma", {4, 1, 1})});
  }
  net.output("y", x);
  EXPECT_THAT(text_of(net.graph), HasSubstr("mul:  {op: mul, inputs: [conv, {weight: .gamma, type: \"float32[4, 1, 1]\"}]}"));
  expect_round_trip(net.graph);
}

TEST(Outline, KeepsAGraphWithoutModules) {
  Network net;
  const ValueId x = net.input("x", {1, 4, 8, 8});
  net.output("y", net.op("add", "add", {net.conv("conv", x, 4, 4, {3}), x}));
  net.output("x_again", x);
  expect_round_trip(net.graph);
}

TEST(Outline, RoundTripsRandomNetworks) {
  int blocks = 0;
  for (unsigned seed = 0; seed < 150 && !testing::Test::HasFailure(); ++seed) {
    const Graph graph = RandomNetwork(seed).graph();
    blocks += static_cast<int>(block_names(graph).size());
    SCOPED_TRACE(seed);
    expect_round_trip(graph);
  }
  EXPECT_GT(blocks, 150);
}

class OutlineOf : public testing::TestWithParam<std::string> {};

TEST_P(OutlineOf, AModelRoundTrips) {
  const fs::path root = WHERRY_SOURCE_DIR;
  Diagnostics diagnostics;
  const Model model = read_model(root / "models" / (GetParam() + ".yaml"), {root / "library"}, diagnostics);
  const Graph graph = flatten(model, all_ops(), {}, diagnostics);
  ASSERT_TRUE(diagnostics.all().empty());
  expect_round_trip(graph);
  EXPECT_LE(text_of(graph).size(), 6000U);
}

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(fs::path(WHERRY_SOURCE_DIR) / "models")) names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}
INSTANTIATE_TEST_SUITE_P(Models, OutlineOf, testing::ValuesIn(model_names()), [](const auto& one) { return one.param; });

TEST(Outline, FbnetRoundTrips) {
  const char* named = std::getenv("WHERRY_DATA");
  const fs::path data = named ? fs::path(named) : fs::path(WHERRY_SOURCE_DIR) / "../shared/data";
  for (const char* name : {"fbnet_a.pt2", "fbnet_b.pt2"}) {
    if (!fs::exists(data / name)) GTEST_SKIP() << name << " is not here";
    Diagnostics diagnostics;
    const Graph graph = read_pt2(data / name, all_ops(), diagnostics);
    ASSERT_TRUE(diagnostics.all().empty());
    expect_round_trip(graph);
    const std::string text = text_of(graph);
    EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 50);
    EXPECT_THAT(block_names(graph), ElementsAre("ConvBNRelu", "IRFBlock"));
    EXPECT_THAT(text, HasSubstr("dw:       {block: ConvBNRelu, in: $mid, out: $mid, kernel: $kernel, stride: $stride, groups: $mid}\n"));
  }
}

TEST(FirstDifference, NamesWhatDiffers) {
  const Graph a = mobile().graph;
  EXPECT_EQ(first_difference(a, a), "");
  Graph b = a;
  b.nodes[4].path = "elsewhere";
  EXPECT_THAT(first_difference(a, b), HasSubstr("elsewhere"));
  b = a;
  b.nodes[0].attrs[0] = Ints{1, 1};
  EXPECT_THAT(first_difference(a, b), HasSubstr("stride: [2, 2] and [1, 1]"));
  b = a;
  b.nodes[5].inputs[0] = a.nodes[0].outputs[0];
  EXPECT_THAT(first_difference(a, b), HasSubstr("node 5"));
  b = a;
  Tensor changed = a[a.nodes[3].inputs[2]].constant->contiguous();
  std::vector<float> numbers = changed.to_floats();
  numbers.back() += 1;
  b[a.nodes[3].inputs[2]].constant = Tensor::from(numbers, changed.sizes());
  EXPECT_THAT(first_difference(a, b), HasSubstr("the numbers of weight 'backbone.stages.xif2_0.pw.conv.bias'"));
}

}  // namespace
}  // namespace wherry
