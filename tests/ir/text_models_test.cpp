// The models and block libraries that come with Wherry.
#include "text_cases.h"

#include "base/files.h"
#include "import/pt2/read_pt2.h"
#include "ir/outline.h"
#include "ir/text/write_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace wherry {
namespace {

namespace fs = std::filesystem;
const fs::path root = WHERRY_SOURCE_DIR;

Model read_clean(const fs::path& file) {
  Diagnostics diagnostics;
  Model model = read_model(file, {root / "library"}, diagnostics);
  EXPECT_EQ(messages(diagnostics), "");
  return model;
}

struct Known {
  const char* name;
  std::int64_t parameters;  // learned ones: as published, FBNets' as in the archives
  std::int64_t size;        // of the image
};
std::ostream& operator<<(std::ostream& out, const Known& known) { return out << known.name; }

class Models : public testing::TestWithParam<Known> {};

TEST_P(Models, FlattenWithTheirKnownSize) {
  const Model model = read_clean(root / "models" / (std::string(GetParam().name) + ".yaml"));
  Diagnostics diagnostics;
  const Graph graph = flatten(model, all_ops(), {}, diagnostics);
  ASSERT_EQ(messages(diagnostics), "");
  verify(graph);
  std::int64_t learned = 0;
  for (const auto& [key, tensor] : weights_of(graph))
    if (key.find("running_") == std::string::npos) learned += tensor.count();
  EXPECT_EQ(learned, GetParam().parameters);
  EXPECT_EQ(text(graph.type(graph.inputs[0].value)), fmt::format("float32[1, 3, {0}, {0}]", GetParam().size));
  EXPECT_EQ(text(graph.type(graph.outputs[0].value)), "float32[1, 1000]");
}

TEST_P(Models, PrintUnchangedInMeaning) {
  const Model model = read_clean(root / "models" / (std::string(GetParam().name) + ".yaml"));
  Diagnostics diagnostics;
  const std::string printed = write_yaml(model);
  const Model again = parse(printed, diagnostics);
  EXPECT_EQ(write_yaml(again), printed);
  EXPECT_EQ(first_difference(flatten(model, all_ops(), {}, diagnostics), flatten(again, all_ops(), {}, diagnostics)), "");
  EXPECT_EQ(messages(diagnostics), "");
}

INSTANTIATE_TEST_SUITE_P(All, Models,
                         testing::Values(Known{"fbnet_a", 4321232, 224}, Known{"fbnet_b", 4818216, 224}, Known{"fbnet_c", 5592784, 224},
                                         Known{"efficientnet_lite0", 4652008, 224}, Known{"efficientnet_lite1", 5416680, 240},
                                         Known{"efficientnet_lite2", 6092072, 260}, Known{"efficientnet_lite3", 8197096, 280},
                                         Known{"efficientnet_lite4", 13006568, 300}, Known{"mobilenet_v2", 3504872, 224},
                                         Known{"resnet18", 11689512, 224}),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(Models, EveryFileIsTested) {
  for (const auto& entry : fs::directory_iterator(root / "models"))
    EXPECT_THAT(read_text(root / "tests/ir/text_models_test.cpp"), testing::HasSubstr("\"" + entry.path().stem().string() + "\", "));
}

// The hand-written text and the archive give the same layers, attributes and weights.
TEST(Models, FbnetIsTheArchive) {
  const char* named = std::getenv("WHERRY_DATA");
  const fs::path data = named ? fs::path(named) : root / "../shared/data";
  for (const char* name : {"fbnet_a", "fbnet_b"}) {
    if (!fs::exists(data / (std::string(name) + ".pt2"))) GTEST_SKIP() << name << ".pt2 is not here";
    Diagnostics diagnostics;
    Graph archive = read_pt2(data / (std::string(name) + ".pt2"), all_ops(), diagnostics);
    const Weights weights = weights_of(archive);
    Graph ours = flatten(read_clean(root / "models" / (std::string(name) + ".yaml")), all_ops(), {.weights = &weights}, diagnostics);
    ASSERT_EQ(messages(diagnostics), "");
    archive.inputs[0].name = ours.inputs[0].name, archive.outputs[0].name = ours.outputs[0].name;
    archive[archive.inputs[0].value].name = ours.inputs[0].name;
    EXPECT_EQ(first_difference(archive, ours), "");
  }
}

}  // namespace
}  // namespace wherry
