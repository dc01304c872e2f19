// Who shares a grid with whom, and what apply makes of it.
#include "quantize/plan.h"

#include "quantize/apply.h"
#include "quantize/rules.h"
#include "quantize/weights.h"

#include "../hand_graph.h"

namespace wherry {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

// Graphs with ranges told by hand.
struct Planned {
  HandGraph g;
  std::map<int, Range> ranges;
  PlanOptions options;
  Diagnostics diagnostics;

  int input(const std::string& name, Sizes sizes, Range range) { return ranged(g.input(name, std::move(sizes)), range); }
  int add(const std::string& builtin, std::vector<int> inputs, Sizes sizes, Range range, std::vector<TflOption> node_options = {}) {
    return ranged(g.add(builtin, std::move(inputs), std::move(sizes), std::move(node_options)), range);
  }
  int ranged(int id, Range range) {
    ranges[id] = range;
    return id;
  }
  Plan plan() {
    std::vector<Histogram> tensors(g.graph.tensors.size());
    for (const auto& [id, range] : ranges) {
      const std::vector<float> ends = {range.low, range.high};
      tensors[static_cast<std::size_t>(id)].add(ends);
    }
    Plan out = make_plan(g.graph, tensors, options, diagnostics);
    if (!diagnostics.has_errors()) quantize_weights(g.graph, out);
    return out;
  }
  // A 1x1 convolution of two channels.
  int convolution(int x, Range range, std::vector<float> weight = {1, 2, 3, 4}, std::vector<float> bias = {0.5F, -0.5F}) {
    const int w = g.constant("w", Tensor::from(weight, {2, 1, 1, 2})), b = g.constant("b", Tensor::from(bias, {2}));
    return add("CONV_2D", {x, w, b}, Sizes(g.graph.tensors[static_cast<std::size_t>(x)].sizes), range,
               {{"padding", std::string("SAME")}, {"stride_w", std::int64_t{1}}, {"stride_h", std::int64_t{1}}});
  }
};

Grid grid(const Plan& plan, int id, DType dtype = DType::int8) { return plan.grids.at({id, dtype}).grid; }

TEST(Plan, TiesWhatKernelsCopy) {
  Planned p;
  const int x = p.input("x", {1, 2, 2, 2}, {-1, 3});
  const int pads = p.g.constant("pads", Tensor::from<std::int32_t>({0, 0, 1, 1, 1, 1, 0, 0}, {4, 2}));
  const int padded = p.add("PAD", {x, pads}, {1, 4, 4, 2}, {-1, 3});
  const int flat = p.add("RESHAPE", {padded}, {1, 32}, {-1, 3});
  const int other = p.input("other", {1, 32}, {-2, 1});
  const int joined = p.add("CONCATENATION", {flat, other}, {1, 64}, {-2, 3}, {{"axis", std::int64_t{1}}});
  const int sum = p.add("ADD", {joined, joined}, {1, 64}, {-4, 6});
  p.g.output("y", sum);
  const Plan plan = p.plan();
  for (const int id : {x, padded, flat, other}) EXPECT_EQ(grid(plan, id), grid(plan, joined)) << id;
  EXPECT_EQ(grid(plan, joined), activation_grid({-2, 3}, DType::int8));
  EXPECT_EQ(grid(plan, sum), activation_grid({-4, 6}, DType::int8));
  EXPECT_TRUE(plan.cuts.empty());
}

TEST(Plan, TakesTheGridThatAKernelFixes) {
  Planned p;
  const int x = p.input("x", {1, 10}, {-5, 5});
  const int y = p.add("SOFTMAX", {x}, {1, 10}, {0, 0.4F});
  p.g.output("y", p.add("RESHAPE", {y}, {10}, {0, 0.4F}));
  const Plan plan = p.plan();
  EXPECT_EQ(grid(plan, y), (Grid{DType::int8, 1.0F / 256, -128}));
  EXPECT_EQ(grid(plan, p.g.graph.outputs[0].value), grid(plan, y));
  EXPECT_EQ(plan.grids.at({y, DType::int8}).by, "kernel");
}

// Boxes beside scores: the scores keep the kernel's grid, and only the join's copy is coarse.
TEST(Plan, RequantizesWhereATieWouldHurt) {
  Planned p;
  const int boxes = p.input("boxes", {1, 4, 8}, {0, 320});
  const int scores = p.add("LOGISTIC", {p.input("logits", {1, 4, 8}, {-6, 6})}, {1, 4, 8}, {0, 1});
  const int joined = p.add("CONCATENATION", {boxes, scores}, {1, 4, 16}, {0, 320}, {{"axis", std::int64_t{2}}});
  p.g.output("y", joined);
  const Plan plan = p.plan();
  EXPECT_EQ(grid(plan, scores), (Grid{DType::int8, 1.0F / 256, -128}));
  EXPECT_EQ(grid(plan, joined), activation_grid({0, 320}, DType::int8));
  EXPECT_THAT(plan.cuts, ElementsAre(Pair(1, 1)));
  const Quantized made = apply_plan(p.g.graph, plan, {});
  EXPECT_THAT(count_builtins(made.graph), Contains(Pair("QUANTIZE", 3))) << "two inputs, and the scores once more";
}

TEST(Plan, LeavesAnOperatorWithoutKernelInFloatOnlyWhenAllowed) {
  for (const bool allow : {false, true}) {
    Planned p;
    p.options.allow_float = allow;
    const int x = p.input("x", {1, 10}, {0, 5});
    const int y =
        p.add("CUMSUM", {p.add("RELU", {x}, {1, 10}, {0, 5}), p.g.constant("axis", Tensor::from<std::int32_t>({1}, {1}).reshaped({}))},
              {1, 10}, {0, 20});
    p.g.output("y", p.add("RELU", {y}, {1, 10}, {0, 20}));
    const Plan plan = p.plan();
    EXPECT_EQ(p.diagnostics.has_errors(), !allow);
    ASSERT_EQ(p.diagnostics.all().size(), 1);
    EXPECT_EQ(p.diagnostics.all()[0].code, "E803");
    EXPECT_THAT(p.diagnostics.all()[0].message, HasSubstr("CUMSUM"));
    if (!allow) continue;
    EXPECT_EQ(plan.nodes[1], DType::float32);
    const auto counts = count_builtins(apply_plan(p.g.graph, plan, {}).graph);
    EXPECT_EQ(counts.at("QUANTIZE"), 2);
    EXPECT_EQ(counts.at("DEQUANTIZE"), 2);
  }
}

TEST(Plan, GivesAnIslandItsOwnPrecision) {
  Planned p;
  const int x = p.input("x", {1, 2, 2, 2}, {-1, 3});
  const int a = p.convolution(x, {-4, 4});
  const int b = p.convolution(a, {-9, 9});
  p.g.output("y", p.add("RELU", {b}, {1, 2, 2, 2}, {0, 9}));
  p.options.nodes = {{1, DType::int16}};
  const Plan plan = p.plan();
  EXPECT_EQ(grid(plan, a, DType::int16), activation_grid({-4, 4}, DType::int16));
  EXPECT_EQ(grid(plan, a, DType::int8), activation_grid({-4, 4}, DType::int8));
  const TflGraph made = apply_plan(p.g.graph, plan, {}).graph;
  std::vector<std::string> order;
  for (const TflNode& node : made.nodes) order.push_back(node.builtin);
  EXPECT_THAT(order, ElementsAre("QUANTIZE", "CONV_2D", "QUANTIZE", "CONV_2D", "QUANTIZE", "RELU", "DEQUANTIZE"));
  const TflTensor& bias16 = made.tensors[static_cast<std::size_t>(made.nodes[3].inputs[2])];
  EXPECT_EQ(bias16.dtype, DType::int64);
  EXPECT_EQ(made.tensors[static_cast<std::size_t>(made.nodes[1].inputs[2])].dtype, DType::int32);
}

TEST(Apply, PutsConversionsAtTheBordersUnlessTheyAreIntegers) {
  Planned p;
  const int x = p.input("x", {1, 2, 2, 2}, {-1, 3});
  p.g.output("y", p.convolution(x, {-4, 4}));
  const Plan plan = p.plan();
  const TflGraph reals = apply_plan(p.g.graph, plan, {}).graph, codes = apply_plan(p.g.graph, plan, {.integer_borders = true}).graph;
  EXPECT_EQ(reals.nodes.size(), 3);
  EXPECT_EQ(reals.tensors[static_cast<std::size_t>(reals.inputs[0].value)].dtype, DType::float32);
  EXPECT_EQ(codes.nodes.size(), 1);
  EXPECT_EQ(codes.tensors[static_cast<std::size_t>(codes.inputs[0].value)].dtype, DType::int8);
  EXPECT_EQ(codes.tensors[static_cast<std::size_t>(codes.outputs[0].value)].dtype, DType::int8);
  EXPECT_EQ(codes.inputs[0].name, "x");
}

TEST(Apply, TellsSixteenBitAdditionsThatScalesAreFree) {
  Planned p;
  p.options.activations = DType::int16;
  const int x = p.input("x", {1, 8}, {-1, 3});
  p.g.output("y", p.add("ADD", {x, x}, {1, 8}, {-2, 6}));
  const TflGraph made = apply_plan(p.g.graph, p.plan(), {}).graph;
  const auto add = std::ranges::find(made.nodes, "ADD", &TflNode::builtin);
  ASSERT_NE(add, made.nodes.end());
  ASSERT_NE(add->find("pot_scale_int16"), nullptr);
  EXPECT_EQ(add->find("pot_scale_int16")->value, Attr(false));
}

// One constant as two nodes' bias, with inputs of different scales: each has its own integers.
TEST(Apply, GivesSharedConstantsPrivateCopies) {
  Planned p;
  const int w = p.g.constant("w", Tensor::from<float>({1, 2, 3, 4}, {2, 2})), b = p.g.constant("b", Tensor::from<float>({1, -1}, {2}));
  const int x = p.input("x", {1, 2}, {-1, 1});
  const int y = p.add("FULLY_CONNECTED", {x, w, b}, {1, 2}, {-8, 8});
  p.g.output("y", p.add("FULLY_CONNECTED", {y, w, b}, {1, 2}, {-60, 60}));
  const TflGraph made = apply_plan(p.g.graph, p.plan(), {}).graph;
  std::vector<const TflTensor*> biases;
  for (const TflNode& node : made.nodes)
    if (node.builtin == "FULLY_CONNECTED") biases.push_back(&made.tensors[static_cast<std::size_t>(node.inputs[2])]);
  ASSERT_EQ(biases.size(), 2);
  EXPECT_NE(biases[0], biases[1]);
  for (const TflTensor* bias : biases)
    for (std::int64_t c = 0; c < 2; ++c) {
      const float step = bias->quantization->scales[static_cast<std::size_t>(c)];
      EXPECT_NEAR(bias->constant->item(c) * static_cast<double>(step), c ? -1 : 1, static_cast<double>(step));
    }
}

TEST(Weights, AreSymmetricByChannel) {
  Planned p;
  p.g.output("y", p.convolution(p.input("x", {1, 2, 2, 2}, {-1, 3}), {-4, 4}, {1, -2, 0.25F, 0.5F}));
  const Plan plan = p.plan();
  const QuantizedWeight& weight = plan.weights.at(0);
  EXPECT_THAT(weight.scales, ElementsAre(2.0F / 127, 0.5F / 127));
  EXPECT_THAT(weight.codes.to_ints(), ElementsAre(64, -127, 64, 127));
}

// A channel whose weights are nearly nothing: at max|w| / 127 its bias would need more than 32 bits.
TEST(Weights, LeaveRoomForABiasThatWouldSaturate) {
  Planned p;
  p.g.output("y", p.convolution(p.input("x", {1, 2, 2, 2}, {-1, 3}), {-4, 4}, {1e-9F, -2e-9F, 1, 2}, {3, 1}));
  const Plan plan = p.plan();
  const QuantizedWeight& weight = plan.weights.at(0);
  const Grid input = activation_grid({-1, 3}, DType::int8);
  EXPECT_GT(3.0 / (static_cast<double>(input.scale) * 2e-9 / 127), 2147483647.0) << "the example would not saturate";
  const Tensor codes = bias_codes(weight, input);
  EXPECT_LE(std::abs(codes.item(0)), 1.01 * 1073741824.0) << "half of int32 stays for the products";
  EXPECT_NEAR(codes.item(0) * static_cast<double>(input.scale) * static_cast<double>(weight.scales[0]), 3, 1e-4);
  EXPECT_FLOAT_EQ(weight.scales[1], 2.0F / 127) << "the other channel is as it was";
}

TEST(Weights, FollowABiasThatGrewByCorrection) {
  Planned p;
  p.g.output("y", p.convolution(p.input("x", {1, 2, 2, 2}, {-1, 3}), {-4, 4}, {1e-7F, -2e-7F, 1, 2}, {0, 1}));
  QuantizedWeight weight = p.plan().weights.at(0);
  const Grid input = activation_grid({-1, 3}, DType::int8);
  EXPECT_FALSE(fit_bias(weight, input, 0));
  const double before = static_cast<double>(weight.scales[0]) * weight.codes.item(1);
  weight.bias[0] = 50;
  EXPECT_TRUE(fit_bias(weight, input, 0));
  EXPECT_NEAR(bias_codes(weight, input).item(0) * static_cast<double>(input.scale) * static_cast<double>(weight.scales[0]), 50, 1e-3);
  EXPECT_NEAR(static_cast<double>(weight.scales[0]) * weight.codes.item(1), before, static_cast<double>(weight.scales[0]));
  EXPECT_FALSE(fit_bias(weight, input, 0)) << "once is enough";
}

}  // namespace
}  // namespace wherry
