// Networks as an importer would make them: nodes under their modules' paths, and the modules' classes.
#pragma once

#include "ir/builder.h"
#include "ops/all_ops.h"

#include <random>

namespace wherry {

struct Window {
  std::int64_t kernel = 1, stride = 1, groups = 1;
  bool bias = true;
};

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
    return op(path, "conv2d", {x, weights, bias}, {{"stride", w.stride}, {"padding", w.kernel / 2}, {"groups", w.groups}});
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

  ValueId irf(const std::string& path, ValueId x, std::int64_t in, std::int64_t mid, std::int64_t out, Window w = {3},
              bool shuffle = false) {
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

inline Network mobile() {
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

inline Network resnet() {
  Network net("resnet");
  ValueId x = net.basic_block("layer1.0", net.input("image", {1, 64, 56, 56}), 64, 64, 1);
  x = net.basic_block("layer1.1", x, 64, 64, 1);
  x = net.basic_block("layer2.0", x, 64, 128, 2);
  x = net.basic_block("layer2.1", x, 128, 128, 1);
  x = net.basic_block("layer3.0", x, 128, 256, 2);
  net.output("features", net.basic_block("layer3.1", x, 256, 256, 1));
  return net;
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
    std::mt19937 form(seed_ * 7 + static_cast<unsigned>(cls));  // the same for all instances
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
      default:
        return net_.conv(path, right, 4, 4, {static_cast<std::int64_t>(2 * pick(2) + 1), 1, std::int64_t{1} << pick(3), pick(3) > 0});
    }
  }

  unsigned seed_;
  std::mt19937 random_;
  Network net_;
  std::vector<ValueId> known_;
};

}  // namespace wherry
