// A scope of the graph (the whole model, or one instance of a module class) as a list of layers with concrete arguments.
// What outline() works on between the graph and the text.
#pragma once

#include "ir/graph.h"
#include "ir/model.h"
#include "ir/outline_tree.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace wherry::outlining {

// Where a layer takes an input from.
struct Ref {
  enum Kind { none, input, output, literal } kind = none;
  int index = 0;           // which input of the scope, or which output of a layer
  std::string layer = {};  // that layer
  TextValue value = {};    // a constant written in place
  bool operator==(const Ref&) const = default;
};

// A hyperparameter of an operator, or a parameter of a block.
struct Arg {
  std::string name;
  Attr value;
  std::optional<Attr> fallback;
};

struct Item {
  std::string name, op, block;  // op or block
  std::vector<Ref> inputs;
  bool may_omit_input = false;                               // it has one input, which need not be written when it is the layer before
  std::vector<std::pair<std::string, std::string>> weights;  // keys that do not follow from the path
  std::vector<Arg> args;                                     // all of them, in declared order, defaults included
  int outputs = 1;
};

struct Body {
  std::vector<Item> items;
  std::vector<ValueId> inputs;  // values that come from outside, in order of first use
  std::vector<Ref> outputs;     // what the outside takes, in order
};

// What stands for an instance that has become a block, in the scope that holds it.
struct Call {
  std::string block;
  std::vector<ValueId> inputs, outputs;
  std::vector<Arg> args;
};
using Calls = std::map<const Instance*, Call>;

// The scope's layers; instances in `calls` are one layer each, every other module dissolves into its layers.
Body read_body(const Tree& tree, const Instance& scope, const Calls& calls);

// The instance's values that nodes outside it (or the graph's outputs) take.
std::vector<ValueId> outputs_of(const Tree& tree, const Instance& scope);

}  // namespace wherry::outlining
