#include "export/tflite/write_tflite.h"

#include "../hand_graph.h"
#include "base/check.h"
#include "export/tflite/op_version.h"
#include "tflite_schema/metadata_generated.h"
#include "tflite_schema/tflite_model.h"

#include <sys/resource.h>

#include <csignal>

namespace wherry {
namespace {

struct Written {
  std::string bytes;
  const tflite::Model& model() const { return tflite_model(std::as_bytes(std::span(bytes))); }
  const tflite::SubGraph& graph() const { return *model().subgraphs()->Get(0); }
  std::string_view data(std::uint32_t buffer) const {
    const auto* data = model().buffers()->Get(buffer)->data();
    return {reinterpret_cast<const char*>(data->data()), data->size()};
  }
};

Written written(const TflGraph& graph, const TfliteMetadata& metadata = {}) {
  Written out{read_text(write(graph, "hand.tflite", metadata))};
  EXPECT_EQ(why_not_tflite(std::as_bytes(std::span(out.bytes))), "");
  return out;
}

TEST(WriteTflite, WritesAnOrdinaryFlatBuffer) {
  const Written file = written(small_convolution());
  EXPECT_EQ(file.model().version(), 3U);
  EXPECT_EQ(file.graph().name()->str(), "hand");
  ASSERT_EQ(file.graph().operators()->size(), 1U);
  const tflite::Operator& op = *file.graph().operators()->Get(0);
  const auto* options = op.builtin_options_as_Conv2DOptions();
  ASSERT_NE(options, nullptr);
  EXPECT_EQ(options->padding(), tflite::Padding::VALID);
  EXPECT_EQ(options->stride_w(), 1);
  EXPECT_EQ(options->dilation_w_factor(), 1);
  EXPECT_EQ(options->fused_activation_function(), tflite::ActivationFunctionType::RELU);
  const tflite::SignatureDef& signature = *file.model().signature_defs()->Get(0);
  EXPECT_EQ(signature.signature_key()->str(), "serving_default");
  EXPECT_EQ(signature.inputs()->Get(0)->name()->str(), "image");
  EXPECT_EQ(signature.outputs()->Get(0)->name()->str(), "features");
}

TEST(WriteTflite, AlignsEveryBufferAndKeepsTheirBytes) {
  const Written file = written(small_convolution());
  for (const tflite::Tensor* tensor : *file.graph().tensors()) {
    if (tensor->buffer() == 0) continue;
    const std::string_view data = file.data(tensor->buffer());
    EXPECT_EQ((data.data() - file.bytes.data()) % 16, 0) << tensor->name()->str();
  }
  float weights[6];
  std::memcpy(weights, file.data(file.graph().tensors()->Get(1)->buffer()).data(), sizeof weights);
  EXPECT_THAT(weights, testing::ElementsAre(1, 2, 3, 4, -5, -6));
}

TEST(WriteTflite, GivesTheSameBytesTwice) { EXPECT_EQ(written(small_convolution()).bytes, written(small_convolution()).bytes); }

TEST(WriteTflite, PutsStridedConstantsInOrder) {
  TflGraph graph = small_convolution();
  const Tensor channels_first = Tensor::from<float>({1, 3, -5, 2, 4, -6}, {2, 3, 1, 1});
  graph.tensors[1].constant = channels_first.permuted({1, 2, 3, 0});
  EXPECT_EQ(written(graph).bytes, written(small_convolution()).bytes);
}

TEST(WriteTflite, SharesEqualConstants) {
  HandGraph g;
  const Tensor large = Tensor::allocate(DType::float32, {64, 64}), view = large.permuted({1, 0});
  std::vector<int> ids = {g.input("x", {64, 64})};
  for (const Tensor& t : {large, large, view, Tensor::allocate(DType::float32, {64, 64})}) ids.push_back(g.constant("c", t));
  for (int i = 0; i < 2; ++i) ids.push_back(g.constant("s", Tensor::from<float>({1, 2}, {2})));
  const int packed = g.add("ADD", {ids[0], ids[1]}, {64, 64});
  g.output("y", packed);
  const Written file = written(g.graph);
  const auto buffer = [&](std::size_t i) { return file.graph().tensors()->Get(static_cast<std::uint32_t>(ids[i]))->buffer(); };
  EXPECT_EQ(buffer(1), buffer(2));
  EXPECT_NE(buffer(1), buffer(3));  // the same memory in another order
  EXPECT_NE(buffer(1), buffer(4));
  EXPECT_EQ(buffer(5), buffer(6));  // small: equal bytes suffice
}

TEST(WriteTflite, PacksFourBitElements) {
  HandGraph g;
  const int c = g.constant("c", Tensor::from<std::int8_t>({1, -1, 7, -8, 3}, {5}).cast(DType::int4));
  g.output("y", g.add("CAST", {c}, {5}));
  const Written file = written(g.graph);
  EXPECT_EQ(file.graph().tensors()->Get(0)->type(), tflite::TensorType::INT4);
  EXPECT_EQ(file.data(1), std::string("\xF1\x87\x03", 3));
}

TEST(WriteTflite, WritesLaterOperatorsForOldReadersToo) {
  HandGraph g;
  const int x = g.input("x", {1, 4});
  g.output("y", g.add("GELU", {x}, {1, 4}, {{"approximate", true}}));
  const Written file = written(g.graph);
  const tflite::OperatorCode& code = *file.model().operator_codes()->Get(0);
  EXPECT_EQ(code.builtin_code(), tflite::BuiltinOperator::GELU);
  EXPECT_EQ(code.deprecated_builtin_code(), 127);
  EXPECT_TRUE(file.graph().operators()->Get(0)->builtin_options_as_GeluOptions()->approximate());
}

std::string metadata_bytes(const Written& file, std::string_view name) {
  for (const tflite::Metadata* entry : *file.model().metadata())
    if (entry->name()->str() == name) return std::string(file.data(entry->buffer()));
  return "absent";
}

TEST(WriteTflite, DescribesInputsAndLabels) {
  const TfliteMetadata metadata{.description = "three classes",
                                .mean = {123.675F, 116.28F, 103.53F},
                                .std = {58.4F, 57.1F, 57.4F},
                                .labels = {"cat", "dog", "wherry"},
                                .provenance = R"({"tool": "wherry"})"};
  HandGraph g;
  const int x = g.input("image", {1, 8, 6, 3});
  g.output("logits", g.add("RELU", {x}, {1, 8, 6, 3}));
  const Written file = written(g.graph, metadata);
  EXPECT_EQ(metadata_bytes(file, "WHERRY_PROVENANCE"), R"({"tool": "wherry"})");
  EXPECT_EQ(metadata_bytes(file, "min_runtime_version"), std::string("1.5.0").append(11, '\0'));
  const std::string bytes = metadata_bytes(file, "TFLITE_METADATA");
  flatbuffers::Verifier verifier(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  ASSERT_TRUE(tflite::VerifyModelMetadataBuffer(verifier));
  const tflite::ModelMetadata& model = *tflite::GetModelMetadata(bytes.data());
  EXPECT_EQ(model.description()->str(), "three classes");
  const tflite::SubGraphMetadata& graph = *model.subgraph_metadata()->Get(0);
  const tflite::TensorMetadata& input = *graph.input_tensor_metadata()->Get(0);
  const auto* size = input.content()->content_properties_as_ImageProperties()->default_size();
  EXPECT_EQ(size->height(), 8U);
  EXPECT_EQ(size->width(), 6U);
  EXPECT_FLOAT_EQ(input.process_units()->Get(0)->options_as_NormalizationOptions()->mean()->Get(1), 116.28F);
  EXPECT_EQ(graph.output_tensor_metadata()->Get(0)->associated_files()->Get(0)->name()->str(), "labels.txt");
  EXPECT_THAT(file.bytes, testing::HasSubstr("cat\ndog\nwherry\n"));
}

TEST(WriteTflite, LeavesNothingBehindOnAFullDisk) {
  HandGraph g;
  const int x = g.input("x", {512, 512}), w = g.constant("w", Tensor::allocate(DType::float32, {512, 512}));
  g.output("y", g.add("ADD", {x, w}, {512, 512}));
  const std::filesystem::path path = scratch("full.tflite");
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit tiny{1 << 16, before.rlim_max};
  std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &tiny);
  std::string code;
  try {
    write(g.graph, "full.tflite");
  } catch (const Failure& f) {
    code = f.diagnostics().at(0).code;
    EXPECT_THAT(f.diagnostics()[0].next, testing::HasSubstr("disk space"));
  }
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(code, "E601");
  for (const auto& entry : std::filesystem::directory_iterator(path.parent_path()))
    EXPECT_FALSE(entry.path().filename().string().starts_with("wherry_full")) << entry.path();
}

TEST(WriteTflite, RefusesMoreThanTwoGigabytes) {
  HandGraph g;
  const int x = g.input("x", {1});
  const Tensor one = Tensor::scalar(1);
  const Tensor huge(DType::float32, {1024, 1024, 512}, {0, 0, 0}, reinterpret_cast<const std::byte*>(one.storage()), nullptr);
  g.output("y", g.add("ADD", {x, g.constant("w", huge)}, {1}));
  try {
    write(g.graph, "huge.tflite");
    FAIL() << "written";
  } catch (const Failure& f) {
    EXPECT_EQ(f.diagnostics().at(0).code, "E603");
    EXPECT_EQ(f.diagnostics()[0].message, "'hand' has 2.15 GB of weights, and a .tflite file ends below 2 GB");
  }
}

// An option that the table lacks is a fault of the lowering, and named as such.
TEST(WriteTflite, ChecksOptions) {
  TflGraph graph = small_convolution();
  graph.nodes[0].options.push_back({"stride", std::int64_t{1}});
  EXPECT_THROW(write(graph), InternalError);
  graph = small_convolution();
  graph.nodes[0].find("padding")->value = std::string("FULL");
  EXPECT_THROW(write(graph), InternalError);
  graph = small_convolution();
  graph.nodes[0].builtin = "CONV_7D";
  EXPECT_THROW(write(graph), InternalError);
}

int version(const std::string& builtin, std::vector<TflTensor> inputs, std::vector<TflOption> options = {}, DType out = DType::float32) {
  HandGraph g;
  std::vector<int> ids;
  for (TflTensor& t : inputs) ids.push_back(g.tensor(t.name, t.sizes, t.dtype));
  g.add(builtin, ids, {1}, std::move(options), out);
  return op_version(g.graph, g.graph.nodes[0]).version;
}

TEST(OpVersion, IsTheLeastThatDoesTheWork) {
  const TflTensor f4{"x", DType::float32, {1, 4, 4, 8}}, w{"w", DType::float32, {8, 3, 3, 8}}, grouped{"w", DType::float32, {8, 3, 3, 4}};
  const TflTensor f6{"x", DType::float32, {1, 1, 2, 2, 2, 2}}, half{"h", DType::float16, {4}}, ints{"i", DType::int32, {4}};
  EXPECT_EQ(version("CONV_2D", {f4, w, half}), 1);
  EXPECT_EQ(version("CONV_2D", {f4, grouped, half}), 6);
  EXPECT_EQ(version("DEPTHWISE_CONV_2D", {f4, w}), 1);
  EXPECT_EQ(version("DEPTHWISE_CONV_2D", {f4, w}, {{"dilation_w_factor", std::int64_t{2}}}), 2);
  EXPECT_EQ(version("FULLY_CONNECTED", {f4, w, half}), 1);
  EXPECT_EQ(version("FULLY_CONNECTED", {f4, w}), 6);
  EXPECT_EQ(version("FULLY_CONNECTED", {f4, w, half}, {{"keep_num_dims", true}}), 5);
  EXPECT_EQ(version("TRANSPOSE_CONV", {ints, w, f4}), 1);
  EXPECT_EQ(version("TRANSPOSE_CONV", {ints, w, f4, half}), 3);
  EXPECT_EQ(version("TRANSPOSE_CONV", {ints, w, f4, half}, {{"fused_activation_function", std::string("RELU")}}), 4);
  EXPECT_EQ(version("RESIZE_BILINEAR", {f4, ints}, {{"half_pixel_centers", true}}), 3);
  EXPECT_EQ(version("RESIZE_BILINEAR", {f4, ints}, {{"align_corners", true}}), 1);
  EXPECT_EQ(version("RESIZE_NEAREST_NEIGHBOR", {f4, ints}, {{"align_corners", true}}), 3);
  EXPECT_EQ(version("DEQUANTIZE", {half}), 3);
  EXPECT_EQ(version("TRANSPOSE", {f4, ints}), 1);
  EXPECT_EQ(version("TRANSPOSE", {f6, ints}), 6);
  EXPECT_EQ(version("PAD", {f6, ints}), 4);
  EXPECT_EQ(version("SUB", {f6, f4}), 3);
  EXPECT_EQ(version("ADD", {f6, f4}), 1);
  EXPECT_EQ(version("BROADCAST_TO", {f4, ints}), 2);
  EXPECT_EQ(version("SPLIT", {ints, f4}), 1);
  EXPECT_TRUE(older("1.14.0", "2.3.0"));
  EXPECT_FALSE(older("2.3.0", "2.3.0"));
}

}  // namespace
}  // namespace wherry
