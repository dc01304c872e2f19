#include "lower/lower_tfl.h"

#include "base/text.h"
#include "ir/bind.h"
#include "ir/expand.h"
#include "lower/empty_tensors.h"
#include "lower/known_types.h"
#include "lower/lowering.h"
#include "lower/peepholes.h"
#include "passes/fold_constants.h"

#include <set>

namespace wherry {

namespace {

bool all_static(const Graph& graph, Diagnostics& diagnostics) {
  if (const std::vector<std::string> open = open_dims(graph); !open.empty()) {
    std::vector<std::string> choices;
    for (const std::string& name : open) choices.push_back(fmt::format("--dim {}=1", name));
    diagnostics.add({.code = "E504",
                     .message = fmt::format("TFLite needs a size for every dimension; without one: {}", join(open, ", ")),
                     .next = fmt::format("give each a size: {}", join(choices, " "))});
    return false;
  }
  bool known = true;
  for (const Node& node : graph.nodes)
    for (const ValueId v : node.outputs) {
      if (is_static(graph.type(v).shape)) continue;
      known = false;
      diagnostics.add({.code = "E504",
                       .message = fmt::format("TFLite needs a size for every dimension; '{}' gives {}, which depends on the data",
                                              node.op->name, text(graph.type(v))),
                       .at = node.where(),
                       .next = "leave this operator out of the exported model, or bound its result to a fixed shape"});
    }
  return known;
}

void tell_held_types(const Graph& graph, Diagnostics& diagnostics) {
  for (const std::vector<Port>* ports : {&graph.inputs, &graph.outputs})
    for (const Port& port : *ports)
      if (const DType dtype = graph.type(port.value).dtype, held = tfl_type(dtype); held != dtype)
        diagnostics.add(
            {.code = "E205",
             .message = fmt::format("'{}' is {}, which LiteRT lacks: in the .tflite it is {}", port.name, name(dtype), name(held)),
             .severity = Severity::warning});
}

// Taps name values of the graph that the caller knows; a value that only an expansion made has none there. A tensor has one
// tap, by preference the value whose name it has; where an idle move took that one away, it takes the name of the other.
void settle_taps(Lowered& lowered, const Graph& source) {
  std::map<std::string_view, ValueId> by_name;
  for (std::size_t v = 0; v < source.values.size(); ++v)
    if (!source.values[v].constant) by_name.emplace(source.values[v].name, static_cast<ValueId>(v));
  std::vector<int> chosen(lowered.graph.tensors.size(), -1);
  for (std::size_t t = 0; t < lowered.taps.size(); ++t) {
    const TflTap& tap = lowered.taps[t];
    const auto tensor = static_cast<std::size_t>(tap.tensor);
    if (by_name.contains(tap.name) && (chosen[tensor] < 0 || lowered.graph.tensors[tensor].name == tap.name))
      chosen[tensor] = static_cast<int>(t);
  }
  std::set<std::string> names;
  for (const TflTensor& tensor : lowered.graph.tensors) names.insert(tensor.name);
  std::vector<TflTap> taps;
  for (std::size_t t = 0; t < lowered.taps.size(); ++t) {
    TflTap& tap = lowered.taps[t];
    if (chosen[static_cast<std::size_t>(tap.tensor)] != static_cast<int>(t)) continue;
    tap.value = by_name.at(tap.name);
    if (names.insert(tap.name).second) lowered.graph.tensors[static_cast<std::size_t>(tap.tensor)].name = tap.name;
    taps.push_back(std::move(tap));
  }
  lowered.taps = std::move(taps);
}

}  // namespace

Order io_order(const Type& type, Io io) {
  const int rank = static_cast<int>(type.shape.size());
  const bool image = io == Io::nhwc && is_float(type.dtype) && rank == 4;
  return image ? TflLowering::channels_last_order(rank) : identity_order(rank);
}

Lowered lower_to_tfl(const Graph& source, const OpTable& ops, const TflLowerOptions& options, Diagnostics& diagnostics) {
  if (!all_static(source, diagnostics)) return {};
  tell_held_types(source, diagnostics);
  const auto has_slot = [](const OpDef& op) { return static_cast<bool>(op.tflite); };
  const Graph expanded = fold_constants(in_known_types(without_empty_tensors(expand(source, ops, has_slot), ops), ops), ops);
  Lowering lowering(expanded, diagnostics);
  for (const Port& port : expanded.inputs) lowering.input(port, io_order(expanded.type(port.value), options.io));
  for (const Node& node : expanded.nodes) lowering.lower(node);
  if (diagnostics.has_errors()) return {};
  for (const Port& port : expanded.outputs) lowering.output(port, io_order(expanded.type(port.value), options.io));
  Lowered lowered = lowering.finish();
  run_peepholes(lowered);
  settle_taps(lowered, source);
  return lowered;
}

}  // namespace wherry
