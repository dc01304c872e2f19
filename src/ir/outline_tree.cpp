#include "ir/outline_tree.h"

#include <algorithm>
#include <set>

namespace wherry::outlining {

namespace {

// Torch's own containers say nothing of the architecture: their children are named in the scope that holds them.
bool is_container(const std::string& type) {
  return type.empty() || type == "Sequential" || type == "ModuleList" || type == "ModuleDict" || type == "Module";
}

struct Span {
  Instance instance;
  int nodes = 0;
  bool is_node = false;  // a node has the module's own path: a leaf, or one that cannot be a block
};

std::map<std::string, Span, std::less<>> spans(const Graph& graph) {
  std::map<std::string, Span, std::less<>> found;
  for (const ModuleInfo& module : graph.modules)
    if (!module.path.empty() && !is_container(module.type)) found[module.path] = {{module.path, module.type}};
  for (int i = 0; i < static_cast<int>(graph.nodes.size()); ++i) {
    const std::string_view path = graph.nodes[static_cast<std::size_t>(i)].path;
    if (const auto it = found.find(path); it != found.end()) it->second.is_node = true;
    for (std::size_t dot = path.find('.'); dot != path.npos; dot = path.find('.', dot + 1)) {
      const auto it = found.find(path.substr(0, dot));
      if (it == found.end()) continue;
      Span& span = it->second;
      if (span.nodes++ == 0) span.instance.first = i;
      span.instance.last = i + 1;
    }
  }
  return found;
}

}  // namespace

Tree::Tree(const Graph& g) : graph(g), uses(g), root{"", "", 0, static_cast<int>(g.nodes.size())}, around(g.nodes.size()) {
  for (const auto& [path, span] : spans(graph))
    if (span.nodes > 0 && !span.is_node && span.nodes == span.instance.last - span.instance.first) instances.push_back(span.instance);
  std::stable_sort(instances.begin(), instances.end(), [](const Instance& a, const Instance& b) {
    return a.first != b.first ? a.first < b.first : a.path.size() < b.path.size();
  });
  for (const Instance& instance : instances)
    for (int i = instance.first; i < instance.last; ++i) around[static_cast<std::size_t>(i)].push_back(&instance);
}

std::vector<std::vector<const Instance*>> Tree::classes() const {
  std::vector<std::string> order;
  std::map<std::string, std::vector<const Instance*>> members;
  std::map<std::string, std::set<std::string>> inside;
  for (const Instance& instance : instances) {
    std::vector<const Instance*>& list = members[instance.type];
    if (list.empty()) order.push_back(instance.type);
    list.push_back(&instance);
    for (const Instance* outer : around[static_cast<std::size_t>(instance.first)]) {
      if (outer == &instance) break;
      inside[outer->type].insert(instance.type);
    }
  }
  std::vector<std::vector<const Instance*>> sorted;
  while (!order.empty()) {
    const auto ready = std::find_if(order.begin(), order.end(), [&](const std::string& type) { return inside[type].empty(); });
    const auto next = ready == order.end() ? order.begin() : ready;
    const std::string type = *next;
    if (ready != order.end() && members[type].size() > 1) sorted.push_back(members[type]);
    order.erase(next);
    for (auto& [outer, inner] : inside) inner.erase(type);
  }
  return sorted;
}

}  // namespace wherry::outlining
