// Lowered graphs in LiteRT against the reference evaluator, and FBNet-A's count of operators.
#include "export/tflite/write_tflite.h"
#include "import/pt2/read_pt2.h"
#include "lower/fit_cache.h"
#include "passes/pipeline.h"
#include "runtime/litert.h"

#include "../net.h"

#include <cstdlib>

namespace wherry {
namespace {

namespace fs = std::filesystem;

std::vector<int> inverse(const std::vector<int>& order) {
  std::vector<int> result(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) result[static_cast<std::size_t>(order[i])] = static_cast<int>(i);
  return result;
}

double error_in_litert(const Graph& graph, Io io, const std::string& name, const std::function<void(Lowered&)>& change = {}) {
  Diagnostics diagnostics;
  std::vector<PassRecord> records;
  Lowered lowered = lower_to_tfl(run_passes(graph, all_ops(), {}, records), all_ops(), {.io = io}, diagnostics);
  diagnostics.throw_if_errors();
  if (change) change(lowered);
  const fs::path file = fs::path(testing::TempDir()) / fmt::format("wherry_{}_{}.tflite", getpid(), name);
  AtomicFile out(file);
  write_tflite(lowered.graph, {}, out);
  out.commit();

  std::vector<Type> types;
  for (const Port& port : graph.inputs) types.push_back(graph.type(port.value));
  const std::vector<Tensor> inputs = seeded_tensors(types, 3);
  std::vector<Tensor> placed;
  for (std::size_t i = 0; i < inputs.size(); ++i) placed.push_back(inputs[i].permuted(inverse(io_order(types[i], io))).contiguous());
  std::vector<Tensor> results = LiteRtModel::from_file(file)->run(placed);
  fs::remove(file);
  EXPECT_EQ(results.size(), lowered.graph.outputs.size());
  for (std::size_t i = 0; i < results.size(); ++i)
    results[i] = results[i].permuted(io_order(graph.type(graph.outputs[i].value), io)).contiguous();
  return difference(Evaluator(graph, all_ops()).run(inputs), results);
}

struct Case {
  std::string name;
  void (*build)(Net&);
};

const std::vector<Case> cases = {
    {"residual",
     [](Net& n) {
       const ValueId x = n.conv("stem", n.input("x", "float32[2, 3, 9, 7]"), 8, 3, {{"stride", Ints{2, 2}}, {"padding", Ints{1, 1}}});
       const ValueId y =
           n.node("relu", "relu", {n.batch_norm("bn", n.conv("dw", x, 8, 3, {{"groups", std::int64_t{8}}, {"padding", Ints{1, 1}}}))});
       n.output("y", n.node("sum", "add", {n.conv("pw", y, 8, 1), x}));
     }},
    {"grouped",
     [](Net& n) {
       n.output("y", n.conv("conv", n.input("x", "float32[1, 6, 8, 8]"), 4, 3, {{"groups", std::int64_t{2}}}));
     }},
    {"shuffled",
     [](Net& n) {
       const ValueId x = n.input("x", "float32[1, 6, 4, 4]");
       n.output("y", n.node("sum", "add", {n.node("shuffle", "channel_shuffle", {x}, {{"groups", std::int64_t{3}}}), x}));
     }},
    {"broadcast",
     [](Net& n) {
       ValueId x = n.node("scale", "mul", {n.input("x", "float32[2, 3, 4, 5]"), n.weight("w", {3, 1, 1})});
       x = n.node("plane", "add", {x, n.weight("p", {4, 5})});
       n.output("y", n.node("other", "sub", {x, n.input("v", "float32[4, 1]")}));
     }},
    {"permutes",
     [](Net& n) {
       ValueId x = n.node("a", "permute", {n.input("x", "float32[2, 3, 4, 5]")}, {{"dims", Ints{3, 1, 0, 2}}});
       x = n.node("relu", "relu", {x});
       n.output("y", n.node("b", "permute", {x}, {{"dims", Ints{1, 3, 2, 0}}}));
       n.output("z", n.node("flat", "reshape", {x}, {{"shape", Ints{5, 24}}}));
     }},
    {"passed_on",
     [](Net& n) {
       const ValueId x = n.input("x", "float32[1, 3, 4, 4]");
       n.output("same", n.node("identity", "identity", {x}));
       n.output("turned", n.node("permute", "permute", {x}, {{"dims", Ints{0, 2, 3, 1}}}));
       n.output("relu", n.node("r", "relu", {x}));
     }},
    {"named_twice",
     [](Net& n) {
       const ValueId y = n.node("relu", "relu", {n.input("x", "float32[2, 3]")});
       n.output("a", y);
       n.output("b", y);
     }},
    {"constant_output",
     [](Net& n) {
       n.output("y", n.node("relu", "relu", {n.input("x", "float32[2, 3]")}));
       n.output("c", n.weight("c", {2, 2}));
     }},
    {"int64",
     [](Net& n) {
       const ValueId x = n.input("x", "int64[2, 3]");
       n.output("sum", n.node("sum", "add", {x, n.add.constant(Tensor::scalar(3, DType::int64))}));
       n.output("float", n.node("cast", "cast", {x}, {{"dtype", DType::float32}}));
     }},
    {"seven_axes",  // more than XNNPACK takes
     [](Net& n) {
       n.output("y", n.node("softmax", "softmax", {n.input("x", "float32[1, 2, 3, 1, 2, 2, 3]")}, {{"dim", std::int64_t{2}}}));
     }},
    {"sequence",
     [](Net& n) {
       n.output("y", n.conv("conv", n.input("x", "float32[2, 3, 16]"), 5, 3, {{"stride", Ints{2}}, {"padding", Ints{1}}}));
     }},
};

class LoweredRuns : public testing::TestWithParam<Case> {};

TEST_P(LoweredRuns, AsTheSourceDoes) {
  if (!find_litert()) GTEST_SKIP() << "ai-edge-litert is not installed";
  Net net;
  GetParam().build(net);
  EXPECT_LE(error_in_litert(net.graph, Io::nhwc, GetParam().name), 1e-5);
  EXPECT_LE(error_in_litert(net.graph, Io::nchw, GetParam().name), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Cases, LoweredRuns, testing::ValuesIn(cases), [](const auto& at) { return at.param.name; });

TEST(LoweredRuns, AsTheSourceDoesInPartsThatFitACache) {
  if (!find_litert()) GTEST_SKIP() << "ai-edge-litert is not installed";
  Net n;
  const ValueId x = n.input("x", "float32[2, 5, 9, 7]");
  ValueId y = n.node("swish", "hardswish", {n.conv("expand", x, 44, 1)});
  y = n.conv("depthwise", y, 44, 3, {{"groups", std::int64_t{44}}, {"stride", Ints{2, 2}}, {"padding", Ints{1, 1}}});
  y = n.node("sum", "add", {n.conv("project", n.node("relu", "relu", {y}), 6, 1), n.weight("w", {6, 1, 1})});
  n.output("y", n.node("relu6", "relu6", {n.conv("next", y, 6, 1)}));
  const auto split = [](Lowered& lowered) {
    EXPECT_EQ(fit_cache(lowered, 2), 1);
    EXPECT_EQ(count_builtins(lowered.graph)["DEPTHWISE_CONV_2D"], 3);
  };
  EXPECT_LE(error_in_litert(n.graph, Io::nhwc, "parts", split), 1e-5);
}

TEST(FbnetA, HasNoOperatorTooMany) {
  const char* folder = std::getenv("WHERRY_DATA");
  const fs::path file = (folder ? fs::path(folder) : fs::path(WHERRY_SOURCE_DIR) / "../shared/data") / "fbnet_a.pt2";
  if (!fs::exists(file)) GTEST_SKIP() << file << " is absent";
  Diagnostics diagnostics;
  const Graph graph = read_pt2(file, all_ops(), diagnostics);
  diagnostics.throw_if_errors();
  std::vector<PassRecord> records;
  const Lowered lowered = lower_to_tfl(run_passes(graph, all_ops(), {}, records), all_ops(), {.io = Io::nhwc}, diagnostics);
  diagnostics.throw_if_errors();
  const std::map<std::string, int> expected = {{"ADD", 13}, {"CONV_2D", 36}, {"DEPTHWISE_CONV_2D", 19},
                                               {"MEAN", 1}, {"PAD", 5},      {"RESHAPE", 1}};
  EXPECT_EQ(count_builtins(lowered.graph), expected);
  EXPECT_EQ(lowered.graph.tensors[static_cast<std::size_t>(lowered.graph.inputs.at(0).value)].sizes, (Sizes{1, 224, 224, 3}));
}

}  // namespace
}  // namespace wherry
