// Small graphs for tests: made with few words, printed as text, run by the reference evaluator.
#pragma once

#include "ops/all_ops.h"
#include "runtime/evaluate.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace wherry {

struct Net {
  Graph graph;
  Builder add{graph, all_ops()};
  std::uint64_t seed = 1;

  Net() { graph.name = "net"; }
  ValueId input(const std::string& name, const std::string& type) {
    const ValueId id = graph.add_value({name, parse_type(type).value(), {}});
    graph.inputs.push_back({name, id});
    return id;
  }
  ValueId weight(const std::string& key, const Sizes& sizes) {
    return graph.add_constant(seeded_tensors({{DType::float32, to_shape(sizes)}}, ++seed)[0], key);
  }
  ValueId numbers(const std::string& key, const std::vector<float>& values, const Sizes& sizes) {
    return graph.add_constant(Tensor::from(values, sizes), key);
  }
  // A node under `path`; the first output.
  ValueId node(const std::string& path, std::string_view op, std::vector<ValueId> inputs, std::vector<NamedAttr> attrs = {}) {
    add.at(path, {"net.py", static_cast<int>(graph.nodes.size()) + 1});
    return add(op, std::move(inputs), std::move(attrs));
  }
  ValueId conv(const std::string& path, ValueId x, std::int64_t out, std::int64_t kernel, std::vector<NamedAttr> attrs = {}) {
    std::int64_t groups = 1;
    for (const NamedAttr& a : attrs)
      if (a.name == "groups") groups = std::get<std::int64_t>(a.value);
    Sizes sizes = {out, graph.type(x).shape[1].size() / groups};
    sizes.resize(graph.type(x).shape.size(), kernel);
    const std::string op = fmt::format("conv{}d", sizes.size() - 2);
    return node(path, op, {x, weight(path + ".weight", sizes), weight(path + ".bias", {out})}, std::move(attrs));
  }
  ValueId batch_norm(const std::string& path, ValueId x) {
    const std::int64_t channels = graph.type(x).shape[1].size();
    std::vector<float> var;
    for (std::int64_t c = 0; c < channels; ++c) var.push_back(0.5F + static_cast<float>(c % 7));
    return node(path, "batch_norm",
                {x, weight(path + ".weight", {channels}), weight(path + ".bias", {channels}), weight(path + ".running_mean", {channels}),
                 numbers(path + ".running_var", var, {channels})});
  }
  void output(const std::string& name, ValueId v) { graph.outputs.push_back({name, v}); }
};

// One line a node: "y = add(x, w)". Values by name; attributes that differ from their default.
inline std::string text(const Graph& graph) {
  std::string out;
  for (const Node& node : graph.nodes) {
    std::string line;
    for (const ValueId v : node.outputs) line += (line.empty() ? "" : ", ") + graph[v].name;
    line += fmt::format(" = {}(", node.op->name);
    std::string separator;
    for (const ValueId v : node.inputs) {
      if (v != absent) line += separator + graph[v].name, separator = ", ";
    }
    for (std::size_t i = 0; i < node.attrs.size(); ++i)
      if (!node.op->attrs[i].fallback || node.attrs[i] != *node.op->attrs[i].fallback)
        line += fmt::format("{}{}: {}", separator, node.op->attrs[i].name, text(node.attrs[i])), separator = ", ";
    out += line + ")\n";
  }
  return out;
}

inline std::vector<Tensor> run(const Graph& graph, std::uint64_t seed = 7) {
  std::vector<Type> types;
  for (const Port& port : graph.inputs) types.push_back(graph.type(port.value));
  return Evaluator(graph, all_ops()).run(seeded_tensors(types, seed));
}

// The largest difference between the outputs, as a share of the largest output.
inline double difference(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double worst = 0, scale = 1e-9;
  EXPECT_EQ(a.size(), b.size());
  for (std::size_t o = 0; o < a.size(); ++o) {
    EXPECT_EQ(a[o].type(), b[o].type());
    const std::vector<float> x = a[o].to_floats(), y = b[o].to_floats();
    for (std::size_t i = 0; i < x.size(); ++i)
      worst = std::max(worst, std::abs(static_cast<double>(x[i]) - y[i])), scale = std::max(scale, std::abs(static_cast<double>(x[i])));
  }
  return worst / scale;
}

// The pass's result is a legal graph that computes the same.
template <class Pass>
Graph checked(Pass pass, const Graph& graph, double tolerance = 1e-5) {
  Graph result = pass(graph, all_ops());
  verify(result);
  EXPECT_LE(difference(run(graph), run(result)), tolerance) << text(result);
  return result;
}

}  // namespace wherry
