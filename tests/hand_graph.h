// TflGraphs made by hand, written and read back: what the tests of the writer and of the runtime share.
#pragma once

#include "export/tflite/write_tflite.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <numeric>

namespace wherry {

struct HandGraph {
  TflGraph graph{.name = "hand"};

  int tensor(const std::string& name, Sizes sizes, DType dtype = DType::float32) {
    graph.tensors.push_back({.name = name, .dtype = dtype, .sizes = std::move(sizes)});
    return static_cast<int>(graph.tensors.size()) - 1;
  }
  int constant(const std::string& name, Tensor value) {
    graph.tensors.push_back({.name = name, .dtype = value.dtype(), .sizes = value.sizes(), .constant = value});
    return static_cast<int>(graph.tensors.size()) - 1;
  }
  int input(const std::string& name, Sizes sizes, DType dtype = DType::float32) {
    const int id = tensor(name + "_tensor", std::move(sizes), dtype);
    graph.inputs.push_back({name, id});
    return id;
  }
  void output(const std::string& name, int id) { graph.outputs.push_back({name, id}); }
  int add(const std::string& builtin, std::vector<int> inputs, Sizes sizes, std::vector<TflOption> options = {},
          DType dtype = DType::float32) {
    const int out = tensor(builtin + std::to_string(graph.tensors.size()), std::move(sizes), dtype);
    graph.nodes.push_back({.builtin = builtin, .inputs = std::move(inputs), .outputs = {out}, .options = std::move(options)});
    return out;
  }
};

// A 1x1 convolution of two channels into three, a bias, a fused RELU.
inline TflGraph small_convolution() {
  HandGraph g;
  const int x = g.input("image", {1, 2, 2, 2});
  const int w = g.constant("w", Tensor::from<float>({1, 2, 3, 4, -5, -6}, {3, 1, 1, 2}));
  const int b = g.constant("b", Tensor::from<float>({10, 20, 30}, {3}));
  const int y = g.add("CONV_2D", {x, w, b}, {1, 2, 2, 3},
                      {{"padding", std::string("VALID")},
                       {"stride_w", std::int64_t{1}},
                       {"stride_h", std::int64_t{1}},
                       {"fused_activation_function", std::string("RELU")}});
  g.output("features", y);
  return g.graph;
}

// A file of this process alone: ctest runs tests side by side.
inline std::filesystem::path scratch(const std::string& name) {
  return std::filesystem::path(testing::TempDir()) / fmt::format("wherry_{}_{}", getpid(), name);
}

inline std::filesystem::path write(const TflGraph& graph, const std::string& name = "hand.tflite", const TfliteMetadata& metadata = {}) {
  const std::filesystem::path path = scratch(name);
  AtomicFile file(path);
  write_tflite(graph, metadata, file);
  file.commit();
  return path;
}

}  // namespace wherry
