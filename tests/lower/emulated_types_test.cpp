// What LiteRT computes for types that its kernels lack, against the reference evaluator: at the ends of each type and at random.
#include "export/tflite/write_tflite.h"
#include "ir/narrow_float.h"
#include "lower/lower_tfl.h"
#include "runtime/litert.h"

#include "../net.h"

#include <cmath>
#include <limits>
#include <random>

namespace wherry {
namespace {

std::vector<Tensor> in_litert(const Graph& graph, const std::vector<Tensor>& inputs) {
  Diagnostics diagnostics;
  const Lowered lowered = lower_to_tfl(graph, all_ops(), {.io = Io::nchw}, diagnostics);
  diagnostics.throw_if_errors();
  return LiteRtModel::from_bytes(tflite_bytes(lowered.graph), "emulated")->run(inputs);
}

// ---- integers of 64 bits

struct Case {
  std::string_view op;
  std::vector<NamedAttr> attrs;
  enum { any, not_zero, places, exponent } second = any;
};

const std::vector<Case> cases = {{"add", {}},
                                 {"sub", {}},
                                 {"mul", {}},
                                 {"div", {{"rounding_mode", "floor"}}, Case::not_zero},
                                 {"div", {{"rounding_mode", "trunc"}}, Case::not_zero},
                                 {"remainder", {}, Case::not_zero},
                                 {"pow", {}, Case::exponent},
                                 {"maximum", {}},
                                 {"minimum", {}},
                                 {"eq", {}},
                                 {"lt", {}},
                                 {"ge", {}},
                                 {"bitwise_and", {}},
                                 {"bitwise_or", {}},
                                 {"bitwise_xor", {}},
                                 {"bitwise_right_shift", {}, Case::places}};

std::vector<std::int64_t> numbers() {
  constexpr auto least = std::numeric_limits<std::int64_t>::min(), most = std::numeric_limits<std::int64_t>::max();
  std::vector<std::int64_t> all = {
      0, 1, -1, 2, -2, 3, -3, 7, 10, -10, 255, 1LL << 31, -(1LL << 31), (1LL << 32) + 1, 1LL << 53, (1LL << 53) + 1};
  for (const std::int64_t near : {least, most}) all.push_back(near), all.push_back(near / 2), all.push_back(near / 3);
  all.push_back(least + 1), all.push_back(most - 1), all.push_back(least / 2 - 1), all.push_back(most / 2 + 1);
  std::mt19937_64 random(7);
  for (int shift = 0; shift < 60; shift += 3) all.push_back(static_cast<std::int64_t>(random()) >> shift);
  return all;
}

bool fits(const Case& c, DType dtype, std::int64_t x, std::int64_t y) {
  constexpr auto least = std::numeric_limits<std::int64_t>::min();
  if (c.second == Case::not_zero) return y != 0 && !(dtype == DType::int64 && x == least && y == -1);  // which LiteRT's kernel traps
  if (c.second == Case::exponent) return y < 64 && (dtype == DType::int64 || y >= 0);
  return true;
}

class Integers64 : public testing::TestWithParam<std::tuple<std::size_t, DType>> {};

TEST_P(Integers64, AreExact) {
  const auto& [index, dtype] = GetParam();
  const Case& c = cases[index];
  std::vector<std::int64_t> left, right;
  for (const std::int64_t x : numbers())
    for (const std::int64_t y : c.second == Case::places ? std::vector<std::int64_t>{-1, 0, 1, 5, 31, 32, 33, 62, 63, 64, 99} : numbers())
      if (fits(c, dtype, x, y)) left.push_back(x), right.push_back(y);
  const Sizes sizes{static_cast<std::int64_t>(left.size())};
  const std::vector<Tensor> inputs = {Tensor::from(left, sizes).cast(dtype), Tensor::from(right, sizes).cast(dtype)};
  Net net;
  const std::string type = fmt::format("{}[{}]", name(dtype), left.size());
  const ValueId x = net.input("x", type), y = net.input("y", type);
  net.output("z", net.node("z", c.op, {x, y}, c.attrs));
  const Tensor expected = Evaluator(net.graph, all_ops()).run(inputs)[0], found = in_litert(net.graph, inputs)[0];
  ASSERT_EQ(found.type(), expected.type());
  for (std::int64_t i = 0; i < expected.count(); ++i)
    ASSERT_EQ(found.integer(i), expected.integer(i))
        << c.op << " of " << left[static_cast<std::size_t>(i)] << " and " << right[static_cast<std::size_t>(i)];
}

INSTANTIATE_TEST_SUITE_P(Operators, Integers64,
                         testing::Combine(testing::Range<std::size_t>(0, cases.size()), testing::Values(DType::int64, DType::uint64)),
                         [](const auto& p) {
                           return fmt::format("{}_{}_{}", cases[std::get<0>(p.param)].op, std::get<0>(p.param), name(std::get<1>(p.param)));
                         });

TEST(Integers64, ShiftByAKnownNumber) {
  for (const DType dtype : {DType::int64, DType::uint64})
    for (const int by : {1, 20, 63}) {
      const std::vector<std::int64_t> all = numbers();
      const Tensor x = Tensor::from(all, {static_cast<std::int64_t>(all.size())}).cast(dtype);
      Net net;
      const ValueId in = net.input("x", fmt::format("{}[{}]", name(dtype), all.size()));
      net.output("y", net.node("y", "bitwise_right_shift", {in, net.graph.add_constant(Tensor::scalar(by, dtype), "")}));
      const Tensor expected = Evaluator(net.graph, all_ops()).run({x})[0], found = in_litert(net.graph, {x})[0];
      EXPECT_TRUE(found.same_bits(expected)) << name(dtype) << " by " << by;
    }
}

TEST(Integers64, UnsignedBecomeFloatsAndComeBack) {
  const std::vector<std::int64_t> all = {
      0, 1, 1000, 1LL << 40, std::numeric_limits<std::int64_t>::max(), -1, -(1LL << 40), 3 - (1LL << 62)};
  const Tensor x = Tensor::from(all, {static_cast<std::int64_t>(all.size())}).cast(DType::uint64);
  Net net;
  const ValueId real = net.node("real", "cast", {net.input("x", "uint64[8]")}, {{"dtype", DType::float32}});
  net.output("real", real);
  net.output("half", net.node("back", "cast", {net.node("half", "mul", {real, net.graph.add_constant(Tensor::scalar(0.5), "")})},
                              {{"dtype", DType::uint64}}));
  const std::vector<Tensor> expected = Evaluator(net.graph, all_ops()).run({x}), found = in_litert(net.graph, {x});
  for (std::size_t output = 0; output < 2; ++output)
    for (std::int64_t i = 0; i < 8; ++i)
      EXPECT_LE(std::abs(found[output].item(i) - expected[output].item(i)), 1e-7 * expected[output].item(i)) << output << " " << i;
}

// ---- floats of 8 bits and less

class NarrowFloats : public testing::TestWithParam<DType> {};

TEST_P(NarrowFloats, RoundToTheNearestCode) {
  const DType dtype = GetParam();
  std::vector<float> all = {0.0F, -0.0F, NAN, HUGE_VALF, -HUGE_VALF, std::numeric_limits<float>::max(), std::numeric_limits<float>::min()};
  for (int code = 0; code < 1 << bits(dtype); ++code) {
    const auto here = static_cast<float>(narrow_to_number(dtype, static_cast<std::uint8_t>(code)));
    const auto next = static_cast<float>(narrow_to_number(dtype, static_cast<std::uint8_t>(code + 1)));
    for (const float x : {here, here / 2 + next / 2}) {
      if (!std::isfinite(x) || (x != 0 && std::abs(x) < std::numeric_limits<float>::min())) continue;  // XNNPACK takes those for zero
      all.push_back(x);
      for (const float away : {-HUGE_VALF, HUGE_VALF})
        if (const float near = std::nextafter(x, away); std::isnormal(near)) all.push_back(near);
    }
  }
  const Tensor x = Tensor::from(all, {static_cast<std::int64_t>(all.size())});
  Net net;
  net.output("y", net.node("y", "cast", {net.input("x", fmt::format("float32[{}]", all.size()))}, {{"dtype", dtype}}));
  const std::vector<float> expected = Evaluator(net.graph, all_ops()).run({x})[0].to_floats(),
                           found = in_litert(net.graph, {x})[0].to_floats();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(found[i])) << all[i] << " gives " << found[i];
    } else {
      EXPECT_EQ(found[i], expected[i]) << all[i];
      EXPECT_EQ(std::signbit(found[i]), std::signbit(expected[i])) << all[i];
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, NarrowFloats,
                         testing::Values(DType::float8_e4m3fn, DType::float8_e5m2, DType::float8_e4m3fnuz, DType::float8_e5m2fnuz,
                                         DType::float8_e8m0fnu, DType::float4_e2m1fn),
                         [](const auto& p) { return std::string(name(p.param)); });

TEST(EmptyTensors, GoInAndOut) {
  Net net;
  const ValueId x = net.input("x", "float32[2, 0]"), z = net.input("z", "float32[3]");
  net.output("none", net.node("none", "neg", {x}));
  net.output("y", net.node("y", "exp", {z}));
  const std::vector<Tensor> inputs = {Tensor::allocate(DType::float32, {2, 0}), Tensor::from<float>({1, 2, 3}, {3})};
  const std::vector<Tensor> expected = Evaluator(net.graph, all_ops()).run(inputs), found = in_litert(net.graph, inputs);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].type(), expected[0].type());
  EXPECT_LE(difference({expected[1]}, {found[1]}), 1e-6);
}

