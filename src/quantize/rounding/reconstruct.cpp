#include "quantize/rounding/reconstruct.h"

#include "quantize/apply.h"
#include "quantize/live_bytes.h"
#include "quantize/rounding/patches.h"
#include "quantize/rounding/round_weights.h"
#include "quantize/step_run.h"
#include "quantize/weights.h"

#include <cmath>

namespace wherry {

namespace {

constexpr std::size_t parts = 4;  // of the samples: summed apart, whatever the number of threads; the last is left out to choose by

// A convolution as matrix products: `groups` of them, each of [rows, depth] with its own inputs.
struct Layer {
  int node = 0, input = 0;
  Windows windows;
  std::int64_t groups = 1, rows = 1, depth = 1;
  bool depthwise = false;
};

std::optional<Layer> layer_of(const TflGraph& graph, const Plan& plan, int n) {
  const TflNode& node = graph.nodes[static_cast<std::size_t>(n)];
  const std::optional<Windows> windows = windows_of(graph, node);
  if (!windows || !plan.weights.contains(n) || plan.weights.at(n).bias.empty()) return std::nullopt;
  Layer layer{.node = n, .input = node.inputs[0], .windows = *windows};
  const Sizes& sizes = tensor_at(graph, node.inputs[1])->sizes;
  layer.depthwise = node.builtin == "DEPTHWISE_CONV_2D";
  if (layer.depthwise) {
    if (sizes[3] != windows->channels) return std::nullopt;  // a channel multiplier: left to bias correction
    layer.groups = windows->channels;
    layer.depth = windows->kernel_h * windows->kernel_w;
  } else {
    layer.groups = windows->channels / sizes.back();
    layer.rows = sizes[0] / layer.groups;
    layer.depth = windows->kernel_h * windows->kernel_w * sizes.back();
  }
  return layer;
}

// The group's columns of the rows of windows; `room` for them where they are not all.
std::span<const float> group_of(const Layer& layer, std::int64_t group, std::span<const float> rows, std::vector<float>& room) {
  if (layer.groups == 1) return rows;
  const Windows& w = layer.windows;
  const std::int64_t kernels = w.kernel_h * w.kernel_w, width = w.channels / layer.groups;
  const auto count = static_cast<std::int64_t>(rows.size()) / w.patch();
  room.resize(static_cast<std::size_t>(count * layer.depth));
  for (std::int64_t r = 0; r < count; ++r)
    for (std::int64_t k = 0; k < kernels; ++k)
      std::copy_n(rows.data() + r * w.patch() + k * w.channels + group * width, width, room.data() + r * layer.depth + k * width);
  return room;
}

struct GroupWeight {
  Matrix weight;
  Vector scale;
};

// Where element (row, column) of a group's matrix lies in the kernel's weight.
std::size_t weight_place(const Layer& layer, std::int64_t group, std::int64_t row, std::int64_t column) {
  if (layer.depthwise) return static_cast<std::size_t>(column * layer.groups + group);
  return static_cast<std::size_t>((group * layer.rows + row) * layer.depth + column);
}

// The strength of the pull, in parts of the inputs' mean energy, that serves images outside the fit best; nothing: no refit does.
std::optional<float> best_pull(const Matrix& all_rows, const Moments& fit, const Moments& held, int threads) {
  constexpr Eigen::Index enough = 48;  // rows tell how strong the pull must be; the others need the same
  const Eigen::Index step = std::max<Eigen::Index>(all_rows.rows() / enough, 1), rows = (all_rows.rows() + step - 1) / step;
  Matrix weight(rows, all_rows.cols());
  for (Eigen::Index r = 0; r < rows; ++r) weight.row(r) = all_rows.row(r * step);
  const Matrix fit_xx = fit.centred_xx(), fit_fx = fit.centred_fx(), xx = held.centred_xx(), fx = held.centred_fx();
  const Matrix wanted = product(weight, fx);
  // Without the constant |W f|²: tr(W' xx W'ᵀ) - 2 tr(W fx W'ᵀ).
  const auto loss = [&](const Matrix& w) { return output_error(w, xx) - 2 * static_cast<double>(wanted.cwiseProduct(w).sum()); };
  const float energy = std::max(fit_xx.diagonal().mean(), 1e-12F);
  constexpr float pulls[] = {0.001F, 0.01F, 0.1F, 1.0F};
  double losses[std::size(pulls)];
  parallel_for(std::size(pulls), threads, [&](std::size_t i, int) { losses[i] = loss(refit(weight, fit_xx, fit_fx, pulls[i] * energy)); });
  const auto least = static_cast<std::size_t>(std::ranges::min_element(losses) - losses);
  return losses[least] < loss(weight) ? std::optional(pulls[least]) : std::nullopt;
}

class Reconstruction {
 public:
  Reconstruction(const TflGraph& graph, Plan& plan, const Samples& samples, const Loader& load, const ReconstructOptions& options)
      : graph_(graph),
        plan_(plan),
        options_(options),
        all_(samples),
        count_(std::min(samples.count, options.early)),
        live_bytes_(live_bytes(graph)),
        quantized_(apply_plan(graph, plan, {})),
        copy_(graph),
        integers_(quantized_.graph, {count_, samples.load}, load, options.threads),
        reals_(copy_, {count_, samples.load}, load, options.threads) {}

