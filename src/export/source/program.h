// A model's text as source code needs it: each block once, its layers with what they take resolved, and every use that the model
// makes of it.
#pragma once

#include "ir/graph.h"
#include "ir/model.h"
#include "ir/op_def.h"

#include <deque>
#include <map>

namespace wherry::source {

// Where a layer takes an input from.
struct Ref {
  enum Kind { absent, input, step, number, constant, weight } kind = absent;
  int index = 0;                     // of the scope's input or step
  int output = 0;                    // of that step
  int repeat = -1;                   // of a repeated layer: which one; -1: the last
  const TextValue* value = nullptr;  // number, constant and weight: as written
};

// A layer of a scope.
struct Step {
  const Layer* layer = nullptr;
  const OpDef* op = nullptr;       // or
  int block = -1;                  // a scope of the program
  std::vector<Ref> inputs;         // as op->inputs or the block's are declared, without the layer's own weights
  std::vector<int> slots;          // an operator: which of op->inputs each stands for
  bool owns_weights = false;       // an operator with weights under the layer's own path, at least some
  Ref handed_on;                   // what stands for the result where `when` does not hold
  std::vector<const Node*> nodes;  // an operator: all its uses
  int outputs = 1;
  bool list = false;             // the result is a list or tuple of its outputs
  bool on = false, off = false;  // in some use

  bool owns(std::string_view weight) const;
  const TextValue* argument(std::string_view name) const;
};

// A layer as one use of its scope runs it.
struct Part {
  int step = 0;
  int repeat = -1;                                 // which of a repeated layer
  const Node* node = nullptr;                      // of an operator
  int use = -1;                                    // of the block's scope
  std::vector<ValueId> inputs = {}, outputs = {};  // of a block, as Use has them
};

// One use of a scope.
struct Use {
  std::string path;
  std::map<std::string, Attr, std::less<>> params;
  std::vector<Type> inputs, outputs;
  std::vector<ValueId> input_values, output_values;  // in the graph; absent: nothing takes it
  std::vector<Part> parts;                           // in execution order
};

// A block, or the model's body (the last one, `block` is null).
struct Scope {
  const Block* block = nullptr;
  std::string name, doc;
  std::vector<const Param*> params;  // required ones first
  std::vector<std::string> inputs;
  std::vector<Step> steps;
  std::vector<std::pair<std::string, Ref>> outputs;
  std::vector<Use> uses;
};

struct Program {
  const Model& model;
  const Graph& graph;
  std::vector<Scope> scopes;             // those that are used, each behind all it uses
  std::deque<TextValue> free_weights{};  // what the text could have said of parameters that no layer owns: {weight, type}
  const Scope& body() const { return scopes.back(); }
};

// Needs: `graph` is what `model` flattens to.
Program read_program(const Model& model, const Graph& graph, const OpTable& ops);

// The last step that takes each input and each step's result (steps.size(): an output of the scope; -1: nobody).
struct LastUses {
  explicit LastUses(const Scope& scope);
  std::vector<int> inputs, steps;
  std::vector<int> takers;  // of steps: how many layers and outputs take it
};

// "x: float32[1, in, H, W] -> float32[1, out, H, W]": sizes that differ between uses are the parameter that says them, or a letter.
// `order`: where a target has the axes; without it as the source.
std::string signature(const Scope& scope, const std::map<std::string, std::string>& input_names,
                      const std::map<std::string, std::string>& param_names, std::vector<int> (*order)(const Type&) = nullptr);

}  // namespace wherry::source
