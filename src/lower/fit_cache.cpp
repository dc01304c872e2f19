#include "lower/fit_cache.h"

#include "lower/links.h"
#include "lower/peepholes.h"

#include <algorithm>

namespace wherry {

namespace {

constexpr std::int64_t row = 16;           // channels
constexpr std::int64_t bytes_per_tap = 8;  // of a channel: a float of the window and one of the weights

using Chain = std::vector<int>;  // nodes: expand, what stands between, depthwise, what stands between, project

struct Range {
  std::int64_t begin, count;
};

const Sizes& sizes_of(const TflGraph& graph, int tensor) { return graph.tensors[at(tensor)].sizes; }

// Weights, and a bias where there is one, that can be cut now.
bool has_weights(const TflGraph& graph, const TflNode& node) {
  return std::all_of(node.inputs.begin() + 1, node.inputs.end(),
                     [&](int t) { return t < 0 || (graph.tensors[at(t)].constant && graph.tensors[at(t)].dtype == DType::float32); });
}

// A convolution that sees all channels; its weights are [out, height, width, in].
bool is_whole_conv(const TflGraph& graph, const TflNode& node) {
  return node.builtin == "CONV_2D" && has_weights(graph, node) && sizes_of(graph, node.inputs[1])[3] == sizes_of(graph, node.inputs[0])[3];
}

// One result for each channel; its weights are [1, height, width, channels].
bool is_plain_depthwise(const TflGraph& graph, const TflNode& node) {
  return node.builtin == "DEPTHWISE_CONV_2D" && has_weights(graph, node) &&
         sizes_of(graph, node.inputs[0])[3] == sizes_of(graph, node.outputs[0])[3];
}

bool keeps_channels_apart(const TflGraph& graph, const TflNode& node) {
  if (node.builtin != "PAD") return node.builtin == "HARD_SWISH";
  const std::optional<Tensor>& table = graph.tensors[at(node.inputs[1])].constant;
  if (!table || table->sizes() != Sizes{4, 2}) return false;
  const std::vector<std::int64_t> paddings = table->to_ints();
  return paddings[6] == 0 && paddings[7] == 0;
}

std::optional<Chain> chain_around(const TflGraph& graph, const Links& links, int depthwise) {
  const auto node = [&](int n) -> const TflNode& { return graph.nodes[at(n)]; };
  const auto between = [&](int n) { return n >= 0 && keeps_channels_apart(graph, node(n)); };
  const auto before = [&](int n) { return links.single(node(n).inputs[0]) ? links.producer[at(node(n).inputs[0])] : -1; };
  const auto behind = [&](int n) { return links.taker(node(n).outputs[0]); };
  Chain chain{depthwise};
  int first = before(depthwise), last = behind(depthwise);
  for (; between(first); first = before(first)) chain.insert(chain.begin(), first);
  for (; between(last); last = behind(last)) chain.push_back(last);
  if (first < 0 || last < 0 || !is_whole_conv(graph, node(first)) || !is_whole_conv(graph, node(last))) return {};
  chain.insert(chain.begin(), first);
  chain.push_back(last);
  return chain;
}

std::vector<Range> ranges_of(std::int64_t channels, std::int64_t taps, std::int64_t bytes) {
  const std::int64_t widest = bytes / (bytes_per_tap * taps * row) * row;
  if (widest <= 0 || channels * bytes_per_tap * taps <= bytes) return {};
  const std::int64_t parts = (channels + widest - 1) / widest, rows = (channels + row - 1) / row;
  std::vector<Range> out;
  for (std::int64_t i = 0, begin = 0; i < parts; ++i) {
    const std::int64_t end = std::min((begin / row + rows / parts + (i < rows % parts)) * row, channels);
    out.push_back({begin, end - begin});
    begin = end;
  }
  return out;
}

class Splitter {
 public:
  explicit Splitter(TflGraph& graph) : graph_(graph) {}

  // The nodes that stand for the chain, in execution order; the last one makes what the chain made.
  std::vector<TflNode> split(const Chain& chain, const std::vector<Range>& ranges) {
    const TflNode project = graph_.nodes[at(chain.back())];
    std::vector<TflNode> out;
    int sum = -1;
    for (const Range& range : ranges) {
      const bool first = range.begin == 0, last = &range == &ranges.back();
      int x = graph_.nodes[at(chain.front())].inputs[0];
      for (const int n : chain) {
        TflNode part = graph_.nodes[at(n)];
        part.inputs[0] = x;
        if (n == chain.front()) cut(part, 0, 0, range);
        if (part.builtin == "DEPTHWISE_CONV_2D") cut(part, 3, 0, range);
        const bool is_project = n == chain.back();
        if (is_project) cut_project(part, range, first);
        Sizes sizes = sizes_of(graph_, part.outputs[0]);
        if (!is_project) sizes.back() = range.count;
        x = part.outputs[0] = add(named(part.outputs[0], range), std::move(sizes));
        out.push_back(std::move(part));
      }
      if (!first) x = add_up(out, project, sum, x, range, last);
      sum = x;
    }
    return out;
  }

