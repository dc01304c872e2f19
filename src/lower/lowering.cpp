#include "lower/lowering.h"

#include "base/check.h"
#include "base/text.h"

#include <algorithm>
#include <unordered_set>

namespace wherry {

namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

Tensor ints32(const std::vector<int>& values) {
  return Tensor::from(std::vector<std::int32_t>(values.begin(), values.end()), {static_cast<std::int64_t>(values.size())});
}

std::string input_types(const Graph& graph, const Node& node) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < node.inputs.size(); ++i)
    if (node.inputs[i] != absent)
      parts.push_back(
          fmt::format("{}: {}", node.op->inputs[std::min(i, node.op->inputs.size() - 1)].name, text(graph.type(node.inputs[i]))));
  return join(parts, ", ");
}

}  // namespace

Lowering::Lowering(const Graph& g, Diagnostics& diagnostics) : TflLowering(g), diagnostics_(diagnostics), states_(g.values.size()) {
  out_.graph.name = g.name;
}

void Lowering::input(const Port& port, Order order) {
  const Value& value = graph[port.value];
  TflTensor tensor{.name = value.name, .dtype = value.type.dtype, .sizes = ordered(sizes(value.type.shape), order), .constant = {}};
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
    id = reshape(id, Sizes(tensor(id).sizes),
                 tensor(id).name + "/copy");  // LiteRT wants each output to be a tensor of its own, made by a node
  }
  out_.graph.outputs.push_back({port.name, id});
}

