#include "runtime/tflite_file.h"

#include "../hand_graph.h"
#include "tflite_schema/tflite_model.h"

namespace wherry {
namespace {

// y = relu(a - b) + a, with the difference and its relu inside.
TflGraph three_steps() {
  HandGraph g;
  const int a = g.input("a", {3}), b = g.input("b", {3});
  const int difference = g.add("SUB", {a, b}, {3});
  const int positive = g.add("RELU", {difference}, {3});
  g.output("y", g.add("ADD", {positive, a}, {3}));
  return g.graph;
}

TEST(TfliteFile, ShowsWhatAFileHolds) {
  const TfliteMetadata metadata{.description = "by hand", .labels = {"one", "two"}, .provenance = "{}"};
  const TfliteSummary summary = summarize_tflite(write(small_convolution(), "summary.tflite", metadata));
  ASSERT_EQ(summary.operators.size(), 1U);
  EXPECT_EQ(summary.operators.at("CONV_2D").count, 1);
  EXPECT_EQ(summary.operators.at("CONV_2D").version, 1);
  EXPECT_EQ(summary.tensors, 4U);
  EXPECT_EQ(summary.weight_bytes, 9 * sizeof(float));
  EXPECT_EQ(summary.inputs.at(0).name, "image");
  EXPECT_EQ(text(summary.outputs.at(0).type), "float32[1, 2, 2, 3]");
  EXPECT_EQ(summary.description, "by hand");
  EXPECT_EQ(summary.metadata.at("min_runtime_version"), "1.5.0");
  EXPECT_EQ(summary.metadata.at("WHERRY_PROVENANCE"), "{}");
  EXPECT_EQ(summary.files, std::vector<std::string>{"labels.txt"});
}

TEST(TfliteFile, RefusesOtherFiles) {
  const std::filesystem::path path = scratch("text.tflite");
  write_text(path, "no model at all");
  try {
    summarize_tflite(path);
    FAIL() << "read";
  } catch (const Failure& f) {
    EXPECT_EQ(f.diagnostics().at(0).code, "E107");
  }
}

TEST(TfliteFile, GivesInnerTensorsAsOutputs) {
  const TflGraph graph = three_steps();
  const auto file = MappedFile::open(write(graph, "taps.tflite", {.labels = {"a"}}));
  const TappedTflite tapped = with_outputs(file->bytes(), {{"a", 0}, {"difference", 2}, {"y", 3}, {"sum", 4}, {"none", 99}});
  EXPECT_EQ(tapped.output, (std::vector<int>{-1, 1, 2, 0, -1}));  // an input is made by no operator; the sum is an output already
  ASSERT_EQ(why_not_tflite(std::as_bytes(std::span(tapped.bytes))), "");
  if (!find_litert()) GTEST_SKIP() << "ai-edge-litert is not installed";
  const auto model = LiteRtModel::from_bytes(tapped.bytes, "tapped");
  ASSERT_EQ(model->outputs().size(), 3U);
  EXPECT_EQ(model->outputs()[0].name, "y");
  EXPECT_EQ(model->outputs()[1].name, "difference");
  EXPECT_EQ(model->outputs()[2].name, "y#2");
  const auto out = model->run(std::vector{Tensor::from<float>({1, 2, 3}, {3}), Tensor::from<float>({3, 2, 1}, {3})});
  EXPECT_EQ(out.at(0).to_floats(), (std::vector<float>{1, 2, 5}));
  EXPECT_EQ(out.at(1).to_floats(), (std::vector<float>{-2, 0, 2}));
  EXPECT_EQ(out.at(2).to_floats(), (std::vector<float>{0, 0, 2}));
}

}  // namespace
}  // namespace wherry
