#include "lower/lower_tfl.h"

#include "../net.h"

namespace wherry {
namespace {

using testing::HasSubstr;
using testing::Not;

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

TEST(KnownTypes, UnsignedOf64BitsAreComputedWithAnUpperBitTurned) {
  Net net;
  const ValueId x = net.input("x", "uint64[4]"), y = net.input("y", "uint64[4]");
  net.output("sum", net.node("sum", "add", {x, y}));
  net.output("most", net.node("most", "maximum", {x, y}));
  const std::string text = lowered(net.graph);
  EXPECT_THAT(text, HasSubstr("ADD(sum.int64, sum.int64_1)"));
  EXPECT_THAT(text, HasSubstr("MAXIMUM(most.order, most.order_1)"));
  EXPECT_THAT(text, HasSubstr("-> uint64[4]\nreturn"));
}

TEST(KnownTypes, FloatsOf8BitsAreHeldInFloat32AndSaidToBe) {
  Net net;
  net.output("y", net.node("y", "cast", {net.input("x", "float8_e5m2[4]")}, {{"dtype", DType::float8_e4m3fn}}));
  Diagnostics diagnostics;
  const Lowered result = lower_to_tfl(net.graph, all_ops(), {}, diagnostics);
  EXPECT_THAT(text(result.graph), HasSubstr("net(x: float32[4])\n"));
  ASSERT_EQ(diagnostics.all().size(), 2U);
  EXPECT_EQ(diagnostics.all()[0].severity, Severity::warning);
  EXPECT_EQ(diagnostics.all()[0].message, "'x' is float8_e5m2, which LiteRT lacks: in the .tflite it is float32");
}

TEST(KnownTypes, TensorsWithoutElementsAreNotComputed) {
  Net net;
  const ValueId x = net.input("x", "float32[2, 0, 4]");
  const ValueId sum = net.node("sum", "sum", {x}, {{"dim", Ints{1}}, {"keepdim", false}});
  net.output("y", net.node("y", "add", {sum, net.input("z", "float32[2, 4]")}));
  const std::string text = lowered(net.graph);
  EXPECT_THAT(text, HasSubstr("y = ADD("));
  EXPECT_THAT(text, Not(HasSubstr("SUM")));
}

}  // namespace
}  // namespace wherry
