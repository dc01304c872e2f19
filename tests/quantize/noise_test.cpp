// What each rounding adds alone, against what all add together in LiteRT, and what islands chosen by it leave.
#include "quantize/target/noise.h"

#include "quantize/apply.h"
#include "quantize/rounding/reconstruct.h"
#include "quantize/target/mixed.h"
#include "quantize/weights.h"

#include "../net.h"
#include "litert_program.h"

#include <cmath>

namespace wherry {
namespace {

class Noise : public testing::Test {
 protected:
  void SetUp() override {
    if (!find_litert()) GTEST_SKIP() << "ai-edge-litert is not installed";
    Net n;
    const ValueId x = n.input("x", "float32[1, 3, 8, 8]");
    const ValueId a = n.conv("a", x, 16, 3);
    const ValueId sum = n.node("sum", "add", {n.conv("c", n.node("relu", "relu", {n.conv("b", a, 32, 1)}), 16, 1), a});
    n.output("y", n.node("flat", "flatten", {n.conv("d", sum, 8, 1)}, {{"start_dim", std::int64_t{1}}}));
    Diagnostics diagnostics;
    graph = lowered(n.graph);
    samples = {24, [type = n.graph.type(x)](std::size_t i) { return seeded_tensors({type}, 300 + i); }};
    tensors = calibrate(graph, samples, load, 2, {}, diagnostics);
    plan = make_plan(graph, tensors, {}, diagnostics);
    rounding = weigh(plan);
    judge.emplace(graph, samples, std::vector<int>{}, load, 2);
  }

  std::vector<LayerRounding> weigh(Plan& made) const {
    quantize_weights(graph, made);
    return reconstruct(graph, made, samples, load, {.early = samples.count}, {});
  }
  static double energy(const Score& score) { return std::pow(10, -score.sqnr_db / 10); }
  NoiseModel model(DType islands = DType::float32) const { return {graph, tensors, plan, rounding, *judge, islands, {}}; }
  std::vector<bool> island(bool all) const { return std::vector<bool>(graph.nodes.size(), all); }
  MixedResult reach(const AccuracyTarget& target, Diagnostics& diagnostics) const {
    return reach_accuracy(
        graph, tensors, plan, {}, DType::float32, target, *judge, [&] { return model(); }, [&](Plan& made) { weigh(made); }, {},
        diagnostics);
  }

  Loader load = litert();
  TflGraph graph;
  Samples samples;
  std::vector<Histogram> tensors;
  Plan plan;
  std::vector<LayerRounding> rounding;
  std::optional<Judge> judge;
};

TEST_F(Noise, OfAllRoundingsAddsUp) {
  const double together = energy(judge->score(apply_plan(graph, plan, {}).graph)), predicted = model().left(island(false));
  EXPECT_LT(predicted, 3 * together);
  EXPECT_GT(predicted, together / 3);
}

TEST_F(Noise, LeavesWithTheIntegers) {
  const NoiseModel noise = model();
  std::vector<bool> grown = island(false);
  double before = noise.left(grown);
  for (std::size_t n = graph.nodes.size(); n-- > 0;) {  // from the output: no new border but one moves
    grown[n] = true;
    EXPECT_LE(noise.left(grown), before * 1.5) << n;
    before = noise.left(grown);
  }
  EXPECT_EQ(noise.left(grown), 0);
}

// In int16 islands the weights stay as they are.
TEST_F(Noise, OfWeightsStaysInSixteenBits) {
  EXPECT_EQ(model(DType::int16).left(island(true)), 0) << "not modelled: it is the same in all choices";
  EXPECT_LT(model(DType::int16).left(island(false)), model().left(island(false)));
}

TEST_F(Noise, IslandsReachATargetInDecibels) {
  Diagnostics diagnostics;
  const double base = judge->score(apply_plan(graph, plan, {}).graph).sqnr_db;
  const MixedResult result = reach({AccuracyTarget::sqnr, base + 3}, diagnostics);
  EXPECT_TRUE(result.reached);
  EXPECT_GE(result.pareto[result.chosen].score.sqnr_db, base + 3);
  EXPECT_LT(result.pareto[result.chosen].outside, 1);
  EXPECT_TRUE(diagnostics.all().empty());
}

// Some of many random answers nearly tie, which the samples at hand need not show.
TEST_F(Noise, SaysThatATargetIsReachedByLuck) {
  const Score base = judge->score(apply_plan(graph, plan, {}).graph);
  ASSERT_LT(base.expected, base.agreement) << "seeds without luck";
  Diagnostics diagnostics;
  const MixedResult result = reach({AccuracyTarget::agreement, base.agreement}, diagnostics);
  EXPECT_TRUE(result.reached);
  EXPECT_GE(result.pareto[result.chosen].score.agreement, base.agreement);
  ASSERT_EQ(diagnostics.all().size(), 1U);
  EXPECT_EQ(diagnostics.all()[0].code, "E813");
  EXPECT_EQ(diagnostics.all()[0].severity, Severity::warning);
}

}  // namespace
}  // namespace wherry
