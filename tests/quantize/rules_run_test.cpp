// Every row of the rules in LiteRT: float graph, integer graph, and how far they are from each other.
#include "base/text.h"
#include "lower/lower_tfl.h"
#include "ops/examples.h"
#include "passes/pipeline.h"
#include "quantize/quantize.h"
#include "quantize/rules.h"
#include "verify/metrics.h"

#include "../hand_graph.h"
#include "../net.h"
#include "litert_program.h"

#include <set>

namespace wherry {
namespace {

struct Tried {
  std::string what;
  TflGraph graph;
  std::vector<Tensor> inputs;
};

// Operators' examples that become TFLite and have a real input.
std::vector<Tried> examples() {
  std::vector<Tried> out;
  for (const OpDef* op : all_ops().all())
    for (const std::string_view example : op->examples) {
      Example e = parse_example(all_ops(), example);
      if (e.inputs.empty() || e.inputs[0].dtype() != DType::float32 || e.inputs[0].count() == 0) continue;
      Diagnostics diagnostics;
      std::vector<PassRecord> records;
      Lowered lowered = lower_to_tfl(run_passes(e.graph, all_ops(), {}, records), all_ops(), {.io = Io::nchw}, diagnostics);
      if (!diagnostics.has_errors()) out.push_back({e.text, std::move(lowered.graph), std::move(e.inputs)});
    }
  return out;
}

// Builtins that no operator's example becomes.
std::vector<Tried> by_hand() {
  std::vector<Tried> out;
  const auto add = [&](const std::string& builtin, Sizes in, Sizes result, std::vector<TflOption> options = {},
                       std::vector<Tensor> more = {}) {
    HandGraph g;
    std::vector<int> inputs = {g.input("x", in)};
    for (Tensor& tensor : more) inputs.push_back(g.constant(fmt::format("c{}", inputs.size()), std::move(tensor)));
    g.output("y", g.add(builtin, inputs, std::move(result), std::move(options)));
    out.push_back({builtin + " by hand", g.graph, seeded_tensors({{DType::float32, to_shape(in)}}, 5)});
  };
  const auto ints = [](std::vector<std::int32_t> values) {
    const auto n = static_cast<std::int64_t>(values.size());
    return Tensor::from(values, {n});
  };
  add("SQUEEZE", {1, 4, 1, 3}, {4, 3}, {{"squeeze_dims", Ints{0, 2}}});
  add("EXPAND_DIMS", {4, 3}, {4, 1, 3}, {}, {ints({1}).reshaped({})});
  add("L2_NORMALIZATION", {1, 4, 4, 8}, {1, 4, 4, 8}, {{"fused_activation_function", std::string("NONE")}});
  add("RELU", {2, 9}, {2, 9});
  add("SPACE_TO_DEPTH", {1, 4, 6, 3}, {1, 2, 3, 12}, {{"block_size", std::int64_t{2}}});
  add("DEPTH_TO_SPACE", {1, 2, 3, 12}, {1, 4, 6, 3}, {{"block_size", std::int64_t{2}}});
  add("MIRROR_PAD", {1, 4, 6, 3}, {1, 6, 8, 3}, {{"mode", std::string("REFLECT")}},
      {Tensor::from<std::int32_t>({0, 0, 1, 1, 1, 1, 0, 0}, {4, 2})});
  add("REVERSE_V2", {2, 5}, {2, 5}, {}, {ints({1})});
  add("TILE", {2, 5}, {4, 5}, {}, {ints({2, 1})});
  add("SUM", {2, 5, 7}, {2, 7}, {{"keep_dims", false}}, {ints({1})});
  add("GATHER_ND", {4, 5}, {2, 5}, {}, {Tensor::from<std::int32_t>({3, 1}, {2, 1})});
  return out;
}

struct Outcome {
  std::map<std::string, std::pair<double, std::string>> worst;  // by builtin: SQNR where it ran
  std::map<std::string, std::string> refused;                   // by builtin: what LiteRT said
};

// The builtins of the graph, quantized and run.
void run(const Tried& tried, DType activations, Outcome& outcome) {
  Diagnostics diagnostics;
  QuantizeOptions options;
  options.plan.activations = activations;
  options.correct_bias = false;
  options.rounding = Rounding::nearest;
  options.threads = 1;
  std::string failed;
  double sqnr = 300;
  try {
    const std::vector<Tensor> expected = in_litert(tried.graph, tried.inputs);
    const QuantizeResult result = quantize(tried.graph, samples_like(tried.inputs), options, litert(), {}, diagnostics);
    const std::vector<Tensor> found = in_litert(result.quantized.graph, tried.inputs);
    for (std::size_t i = 0; i < found.size(); ++i)
      if (found[i].dtype() == DType::float32) sqnr = std::min(sqnr, compare(expected[i], found[i]).sqnr_db);
  } catch (const Failure& failure) {
    const std::string& code = failure.diagnostics()[0].code;
    if (code == "E803") return;                                                    // the rules say that there is no such kernel
    if (code == "E804" && tried.what.find("causal") != std::string::npos) return;  // a mask of infinities has no integers
    failed = failure.what();
  }
  for (const TflNode& node : tried.graph.nodes) {
    if (!is_real(tried.graph, node)) continue;
    if (!failed.empty()) {
      outcome.refused.emplace(node.builtin, tried.what + ": " + failed);
      continue;
    }
    const auto [found, is_new] = outcome.worst.try_emplace(node.builtin, sqnr, tried.what);
    if (sqnr < found->second.first) found->second = {sqnr, tried.what};
  }
}

class Rules : public testing::TestWithParam<DType> {};

TEST_P(Rules, HoldInLiteRt) {
  if (!find_litert()) GTEST_SKIP() << "ai-edge-litert is not installed";
  const DType activations = GetParam();
  Outcome outcome;
  for (const auto& list : {examples(), by_hand()})
    for (const Tried& tried : list) run(tried, activations, outcome);
  const double least = activations == DType::int8 ? 18 : 40;
  for (const auto& [builtin, why] : outcome.refused) ADD_FAILURE() << builtin << ": " << why;
  for (const auto& [builtin, found] : outcome.worst) EXPECT_GE(found.first, least) << builtin << " in " << found.second;
  for (const BuiltinRule& rule : builtin_rules())
    for (const std::string& builtin : split(rule.builtins, ' '))
      if (activations == DType::int8 || rule.int16) {
        EXPECT_TRUE(outcome.worst.contains(builtin)) << builtin << " was never run";
      }
}

INSTANTIATE_TEST_SUITE_P(Activations, Rules, testing::Values(DType::int8, DType::int16),
                         [](const testing::TestParamInfo<DType>& test) { return std::string(name(test.param)); });

}  // namespace
}  // namespace wherry
