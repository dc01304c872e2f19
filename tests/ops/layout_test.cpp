// What shape operators cost in a channels-last file: axes are renamed where they can be, moved where they must be.
#include "ir/builder.h"
#include "lower/lower_tfl.h"
#include "ops/all_ops.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace wherry {
namespace {

using testing::HasSubstr;

// x → nodes → y as a channels-last file.
class Layout : public testing::Test {
 protected:
  explicit Layout(std::string_view type = "float32[1, 8, 4, 6]") { x = input(type); }
  ValueId input(std::string_view type) {
    const ValueId id = graph.add_value({fmt::format("x{}", graph.inputs.size()), parse_type(type).value(), {}});
    graph.inputs.push_back({graph[id].name, id});
    return id;
  }
  TflGraph lowered(ValueId y) {
    graph.outputs = {{"y", y}};
    Diagnostics diagnostics;
    TflGraph out = lower_to_tfl(graph, all_ops(), {}, diagnostics).graph;
    for (const Diagnostic& d : diagnostics.all()) ADD_FAILURE() << render(d);
    return out;
  }
  // "RELU 1, RESHAPE 1"
  std::string cost(ValueId y) {
    std::string out;
    for (const auto& [builtin, count] : count_builtins(lowered(y))) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", builtin, count);
    return out;
  }
  Graph graph;
  Builder b{graph, all_ops()};
  ValueId x = absent;
};

TEST_F(Layout, FlatteningAPooledMapCostsNothing) {
  const ValueId pooled = b("mean", {x}, {{"dim", Ints{2, 3}}, {"keepdim", true}});
  EXPECT_EQ(cost(b("flatten", {pooled}, {{"start_dim", std::int64_t{1}}})), "MEAN 1");
}

TEST_F(Layout, ReducedMapsNeedNoReshape) { EXPECT_EQ(cost(b("mean", {x}, {{"dim", Ints{-1, -2}}})), "MEAN 1"); }

TEST_F(Layout, MergingPixelsKeepsTheChannelsLast) {
  const ValueId tokens = b("permute", {b("flatten", {x}, {{"start_dim", std::int64_t{2}}})}, {{"dims", Ints{0, 2, 1}}});
  EXPECT_EQ(cost(b("relu", {tokens})), "RELU 1, RESHAPE 1");
}

TEST_F(Layout, FlatteningAWholeMapTransposesOnce) {
  EXPECT_EQ(cost(b("flatten", {b("relu", {x})}, {{"start_dim", std::int64_t{1}}})), "RELU 1, RESHAPE 1, TRANSPOSE 1");
}

TEST_F(Layout, AShuffleByViewsMovesOnlyChannels) {
  const ValueId groups = b("reshape", {b("relu", {x})}, {{"shape", Ints{1, 2, 4, 4, 6}}});
  const ValueId turned = b("transpose", {groups}, {{"dim0", std::int64_t{1}}, {"dim1", std::int64_t{2}}});
  const ValueId y = b("reshape", {turned}, {{"shape", Ints{1, 8, 4, 6}}});
  EXPECT_EQ(cost(b("abs", {y})), "ABS 1, RELU 1, RESHAPE 2, TRANSPOSE 1");
}

TEST_F(Layout, PermutesVanishBetweenElementwiseOperators) {
  const ValueId last = b("permute", {b("relu", {x})}, {{"dims", Ints{0, 2, 3, 1}}});
  const ValueId normal = b("softmax", {last}, {{"dim", std::int64_t{-1}}});
  EXPECT_EQ(cost(b("permute", {normal}, {{"dims", Ints{0, 3, 1, 2}}})), "RELU 1, SOFTMAX 1");
}

TEST_F(Layout, ChannelConstantsAreTurnedNotTransposed) {
  const ValueId scale = b.constant(Tensor::from(std::vector<float>(8, 0.5F), {8, 1, 1}), "scale");
  const TflGraph tfl = lowered(b("mul", {x, scale}));
  ASSERT_EQ(tfl.nodes.size(), 1U);
  EXPECT_EQ(tfl.tensors[static_cast<std::size_t>(tfl.nodes[0].inputs[1])].sizes, (Sizes{1, 1, 1, 8}));
}

TEST_F(Layout, GatesBroadcastInPlace) {
  const ValueId gate = b("sigmoid", {b("mean", {x}, {{"dim", Ints{2, 3}}, {"keepdim", true}})});
  EXPECT_EQ(cost(b("mul", {x, gate})), "LOGISTIC 1, MEAN 1, MUL 1");
}

TEST_F(Layout, GateFromAVectorReshapesOnce) {
  const ValueId gate = b("sigmoid", {b("mean", {x}, {{"dim", Ints{2, 3}}})});
  EXPECT_EQ(cost(b("mul", {x, b("reshape", {gate}, {{"shape", Ints{1, 8, 1, 1}}})})), "LOGISTIC 1, MEAN 1, MUL 1, RESHAPE 1");
}

TEST_F(Layout, AxesFollowTheChannels) {
  const TflGraph tfl =
      lowered(b("cat", {b("slice", {x}, {{"dim", std::int64_t{1}}, {"end", std::int64_t{3}}}), x}, {{"dim", std::int64_t{1}}}));
  ASSERT_EQ(count_builtins(tfl), (std::map<std::string, int>{{"CONCATENATION", 1}, {"SLICE", 1}}));
  EXPECT_EQ(tfl.nodes[1].find("axis")->value, Attr(std::int64_t{3}));
}

TEST_F(Layout, WeightsOnTheRightBecomeFullyConnected) {
  const ValueId w = b.constant(Tensor::from(std::vector<float>(40, 0.5F), {8, 5}), "w");
  const ValueId tokens = b("reshape", {x}, {{"shape", Ints{1, 8, 24}}});
  EXPECT_THAT(cost(b("matmul", {b("transpose", {tokens}, {{"dim0", std::int64_t{1}}, {"dim1", std::int64_t{2}}}), w})),
              HasSubstr("FULLY_CONNECTED 1"));
}

TEST_F(Layout, TransposedOperandsAreReadSo) {
  const ValueId a = input("float32[2, 3, 4]"), c = input("float32[2, 5, 4]");
  const TflGraph tfl = lowered(b("matmul", {a, b("transpose", {c}, {{"dim0", std::int64_t{1}}, {"dim1", std::int64_t{2}}})}));
  ASSERT_EQ(tfl.nodes.size(), 1U);
  EXPECT_EQ(tfl.nodes[0].find("adj_y")->value, Attr(true));
}

TEST_F(Layout, FixedExponentsHaveTheirOwnOperators) {
  EXPECT_EQ(cost(b("pow", {x, b.scalar(2)})), "SQUARE 1");
  EXPECT_EQ(cost(b("pow", {x, b.scalar(0.5)})), "SQRT 1");
  EXPECT_EQ(cost(b("pow", {x, b.scalar(3)})), "POW 1");
}

TEST_F(Layout, ClampsBecomeActivations) {
  EXPECT_EQ(cost(b("clamp", {x}, {{"min", 0.0}, {"max", 6.0}})), "RELU6 1");
  EXPECT_EQ(cost(b("hardtanh", {x})), "RELU_N1_TO_1 1");
  EXPECT_EQ(cost(b("clamp", {x}, {{"min", 0.25}})), "MAXIMUM 1");
}

TEST_F(Layout, AnOperatorThatTakesNoSuchIntegersIsRefused) {
  const ValueId i = input("uint64[4]");
  graph.outputs = {{"y", b("abs", {i})}};
  Diagnostics diagnostics;
  lower_to_tfl(graph, all_ops(), {}, diagnostics);
  ASSERT_EQ(diagnostics.all().size(), 1U);
  EXPECT_THAT(render(diagnostics.all()[0]), HasSubstr("E202: 'abs' cannot become TFLite: TFLite computes int32 int64, not uint64"));
}

}  // namespace
}  // namespace wherry
