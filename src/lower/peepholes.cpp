#include "lower/peepholes.h"

#include "base/check.h"
#include "lower/axes.h"
#include "lower/links.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <tuple>

namespace wherry {

namespace {

// Says that one tensor stands for another, and in the end tells everybody.
class Forward {
 public:
  Forward(Lowered& lowered, const Links& links)
      : lowered_(lowered), is_input_(links.is_input), is_output_(links.is_output), to_(lowered.graph.tensors.size()) {
    std::iota(to_.begin(), to_.end(), 0);
  }
  int operator[](int t) const { return t < 0 || at(t) >= to_.size() ? t : to_[at(t)]; }  // a tensor made since stands for itself
  // Not where it may not be: each output of the file is a tensor of its own, made by a node.
  void set(int from, int to) {
    to = (*this)[to];
    if (is_output_[at(from)] && (is_input_[at(to)] || is_output_[at(to)] || lowered_.graph.tensors[at(to)].constant)) return;
    if (is_output_[at(from)]) is_output_[at(to)] = true;
    to_[at(from)] = to;
  }
  ~Forward() {
    for (TflNode& node : lowered_.graph.nodes)
      for (int& t : node.inputs) t = (*this)[t];
    for (Port& port : lowered_.graph.outputs) port.value = (*this)[port.value];
    for (TflTap& tap : lowered_.taps) tap.tensor = (*this)[tap.tensor];
  }
  Forward(const Forward&) = delete;
  Forward& operator=(const Forward&) = delete;

 private:
  Lowered& lowered_;
  std::vector<bool> is_input_, is_output_;
  std::vector<int> to_;
};

const Tensor* constant(const TflGraph& graph, const TflNode& node, std::size_t input) {
  if (input >= node.inputs.size() || node.inputs[input] < 0) return nullptr;
  const TflTensor& tensor = graph.tensors[at(node.inputs[input])];
  return tensor.constant ? &*tensor.constant : nullptr;
}

int add_ints(TflGraph& graph, const std::string& name, const std::vector<std::int64_t>& values, Sizes sizes) {
  Tensor tensor = Tensor::from(std::vector<std::int32_t>(values.begin(), values.end()), sizes);
  graph.tensors.push_back({.name = name, .dtype = DType::int32, .sizes = std::move(sizes), .constant = std::move(tensor)});
  return static_cast<int>(graph.tensors.size()) - 1;
}

void become_reshape(TflGraph& graph, TflNode& node, int input) {
  const Sizes& result = graph.tensors[at(node.outputs[0])].sizes;
  const std::string name = graph.tensors[at(node.outputs[0])].name + "/shape";
  node.options = {{"new_shape", result}};
  node.inputs = {input, add_ints(graph, name, Sizes(result), {static_cast<std::int64_t>(result.size())})};
  node.builtin = "RESHAPE";
}

// TRANSPOSE of TRANSPOSE: this one takes from before the other. A permutation that moves only ones is a RESHAPE.
void simplify_transpose(TflGraph& graph, const Links& links, const Forward& forward, TflNode& node) {
  const Tensor* perm = constant(graph, node, 1);
  if (!perm) return;
  std::vector<std::int64_t> axes = perm->to_ints();
  const int input = forward[node.inputs[0]];
  const TflNode* before = links.maker(graph, input);
  if (before && before->builtin == "TRANSPOSE" && constant(graph, *before, 1)) {
    const std::vector<std::int64_t> inner = constant(graph, *before, 1)->to_ints();
    for (std::int64_t& axis : axes) axis = inner[static_cast<std::size_t>(axis)];
    node.inputs[0] = forward[before->inputs[0]];
    node.inputs[1] = add_ints(graph, graph.tensors[at(node.outputs[0])].name + "/perm", axes, {static_cast<std::int64_t>(axes.size())});
  }
  if (only_ones_move(graph.tensors[at(forward[node.inputs[0]])].sizes, Order(axes.begin(), axes.end())))
    become_reshape(graph, node, forward[node.inputs[0]]);
}

}  // namespace

void narrow_index_constants(Lowered& lowered) {
  struct Row {
    std::string_view builtin;
    std::vector<std::size_t> inputs;
  };
  static const std::array rows = {
      Row{"RESHAPE", {1}},
      Row{"TRANSPOSE", {1}},
      Row{"PAD", {1}},
      Row{"PADV2", {1}},
      Row{"MIRROR_PAD", {1}},
      Row{"MEAN", {1}},
      Row{"SUM", {1}},
      Row{"REDUCE_MAX", {1}},
      Row{"REDUCE_MIN", {1}},
      Row{"REDUCE_PROD", {1}},
      Row{"REDUCE_ANY", {1}},
      Row{"SLICE", {1, 2}},
      Row{"EXPAND_DIMS", {1}},
      Row{"TILE", {1}},
      Row{"STRIDED_SLICE", {1, 2, 3}},
      Row{"BROADCAST_TO", {1}},
      Row{"SPLIT", {0}},
      Row{"SPLIT_V", {1, 2}},
      Row{"GATHER", {1}},
      Row{"RESIZE_BILINEAR", {1}},
      Row{"ARG_MAX", {1}},
      Row{"ARG_MIN", {1}},
      Row{"TRANSPOSE_CONV", {0}},
      Row{"RESIZE_NEAREST_NEIGHBOR", {1}},
  };
  TflGraph& graph = lowered.graph;
  for (TflNode& node : graph.nodes) {
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const Row& r) { return r.builtin == node.builtin; });
    if (row == rows.end()) continue;
    for (const std::size_t i : row->inputs) {
      const Tensor* values = constant(graph, node, i);
      if (values && values->dtype() == DType::int64)
        node.inputs[i] = add_ints(graph, graph.tensors[at(node.inputs[i])].name, values->to_ints(), Sizes(values->sizes()));
    }
  }
}

