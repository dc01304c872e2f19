#include "lower/lower_keras.h"

#include "base/text.h"
#include "ir/bind.h"
#include "ir/expand.h"
#include "lower/keras_lowering.h"
#include "passes/fold_constants.h"
#include "passes/name_channel_shuffle.h"

namespace wherry {

namespace {

// A size is missing for each of these; the batch alone may stay open.
bool all_static(const Graph& graph, Diagnostics& diagnostics) {
  std::vector<std::string> choices;
  for (const std::string& name : open_dims(graph)) choices.push_back(fmt::format("--dim {}=1", name));
  if (choices.empty()) return true;
  diagnostics.add(
      {.code = "E504",
       .message = fmt::format("a Keras layer needs a size for every axis but the batch; without one: {}", join(open_dims(graph), ", ")),
       .next = fmt::format("give each a size: {}", join(choices, " "))});
  return false;
}

// A symbol that is nothing but the first axis of inputs stands for the batch: it is 1 here and open in the file.
Graph with_batch_of_one(const Graph& graph) {
  std::map<std::string, std::int64_t> batch;
  for (const Port& port : graph.inputs) {
    const Shape& shape = graph.type(port.value).shape;
    if (!shape.empty() && !shape[0].known() && is_identifier(shape[0].expression())) batch[shape[0].expression()] = 1;
  }
  for (const Port& port : graph.inputs) {
    const Shape& shape = graph.type(port.value).shape;
    for (std::size_t i = 1; i < shape.size(); ++i)
      if (!shape[i].known()) batch.erase(shape[i].expression());
  }
  return batch.empty() ? graph : bind_dims(graph, batch);
}

bool inputs_share_a_batch(const Graph& graph) {
  if (graph.inputs.empty()) return false;
  for (const Port& port : graph.inputs) {
    const Shape& shape = graph.type(port.value).shape;
    if (shape.size() < 2 || shape[0] != graph.type(graph.inputs[0].value).shape[0]) return false;
  }
  return true;
}

LoweredKeras lower_once(const Graph& graph, const KerasOptions& options, bool batched, Diagnostics& diagnostics) {
  ToKeras lowering(graph, batched, options.form, diagnostics);
  for (const Port& port : graph.inputs) lowering.input(port, io_order(graph.type(port.value), options.io));
  for (const Node& node : graph.nodes) lowering.lower(node);
  if (diagnostics.has_errors()) return {};
  for (const Port& port : graph.outputs) lowering.output(port, io_order(graph.type(port.value), options.io));
  if (diagnostics.has_errors()) return {};
  LoweredKeras lowered = lowering.finish();
  for (const Port& port : graph.inputs) lowered.port_orders[port.name] = io_order(graph.type(port.value), options.io);
  return lowered;
}

}  // namespace

Graph sized_for_keras(const Graph& graph, Diagnostics& diagnostics) {
  Graph sized = with_batch_of_one(graph);
  all_static(sized, diagnostics);
  return sized;
}

LoweredKeras lower_to_keras(const Graph& given, const OpTable& ops, const KerasOptions& options, Diagnostics& diagnostics) {
  const Graph source = with_batch_of_one(given);
  if (!all_static(source, diagnostics)) return {};
  const auto enough = [](const OpDef& op) { return static_cast<bool>(op.keras); };
  const Graph graph = without_dead_code(fold_constants(expand(name_channel_shuffle(source, ops), ops, enough), ops));
  if (options.batch_open && inputs_share_a_batch(graph)) {
    Diagnostics first;
    try {
      LoweredKeras lowered = lower_once(graph, options, true, first);
      for (const Diagnostic& d : first.all()) diagnostics.add(d);
      return lowered;
    } catch (const BatchIsNeeded&) {
    }
  }
  return lower_once(graph, options, false, diagnostics);
}

}  // namespace wherry
