#include "quantize/plan.h"

#include "base/text.h"
#include "quantize/rules.h"

#include <cmath>
#include <numeric>

namespace wherry {

namespace {

constexpr float unlike = 2;  // inputs of a join whose ranges differ by more keep their own grids

// Disjoint sets of (tensor, precision); a root knows the grid that a kernel fixes, if one does.
class Groups {
 public:
  explicit Groups(std::size_t tensors) : parent_(2 * tensors) { std::iota(parent_.begin(), parent_.end(), 0); }
  int root(int tensor, DType dtype) { return find(2 * tensor + (dtype == DType::int16)); }
  void tie(int a, int b, DType dtype) {
    const int x = root(a, dtype), y = root(b, dtype);
    if (x == y) return;
    parent_[static_cast<std::size_t>(std::max(x, y))] = std::min(x, y);
    if (const auto found = fixed_.find(std::max(x, y)); found != fixed_.end()) fixed_.emplace(std::min(x, y), found->second);
  }
  void fix(int tensor, DType dtype, const Grid& grid) { fixed_.emplace(root(tensor, dtype), grid); }
  const Grid* fixed(int tensor, DType dtype) {
    const auto found = fixed_.find(root(tensor, dtype));
    return found == fixed_.end() ? nullptr : &found->second;
  }

 private:
  int find(int i) {
    while (parent_[static_cast<std::size_t>(i)] != i)
      i = parent_[static_cast<std::size_t>(i)] = parent_[static_cast<std::size_t>(parent_[static_cast<std::size_t>(i)])];
    return i;
  }
  std::vector<int> parent_;
  std::map<int, Grid> fixed_;
};

class Planner {
 public:
  Planner(const TflGraph& graph, const std::vector<Histogram>& tensors, const PlanOptions& options, Diagnostics& diagnostics)
      : graph_(graph),
        tensors_(tensors),
        options_(options),
        diagnostics_(diagnostics),
        groups_(graph.tensors.size()),
        readers_(graph.tensors.size(), 0),
        deciding_(deciding_tensors(graph)) {
    for (const TflNode& node : graph.nodes)
      for (const int id : node.inputs)
        if (id >= 0) ++readers_[static_cast<std::size_t>(id)];
    for (const Port& port : graph.outputs) ++readers_[static_cast<std::size_t>(port.value)];
  }

  Plan run() {
    for (const TflNode& node : graph_.nodes) plan_.nodes.push_back(precision_of(node));
    refuse_missing();
    for (std::size_t n = 0; n < graph_.nodes.size(); ++n)
      if (is_integer_node(n)) fix_output(graph_.nodes[n], *plan_.nodes[n]);
    for (std::size_t n = 0; n < graph_.nodes.size(); ++n)
      if (is_integer_node(n)) tie_operands(n);
    for (std::size_t n = 0; n < graph_.nodes.size(); ++n)
      if (is_integer_node(n)) want_grids(n);
    for (const Port& port : graph_.inputs) want_port(port.value);
    measure_ranges();
    choose_grids();
    return std::move(plan_);
  }

 private:
  bool is_integer_node(std::size_t n) const { return plan_.nodes[n] && *plan_.nodes[n] != DType::float32; }

  std::optional<DType> precision_of(const TflNode& node) {
    const int index = static_cast<int>(plan_.nodes.size());
    if (!is_real(graph_, node)) return std::nullopt;
    const auto asked = options_.nodes.find(index);
    const DType wanted = asked == options_.nodes.end() ? options_.activations : asked->second;
    if (wanted == DType::float32) return wanted;
    const BuiltinRule* rule = rule_of(node.builtin);
    if (rule && (wanted == DType::int8 || rule->int16)) return wanted;
    missing_[fmt::format("{} with {} activations", node.builtin, name(wanted))].push_back(node.path);
    return DType::float32;
  }

  void refuse_missing() {
    for (const auto& [what, paths] : missing_) {
      std::string where = paths[0];
      if (paths.size() > 1) where += fmt::format(" and {} more", paths.size() - 1);
      diagnostics_.add({.code = "E803",
                        .message = fmt::format("{} has no integer kernel", what),
                        .at = where,
                        .next = options_.allow_float ? "it stays float32, between a DEQUANTIZE and a QUANTIZE"
                                                     : "--allow-float leaves it in float32, between a DEQUANTIZE and a QUANTIZE",
                        .severity = options_.allow_float ? Severity::warning : Severity::error});
    }
  }

  void fix_output(const TflNode& node, DType dtype) {
    const BuiltinRule& rule = *rule_of(node.builtin);
    if (rule.kind == BuiltinRule::fixed) groups_.fix(node.outputs[0], dtype, dtype == DType::int16 ? rule.output16 : rule.output8);
  }

  void tie_operands(std::size_t n) {
    const TflNode& node = graph_.nodes[n];
    const DType dtype = *plan_.nodes[n];
    const bool sums_16 = node.builtin == "SUM" && dtype == DType::int16;  // its 16-bit kernel does not rescale
    if (rule_of(node.builtin)->kind != BuiltinRule::same_scale && !sums_16) return;
    int first = -1;
    for (const int id : node.outputs)
      if (is_real_tensor(graph_, id)) {
        if (first >= 0) groups_.tie(first, id, dtype);
        first = first < 0 ? id : first;
      }
    if (first < 0) return;
    const auto real_inputs = std::ranges::count_if(node.inputs, [&](int id) { return is_real_tensor(graph_, id); });
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const int id = node.inputs[i];
      if (!is_real_tensor(graph_, id)) continue;
      if (real_inputs > 1 && !tensor_at(graph_, id)->constant && tie_would_hurt(id, first, dtype))
        plan_.cuts.emplace(static_cast<int>(n), static_cast<int>(i));
      else
        groups_.tie(first, id, dtype);
    }
  }

