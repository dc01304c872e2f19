#include "runtime/quantized_values.h"

#include <gtest/gtest.h>

namespace wherry {
namespace {

TEST(QuantizedValues, OneScaleForAll) {
  const TflQuantization q{.scales = {0.5F}, .zero_points = {-3}};
  const Tensor integers = Tensor::from<std::int8_t>({-128, -3, 0, 127}, {4});
  EXPECT_EQ(dequantize(integers, q).to_floats(), (std::vector<float>{-62.5F, 0, 1.5F, 65}));
  EXPECT_TRUE(quantize(dequantize(integers, q), DType::int8, q).same_bits(integers));
}

TEST(QuantizedValues, QuantizeRoundsAndClamps) {
  const TflQuantization q{.scales = {1.0F}, .zero_points = {0}};
  const Tensor reals = Tensor::from<float>({0.5F, -0.5F, 1.49F, 1e9F, -1e9F}, {5});
  EXPECT_EQ(quantize(reals, DType::int8, q).to_ints(), (std::vector<std::int64_t>{1, -1, 1, 127, -128}));
  EXPECT_EQ(quantize(reals, DType::int16, q).to_ints(), (std::vector<std::int64_t>{1, -1, 1, 32767, -32768}));
}

TEST(QuantizedValues, AScaleForEachSlice) {
  const TflQuantization rows{.scales = {1, 10}, .zero_points = {0, 0}, .axis = 0},
      columns{.scales = {1, 10, 100}, .zero_points = {0}, .axis = 1};
  const Tensor integers = Tensor::from<std::int8_t>({1, 2, 3, 4, 5, 6}, {2, 3});
  EXPECT_EQ(dequantize(integers, rows).to_floats(), (std::vector<float>{1, 2, 3, 40, 50, 60}));
  EXPECT_EQ(dequantize(integers, columns).to_floats(), (std::vector<float>{1, 20, 300, 4, 50, 600}));
}

TEST(QuantizedValues, TellsWhatAFileComputesIn) {
  const auto tensor = [](DType dtype, bool constant, bool quantized) {
    TflTensor t{.name = "t", .dtype = dtype, .sizes = {1}};
    if (constant) t.constant = Tensor::allocate(dtype, {1});
    if (quantized) t.quantization = TflQuantization{.scales = {1}, .zero_points = {0}};
    return t;
  };
  const auto precision = [](std::vector<TflTensor> tensors) { return precision_of(TflGraph{.name = "g", .tensors = std::move(tensors)}); };
  const TflTensor real = tensor(DType::float32, false, false), weight = tensor(DType::int8, true, true);
  EXPECT_EQ(precision({real, tensor(DType::int32, true, false)}), "float32");
  EXPECT_EQ(precision({real, tensor(DType::float16, true, false)}), "float16");
  EXPECT_EQ(precision({real, weight}), "int8-weights");
  EXPECT_EQ(precision_of(
                {.name = "g",
                 .tensors = {real, weight, real},
                 .nodes = {{.builtin = "FULLY_CONNECTED", .inputs = {0, 1, -1}, .outputs = {2}, .options = {}, .path = {}, .source = {}}},
                 .inputs = {},
                 .outputs = {}}),
            "dynamic");
  EXPECT_EQ(precision({real, tensor(DType::int4, true, true)}), "int4");
  EXPECT_EQ(precision({real, weight, tensor(DType::int8, false, true)}), "int8");
  EXPECT_EQ(precision({real, weight, tensor(DType::int16, false, true)}), "int16x8");
}

}  // namespace
}  // namespace wherry
