// Several instances of one class as one list of layers: what they share stands as it is, what differs is listed by instance.
#pragma once

#include "ir/outline_body.h"

namespace wherry::outlining {

// By instance; none where a layer is off.
using Values = std::vector<std::optional<Attr>>;

// An argument of a layer.
struct Slot {
  std::string name;
  Values values, fallbacks;                    // what it is, and what it would be if it were left out
  std::optional<std::string> expression = {};  // what to write instead of the values: "$kernel // 2"
  bool may_be_left_out() const { return values == fallbacks; }
};

// Where a layer takes an input from, in every instance. A layer that is off passes an input of its own on (ir/model.h).
struct Wire {
  bool previous = false;  // the layer before, or the block's input
  Ref ref = {};
};

struct Line {
  std::string name, op, block;
  std::vector<bool> on;  // by instance
  std::vector<Wire> wires;
  std::vector<std::pair<std::string, std::string>> weights;
  std::vector<Slot> args;
  int outputs = 1;
  std::optional<std::string> when = {};
  bool always() const;
};

struct Template {
  int instances = 0;
  int inputs = 0;
  std::vector<Line> lines;                   // in an order that every instance follows
  std::map<std::string, std::size_t> index;  // of a line, by name
  std::vector<Wire> outputs;

  // What the wire carries in that instance, when it goes into `line` (lines.size(): out of the block).
  Ref resolve(Wire wire, std::size_t line, std::size_t instance) const;
};

// Of a block's inputs: input, input2, …
std::vector<std::string> input_names(int count);

// Nothing when no order or no wiring serves all of them.
std::optional<Template> merge(const std::vector<const Body*>& bodies);

}  // namespace wherry::outlining