void drop_idle_moves(Lowered& lowered) {
  TflGraph& graph = lowered.graph;
  const Links links(graph);
  Forward forward(lowered, links);
  for (TflNode& node : graph.nodes) {
    if (node.builtin == "TRANSPOSE") simplify_transpose(graph, links, forward, node);
    if (node.builtin != "RESHAPE") continue;
    const TflNode* before = links.maker(graph, forward[node.inputs[0]]);
    if (before && before->builtin == "RESHAPE") node.inputs[0] = before->inputs[0];
    const int input = forward[node.inputs[0]];
    if (graph.tensors[at(input)].sizes == graph.tensors[at(node.outputs[0])].sizes) forward.set(node.outputs[0], input);
  }
}

void drop_kept_axes(Lowered& lowered) {
  TflGraph& graph = lowered.graph;
  const Links links(graph);
  for (TflNode& node : graph.nodes) {
    TflNode* before = node.builtin == "RESHAPE" ? links.maker(graph, node.inputs[0]) : nullptr;
    TflOption* keep = before && links.single(node.inputs[0]) ? before->find("keep_dims") : nullptr;
    const Tensor* axes = keep && keep->value == Attr(true) ? constant(graph, *before, 1) : nullptr;
    if (!axes) continue;
    const std::vector<std::int64_t> reduced = axes->to_ints();
    const Sizes& kept = graph.tensors[at(node.inputs[0])].sizes;
    Sizes left;
    for (std::size_t i = 0; i < kept.size(); ++i)
      if (std::find(reduced.begin(), reduced.end(), static_cast<std::int64_t>(i)) == reduced.end()) left.push_back(kept[i]);
    if (left != graph.tensors[at(node.outputs[0])].sizes) continue;
    keep->value = false;
    before->outputs[0] = node.outputs[0];
    node.builtin.clear();
  }
  std::erase_if(graph.nodes, [](const TflNode& node) { return node.builtin.empty(); });
}

void merge_pads(Lowered& lowered) {
  TflGraph& graph = lowered.graph;
  const Links links(graph);
  for (TflNode& node : graph.nodes) {
    if (node.builtin != "PAD") continue;
    const TflNode* before = links.maker(graph, node.inputs[0]);
    if (!before || before->builtin != "PAD" || !links.single(node.inputs[0])) continue;
    const Tensor* outer = constant(graph, node, 1);
    const Tensor* inner = constant(graph, *before, 1);
    if (!outer || !inner) continue;
    std::vector<std::int64_t> sum = outer->to_ints();
    const std::vector<std::int64_t> more = inner->to_ints();
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += more[i];
    const Sizes table = outer->sizes();
    node.inputs = {before->inputs[0], add_ints(graph, graph.tensors[at(node.outputs[0])].name + "/paddings", sum, table)};
  }
}

namespace {

// The bound of MINIMUM(x, bound) or MAXIMUM(x, bound), and where x stands.
std::optional<std::pair<double, int>> bound_of(const TflGraph& graph, const TflNode& node) {
  for (const std::size_t i : {1UL, 0UL}) {
    const Tensor* bound = constant(graph, node, i);
    if (bound && bound->count() == 1 && node.inputs.size() == 2 && bound->dtype() == DType::float32)
      return {{bound->item(), node.inputs[1 - i]}};
  }
  return {};
}

void become_activation(TflNode& node, std::string_view builtin, int input) {
  node.builtin = builtin;
  node.inputs = {input};
  node.options.clear();
}

bool same_sizes(const TflGraph& graph, int a, int b) { return graph.tensors[at(a)].sizes == graph.tensors[at(b)].sizes; }

}  // namespace

void name_clamps(Lowered& lowered) {
  TflGraph& graph = lowered.graph;
  const Links links(graph);
  for (TflNode& node : graph.nodes) {
    if (node.builtin != "MINIMUM" && node.builtin != "MAXIMUM") continue;
    const auto outer = bound_of(graph, node);
    if (!outer || !same_sizes(graph, outer->second, node.outputs[0])) continue;
    if (node.builtin == "MAXIMUM" && outer->first == 0) become_activation(node, "RELU", outer->second);
    if (node.builtin != "MINIMUM") continue;
    const TflNode* before = links.maker(graph, outer->second);
    if (!before) continue;
    if (before->builtin == "RELU" && outer->first == 6) become_activation(node, "RELU6", before->inputs[0]);
    if (before->builtin != "MAXIMUM") continue;
    const auto inner = bound_of(graph, *before);
    if (inner && inner->first == -1 && outer->first == 1 && same_sizes(graph, inner->second, node.outputs[0]))
      become_activation(node, "RELU_N1_TO_1", inner->second);
  }
}