  std::vector<LayerRounding> run(const QuantizeProgress& progress) {
    const std::size_t total = quantized_.graph.nodes.size();
    for (std::size_t q = 0; q < total; ++q) {
      const int n = quantized_.nodes[q];
      if (n >= 0) let_join(static_cast<std::size_t>(n));
      if (const std::optional<Layer> layer = n < 0 ? std::nullopt : layer_of(graph_, plan_, n)) rebuild(*layer, q);
      integers_.step(q);
      if (n >= 0) reals_.step(static_cast<std::size_t>(n));
      if (progress) progress("round", static_cast<double>(q + 1), static_cast<double>(total));
    }
    return std::move(report_);
  }

 private:
  // The samples that were left out for want of memory.
  void let_join(std::size_t node) {
    if (count_ == all_.count || live_bytes_[node] * static_cast<double>(all_.count) > options_.memory) return;
    const Samples others{all_.count - count_, [this, first = count_](std::size_t i) { return all_.load(first + i); }};
    integers_.join(others);
    reals_.join(others);
    count_ = all_.count;
  }

  void rebuild(const Layer& layer, std::size_t q) {
    const TflNode& node = graph_.nodes[static_cast<std::size_t>(layer.node)];
    const Grid grid = plan_.grids.at({layer.input, *plan_.nodes[static_cast<std::size_t>(layer.node)]}).grid;
    const auto groups = moments(layer, quantized_.graph.nodes[q].inputs[0], grid);
    const Tensor original = tensor_at(graph_, node.inputs[1])->constant->contiguous();
    const std::vector<float> bias = tensor_at(graph_, node.inputs[2])->constant->to_floats();
    QuantizedWeight& out = plan_.weights.at(layer.node);
    Tensor codes = Tensor::allocate(DType::int8, original.sizes());
    LayerRounding record{.node = layer.node};
    std::vector<LayerRounding> records(groups.size());
    parallel_for(groups.size(), options_.threads, [&](std::size_t g, int) {
      records[g] = rebuild_group(layer, static_cast<std::int64_t>(g), groups[g], original.as<float>(), bias, grid, out,
                                 codes.mutable_as<std::int8_t>());
    });
    for (const LayerRounding& r : records) record.nearest += r.nearest, record.chosen += r.chosen;
    report_.push_back(record);
    out.codes = std::move(codes);
    fit_bias(out, grid, rule_of(node.builtin)->axis);
    const std::vector<int>& operands = quantized_.graph.nodes[q].inputs;
    integers_.replace(operands[1], out.codes, weight_quantization(out, rule_of(node.builtin)->axis));
    integers_.replace(operands[2], bias_codes(out, grid), bias_quantization(out, grid));
  }

  LayerRounding rebuild_group(const Layer& layer, std::int64_t g, const std::vector<Moments>& moments, std::span<const float> original,
                              const std::vector<float>& bias, const Grid& grid, QuantizedWeight& out, std::span<std::int8_t> codes) const {
    const int threads = layer.groups == 1 ? options_.threads : 1;  // else the groups take them
    Matrix weight(layer.rows, layer.depth);
    for (std::int64_t r = 0; r < layer.rows; ++r)
      for (std::int64_t c = 0; c < layer.depth; ++c) weight(r, c) = original[weight_place(layer, g, r, c)];
    Moments all(layer.depth), fit(layer.depth);
    for (std::size_t p = 0; p < moments.size(); ++p) {
      all.add(moments[p]);
      if (p + 1 < moments.size()) fit.add(moments[p]);
    }
    const Matrix xx = all.centred_xx();
    std::optional<float> pull;
    if (options_.refit && moments.size() == parts && moments.back().count > 0) pull = best_pull(weight, fit, moments.back(), threads);
    Matrix target = weight;
    GptqMoment prepared;
    parallel_for(2, threads, [&](std::size_t task, int) {  // two factors of the same moment
      if (task == 0) prepared = gptq_moment(xx);
      if (task == 1 && pull) target = refit(weight, xx, all.centred_fx(), *pull * std::max(xx.diagonal().mean(), 1e-12F), threads);
    });

    Vector scale(layer.rows);
    for (std::int64_t r = 0; r < layer.rows; ++r) {
      const auto channel = static_cast<std::size_t>(g * layer.rows + r);
      scale(r) = std::max({target.row(r).cwiseAbs().maxCoeff() / 127, 1e-12F,
                           grid.dtype == DType::int8 ? least_weight_scale(static_cast<double>(bias[channel]), grid.scale) : 0.0F});
    }
    const Rounded nearest = round_nearest(target, scale, 127);
    const bool adaptive = options_.rounding == Rounding::adaround;
    Rounded rounded = round_gptq(target, scale, prepared, 127, adaptive ? much_work : little_work, threads);
    if (adaptive) rounded = round_adaptive(target, rounded, xx, 127, threads);
    LayerRounding record{.node = layer.node};
    parallel_for(2, threads, [&](std::size_t task, int) {
      (task == 0 ? record.nearest : record.chosen) = output_error((task == 0 ? nearest : rounded).reals() - target, xx);
    });
    if (!(record.chosen <= record.nearest)) rounded = nearest, record.chosen = record.nearest;

    const Vector shift = rounded.reals() * all.mean_x() - weight * all.mean_f();
    for (std::int64_t r = 0; r < layer.rows; ++r) {
      const auto channel = static_cast<std::size_t>(g * layer.rows + r);
      out.scales[channel] = rounded.scale(r);
      out.bias[channel] = static_cast<double>(bias[channel]) - static_cast<double>(shift(r));
      for (std::int64_t c = 0; c < layer.depth; ++c) codes[weight_place(layer, g, r, c)] = static_cast<std::int8_t>(rounded.codes(r, c));
    }
    return record;
  }

