#include "passes/expand_vanishing.h"
#include "passes/fold_constants.h"
#include "passes/pipeline.h"
#include "passes/simplify.h"

#include "../net.h"

namespace wherry {
namespace {

TEST(ExpandVanishing, TakesOutWhatDoesNothing) {
  Net net;
  const ValueId x = net.input("x", "float32[2, 3]");
  const ValueId y = net.node("drop", "dropout", {net.node("relu", "relu", {net.node("same", "identity", {x})})});
  net.output("y", y);
  EXPECT_EQ(text(checked(expand_vanishing, net.graph, 0)), "relu = relu(x)\n");
}

TEST(FoldConstants, EvaluatesWhatDependsOnNoInput) {
  Net net;
  const ValueId x = net.input("x", "float32[2, 3]");
  const ValueId w = net.node("turned", "transpose", {net.weight("w", {3, 4})}, {{"dim0", std::int64_t{0}}, {"dim1", std::int64_t{1}}});
  net.output("y", net.node("linear", "linear", {x, net.node("scaled", "mul", {w, net.add.scalar(2)})}));
  EXPECT_EQ(text(checked(fold_constants, net.graph)), "linear = linear(x, scaled)\n");
}

TEST(FoldConstants, LeavesWhatGrowsTooMuchAndWhatIsAnOutput) {
  Net net;
  const ValueId wide = net.node("outer", "mul", {net.weight("column", {2000, 1}), net.weight("row", {1, 2000})});
  net.output("sum", net.node("sum", "add", {net.input("x", "float32[2000, 2000]"), wide}));
  net.output("constant", net.node("relu", "relu", {net.weight("w", {3})}));
  EXPECT_EQ(text(fold_constants(net.graph, all_ops())), text(net.graph));
}

TEST(Simplify, ExpandsNoOperandThatBroadcastsByItself) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 2, 3, 3]"), gate = net.input("gate", "float32[1, 2, 1, 1]");
  net.output("scaled", net.node("scaled", "mul", {x, net.node("wide", "expand", {gate}, {{"size", Ints{-1, -1, 3, 3}}})}));
  const ValueId a = net.node("a", "expand", {gate}, {{"size", Ints{1, 2, 5, 1}}}),
                c = net.node("c", "expand", {gate}, {{"size", Ints{1, 2, 5, 1}}});
  net.output("sum", net.node("sum", "add", {a, c}));  // one of the two has to give the result its shape
  EXPECT_THAT(text(checked(simplify, net.graph, 0)),
              testing::AllOf(testing::HasSubstr("scaled = mul(x, gate)\n"), testing::HasSubstr("sum = add(gate, c)\n")));
}

TEST(Simplify, MakesMovesOneOrNone) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 2, 3, 4]");
  ValueId y = net.node("flat", "flatten", {x}, {{"start_dim", std::int64_t{1}}});
  net.output("one", net.node("view", "reshape", {y}, {{"shape", Ints{6, 4}}}));
  y = net.node("there", "permute", {x}, {{"dims", Ints{0, 2, 3, 1}}});
  net.output("none", net.node("relu", "relu", {net.node("back", "permute", {y}, {{"dims", Ints{0, 3, 1, 2}}})}));
  EXPECT_EQ(text(checked(simplify, net.graph, 0)),
            "view = reshape(x, shape: [6, 4])\n"
            "relu = relu(x)\n");
}

TEST(Simplify, DropsNeutralArithmeticAndRepeatedActivations) {
  Net net;
  const ValueId x = net.input("x", "float32[2, 3]");
  ValueId y = net.node("add", "add", {x, net.add.scalar(0)});
  y = net.node("mul", "mul", {net.numbers("ones", {1, 1, 1}, {3}), y});
  y = net.node("relu", "relu", {y});
  y = net.node("relu6", "relu6", {y});
  net.output("y", net.node("again", "relu", {y}));
  net.output("wider", net.node("wider", "add", {x, net.numbers("zeros", {0, 0}, {2, 1, 1})}));
  EXPECT_EQ(text(checked(simplify, net.graph, 0)),
            "relu6 = relu6(x)\n"
            "wider = add(x, zeros)\n");
}

TEST(Simplify, AddsUpPads) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 2, 3, 4]");
  ValueId y = net.node("none", "pad", {x}, {{"pad", Ints{0, 0}}});
  y = net.node("inner", "pad", {y}, {{"pad", Ints{1, 2}}});
  net.output("outer", net.node("outer", "pad", {y}, {{"pad", Ints{3, 4, 5, 6}}}));
  y = net.node("cut", "pad", {x}, {{"pad", Ints{-1, 0}}});
  net.output("filled", net.node("filled", "pad", {y}, {{"pad", Ints{1, 0}}}));
  y = net.node("ones", "pad", {x}, {{"pad", Ints{1, 0}}, {"value", 1.0}});
  net.output("zeros", net.node("zeros", "pad", {y}, {{"pad", Ints{1, 0}}}));
  EXPECT_EQ(text(checked(simplify, net.graph, 0)),
            "outer = pad(x, pad: [4, 6, 5, 6])\n"
            "cut = pad(x, pad: [-1, 0])\n"
            "filled = pad(cut, pad: [1, 0])\n"
            "ones = pad(x, pad: [1, 0], value: 1.0)\n"
            "zeros = pad(ones, pad: [1, 0])\n");
}

