#include "runtime/litert.h"

#include "../hand_graph.h"

#include <fstream>

namespace wherry {
namespace {

#define NEEDS_LITERT() \
  if (!find_litert()) GTEST_SKIP() << "ai-edge-litert is not installed"

std::string failure(const std::function<void()>& body) {
  try {
    body();
  } catch (const Failure& f) {
    return f.diagnostics().at(0).code + ": " + f.diagnostics().at(0).message;
  }
  return "none";
}

std::vector<float> run1(const TflGraph& graph, const std::vector<Tensor>& inputs) {
  const auto model = LiteRtModel::from_file(write(graph));
  return model->run(inputs).at(0).to_floats();
}

TEST(LiteRt, RunsAConvolutionWithBiasAndFusedActivation) {
  NEEDS_LITERT();
  const auto model = LiteRtModel::from_file(write(small_convolution()));
  ASSERT_EQ(model->inputs().size(), 1U);
  EXPECT_EQ(model->inputs()[0].name, "image");
  EXPECT_EQ(text(model->inputs()[0].type), "float32[1, 2, 2, 2]");
  EXPECT_EQ(model->outputs().at(0).name, "features");
  EXPECT_EQ(text(model->outputs()[0].type), "float32[1, 2, 2, 3]");
  const auto out = model->run(std::vector{Tensor::from<float>({1, 1, 2, 0, 0, 3, -20, 4}, {1, 2, 2, 2})});
  EXPECT_EQ(out.at(0).to_floats(), (std::vector<float>{13, 27, 19, 12, 26, 20, 16, 32, 12, 0, 0, 106}));
  // A second run starts anew.
  EXPECT_EQ(model->run(std::vector{Tensor::allocate(DType::float32, {1, 2, 2, 2})}).at(0).to_floats(),
            (std::vector<float>{10, 20, 30, 10, 20, 30, 10, 20, 30, 10, 20, 30}));
}

TEST(LiteRt, KeepsInputsAndOutputsInTheSignaturesOrder) {
  NEEDS_LITERT();
  HandGraph g;
  const int second = g.tensor("t0", {2}), first = g.tensor("t1", {2});
  g.graph.inputs = {{"zebra", first}, {"ant", second}};
  const int difference = g.add("SUB", {first, second}, {2}), sum = g.add("ADD", {first, second}, {2});
  g.graph.outputs = {{"sum", sum}, {"difference", difference}};
  const auto model = LiteRtModel::from_file(write(g.graph));
  ASSERT_EQ(model->inputs().size(), 2U);
  EXPECT_EQ(model->inputs()[0].name, "zebra");
  EXPECT_EQ(model->outputs()[0].name, "sum");
  const auto out = model->run(std::vector{Tensor::from<float>({5, 7}, {2}), Tensor::from<float>({1, 2}, {2})});
  EXPECT_EQ(out.at(0).to_floats(), (std::vector<float>{6, 9}));
  EXPECT_EQ(out.at(1).to_floats(), (std::vector<float>{4, 5}));
}

TEST(LiteRt, RunsEveryElementType) {
  NEEDS_LITERT();
  for (const DType dtype : {DType::float32, DType::int8, DType::uint8, DType::int16, DType::int32, DType::int64, DType::boolean}) {
    HandGraph g;
    const int x = g.input("x", {2, 3}, dtype);
    const int axes = g.constant("axes", Tensor::from<std::int32_t>({1, 0}, {2}));
    g.output("y", g.add("TRANSPOSE", {x, axes}, {3, 2}, {}, dtype));
    const auto model = LiteRtModel::from_file(write(g.graph));
    const Tensor in = Tensor::from<float>({1, 0, 1, 0, 0, 1}, {2, 3}).cast(dtype);
    EXPECT_EQ(model->run(std::vector{in}).at(0).to_floats(), (std::vector<float>{1, 0, 0, 0, 1, 1})) << name(dtype);
  }
}

TEST(LiteRt, RunsHalfWeightsBehindDequantize) {
  NEEDS_LITERT();
  HandGraph g;
  const int x = g.input("x", {1, 3});
  const int half = g.constant("w", Tensor::from<float>({1, 2, 3, 0.5, -1, 0.25}, {2, 3}).cast(DType::float16));
  const int w = g.add("DEQUANTIZE", {half}, {2, 3});
  g.output("y", g.add("FULLY_CONNECTED", {x, w, -1}, {1, 2}));
  EXPECT_EQ(run1(g.graph, {Tensor::from<float>({1, 10, 100}, {1, 3})}), (std::vector<float>{321, 15.5}));
}

TEST(LiteRt, RunsFromMemoryWithTwoThreads) {
  NEEDS_LITERT();
  const auto model = LiteRtModel::from_bytes(read_text(write(small_convolution())), "memory", 2);
  EXPECT_EQ(model->run(std::vector{Tensor::allocate(DType::float32, {1, 2, 2, 2})}).at(0).item(1), 20);
}

TEST(LiteRt, RefusesInputsThatDoNotFit) {
  NEEDS_LITERT();
  const auto model = LiteRtModel::from_file(write(small_convolution()));
  EXPECT_THAT(failure([&] {
                model->run(std::vector{Tensor::allocate(DType::float32, {1, 2, 2, 3})});
              }),
              testing::HasSubstr("E705: input 'image' of"));
  EXPECT_THAT(failure([&] { model->run({}); }), testing::HasSubstr("takes 1 inputs, found 0"));
}

TEST(LiteRt, RefusesWhatIsNoModel) {
  NEEDS_LITERT();
  const auto refuse = [](const std::string& bytes) { return failure([&] { LiteRtModel::from_bytes(bytes, "broken.tflite"); }); };
  const std::string whole = read_text(write(small_convolution()));
  EXPECT_EQ(refuse("hello, this is no model"), "E702: 'broken.tflite' is no .tflite file that LiteRT can read: it lacks the mark TFL3");
  EXPECT_THAT(refuse(""), testing::HasSubstr("E702"));
  EXPECT_EQ(refuse(whole.substr(0, whole.size() / 2)),
            "E702: 'broken.tflite' is no .tflite file that LiteRT can read: its tables are damaged or cut off");
}

TEST(LiteRt, RefusesAGraphThatItsKernelsRefuse) {
  NEEDS_LITERT();
  TflGraph graph = small_convolution();
  graph.tensors[0].sizes = {1, 2, 2, 5};  // no multiple of the filter's channels
  const auto run = [&] { LiteRtModel::from_file(write(graph))->run(std::vector{Tensor::allocate(DType::float32, {1, 2, 2, 5})}); };
  EXPECT_THAT(failure(run), testing::AllOf(testing::StartsWith("E702: LiteRT refuses"), testing::HasSubstr("failed to prepare")));
}

// Whatever byte is damaged: a message or a result, never a crash.
TEST(LiteRt, SurvivesDamagedBytes) {
  NEEDS_LITERT();
  const std::string whole = read_text(write(small_convolution()));
  for (std::size_t i = 0; i < whole.size(); i += 5) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(~damaged[i]);
    const auto load_and_run = [&] {
      const auto model = LiteRtModel::from_bytes(damaged, "damaged");
      std::vector<Tensor> inputs;
      for (const TensorInfo& input : model->inputs()) {
        if (element_count(input.type.shape).size() > 1000) return;  // a damaged size that is merely large
        inputs.push_back(Tensor::allocate(input.type.dtype, sizes(input.type.shape)));
      }
      model->run(inputs);
    };
    EXPECT_THAT(failure(load_and_run), testing::AnyOf("none", testing::StartsWith("E702"))) << i;
  }
}

// WHERRY_LITERT for as long as this lives.
class NamedLibrary {
 public:
  explicit NamedLibrary(const std::string& path) : before_(std::getenv("WHERRY_LITERT") ? std::getenv("WHERRY_LITERT") : "") {
    setenv("WHERRY_LITERT", path.c_str(), 1);
  }
  ~NamedLibrary() { before_.empty() ? unsetenv("WHERRY_LITERT") : setenv("WHERRY_LITERT", before_.c_str(), 1); }

