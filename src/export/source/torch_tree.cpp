#include "export/source/torch_tree.h"

#include "base/text.h"
#include "export/source/python_expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace wherry::source {

namespace {

// What torch.nn's modules and containers call their own.
constexpr std::array attributes_of_modules = {"add_module",
                                              "append",
                                              "apply",
                                              "bfloat16",
                                              "buffers",
                                              "children",
                                              "clear",
                                              "compile",
                                              "cpu",
                                              "cuda",
                                              "double",
                                              "eval",
                                              "extend",
                                              "extra_repr",
                                              "float",
                                              "forward",
                                              "get_buffer",
                                              "get_extra_state",
                                              "get_parameter",
                                              "get_submodule",
                                              "half",
                                              "insert",
                                              "ipu",
                                              "items",
                                              "keys",
                                              "load_state_dict",
                                              "modules",
                                              "mtia",
                                              "named_buffers",
                                              "named_children",
                                              "named_modules",
                                              "named_parameters",
                                              "parameters",
                                              "pop",
                                              "register_buffer",
                                              "register_module",
                                              "register_parameter",
                                              "requires_grad_",
                                              "set_extra_state",
                                              "set_submodule",
                                              "share_memory",
                                              "state_dict",
                                              "to",
                                              "to_empty",
                                              "train",
                                              "training",
                                              "type",
                                              "update",
                                              "values",
                                              "xpu",
                                              "zero_grad"};

class Builder {
 public:
  Builder(const Scope& scope, const std::vector<bool>& modules) : scope_(scope), modules_(modules), last_(scope) {}

  std::unique_ptr<ModuleTree> build() {
    auto root = std::make_unique<ModuleTree>();
    root->kind = ModuleTree::plain;
    for (std::size_t i = 0; i < scope_.steps.size(); ++i)
      if (modules_[i]) insert(*root, scope_.steps[i].layer->name, static_cast<int>(i));
    root->access = "self";
    for (auto& child : root->children) finish(*child, *root);
    return root;
  }

 private:
  static void insert(ModuleTree& root, const std::string& path, int step) {
    ModuleTree* at = &root;
    for (const std::string& segment : split(path, '.')) {
      const auto it = std::find_if(at->children.begin(), at->children.end(), [&](const auto& child) { return child->segment == segment; });
      if (it != at->children.end()) {
        at = it->get();
      } else {
        at->children.push_back(std::make_unique<ModuleTree>());
        at = at->children.back().get();
        at->segment = segment;
        at->first = step;
      }
      at->last = step;
    }
    at->step = step;
  }

  void finish(ModuleTree& tree, const ModuleTree& parent) {
    const std::string& s = tree.segment;
    if (parent.kind == ModuleTree::sequence && parent.numbered())
      tree.access = fmt::format("{}[{}]", parent.access, s);
    else if (parent.kind == ModuleTree::dict)
      tree.access = fmt::format("{}[\"{}\"]", parent.access, s);
    else if (may_be_attribute(s))
      tree.access = fmt::format("{}.{}", parent.access, s);
    else
      tree.access = fmt::format("{}._modules[\"{}\"]", parent.access, s);
    if (tree.children.empty()) return;
    const bool attributes =
        std::all_of(tree.children.begin(), tree.children.end(), [](const auto& c) { return may_be_attribute(c->segment); });
    const bool keys = std::all_of(tree.children.begin(), tree.children.end(),
                                  [](const auto& c) { return may_be_attribute(c->segment) || !is_identifier(c->segment); });
    tree.kind = is_chain(tree) ? ModuleTree::sequence : tree.step >= 0 || attributes || !keys ? ModuleTree::plain : ModuleTree::dict;
    for (auto& child : tree.children) finish(*child, tree);
  }

  // Its layers run one after the other, each on the result of the one before, and nothing else takes that.
  bool is_chain(const ModuleTree& tree) const {
    if (tree.step >= 0 || !all_chains(tree)) return false;
    const Layer& first = *scope_.steps[static_cast<std::size_t>(tree.first)].layer;
    for (int i = tree.first; i <= tree.last; ++i) {
      const Step& step = scope_.steps[static_cast<std::size_t>(i)];
      const bool inside = modules_[static_cast<std::size_t>(i)] && within(tree, i);
      if (!inside || step.layer->repeat || step.inputs.size() != 1 || step.list || step.layer->when != first.when) return false;
      const Ref& from = step.inputs[0];
      if (from.kind != Ref::input && from.kind != Ref::step) return false;
      if (i == tree.first) continue;
      const bool next = from.kind == Ref::step && from.index == i - 1 && from.repeat < 0 && from.output == 0;
      if (!next || last_.takers[static_cast<std::size_t>(i - 1)] != 1) return false;
    }
    return true;
  }

  bool all_chains(const ModuleTree& tree) const {
    return std::all_of(tree.children.begin(), tree.children.end(), [&](const auto& child) {
      const bool named = may_be_attribute(child->segment) || !is_identifier(child->segment);
      return named && (child->children.empty() || is_chain(*child));
    });
  }

  static bool within(const ModuleTree& tree, int step) {
    if (tree.step == step) return true;
    return std::any_of(tree.children.begin(), tree.children.end(), [&](const auto& child) { return within(*child, step); });
  }

  const Scope& scope_;
  const std::vector<bool>& modules_;
  const LastUses last_;
};

}  // namespace

std::unique_ptr<ModuleTree> ModuleTree::of(const Scope& scope, const std::vector<bool>& modules) { return Builder(scope, modules).build(); }

const ModuleTree* ModuleTree::find(int wanted) const {
  if (step == wanted) return this;
  for (const auto& child : children)
    if (const ModuleTree* found = child->find(wanted)) return found;
  return nullptr;
}

const ModuleTree* ModuleTree::sequence_at(int wanted) const {
  if (kind == sequence) return first == wanted ? this : nullptr;
  for (const auto& child : children)
    if (const ModuleTree* found = child->sequence_at(wanted)) return found;
  return nullptr;
}

bool ModuleTree::numbered() const {
  for (std::size_t i = 0; i < children.size(); ++i)
    if (children[i]->segment != std::to_string(i)) return false;
  return true;
}

bool may_be_attribute(std::string_view segment) {
  return is_identifier(segment) && !is_python_word(segment) &&
         std::find(attributes_of_modules.begin(), attributes_of_modules.end(), segment) == attributes_of_modules.end();
}

std::string weight_access(const std::string& key) {
  const std::vector<std::string> segments = split(key, '.');
  if (std::all_of(segments.begin(), segments.end(), may_be_attribute)) return "self." + key;
  const bool statistics = segments.back().starts_with("running_");
  return fmt::format("self.get_{}(\"{}\")", statistics ? "buffer" : "parameter", key);
}

}  // namespace wherry::source
