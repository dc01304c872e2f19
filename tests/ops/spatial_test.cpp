// The spatial operators' corners: shapes and values that were computed by hand, and what the target is asked to run.
#include "lower/lower_tfl.h"
#include "ops/examples.h"

#include "../net.h"

namespace wherry {
namespace {

std::string type_of(std::string_view example) {
  const Example e = parse_example(all_ops(), example);
  return text(e.graph.type(e.node().outputs[0]));
}

// The message of the fault that the example is.
std::string fault_of(std::string_view op, const std::string& x, std::vector<NamedAttr> attrs) {
  Net net;
  try {
    net.node("layer", op, {net.input("x", x)}, std::move(attrs));
  } catch (const Failure& failure) {
    return failure.what();
  }
  return "no fault";
}

std::vector<float> counting(std::int64_t n) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < n; ++i) values.push_back(static_cast<float>(i));
  return values;
}

// The operator over 0, 1, 2, … in the shape of x; `weights` follow as constants.
std::vector<float> values_of(std::string_view op, const Sizes& x, std::vector<NamedAttr> attrs, const std::vector<Tensor>& weights = {}) {
  Net net;
  std::vector<ValueId> inputs = {net.input("x", text(Type{DType::float32, to_shape(x)}))};
  for (const Tensor& w : weights) inputs.push_back(net.graph.add_constant(w, fmt::format("weight{}", inputs.size())));
  net.output("y", net.node("layer", op, inputs, std::move(attrs)));
  return Evaluator(net.graph, all_ops()).run({Tensor::from(counting(element_count(x)), x)})[0].to_floats();
}

// Builtins of the lowered graph with their padding: "PAD CONV_2D:VALID".
std::string lowered(const Net& net) {
  Diagnostics diagnostics;
  const Lowered result = lower_to_tfl(without_dead_code(net.graph), all_ops(), {}, diagnostics);
  diagnostics.throw_if_errors();
  std::string out;
  for (const TflNode& node : result.graph.nodes) {
    const TflOption* padding = node.find("padding");
    out += (out.empty() ? "" : " ") + node.builtin + (padding ? ":" + text(padding->value) : "");
  }
  return out;
}

std::string lowered_conv(const std::string& x, std::int64_t out, std::int64_t kernel, std::vector<NamedAttr> attrs) {
  Net net;
  net.output("y", net.conv("conv", net.input("x", x), out, kernel, std::move(attrs)));
  return lowered(net);
}

std::string lowered_op(std::string_view op, const std::string& x, std::vector<NamedAttr> attrs) {
  Net net;
  net.output("y", net.node("layer", op, {net.input("x", x)}, std::move(attrs)));
  return lowered(net);
}

TEST(SpatialTypes, SymbolicSizesFlow) {
  Net net;
  const ValueId x = net.input("x", "float32[batch, 3, h, 8]");
  const auto type = [&](ValueId v) { return text(net.graph.type(v)); };
  EXPECT_EQ(type(net.conv("same", x, 4, 3, {{"padding", Ints{1, 1}}})), "float32[batch, 4, h, 8]");
  EXPECT_EQ(type(net.conv("half", x, 4, 3, {{"stride", Ints{2, 2}}, {"padding", Ints{1, 1}}})), "float32[batch, 4, (h + 1) // 2, 4]");
  EXPECT_EQ(type(net.batch_norm("bn", x)), "float32[batch, 3, h, 8]");
  EXPECT_EQ(type(net.node("mean", "adaptive_avg_pool2d", {x}, {{"output_size", Ints{1, 1}}})), "float32[batch, 3, 1, 1]");
  EXPECT_EQ(type(net.node("up", "interpolate", {x}, {{"scale_factor", Floats{2, 2}}})), "float32[batch, 3, h * 2, 16]");
  EXPECT_EQ(type(net.node("pad", "pad", {x}, {{"pad", Ints{1, 0, 2, 1}}})), "float32[batch, 3, h + 3, 9]");
}

TEST(SpatialTypes, CeilModeStartsNoWindowInThePaddingBehind) {
  EXPECT_EQ(type_of("max_pool2d(x: float32[1, 1, 5, 5], kernel_size: 2, ceil_mode: true)"), "float32[1, 1, 3, 3]");
  EXPECT_EQ(type_of("max_pool2d(x: float32[1, 1, 4, 5], kernel_size: 2, padding: 1, ceil_mode: true)"), "float32[1, 1, 3, 3]");
  EXPECT_EQ(type_of("avg_pool1d(x: float32[1, 1, 4], kernel_size: 2, stride: 5, padding: 1, ceil_mode: true)"), "float32[1, 1, 1]");
}

