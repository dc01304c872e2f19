// Every operator's example as a .tflite and read back: the same numbers from the reference evaluator.
#include "export/tflite/write_tflite.h"
#include "import/tflite/read_tflite.h"
#include "lower/lower_tfl.h"
#include "ops/examples.h"
#include "passes/pipeline.h"

#include "../net.h"

namespace wherry {
namespace {

namespace fs = std::filesystem;

struct Written {
  fs::path file;
  TfliteOrigin origin;  // what Wherry's files record of themselves
};

std::optional<Written> written(const Graph& graph, const std::string& name, Io io) {
  Diagnostics diagnostics;
  std::vector<PassRecord> records;
  const Lowered lowered = lower_to_tfl(run_passes(graph, all_ops(), {}, records), all_ops(), {.io = io}, diagnostics);
  if (diagnostics.has_errors()) return std::nullopt;  // an operator that TensorFlow Lite lacks
  Written out{fs::path(testing::TempDir()) / fmt::format("wherry_{}_{}.tflite", getpid(), name), {}};
  for (const TflTap& tap : lowered.taps) out.origin.names[tap.tensor] = tap.name;
  for (const auto* ports : {&graph.inputs, &graph.outputs})
    for (const Port& port : *ports) out.origin.ports[port.name] = io_order(graph.type(port.value), io);
  AtomicFile file(out.file);
  write_tflite(lowered.graph, {}, file);
  file.commit();
  return out;
}

Graph read_back(const Written& w) {
  Diagnostics diagnostics;
  Graph graph = read_tflite(read_tfl_graph(w.file), w.origin, all_ops(), diagnostics);
  diagnostics.throw_if_errors();
  verify(graph);
  return graph;
}

std::vector<std::string> example_texts() {
  std::vector<std::string> texts;
  for (const OpDef* op : all_ops().all())
    for (const std::string_view text : op->examples) texts.emplace_back(text);
  return texts;
}

class ReadBack : public testing::TestWithParam<std::string> {};

TEST_P(ReadBack, GivesTheSameNumbers) {
  const Example example = parse_example(all_ops(), GetParam());
  const std::vector<Tensor> expected = Evaluator(example.graph, all_ops()).run(example.inputs);
  for (const Io io : {Io::nhwc, Io::nchw}) {
    const std::optional<Written> w = written(example.graph, "read_back", io);
    if (!w) GTEST_SKIP() << "TensorFlow Lite has no such operator";
    const Graph again = read_back(*w);
    fs::remove(w->file);
    ASSERT_EQ(again.inputs.size(), example.inputs.size());
    const std::vector<Tensor> found = Evaluator(again, all_ops()).run(example.inputs);
    EXPECT_LE(difference(expected, found), 2e-6) << text(again);
  }
}

INSTANTIATE_TEST_SUITE_P(Examples, ReadBack, testing::ValuesIn(example_texts()), [](const auto& example) {
  return fmt::format("{}_{}", example.param.substr(0, example.param.find('(')), example.index);
});

TEST(ReadBackNetwork, KeepsPathsAndNeedsNoPermutes) {
  Net n;
  ValueId x = n.conv("stem.conv", n.input("x", "float32[1, 3, 9, 9]"), 8, 3, {{"stride", Ints{2, 2}}, {"padding", Ints{1, 1}}});
  x = n.node("stem.relu", "relu6", {x});
  const ValueId y = n.conv("block.dw", x, 8, 3, {{"groups", std::int64_t{8}}, {"padding", Ints{1, 1}}});
  x = n.node("block.sum", "add", {n.conv("block.pw", y, 8, 1), x});
  x = n.node("joined", "cat",
             {x, n.node("pool", "max_pool2d", {x}, {{"kernel_size", Ints{3, 3}}, {"stride", Ints{1, 1}}, {"padding", Ints{1, 1}}})},
             {{"dim", std::int64_t{1}}});
  n.output("image", n.node("soft", "softmax", {x}, {{"dim", std::int64_t{1}}}));
  n.output("mean", n.node("mean", "mean", {x}, {{"dim", Ints{2, 3}}}));
  const Graph again = read_back(written(n.graph, "network", Io::nhwc).value());
  EXPECT_EQ(text(again),
            "stem.conv = conv2d(x, stem.conv.weight, stem.conv.bias, stride: [2, 2], padding: [1, 1])\n"
            "stem.relu = relu6(stem.conv)\n"
            "block.dw = conv2d(stem.relu, block.dw.weight, block.dw.bias, padding: [1, 1], groups: 8)\n"
            "block.pw = conv2d(block.dw, block.pw.weight, block.pw.bias)\n"
            "block.sum = add(block.pw, stem.relu)\n"
            "pool = max_pool2d(block.sum, kernel_size: [3, 3], stride: [1, 1], padding: [1, 1])\n"
            "joined = cat(block.sum, pool, dim: 1)\n"
            "soft = softmax(joined, dim: 1)\n"
            "mean = mean(joined, dim: [2, 3])\n");
  EXPECT_LE(difference(run(n.graph), run(again)), 1e-6);
}

TEST(ReadBackNetwork, WithoutARecordImagesAreFoundByTheirUse) {
  Net n;
  const ValueId x = n.conv("conv", n.input("x", "float32[1, 3, 9, 8]"), 4, 3);
  n.output("image", n.node("relu", "relu", {x}));
  Written w = written(n.graph, "foreign", Io::nhwc).value();
  w.origin = {};
  const Graph again = read_back(w);
  EXPECT_EQ(wherry::text(again.type(again.inputs[0].value)), "float32[1, 3, 9, 8]");
  EXPECT_EQ(wherry::text(again.type(again.outputs[0].value)), "float32[1, 4, 7, 6]");
  EXPECT_LE(difference(run(n.graph), run(again)), 1e-6);
}

TEST(ReadBackNetwork, WithoutARecordOtherInputsStayAsTheyAre) {
  Net n;
  n.output("y", n.node("flat", "reshape", {n.input("x", "float32[1, 3, 9, 8]")}, {{"shape", Ints{1, -1}}}));
  Written w = written(n.graph, "flat", Io::nchw).value();
  w.origin = {};
  const Graph again = read_back(w);
  EXPECT_EQ(wherry::text(again.type(again.inputs[0].value)), "float32[1, 3, 9, 8]");
  EXPECT_LE(difference(run(n.graph), run(again)), 0);
}

TEST(ReadBackNetwork, HalvesBecomeFloats) {
  Net n;
  n.output("y", n.conv("conv", n.input("x", "float32[1, 3, 5, 5]"), 4, 3));
  Diagnostics diagnostics;
  Lowered lowered = lower_to_tfl(n.graph, all_ops(), {.io = Io::nchw}, diagnostics);
  to_float16(lowered.graph, diagnostics);
  const fs::path file = fs::path(testing::TempDir()) / fmt::format("wherry_{}_half.tflite", getpid());
  AtomicFile out(file);
  write_tflite(lowered.graph, {}, out);
  out.commit();
  const Graph again = read_back({file, {.ports = {{"x", {0, 1, 2, 3}}, {"y", {0, 1, 2, 3}}}, .names = {}}});
  const double error = difference(run(n.graph), run(again));
  EXPECT_GT(error, 0);
  EXPECT_LE(error, 2e-3);
}

std::string code_of(const TflGraph& graph, std::size_t count = 1) {
  const fs::path file = fs::path(testing::TempDir()) / fmt::format("wherry_{}_fault.tflite", getpid());
  AtomicFile out(file);
  write_tflite(graph, {}, out);
  out.commit();
  try {
    read_back({file, {}});
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.diagnostics().size(), count);
    return failure.diagnostics().at(0).code;
  }
  return "";
}

TEST(ReadBackFaults, IntegersAndUnknownOperatorsAreRefused) {
  TflGraph graph{.name = "g", .tensors = {{.name = "x", .sizes = {4}}, {.name = "y", .sizes = {4}}, {.name = "z", .sizes = {4}}}};
  graph.inputs = {{"x", 0}};
  graph.outputs = {{"z", 2}};
  graph.nodes = {{.builtin = "ZEROS_LIKE", .inputs = {0}, .outputs = {1}},
                 {.builtin = "DYNAMIC_UPDATE_SLICE", .inputs = {0, 1}, .outputs = {2}}};
  EXPECT_EQ(code_of(graph, 2), "E201");
  graph.nodes = {{.builtin = "RELU", .inputs = {1}, .outputs = {2}}};
  EXPECT_EQ(code_of(graph), "E104");  // y is made by nobody
  graph.nodes = {{.builtin = "RELU", .inputs = {0}, .outputs = {2}}};
  EXPECT_EQ(code_of(graph, 0), "");
  graph.tensors[2].sizes = {5};
  EXPECT_EQ(code_of(graph), "E203");  // a shape that the operator does not give
  graph.tensors[2].sizes = {4};
  for (TflTensor& t : graph.tensors) t.dtype = DType::int8, t.quantization = TflQuantization{.scales = {1}, .zero_points = {0}};
  EXPECT_EQ(code_of(graph), "E107");
}

}  // namespace
}  // namespace wherry
