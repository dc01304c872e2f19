#include "export/source/keras_items.h"

#include "base/check.h"

#include <fmt/format.h>

#include <algorithm>

namespace wherry::source {

namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

bool same_ref(const Ref& a, const Ref& b) { return a.kind == b.kind && a.index == b.index && a.output == b.output && a.repeat == b.repeat; }

// "ops.numpy.GetItem" → "getitem", "ZeroPadding2D" → "pad".
std::string word_of(std::string_view layer) {
  if (layer.starts_with("ZeroPadding")) return "pad";
  std::string word(layer.substr(layer.rfind('.') == std::string_view::npos ? 0 : layer.rfind('.') + 1));
  std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return word;
}

// One use: which step each node of its graph belongs to, and where what it takes comes from.
class UseReader {
 public:
  UseReader(const Program& program, const Scope& scope, const Use& use, const KerasGraph& graph)
      : program_(program), scope_(scope), use_(use), graph_(graph) {
    for (std::size_t i = 0; i < use.parts.size(); ++i) part_of_[relative(path_of(use.parts[i]))] = static_cast<int>(i);
    nodes_.resize(use.parts.size() + 1);  // the last: outputs
    for (std::size_t n = 0; n < graph.nodes.size(); ++n)
      if (graph.nodes[n].layer != "InputLayer") nodes_[at(part_with(graph.nodes[n]))].push_back(static_cast<int>(n));
  }

  const std::vector<int>& nodes(std::size_t part) const { return nodes_[part]; }

  std::vector<std::string> keys(std::size_t part) const {
    std::vector<int> gives;  // by output: the node
    if (part < use_.parts.size())
      for (const ValueId v : outputs_of(use_.parts[part])) gives.push_back(node_of(tensor_of(v)));
    std::vector<std::string> keys;
    std::map<std::string, int> count;
    for (const int n : nodes_[part]) {
      const auto given = std::find(gives.begin(), gives.end(), n);
      const std::string word = given != gives.end() ? fmt::format("={}", given - gives.begin()) : word_of(graph_.nodes[at(n)].layer);
      keys.push_back(count[word]++ == 0 ? word : fmt::format("{}_{}", word, count[word]));
    }
    return keys;
  }

  // Operands of a node; those within its part are numbered by `items`.
  std::vector<Operand> operands(std::size_t part, const KerasNode& node, const std::map<int, int>& items) const {
    std::vector<Operand> list;
    const auto take = [&](const KerasRef& ref) { list.push_back(operand(part, ref.tensor, items)); };
    for (const KerasValue& arg : node.args) {
      if (const auto* ref = std::get_if<KerasRef>(&arg)) take(*ref);
      if (const auto* refs = std::get_if<std::vector<KerasRef>>(&arg))
        for (const KerasRef& ref : *refs) take(ref);
    }
    return list;
  }

  std::vector<Operand> results(std::size_t part, const std::map<int, int>& items) const {
    std::vector<Operand> list;
    if (part == use_.parts.size())
      for (const Port& port : graph_.outputs) list.push_back(operand(part, port.value, items));
    else
      for (const ValueId v : outputs_of(use_.parts[part])) {
        const int tensor = tensor_of(v);
        list.push_back(tensor < 0 ? Operand{} : operand(part, tensor, items));
      }
    return list;
  }

 private:
  std::string path_of(const Part& part) const {
    if (part.node) return part.node->path;
    const Step& step = scope_.steps[at(part.step)];
    return program_.scopes[at(step.block)].uses[at(part.use)].path;
  }

  std::string relative(const std::string& path) const {
    const std::string prefix = use_.path.empty() ? "" : use_.path + ".";
    return path.starts_with(prefix) ? path.substr(prefix.size()) : path;
  }

  // What an operator expands to stands under the operator's path.
  int part_with(const KerasNode& node) const {
    for (std::string path = node.path; !path.empty(); path.resize(path.rfind('.') == std::string::npos ? 0 : path.rfind('.')))
      if (const auto it = part_of_.find(path); it != part_of_.end()) return it->second;
    return static_cast<int>(use_.parts.size());
  }

  std::vector<ValueId> outputs_of(const Part& part) const { return part.node ? part.node->outputs : part.outputs; }

  int node_of(int tensor) const { return tensor < 0 ? -1 : graph_.tensors[at(tensor)].node; }

  int tensor_of(ValueId v) const {
    if (v == absent) return -1;
    std::string name = relative(program_.graph[v].name);
    for (std::size_t i = 0; i < use_.input_values.size(); ++i)
      if (use_.input_values[i] == v) name = scope_.inputs[i];
    const auto it = graph_.values.find(name);
    return it == graph_.values.end() ? -1 : it->second;
  }

  // The value behind a reference, seen from this use. `before`: only parts that stand before that one count.
  ValueId value_of(const Ref& ref, std::size_t before) const {
    if (ref.kind == Ref::input) return at(ref.index) < use_.input_values.size() ? use_.input_values[at(ref.index)] : absent;
    if (ref.kind != Ref::step) return absent;
    const Part* found = nullptr;
    for (std::size_t i = 0; i < before; ++i)
      if (use_.parts[i].step == ref.index && (ref.repeat < 0 || use_.parts[i].repeat == ref.repeat)) found = &use_.parts[i];
    if (!found) return value_of(scope_.steps[at(ref.index)].handed_on, before);
    const std::vector<ValueId> outputs = outputs_of(*found);
    return at(ref.output) < outputs.size() ? outputs[at(ref.output)] : absent;
  }

