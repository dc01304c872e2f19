#include "import/pt2/modules.h"

#include "base/text.h"

#include <fmt/format.h>

#include <charconv>

namespace wherry::pt2 {

namespace {

bool is_torchs_own(std::string_view file) {
  return file.starts_with("torch/") || file.starts_with("<") || file.find("site-packages/torch/") != std::string_view::npos ||
         file.find("dist-packages/torch/") != std::string_view::npos || file.find("/torch/nn/modules/") != std::string_view::npos ||
         file.find("/torch/_") != std::string_view::npos;
}

// One entry of a stack, "key,path,class". A repeated call has the key "key@1".
struct Frame {
  std::string_view key, path, type;
};

template <class F>
void each_frame(std::string_view stack, F f) {
  while (!stack.empty()) {
    const std::string_view entry = stack.substr(0, stack.find(';'));
    stack.remove_prefix(std::min(stack.size(), entry.size() + 1));
    const std::size_t first = entry.find(','), second = entry.find(',', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    const Frame frame{entry.substr(0, first), entry.substr(first + 1, second - first - 1), entry.substr(second + 1)};
    if (!frame.path.starts_with("_empty_nn_module_stack")) f(frame);
  }
}

}  // namespace

Source innermost_source(std::string_view trace) {
  constexpr std::string_view opening = "File \"", middle = "\", line ";
  Source source;
  for (std::size_t at = trace.find(opening); at != std::string_view::npos; at = trace.find(opening, at)) {
    at += opening.size();
    const std::size_t end = trace.find(middle, at);
    if (end == std::string_view::npos) break;
    const std::string_view file = trace.substr(at, end - at);
    const std::string_view digits = trace.substr(end + middle.size());
    int line = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), line);
    if (!is_torchs_own(file)) source = {std::string(file), line};
    at = end;
  }
  return source;
}

// A repeated call gets a path of its own, "relu_1"; what is called inside follows it: "block_1.conv".
std::string ModulePaths::call_path(std::string_view key, std::string_view path, const Call* parent) {
  if (path.empty()) return "";
  const std::size_t at = key.rfind('@');
  std::string wanted(path);
  const bool inside = parent && !parent->own_path.empty() && path.starts_with(parent->own_path) && path.size() > parent->own_path.size();
  if (inside) wanted = parent->path + std::string(path.substr(parent->own_path.size()));
  if (at != std::string_view::npos && wanted == path) wanted += fmt::format("_{}", key.substr(at + 1));
  std::string unique = wanted;
  for (int i = 1; !taken_.insert(unique).second; ++i) unique = fmt::format("{}_{}", wanted, i);
  return unique;
}

void ModulePaths::see(const NodeDef& node, bool counts) {
  const auto known = by_stack_.find(node.module_stack);
  if (known != by_stack_.end()) {
    calls_[known->second].nodes += counts ? 1 : 0;
    return;
  }
  std::optional<std::size_t> before;
  each_frame(node.module_stack, [&](const Frame& frame) {
    const auto [it, fresh] = by_key_.emplace(frame.key, calls_.size());
    if (fresh)
      calls_.push_back({call_path(frame.key, frame.path, before ? &calls_[*before] : nullptr), std::string(frame.path),
                        std::string(frame.type.substr(frame.type.rfind('.') + 1))});
    if (before) calls_[*before].leaf = false;
    before = it->second;
  });
  if (!before) return;
  by_stack_.emplace(node.module_stack, *before);
  calls_[*before].nodes += counts ? 1 : 0;
}

std::string ModulePaths::module(const NodeDef& node) const {
  const auto it = by_stack_.find(node.module_stack);
  return it == by_stack_.end() ? "" : calls_[it->second].path;
}

std::string ModulePaths::path(const NodeDef& node, std::string_view op) const {
  const auto it = by_stack_.find(node.module_stack);
  if (it == by_stack_.end()) return std::string(op);
  const Call& call = calls_[it->second];
  if (call.path.empty()) return std::string(op);
  return call.leaf && call.nodes == 1 ? call.path : fmt::format("{}.{}", call.path, op);
}

std::vector<ModuleInfo> ModulePaths::modules() const {
  std::vector<ModuleInfo> modules;
  for (const Call& call : calls_)
    if (!call.path.empty()) modules.push_back({call.path, call.type});
  return modules;
}

}  // namespace wherry::pt2