// ---- the evaluator itself

TEST(Integers, WrapAroundAtTheEndsOfTheirType) {
  constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min(), most = std::numeric_limits<std::int64_t>::max();
  const auto pairs = [](std::string_view op, std::int64_t x, std::int64_t y) {
    Net n;
    const ValueId a = n.input("a", "int64[1]"), b = n.input("b", "int64[1]");
    n.output("y", n.node("y", op, {a, b}));
    const std::vector<Tensor> inputs = {Tensor::from<std::int64_t>({x}, {1}), Tensor::from<std::int64_t>({y}, {1})};
    return Evaluator(n.graph, all_ops()).run(inputs)[0].integer();
  };
  EXPECT_EQ(pairs("add", most, 1), least);
  EXPECT_EQ(pairs("sub", least, 1), most);
  EXPECT_EQ(pairs("mul", most, 2), -2);
  EXPECT_EQ(pairs("pow", 3, most), -6148914691236517205);  // the inverse of 3, since 3 to the 2^63 is 1
  EXPECT_EQ(pairs("pow", -1, most), -1);
  for (const std::string_view op : {"neg", "abs"}) {
    Net n;
    n.output("y", n.node("y", op, {n.input("x", "int64[1]")}));
    EXPECT_EQ(Evaluator(n.graph, all_ops()).run(std::vector{Tensor::from<std::int64_t>({least}, {1})})[0].integer(), least);
  }
  Net n;
  const ValueId x = n.input("x", "int64[2]");
  n.output("sum", n.node("sum", "sum", {x}));
  n.output("prod", n.node("prod", "prod", {x}));
  n.output("cumsum", n.node("cumsum", "cumsum", {x}, {{"dim", std::int64_t{0}}}));
  const std::vector<Tensor> results = Evaluator(n.graph, all_ops()).run(std::vector{Tensor::from<std::int64_t>({most, most}, {2})});
  EXPECT_EQ(results[0].integer(), -2);
  EXPECT_EQ(results[1].integer(), 1);
  EXPECT_EQ(results[2].integer(1), -2);
}

}  // namespace
}  // namespace wherry
