#include "passes/pipeline.h"

#include "base/text.h"
#include "passes/expand_vanishing.h"
#include "passes/fold_batchnorm.h"
#include "passes/fold_channel_shuffle.h"
#include "passes/fold_constants.h"
#include "passes/name_channel_shuffle.h"
#include "passes/simplify.h"

#include <algorithm>
#include <array>
#include <chrono>

namespace wherry {

namespace {

Graph drop_dead_code(const Graph& graph, const OpTable&) { return without_dead_code(graph); }

struct Pass {
  std::string_view name;
  Graph (*run)(const Graph&, const OpTable&);
};

// The order; each header says why its pass stands where it does.
constexpr std::array passes = {
    Pass{"expand_vanishing", expand_vanishing},
    Pass{"fold_constants", fold_constants},
    Pass{"name_channel_shuffle", name_channel_shuffle},
    Pass{"fold_channel_shuffle", fold_channel_shuffle},
    Pass{"fold_batchnorm", fold_batchnorm},
    Pass{"simplify", simplify},
    Pass{"drop_dead_code", drop_dead_code},
};

void require_known(const std::string& name) {
  const std::vector<std::string> names = pass_names();
  if (name.empty() || std::find(names.begin(), names.end(), name) != names.end()) return;
  fail({.code = "E901",
        .message = fmt::format("there is no pass '{}'{}", name, did_you_mean(name, names)),
        .next = fmt::format("the passes: {}", join(names, ", "))});
}

bool same_nodes(const Graph& a, const Graph& b) {
  return std::equal(a.nodes.begin(), a.nodes.end(), b.nodes.begin(), b.nodes.end(), [](const Node& x, const Node& y) {
    return x.op == y.op && x.path == y.path && x.inputs == y.inputs && x.outputs == y.outputs && x.attrs == y.attrs;
  });
}

}  // namespace

std::vector<std::string> pass_names() {
  std::vector<std::string> names;
  for (const Pass& pass : passes) names.emplace_back(pass.name);
  return names;
}

Graph run_passes(Graph graph, const OpTable& ops, const PassOptions& options, std::vector<PassRecord>& records) {
  using Clock = std::chrono::steady_clock;
  for (const std::string& name : options.skip) require_known(name);
  require_known(options.stop_after);
  for (const Pass& pass : passes) {
    if (std::find(options.skip.begin(), options.skip.end(), pass.name) == options.skip.end()) {
      const Clock::time_point begin = Clock::now();
      Graph result = pass.run(graph, ops);
      verify(result);
      const std::chrono::duration<double> took = Clock::now() - begin;
      records.push_back(
          {std::string(pass.name), took.count(), static_cast<int>(graph.nodes.size()), static_cast<int>(result.nodes.size())});
      if (options.after_each && !same_nodes(graph, result)) options.after_each(records.back(), graph, result);
      graph = std::move(result);
    }
    if (pass.name == options.stop_after) break;
  }
  return graph;
}

}  // namespace wherry
