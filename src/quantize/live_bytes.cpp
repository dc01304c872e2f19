#include "quantize/live_bytes.h"

#include "quantize/rules.h"

namespace wherry {

std::vector<double> live_bytes(const TflGraph& graph) {
  std::vector<std::size_t> last(graph.tensors.size(), 0);
  for (std::size_t n = 0; n < graph.nodes.size(); ++n)
    for (const int id : graph.nodes[n].inputs)
      if (id >= 0) last[static_cast<std::size_t>(id)] = n;
  const auto bytes_of = [&](int id) { return static_cast<double>(element_count(tensor_at(graph, id)->sizes)) * 5; };

  std::vector<double> out(graph.nodes.size(), 0), ending(graph.nodes.size(), 0);
  double live = 0;
  const auto begin = [&](int id) {
    live += bytes_of(id);
    ending[last[static_cast<std::size_t>(id)]] += bytes_of(id);
  };
  if (!out.empty())
    for (const Port& port : graph.inputs) begin(port.value);
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    for (const int id : graph.nodes[n].outputs) begin(id);
    out[n] = live;
    live -= ending[n];
  }
  for (std::size_t n = out.size(); n-- > 1;) out[n - 1] = std::max(out[n - 1], out[n]);
  return out;
}

std::size_t samples_within(const TflGraph& graph, double bytes) {
  const std::vector<double> live = live_bytes(graph);
  return live.empty() ? 8 : static_cast<std::size_t>(std::max(bytes / std::max(live[0], 1.0), 8.0));
}

}  // namespace wherry
