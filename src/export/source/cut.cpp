#include "export/source/cut.h"

#include "base/check.h"
#include "ops/axes.h"
#include "ops/keras.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

namespace wherry::source {

std::vector<int> border_order(const Type& type) {
  const int rank = static_cast<int>(type.shape.size());
  if (rank == 4 && is_float(type.dtype)) return LayoutLowering::channels_last_order(rank);
  std::vector<int> order(static_cast<std::size_t>(rank));
  for (int i = 0; i < rank; ++i) order[static_cast<std::size_t>(i)] = i;
  return order;
}

namespace {

std::vector<Type> types_of_call(const OpTypes& t) {
  std::vector<Type> types;
  for (const std::string& word : std::get<Strings>(t.node.attr("types"))) types.push_back(*parse_type(word));
  return types;
}

void lower_call(KerasLowering& k, const Node& node) {
  std::vector<KerasRef> given;
  for (const ValueId v : node.inputs)
    if (v != absent) given.push_back({k.in_order(v, border_order(k.graph.type(v)))});
  std::vector<Type> outs;
  for (const ValueId v : node.outputs) outs.push_back(ops::ordered(k.graph.type(v), border_order(k.graph.type(v))));
  const std::vector<KerasValue> args = given.size() == 1 ? std::vector<KerasValue>{given[0]} : std::vector<KerasValue>{given};
  const std::vector<int> made = k.add_multi(keras_block, args, outs, {{"scope", node.integer("scope")}, {"use", node.integer("use")}});
  for (std::size_t i = 0; i < made.size(); ++i) k.give(node.outputs[i], made[i], border_order(k.graph.type(node.outputs[i])));
}

const OpDef& call_of_block() {
  static const OpDef op{.name = "block",
                        .doc = "A use of a block.",
                        .inputs = {{"inputs", "what the block takes", Role::variadic}},
                        .attrs = {{"scope", AttrKind::integer}, {"use", AttrKind::integer}, {"types", AttrKind::strings}},
                        .outputs = 0,
                        .infer = types_of_call,
                        .keras = {.lower = lower_call}};
  return op;
}

class Cut {
 public:
  Cut(const Program& program, const Scope& scope, const Use& use) : program_(program), scope_(scope), use_(use) {
    out_.name = use.path.empty() ? program.graph.name : use.path;
  }

  Graph graph() {
    for (std::size_t i = 0; i < use_.input_values.size(); ++i)
      if (const ValueId v = use_.input_values[i]; v != absent && !here_.contains(v)) {
        here_[v] = out_.add_value({scope_.inputs[i], program_.graph.type(v), {}});
        out_.inputs.push_back({scope_.inputs[i], here_[v]});
      }
    for (const Part& part : use_.parts) part.node ? copy(*part.node) : call(part);
    for (std::size_t i = 0; i < use_.output_values.size(); ++i)
      if (const ValueId v = use_.output_values[i]; v != absent) out_.outputs.push_back({scope_.outputs[i].first, value(v)});
    return std::move(out_);
  }

 private:
  ValueId value(ValueId v) {
    if (v == absent) return absent;
    if (const auto it = here_.find(v); it != here_.end()) return it->second;
    WHERRY_CHECK(program_.graph.is_constant(v), "{} is taken from outside of its block", program_.graph[v].name);
    return here_[v] = out_.add_constant(*program_.graph[v].constant, program_.graph[v].name);
  }

  std::vector<ValueId> values(const std::vector<ValueId>& list) {
    std::vector<ValueId> mapped;
    for (const ValueId v : list) mapped.push_back(value(v));
    return mapped;
  }

  std::vector<ValueId> make(const std::vector<ValueId>& list) {
    std::vector<ValueId> made;
    for (const ValueId v : list) made.push_back(here_[v] = out_.add_value({relative(program_.graph[v].name), program_.graph.type(v), {}}));
    return made;
  }

  std::string relative(const std::string& path) const {
    const std::string prefix = use_.path.empty() ? "" : use_.path + ".";
    return path.starts_with(prefix) ? path.substr(prefix.size()) : path;
  }

  void copy(const Node& node) {
    Node fresh = node;
    fresh.path = relative(node.path);
    fresh.inputs = values(node.inputs);
    fresh.outputs = make(node.outputs);
    out_.nodes.push_back(std::move(fresh));
  }

  // What a block only passes through, or gives twice, stays what it is.
  void call(const Part& part) {
    const int scope = scope_.steps[static_cast<std::size_t>(part.step)].block;
    Node node{.op = &call_of_block(), .inputs = values(part.inputs), .attrs = {}, .outputs = {}, .path = "", .source = {}};
    const Use& inner = program_.scopes[static_cast<std::size_t>(scope)].uses[static_cast<std::size_t>(part.use)];
    Strings types;
    node.path = relative(inner.path);
    for (const ValueId v : part.outputs) {
      types.push_back(text(program_.graph.type(v)));
      if (here_.contains(v) || program_.graph.is_constant(v))
        node.outputs.push_back(out_.add_value({node.path, program_.graph.type(v), {}}));
      else
        node.outputs.push_back(make({v})[0]);
    }
    node.attrs = {std::int64_t{scope}, std::int64_t{part.use}, types};
    out_.nodes.push_back(std::move(node));
  }

  const Program& program_;
  const Scope& scope_;
  const Use& use_;
  Graph out_;
  std::unordered_map<ValueId, ValueId> here_;  // values of the whole graph in this one
};

}  // namespace

Graph cut(const Program& program, const Scope& scope, const Use& use) { return Cut(program, scope, use).graph(); }

}  // namespace wherry::source
