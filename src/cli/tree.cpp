#include "cli/tree.h"

#include "base/text.h"
#include "ir/op_def.h"

#include <nlohmann/json.hpp>

namespace wherry {

namespace {

double byte_count(const Type& type) {
  const Dim count = element_count(type.shape);
  return count.known() ? static_cast<double>(count.size()) * static_cast<double>(byte_size(type.dtype)) : 0;
}

double peak_activations(const Graph& graph) {
  std::vector<std::size_t> last(graph.values.size(), 0);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i)
    for (const ValueId v : graph.nodes[i].inputs)
      if (v != absent) last[static_cast<std::size_t>(v)] = i;
  for (const Port& port : graph.outputs) last[static_cast<std::size_t>(port.value)] = graph.nodes.size();
  std::vector<std::vector<ValueId>> dying(graph.nodes.size() + 1);
  double alive = 0, peak = 0;
  const auto born = [&](ValueId v) {
    alive += byte_count(graph.type(v));
    dying[last[static_cast<std::size_t>(v)]].push_back(v);
  };
  for (const Port& port : graph.inputs) born(port.value);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    for (const ValueId v : graph.nodes[i].outputs) born(v);
    peak = std::max(peak, alive);
    for (const ValueId v : dying[i]) alive -= byte_count(graph.type(v));
  }
  return peak;
}

void collapse(TreeItem& item) {
  for (TreeItem& child : item.children) collapse(child);
  while (item.children.size() == 1 && !item.children[0].children.empty()) {
    TreeItem only = std::move(item.children[0]);
    only.name = item.name + "." + only.name;
    item = std::move(only);
  }
}

TreeItem& child_of(std::vector<TreeItem>& items, const std::string& name) {
  for (auto it = items.rbegin(); it != items.rend(); ++it)  // nodes come in order: the match is nearly always the last
    if (it->name == name) return *it;
  return items.emplace_back(TreeItem{.name = name, .kind = {}, .output = {}, .children = {}});
}

void render_items(const std::vector<TreeItem>& items, int indent, int depth, std::string& out) {
  for (const TreeItem& item : items) {
    std::string label = std::string(static_cast<std::size_t>(indent) * 2, ' ') + item.name;
    if (!item.kind.empty()) label += "  " + item.kind;
    constexpr std::size_t width = 42;
    if (label.size() > width) label = label.substr(0, width - 1) + "…";
    out += fmt::format("{:<{}} {:<20} {:>7} {:>8}\n", label, width, text(item.output),
                       item.parameters > 0 ? human_count(item.parameters) : "", item.macs > 0 ? human_count(item.macs) : "");
    if (depth > 1) render_items(item.children, indent + 1, depth - 1, out);
  }
}

nlohmann::ordered_json item_json(const TreeItem& item) {
  nlohmann::ordered_json j = {
      {"name", item.name}, {"kind", item.kind}, {"output", text(item.output)}, {"parameters", item.parameters}, {"macs", item.macs}};
  for (const TreeItem& child : item.children) j["children"].push_back(item_json(child));
  return j;
}

std::string ports(const std::vector<Port>& list, const Graph& graph) {
  std::vector<std::string> parts;
  for (const Port& port : list) parts.push_back(fmt::format("{}: {}", port.name, text(graph.type(port.value))));
  return join(parts, ", ");
}

}  // namespace

GraphTree tree_of(const Graph& graph) {
  GraphTree tree;
  std::map<std::string_view, std::string_view> kinds;
  for (const ModuleInfo& module : graph.modules) kinds[module.path] = module.type;
  std::vector<bool> counted(graph.values.size());
  for (const Node& node : graph.nodes) {
    double parameters = 0;
    for (const ValueId v : node.inputs) {
      if (!graph.is_constant(v) || graph[v].name.empty() || counted[static_cast<std::size_t>(v)]) continue;
      counted[static_cast<std::size_t>(v)] = true;
      parameters += static_cast<double>(graph[v].constant->count());
      tree.weight_bytes += static_cast<double>(graph[v].constant->bytes());
    }
    double macs = 0;
    if (node.op->flops) {
      bool known = true;
      for (const ValueId v : node.outputs) known = known && is_static(graph.type(v).shape);
      if (known)
        macs = node.op->flops(graph, node);
      else
        tree.macs_known = false;
    }
    tree.parameters += parameters, tree.macs += macs;
    std::vector<TreeItem>* level = &tree.items;
    std::size_t end = 0;
    while (end != std::string::npos) {
      const std::size_t begin = end == 0 ? 0 : end + 1;
      end = node.path.find('.', begin);
      TreeItem& item = child_of(*level, node.path.substr(begin, end == std::string::npos ? end : end - begin));
      item.parameters += parameters, item.macs += macs;
      if (!node.outputs.empty()) item.output = graph.type(node.outputs[0]).shape;
      if (end == std::string::npos)
        item.kind = node.op->name;
      else if (const auto it = kinds.find(std::string_view(node.path).substr(0, end)); it != kinds.end())
        item.kind = it->second;
      level = &item.children;
    }
  }
  for (TreeItem& item : tree.items) collapse(item);
  tree.activation_bytes = peak_activations(graph);
  return tree;
}

std::string render(const GraphTree& tree, const Graph& graph, int depth) {
  std::string out =
      fmt::format("{}  {} parameters ({}), {} MACs, {} of activations at most\n", graph.name, human_count(tree.parameters),
                  human_bytes(tree.weight_bytes), tree.macs_known ? human_count(tree.macs) : "unknown", human_bytes(tree.activation_bytes));
  out += fmt::format("  takes  {}\n  gives  {}\n", ports(graph.inputs, graph), ports(graph.outputs, graph));
  out += fmt::format("{:<42} {:<20} {:>7} {:>8}\n", "layer", "output", "params", "MACs");
  render_items(tree.items, 0, depth, out);
  out.pop_back();
  return out;
}

nlohmann::ordered_json to_json(const GraphTree& tree, const Graph& graph) {
  nlohmann::ordered_json j = {{"name", graph.name}};
  for (const Port& port : graph.inputs) j["inputs"].push_back({{"name", port.name}, {"type", text(graph.type(port.value))}});
  for (const Port& port : graph.outputs) j["outputs"].push_back({{"name", port.name}, {"type", text(graph.type(port.value))}});
  j["parameters"] = tree.parameters, j["weight_bytes"] = tree.weight_bytes, j["activation_bytes"] = tree.activation_bytes;
  j["macs"] = tree.macs_known ? nlohmann::ordered_json(tree.macs) : nlohmann::ordered_json();
  j["layers"] = nlohmann::ordered_json::array();
  for (const TreeItem& item : tree.items) j["layers"].push_back(item_json(item));
  return j;
}

}  // namespace wherry