TEST(SpatialTypes, PaddingOfBothEnds) {
  EXPECT_EQ(type_of("conv2d(x: float32[1, 1, 8, 9], in: 1, out: 1, kernel_size: 3, padding: [0, 1, 2, 0])"), "float32[1, 1, 7, 9]");
  EXPECT_EQ(type_of("conv1d(x: float32[1, 1, 8], in: 1, out: 1, kernel_size: 3, padding: [0, 4])"), "float32[1, 1, 10]");
}

TEST(SpatialFaults, SayWhatWasFound) {
  EXPECT_THAT(fault_of("max_pool2d", "float32[1, 1, 4, 4]", {{"kernel_size", Ints{5, 5}}}),
              testing::HasSubstr("a window of 5 does not fit an axis of 4"));
  EXPECT_THAT(fault_of("max_pool2d", "float32[1, 1, 4, 4]", {{"kernel_size", Ints{2, 2}}, {"padding", Ints{2, 2}}}),
              testing::HasSubstr("padding 2 is not between 0 and half of the window's 2"));
  EXPECT_THAT(fault_of("max_pool2d", "float32[1, 1, 4, 4]", {{"kernel_size", Ints{2, 2}}, {"stride", Ints{1, 1, 1, 1}}}),
              testing::HasSubstr("stride [1, 1, 1, 1] has 4 numbers; it takes 2"));
  EXPECT_THAT(fault_of("max_pool1d", "float32[1, 1, 4, 4]", {{"kernel_size", Ints{2}}}), testing::HasSubstr("takes x of rank 3"));
  EXPECT_THAT(fault_of("avg_pool2d", "float32[1, 1, 4, 4]", {{"kernel_size", Ints{2, 2}}, {"divisor_override", std::int64_t{0}}}),
              testing::HasSubstr("divisor_override is 0"));
  EXPECT_THAT(fault_of("pad", "float32[2, 3]", {{"pad", Ints{3, 0}}, {"mode", "reflect"}}), testing::HasSubstr("adds at most 2 to axis 1"));
  EXPECT_THAT(fault_of("pad", "float32[2, 3]", {{"pad", Ints{-4, 0}}}), testing::HasSubstr("cuts more than [2, 3] has"));
  EXPECT_THAT(fault_of("pad", "float32[2, 3]", {{"pad", Ints{std::int64_t{1} << 62, std::int64_t{1} << 62}}}), testing::HasSubstr("E503"));
  EXPECT_THAT(fault_of("channel_shuffle", "float32[1, 4, 2, 2]", {{"groups", std::int64_t{3}}}),
              testing::HasSubstr("4 channels do not split into 3 groups"));
  EXPECT_THAT(fault_of("pixel_shuffle", "float32[1, 6, 2, 2]", {{"upscale_factor", std::int64_t{2}}}),
              testing::HasSubstr("6 channels are not a multiple of 4"));
  EXPECT_THAT(fault_of("interpolate", "float32[1, 1, 2, 2]", {}), testing::HasSubstr("needs size or scale_factor"));
  EXPECT_THAT(fault_of("adaptive_avg_pool2d", "int64[1, 1, 2, 2]", {{"output_size", Ints{1, 1}}}), testing::HasSubstr("E502"));
}

TEST(SpatialFaults, ConvolutionNamesItsRule) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 5, 4, 4]"), w = net.weight("w", {4, 3, 1, 1});
  try {
    net.node("conv", "conv2d", {x, w});
    FAIL() << "no fault";
  } catch (const Failure& failure) {
    EXPECT_THAT(failure.what(), testing::HasSubstr("x.shape[1] == weight.shape[1] * groups (rule conv2d.r2)"));
  }
}

TEST(SpatialValues, ConvolutionPadsEachEndAlone) {
  const Tensor ones = Tensor::from(std::vector<float>(4, 1), {1, 1, 2, 2});
  // 0 1 2 / 3 4 5 with a column of zeros in front and a row of zeros behind.
  EXPECT_EQ(values_of("conv2d", {1, 1, 2, 3}, {{"padding", Ints{0, 1, 1, 0}}}, {ones}), (std::vector<float>{3, 8, 12, 3, 7, 9}));
  // Same, even kernel: the odd zero lies behind, as in PyTorch.
  EXPECT_EQ(values_of("conv2d", {1, 1, 2, 3}, {{"padding", "same"}}, {ones}), (std::vector<float>{8, 12, 7, 7, 9, 5}));
}

TEST(SpatialValues, DepthwiseWithTwoFiltersAChannel) {
  const Tensor w = Tensor::from(std::vector<float>{1, 10, 100, 1000}, {4, 1, 1, 1});
  EXPECT_EQ(values_of("conv2d", {1, 2, 1, 2}, {{"groups", std::int64_t{2}}}, {w}), (std::vector<float>{0, 1, 0, 10, 200, 300, 2000, 3000}));
}

