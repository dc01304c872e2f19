// What torch.export.save writes in models/<name>.json, as plain values. Words are views into the document.
#pragma once

#include "import/pt2/json.h"
#include "ir/attr.h"
#include "ir/type.h"

#include <deque>
#include <unordered_map>
#include <utility>

namespace wherry::pt2 {

struct TensorMeta {
  Type type;
  Shape strides;
  Dim offset;
  bool dense = true;  // a strided layout
  bool operator==(const TensorMeta&) const = default;
};
bool is_contiguous(const TensorMeta& meta);
// Whether the elements can be seen in another shape without moving them; nullopt where sizes are symbolic.
std::optional<bool> can_be_viewed(const TensorMeta& meta, const Shape& as);

struct GraphDef;

// An argument or result. A name stands for a value of the graph that the node is in.
struct Argument {
  enum Kind { none, tensor, tensors, attr, sizes, graph, other } kind = none;
  std::string_view name;                // tensor; other: its word in the file, "as_custom_obj"
  std::vector<std::string_view> names;  // tensors; "" where one is None
  Attr value;                           // attr
  // sizes: ints of which some are symbolic: a name, or a number where the name is ""
  std::vector<std::pair<std::string_view, std::int64_t>> parts;
  bool single = false;             // sizes: one int, not a list
  const GraphDef* body = nullptr;  // graph
};

struct NodeDef {
  std::string_view target;  // "torch.ops.aten.conv2d.default"
  std::vector<std::pair<std::string_view, Argument>> inputs;
  std::vector<Argument> outputs;
  std::string_view stack_trace, module_stack;
};

struct GraphDef {
  std::vector<Argument> inputs, outputs;
  std::vector<NodeDef> nodes;
  std::unordered_map<std::string_view, TensorMeta> tensors;
  std::unordered_map<std::string_view, Dim> sizes;
};

// One value that goes into or comes out of the program, in the graph's order.
struct Spec {
  std::string_view kind;  // "parameter", "user_input", "buffer_mutation", …
  Argument arg;
  std::string_view target;  // the parameter's, buffer's or constant's name; a mutated input's
};

struct Program {
  std::deque<GraphDef> bodies;  // subgraphs of higher-order operators; addresses stay
  GraphDef graph;
  std::vector<Spec> inputs, outputs;
  std::string_view in_spec, out_spec;  // pytrees, as JSON text
  std::vector<std::string_view> argument_names;
  std::unordered_map<std::string_view, std::vector<std::string_view>> namedtuples;
};

// Fails with E104 on a missing or wrong field, E106 on a version of the schema that is not known.
Program read_program(const Json& root);
TensorMeta read_tensor_meta(const Json& json);

}  // namespace wherry::pt2