void fuse_activations(Lowered& lowered) {
  static const std::array<std::string_view, 3> activations = {"RELU", "RELU6", "RELU_N1_TO_1"};
  static const std::array<std::string_view, 9> takers = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL",
                                                         "DIV",     "AVERAGE_POOL_2D",   "MAX_POOL_2D"};
  TflGraph& graph = lowered.graph;
  const Links links(graph);
  for (TflNode& node : graph.nodes) {
    if (std::find(activations.begin(), activations.end(), node.builtin) == activations.end()) continue;
    TflNode* before = links.maker(graph, node.inputs[0]);
    if (!before || !links.single(node.inputs[0]) || std::find(takers.begin(), takers.end(), before->builtin) == takers.end()) continue;
    if (graph.tensors[at(node.inputs[0])].dtype != DType::float32) continue;
    TflOption* option = before->find("fused_activation_function");
    if (option && option->value != Attr(std::string("NONE"))) continue;
    if (!option) option = &before->options.emplace_back(TflOption{"fused_activation_function", {}});
    option->value = node.builtin;
    before->outputs[0] = node.outputs[0];
    node.outputs.clear();  // drop_dead takes it away
  }
  std::erase_if(graph.nodes, [](const TflNode& node) { return node.outputs.empty(); });
}

void share_equal_constants(Lowered& lowered) {
  constexpr std::size_t small = 256;  // bytes
  using Key = std::tuple<DType, Sizes, std::string, const void*, Sizes>;
  TflGraph& graph = lowered.graph;
  const Links links(graph);
  Forward forward(lowered, links);
  std::map<Key, int> seen;
  for (std::size_t t = 0; t < graph.tensors.size(); ++t) {
    const TflTensor& tensor = graph.tensors[t];
    if (!tensor.constant || links.users[t] == 0 || links.is_output[t]) continue;
    Key key{tensor.dtype, tensor.sizes, {}, tensor.constant->storage(), tensor.constant->strides()};
    if (tensor.constant->bytes() <= small) {
      const Tensor dense = tensor.constant->contiguous();
      key = {tensor.dtype, tensor.sizes, std::string(reinterpret_cast<const char*>(dense.data()), dense.bytes()), nullptr, {}};
    }
    const auto [it, fresh] = seen.emplace(std::move(key), static_cast<int>(t));
    if (!fresh) forward.set(static_cast<int>(t), it->second);
  }
}

void drop_dead(Lowered& lowered) {
  TflGraph& graph = lowered.graph;
  std::vector<bool> needed(graph.tensors.size());
  for (const Port& port : graph.outputs) needed[at(port.value)] = true;
  std::vector<bool> live(graph.nodes.size());
  for (std::size_t n = graph.nodes.size(); n-- > 0;) {
    const TflNode& node = graph.nodes[n];
    live[n] = std::any_of(node.outputs.begin(), node.outputs.end(), [&](int t) { return needed[at(t)]; });
    if (!live[n]) continue;
    for (const int t : node.inputs)
      if (t >= 0) needed[at(t)] = true;
    for (const int t : node.outputs) needed[at(t)] = true;
  }
  for (const Port& port : graph.inputs) needed[at(port.value)] = true;

  std::vector<int> moved(graph.tensors.size(), -1);
  std::vector<TflTensor> tensors;
  for (std::size_t t = 0; t < needed.size(); ++t)
    if (needed[t]) moved[t] = static_cast<int>(tensors.size()), tensors.push_back(std::move(graph.tensors[t]));
  graph.tensors = std::move(tensors);
  std::vector<TflNode> nodes;
  for (std::size_t n = 0; n < live.size(); ++n)
    if (live[n]) nodes.push_back(std::move(graph.nodes[n]));
  graph.nodes = std::move(nodes);
  for (TflNode& node : graph.nodes) {
    for (int& t : node.inputs) t = t < 0 ? t : moved[at(t)];
    for (int& t : node.outputs) t = moved[at(t)];
  }
  for (Port& port : graph.inputs) port.value = moved[at(port.value)];
  for (Port& port : graph.outputs) port.value = moved[at(port.value)];
  std::erase_if(lowered.taps, [&](const TflTap& tap) { return moved[at(tap.tensor)] < 0; });
  for (TflTap& tap : lowered.taps) tap.tensor = moved[at(tap.tensor)];
}

void run_peepholes(Lowered& lowered) {
  narrow_index_constants(lowered);
  drop_idle_moves(lowered);
  drop_kept_axes(lowered);
  merge_pads(lowered);
  drop_dead(lowered);  // so that what only a dead node took counts as taken once
  name_clamps(lowered);
  fuse_activations(lowered);
  share_equal_constants(lowered);
  drop_dead(lowered);
}

}  // namespace wherry
