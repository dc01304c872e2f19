// An .onnx model as a graph of ours.
#pragma once

#include "import/foreign.h"
#include "import/onnx/paths.h"
#include "import/onnx/tensors.h"

namespace wherry::onnx {

using Dims = std::map<std::string, std::int64_t>;

std::string title(const NodeDef& node);  // how messages call a node
std::string sibling(const std::string& around, const std::string& path);
bool is_sequence_operator(std::string_view op);

class Importer {
 public:
  Importer(const ModelDef& model, TensorReader& tensors, const OpTable& ops, const Dims& dims, Diagnostics& diagnostics);
  Graph run(std::string name);

 private:
  // What a name of the file stands for. Sequences and optionals exist only here: what is put into one is known when the model is read.
  struct Binding {
    ValueId value = absent;
    const TensorDef* weight = nullptr;                  // an initializer that no node has taken yet
    std::string why_not = {};                           // an output that Wherry does not compute
    bool broken = false;                                // the result of a fault: what follows from it is not reported
    std::optional<std::vector<ValueId>> sequence = {};  // its elements
  };
  // The names of one graph; a subgraph sees those around it. In a function's body also its attributes and its own opsets.
  struct Scope {
    const Scope* around = nullptr;
    std::map<std::string_view, std::int64_t> opsets = {};
    const std::vector<AttributeDef>* attributes = nullptr;
    std::map<std::string_view, Binding> names = {};
    std::string path = {};  // in front of the paths of a function's nodes
  };

  // What a Scan says of its inputs and outputs.
  struct ScanPlan {
    const GraphDef& body;
    Ints axes, backwards, out_axes, out_backwards;
  };

  void add_inputs(Scope& scope);
  void add_weights(Scope& scope, const GraphDef& graph);
  void add_outputs(Scope& scope);
  Type input_type(const ValueDef& input);

  void run_nodes(Scope& scope, const std::vector<NodeDef>& nodes);
  void run_node(Scope& scope, const NodeDef& node);
  void run_if(Scope& scope, const NodeDef& node);
  void run_loop(Scope& scope, const NodeDef& node);
  void run_scan(Scope& scope, const NodeDef& node);
  std::vector<ValueId> scan(Scope& shared, const NodeDef& node, const ScanPlan& plan, std::vector<ValueId> states,
                            const std::vector<ValueId>& inputs);
  Scope body_scope(Scope& scope, const NodeDef& node, const GraphDef& body, std::string_view fallback);
  std::vector<Binding> run_body(Scope& shared, const NodeDef& node, const GraphDef& body, std::vector<Binding> inputs,
                                std::size_t iteration);
  ValueId stacked(Scope& scope, const NodeDef& node, const std::vector<ValueId>& parts, std::int64_t axis);
  void run_function(Scope& scope, const NodeDef& node, const FunctionDef& function);
  void run_sequence(Scope& scope, const NodeDef& node);
  void run_sequence_map(Scope& scope, const NodeDef& node);
  void run_optional(Scope& scope, const NodeDef& node);
  std::vector<ValueId> split_to_sequence(Scope& scope, const NodeDef& node, ValueId x);
  void run_operator(Scope& scope, const NodeDef& node, const Place& place);
  void fold(std::size_t first_node);

  ForeignNode foreign(Scope& scope, const NodeDef& node, const OpTable::Foreign* meaning);
  ForeignArg attribute(Scope& scope, const AttributeDef& attribute, const NodeDef& node);
  Binding* find(Scope& scope, std::string_view name) const;
  ValueId read(Scope& scope, std::string_view name);  // a tensor
  Binding take(Scope& scope, std::string_view name);  // whatever it stands for, a tensor read
  const std::vector<ValueId>& elements(Scope& scope, const NodeDef& node, std::size_t input);
  std::optional<bool> known_truth(ValueId value) const;                                             // of one constant element
  std::optional<std::int64_t> known_integer(Scope& scope, const NodeDef& node, std::size_t input);  // E203 where it is not
  // Nodes of ours that stand for a node of the file.
  std::vector<ValueId> build(Scope& scope, const NodeDef& node, std::string_view op, std::vector<ValueId> inputs,
                             std::vector<NamedAttr> attrs);
  void settle(std::size_t first_node, const Place& place);
  std::string module_of(const Scope& scope, const NodeDef& node, std::string_view fallback) const;
  bool breaks(Scope& scope, const NodeDef& node) const;
  void bind(Scope& scope, const NodeDef& node, const std::vector<ValueId>& values);
  void bind_broken(Scope& scope, const NodeDef& node);
  const FunctionDef* function_of(const NodeDef& node) const;
  void report_unknown();
  void name_weights();
  std::string port_name(const std::vector<Port>& ports, std::string_view wanted) const;

  const ModelDef& model_;
  TensorReader& tensors_;
  const OpTable& ops_;
  const Dims& dims_;
  Diagnostics& diagnostics_;
  Graph graph_;
  Builder builder_;
  UnknownOperators unknown_;
  std::set<std::string_view> weights_;  // names of initializers
  std::set<std::string> unused_dims_;
  std::map<std::string, Place> places_;  // by the path that the builder gave
  Place place_;                          // of the node in hand
  int depth_ = 0;                        // of functions within functions
  int iterations_ = 0;                   // of all loops
};

}  // namespace wherry::onnx
