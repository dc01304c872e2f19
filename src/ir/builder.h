// Adds nodes to a graph: the one way a node is made, so that every node is typed and every attribute legal.
#pragma once

#include "base/diagnostics.h"
#include "ir/op_def.h"

#include <initializer_list>
#include <utility>

namespace wherry {

struct NamedAttr {
  std::string_view name;
  Attr value;
};

class Builder {
 public:
  Builder(Graph& graph, const OpTable& ops) : graph_(graph), ops_(ops) {}

  // What the nodes added from here on inherit. The first node takes `path` itself if it is free, later ones path + "." + op.
  void at(std::string path, Source source) { path_ = std::move(path), source_ = std::move(source); }

  // Adds operator `op`, infers its types, returns its first output. Attributes not given take their defaults.
  // A fault (unknown operator, attribute or kind: CHECK; shapes that do not fit: Failure E5xx with path and types).
  ValueId operator()(std::string_view op, std::vector<ValueId> inputs, std::vector<NamedAttr> attrs = {});
  std::vector<ValueId> multi(std::string_view op, std::vector<ValueId> inputs, std::vector<NamedAttr> attrs = {});
  // The same with all attributes in declared order, under exactly this path (made unique if taken).
  std::vector<ValueId> node(const OpDef& op, std::vector<ValueId> inputs, std::vector<Attr> attrs, const std::string& path);

  ValueId constant(Tensor tensor, std::string name = {});
  ValueId scalar(double value, DType dtype = DType::float32) { return constant(Tensor::scalar(value, dtype)); }
  ValueId ints(const std::vector<std::int64_t>& values);

  Graph& graph() { return graph_; }
  const OpTable& ops() const { return ops_; }
  const Type& type(ValueId id) const { return graph_.type(id); }
  const std::string& path() const { return path_; }
  const Source& source() const { return source_; }
  std::string unique_path(const std::string& wanted);

 private:
  Graph& graph_;
  const OpTable& ops_;
  std::string path_;
  Source source_;
  std::map<std::string, int, std::less<>> taken_;
  std::size_t seen_nodes_ = 0;
};

// Types of a node's outputs, or Failure with code, path, input types. Checks rules first.
std::vector<Type> infer_types(const Graph& graph, const Node& node);

// Builds a new graph out of an old one, node by node: how every pass is written.
//   Rewriter rw(old, ops);
//   for (const Node& n : old.nodes) { if (…) rw.replace(n, {…rw.builder()(…)…}); else rw.copy(n); }
//   return rw.finish();
// Values that end without a user are dropped by finish().
class Rewriter {
 public:
  Rewriter(const Graph& old, const OpTable& ops);
  const Graph& old() const { return old_; }
  Builder& builder() { return builder_; }
  Graph& graph() { return fresh_; }       // the new one
  ValueId operator[](ValueId old_value);  // the new value that stands for an old one (absent → absent)
  void copy(const Node& node);            // as it was, over the new values
  // Old outputs → new values. A new value takes the old one's name: names say which value of the source one equals.
  void replace(const Node& node, const std::vector<ValueId>& fresh);
  void map(ValueId old_value, ValueId fresh);
  Graph finish();  // outputs mapped, dead nodes and values dropped

 private:
  const Graph& old_;
  Graph fresh_;
  Builder builder_;
  std::vector<ValueId> map_;
};

// Drops nodes and values that no output needs; inputs stay.
Graph without_dead_code(const Graph& graph);

// What must hold after every pass: order, arity, types equal to infer's, unique paths. CHECKs (a breach is our bug).
void verify(const Graph& graph);

}  // namespace wherry
