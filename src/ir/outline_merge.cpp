#include "ir/outline_merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace wherry::outlining {

bool Line::always() const {
  return std::all_of(on.begin(), on.end(), [](bool b) { return b; });
}

Ref Template::resolve(Wire wire, std::size_t line, std::size_t instance) const {
  while (true) {
    if (!wire.previous && wire.ref.kind != Ref::output) return wire.ref;
    if (wire.previous && line == 0) return {.kind = Ref::input};
    line = wire.previous ? line - 1 : index.at(wire.ref.layer);
    const int output = wire.previous ? 0 : wire.ref.index;
    if (lines[line].on[instance]) return {.kind = Ref::output, .index = output, .layer = lines[line].name};
    const std::vector<Wire>& wires = lines[line].wires;
    if (wires.empty() || output > 0) return {};
    const auto layer = std::find_if(wires.begin(), wires.end(), [](const Wire& w) { return w.previous || w.ref.kind == Ref::output; });
    wire = layer == wires.end() ? wires[0] : *layer;
  }
}

namespace {

// Values of one kind can be those of one parameter.
enum class Kind { none, flag, integers, numbers, words };
Kind kind_of(const Attr& value) {
  if (std::holds_alternative<None>(value)) return Kind::none;
  if (std::holds_alternative<bool>(value)) return Kind::flag;
  if (std::holds_alternative<std::int64_t>(value) || std::holds_alternative<Ints>(value)) return Kind::integers;
  return std::holds_alternative<double>(value) || std::holds_alternative<Floats>(value) ? Kind::numbers : Kind::words;
}

class Merger {
 public:
  explicit Merger(const std::vector<const Body*>& bodies) : bodies_(bodies), items_(bodies.size()) {
    result_.instances = static_cast<int>(bodies.size());
    result_.inputs = static_cast<int>(bodies[0]->inputs.size());
  }

  std::optional<Template> run() {
    for (const Body* body : bodies_)
      if (body->inputs.size() != bodies_[0]->inputs.size() || body->outputs.size() != bodies_[0]->outputs.size()) return {};
    if (!order_lines()) return {};
    for (std::size_t l = 0; l < result_.lines.size(); ++l)
      if (!fill(l) || !wire(l)) return {};
    for (std::size_t k = 0; k < bodies_[0]->outputs.size(); ++k) {
      std::vector<Use> uses;
      for (std::size_t i = 0; i < bodies_.size(); ++i) uses.push_back({i, &bodies_[i]->outputs[k]});
      std::optional<Wire> found = choose(result_.lines.size(), uses, bodies_[0]->outputs.size() == 1);
      if (!found) return {};
      result_.outputs.push_back(std::move(*found));
    }
    return std::move(result_);
  }

 private:
  struct Use {
    std::size_t instance;
    const Ref* ref;
  };

  // A topological order of "a stands before b in some instance"; where that leaves a choice, the layer seen first.
  bool order_lines() {
    std::vector<std::string> names;
    std::map<std::string, std::size_t> rank;
    std::vector<std::set<std::size_t>> after;
    std::vector<int> waits;
    for (std::size_t i = 0; i < bodies_.size(); ++i) {
      std::optional<std::size_t> before;
      for (const Item& item : bodies_[i]->items) {
        const auto [it, fresh] = rank.emplace(item.name, names.size());
        if (fresh) names.push_back(item.name), after.emplace_back(), waits.push_back(0);
        if (before && after[*before].insert(it->second).second) ++waits[it->second];
        before = it->second;
        items_[i].emplace(item.name, &item);
      }
    }
    std::set<std::size_t> ready;
    for (std::size_t n = 0; n < names.size(); ++n)
      if (waits[n] == 0) ready.insert(n);
    while (!ready.empty()) {
      const std::size_t n = *ready.begin();
      ready.erase(ready.begin());
      result_.index.emplace(names[n], result_.lines.size());
      result_.lines.push_back({.name = names[n]});
      for (const std::size_t next : after[n])
        if (--waits[next] == 0) ready.insert(next);
    }
    return result_.lines.size() == names.size();
  }

  const Item* item(std::size_t instance, const std::string& name) const {
    const auto it = items_[instance].find(name);
    return it == items_[instance].end() ? nullptr : it->second;
  }

  bool fill(std::size_t l) {
    Line& line = result_.lines[l];
    const Item* model = nullptr;
    for (std::size_t i = 0; i < bodies_.size(); ++i) {
      const Item* it = item(i, line.name);
      line.on.push_back(it != nullptr);
      if (!it) continue;
      if (!model) {
        model = it;
        line.op = it->op, line.block = it->block, line.weights = it->weights, line.outputs = it->outputs;
        for (const Arg& arg : it->args) line.args.push_back({.name = arg.name, .values = {}, .fallbacks = {}});
      }
      if (it->op != line.op || it->block != line.block || it->weights != line.weights || it->outputs != line.outputs) return false;
      if (it->args.size() != line.args.size() || it->inputs.size() != model->inputs.size()) return false;
      for (std::size_t a = 0; a < line.args.size(); ++a) {
        if (it->args[a].name != line.args[a].name || kind_of(it->args[a].value) != kind_of(model->args[a].value)) return false;
        line.args[a].values.resize(i), line.args[a].fallbacks.resize(i);
        line.args[a].values.push_back(it->args[a].value), line.args[a].fallbacks.push_back(it->args[a].fallback);
      }
    }
    for (Slot& slot : line.args) slot.values.resize(bodies_.size()), slot.fallbacks.resize(bodies_.size());
    return true;
  }

  bool wire(std::size_t l) {
    Line& line = result_.lines[l];
    std::vector<const Item*> present;
    for (std::size_t i = 0; i < bodies_.size(); ++i) present.push_back(item(i, line.name));
    const Item& model = **std::find_if(present.begin(), present.end(), [](const Item* it) { return it != nullptr; });
    for (std::size_t p = 0; p < model.inputs.size(); ++p) {
      std::vector<Use> uses;
      for (std::size_t i = 0; i < bodies_.size(); ++i)
        if (present[i]) uses.push_back({i, &present[i]->inputs[p]});
      std::optional<Wire> found = choose(l, uses, model.may_omit_input);
      if (!found) return false;
      line.wires.push_back(std::move(*found));
    }
    return true;
  }

  // One way to say where all these uses come from: the layer before, the same name everywhere, or a layer that passes it on where it is
  // off.
  std::optional<Wire> choose(std::size_t l, const std::vector<Use>& uses, bool may_be_previous) const {
    const auto serves = [&](const Wire& wire) {
      return std::all_of(uses.begin(), uses.end(), [&](const Use& use) { return result_.resolve(wire, l, use.instance) == *use.ref; });
    };
    if (const Wire previous{.previous = true}; may_be_previous && serves(previous)) return previous;
    if (const Wire same{.ref = *uses[0].ref}; serves(same)) return same;
    for (std::size_t j = l; j-- > 0;)
      if (const Wire named{.ref = {.kind = Ref::output, .layer = result_.lines[j].name}}; serves(named)) return named;
    return {};
  }

  const std::vector<const Body*>& bodies_;
  std::vector<std::map<std::string, const Item*>> items_;
  Template result_;
};

}  // namespace

std::vector<std::string> input_names(int count) {
  std::vector<std::string> names;
  for (int n = 1; n <= count; ++n) names.push_back(n == 1 ? "input" : fmt::format("input{}", n));
  return names;
}

std::optional<Template> merge(const std::vector<const Body*>& bodies) { return Merger(bodies).run(); }

}  // namespace wherry::outlining
