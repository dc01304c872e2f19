#include "lower/lowering.h"

#include "base/check.h"
#include "lower/known_types.h"
#include "lower/slot_rows.h"

#include <algorithm>
#include <unordered_set>

namespace wherry {

namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

Tensor ints32(const std::vector<int>& values) {
  return Tensor::from(std::vector<std::int32_t>(values.begin(), values.end()), {static_cast<std::int64_t>(values.size())});
}

}  // namespace

Lowering::Lowering(const Graph& g, Diagnostics& diagnostics) : OrderedValues(g), diagnostics_(diagnostics) { out_.graph.name = g.name; }

void Lowering::input(const Port& port, Order order) {
  const Value& value = graph[port.value];
  TflTensor tensor{
      .name = value.name, .dtype = tfl_type(value.type.dtype), .sizes = ordered(sizes(value.type.shape), order), .constant = {}};
  out_.graph.tensors.push_back(std::move(tensor));
  producers_.push_back(-1), named_.push_back(false);
  const int id = static_cast<int>(out_.graph.tensors.size()) - 1;
  out_.graph.inputs.push_back({port.name, id});
  give(port.value, id, std::move(order));
}

void Lowering::output(const Port& port, const Order& order) {
  int id = in_order(port.value, order);
  const auto is_port = [&](const Port& p) { return p.value == id; };
  const TflGraph& g = out_.graph;
  if (std::any_of(g.inputs.begin(), g.inputs.end(), is_port) || std::any_of(g.outputs.begin(), g.outputs.end(), is_port)) {
    id = reshaped(id, Sizes(tensor(id).sizes),
                  tensor(id).name + "/copy");  // LiteRT wants each output to be a tensor of its own, made by a node
  }
  out_.graph.outputs.push_back({port.name, id});
}

void Lowering::lower(const Node& node) {
  current_ = &node;
  try {
    for (const ValueId v : node.inputs)
      if (v != absent && !knows_integers(node.op->tflite, graph.type(v).dtype) && !graph.type(v).shape.empty())
        refuse(node, fmt::format("TFLite computes {}, not {}", node.op->tflite.integers, name(graph.type(v).dtype)));
    if (node.op->tflite.lower)
      node.op->tflite.lower(*this, node);
    else if (!node.op->tflite.builtin.empty())
      lower_by_layout(*this, node);
    else
      refuse(node, "the operator has no tflite slot and no expansion");
  } catch (const Refused&) {
  } catch (const Failure& failure) {
    for (const Diagnostic& d : failure.diagnostics()) diagnostics_.add(d);
  }
  for (const ValueId v : node.outputs) {
    if (given(v)) continue;
    WHERRY_CHECK(diagnostics_.has_errors(), "{} did not say what stands for {}", node.op->name, graph[v].name);
    give_source_order(v, add("(refused)", {}, graph.type(v)));
  }
  current_ = nullptr;
}

Lowered Lowering::finish() {
  std::unordered_set<std::string> taken;
  const auto claim = [&](TflTensor& tensor) {
    const std::string wanted = tensor.name;
    for (int i = 1; !taken.insert(tensor.name).second; ++i) tensor.name = fmt::format("{}_{}", wanted, i);
  };
  for (std::size_t i = 0; i < named_.size(); ++i)
    if (named_[i]) claim(out_.graph.tensors[i]);
  for (std::size_t i = 0; i < named_.size(); ++i)
    if (!named_[i]) claim(out_.graph.tensors[i]);
  return std::move(out_);
}

int Lowering::transposed(int from, const std::vector<int>& axes, const Sizes& result, const std::string& name) {
  const int id = add("TRANSPOSE", {from, constant(ints32(axes), name_of(from) + "/perm")}, {tensor(from).dtype, to_shape(result)});
  out_.graph.tensors[at(id)].name = name;
  return id;
}

int Lowering::reshaped(int from, const Sizes& to, const std::string& name) {
  const std::vector<int> shape(to.begin(), to.end());
  const int id = add("RESHAPE", {from, constant(ints32(shape), name + "/shape")}, {tensor(from).dtype, to_shape(to)}, {{"new_shape", to}});
  out_.graph.tensors[at(id)].name = name;
  return id;
}

int Lowering::constant(Tensor values, std::string name) {
  if (name.empty()) name = scratch_name("constant");
  if (const DType held = tfl_type(values.dtype()); held != values.dtype()) values = values.cast(held);
  TflTensor tensor{.name = std::move(name), .dtype = values.dtype(), .sizes = values.sizes(), .constant = std::move(values)};
  out_.graph.tensors.push_back(std::move(tensor));
  producers_.push_back(-1), named_.push_back(false);
  return static_cast<int>(out_.graph.tensors.size()) - 1;
}

std::string Lowering::scratch_name(std::string_view what) const {
  return fmt::format("{}/{}", current_ ? current_->path : graph.name, what);
}

int Lowering::add(std::string_view builtin, std::vector<int> inputs, const Type& out, std::vector<TflOption> options) {
  return add_multi(builtin, std::move(inputs), {out}, std::move(options))[0];
}

std::vector<int> Lowering::add_multi(std::string_view builtin, std::vector<int> inputs, const std::vector<Type>& outs,
                                     std::vector<TflOption> options) {
  std::string what(builtin);
  std::transform(what.begin(), what.end(), what.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  TflNode node{.builtin = std::string(builtin),
               .inputs = std::move(inputs),
               .outputs = {},
               .options = std::move(options),
               .path = current_ ? current_->path : "",
               .source = current_ ? current_->source : Source{}};
  for (const Type& type : outs) {
    node.outputs.push_back(static_cast<int>(out_.graph.tensors.size()));
    out_.graph.tensors.push_back({.name = scratch_name(what), .dtype = tfl_type(type.dtype), .sizes = sizes(type.shape), .constant = {}});
    producers_.push_back(static_cast<int>(out_.graph.nodes.size())), named_.push_back(false);
  }
  std::vector<int> ids = node.outputs;
  out_.graph.nodes.push_back(std::move(node));
  return ids;
}

const TflNode* Lowering::producer(int tensor) {
  const int index = producers_[at(tensor)];
  return index < 0 ? nullptr : &out_.graph.nodes[at(index)];
}

void Lowering::give(ValueId output, int id, Order order) {
  const Value& value = graph[output];
  const Sizes wanted = ordered(sizes(value.type.shape), order);
  TflTensor& given = out_.graph.tensors[at(id)];
  WHERRY_CHECK(given.sizes == wanted && given.dtype == tfl_type(value.type.dtype), "{} of {} is given a tensor {}, expected {}", value.name,
               text(value.type), text(Type{given.dtype, to_shape(given.sizes)}), text(Type{value.type.dtype, to_shape(wanted)}));
  if (!named_[at(id)] && !given.constant) {  // a second value that this tensor stands for is the first in another order
    given.name = value.name, named_[at(id)] = true;
    out_.taps.push_back({output, value.name, id, order});
  }
  place(output, id, std::move(order));
}

void Lowering::refuse(const Node& node, const std::string& reason) {
  diagnostics_.add(refusal(graph, node, "TFLite", "tflite", reason));
  throw Refused{};
}

}  // namespace wherry
