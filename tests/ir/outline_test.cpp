#include "ir/outline.h"

#include "base/diagnostics.h"
#include "ir/flatten.h"
#include "ir/text/read_model.h"
#include "ir/text/write_model.h"
#include "ops/all_ops.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace wherry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Window {
  std::int64_t kernel = 1, stride = 1, groups = 1;
  bool bias = true;
};

// A network as an importer would make it: nodes under their modules' paths, and the modules' classes.
class Network {
 public:
  explicit Network(std::string name = "net") : builder_(graph, all_ops()) { graph.name = std::move(name); }

  ValueId input(const std::string& name, Sizes sizes) {
    const ValueId v = graph.add_value({name, {DType::float32, to_shape(sizes)}, {}});
    graph.inputs.push_back({name, v});
    return v;
  }
  void output(const std::string& name, ValueId v) { graph.outputs.push_back({name, v}); }
  void module(const std::string& path, const std::string& type) { graph.modules.push_back({path, type}); }

  ValueId weight(const std::string& key, Sizes sizes) {
    std::vector<float> numbers(static_cast<std::size_t>(element_count(sizes)));
    for (float& number : numbers) number = static_cast<float>(++seed_ % 1009) / 1009.0F - 0.5F;
    return builder_.constant(Tensor::from(numbers, std::move(sizes)), key);
  }

  ValueId constant(Tensor tensor, std::string name) { return builder_.constant(std::move(tensor), std::move(name)); }
  ValueId scalar(double value) { return builder_.scalar(value); }

  ValueId op(const std::string& path, std::string_view name, std::vector<ValueId> inputs, std::vector<NamedAttr> attrs = {}) {
    builder_.at(path, {});
    return builder_(name, std::move(inputs), std::move(attrs));
  }

  ValueId conv(const std::string& path, ValueId x, std::int64_t in, std::int64_t out, Window w) {
    const ValueId weights = weight(path + ".weight", {out, in / w.groups, w.kernel, w.kernel});
    const ValueId bias = w.bias ? weight(path + ".bias", {out}) : absent;
    return op(path, "conv2d", {x, weights, bias},
              {{"stride", w.stride}, {"padding", w.kernel / 2}, {"groups", w.groups}});
  }
  ValueId norm(const std::string& path, ValueId x, std::int64_t features) {
    std::vector<ValueId> inputs = {x};
    for (const char* name : {".weight", ".bias", ".running_mean", ".running_var"}) inputs.push_back(weight(path + name, {features}));
    return op(path, "batch_norm", inputs);
  }

  ValueId conv_bn_relu(const std::string& path, ValueId x, std::int64_t in, std::int64_t out, Window w = {}, bool relu = true) {
    module(path, "ConvBNRelu");
    x = norm(path + ".bn", conv(path + ".conv", x, in, out, w), out);
    return relu ? op(path + ".relu", "relu", {x}) : x;
  }

  ValueId irf(const std::string& path, ValueId x, std::int64_t in, std::int64_t mid, std::int64_t out, Window w = {3}, bool shuffle = false) {
    module(path, "IRFBlock");
    ValueId y = x;
    if (mid != in) y = conv_bn_relu(path + ".pw", y, in, mid);
    if (shuffle) y = op(path + ".shuffle", "channel_shuffle", {y}, {{"groups", std::int64_t{2}}});
    y = conv_bn_relu(path + ".dw", y, mid, mid, {w.kernel, w.stride, mid});
    y = conv_bn_relu(path + ".pwl", y, mid, out, {}, false);
    return in == out && w.stride == 1 ? op(path + ".res_conn", "add", {y, x}) : y;
  }

  ValueId basic_block(const std::string& path, ValueId x, std::int64_t in, std::int64_t out, std::int64_t stride) {
    module(path, "BasicBlock");
    ValueId y = op(path + ".relu", "relu", {norm(path + ".bn1", conv(path + ".conv1", x, in, out, {3, stride, 1, false}), out)});
    y = norm(path + ".bn2", conv(path + ".conv2", y, out, out, {3, 1, 1, false}), out);
    if (in != out) {
      module(path + ".downsample", "Sequential");
      x = norm(path + ".downsample.1", conv(path + ".downsample.0", x, in, out, {1, stride, 1, false}), out);
    }
    return op(path + ".relu_1", "relu", {op(path + ".add", "add", {y, x})});
  }

