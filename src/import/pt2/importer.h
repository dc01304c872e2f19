// A program of torch.export as a graph of ours.
#pragma once

#include "import/pt2/aliases.h"
#include "import/pt2/modules.h"
#include "import/pt2/weights.h"

#include <unordered_map>

namespace wherry::pt2 {

class Importer {
 public:
  Importer(const Archive& archive, const Program& program, WeightStore& weights, const OpTable& ops, Diagnostics& diagnostics);
  Graph run(std::string name);

 private:
  // The names of one graph: the program's, or a subgraph's that a higher-order operator runs.
  struct Scope {
    const GraphDef& graph;
    std::unordered_map<std::string_view, Aliases::Id> names = {};
  };

  void count_modules(const GraphDef& graph);
  void add_inputs(Scope& scope);
  void add_outputs(Scope& scope);
  void add_output(Scope& scope, const Spec& spec, const std::string& name);
  void run_nodes(Scope& scope);
  void run_node(Scope& scope, const NodeDef& def);
  void inline_graph(Scope& scope, const NodeDef& def);
  void run_in_place(Scope& scope, const NodeDef& def, ForeignNode& node, Aliases::Id self);
  bool run_silent(Scope& scope, ForeignNode& node, Aliases::Id self, Aliasing kind);
  void run_operator(Scope& scope, ForeignNode& node, std::optional<Aliases::Id> self, Aliasing kind);
  Aliasing aliasing_of(const Scope& scope, const NodeDef& def, const ForeignNode& node) const;

  ForeignNode foreign(Scope& scope, const NodeDef& def, std::string_view target);
  std::optional<ForeignNode> of_floats(const ForeignNode& node, const OpTable::Foreign& meaning);
  static void add_place_in_memory(const Scope& scope, const NodeDef& def, ForeignNode& node);
  ForeignArg argument(Scope& scope, std::string_view name, const Argument& argument, const NodeDef& def, ForeignNode& node);
  Attr sizes(const Scope& scope, std::string_view name, const Argument& argument, const ForeignNode& node) const;
  Aliases::Id lookup(const Scope& scope, std::string_view name) const;
  ValueId read(const Scope& scope, std::string_view name);
  void load(const Spec& spec, Aliases::Id id);
  void bind(Scope& scope, const std::vector<std::string_view>& names, const std::vector<Aliases::Id>& tensors);
  void bind_placeholders(Scope& scope, const NodeDef& def);
  std::optional<Type> stated(const Scope& scope, std::string_view name) const;
  std::vector<ValueId> call(const ForeignNode& node);
  std::vector<ValueId> checked_call(const ForeignNode& node);
  ValueId written_value(ForeignNode& node, ValueId before);
  ValueId as_type(const ForeignNode& node, ValueId value, ValueId like);
  std::string unique_port(const std::vector<Port>& ports, const std::string& wanted) const;

  const Archive& archive_;
  const Program& program_;
  WeightStore& weights_;
  const OpTable& ops_;
  Diagnostics& diagnostics_;
  Graph graph_;
  Builder builder_;
  Aliases aliases_;
  ModulePaths modules_;
  UnknownOperators unknown_;
  std::unordered_map<Aliases::Id, const Spec*> pending_;  // weights that no node has taken yet
  std::map<std::string, ValueId, std::less<>> loaded_;    // by first name
  std::vector<std::string_view> outputs_;                 // of the node in hand, in order
};

}  // namespace wherry::pt2
