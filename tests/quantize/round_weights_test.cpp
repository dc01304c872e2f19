// Rounding that looks at the data against rounding that does not; equalization in LiteRT.
#include "quantize/rounding/round_weights.h"

#include "quantize/adjust/equalize.h"

#include "../net.h"
#include "litert_program.h"

#include <numeric>
#include <random>

namespace wherry {
namespace {

Matrix random(Eigen::Index rows, Eigen::Index columns, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> values;
  Matrix out(rows, columns);
  for (Eigen::Index i = 0; i < out.size(); ++i) out.data()[i] = values(engine);
  return out;
}

struct Problem {
  Matrix weight, moment;
  Vector scale;
  float limit;
  double error(const Rounded& r) const { return output_error(r.reals() - weight, moment); }
  Rounded nearest() const { return round_nearest(weight, scale, limit); }
  Rounded gptq(double work) const { return round_gptq(weight, scale, gptq_moment(moment), limit, work); }
  Rounded adaptive(double work) const { return round_adaptive(weight, gptq(work), moment, limit); }
};

// Inputs whose energy falls off by a hundred over their principal axes, as activations' does.
Problem correlated(Eigen::Index depth, float limit, unsigned seed) {
  Matrix independent = random(4 * depth, depth, seed);
  for (Eigen::Index j = 0; j < depth; ++j) independent.col(j) *= std::pow(0.1F, static_cast<float>(j) / static_cast<float>(depth));
  const Matrix x = independent * random(depth, depth, seed + 1);
  Problem p{random(24, depth, seed + 2), x.transpose() * x / static_cast<float>(x.rows()), Vector(24), limit};
  for (Eigen::Index o = 0; o < 24; ++o) p.scale(o) = p.weight.row(o).cwiseAbs().maxCoeff() / limit;
  return p;
}

void expect_codes(const Matrix& codes, float limit) {
  EXPECT_LE(codes.cwiseAbs().maxCoeff(), limit);
  EXPECT_EQ((codes - codes.array().round().matrix()).cwiseAbs().maxCoeff(), 0);
}

constexpr double none = 0;  // work: one scale is all that is tried

TEST(Rounding, ByTheDataIsBetterThanNearest) {
  for (const float limit : {7.0F, 127.0F})
    for (const Eigen::Index depth : {9, 40, 130})
      for (const unsigned seed : {1U, 2U, 3U}) {
        const Problem p = correlated(depth, limit, seed);
        const Rounded gptq = p.gptq(none), adaptive = p.adaptive(none);
        expect_codes(gptq.codes, limit);
        expect_codes(adaptive.codes, limit);
        EXPECT_EQ(gptq.scale, p.scale);
        EXPECT_LE(p.error(gptq), 0.55 * p.error(p.nearest())) << depth << " inputs, up to " << limit;
        EXPECT_LE(p.error(adaptive), p.error(gptq) * (1 + 1e-4)) << depth << " inputs, up to " << limit;
      }
}

// Of several scales each row keeps the best: the first among them is the one that was given.
TEST(Rounding, FromSeveralScalesIsBetter) {
  for (const float limit : {7.0F, 127.0F}) {
    const Problem p = correlated(9, limit, 1);
    const Rounded one = p.gptq(none), many = p.gptq(little_work);
    expect_codes(many.codes, limit);
    EXPECT_NE(many.scale, p.scale);
    const Vector before = output_errors(one.reals() - p.weight, p.moment), after = output_errors(many.reals() - p.weight, p.moment);
    for (Eigen::Index row = 0; row < before.size(); ++row) EXPECT_LE(after(row), before(row) * (1 + 1e-5F)) << row;
    EXPECT_LE(p.error(many), 0.6 * p.error(one)) << "up to " << limit;
  }
}

// Without correlation nothing can be made up for.
TEST(Rounding, OfIndependentInputsIsNearest) {
  Problem p = correlated(40, 127, 1);
  p.moment = Matrix::Identity(40, 40);
  EXPECT_EQ(p.gptq(none).codes, p.nearest().codes);
  EXPECT_LE(p.error(p.adaptive(none)), p.error(p.nearest()) * (1 + 1e-4));
}

TEST(Rounding, TakesInputsThatAreAlwaysZero) {
  Problem p = correlated(40, 127, 4);
  for (const Eigen::Index dead : {0, 17, 39}) p.moment.row(dead).setZero(), p.moment.col(dead).setZero();
  for (const Rounded& rounded : {p.gptq(none), p.gptq(little_work), p.adaptive(none)}) {
    expect_codes(rounded.codes, 127);
    EXPECT_LT(p.error(rounded), p.error(p.nearest()));
  }
}

// With the quantized inputs equal to the float ones nothing is to be made up for; with inputs halved, weights double.
TEST(Rounding, TakesMomentsThatRoundingErrorsHaveSpoilt) {
  Matrix weight(1, 2), moment(2, 2);
  weight << 0.3F, -0.7F;
  moment << 1, 2, 2, 1;  // no moment of anything: one of its energies is negative
  const Vector scale = Vector::Constant(1, 0.7F / 127);
  EXPECT_TRUE(round_gptq(weight, scale, gptq_moment(moment), 127, none).reals().isApprox(weight, 0.01F));
}

TEST(Refit, AnswersWhatTheInputsLost) {
  const Problem p = correlated(20, 127, 5);
  EXPECT_LT((refit(p.weight, p.moment, p.moment, 1e-3F) - p.weight).norm(), 1e-2F * p.weight.norm());
  EXPECT_LT((refit(p.weight, p.moment / 4, p.moment / 2, 1e-6F) - 2 * p.weight).norm(), 2e-2F * p.weight.norm());
}

TEST(Equalize, BringsBackWeakChannelsAndComputesTheSame) {
  if (!find_litert()) GTEST_SKIP() << "ai-edge-litert is not installed";
  Net n;
  const ValueId x = n.input("x", "float32[1, 3, 12, 12]");
  const ValueId a = n.node("relu1", "relu", {n.conv("a", x, 8, 3, {{"padding", Ints{1, 1}}})});
  const ValueId b = n.node("relu2", "relu", {n.conv("b", a, 8, 3, {{"groups", std::int64_t{8}}, {"padding", Ints{1, 1}}})});
  const ValueId c = n.conv("c", b, 8, 1);
  const ValueId d = n.conv("d", n.node("sum", "add", {c, a}), 8, 1);
  const ValueId six = n.node("relu6", "relu6", {d});
  n.output("y", n.conv("e", six, 4, 1));
  TflGraph graph = lowered(n.graph);
  const std::vector<Tensor> inputs = seeded_tensors({n.graph.type(x)}, 3);
  const std::vector<Tensor> expected = in_litert(graph, inputs);

  const std::vector<std::vector<int>> sets = scalable_sets(graph);
  Factors weak;  // what the tensors hold is divided by it
  std::set<int> all;
  for (const auto& set : sets)
    for (const int id : set) {
      EXPECT_EQ(graph.tensors[static_cast<std::size_t>(id)].name.find("relu6"), std::string::npos);
      weak[id] = {1, 30, 1, 30, 1, 30, 1, 30};
      all.insert(id);
    }
  graph = equalized(graph, weak);
  EXPECT_LE(difference(expected, in_litert(graph, inputs)), 1e-5);
  const Factors factors = equalizing_factors(graph, channel_ranges(graph, all, samples_like(inputs), litert(), 1), {}, 2);
  ASSERT_FALSE(factors.empty());
  for (const auto& [id, channels] : factors) {
    double strong = 0, scaled = 0;
    for (std::size_t channel = 0; channel < 8; ++channel)
      (channel % 2 ? scaled : strong) += std::log(static_cast<double>(channels[channel])) / 4;
    EXPECT_LT(scaled, strong - 1) << graph.tensors[static_cast<std::size_t>(id)].name;
  }
  EXPECT_LE(difference(expected, in_litert(equalized(graph, factors), inputs)), 1e-5);
}

}  // namespace
}  // namespace wherry