  Graph graph;

 private:
  Builder builder_;
  unsigned seed_ = 0;
};

Network mobile() {
  Network net("mobile");
  ValueId x = net.conv_bn_relu("backbone.stages.xif0_0", net.input("image", {1, 3, 64, 64}), 3, 16, {3, 2});
  x = net.irf("backbone.stages.xif2_0", x, 16, 48, 24, {3, 2});
  x = net.irf("backbone.stages.xif2_1", x, 24, 24, 24, {3});
  x = net.irf("backbone.stages.xif3_0", x, 24, 144, 32, {5, 2});
  x = net.irf("backbone.stages.xif3_1", x, 32, 96, 32, {5});
  x = net.irf("backbone.stages.xif3_2", x, 32, 32, 32, {3}, true);
  x = net.irf("backbone.stages.xif4_0", x, 32, 192, 64, {3});
  x = net.op("head.avg_pool", "adaptive_avg_pool2d", {x}, {{"output_size", std::int64_t{1}}});
  net.output("logits", net.op("head.flatten", "flatten", {x}, {{"start_dim", std::int64_t{1}}}));
  return net;
}

Network resnet() {
  Network net("resnet");
  ValueId x = net.basic_block("layer1.0", net.input("image", {1, 64, 56, 56}), 64, 64, 1);
  x = net.basic_block("layer1.1", x, 64, 64, 1);
  x = net.basic_block("layer2.0", x, 64, 128, 2);
  x = net.basic_block("layer2.1", x, 128, 128, 1);
  x = net.basic_block("layer3.0", x, 128, 256, 2);
  net.output("features", net.basic_block("layer3.1", x, 256, 256, 1));
  return net;
}

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
  EXPECT_THAT(text, HasSubstr("downsample.0: {op: conv2d, inputs: $input, when: $in != $out, in: $in, out: $out, kernel_size: 1, bias: false, "
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

// Classes made at random; instances of them that lack layers, differ in arguments and sometimes take from elsewhere.
class RandomNetwork {
 public:
  explicit RandomNetwork(unsigned seed) : seed_(seed), random_(seed) {
    known_ = {net_.input("x", {1, 4, 6, 6}), net_.input("y", {1, 4, 6, 6})};
    for (std::size_t n = 0; n < 6; ++n) instance("m" + std::to_string(n), pick(3));
    net_.output("last", known_.back());
    net_.output("some", known_[pick(known_.size())]);
  }
  Graph graph() { return without_dead_code(net_.graph); }

 private:
  std::size_t pick(std::size_t n) { return random_() % n; }

  ValueId instance(const std::string& path, std::size_t cls) {
    std::mt19937 form(seed_ * 7 + static_cast<unsigned>(cls));   // the same for all instances
    net_.module(path, "Class" + std::to_string(cls));
    std::vector<ValueId> local = {known_.back(), pick(4) == 0 ? known_[pick(known_.size())] : known_.back()};
    const std::size_t layers = form() % 4 + 2;
    for (std::size_t n = 0; n < layers; ++n) {
      const std::size_t kind = form() % 7, left = form() % local.size(), right = form() % 3 == 0 ? form() % local.size() : local.size() - 1;
      const std::string name = path + (form() % 4 == 0 ? ".inner.l" : ".l") + std::to_string(n);
      if (pick(6) == 0) continue;
      local.push_back(kind > 4 && cls < 3 ? instance(name, cls + 1) : layer(name, kind, local[left], local[right]));
      known_.push_back(local.back());
    }
    return local.back();
  }

  ValueId layer(const std::string& path, std::size_t kind, ValueId left, ValueId right) {
    switch (kind) {
      case 0: return net_.op(path, "relu", {right});
      case 1: return net_.op(path, "add", {left, right});
      case 2: return net_.op(path, "mul", {right, net_.scalar(pick(8) == 0 ? 0.1 : 2)});
      case 3: return net_.op(path, "softmax", {right}, {{"dim", static_cast<std::int64_t>(pick(2))}});
      default: return net_.conv(path, right, 4, 4, {static_cast<std::int64_t>(2 * pick(2) + 1), 1, std::int64_t{1} << pick(3), pick(3) > 0});
    }
  }

  unsigned seed_;
  std::mt19937 random_;
  Network net_;
  std::vector<ValueId> known_;
};

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
