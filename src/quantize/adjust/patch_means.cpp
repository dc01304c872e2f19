#include "quantize/adjust/patch_means.h"

#include "base/check.h"

namespace wherry {

namespace {

std::int64_t option(const TflNode& node, std::string_view name, std::int64_t fallback) {
  const TflOption* found = node.find(name);
  return found ? std::get<std::int64_t>(found->value) : fallback;
}

// SAME as TensorFlow means it: the smaller half before.
std::int64_t pad_before(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t dilation) {
  return std::max<std::int64_t>((out - 1) * stride + (kernel - 1) * dilation + 1 - in, 0) / 2;
}

// Sum is wide enough for one column of Elements.
template <typename Element, typename Sum>
void add_windows(std::span<const Element> x, double zero, const Windows& w, std::span<double> sums) {
  std::vector<Sum> columns(static_cast<std::size_t>(w.width * w.channels));
  for (std::int64_t ky = 0; ky < w.kernel_h; ++ky) {
    std::ranges::fill(columns, Sum{0});
    std::int64_t rows = 0;
    for (std::int64_t oy = 0; oy < w.out_h; ++oy) {
      const std::int64_t y = oy * w.stride_h + ky * w.dilation_h - w.pad_top;
      if (y < 0 || y >= w.height) continue;
      ++rows;
      const Element* row = x.data() + y * w.width * w.channels;
      for (std::size_t i = 0; i < columns.size(); ++i) columns[i] += static_cast<Sum>(row[i]);
    }
    for (std::int64_t kx = 0; kx < w.kernel_w; ++kx) {
      double* to = sums.data() + (ky * w.kernel_w + kx) * w.channels;
      for (std::int64_t ox = 0; ox < w.out_w; ++ox) {
        const std::int64_t at = ox * w.stride_w + kx * w.dilation_w - w.pad_left;
        if (at < 0 || at >= w.width) continue;
        const Sum* from = columns.data() + at * w.channels;
        for (std::int64_t c = 0; c < w.channels; ++c) to[c] += static_cast<double>(from[c]) - zero * static_cast<double>(rows);
      }
    }
  }
}

}  // namespace

std::optional<Windows> windows_of(const TflGraph& graph, const TflNode& node) {
  const BuiltinRule* rule = weighted_rule(graph, node);
  if (!rule || node.builtin == "TRANSPOSE_CONV") return std::nullopt;
  const Sizes& in = tensor_at(graph, node.inputs[0])->sizes;
  const Sizes& weight = tensor_at(graph, node.inputs[1])->sizes;
  if (node.builtin == "FULLY_CONNECTED") {
    const std::int64_t features = weight[1];
    const std::int64_t rows = element_count(in) / features;
    return Windows{.height = rows, .width = 1, .channels = features, .out_h = rows, .out_w = 1};
  }
  const Sizes& out = tensor_at(graph, node.outputs[0])->sizes;
  Windows w{.height = in[1],
            .width = in[2],
            .channels = in[3],
            .kernel_h = weight[1],
            .kernel_w = weight[2],
            .stride_h = option(node, "stride_h", 1),
            .stride_w = option(node, "stride_w", 1),
            .dilation_h = option(node, "dilation_h_factor", 1),
            .dilation_w = option(node, "dilation_w_factor", 1),
            .out_h = out[1],
            .out_w = out[2]};
  const TflOption* padding = node.find("padding");
  if (padding && padding->value == Attr(std::string("SAME"))) {
    w.pad_top = pad_before(w.height, w.out_h, w.kernel_h, w.stride_h, w.dilation_h);
    w.pad_left = pad_before(w.width, w.out_w, w.kernel_w, w.stride_w, w.dilation_w);
  }
  return w;
}

std::vector<double> patch_means(const Tensor& input, const Grid& grid, const Windows& w) {
  const Tensor dense = input.contiguous();
  const auto image = static_cast<std::size_t>(w.height * w.width * w.channels);
  const std::size_t images = static_cast<std::size_t>(dense.count()) / image;
  WHERRY_CHECK(images * image == static_cast<std::size_t>(dense.count()), "windows of another tensor");
  std::vector<double> sums(static_cast<std::size_t>(w.patch()), 0);
  const double zero = grid.zero_point;
  for (std::size_t n = 0; n < images; ++n) switch (dense.dtype()) {
      case DType::int8: add_windows<std::int8_t, std::int32_t>(dense.as<std::int8_t>().subspan(n * image, image), zero, w, sums); break;
      case DType::int16: add_windows<std::int16_t, std::int32_t>(dense.as<std::int16_t>().subspan(n * image, image), zero, w, sums); break;
      default: add_windows<float, float>(dense.as<float>().subspan(n * image, image), 0, w, sums);
    }
  const double unit = dense.dtype() == DType::float32 ? 1 : static_cast<double>(grid.scale);
  for (double& s : sums) s *= unit / static_cast<double>(static_cast<std::int64_t>(images) * w.out_h * w.out_w);
  return sums;
}

std::vector<double> respond(const TflNode& node, const Sizes& sizes, std::span<const float> weight, std::span<const double> patch,
                            const Windows& w) {
  if (node.builtin == "DEPTHWISE_CONV_2D") {  // [1, h, w, in * multiplier]
    const std::int64_t out = sizes[3], multiplier = out / w.channels;
    std::vector<double> y(static_cast<std::size_t>(out), 0);
    for (std::int64_t k = 0; k < w.kernel_h * w.kernel_w; ++k)
      for (std::int64_t c = 0; c < out; ++c)
        y[static_cast<std::size_t>(c)] += static_cast<double>(weight[static_cast<std::size_t>(k * out + c)]) *
                                          patch[static_cast<std::size_t>(k * w.channels + c / multiplier)];
    return y;
  }
  const std::int64_t out = sizes[0], depth = sizes.back(), groups = w.channels / depth, kernels = w.kernel_h * w.kernel_w;
  std::vector<double> y(static_cast<std::size_t>(out), 0);
  for (std::int64_t o = 0; o < out; ++o) {
    const std::int64_t first = o / (out / groups) * depth;
    for (std::int64_t k = 0; k < kernels; ++k)
      for (std::int64_t c = 0; c < depth; ++c)
        y[static_cast<std::size_t>(o)] += static_cast<double>(weight[static_cast<std::size_t>((o * kernels + k) * depth + c)]) *
                                          patch[static_cast<std::size_t>(k * w.channels + first + c)];
  }
  return y;
}

}  // namespace wherry