TEST(SpatialValues, TransposedConvolutionScatters) {
  const Tensor w = Tensor::from(std::vector<float>{1, 10, 100}, {1, 1, 3});
  EXPECT_EQ(values_of("conv_transpose1d", {1, 1, 3}, {{"stride", Ints{2}}}, {w}), (std::vector<float>{0, 0, 1, 10, 102, 20, 200}));
  EXPECT_EQ(values_of("conv_transpose1d", {1, 1, 3}, {{"stride", Ints{2}}, {"padding", Ints{1}}, {"output_padding", Ints{1}}}, {w}),
            (std::vector<float>{0, 1, 10, 102, 20, 200}));
}

TEST(SpatialValues, AveragesDivideByWhatCounts) {
  const Ints two = {2}, one = {1};
  // Windows [pad 0] [1 2] [3 4] over 0 … 4 with kernel 2, padding 1.
  EXPECT_EQ(values_of("avg_pool1d", {1, 1, 5}, {{"kernel_size", two}, {"padding", one}}), (std::vector<float>{0, 1.5, 3.5}));
  EXPECT_EQ(values_of("avg_pool1d", {1, 1, 5}, {{"kernel_size", Ints{3}}, {"stride", two}, {"padding", one}}),
            (std::vector<float>{1.F / 3, 2, 7.F / 3}));
  EXPECT_EQ(values_of("avg_pool1d", {1, 1, 5}, {{"kernel_size", Ints{3}}, {"stride", two}, {"padding", one}, {"count_include_pad", false}}),
            (std::vector<float>{0.5, 2, 3.5}));
  // The last window reaches beyond even the padded input: only what lies within that counts.
  EXPECT_EQ(values_of("avg_pool1d", {1, 1, 5}, {{"kernel_size", two}, {"ceil_mode", true}}), (std::vector<float>{0.5, 2.5, 4}));
}

TEST(SpatialValues, AdaptiveWindowsOverlap) {
  EXPECT_EQ(values_of("adaptive_avg_pool1d", {1, 1, 5}, {{"output_size", Ints{3}}}), (std::vector<float>{0.5, 2, 3.5}));
  EXPECT_EQ(values_of("adaptive_max_pool1d", {1, 1, 2}, {{"output_size", Ints{3}}}), (std::vector<float>{0, 1, 1}));
}

TEST(SpatialValues, Padding) {
  const Ints ends = {2, 1};
  EXPECT_EQ(values_of("pad", {3}, {{"pad", ends}, {"value", 9.0}}), (std::vector<float>{9, 9, 0, 1, 2, 9}));
  EXPECT_EQ(values_of("pad", {3}, {{"pad", ends}, {"mode", "reflect"}}), (std::vector<float>{2, 1, 0, 1, 2, 1}));
  EXPECT_EQ(values_of("pad", {3}, {{"pad", ends}, {"mode", "replicate"}}), (std::vector<float>{0, 0, 0, 1, 2, 2}));
  EXPECT_EQ(values_of("pad", {3}, {{"pad", ends}, {"mode", "circular"}}), (std::vector<float>{1, 2, 0, 1, 2, 0}));
  EXPECT_EQ(values_of("pad", {4}, {{"pad", Ints{-1, 1}}}), (std::vector<float>{1, 2, 3, 0}));
}