  // By group and part of the samples.
  std::vector<std::vector<Moments>> moments(const Layer& layer, int input, const Grid& grid) {
    integers_.compute(input);
    reals_.compute(layer.input);
    const std::int64_t wanted = std::max<std::int64_t>(layer.depthwise ? 768 : 2048, 4 * layer.depth);
    const auto images = static_cast<std::int64_t>(count_);
    const std::int64_t per_image = std::min((wanted + images - 1) / images, layer.windows.out_h * layer.windows.out_w);
    std::vector<std::vector<Moments>> out(static_cast<std::size_t>(layer.groups), std::vector<Moments>(parts));
    parallel_for(parts, options_.threads, [&](std::size_t part, int) {
      std::vector<Moments> groups = moments_of_part(layer, input, grid, part, per_image);
      for (std::size_t g = 0; g < groups.size(); ++g) out[g][part] = std::move(groups[g]);
    });
    return out;
  }

  std::vector<Moments> moments_of_part(const Layer& layer, int input, const Grid& grid, std::size_t part, std::int64_t per_image) const {
    constexpr std::size_t enough = std::size_t{1} << 21;  // floats gathered before they are multiplied
    std::vector<Moments> groups(layer.depthwise ? 0 : static_cast<std::size_t>(layer.groups), Moments(layer.depth));
    ChannelMoments channels(layer.depth, layer.depthwise ? layer.groups : 0);
    const auto image_size = static_cast<std::size_t>(per_image * layer.windows.patch());
    const std::size_t images = std::min(enough / image_size + 1, count_);  // gathered at a time
    std::vector<float> x(images * image_size), f(x.size()), group_x, group_f;
    std::size_t filled = 0;
    const auto multiply = [&] {
      const std::span<const float> rows_x(x.data(), filled), rows_f(f.data(), filled);
      if (layer.depthwise) channels.add(rows_x, rows_f);
      for (std::size_t g = 0; g < groups.size(); ++g) {
        const auto group = static_cast<std::int64_t>(g);
        groups[g].add(group_of(layer, group, rows_x, group_x), group_of(layer, group, rows_f, group_f));
      }
      filled = 0;
    };
    for (std::size_t i = part; i < count_; i += parts) {
      const auto which = sampled_windows(layer.windows, per_image, i);
      gather_windows(integers_.value(input, i), grid, layer.windows, which, x.data() + filled);
      gather_windows(reals_.value(layer.input, i), {}, layer.windows, which, f.data() + filled);
      filled += image_size;
      if (filled == x.size()) multiply();
    }
    if (filled > 0) multiply();
    return layer.depthwise ? channels.finish() : groups;
  }

  const TflGraph& graph_;
  Plan& plan_;
  const ReconstructOptions& options_;
  const Samples& all_;
  std::size_t count_;
  std::vector<double> live_bytes_;
  Quantized quantized_;
  TflGraph copy_;
  StepRun integers_, reals_;
  std::vector<LayerRounding> report_;
};

}  // namespace

std::string_view name(Rounding rounding) {
  return rounding == Rounding::nearest ? "nearest" : rounding == Rounding::gptq ? "gptq" : "adaround";
}

std::vector<LayerRounding> reconstruct(const TflGraph& graph, Plan& plan, const Samples& samples, const Loader& load,
                                       const ReconstructOptions& options, const QuantizeProgress& progress) {
  return Reconstruction(graph, plan, samples, load, options).run(progress);
}

}  // namespace wherry
