#include "lower/keras_lowering.h"

#include "lower/slot_rows.h"
#include "ops/keras_steps.h"

#include <algorithm>
#include <set>

namespace wherry {

namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

// "ops.numpy.GetItem" → "getitem".
std::string scratch_word(std::string_view layer) {
  std::string word(layer.substr(layer.rfind('.') == std::string_view::npos ? 0 : layer.rfind('.') + 1));
  std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return word;
}

}  // namespace

ToKeras::ToKeras(const Graph& g, bool batched, KerasForm form, Diagnostics& diagnostics)
    : OrderedValues(g), form_(form), diagnostics_(diagnostics) {
  out_.graph.name = g.name;
  out_.graph.batched = batched;
}

std::vector<int> ToKeras::append(KerasNode node, const std::vector<Type>& outs) {
  const int index = static_cast<int>(out_.graph.nodes.size());
  for (std::size_t i = 0; i < outs.size(); ++i) {
    node.outputs.push_back(static_cast<int>(out_.graph.tensors.size()));
    out_.graph.tensors.push_back({outs[i], {}, index, static_cast<int>(i), ""});
    sizes_.push_back(sizes(outs[i].shape));
  }
  out_.graph.nodes.push_back(std::move(node));
  return out_.graph.nodes.back().outputs;
}

void ToKeras::input(const Port& port, Order order) {
  const Type type{graph.type(port.value).dtype, to_shape(ordered(sizes(graph.type(port.value).shape), order))};
  const int id = append({.layer = "InputLayer", .name = port.name, .path = port.name}, {type})[0];
  out_.graph.inputs.push_back({port.name, id});
  give(port.value, id, std::move(order));
}

// An output is made by a layer of its own: what a model only passes through gets one.
void ToKeras::output(const Port& port, const Order& order) {
  int id = in_order(port.value, order);
  const KerasNode* maker = producer(id);
  if (!maker || maker->layer == "InputLayer") {
    const Type type = tensor(id).type;
    if (maker && !as_code())
      id = append({.layer = "Identity", .name = port.name, .args = {KerasRef{id}}, .path = port.name}, {type})[0];
    else if (!maker)
      refuse_output(port);
  }
  out_.graph.outputs.push_back({port.name, id});
  out_.output_orders.push_back(order);
}

void ToKeras::refuse_output(const Port& port) {
  diagnostics_.add({.code = "E202",
                    .message = fmt::format("output '{}' is a constant, which no Keras layer gives", port.name),
                    .next = "leave this output out of the model"});
}

