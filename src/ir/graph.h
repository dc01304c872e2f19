// The form that passes work on: flat, static single assignment, typed, in topological order.
#pragma once

#include "ir/attr.h"
#include "ir/tensor.h"
#include "ir/type.h"

#include <optional>
#include <string>
#include <vector>

namespace wherry {

struct OpDef;
using ValueId = int;
inline constexpr ValueId absent = -1;  // an optional input that is not given

// Where a node comes from in its author's program: kept through every pass, printed in every message.
struct Source {
  std::string file;  // "model.py", as the exporter wrote it
  int line = 0;
};

struct Value {
  std::string name;  // a weight: its key in the weights file; an input: its name; else its node's path
  Type type;
  std::optional<Tensor> constant;  // a weight or folded constant
};

struct Node {
  const OpDef* op = nullptr;
  std::vector<ValueId> inputs;  // as op->inputs declares them; a variadic input is last and takes all that remain
  std::vector<Attr> attrs;      // one for each of op->attrs, defaults filled in
  std::vector<ValueId> outputs;
  std::string path;  // unique in the graph: the layer's path in the text, "backbone.stages.xif2_0.pw.conv"
  Source source;

  const Attr& attr(std::string_view name) const;  // CHECKs that op declares it
  std::int64_t integer(std::string_view name) const;
  double number(std::string_view name) const;
  bool flag(std::string_view name) const;
  const std::string& string(std::string_view name) const;
  const Ints& ints(std::string_view name) const;
  bool is_none(std::string_view name) const;
  std::string where() const;  // "backbone.conv (model.py:118)"
};

// A graph's input or output: the name its callers use and the value behind it.
struct Port {
  std::string name;
  ValueId value = absent;
};

// Which class of the author's program a module path is an instance of: what outline() makes blocks from.
struct ModuleInfo {
  std::string path;  // "backbone.stages.xif2_0"
  std::string type;  // "IRFBlock"
};

struct Graph {
  std::string name;
  std::vector<Value> values;
  std::vector<Node> nodes;  // each after all it takes from
  std::vector<Port> inputs, outputs;
  std::vector<ModuleInfo> modules;  // from import; empty for a graph that never had them

  const Value& operator[](ValueId id) const { return values[static_cast<std::size_t>(id)]; }
  Value& operator[](ValueId id) { return values[static_cast<std::size_t>(id)]; }
  const Type& type(ValueId id) const { return (*this)[id].type; }
  bool is_constant(ValueId id) const { return id != absent && (*this)[id].constant.has_value(); }
  ValueId add_value(Value value);
  ValueId add_constant(Tensor tensor, std::string name);
};

// For each value the nodes that take it (indices into graph.nodes, once for each use); outputs count in `is_output`.
struct Uses {
  explicit Uses(const Graph& graph);
  std::vector<std::vector<int>> users;  // by ValueId
  std::vector<int> producer;            // by ValueId: index of the node that makes it, or -1
  std::vector<bool> is_output;          // by ValueId
  bool single(ValueId id) const {       // exactly one node takes it and it is no output
    return users[static_cast<std::size_t>(id)].size() == 1 && !is_output[static_cast<std::size_t>(id)];
  }
};

}  // namespace wherry
