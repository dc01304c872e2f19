// One fault planted in a sound graph, and the audit names that rule and no other.
#include "quantize/audit/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

namespace wherry {
namespace {

constexpr std::int64_t channels = 2;

struct Made {
  TflGraph graph{.name = "made"};

  int tensor(const std::string& name, Sizes sizes, DType dtype, std::vector<float> scales = {}, std::vector<std::int64_t> zeros = {},
             int axis = 0) {
    TflTensor t{.name = name, .dtype = dtype, .sizes = std::move(sizes)};
    if (!scales.empty()) t.quantization = TflQuantization{.scales = std::move(scales), .zero_points = std::move(zeros), .axis = axis};
    graph.tensors.push_back(std::move(t));
    return static_cast<int>(graph.tensors.size()) - 1;
  }
  template <class T>
  int constant(const std::string& name, const std::vector<T>& values, Sizes sizes, std::vector<float> scales = {}, int axis = 0) {
    const std::vector<std::int64_t> zeros(scales.size(), 0);
    const Tensor value = Tensor::from<T>(values, sizes);
    const int id = tensor(name, sizes, value.dtype(), std::move(scales), zeros, axis);
    at(id).constant = value;
    return id;
  }
  TflTensor& at(int id) { return graph.tensors[static_cast<std::size_t>(id)]; }
  TflTensor& at(std::string_view name) {
    return *std::find_if(graph.tensors.begin(), graph.tensors.end(), [&](const TflTensor& t) { return t.name == name; });
  }
  void node(const std::string& builtin, std::vector<int> inputs, int output, std::vector<TflOption> options = {}) {
    graph.nodes.push_back(
        {.builtin = builtin, .inputs = std::move(inputs), .outputs = {output}, .options = std::move(options), .path = at(output).name});
  }
};

// QUANTIZE, a convolution of two channels with RELU, DEQUANTIZE: nothing wrong.
Made sound() {
  Made m;
  const int image = m.tensor("image", {1, 2, 2, 2}, DType::float32);
  const int x = m.tensor("x", {1, 2, 2, 2}, DType::int8, {0.5F}, {3});
  const int w = m.constant<std::int8_t>("w", {127, -3, 5, 127}, {channels, 1, 1, 2}, {0.01F, 0.02F});
  const int b = m.constant<std::int32_t>("b", {100, -200}, {channels}, {0.005F, 0.01F});
  const int y = m.tensor("y", {1, 2, 2, 2}, DType::int8, {0.25F}, {-128});
  const int out = m.tensor("out", {1, 2, 2, 2}, DType::float32);
  m.node("QUANTIZE", {image}, x);
  m.node("CONV_2D", {x, w, b}, y, {{"fused_activation_function", std::string("RELU")}});
  m.node("DEQUANTIZE", {y}, out);
  m.graph.inputs = {{"image", image}};
  m.graph.outputs = {{"out", out}};
  return m;
}

std::vector<std::string> rules_of(const AuditReport& report) {
  std::vector<std::string> names;
  for (const AuditFinding& f : report.findings) names.emplace_back(f.rule->name);
  return names;
}
std::vector<std::string> found(const Made& m, const AuditOptions& options = {}) { return rules_of(audit(m.graph, options)); }

// y = builtin(a, b) of int8 with these grids, both inputs from the file's own.
Made two_inputs(const std::string& builtin, float a, float b, float y) {
  Made m;
  const int left = m.tensor("a", {4}, DType::int8, {a}, {0}), right = m.tensor("b", {4}, DType::int8, {b}, {0});
  m.node(builtin, {left, right}, m.tensor("y", {4}, DType::int8, {y}, {0}));
  m.graph.inputs = {{"a", left}, {"b", right}};
  return m;
}

Made one_input(const std::string& builtin, float x, std::int64_t zero_x, float y, std::int64_t zero_y, DType dtype = DType::int8) {
  Made m;
  const int in = m.tensor("x", {1, 4}, dtype, {x}, {zero_x});
  m.node(builtin, {in}, m.tensor("y", {1, 4}, dtype, {y}, {zero_y}));
  m.graph.inputs = {{"x", in}};
  return m;
}

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

TEST(Audit, FindsNothingInASoundFile) {
  const AuditReport report = audit(sound().graph);
  EXPECT_THAT(rules_of(report), IsEmpty());
  EXPECT_EQ(report.census.at("weight").at("int8"), 1);
  EXPECT_EQ(report.census.at("bias").at("int32"), 1);
  EXPECT_EQ(report.census.at("activation").at("int8"), 2);
  EXPECT_EQ(report.census.at("operators").at("border"), 2);
  EXPECT_EQ(report.census.at("operators").at("integer"), 1);
}

TEST(Audit, SaturatedBias) {
  Made m = sound();
  m.at("b").constant = Tensor::from<std::int32_t>({std::numeric_limits<std::int32_t>::max(), 0}, {2});
  EXPECT_THAT(found(m), ElementsAre("bias-saturated", "accumulator-overflow"));
}

TEST(Audit, FlippedBiasNeedsTheReference) {
  Made m = sound(), reference;
  m.at("b").constant = Tensor::from<std::int32_t>({std::numeric_limits<std::int32_t>::min(), 0}, {2});
  const int x = reference.tensor("image", {1, 2, 2, 2}, DType::float32);
  const int w = reference.constant<float>("w", {1.27F, -0.03F, 0.1F, 2.54F}, {2, 1, 1, 2});
  const int b = reference.constant<float>("b", {2e7F, 0}, {2});
  reference.node("CONV_2D", {x, w, b}, reference.tensor("y", {1, 2, 2, 2}, DType::float32));
  EXPECT_THAT(found(m), Not(Contains("bias-flipped")));
  EXPECT_THAT(found(m, {.reference = &reference.graph}), ElementsAre("bias-saturated", "bias-flipped", "accumulator-overflow"));
}

TEST(Audit, AccumulatorThatCanWrap) {
  Made m = sound();  // 127 * 131 below 2^31: only the bias is near the limit
  m.at("b").constant = Tensor::from<std::int32_t>({std::numeric_limits<std::int32_t>::max() - 100, 0}, {2});
  EXPECT_THAT(found(m), ElementsAre("accumulator-overflow"));
}

TEST(Audit, BiasScale) {
  Made m = sound();
  m.at("b").quantization->scales[1] = 0.02F;
  EXPECT_THAT(found(m), ElementsAre("bias-scale"));
}

TEST(Audit, BiasZeroPointAndType) {
  Made m = sound();
  m.at("b").quantization->zero_points[0] = 1;
  EXPECT_THAT(found(m), ElementsAre("bias-zero-point"));
  m = sound();
  m.at("b").constant = Tensor::from<std::int8_t>({1, 2}, {2}), m.at("b").dtype = DType::int8;
  EXPECT_THAT(found(m), ElementsAre("bias-type"));
}

TEST(Audit, SharedBias) {
  Made m = sound();
  const int other = m.tensor("other", {1, 2, 2, 2}, DType::int8, {0.125F}, {0});
  m.graph.inputs.push_back({"other", other});
  m.node("CONV_2D", {other, 2, 3}, m.tensor("z", {1, 2, 2, 2}, DType::int8, {0.25F}, {0}));
  EXPECT_THAT(found(m), ElementsAre("bias-scale", "bias-shared", "border-mixed"));
}

TEST(Audit, WeightZeroPointAxisAndRange) {
  Made m = sound();
  m.at("w").quantization->zero_points[1] = 2;
  EXPECT_THAT(found(m), ElementsAre("weight-zero-point"));
  m = sound();
  m.at("w").quantization->axis = 3;
  EXPECT_THAT(found(m), ElementsAre("weight-axis"));
  m = sound();
  m.at("w").quantization->scales.push_back(1);
  EXPECT_THAT(found(m), ElementsAre("weight-axis"));
  m = sound();
  m.at("w").constant = Tensor::from<std::int8_t>({-128, 3, 5, 127}, {2, 1, 1, 2});
  EXPECT_THAT(found(m), ElementsAre("weight-minus-128"));
}

TEST(Audit, DepthwiseScalesLieOnTheLastAxis) {
  Made m = sound();
  m.graph.nodes[1].builtin = "DEPTHWISE_CONV_2D";
  m.at("w").sizes = {1, 1, 2, 2}, m.at("w").constant = m.at("w").constant->reshaped({1, 1, 2, 2});
  EXPECT_THAT(found(m), ElementsAre("weight-axis"));
  m.at("w").quantization->axis = 3;
  EXPECT_THAT(found(m), IsEmpty());
}

TEST(Audit, InvalidScales) {
  for (const float bad : {0.0F, 1e-40F, -1.0F, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    Made m = sound();
    m.at("w").quantization->scales[0] = bad;
    EXPECT_THAT(found(m), Contains("scale-invalid")) << bad;
  }
}

TEST(Audit, BlockScalesBelowTheNormalHalves) {
  Made m;
  const int scales = m.constant<float>("scales", {0.5F, 1e-7F}, {1, 2});
  m.at(scales).constant = m.at(scales).constant->cast(DType::float16), m.at(scales).dtype = DType::float16;
  const int w = m.constant<std::int8_t>("w", std::vector<std::int8_t>(64, 1), {1, 64});
  m.at(w).dtype = DType::int4;
  m.at(w).quantization = TflQuantization{.block_size = 32, .block_scales = scales};
  EXPECT_THAT(found(m), ElementsAre("block-scale"));
  m.at(w).quantization->block_size = 24;
  EXPECT_THAT(found(m), ElementsAre("block-scale", "xnnpack-block"));
}

TEST(Audit, BrokenTies) {
  EXPECT_THAT(found(two_inputs("CONCATENATION", 0.5F, 0.5F, 0.5F)), IsEmpty());
  EXPECT_THAT(found(two_inputs("CONCATENATION", 0.5F, 0.25F, 0.5F)), ElementsAre("tie-broken"));
  for (const char* builtin :
       {"MAX_POOL_2D", "AVERAGE_POOL_2D", "RESHAPE", "TRANSPOSE", "PAD", "STRIDED_SLICE", "RESIZE_BILINEAR", "REDUCE_MAX"}) {
    EXPECT_THAT(found(one_input(builtin, 0.5F, 1, 0.5F, 1)), IsEmpty()) << builtin;
    EXPECT_THAT(found(one_input(builtin, 0.5F, 1, 0.5F, 2)), ElementsAre("tie-broken")) << builtin;
  }
}

TEST(Audit, FixedGrids) {
  EXPECT_THAT(found(one_input("SOFTMAX", 0.5F, 1, 1.0F / 256, -128)), IsEmpty());
  EXPECT_THAT(found(one_input("SOFTMAX", 0.5F, 1, 1.0F / 255, -128)), ElementsAre("fixed-grid"));
  EXPECT_THAT(found(one_input("LOGISTIC", 0.5F, 1, 1.0F / 256, 0)), ElementsAre("fixed-grid"));
  EXPECT_THAT(found(one_input("TANH", 0.5F, 1, 1.0F / 256, 0)), ElementsAre("fixed-grid"));
  EXPECT_THAT(found(one_input("LOG_SOFTMAX", 0.5F, 1, 16.0F / 256, 127)), IsEmpty());
  EXPECT_THAT(found(one_input("TANH", 0.5F, 0, 1.0F / 32768, 0, DType::int16)), ElementsAre("int16-slow"));
}

TEST(Audit, ZeroPointsAndAxesOfActivations) {
  EXPECT_THAT(found(one_input("LEAKY_RELU", 0.5F, 1, 0.5F, 0, DType::int16)), ElementsAre("zero-point", "int16-slow"));
  EXPECT_THAT(found(one_input("LEAKY_RELU", 0.5F, 200, 0.5F, 0)), ElementsAre("zero-point"));
  Made m = one_input("LEAKY_RELU", 0.5F, 1, 0.5F, 1);
  m.at("x").quantization->scales = {0.5F, 0.5F, 0.5F, 0.5F};
  EXPECT_THAT(found(m), ElementsAre("activation-axis"));
}

TEST(Audit, NoScale) {
  Made m = one_input("RELU", 0.5F, 1, 0.5F, 1);
  m.at("y").quantization.reset();
  EXPECT_THAT(found(m), ElementsAre("no-scale"));
}

TEST(Audit, PowersOfTwoForAddOn16Bits) {
  Made m = two_inputs("ADD", 0.3F, 0.3F, 0.3F);
  for (TflTensor& t : m.graph.tensors) t.dtype = DType::int16;
  EXPECT_THAT(found(m), ElementsAre("pot-scale", "int16-slow"));
  m.graph.nodes[0].options = {{"pot_scale_int16", false}};
  EXPECT_THAT(found(m), ElementsAre("int16-slow"));
}

TEST(Audit, XnnpackLimits) {
  EXPECT_THAT(found(two_inputs("ADD", 1, 1, 1)), IsEmpty());
  EXPECT_THAT(found(two_inputs("ADD", 1, 300, 1)), ElementsAre("xnnpack-ratio"));
  EXPECT_THAT(found(two_inputs("ADD", 1, 1, 2000)), ElementsAre("xnnpack-ratio", "xnnpack-ratio"));
  EXPECT_THAT(found(two_inputs("MUL", 1, 1, 0.001F)), ElementsAre("xnnpack-ratio"));
  EXPECT_THAT(found(one_input("LEAKY_RELU", 1, 0, 1000, 0)), ElementsAre("xnnpack-ratio"));
}

TEST(Audit, RangesThatAreTooWide) {
  EXPECT_THAT(found(one_input("RESHAPE", 1e30F, 0, 1e30F, 0)), ElementsAre("range-huge", "range-huge"));
  Made m = sound();
  m.at("y").quantization->zero_points[0] = 0;
  EXPECT_THAT(found(m), ElementsAre("range-wasted"));
}

TEST(Audit, FloatIslandsAndEdges) {
  Made m = sound();
  const int out = m.graph.outputs[0].value;
  const int soft = m.tensor("soft", {1, 2, 2, 2}, DType::float32);
  m.node("SOFTMAX", {out}, soft);
  EXPECT_THAT(found(m), ElementsAre("float-edge"));
  const int again = m.tensor("again", {1, 2, 2, 2}, DType::int8, {0.25F}, {0});
  m.node("QUANTIZE", {soft}, again);
  m.node("RELU", {again}, m.tensor("end", {1, 2, 2, 2}, DType::int8, {0.25F}, {-128}));
  EXPECT_THAT(found(m), ElementsAre("float-island"));
}

TEST(Audit, Borders) {
  Made m = sound();
  const int out = m.graph.outputs[0].value;
  const int again = m.tensor("again", {1, 2, 2, 2}, DType::int8, {0.25F}, {-128});
  m.node("QUANTIZE", {out}, again);
  EXPECT_THAT(found(m), ElementsAre("border-round-trip"));
  m = sound();
  m.graph.inputs = {{"x", 1}};
  EXPECT_THAT(found(m), ElementsAre("border-mixed"));
}

TEST(Audit, Versions) {
  const Made m = sound();
  AuditOptions options{.versions = {1, 3, 2}, .least_version = [](const TflGraph&, const TflNode& node) -> std::optional<int> {
                         return node.builtin == "CONV_2D" ? 3 : node.builtin == "DEQUANTIZE" ? std::optional(2) : std::nullopt;
                       }};
  EXPECT_THAT(found(m, options), IsEmpty());
  options.versions = {9, 5, 1};
  EXPECT_THAT(found(m, options), ElementsAre("version-high", "version-low"));
}

TEST(Audit, ChannelsThatAreDeadOrCoarse) {
  Made m = sound();
  m.at("w").constant = Tensor::from<std::int8_t>({0, 0, 5, 7}, {2, 1, 1, 2});
  EXPECT_THAT(found(m), ElementsAre("dead-channel", "coarse-weights"));
}

TEST(Audit, ComparesWithTheReference) {
  const auto reference = [](std::vector<float> weights, std::vector<float> bias) {
    Made r;
    const int x = r.tensor("image", {1, 2, 2, 2}, DType::float32);
    const int w = r.constant<float>("w", weights, {2, 1, 1, 2}), b = r.constant<float>("b", bias, {2});
    r.node("CONV_2D", {x, w, b}, r.tensor("y", {1, 2, 2, 2}, DType::float32));
    return r.graph;
  };
  const Made m = sound();
  const TflGraph same = reference({1.27F, -0.032F, 0.1F, 2.54F}, {0.5F, -2}), other = reference({-1, 2, 3, -1}, {0.5F, -2}),
                 rounded = reference({1.27F, -0.019F, 0.1F, 2.54F}, {0.5F, -2}),
                 turned = reference({1.27F, -0.03F, 0.1F, 2.54F}, {0.5F, 2});
  EXPECT_THAT(found(m, {.reference = &same}), IsEmpty());
  EXPECT_THAT(found(m, {.reference = &other}), ElementsAre("weight-unlike"));
  EXPECT_THAT(found(m, {.reference = &rounded}), ElementsAre("rounding"));
  EXPECT_THAT(found(m, {.reference = &turned}), ElementsAre("bias-unlike"));
  Made dead = sound();
  dead.at("w").constant = Tensor::from<std::int8_t>({127, -3, 0, 0}, {2, 1, 1, 2});
  const TflGraph tiny = reference({1.27F, -0.03F, 0.001F, 0.002F}, {0.5F, -2});
  EXPECT_THAT(found(dead, {.reference = &tiny}), ElementsAre("channel-died", "dead-channel"));
}

TEST(Audit, RangesThatDataLeave) {
  Made m = sound();
  m.graph.nodes[1].options.clear();
  m.at("y").quantization->zero_points[0] = 0;
  const auto observed = [&](int tensor, AuditObserved o) { return found(m, {.observed = {{tensor, o}}}); };
  const int y = 4;
  EXPECT_EQ(deciding_integers(m.graph), std::vector<int>{y});
  EXPECT_THAT(observed(y, {.samples = 100, .elements = 800, .at_most = 4, .top_at_most = 4}), IsEmpty());
  EXPECT_THAT(observed(y, {.samples = 100, .elements = 800, .at_most = 10, .top_at_most = 10, .two_at_most = 2}),
              ElementsAre("logits-clipped"));
  m.node("RELU", {y}, m.tensor("z", {1, 2, 2, 2}, DType::int8, {0.25F}, {-128}));
  m.graph.outputs = {{"z", 6}};
  EXPECT_THAT(observed(y, {.samples = 100, .elements = 800, .at_least = 5, .at_most = 4, .top_at_most = 100}), Contains("range-clipped"));
  EXPECT_THAT(observed(y, {.samples = 100, .elements = 800, .at_least = 4, .at_most = 4}), Not(Contains("range-clipped")));
  EXPECT_THAT(observed(6, {.samples = 100, .elements = 800, .at_least = 700}), Not(Contains("range-clipped")));  // zero is RELU's own end
}

TEST(Audit, SaysItAsTextAndJson) {
  Made m = sound();
  m.at("b").quantization->scales[1] = 0.02F;
  const AuditReport report = audit(m.graph);
  EXPECT_THAT(text(report), testing::HasSubstr("error bias-scale: the bias's scale is not the input's times the weight's (1 place)\n"
                                               "  CONV_2D y, b: 1 of 2 channels, 1 of it apart at most\n"));
  const nlohmann::ordered_json j = to_json(report);
  EXPECT_EQ(j["errors"], 1);
  EXPECT_EQ(j["findings"][0]["rule"], "bias-scale");
  EXPECT_EQ(j["findings"][0]["tensor"], "b");
}

// A file may hold anything: nothing of it leads outside of the graph.
TEST(Audit, OperatorsWithMissingOperands) {
  for (const AuditRule& rule : audit_rules()) EXPECT_FALSE(rule.what.empty() || rule.why.empty() || rule.next.empty()) << rule.name;
  for (const char* builtin : {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "SOFTMAX", "CONCATENATION", "ADD", "MUL", "QUANTIZE"}) {
    Made m;
    m.graph.nodes.push_back({.builtin = builtin});
    const int x = m.tensor("x", {}, DType::int8, {1}, {});
    m.graph.nodes.push_back({.builtin = builtin, .inputs = {-1, x}, .outputs = {x}});
    m.graph.nodes.push_back({.builtin = builtin, .inputs = {x, m.constant<std::int8_t>("w", {1}, {}, {1})}, .outputs = {x}});
    audit(m.graph, {.reference = &m.graph});
  }
}

}  // namespace
}  // namespace wherry
