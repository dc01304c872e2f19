#include "ir/op_def.h"
#include "ir/outline.h"

#include <fmt/format.h>

namespace wherry {

namespace {

// Walks two graphs side by side, pairing their values as they are defined.
class Comparison {
 public:
  Comparison(const Graph& a, const Graph& b) : a_(a), b_(b), pair_(a.values.size(), absent) {}

  std::string run() {
    if (a_.name != b_.name) return fmt::format("the names: '{}' and '{}'", a_.name, b_.name);
    if (a_.inputs.size() != b_.inputs.size()) return fmt::format("the number of inputs: {} and {}", a_.inputs.size(), b_.inputs.size());
    for (std::size_t i = 0; i < a_.inputs.size(); ++i) {
      const Port &x = a_.inputs[i], &y = b_.inputs[i];
      if (x.name != y.name) return fmt::format("the name of input {}: '{}' and '{}'", i, x.name, y.name);
      if (std::string d = define(x.value, y.value); !d.empty()) return fmt::format("input '{}': {}", x.name, d);
    }
    for (std::size_t i = 0; i < std::min(a_.nodes.size(), b_.nodes.size()); ++i)
      if (std::string d = node(a_.nodes[i], b_.nodes[i]); !d.empty()) return fmt::format("node {} ({}): {}", i, a_.nodes[i].path, d);
    if (a_.nodes.size() != b_.nodes.size()) return fmt::format("the number of nodes: {} and {}", a_.nodes.size(), b_.nodes.size());
    if (a_.outputs.size() != b_.outputs.size())
      return fmt::format("the number of outputs: {} and {}", a_.outputs.size(), b_.outputs.size());
    for (std::size_t i = 0; i < a_.outputs.size(); ++i) {
      const Port &x = a_.outputs[i], &y = b_.outputs[i];
      if (x.name != y.name) return fmt::format("the name of output {}: '{}' and '{}'", i, x.name, y.name);
      if (std::string d = use(x.value, y.value); !d.empty()) return fmt::format("output '{}': {}", x.name, d);
    }
    return {};
  }

 private:
  std::string node(const Node& x, const Node& y) {
    if (x.path != y.path) return fmt::format("path '{}' and '{}'", x.path, y.path);
    if (x.op->name != y.op->name) return fmt::format("operator {} and {}", x.op->name, y.op->name);
    for (std::size_t i = 0; i < x.attrs.size(); ++i)
      if (x.attrs[i] != y.attrs[i]) return fmt::format("{}: {} and {}", x.op->attrs[i].name, text(x.attrs[i]), text(y.attrs[i]));
    if (x.inputs.size() != y.inputs.size()) return fmt::format("{} and {} inputs", x.inputs.size(), y.inputs.size());
    for (std::size_t i = 0; i < x.inputs.size(); ++i)
      if (std::string d = use(x.inputs[i], y.inputs[i]); !d.empty()) return fmt::format("input {}: {}", i, d);
    if (x.outputs.size() != y.outputs.size()) return fmt::format("{} and {} outputs", x.outputs.size(), y.outputs.size());
    for (std::size_t i = 0; i < x.outputs.size(); ++i)
      if (std::string d = define(x.outputs[i], y.outputs[i]); !d.empty()) return fmt::format("output {}: {}", i, d);
    return {};
  }

  std::string define(ValueId x, ValueId y) {
    if (a_.type(x) != b_.type(y)) return fmt::format("{} and {}", text(a_.type(x)), text(b_.type(y)));
    pair_[static_cast<std::size_t>(x)] = y;
    return {};
  }

  std::string use(ValueId x, ValueId y) const {
    if (x == absent || y == absent) return x == y ? "" : "only one of them has it";
    const bool constant = a_.is_constant(x);
    if (constant != b_.is_constant(y)) return "only one of them is constant";
    if (!constant) return pair_[static_cast<std::size_t>(x)] == y ? "" : fmt::format("'{}' and '{}'", a_[x].name, b_[y].name);
    if (a_[x].name != b_[y].name) return fmt::format("weight '{}' and '{}'", a_[x].name, b_[y].name);
    if (a_.type(x) != b_.type(y)) return fmt::format("weight '{}': {} and {}", a_[x].name, text(a_.type(x)), text(b_.type(y)));
    return a_[x].constant->same_bits(*b_[y].constant) ? "" : fmt::format("the numbers of weight '{}'", a_[x].name);
  }

  const Graph &a_, &b_;
  std::vector<ValueId> pair_;
};

}  // namespace

std::string first_difference(const Graph& a, const Graph& b) { return Comparison(a, b).run(); }

}  // namespace wherry
