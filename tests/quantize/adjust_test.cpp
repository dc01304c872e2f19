// What is done to weights and biases around rounding: channels moved, samples that join late, the answer fitted. In LiteRT.
#include "quantize/adjust/channel_maps.h"
#include "quantize/adjust/fit_answer.h"
#include "quantize/apply.h"
#include "quantize/calibrate/calibrate.h"
#include "quantize/step_run.h"
#include "quantize/weights.h"

#include "../hand_graph.h"
#include "../net.h"
#include "litert_program.h"

#include <cmath>
#include <random>

namespace wherry {
namespace {

class Adjust : public testing::Test {
 protected:
  void SetUp() override {
    if (!find_litert()) GTEST_SKIP() << "ai-edge-litert is not installed";
  }
};

TEST_F(Adjust, MovedChannelsComputeTheSame) {
  Net n;
  const ValueId x = n.input("x", "float32[1, 3, 12, 12]");
  const ValueId a = n.conv("a", x, 8, 1), b = n.node("relu", "relu", {n.conv("b", a, 8, 1)});
  const ValueId sum = n.node("sum", "add", {n.conv("c", b, 8, 1), a});
  const ValueId padded = n.conv("padded", n.conv("d", sum, 8, 1), 8, 3, {{"padding", Ints{1, 1}}});
  n.output("y", n.conv("e", n.node("mean", "mean", {padded}, {{"dim", Ints{2, 3}}, {"keepdim", true}}), 4, 1));
  const TflGraph graph = lowered(n.graph);
  std::set<std::string> moved;
  for (const TflNode& node : graph.nodes)
    if (std::ranges::count(movable_tensors(graph), node.outputs[0])) moved.insert(node.path);
  // Not b (cut by its activation), d (its reader pads) or e (the output).
  EXPECT_EQ(moved, (std::set<std::string>{"a", "c", "padded"}));

  const std::vector<Tensor> inputs = seeded_tensors({n.graph.type(x)}, 3);
  const std::vector<int> movable = movable_tensors(graph);
  const auto ranges = channel_ranges(graph, {movable.begin(), movable.end()}, samples_like(inputs), litert(), 1);
  const Offsets offsets = centring_offsets(graph, ranges);
  ASSERT_EQ(offsets.size(), 5U) << "three layers, their sum, the mean";
  float most = 0;
  for (const auto& [id, channels] : offsets)
    for (const float o : channels) most = std::max(most, std::abs(o));
  EXPECT_GT(most, 0.01F) << "nothing was moved";
  EXPECT_LE(difference(in_litert(graph, inputs), in_litert(centred(graph, offsets), inputs)), 1e-5);
  Factors factors;
  for (const std::vector<int>& set : scalable_sets(graph))
    for (const int id : set) factors[id] = std::vector<float>{1, 0.5F, 0.25F, 2, 1, 0.1F, 1, 4};
  ASSERT_FALSE(factors.empty());
  EXPECT_LE(difference(in_litert(graph, inputs), in_litert(remapped(graph, {offsets, factors}), inputs)), 1e-5);
}

TEST_F(Adjust, SamplesThatJoinLateHaveTheSameValues) {
  Net n;
  const ValueId x = n.input("x", "float32[1, 3, 8, 8]");
  const ValueId a = n.conv("a", x, 4, 3), b = n.conv("b", a, 4, 1);
  n.output("y", n.conv("c", n.node("sum", "add", {n.node("relu", "relu", {b}), a}), 2, 1));
  TflGraph graph = lowered(n.graph), same = graph;
  const Samples all = samples_like(seeded_tensors({n.graph.type(x)}, 3), 6);
  const Samples others{4, [&](std::size_t i) { return all.load(2 + i); }};
  const Loader load = litert();
  for (std::size_t joins_at = 0; joins_at < graph.nodes.size(); ++joins_at) {
    StepRun whole(graph, all, load, 1), late(same, {2, all.load}, load, 2);
    for (std::size_t node = 0; node < graph.nodes.size(); ++node) {
      if (node == joins_at) late.join(others);
      whole.step(node);
      late.step(node);
      const int out = graph.nodes[node].outputs[0];
      if (node + 1 == graph.nodes.size() || node < joins_at) continue;
      whole.compute(out);
      late.compute(out);
      ASSERT_EQ(late.count(), 6U);
      for (std::size_t i = 0; i < 6; ++i)
        EXPECT_LE(difference({whole.value(out, i)}, {late.value(out, i)}), 1e-5) << "joined at " << joins_at << ", sample " << i;
    }
  }
}

// Ten answers: the one that is meant 8, the others -1. The integer weights answer to other inputs too, which float ones do not.
struct NoisyAnswers {
  static constexpr std::int64_t classes = 10, inputs = 40;
  HandGraph g;
  Plan plan;
  NoisyAnswers() {
    std::vector<float> weights(classes * inputs, 0), bias(classes, -1);
    for (std::int64_t c = 0; c < classes; ++c) weights[static_cast<std::size_t>(c * inputs + c)] = 9;
    const int x = g.input("x", {1, inputs}), w = g.constant("w", Tensor::from(weights, {classes, inputs}));
    g.output("y", g.add("FULLY_CONNECTED", {x, w, g.constant("b", Tensor::from(bias, {classes}))}, {1, classes}));
    Diagnostics diagnostics;
    plan = make_plan(g.graph, calibrate(g.graph, samples(0, 40), litert(), 1, {}, diagnostics), {}, diagnostics);
    quantize_weights(g.graph, plan);
    std::mt19937 random(7);
    Tensor codes = Tensor::allocate(DType::int8, {classes, inputs});
    const auto from = plan.weights.at(0).codes.as<std::int8_t>();
    for (std::size_t i = 0; i < from.size(); ++i)
      codes.mutable_as<std::int8_t>()[i] =
          static_cast<std::int8_t>(from[i] != 0 ? from[i] : static_cast<int>(std::normal_distribution<float>(0, 12)(random)));
    plan.weights.at(0).codes = std::move(codes);
  }
  static Samples samples(std::size_t first, std::size_t count) {
    return {count, [first](std::size_t i) {
              std::mt19937 random(static_cast<unsigned>(first + i));
              std::vector<float> x(inputs);
              for (float& v : x) v = std::normal_distribution<float>(0, 0.5F)(random);
              for (std::size_t c = 0; c < classes; ++c) x[c] = c == (first + i) % classes;
              return std::vector<Tensor>{Tensor::from(x, {1, inputs})};
            }};
  }
  // dB of the answers, and how many have the right class first.
  std::pair<double, int> score(const Samples& on) const {
    const TflGraph integers = apply_plan(g.graph, plan, {}).graph;
    double signal = 0, noise = 0;
    int right = 0;
    for (std::size_t i = 0; i < on.count; ++i) {
      const auto wanted = in_litert(g.graph, on.load(i))[0].to_floats(), found = in_litert(integers, on.load(i))[0].to_floats();
      for (std::size_t c = 0; c < wanted.size(); ++c) {
        signal += wanted[c] * wanted[c];
        noise += (wanted[c] - found[c]) * (wanted[c] - found[c]);
      }
      right += std::ranges::max_element(wanted) - wanted.begin() == std::ranges::max_element(found) - found.begin();
    }
    return {10 * std::log10(signal / noise), right};
  }
};

TEST_F(Adjust, AnAnswerInStrongNoiseIsFitted) {
  NoisyAnswers n;
  const Samples fresh = n.samples(40, 40), unseen = n.samples(80, 60);
  const auto before = n.score(unseen);
  fit_answers(n.g.graph, n.plan, fresh, {}, litert(), 2);
  ASSERT_EQ(n.plan.answers.size(), 1U);
  const AnswerFit fit = n.plan.answers[0];
  EXPECT_LT(fit.sqnr_before, 20);
  EXPECT_GT(fit.sqnr_after, fit.sqnr_before + 1);
  const auto after = n.score(unseen);
  EXPECT_GT(after.first, before.first + 1);
  EXPECT_GE(after.second, before.second);
}

TEST_F(Adjust, AClearAnswerIsLeftAsItIs) {
  NoisyAnswers n;
  quantize_weights(n.g.graph, n.plan);
  const QuantizedWeight before = n.plan.weights.at(0);
  fit_answers(n.g.graph, n.plan, n.samples(40, 40), {}, litert(), 2);
  EXPECT_TRUE(n.plan.answers.empty());
  EXPECT_EQ(n.plan.weights.at(0).scales, before.scales);
  EXPECT_EQ(n.plan.weights.at(0).bias, before.bias);
}

}  // namespace
}  // namespace wherry