TEST(Simplify, NamesHardActivationsThatAreWrittenOut) {
  Net net;
  const ValueId x = net.input("x", "float32[2, 3]");
  const auto number = [&](double value) { return net.add.scalar(value); };
  ValueId y = net.node("low", "clamp", {net.node("add", "add", {number(3), x})}, {{"min", 0.0}});
  const ValueId ramp = net.node("high", "clamp", {y}, {{"max", 6.0}});
  net.output("gate", net.node("gate", "div", {ramp, number(6)}));
  net.output("product", net.node("product", "mul", {number(1.0F / 6.0F), net.node("times", "mul", {x, ramp})}));
  const ValueId other = net.node("other", "relu6", {net.node("sum", "add", {x, number(2)})});
  net.output("no", net.node("no", "div", {other, number(6)}));
  y = net.node("h", "hardsigmoid", {x});
  net.output("gated", net.node("gated", "mul", {y, x}));
  EXPECT_EQ(text(checked(simplify, net.graph, 1e-6)),
            "gate = hardsigmoid(x)\n"
            "product = hardswish(x)\n"
            "sum = add(x, )\n"
            "other = relu6(sum)\n"
            "no = div(other, )\n"
            "gated = hardswish(x)\n");
}

TEST(Simplify, LimitsOnce) {
  Net net;
  const ValueId x = net.input("x", "float32[2, 3]");
  const auto clamp = [&](const char* name, ValueId of, Attr low, Attr high) {
    return net.node(name, "clamp", {of}, {{"min", low}, {"max", high}});
  };
  net.output("both", clamp("both", clamp("a", x, -1.0, None{}), None{}, 2.0));
  net.output("apart", clamp("apart", clamp("b", x, 3.0, 4.0), -1.0, 2.0));
  net.output("crossed", clamp("crossed", clamp("c", x, 4.0, 3.0), -1.0, 5.0));
  EXPECT_EQ(text(checked(simplify, net.graph, 0)),
            "both = clamp(x, min: -1.0, max: 2.0)\n"
            "apart = clamp(x, min: 2.0, max: 2.0)\n"
            "c = clamp(x, min: 4.0, max: 3.0)\n"
            "crossed = clamp(c, min: -1.0, max: 5.0)\n");
}

TEST(Pipeline, RecordsSkipsAndStops) {
  Net net;
  const ValueId x = net.input("x", "float32[1, 3, 8, 8]");
  net.output("y", net.node("drop", "dropout", {net.batch_norm("bn", net.conv("conv", x, 4, 3))}));
  std::vector<PassRecord> records;
  std::vector<std::string> changed;
  const PassOptions watched{.after_each = [&](const PassRecord& r, const Graph& before, const Graph& after) {
    changed.push_back(r.name);
    EXPECT_EQ(r.nodes_before, static_cast<int>(before.nodes.size()));
    EXPECT_EQ(r.nodes_after, static_cast<int>(after.nodes.size()));
  }};
  EXPECT_EQ(text(run_passes(net.graph, all_ops(), watched, records)), "bn = conv2d(x, conv.weight.folded, conv.bias.folded)\n");
  EXPECT_EQ(records.size(), pass_names().size());
  EXPECT_THAT(changed, testing::ElementsAre("expand_vanishing", "fold_batchnorm"));

  EXPECT_EQ(run_passes(net.graph, all_ops(), {.skip = {"fold_batchnorm"}}, records).nodes.size(), 2U);
  EXPECT_EQ(run_passes(net.graph, all_ops(), {.stop_after = "expand_vanishing"}, records).nodes.size(), 2U);
}

TEST(Pipeline, TakesDimensionsWithoutASize) {
  Net net;
  const ValueId x = net.input("x", "float32[batch, 4, height, 8]");
  ValueId y = net.node("relu", "relu", {net.batch_norm("bn", net.conv("conv", x, 4, 3))});
  y = net.node("shuffle", "channel_shuffle", {y}, {{"groups", std::int64_t{2}}});
  y = net.node("pool", "mean", {net.conv("head", y, 6, 1)}, {{"dim", Ints{2, 3}}});
  y = net.node("view", "reshape", {y}, {{"shape", Ints{-1, 2, 3}}});
  net.output("y", net.node("flat", "flatten", {y}, {{"start_dim", std::int64_t{1}}}));
  std::vector<PassRecord> records;
  EXPECT_EQ(text(run_passes(net.graph, all_ops(), {}, records)),
            "bn.shuffled = conv2d(x, conv.weight.folded, conv.bias.folded)\n"
            "shuffle = relu(bn.shuffled)\n"
            "head = conv2d(shuffle, head.weight, head.bias)\n"
            "pool = mean(head, dim: [2, 3])\n");
}

TEST(Pipeline, NamesThePassesWhereOneIsUnknown) {
  std::vector<PassRecord> records;
  try {
    run_passes(Graph{}, all_ops(), {.skip = {"fold_batchnrm"}}, records);
    FAIL() << "accepted";
  } catch (const Failure& failure) {
    EXPECT_THAT(failure.what(), testing::HasSubstr("error E901: there is no pass 'fold_batchnrm'; did you mean 'fold_batchnorm'?"));
  }
}

}  // namespace
}  // namespace wherry
