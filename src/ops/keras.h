// The Keras form of a graph: layers and operations of Keras 3 over channels-last tensors, before they are an archive or source code.
// lower/ makes it through KerasLowering, export/keras and export/source write it. It prints as text and is tested as text.
#pragma once

#include "ops/layout_lowering.h"

namespace wherry {

// A tensor of the graph as an argument of a call.
struct KerasRef {
  int tensor;
  bool operator==(const KerasRef&) const = default;
};
// Python's slice(start, stop, step); an absent stop means to the end.
struct KerasSlice {
  std::int64_t start = 0;
  std::optional<std::int64_t> stop = {};
  std::int64_t step = 1;
  bool operator==(const KerasSlice&) const = default;
};
// What stands in a configuration or a call: a plain value, a tensor, a list of tensors, pairs of ints, an index, or numbers.
using KerasValue = std::variant<Attr, KerasRef, std::vector<KerasRef>, std::vector<Ints>, std::vector<KerasSlice>, Tensor>;
struct KerasEntry {
  std::string name;
  KerasValue value;
  // For source code, where a layer has more uses than this one: how the operator's arguments say the value, as an expression of the
  // text ("$out // $groups"), "sides($padding)", or "'same' if $stride == 1 else 'valid'".
  std::string said = {};
  std::optional<Attr> fallback = {};  // Keras's own default, which is left out
  bool either = false;                // the fallback would do as well

  bool is_default() const {
    const Attr* attr = std::get_if<Attr>(&value);
    return attr && fallback && *attr == *fallback;
  }
};

// A variable of a layer and where its numbers come from: the source's weight, of which `parts` equal pieces along axis 0 are cut
// and piece `part` is taken, seen as `view`; axis i of the variable is axis axes[i] of that view.
struct KerasWeight {
  std::string name;    // "kernel"
  Tensor value;        // as Keras keeps it
  std::string source;  // the weight's name; "": it comes from none
  Sizes view = {};
  std::vector<int> axes = {};
  std::int64_t part = 0, parts = 1;
};

struct KerasTensor {
  Type type;
  std::optional<Tensor> constant;
  int node = -1;  // that makes it, and which of its outputs it is
  int output = 0;
  std::string name;  // the layer's, or a constant's
};

struct KerasGraph;
inline constexpr std::string_view keras_block = "Functional";  // a block of the text as a model within the model

struct KerasNode {
  std::string layer;  // "Conv2D" of keras.layers, or "ops.numpy.Add": an operation
  std::string name;   // the layer's name: its module path with '-' for '.', which no backend takes in a name
  std::vector<KerasEntry> config;
  std::vector<KerasValue> args;
  std::vector<KerasWeight> weights;  // in the layer's own order
  std::vector<int> outputs;
  std::string path;  // of the node it comes from
  Source source;
  std::string when = {};                         // for source code: over the operator's arguments, when there is this layer and no other
  std::string_view definition = {};              // for source code: a function of the file's own that `layer` names
  std::shared_ptr<const KerasGraph> inner = {};  // a block: the layers within
  bool named = false;                            // `name` is that of a source value

  bool is_block() const { return layer == keras_block; }
};

struct KerasGraph {
  std::string name;
  bool batched = true;  // axis 0 of inputs and outputs is a batch of any size
  std::vector<KerasTensor> tensors;
  std::vector<KerasNode> nodes;       // inputs are nodes of layer "InputLayer"
  std::vector<Port> inputs, outputs;  // names and tensors
  std::map<std::string, int> values;  // of the source, by name: their tensors
};
// A readable listing, one line a node: conv = Conv2D(x, filters=16, kernel_size=[3, 3]) -> float32[1, 112, 112, 16]
std::string text(const KerasGraph& graph);
std::map<std::string, int> count_layers(const KerasGraph& graph);
// "backbone.stages.0" → "backbone-stages-0".
std::string keras_name(std::string_view path);

// What a keras slot's lower() sees.
class KerasLowering : public LayoutLowering {
 public:
  // A layer or operation: its arguments, the type it gives, its configuration (without its name), its variables.
  virtual int add(std::string_view layer, std::vector<KerasValue> args, const Type& out, std::vector<KerasEntry> config = {},
                  std::vector<KerasWeight> weights = {}) = 0;
  virtual std::vector<int> add_multi(std::string_view layer, std::vector<KerasValue> args, const std::vector<Type>& outs,
                                     std::vector<KerasEntry> config = {}) = 0;
  virtual const KerasTensor& tensor(int id) = 0;
  virtual const KerasNode* producer(int tensor) = 0;  // nullptr: a constant

  // A node that treats this axis of its tensor in a way of its own says so: where it is the batch, the file cannot leave its size
  // open, and the lowering begins again with the size fixed.
  virtual void touch(int axis) = 0;
  virtual bool batched() const = 0;
  // Whether it becomes source code: that holds for images of any size, and calls operations where an archive has layers.
  virtual bool as_code() const = 0;
  // What source code is told of the layer that makes a tensor: see KerasNode.
  virtual void only_when(int tensor, std::string_view when) = 0;
  virtual void define(int tensor, std::string_view definition) = 0;

  // A variable made of the node's input of that name, a constant weight: seen as `view` ({}: as it is), permuted.
  virtual KerasWeight weight(const Node& node, std::string_view input, std::string_view name, std::vector<int> axes = {},
                             Sizes view = {}) = 0;

 protected:
  explicit KerasLowering(const Graph& g) : LayoutLowering(g) {}
};

}  // namespace wherry
