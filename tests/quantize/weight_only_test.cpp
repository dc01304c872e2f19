// Small weights beside float activations, run in LiteRT against the reference evaluator.
#include "quantize/weight_only.h"

#include "export/tflite/write_tflite.h"
#include "runtime/litert.h"
#include "verify/metrics.h"

#include "../net.h"
#include "litert_program.h"

#include <bit>

namespace wherry {
namespace {

using testing::Contains;
using testing::Each;
using testing::Key;
using testing::Not;
using testing::Pair;

double sqnr_in_litert(const Graph& graph, const TflGraph& tfl) {
  std::vector<Type> types;
  for (const Port& port : graph.inputs) types.push_back(graph.type(port.value));
  const std::vector<Tensor> inputs = seeded_tensors(types, 3);
  const std::vector<Tensor> found = LiteRtModel::from_bytes(tflite_bytes(tfl), "test")->run(inputs);
  return compare(Evaluator(graph, all_ops()).run(inputs).at(0), found.at(0)).sqnr_db;
}

struct Form {
  std::string name;
  void (*apply)(TflGraph&);
  double least_db;
};
const std::vector<Form> forms = {{"dynamic", to_dynamic_range, 34}, {"int8_weights", to_int8_weights, 38}, {"int4", to_int4_weights, 13}};

struct Case {
  std::string name;
  void (*build)(Net&);
};
const std::vector<Case> cases = {
    {"text",
     [](Net& n) {
       const ValueId x = n.node("embed", "embedding", {n.input("tokens", "int64[2, 5]"), n.weight("embed.weight", {60, 64})});
       const ValueId up = n.node("up", "linear", {x, n.weight("up.weight", {96, 64}), n.weight("up.bias", {96})});
       const ValueId down = n.node("down", "linear", {n.node("act", "gelu", {up}), n.weight("down.weight", {64, 96})});
       n.output("y", n.node("head", "linear", {n.node("sum", "add", {down, x}), n.weight("head.weight", {60, 64})}));
     }},
    {"rows_that_no_block_fills",
     [](Net& n) {
       const ValueId x = n.node("embed", "embedding", {n.input("tokens", "int64[7]"), n.weight("embed.weight", {20, 50})});
       const ValueId odd = n.node("odd", "linear", {x, n.weight("odd.weight", {33, 50}), n.weight("odd.bias", {33})});
       n.output("y", n.node("even", "linear", {odd, n.weight("even.weight", {12, 33})}));
     }},
    {"convolutions",
     [](Net& n) {
       ValueId x = n.conv("stem", n.input("x", "float32[1, 3, 16, 16]"), 16, 3, {{"stride", Ints{2, 2}}, {"padding", Ints{1, 1}}});
       x = n.conv("dw", n.node("relu", "relu", {x}), 16, 3, {{"groups", std::int64_t{16}}, {"padding", Ints{1, 1}}});
       x = n.conv("grouped", x, 16, 3, {{"groups", std::int64_t{2}}});
       x = n.conv("twofold", x, 32, 3, {{"groups", std::int64_t{16}}});
       n.output("y", n.conv("pw", x, 8, 1));
     }},
    {"transposed",
     [](Net& n) {
       n.output("y",
                n.node("up", "conv_transpose2d", {n.input("x", "float32[1, 8, 5, 5]"), n.weight("w", {8, 6, 3, 3}), n.weight("b", {6})},
                       {{"stride", Ints{2, 2}}}));
     }},
    {"sequence",
     [](Net& n) {
       n.output("y", n.conv("conv", n.input("x", "float32[2, 8, 16]"), 12, 3, {{"stride", Ints{2}}, {"padding", Ints{1}}}));
     }},
};

class WeightOnly : public testing::TestWithParam<std::tuple<Case, Form>> {};

TEST_P(WeightOnly, RunsInLiteRt) {
  if (!find_litert()) GTEST_SKIP() << "ai-edge-litert is not installed";
  const auto& [what, form] = GetParam();
  Net net;
  what.build(net);
  const TflGraph whole = lowered(net.graph);
  TflGraph small = whole;
  form.apply(small);
  EXPECT_LT(tflite_bytes(small).size(), tflite_bytes(whole).size());
  const double found = sqnr_in_litert(net.graph, small);
  EXPECT_GE(found, form.least_db) << text(small);
  EXPECT_LE(found, 90) << "the weights are as they were";
}

std::string label(const testing::TestParamInfo<std::tuple<Case, Form>>& test) {
  return std::get<0>(test.param).name + "_" + std::get<1>(test.param).name;
}
INSTANTIATE_TEST_SUITE_P(All, WeightOnly, testing::Combine(testing::ValuesIn(cases), testing::ValuesIn(forms)), label);

TEST(WeightOnlyForms, WritesTheOperatorsThatItSays) {
  Net net;
  cases[0].build(net);
  const TflGraph whole = lowered(net.graph);
  TflGraph dynamic = whole, only = whole, four = whole;
  to_dynamic_range(dynamic);
  to_int8_weights(only);
  to_int4_weights(four);
  EXPECT_THAT(count_builtins(dynamic), Not(Contains(Key("DEQUANTIZE"))));
  EXPECT_THAT(count_builtins(only), Contains(Pair("DEQUANTIZE", 3)));
  for (const TflGraph* graph : {&dynamic, &only, &four}) {
    EXPECT_THAT(count_builtins(*graph), Not(Contains(Key("GATHER"))));
    EXPECT_THAT(count_builtins(*graph), Contains(Pair("EMBEDDING_LOOKUP", 1)));
  }
  for (const TflNode& node : four.nodes) {
    if (node.builtin != "FULLY_CONNECTED" && node.builtin != "EMBEDDING_LOOKUP") continue;
    const TflTensor& weight = four.tensors[static_cast<std::size_t>(node.inputs[1])];
    EXPECT_EQ(weight.dtype, DType::int4);
    ASSERT_TRUE(weight.quantization);
    EXPECT_EQ(weight.quantization->block_size, 32);
    EXPECT_EQ(four.tensors[static_cast<std::size_t>(weight.quantization->block_scales)].sizes,
              (Sizes{weight.sizes[0], weight.sizes[1] / 32}));
  }
}

// One table for the embedding and for the output layer, as language models have it.
TEST(WeightOnlyForms, KeepsATiedWeightOnce) {
  if (!find_litert()) GTEST_SKIP() << "ai-edge-litert is not installed";
  Net net;
  const ValueId table = net.weight("table", {200, 64});
  const ValueId x = net.node("embed", "embedding", {net.input("tokens", "int64[1, 5]"), table});
  net.output("y", net.node("head", "linear", {x, table}));
  for (const Form& form : forms) {
    TflGraph small = lowered(net.graph);
    form.apply(small);
    const auto big = std::ranges::count_if(small.tensors, [](const TflTensor& t) { return t.constant && t.constant->count() == 200 * 64; });
    EXPECT_EQ(big, 1) << form.name << "\n" << text(small);
    EXPECT_GE(sqnr_in_litert(net.graph, small), form.least_db) << form.name;
  }
}

// A weight that something else reads as reals stays beside its small form.
TEST(WeightOnlyForms, LeavesAFloatCopyForOtherReaders) {
  Net net;
  const ValueId w = net.weight("w", {40, 40});
  const ValueId x = net.node("fc", "linear", {net.input("x", "float32[40, 40]"), w});
  net.output("y", net.node("sum", "add", {x, w}));
  TflGraph small = lowered(net.graph);
  to_dynamic_range(small);
  std::map<DType, int> forms_of_w;
  for (const TflTensor& t : small.tensors) forms_of_w[t.dtype] += t.constant && t.constant->count() == 1600;
  EXPECT_EQ(forms_of_w[DType::float32], 1);
  EXPECT_EQ(forms_of_w[DType::int8], 1);
}

TEST(WeightOnlyForms, LeavesWeightsWhoseScalesWouldWeighMore) {
  Net net;
  net.output("y", net.node("fc", "linear", {net.input("x", "float32[1, 4]"), net.weight("w", {40, 4})}));
  const TflGraph whole = lowered(net.graph);
  for (const Form& form : forms) {
    TflGraph small = whole;
    form.apply(small);
    EXPECT_EQ(text(small), text(whole)) << form.name;
  }
}

TEST(Blocks, HaveScalesThatEveryKernelHoldsExactly) {
  std::vector<float> values = seeded_tensors({{DType::float32, to_shape({4, 64})}}, 5)[0].to_floats();
  for (std::size_t i = 0; i < 32; ++i) values[i] = 0;        // no weight at all
  for (std::size_t i = 32; i < 64; ++i) values[i] *= 1e-7F;  // below float16's least normal number
  for (std::size_t i = 64; i < 96; ++i) values[i] *= 100.0F;
  const BlockCodes blocks = quantize_blocks(Tensor::from(values, {4, 64}));
  const auto codes = blocks.codes.as<std::int8_t>();
  const auto scales = blocks.scales.as<std::uint16_t>();
  ASSERT_EQ(scales.size(), 8);
  for (std::size_t b = 0; b < scales.size(); ++b) {
    const float scale = half_to_float(scales[b]);
    EXPECT_GE(scale, 6.103515625e-05F);
    EXPECT_EQ(std::bit_cast<std::uint32_t>(scale) & 0xffffU, 0U) << "more than bfloat16 keeps";
    float most = 0;
    double error = 0, plain = 0;
    for (std::size_t i = 32 * b; i < 32 * b + 32; ++i) most = std::max(most, std::abs(values[i]));
    for (std::size_t i = 32 * b; i < 32 * b + 32; ++i) {
      EXPECT_TRUE(codes[i] >= -8 && codes[i] <= 7);
      error += std::pow(values[i] - scale * static_cast<float>(codes[i]), 2);
      const float s = std::max(most / 7, 6.103515625e-05F);
      plain += std::pow(values[i] - s * std::nearbyint(values[i] / s), 2);
    }
    EXPECT_LE(error, 1.02 * plain) << b;
  }
  EXPECT_EQ(codes[0], 0);
  EXPECT_EQ(codes[40], 0);
}

}  // namespace
}  // namespace wherry