void ToKeras::lower(const Node& node) {
  current_ = &node;
  try {
    if (node.op->keras.lower)
      node.op->keras.lower(*this, node);
    else if (!node.op->keras.layer.empty())
      lower_by_layout(*this, node);
    else
      refuse(node, "the operator has no keras slot and no expansion");
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
  if (as_code()) forget_orders();
}

LoweredKeras ToKeras::finish() {
  std::set<std::string> taken;
  for (const bool wanted : {true, false})  // names of source values come first
    for (std::size_t i = 0; i < out_.graph.nodes.size(); ++i) {
      KerasNode& node = out_.graph.nodes[i];
      if (node.named != wanted) continue;
      const std::string name = keras_name(node.name);
      node.name = name;
      for (int n = 1; !taken.insert(node.name).second; ++n) node.name = fmt::format("{}_{}", name, n);
      for (const int id : node.outputs) out_.graph.tensors[at(id)].name = node.name;
    }
  for (ValueId v = 0; v < static_cast<ValueId>(graph.values.size()); ++v)
    if (given(v) && !graph.is_constant(v)) out_.graph.values[graph[v].name] = as_is(v);
  for (std::size_t i = 0; i < out_.graph.outputs.size(); ++i)
    out_.port_orders[out_.graph.tensors[at(out_.graph.outputs[i].value)].name] = out_.output_orders[i];
  return std::move(out_);
}

int ToKeras::constant(Tensor values, std::string name) {
  out_.graph.tensors.push_back({values.type(), values, -1, 0, std::move(name)});
  sizes_.push_back(values.sizes());
  return static_cast<int>(out_.graph.tensors.size()) - 1;
}

int ToKeras::add(std::string_view layer, std::vector<KerasValue> args, const Type& out, std::vector<KerasEntry> config,
                 std::vector<KerasWeight> weights) {
  KerasNode node{.layer = std::string(layer),
                 .name = fmt::format("{}/{}", current_ ? current_->path : graph.name, scratch_word(layer)),
                 .config = std::move(config),
                 .args = std::move(args),
                 .weights = std::move(weights),
                 .outputs = {},
                 .path = current_ ? current_->path : "",
                 .source = current_ ? current_->source : Source{}};
  return append(std::move(node), {out})[0];
}

std::vector<int> ToKeras::add_multi(std::string_view layer, std::vector<KerasValue> args, const std::vector<Type>& outs,
                                    std::vector<KerasEntry> config) {
  KerasNode node{.layer = std::string(layer),
                 .name = fmt::format("{}/{}", current_ ? current_->path : graph.name, scratch_word(layer)),
                 .config = std::move(config),
                 .args = std::move(args),
                 .weights = {},
                 .outputs = {},
                 .path = current_ ? current_->path : "",
                 .source = current_ ? current_->source : Source{}};
  return append(std::move(node), outs);
}

const KerasNode* ToKeras::producer(int id) {
  const int index = tensor(id).node;
  return index < 0 ? nullptr : &out_.graph.nodes[at(index)];
}

void ToKeras::touch(int axis) {
  if (axis == 0 && out_.graph.batched) throw BatchIsNeeded{};
}

KerasWeight ToKeras::weight(const Node& node, std::string_view input, std::string_view name, std::vector<int> axes, Sizes view) {
  const ValueId id = node.inputs[at(node.op->input_index(input))];
  if (!graph.is_constant(id)) refuse(node, fmt::format("its {} is computed, not a constant", input));
  const Tensor& source = *graph[id].constant;
  KerasWeight weight{std::string(name), source, graph[id].name, view.empty() ? source.sizes() : std::move(view), std::move(axes)};
  if (weight.view != source.sizes()) weight.value = source.reshaped(weight.view);
  if (weight.axes.empty()) weight.axes = identity_order(static_cast<int>(weight.view.size()));
  weight.value = weight.value.permuted(weight.axes);
  return weight;
}

// Of a lower rank, axis 0 is no batch any more once it meets a higher one.
std::vector<int> ToKeras::same_order(const std::vector<ValueId>& values, Order& common) {
  int most = 0;
  for (const ValueId v : values)
    if (v != absent) most = std::max(most, rank(v));
  for (const ValueId v : values)
    if (v != absent && !graph.is_constant(v) && rank(v) < most) touch(0);
  return OrderedValues::same_order(values, common);
}

int ToKeras::transposed(int from, const std::vector<int>& axes, const Sizes& result, const std::string&) {
  return keras::transpose(*this, from, axes, {tensor(from).type.dtype, to_shape(result)});
}

int ToKeras::reshaped(int from, const Sizes& result, const std::string&) {
  return keras::reshape(*this, from, {tensor(from).type.dtype, to_shape(result)});
}

std::string ToKeras::name_of(int id) const {
  const int node = out_.graph.tensors[at(id)].node;
  return node < 0 ? out_.graph.tensors[at(id)].name : out_.graph.nodes[at(node)].name;
}

void ToKeras::give(ValueId output, int id, Order order) {
  const Value& value = graph[output];
  const Sizes wanted = ordered(sizes(value.type.shape), order);
  const KerasTensor given = tensor(id);
  WHERRY_CHECK(sizes_[at(id)] == wanted, "{} of {} is given a tensor {}, expected {}", value.name, text(value.type), text(given.type),
               text(Type{value.type.dtype, to_shape(wanted)}));
  if (batched() && (order.empty() || order[0] != 0 || wanted[0] != sizes_[0][0])) throw BatchIsNeeded{};
  if (given.node >= 0 && !out_.graph.nodes[at(given.node)].named) {
    KerasNode& node = out_.graph.nodes[at(given.node)];
    node.name = node.outputs.size() == 1 && !node.is_block() ? value.name : node.path;
    node.named = true;
    if (node.outputs.size() == 1) out_.taps.push_back({value.name, id, order});
  }
  place(output, id, std::move(order));
}

void ToKeras::refuse(const Node& node, const std::string& reason) {
  diagnostics_.add(refusal(graph, node, "Keras", "keras", reason));
  throw Refused{};
}

void lower_by_layout(KerasLowering& lower, const Node& node) {
  const LaidOut laid = lay_out(lower, node);
  const KerasSlot& slot = node.op->keras;
  std::vector<KerasEntry> config;
  for (SlotPair& pair : slot_pairs(node, slot.config, laid.of_first)) {
    if (pair.name == "axis" && std::holds_alternative<std::int64_t>(pair.value))
      lower.touch(static_cast<int>(std::get<std::int64_t>(pair.value)));
    config.push_back({std::move(pair.name), std::move(pair.value), pair.attribute.empty() ? "" : "$" + pair.attribute});
  }
  std::vector<KerasValue> args;
  for (const int id : laid.inputs)
    if (id >= 0) args.push_back(KerasRef{id});
  std::vector<int> made;
  if (args.size() == 2 && config.empty() && slot.layer.find('.') == std::string_view::npos)
    made = {keras::binary(lower, std::string(slot.layer), laid.inputs[0], laid.inputs[1], laid.outs[0])};
  else
    made = lower.add_multi(slot.layer, std::move(args), laid.outs, std::move(config));
  give_laid_out(lower, node, made, laid);
}

}  // namespace wherry
