// What an operator is: one OpDef value holds everything that Wherry knows of it. The table of them is src/ops/.
// Only name, doc, inputs and infer are required; an absent slot is what the support matrix shows as a gap.
#pragma once

#include "ir/graph.h"

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace wherry {

class Builder;        // ir/builder.h
class TflLowering;    // ops/tfl.h
class OnnxLowering;   // ops/onnx.h
class KerasLowering;  // ops/keras.h

// ---- declaration ----------------------------------------------------------------------------------------------------

enum class Role {
  tensor,              // a value that another layer makes
  optional,            // the same, may be absent
  variadic,            // the last input: one or more tensors (cat, stack)
  parameter,           // a weight that belongs to the layer: "conv.weight"
  optional_parameter,  // a weight that `bias: false`-like hyperparameters leave out
};

struct Input {
  std::string_view name, doc;
  Role role = Role::tensor;
};

struct AttrDef {
  std::string_view name;
  AttrKind kind;
  std::optional<Attr> fallback = {};  // the default (PyTorch's); without one the attribute is required
  std::string_view doc = {};
  std::vector<std::string_view> choices = {};  // a string attribute's legal words
  bool or_string = false;                      // an int list that may also be one of `choices` (padding: same)
  bool or_none = false;                        // None is legal (avg_pool's divisor_override)
};

// A hyperparameter of the text that says no attribute but the shape of a weight: conv2d's in, out, kernel_size, bias.
struct HyperDef {
  std::string_view name;
  AttrKind kind;
  std::optional<Attr> fallback = {};
  std::string_view doc = {};
};
using Hyper = std::map<std::string, Attr, std::less<>>;

struct Rule {
  std::string_view text;  // "x.shape[1] == weight.shape[1] * groups": docs and message
  bool (*holds)(const struct OpTypes&);
};

// ---- slots' arguments -----------------------------------------------------------------------------------------------

// A node seen by infer and rules: types in, attributes, and constants' contents where an input is constant.
struct OpTypes {
  const Node& node;
  std::span<const Type* const> inputs;                   // nullptr: absent
  std::span<const Tensor* const> constants;              // nullptr: not constant
  const Type& operator[](std::string_view input) const;  // CHECKs that it is present
  const Type* find(std::string_view input) const;
  const Tensor* constant(std::string_view input) const;
};

// Thrown by infer with a user's reason ("kernel 7 is larger than the padded input 5"); the caller adds code, path, types.
struct TypeFault {
  std::string code;  // E501, E502 or E503
  std::string message;
};

// A node seen by eval: contiguous inputs, outputs allocated as infer says and zeroed, each in the type that computed_as() gives.
DType computed_as(DType dtype);  // float32 for every float, else itself
struct OpValues {
  const Node& node;
  std::span<const Tensor* const> inputs;  // nullptr: absent
  std::span<Tensor> outputs;
  const Tensor& operator[](std::string_view input) const;
  const Tensor* find(std::string_view input) const;
  Tensor& out() const { return outputs[0]; }
};

// One node of somebody else's graph, before it has a meaning here: what import/ fills and the torch and onnx slots read.
struct ForeignArg {
  std::string name;  // "stride"; ONNX inputs by their schema's name
  std::variant<Attr, ValueId, std::vector<ValueId>> value;
};
struct ForeignNode {
  std::string target;  // "aten.conv2d.default", "ReduceMean"
  std::vector<ForeignArg> args;
  int version = 0;   // ONNX: the opset
  std::string path;  // module path
  Source source;
  int output_count = 1;
  std::vector<Type> output_types;  // as the foreign file states them; may be empty

  const ForeignArg* find(std::string_view name) const;
  // The value behind a name: a graph value, or absent when missing or None. Fails (E203) if it is something else.
  ValueId value(std::string_view name) const;
  std::vector<ValueId> values(std::string_view name) const;
  const Attr* attr(std::string_view name) const;  // nullptr when missing or a value
};

// ---- slots ----------------------------------------------------------------------------------------------------------

using InferFn = std::vector<Type> (*)(const OpTypes&);
using EvalFn = void (*)(OpValues&);
using ExpandFn = std::vector<ValueId> (*)(Builder&, const Node&);        // the values that replace node.outputs
using FlopsFn = double (*)(const Graph&, const Node&);                   // multiply-accumulates
using ParametersFn = std::vector<Shape> (*)(const Hyper&, const Node&);  // one per parameter input; {Dim(-1)} alone: left out
using HyperFn = Hyper (*)(const Graph&, const Node&);                    // the inverse of parameters
using TflFn = void (*)(TflLowering&, const Node&);

struct ForeignMap;
using ConvertFn = std::vector<ValueId> (*)(Builder&, const ForeignNode&);
// A foreign operator that means this one. `pairs` says "ours=theirs" for each input and attribute whose names differ;
// same names need no pair; "=theirs" names an argument that changes no result and is dropped ("=cudnn_enabled");
// "=theirs:false" one that must have that value (anything else is E203). Or `convert`, where pairs do not suffice, or a `formula`
// (ops/formula.h), with the pairs for what it does not name.
struct ForeignMap {
  std::string_view target;
  std::string_view pairs = {};
  int since = 0;
  ConvertFn convert = nullptr;
  std::string_view formula = {};
};

// What a change of layout (NCHW to NHWC) may do with the operator.
struct LayoutRule {
  enum Kind {
    any,      // element by element, with broadcasting: every input in the same layout
    spatial,  // wants channels last on its first input, gives channels last
    axis,     // any layout, when the axes named by the attribute `attr` are mapped
    fixed,    // only the source's own layout
  } kind = fixed;
  std::string_view attr = {};
};

struct TflSlot {
  std::string_view builtin = {};   // "HARD_SWISH": one operator, inputs in order; layout decides about axes
  std::string_view options = {};   // "beta=beta axis=dim fused_activation_function=#NONE": option=attribute, or =#literal
  TflFn lower = nullptr;           // where that does not suffice
  std::string_view integers = {};  // "int32 int64": those that its kernels compute, others are cast to the first that holds them
  enum Uint64 {
    refused,     // unless `integers` names it
    same_bits,   // int64's kernel gives the right bits (a sum)
    same_order,  // it does once the upper bit of each is turned (a comparison)
  } uint64 = refused;
  explicit operator bool() const { return !builtin.empty() || lower; }
};

// The same for ONNX: one operator of the default domain and its attributes by pairs, or a function.
struct OnnxSlot {
  std::string_view op = {};          // "Relu": inputs in order
  std::string_view attributes = {};  // "axis=dim": attribute=ours, or =#literal
  void (*lower)(OnnxLowering&, const Node&) = nullptr;
  explicit operator bool() const { return !op.empty() || lower; }
};

// The same for Keras: a built-in layer or operation of keras 3 and its configuration by pairs, or a function.
struct KerasSlot {
  std::string_view layer = {};   // "ReLU", "ops.numpy.Add"
  std::string_view config = {};  // "axis=dim": entry=attribute, or =#literal
  void (*lower)(KerasLowering&, const Node&) = nullptr;
  explicit operator bool() const { return !layer.empty() || lower; }
};

// How source code says the operator: text whose {holes} are the names of inputs, attributes and hyperparameters. An argument
// `name={hole?}` is left out where the hole has its default; in {hole!} a list of one number is that number. Helpers are whole
// definitions, as `ruff format` leaves them.
struct SourceSlot {
  std::string_view torch = {}, keras = {}, jax = {};  // an expression; in JAX's {parameters} stands for weight=…, bias=…
  std::string_view torch_module = {};                 // the module that people write: "nn.Linear({in}, {out}, bias={bias?})"
  std::string_view jax_init = {};                     // a dict of fresh weights, made from {key} and hyperparameters
  std::vector<std::string_view> torch_helpers = {}, keras_helpers = {}, jax_helpers = {};
};
// Changes the texts for one layer, where they depend on its uses (a block's layer has as many as the block; at least one).
using SourceFn = void (*)(SourceSlot&, const Graph&, std::span<const Node* const>);

struct QuantRule {
  enum Kind { float_only, own_range, same_scale, fixed, weighted } kind = float_only;
  double scale = 0;
  int zero_point = 0;
};

struct OpDef {
  std::string_view name, doc;  // doc's first sentence is the summary
  std::vector<Input> inputs;
  std::vector<AttrDef> attrs = {};
  std::vector<HyperDef> hyper = {};
  std::vector<Rule> rules = {};
  int outputs = 1;  // 0: as many as infer returns (split, chunk)
  InferFn infer = nullptr;
  EvalFn eval = nullptr;
  ExpandFn expand = nullptr;
  FlopsFn flops = nullptr;
  ParametersFn parameters = nullptr;
  HyperFn hyper_of = nullptr;
  LayoutRule layout = {};
  std::vector<ForeignMap> torch = {}, onnx = {}, tflite_in = {}, keras_in = {};  // read from
  TflSlot tflite = {};                                                           // written to
  OnnxSlot onnx_out = {};
  KerasSlot keras = {};
  SourceSlot source = {};
  SourceFn source_for = nullptr;  // where `source` says what is usual
  QuantRule quant = {};
  std::vector<std::string_view> examples = {};  // "conv2d(x: float32[1, 3, 8, 8], in: 3, out: 4, kernel_size: 3)"

  int attr_index(std::string_view attr) const;    // -1: none
  int input_index(std::string_view input) const;  // -1: none
};

// The operators one is allowed to use: the built-in table, and a user's own.
class OpTable {
 public:
  void add(std::span<const OpDef> defs);
  void compose(std::span<const ForeignMap> torch);  // functions of PyTorch that several operators stand for
  const OpDef* find(std::string_view name) const;
  const std::vector<const OpDef*>& all() const { return all_; }  // by name
  std::vector<std::string> names() const;
  // What a foreign target means ("aten.relu.default", "Relu", "CONV_2D", "ReLU"), or nullptr. The foreign name alone decides, but
  // for ONNX, whose operators change with the opset: the meaning of the highest `since` that is not above `version`.
  struct Foreign {
    const OpDef* op;  // nullptr: a composition
    const ForeignMap* map;
  };
  const Foreign* torch(std::string_view target) const;
  std::vector<std::string> torch_targets() const;
  std::span<const ForeignMap> compositions() const { return compositions_; }
  const Foreign* onnx(std::string_view target, int version) const;
  const Foreign* tflite(std::string_view target) const;
  const Foreign* keras(std::string_view target) const;

 private:
  std::vector<const OpDef*> all_;
  std::span<const ForeignMap> compositions_;
  std::map<std::string, const OpDef*, std::less<>> by_name_;
  using Meanings = std::map<std::string, Foreign, std::less<>>;
  Meanings torch_, tflite_, keras_;
  std::map<std::string, std::map<int, Foreign>, std::less<>> onnx_;
};

}  // namespace wherry