void Lowering::lower(const Node& node) {
  current_ = &node;
  try {
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
    if (states_[at(v)].tensor >= 0) continue;
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

Lowering::State& Lowering::state(ValueId value) {
  WHERRY_CHECK(value != absent, "the tensor of an absent input");
  State& s = states_[at(value)];
  if (s.tensor >= 0) return s;
  const Value& v = graph[value];
  WHERRY_CHECK(v.constant, "{} is taken before it is made", v.name);
  s.order = identity_order(rank(value));
  s.tensor = constant(*v.constant, v.name);
  return s;
}

int Lowering::source_order(ValueId value) { return in_order(value, identity_order(rank(value))); }
int Lowering::channels_last(ValueId value) { return in_order(value, channels_last_order(rank(value))); }
int Lowering::as_is(ValueId value) { return state(value).tensor; }

const Order& Lowering::order(ValueId value) {
  State& s = states_[at(value)];
  if (s.tensor < 0 && s.order.empty()) s.order = identity_order(rank(value));  // a constant that nobody has asked for yet
  return s.order;
}

int Lowering::in_order(ValueId value, const Order& wanted) {
  WHERRY_CHECK(static_cast<int>(wanted.size()) == rank(value), "order of {} axes for {}", wanted.size(), text(graph.type(value)));
  State& s = states_[at(value)];
  const auto made = s.in_orders.find(wanted);
  if (made != s.in_orders.end()) return made->second;
  int id = -1;
  const Value& v = graph[value];
  if (v.constant) {
    id = is_identity(wanted) ? state(value).tensor : constant(v.constant->permuted(inverse(wanted)), v.name);
  } else {
    id = arrange(state(value).tensor, tensor(s.tensor).sizes, s.order, wanted);
  }
  s.in_orders.emplace(wanted, id);
  return id;
}

int Lowering::arrange(int from_tensor, const Sizes& now, const Order& from, const Order& to) {
  const Order perm = transposition(from, to);
  if (is_identity(perm)) return from_tensor;
  Sizes result(now.size());
  for (std::size_t j = 0; j < perm.size(); ++j) result[j] = now[at(perm[j])];
  const std::string name = tensor(from_tensor).name;
  if (only_ones_move(now, perm)) return reshape(from_tensor, result, name + "/reshape");
  const int id = add("TRANSPOSE", {from_tensor, constant(ints32(perm), name + "/perm")}, {tensor(from_tensor).dtype, to_shape(result)});
  out_.graph.tensors[at(id)].name = name + "/transpose";
  return id;
}

int Lowering::reshape(int from_tensor, const Sizes& to, const std::string& name) {
  const std::vector<int> shape(to.begin(), to.end());
  const int id = add("RESHAPE", {from_tensor, constant(ints32(shape), name + "/shape")}, {tensor(from_tensor).dtype, to_shape(to)},
                     {{"new_shape", to}});
  out_.graph.tensors[at(id)].name = name;
  return id;
}

std::vector<int> Lowering::same_order(const std::vector<ValueId>& values, Order& common) {
  int out_rank = 0;
  for (const ValueId v : values)
    if (v != absent) out_rank = std::max(out_rank, rank(v));
  const Order last = channels_last_order(out_rank);
  common = identity_order(out_rank);
  bool found = false;
  std::optional<DType> dtype;
  for (const ValueId v : values) {
    if (v == absent) continue;
    if (!dtype && !(graph.is_constant(v) && rank(v) == 0)) dtype = graph.type(v).dtype;
    if (graph.is_constant(v) || rank(v) < out_rank) continue;
    if (!found || (common != last && order(v) == last)) common = order(v);
    found = true;
  }
  std::vector<int> result;
  for (const ValueId v : values) {
    if (v == absent)
      result.push_back(-1);
    else if (graph.is_constant(v))
      result.push_back(broadcast_constant(v, common, dtype.value_or(graph.type(v).dtype)));
    else if (rank(v) < out_rank)
      result.push_back(with_leading_ones(v, common));
    else
      result.push_back(in_order(v, common));
  }
  return result;
}

// A lower rank broadcasts by itself in the source's order; in another it gets its leading ones and is brought there.
int Lowering::with_leading_ones(ValueId value, const Order& wanted) {
  const int plain = source_order(value);
  if (is_identity(wanted) || tensor(plain).sizes.empty()) return plain;
  Sizes full = tensor(plain).sizes;
  full.insert(full.begin(), wanted.size() - full.size(), 1);
  const Order now = identity_order(static_cast<int>(full.size()));
  const Order perm = transposition(now, wanted);
  const std::string name = tensor(plain).name + "/reshape";
  if (only_ones_move(full, perm)) return reshape(plain, ordered(full, wanted), name);  // one RESHAPE does both
  const int wide = reshape(plain, full, name);
  return arrange(wide, full, now, wanted);
}

int Lowering::broadcast_constant(ValueId value, const Order& wanted, DType dtype) {
  const Tensor& source = *graph[value].constant;
  if (source.rank() == 0 && source.dtype() != dtype) return constant(source.cast(dtype), graph[value].name);
  if (source.rank() == static_cast<int>(wanted.size())) return in_order(value, wanted);
  if (source.rank() == 0 || is_identity(wanted)) return source_order(value);
  Sizes full = source.sizes();
  full.insert(full.begin(), wanted.size() - full.size(), 1);
  return constant(source.reshaped(full).permuted(inverse(wanted)), graph[value].name);
}

int Lowering::constant(Tensor values, std::string name) {
  if (name.empty()) name = scratch_name("constant");
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
    out_.graph.tensors.push_back({.name = scratch_name(what), .dtype = type.dtype, .sizes = sizes(type.shape), .constant = {}});
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

void Lowering::give_source_order(ValueId output, int id) { give(output, id, identity_order(rank(output))); }
void Lowering::give_channels_last(ValueId output, int id) { give(output, id, channels_last_order(rank(output))); }

void Lowering::give(ValueId output, int id, Order order) {
  const Value& value = graph[output];
  const Sizes wanted = ordered(sizes(value.type.shape), order);
  TflTensor& given = out_.graph.tensors[at(id)];
  WHERRY_CHECK(given.sizes == wanted && given.dtype == value.type.dtype, "{} of {} is given a tensor {}, expected {}", value.name,
               text(value.type), text(Type{given.dtype, to_shape(given.sizes)}), text(Type{value.type.dtype, to_shape(wanted)}));
  if (!named_[at(id)] && !given.constant) {  // a second value that this tensor stands for is the first in another order
    given.name = value.name, named_[at(id)] = true;
    out_.taps.push_back({output, value.name, id, order});
  }
  State& s = states_[at(output)];
  s.tensor = id;
  s.order = order;
  s.in_orders[std::move(order)] = id;
}

void Lowering::refuse(const Node& node, const std::string& reason) {
  diagnostics_.add(
      {.code = "E202",
       .message = fmt::format("'{}' cannot become TFLite: {}", node.op->name, reason),
       .at = node.where(),
       .in = input_types(graph, node),
       .next = fmt::format("'wherry ops {}' shows what the operator is for each target; docs/adding-an-operator.md shows how to give it "
                           "a tflite slot or an expansion",
                           node.op->name)});
  throw Refused{};
}

}  // namespace wherry