 private:
  std::string before_;
};

TEST(LiteRt, SaysHowToInstallItself) {
  const NamedLibrary nowhere("/nonexistent");
  EXPECT_EQ(failure([] { LiteRtModel::require(); }), "E701: WHERRY_LITERT names '/nonexistent', where there is no libLiteRt.so");
}

// A wheel of another version, as its neighbour folder states it.
TEST(LiteRt, RefusesAnOldVersionByName) {
  const std::filesystem::path packages = scratch("site-packages");
  std::filesystem::create_directories(packages / "ai_edge_litert-2.1.0.dist-info");
  std::filesystem::create_directories(packages / "ai_edge_litert");
  write_text(packages / "ai_edge_litert" / "libLiteRt.so", "not opened");
  const NamedLibrary old(packages.string());
  EXPECT_EQ(find_litert().value().version, "2.1.0");
  EXPECT_THAT(failure([] { LiteRtModel::require(); }), testing::StartsWith("E701: ai-edge-litert 2.1.0 at "));
  std::filesystem::remove(packages / "ai_edge_litert-2.1.0.dist-info");
  EXPECT_THAT(failure([] { LiteRtModel::require(); }), testing::HasSubstr("cannot be opened"));
  std::filesystem::remove_all(packages);
}

}  // namespace
}  // namespace wherry