 private:
  std::string named(int tensor, const Range& range) const {
    return fmt::format("{}/{}-{}", graph_.tensors[at(tensor)].name, range.begin, range.begin + range.count - 1);
  }
  int add(std::string name, Sizes sizes, std::optional<Tensor> constant = {}) {
    graph_.tensors.push_back(
        {.name = std::move(name), .dtype = DType::float32, .sizes = std::move(sizes), .constant = std::move(constant)});
    return static_cast<int>(graph_.tensors.size()) - 1;
  }
  int cut(int constant, int axis, const Range& range) {
    const Tensor part = graph_.tensors[at(constant)].constant->narrowed(axis, range.begin, range.count);
    return add(named(constant, range), part.sizes(), part);
  }
  void cut(TflNode& part, int weight_axis, int bias_axis, const Range& range) {
    part.inputs[1] = cut(part.inputs[1], weight_axis, range);
    if (part.inputs.size() > 2 && part.inputs[2] >= 0) part.inputs[2] = cut(part.inputs[2], bias_axis, range);
  }
  // The bias is added once; what is behind the sum stays behind the sum.
  void cut_project(TflNode& part, const Range& range, bool first) {
    part.inputs[1] = cut(part.inputs[1], 3, range);
    if (TflOption* activation = part.find("fused_activation_function")) activation->value = std::string("NONE");
    if (first || part.inputs.size() < 3 || part.inputs[2] < 0) return;
    part.inputs[2] = zeros_like(part.inputs[2]);
  }
  int zeros_like(int bias) {
    const auto [it, fresh] = zeros_.emplace(bias, 0);
    const Sizes sizes = sizes_of(graph_, bias);
    if (fresh) it->second = add(graph_.tensors[at(bias)].name + "/zero", sizes, Tensor::allocate(DType::float32, sizes));
    return it->second;
  }
  int add_up(std::vector<TflNode>& out, const TflNode& project, int sum, int x, const Range& range, bool last) {
    const int result = last ? project.outputs[0] : add(named(project.outputs[0], range) + "/sum", sizes_of(graph_, project.outputs[0]));
    const TflOption* activation = project.find("fused_activation_function");
    const Attr fused = last && activation ? activation->value : Attr(std::string("NONE"));
    out.push_back({.builtin = "ADD",
                   .inputs = {sum, x},
                   .outputs = {result},
                   .options = {{"fused_activation_function", fused}},
                   .path = project.path,
                   .source = project.source});
    return result;
  }

  TflGraph& graph_;
  std::map<int, int> zeros_;  // by bias
};

}  // namespace

int fit_cache(Lowered& lowered, int kilobytes) {
  TflGraph& graph = lowered.graph;
  const Links links(graph);
  std::map<int, std::vector<TflNode>> instead;  // by the projection: what stands for its chain
  std::vector<bool> gone(graph.nodes.size());
  Splitter splitter(graph);
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    if (!is_plain_depthwise(graph, graph.nodes[n])) continue;
    const std::optional<Chain> chain = chain_around(graph, links, static_cast<int>(n));
    if (!chain || std::any_of(chain->begin(), chain->end(), [&](int c) { return gone[at(c)]; })) continue;
    const Sizes& window = sizes_of(graph, graph.nodes[n].inputs[1]);
    const std::vector<Range> ranges = ranges_of(window[3], window[1] * window[2], std::int64_t{1024} * kilobytes);
    if (ranges.empty()) continue;
    instead[chain->back()] = splitter.split(*chain, ranges);
    for (const int c : (*chain)) gone[at(c)] = true;
  }
  std::vector<TflNode> nodes;
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    if (!gone[n]) nodes.push_back(std::move(graph.nodes[n]));
    if (const auto it = instead.find(static_cast<int>(n)); it != instead.end())
      nodes.insert(nodes.end(), std::make_move_iterator(it->second.begin()), std::make_move_iterator(it->second.end()));
  }
  graph.nodes = std::move(nodes);
  share_equal_constants(lowered);
  drop_dead(lowered);
  return static_cast<int>(instead.size());
}

}  // namespace wherry