  bool is(const Ref& ref, std::size_t part, int tensor) const {
    const ValueId v = value_of(ref, part);
    return v != absent && tensor_of(v) == tensor;
  }

  Operand operand(std::size_t part, int tensor, const std::map<int, int>& items) const {
    const KerasTensor& t = graph_.tensors[at(tensor)];
    if (t.constant) return {.kind = Operand::constant, .tensor = &t};
    if (const auto it = items.find(t.node); it != items.end()) return {.kind = Operand::item, .index = it->second, .output = t.output};
    if (part < use_.parts.size()) {
      const Part& own = use_.parts[part];
      if (own.repeat > 0 && part > 0) {
        const std::vector<ValueId> outputs = outputs_of(use_.parts[part - 1]);
        if (!outputs.empty() && tensor_of(outputs[0]) == tensor) return {.before = true};
      }
      for (const Ref& ref : scope_.steps[at(own.step)].inputs)
        if (is(ref, part, tensor)) return {.ref = ref};
    } else {
      for (const auto& [name, ref] : scope_.outputs)
        if (is(ref, part, tensor)) return {.ref = ref};
    }
    for (std::size_t i = 0; i < scope_.inputs.size(); ++i)
      if (const Ref ref{.kind = Ref::input, .index = static_cast<int>(i)}; is(ref, part, tensor)) return {.ref = ref};
    for (std::size_t i = part; i-- > 0;)
      for (std::size_t o = 0; o < outputs_of(use_.parts[i]).size(); ++o)
        if (const Ref ref{.kind = Ref::step, .index = use_.parts[i].step, .output = static_cast<int>(o), .repeat = use_.parts[i].repeat};
            is(ref, part, tensor))
          return {.ref = ref};
    WHERRY_CHECK(false, "{} takes a tensor that no layer before it gives", use_.path);
  }

  const Program& program_;
  const Scope& scope_;
  const Use& use_;
  const KerasGraph& graph_;
  std::map<std::string, int> part_of_;   // by path relative to the use
  std::vector<std::vector<int>> nodes_;  // by part
};

// Items of one part side by side: what one use has more than another is put where it stands there.
void align(StepItems& all, int use, const std::vector<std::string>& keys) {
  std::size_t place = 0;
  for (const std::string& key : keys) {
    const auto it = std::find_if(all.items.begin(), all.items.end(), [&](const Item& item) { return item.key == key; });
    if (it != all.items.end()) {
      place = static_cast<std::size_t>(it - all.items.begin()) + 1;
    } else {
      all.items.insert(all.items.begin() + static_cast<std::ptrdiff_t>(place), Item{.key = key, .seen = {}});
      ++place;
    }
    all.items[place - 1].seen[use] = {};
  }
}

void fill(StepItems& all, int use, std::size_t part, const UseReader& reader, const KerasGraph& graph) {
  const std::vector<int>& nodes = reader.nodes(part);
  const std::vector<std::string> keys = reader.keys(part);
  std::map<int, int> items;
  for (std::size_t i = 0; i < nodes.size(); ++i)
    for (std::size_t k = 0; k < all.items.size(); ++k)
      if (all.items[k].key == keys[i]) items[nodes[i]] = static_cast<int>(k);
  for (const auto& [n, k] : items) {
    const KerasNode& node = graph.nodes[at(n)];
    all.items[at(k)].seen[use] = {&node, reader.operands(part, node, items)};
    all.items[at(k)].block = node.is_block();
  }
  all.results[use] = reader.results(part, items);
}

}  // namespace

bool Operand::operator==(const Operand& other) const {
  if (kind != other.kind) return false;
  if (kind == constant) return tensor->type == other.tensor->type;
  return kind == item ? index == other.index && output == other.output : before == other.before && same_ref(ref, other.ref);
}

std::vector<StepItems> items_of(const Program& program, std::size_t index, const std::vector<KerasGraph>& graphs) {
  const Scope& scope = program.scopes[index];
  std::vector<UseReader> readers;
  for (std::size_t u = 0; u < scope.uses.size(); ++u) readers.emplace_back(program, scope, scope.uses[u], graphs[u]);
  std::map<std::pair<int, int>, StepItems> found;  // by step and repetition
  const auto each_part = [&](const auto& f) {
    for (std::size_t u = 0; u < scope.uses.size(); ++u) {
      for (std::size_t p = 0; p < scope.uses[u].parts.size(); ++p)
        f(static_cast<int>(u), p, std::pair{scope.uses[u].parts[p].step, scope.uses[u].parts[p].repeat});
      f(static_cast<int>(u), scope.uses[u].parts.size(), std::pair{static_cast<int>(scope.steps.size()), -1});
    }
  };
  each_part([&](int u, std::size_t p, const std::pair<int, int>& key) { align(found[key], u, readers[at(u)].keys(p)); });
  each_part([&](int u, std::size_t p, const std::pair<int, int>& key) { fill(found[key], u, p, readers[at(u)], graphs[at(u)]); });
  std::vector<StepItems> list;
  for (auto& [key, items] : found) {
    items.step = key.first == static_cast<int>(scope.steps.size()) ? -1 : key.first;
    items.repeat = key.second;
    std::map<int, int> count;
    for (const Item& item : items.items)
      for (const auto& [use, seen] : item.seen) ++count[use];
    items.richest = items.results.begin()->first;
    for (const auto& [use, n] : count)
      if (n > count[items.richest]) items.richest = use;
    list.push_back(std::move(items));
  }
  return list;
}

}  // namespace wherry::source