  // A join's output must cover all of its inputs. An input that others read too, or that a kernel has fixed, would lose its own
  // resolution to that: it is requantized for the join alone.
  bool tie_would_hurt(int input, int output, DType dtype) {
    if (groups_.fixed(input, dtype))
      return !groups_.fixed(output, dtype) || !(*groups_.fixed(input, dtype) == *groups_.fixed(output, dtype));
    if (readers_[static_cast<std::size_t>(input)] < 2) return false;
    const Range own = range(input), all = range(output);
    return all.high - all.low > unlike * (own.high - own.low);
  }

  void want_grids(std::size_t n) {
    const TflNode& node = graph_.nodes[n];
    const BuiltinRule* weighted = weighted_rule(graph_, node);
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const bool parameter = weighted && (static_cast<int>(i) == weighted->weight || static_cast<int>(i) == weighted->bias);
      if (is_real_tensor(graph_, node.inputs[i]) && !parameter) plan_.grids[{node.inputs[i], *plan_.nodes[n]}];
    }
    for (const int id : node.outputs)
      if (is_real_tensor(graph_, id)) plan_.grids[{id, *plan_.nodes[n]}];
  }

  void want_port(int id) {
    if (is_real_tensor(graph_, id)) plan_.grids[{id, options_.activations}];
  }

  // What the tensor itself took, or holds.
  Range range(int id) const {
    const TflTensor& tensor = *tensor_at(graph_, id);
    if (tensor.constant) return constant_range(*tensor.constant);
    const Histogram& h = tensors_[static_cast<std::size_t>(id)];
    return h.empty() ? Range{} : h.range();
  }
  static Range constant_range(const Tensor& constant) {
    Range out;
    for (const float x : constant.to_floats())
      if (std::isfinite(x) && std::abs(x) < 1e30F) out = joined(out, {x, x});  // -FLT_MAX pads mean "nothing", not a range
    return out;
  }
  Range chosen_range(int id, DType dtype, RangeMethod method) const {
    return method == RangeMethod::minmax || tensor_at(graph_, id)->constant ? range(id) : measured_.at({id, dtype});
  }
  // The slow part of the plan, for all tensors at once.
  void measure_ranges() {
    std::vector<std::pair<int, DType>> keys;
    for (const auto& [key, choice] : plan_.grids) keys.push_back(key);
    std::vector<Range> ranges(keys.size());
    parallel_for(keys.size(), options_.threads, [&](std::size_t i, int) {
      const Histogram& h = tensors_[static_cast<std::size_t>(keys[i].first)];
      if (!h.empty()) ranges[i] = choose_range(h, options_.method, keys[i].second, options_.percentile);
    });
    for (std::size_t i = 0; i < keys.size(); ++i) measured_[keys[i]] = ranges[i];
  }

  void choose_grids() {
    std::map<int, std::vector<std::pair<int, DType>>> members;
    for (const auto& [key, choice] : plan_.grids) members[groups_.root(key.first, key.second)].push_back(key);
    int number = 0;
    for (const auto& [root, keys] : members) {
      const DType dtype = keys[0].second;
      Choice choice{.grid = {}, .by = std::string(name(options_.method)), .group = keys.size() > 1 ? number++ : -1};
      const bool decides = std::ranges::any_of(keys, [&](const auto& key) { return deciding_.contains(key.first); });
      const RangeMethod method = decides || dtype == DType::int16 ? RangeMethod::minmax : options_.method;
      if (const Grid* fixed = groups_.fixed(keys[0].first, dtype)) {
        choice.grid = *fixed;
        choice.by = "kernel";
      } else {
        Range all = chosen_range(keys[0].first, dtype, method);
        for (const auto& key : keys) all = joined(all, chosen_range(key.first, dtype, method));
        choice.grid = activation_grid(all, dtype);
        choice.by = name(method);
      }
      for (const auto& key : keys) plan_.grids[key] = choice;
    }
  }

  const TflGraph& graph_;
  const std::vector<Histogram>& tensors_;
  const PlanOptions& options_;
  Diagnostics& diagnostics_;
  Groups groups_;
  std::vector<int> readers_;
  std::set<int> deciding_;
  std::map<std::pair<int, DType>, Range> measured_;
  std::map<std::string, std::vector<std::string>> missing_;
  Plan plan_;
};

}  // namespace

std::set<int> deciding_tensors(const TflGraph& graph) {
  std::set<int> out;
  for (const Port& port : graph.outputs) out.insert(port.value);
  for (auto node = graph.nodes.rbegin(); node != graph.nodes.rend(); ++node) {
    const bool passes_on = node->builtin == "RESHAPE" || node->builtin == "SQUEEZE" || node->builtin == "SOFTMAX" ||
                           node->builtin == "LOGISTIC" || node->builtin == "LOG_SOFTMAX" || node->builtin == "ARG_MAX";
    if (passes_on && out.contains(node->outputs[0])) out.insert(node->inputs[0]);
  }
  return out;
}

Plan make_plan(const TflGraph& graph, const std::vector<Histogram>& tensors, const PlanOptions& options, Diagnostics& diagnostics) {
  return Planner(graph, tensors, options, diagnostics).run();
}

}  // namespace wherry