TEST(SpatialValues, Shuffles) {
  EXPECT_EQ(values_of("channel_shuffle", {1, 6, 1}, {{"groups", std::int64_t{2}}}), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(values_of("pixel_shuffle", {1, 4, 1, 2}, {{"upscale_factor", std::int64_t{2}}}), (std::vector<float>{0, 2, 1, 3, 4, 6, 5, 7}));
  EXPECT_EQ(values_of("pixel_unshuffle", {1, 1, 2, 4}, {{"downscale_factor", std::int64_t{2}}}),
            (std::vector<float>{0, 2, 1, 3, 4, 6, 5, 7}));
}

TEST(SpatialValues, InterpolationByTheScaleThatWasGiven) {
  // 5 · 0.7 gives 3 outputs; the given scale looks at 0, 1.43 and 2.86, the sizes' ratio would look at 0, 1.67 and 3.33.
  EXPECT_EQ(values_of("interpolate", {1, 1, 5}, {{"scale_factor", Floats{0.7}}}), (std::vector<float>{0, 1, 2}));
  EXPECT_EQ(values_of("interpolate", {1, 1, 5}, {{"size", Ints{3}}}), (std::vector<float>{0, 1, 3}));
  EXPECT_EQ(values_of("interpolate", {1, 1, 2}, {{"size", Ints{4}}, {"mode", "linear"}}), (std::vector<float>{0, 0.25, 0.75, 1}));
  EXPECT_EQ(values_of("interpolate", {1, 1, 2}, {{"size", Ints{3}}, {"mode", "linear"}, {"align_corners", true}}),
            (std::vector<float>{0, 0.5, 1}));
}

TEST(SpatialLowering, SameOnlyWhereItPadsTheSame) {
  EXPECT_EQ(lowered_conv("float32[1, 3, 8, 8]", 4, 3, {{"padding", Ints{1, 1}}}), "CONV_2D:SAME");
  EXPECT_EQ(lowered_conv("float32[1, 3, 8, 8]", 4, 3, {}), "CONV_2D:VALID");
  EXPECT_EQ(lowered_conv("float32[1, 3, 8, 8]", 4, 3, {{"stride", Ints{2, 2}}, {"padding", Ints{1, 1}}}), "PAD CONV_2D:VALID");
  EXPECT_EQ(lowered_conv("float32[1, 3, 9, 9]", 4, 3, {{"stride", Ints{2, 2}}, {"padding", Ints{1, 1}}}), "CONV_2D:SAME");
  EXPECT_EQ(lowered_conv("float32[1, 3, 8, 8]", 4, 3, {{"stride", Ints{2, 2}}, {"padding", Ints{0, 1, 0, 1}}}), "CONV_2D:SAME");
}

TEST(SpatialLowering, DepthwiseHasItsOwnBuiltin) {
  EXPECT_EQ(lowered_conv("float32[1, 4, 8, 8]", 8, 3, {{"padding", Ints{1, 1}}, {"groups", std::int64_t{4}}}), "DEPTHWISE_CONV_2D:SAME");
  EXPECT_EQ(lowered_conv("float32[1, 4, 8, 8]", 8, 3, {{"padding", Ints{1, 1}}, {"groups", std::int64_t{2}}}), "CONV_2D:SAME");
  EXPECT_EQ(lowered_conv("float32[1, 1, 8, 8]", 8, 3, {{"padding", Ints{1, 1}}}), "CONV_2D:SAME");
}

TEST(SpatialLowering, PadBecomesTheConvolutionsOwn) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 3, 8, 8]");
  net.output("y", net.conv("conv", net.node("pad", "pad", {x}, {{"pad", Ints{0, 1, 0, 1}}}), 4, 3, {{"stride", Ints{2, 2}}}));
  EXPECT_THAT(lowered(net), testing::EndsWith("CONV_2D:SAME"));

  Net channels;  // padding of channels is no padding of windows
  const ValueId c = channels.input("x", "float32[1, 3, 8, 8]");
  channels.output("y", channels.conv("conv", channels.node("pad", "pad", {c}, {{"pad", Ints{1, 1, 1, 1, 0, 1}}}), 4, 3));
  EXPECT_THAT(lowered(channels), testing::EndsWith("PAD CONV_2D:VALID"));
}

TEST(SpatialLowering, PoolsPadWithWhatNeverCounts) {
  const Ints three = {3, 3}, two = {2, 2}, one = {1, 1};
  EXPECT_EQ(lowered_op("max_pool2d", "float32[1, 3, 8, 8]", {{"kernel_size", three}, {"stride", two}, {"padding", one}}),
            "PADV2 MAX_POOL_2D:VALID");
  EXPECT_EQ(lowered_op("max_pool2d", "float32[1, 3, 8, 8]", {{"kernel_size", three}, {"stride", one}, {"padding", one}}),
            "MAX_POOL_2D:SAME");
  EXPECT_EQ(lowered_op("avg_pool2d", "float32[1, 3, 8, 8]", {{"kernel_size", three}, {"stride", one}, {"padding", one}}),
            "PAD AVERAGE_POOL_2D:VALID");
  EXPECT_EQ(lowered_op("avg_pool2d", "float32[1, 3, 8, 8]",
                       {{"kernel_size", three}, {"stride", one}, {"padding", one}, {"count_include_pad", false}}),
            "AVERAGE_POOL_2D:SAME");
  EXPECT_EQ(lowered_op("avg_pool2d", "float32[1, 3, 9, 9]", {{"kernel_size", two}, {"ceil_mode", true}}), "PAD AVERAGE_POOL_2D:VALID MUL");
}

TEST(SpatialLowering, AdaptivePoolsByTheSimplestBuiltin) {
  EXPECT_EQ(lowered_op("adaptive_avg_pool2d", "float32[1, 3, 7, 7]", {{"output_size", Ints{1, 1}}}), "MEAN");
  EXPECT_EQ(lowered_op("adaptive_avg_pool2d", "float32[1, 3, 8, 6]", {{"output_size", Ints{4, 2}}}), "AVERAGE_POOL_2D:VALID");
  EXPECT_EQ(lowered_op("adaptive_avg_pool2d", "float32[1, 3, 5, 1]", {{"output_size", Ints{2, 1}}}), "SLICE MEAN SLICE MEAN CONCATENATION");
}

}  // namespace
}  // namespace wherry
