// E|(W' - W)(x - E x)|² of a model's layers after rounding by GPTQ and AdaRound, relative to nearest rounding, at 4 and 8 bits, for
// bench/rounding.py: MODEL DATA COUNT WEIGHTS, or `synthetic`; JSON on standard output.
// x are the windows that each layer sees in LiteRT in the int8 network whose weights before it are rounded to nearest. Four fifths of
// the images make the moments that the methods see ("held_in"); the last fifth is judged too ("held_out").
#include "cli/calibration.h"
#include "ops/all_ops.h"
#include "quantize/rounding/patches.h"
#include "quantize/rounding/round_weights.h"
#include "quantize/step_run.h"
#include "quantize/weights.h"

#include <fmt/format.h>
#include <chrono>
#include <cmath>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>

namespace wherry {
namespace {

using nlohmann::ordered_json;

struct Method {
  std::string name;
  Rounded (*round)(const Matrix& weight, const Vector& scale, const Matrix& moment, float limit);
  double seconds = 0;
};

struct Layer {
  std::string path, kind;
  std::int64_t inputs = 0;
  std::map<std::string, double> errors;  // "8/held_in/gptq"
};

// Groups of one layer: its weight [rows, depth] and the moments of what it sees, held in and held out.
struct Group {
  Matrix weight, held_in, held_out;
};

std::vector<Group> groups_of(const TflGraph& graph, const TflNode& node, const Windows& w, const std::vector<float>& in,
                             const std::vector<float>& out) {
  const Tensor original = tensor_at(graph, node.inputs[1])->constant->contiguous();
  const auto values = original.as<float>();
  std::vector<Group> groups;
  if (node.builtin == "DEPTHWISE_CONV_2D") {
    const std::int64_t size = w.kernel_h * w.kernel_w;
    if (original.sizes()[3] != w.channels) return groups;
    const auto moments = [&](const std::vector<float>& rows) {
      ChannelMoments sums(size, w.channels);
      sums.add(rows, rows);
      return sums.finish();
    };
    const std::vector<Moments> a = moments(in), b = moments(out);
    for (std::int64_t c = 0; c < w.channels; ++c) {
      Matrix weight(1, size);
      for (std::int64_t k = 0; k < size; ++k) weight(0, k) = values[static_cast<std::size_t>(k * w.channels + c)];
      const auto at = static_cast<std::size_t>(c);
      groups.push_back({std::move(weight), a[at].centred_xx(), b[at].centred_xx()});
    }
  } else if (original.sizes().back() == w.channels) {
    Moments a(w.patch()), b(w.patch());
    a.add(in, in);
    b.add(out, out);
    groups.push_back({Eigen::Map<const Matrix>(values.data(), original.sizes()[0], w.patch()), a.centred_xx(), b.centred_xx()});
  }
  return groups;
}

void measure(const Group& group, std::vector<Method>& methods, Layer& layer, std::mutex& lock) {
  for (const int bits : {4, 8}) {
    const float limit = bits == 4 ? 7 : 127;
    Vector scale(group.weight.rows());
    for (Eigen::Index r = 0; r < scale.size(); ++r) scale(r) = std::max(group.weight.row(r).cwiseAbs().maxCoeff() / limit, 1e-12F);
    for (Method& method : methods) {
      const auto begin = std::chrono::steady_clock::now();
      const Rounded rounded = method.round(group.weight, scale, group.held_in, limit);
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      const Matrix difference = rounded.reals() - group.weight;
      const double in = output_error(difference, group.held_in), out = output_error(difference, group.held_out);
      const std::scoped_lock hold(lock);
      layer.errors[fmt::format("{}/held_in/{}", bits, method.name)] += in;
      layer.errors[fmt::format("{}/held_out/{}", bits, method.name)] += out;
      if (bits == 8) method.seconds += seconds;
    }
  }
}

ordered_json report(const std::vector<Layer>& layers, const std::vector<Method>& methods) {
  ordered_json j;
  for (const Layer& layer : layers)
    j["layers"].push_back({{"path", layer.path}, {"kind", layer.kind}, {"inputs", layer.inputs}, {"errors", layer.errors}});
  for (const Method& method : methods) j["seconds"][method.name] = method.seconds;
  for (const auto& [key, unused] : layers.at(0).errors) {
    const std::string reference = key.substr(0, key.rfind('/')) + "/nearest";
    std::vector<double> ratios;
    for (const Layer& layer : layers) ratios.push_back(layer.errors.at(key) / std::max(layer.errors.at(reference), 1e-30));
    std::ranges::sort(ratios);
    double logs = 0;
    for (const double r : ratios) logs += std::log(std::max(r, 1e-9));
    j["ratios"][key] = {{"geometric_mean", std::exp(logs / static_cast<double>(ratios.size()))},
                        {"median", ratios[ratios.size() / 2]},
                        {"worst", ratios.back()}};
  }
  return j;
}

// As src/quantize/rounding/reconstruct.cpp does it.
std::vector<Method> all_methods() {
  return {{"nearest", [](const Matrix& w, const Vector& s, const Matrix&, float l) { return round_nearest(w, s, l); }},
          {"gptq",
           [](const Matrix& w, const Vector& s, const Matrix& m, float l) { return round_gptq(w, s, gptq_moment(m), l, little_work, 2); }},
          {"adaround", [](const Matrix& w, const Vector& s, const Matrix& m, float l) {
             return round_adaptive(w, round_gptq(w, s, gptq_moment(m), l, much_work, 2), m, l, 2);
           }}};
}

// Normal weights, and normal inputs mixed at random from axes whose deviations fall off tenfold.
ordered_json measure_synthetic() {
  std::vector<Method> methods = all_methods();
  std::vector<Layer> layers;
  std::mutex lock;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  const auto matrix = [&](Eigen::Index rows, Eigen::Index columns) {
    Matrix out(rows, columns);
    for (Eigen::Index i = 0; i < out.size(); ++i) out.data()[i] = normal(random);
    return out;
  };
  for (const int depth : {32, 128, 512}) {
    const Matrix mix = matrix(depth, depth);
    const auto moment = [&](int rows) -> Matrix {
      Matrix axes = matrix(rows, depth);
      for (Eigen::Index j = 0; j < depth; ++j) axes.col(j) *= std::pow(0.1F, static_cast<float>(j) / static_cast<float>(depth));
      const Matrix x = axes * mix;
      return x.transpose() * x / static_cast<float>(rows);
    };
    const Group group{matrix(64, depth), moment(6 * depth), moment(2 * depth)};
    layers.push_back({fmt::format("synthetic.{}", depth), "synthetic", depth, {}});
    measure(group, methods, layers.back(), lock);
  }
  return report(layers, methods);
}

ordered_json measure_model(const ConvertOptions& options) {
  Diagnostics diagnostics;
  const LoadedSource source = load_source(options.source, options.load);
  std::vector<PassRecord> records;
  const TflGraph graph = lower_to_tfl(run_passes(source.graph, all_ops(), {}, records), all_ops(), {.io = Io::nhwc}, diagnostics).graph;
  const Samples all = calibration_samples(source, graph, options, diagnostics);
  diagnostics.throw_if_errors();
  const Loader load = litert_loader();
  std::vector<std::size_t> typical = order_by_content(all, options.threads, {});
  typical.resize(std::min<std::size_t>(typical.size(), 200));
  const std::vector<Histogram> tensors = calibrate(graph, all, load, options.threads, {}, diagnostics);
  Plan plan = make_plan(graph, tensors, {}, diagnostics);
  diagnostics.throw_if_errors();
  quantize_weights(graph, plan);
  Quantized quantized = apply_plan(graph, plan, {});
  const Samples samples{typical.size(), [&](std::size_t i) { return all.load(typical[i]); }};
  StepRun run(quantized.graph, samples, load, options.threads);

  std::vector<Method> methods = all_methods();
  std::vector<Layer> layers;
  std::mutex lock;
  for (std::size_t q = 0; q < quantized.graph.nodes.size(); ++q) {
    const int n = quantized.nodes[q];
    const std::optional<Windows> windows = n < 0 ? std::nullopt : windows_of(graph, graph.nodes[static_cast<std::size_t>(n)]);
    if (windows) {
      const TflNode& node = graph.nodes[static_cast<std::size_t>(n)];
      const Grid grid = plan.grids.at({node.inputs[0], DType::int8}).grid;
      const bool depthwise = node.builtin == "DEPTHWISE_CONV_2D";
      const std::int64_t depth = windows->patch() / (depthwise ? windows->channels : 1);
      const std::int64_t wanted = std::max<std::int64_t>(4096, 8 * depth) / static_cast<std::int64_t>(samples.count) + 1;
      std::vector<std::vector<float>> rows(samples.count);
      run.each(quantized.graph.nodes[q].inputs[0], [&](const Tensor& value, std::size_t i) {
        const auto which = sampled_windows(*windows, wanted, i);
        rows[i].resize(which.size() * static_cast<std::size_t>(windows->patch()));
        gather_windows(value, grid, *windows, which, rows[i].data());
      });
      std::vector<float> in, out;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        std::vector<float>& part = 5 * i < 4 * rows.size() ? in : out;
        part.insert(part.end(), rows[i].begin(), rows[i].end());
      }
      const std::vector<Group> groups = groups_of(graph, node, *windows, in, out);
      if (!groups.empty()) {
        layers.push_back({node.path, node.builtin, depth, {}});
        parallel_for(groups.size(), options.threads, [&](std::size_t g, int) { measure(groups[g], methods, layers.back(), lock); });
        fmt::print(stderr, "{}\n", node.path);
      }
    }
    run.step(q);
  }
  return report(layers, methods);
}

}  // namespace
}  // namespace wherry

int main(int argc, char** argv) {
  using namespace wherry;
  if (argc != 2 && argc != 5) return 2;
  try {
    if (argc == 2) {
      fmt::print("{}\n", measure_synthetic().dump(1));
      return 0;
    }
    ConvertOptions options{.source = argv[1], .out = {}, .load = {}};
    options.precision = Precision::int8;
    options.calibrate = argv[2];
    options.calibration_count = std::stoul(argv[3]);
    options.load.weights = argv[4];
    fmt::print("{}\n", measure_model(options).dump(1));
  } catch (const Failure& failure) {
    fmt::print(stderr, "{}\n", failure.what());
    return 1;
  }
}
