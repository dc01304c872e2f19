#include "import/onnx/paths.h"

#include "base/text.h"
#include "ir/op_def.h"

#include <algorithm>
#include <cctype>

namespace wherry::onnx {

namespace {

bool same_letters(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

// "Conv", "Conv_12", "node_Conv_12", "Conv2D": a name that says the operator and no more.
bool names_operator(std::string_view name, std::string_view op) {
  if (name.starts_with("node_")) name.remove_prefix(5);
  while (!name.empty() && std::isdigit(static_cast<unsigned char>(name.back()))) name.remove_suffix(1);
  if (!name.empty() && name.back() == '_') name.remove_suffix(1);
  return name.empty() || same_letters(name, op);
}

std::string joined(const std::vector<std::string>& parts) {
  std::vector<std::string> words;
  for (const std::string& part : parts) {
    std::vector<std::string> dotted = split(part, '.');
    for (const std::string& word : dotted)
      if (!word.empty()) words.push_back(as_word(word));
  }
  return join(words, ".");
}

// "['', 'stage', 'stage.pw', 'conv2d_1']": the last but one is the module.
std::string from_scopes(std::string_view list) {
  std::vector<std::string> scopes;
  for (std::size_t at = list.find('\''); at != std::string_view::npos;) {
    const std::size_t end = list.find('\'', at + 1);
    if (end == std::string_view::npos) break;
    scopes.emplace_back(list.substr(at + 1, end - at - 1));
    at = list.find('\'', end + 1);
  }
  return scopes.size() < 2 ? "" : joined({scopes[scopes.size() - 2]});
}

std::string from_weights(const NodeDef& node, const std::set<std::string_view>& weights) {
  for (const std::string_view input : node.inputs) {
    const std::size_t dot = input.rfind('.');
    if (dot != std::string_view::npos && input.find("::") == std::string_view::npos && weights.contains(input))
      return joined({std::string(input.substr(0, dot))});
  }
  return "";
}

std::string parent_of(const std::string& path) {
  const std::size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

std::string camel(const std::string& words) {
  std::string out;
  bool start = true;
  for (const char c : words) {
    if (c == '_' || c == '.') {
      start = true;
    } else {
      out.push_back(start ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c);
      start = false;
    }
  }
  return out;
}

// A class's name, after the children of a small module ("ConvBnRelu") or after what its instances are called ("Xif").
std::string class_name(const std::string& path, const std::vector<std::string>& children) {
  if (children.size() <= 3) {
    std::string name;
    for (const std::string& child : children) name += camel(child);
    if (!name.empty() && !std::isdigit(static_cast<unsigned char>(name[0]))) return name;
  }
  for (std::string at = path; !at.empty(); at = parent_of(at)) {
    std::string last = at.substr(at.rfind('.') == std::string::npos ? 0 : at.rfind('.') + 1);
    while (!last.empty() && (std::isdigit(static_cast<unsigned char>(last.back())) || last.back() == '_')) last.pop_back();
    if (!last.empty()) return camel(last);
  }
  return "Block";
}

struct Module {
  std::string structure;              // paths within and operators, in order
  std::vector<std::string> children;  // first parts of the paths within
  int nodes = 0;
};

// Every module above a node, in order of first appearance.
std::vector<std::pair<std::string, Module>> modules_of(const Graph& graph) {
  std::vector<std::pair<std::string, Module>> modules;
  std::map<std::string, std::size_t, std::less<>> index;
  for (const Node& node : graph.nodes)
    for (std::string path = parent_of(node.path); !path.empty(); path = parent_of(path)) {
      const auto [it, fresh] = index.emplace(path, modules.size());
      if (fresh) modules.push_back({path, {}});
      Module& module = modules[it->second].second;
      const std::string within = node.path.substr(path.size() + 1);
      const std::string child = within.substr(0, within.find('.'));
      if (std::find(module.children.begin(), module.children.end(), child) == module.children.end()) module.children.push_back(child);
      module.structure += fmt::format("{}:{};", within, node.op->name);
      ++module.nodes;
    }
  std::sort(modules.begin(), modules.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return modules;
}

std::vector<ModuleInfo> classes_of(const Graph& graph) {
  auto modules = modules_of(graph);
  std::map<std::string, int> counts;
  for (const auto& [path, module] : modules) ++counts[module.structure];
  std::map<std::string, std::string> names;
  std::set<std::string> taken;
  std::vector<ModuleInfo> out;
  for (const auto& [path, module] : modules) {
    if (counts[module.structure] < 2 || module.nodes < 2) continue;
    std::string& name = names[module.structure];
    if (name.empty()) {
      const std::string wanted = class_name(path, module.children);
      name = wanted;
      for (int i = 2; !taken.insert(name).second; ++i) name = fmt::format("{}{}", wanted, i);
    }
    out.push_back({path, name});
  }
  return out;
}

}  // namespace

std::string as_word(std::string_view name) {
  std::string out;
  for (const char c : name) out.push_back(std::isalnum(static_cast<unsigned char>(c)) || c == '_' ? c : '_');
  return out.empty() ? "_" : out;
}

Place place_of(const NodeDef& node, const std::set<std::string_view>& weights) {
  if (const auto it = node.metadata.find("pkg.torch.onnx.name_scopes"); it != node.metadata.end())
    if (std::string path = from_scopes(it->second); !path.empty()) return {std::move(path)};
  const std::string name(node.name);
  if (name.find('/') != std::string::npos) {
    std::vector<std::string> parts = split(name, '/');
    if (parts.size() > 1 && names_operator(parts.back(), node.op)) parts.pop_back();
    return {joined(parts)};
  }
  if (name.find('.') != std::string::npos) return {joined({name}), true};
  if (std::string path = from_weights(node, weights); !path.empty()) return {std::move(path)};
  if (!names_operator(name, node.op)) return {as_word(name), true};
  return {};
}

void settle_paths(Graph& graph, const std::vector<Place>& places) {
  std::map<std::string, int> nodes;
  std::set<std::string> parents, taken;
  for (const Place& place : places) {
    ++nodes[place.path];
    for (std::string path = parent_of(place.path); !path.empty(); path = parent_of(path)) parents.insert(path);
  }
  for (const Port& port : graph.inputs) taken.insert(port.name);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    Node& node = graph.nodes[i];
    const Place& place = places[i];
    const bool own = !place.path.empty() && nodes[place.path] == 1 && !parents.contains(place.path);
    std::string wanted = own ? place.path : (place.path.empty() ? "" : place.path + ".") + std::string(node.op->name), path = wanted;
    if (place.exact && !parents.contains(place.path)) path = wanted = place.path;
    for (int k = 1; !taken.insert(path).second; ++k) path = fmt::format("{}_{}", wanted, k);
    node.path = path;
    for (std::size_t k = 0; k < node.outputs.size(); ++k)
      graph[node.outputs[k]].name = node.outputs.size() == 1 ? path : fmt::format("{}:{}", path, k);
  }
  graph.modules = classes_of(graph);
}

}  // namespace wherry::onnx
