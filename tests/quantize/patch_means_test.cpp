// A convolution's mean output by its mean window, against LiteRT's convolution itself.
#include "quantize/adjust/patch_means.h"

#include "../hand_graph.h"
#include "../net.h"
#include "litert_program.h"

namespace wherry {
namespace {

struct Shape4 {
  std::string name;
  std::string builtin;
  Sizes in, weight;
  bool same = true;
  std::int64_t stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
};

std::int64_t out_size(std::int64_t in, std::int64_t kernel, std::int64_t stride, std::int64_t dilation, bool same) {
  return same ? (in + stride - 1) / stride : (in - (kernel - 1) * dilation - 1) / stride + 1;
}

TflGraph convolution(const Shape4& s) {
  HandGraph g;
  const bool depthwise = s.builtin == "DEPTHWISE_CONV_2D";
  const std::int64_t channels = s.weight[depthwise ? 3 : 0];
  const auto random = [](const Sizes& sizes, std::uint64_t seed) { return seeded_tensors({{DType::float32, to_shape(sizes)}}, seed)[0]; };
  const int x = g.input("x", s.in), w = g.constant("w", random(s.weight, 3)), b = g.constant("b", random({channels}, 4));
  std::vector<TflOption> options = {{"padding", std::string(s.same ? "SAME" : "VALID")},
                                    {"stride_h", s.stride_h},
                                    {"stride_w", s.stride_w},
                                    {"dilation_h_factor", s.dilation_h},
                                    {"dilation_w_factor", s.dilation_w}};
  if (depthwise) options.push_back({"depth_multiplier", s.weight[3] / s.in[3]});
  g.output("y", g.add(s.builtin, {x, w, b},
                      {s.in[0], out_size(s.in[1], s.weight[1], s.stride_h, s.dilation_h, s.same),
                       out_size(s.in[2], s.weight[2], s.stride_w, s.dilation_w, s.same), channels},
                      options));
  return g.graph;
}

class PatchMeans : public testing::TestWithParam<Shape4> {};

TEST_P(PatchMeans, GiveTheMeanOfTheConvolution) {
  if (!find_litert()) GTEST_SKIP() << "ai-edge-litert is not installed";
  const TflGraph graph = convolution(GetParam());
  const TflNode& node = graph.nodes[0];
  const Windows windows = windows_of(graph, node).value();
  const Grid grid{DType::int8, 0.03F, -5};
  const Tensor codes = quantized(seeded_tensors({{DType::float32, to_shape(GetParam().in)}}, 9)[0], grid);
  const Tensor reals = dequantized(codes, grid);
  const Tensor& weight = *graph.tensors[static_cast<std::size_t>(node.inputs[1])].constant;
  const std::vector<float> bias = graph.tensors[static_cast<std::size_t>(node.inputs[2])].constant->to_floats();

  const Tensor y = in_litert(graph, std::vector<Tensor>{reals})[0];
  std::vector<double> mean(bias.size(), 0);
  const std::vector<float> values = y.to_floats();
  for (std::size_t i = 0; i < values.size(); ++i) mean[i % bias.size()] += static_cast<double>(values[i]);
  for (const bool integers : {false, true}) {
    const std::vector<double> found =
        respond(node, weight.sizes(), weight.as<float>(), patch_means(integers ? codes : reals, grid, windows), windows);
    ASSERT_EQ(found.size(), bias.size());
    for (std::size_t c = 0; c < bias.size(); ++c)
      EXPECT_NEAR(found[c] + static_cast<double>(bias[c]), mean[c] * static_cast<double>(bias.size()) / static_cast<double>(values.size()),
                  2e-4)
          << c << (integers ? " from integers" : " from reals");
  }
}

INSTANTIATE_TEST_SUITE_P(Convolutions, PatchMeans,
                         testing::Values(Shape4{"same", "CONV_2D", {2, 7, 9, 3}, {4, 3, 3, 3}},
                                         Shape4{"valid", "CONV_2D", {1, 7, 9, 3}, {4, 3, 2, 3}, false},
                                         Shape4{"strides", "CONV_2D", {1, 8, 9, 3}, {4, 3, 5, 3}, true, 2, 3},
                                         Shape4{"even_same", "CONV_2D", {1, 8, 8, 3}, {4, 3, 3, 3}, true, 2, 2},
                                         Shape4{"dilated", "CONV_2D", {1, 11, 13, 3}, {4, 3, 3, 3}, true, 1, 1, 2, 3},
                                         Shape4{"dilated_valid", "CONV_2D", {1, 11, 13, 3}, {4, 3, 3, 3}, false, 1, 1, 2, 3},
                                         Shape4{"grouped", "CONV_2D", {1, 6, 6, 6}, {4, 3, 3, 3}},
                                         Shape4{"depthwise", "DEPTHWISE_CONV_2D", {2, 9, 7, 5}, {1, 3, 3, 5}, true, 2, 2},
                                         Shape4{"depthwise_valid", "DEPTHWISE_CONV_2D", {1, 9, 7, 5}, {1, 5, 5, 5}, false},
                                         Shape4{"twofold", "DEPTHWISE_CONV_2D", {1, 9, 7, 3}, {1, 3, 3, 6}}),
                         [](const testing::TestParamInfo<Shape4>& test) { return test.param.name; });

}  // namespace
}  // namespace wherry
