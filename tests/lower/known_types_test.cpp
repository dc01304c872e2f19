#include "lower/lower_tfl.h"

#include "../net.h"

namespace wherry {
namespace {

using testing::HasSubstr;

std::string lowered(const Graph& graph) {
  Diagnostics diagnostics;
  const Lowered result = lower_to_tfl(graph, all_ops(), {}, diagnostics);
  diagnostics.throw_if_errors();
  return text(result.graph);
}

TEST(KnownTypes, OtherFloatsAreComputedAsFloat32) {
  Net net;
  const ValueId x = net.input("x", "float16[2, 3]");
  net.output("y", net.node("b", "tanh", {net.node("a", "exp", {x})}));
  EXPECT_EQ(lowered(net.graph),
            "net(x: float16[2, 3])\n"
            "x.float32 = CAST(x) -> float32[2, 3]\n"
            "a = EXP(x.float32) -> float32[2, 3]\n"
            "b = TANH(a) -> float32[2, 3]\n"
            "y.float16 = CAST(b) -> float16[2, 3]\n"
            "return y: y.float16\n");
}

TEST(KnownTypes, ACastRoundsOnceAndItsResultIsUsedAsFloat32) {
  Net net;
  const ValueId x = net.input("x", "float32[4]");
  const ValueId half = net.node("half", "cast", {x}, {{"dtype", DType::float16}});
  net.output("h", half);
  net.output("y", net.node("b", "exp", {half}));
  const std::string text = lowered(net.graph);
  EXPECT_THAT(text, HasSubstr("CAST(x) -> float16[4]"));
  EXPECT_THAT(text, HasSubstr("-> float32[4]\nb = EXP("));
}

TEST(KnownTypes, IntegersThatAKernelLacksAreCastAndCastBack) {
  Net net;
  const ValueId x = net.input("x", "uint8[4]"), y = net.input("y", "uint8[4]");
  net.output("z", net.node("sum", "add", {x, y}));
  EXPECT_EQ(lowered(net.graph),
            "net(x: uint8[4], y: uint8[4])\n"
            "sum.int32 = CAST(x) -> int32[4]\n"
            "sum.int32_1 = CAST(y) -> int32[4]\n"
            "sum.add = ADD(sum.int32, sum.int32_1) fused_activation_function=NONE -> int32[4]\n"
            "sum = CAST(sum.add) -> uint8[4]\n"
            "return z: sum\n");
}

TEST(KnownTypes, WhatNoKernelHoldsIsRefused) {
  Net net;
  const ValueId x = net.input("x", "uint64[4]"), y = net.input("y", "uint64[4]");
  net.output("z", net.node("sum", "add", {x, y}));
  Diagnostics diagnostics;
  lower_to_tfl(net.graph, all_ops(), {}, diagnostics);
  ASSERT_EQ(diagnostics.all().size(), 1U);
  EXPECT_EQ(diagnostics.all()[0].message, "'add' cannot become TFLite: TFLite computes int32 int64, not uint64");
}

}  // namespace
}  // namespace wherry
