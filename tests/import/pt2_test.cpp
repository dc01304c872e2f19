#include "import/pt2/read_pt2.h"

#include "ops/all_ops.h"
#include "packed.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <random>

namespace wherry::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* model = "small/models/model.json";
constexpr const char* weights = "small/data/weights/model_weights_config.json";

Graph read(const Entries& entries) {
  Archive archive(owned(packed(entries)), "'x.pt2'");
  Diagnostics diagnostics;
  Graph graph = read_pt2(archive, "x", all_ops(), diagnostics);
  diagnostics.throw_if_errors();
  return graph;
}

std::string fault_of(const Entries& entries) {
  return fault([&] { read(entries); });
}

// The message for the small model with one of its JSON entries edited.
template <class F>
std::string edited(const char* entry, F edit) {
  Entries entries = unpacked("small.pt2");
  json document = json::parse(entries.at(entry));
  edit(document);
  entries[entry] = document.dump();
  return fault_of(entries);
}

json& node(json& document, const std::string& target) {
  for (json& node : document["graph_module"]["graph"]["nodes"])
    if (node["target"] == "torch.ops." + target) return node;
  throw std::out_of_range(target);
}

const Node* find(const Graph& graph, const std::string& path) {
  for (const Node& node : graph.nodes)
    if (node.path == path) return &node;
  return nullptr;
}

TEST(Pt2, ReadsTheSmallModel) {
  const Graph graph = read(unpacked("small.pt2"));
  verify(graph);
  EXPECT_EQ(graph.name, "small");
  ASSERT_EQ(graph.inputs.size(), 2U);
  EXPECT_EQ(graph.inputs[0].name, "x");
  EXPECT_EQ(text(graph.type(graph.inputs[0].value)), "float32[s77, 3, 4, 4]");
  EXPECT_EQ(graph.inputs[1].name, "pair.0");
  ASSERT_EQ(graph.outputs.size(), 2U);
  EXPECT_EQ(graph.outputs[0].name, "logits");
  EXPECT_EQ(text(graph.type(graph.outputs[1].value)), "float32[s77, 8]");
}

TEST(Pt2, KeepsPathsSourcesAndModules) {
  const Graph graph = read(unpacked("small.pt2"));
  const Node* conv = find(graph, "conv");
  ASSERT_TRUE(conv);
  EXPECT_EQ(graph[conv->inputs[1]].name, "conv.weight");
  EXPECT_EQ(conv->source.file, "make_pt2.py");
  EXPECT_GT(conv->source.line, 0);
  const auto is_conv = [](const ModuleInfo& m) { return m.path == "conv" && m.type == "Conv2d"; };
  EXPECT_TRUE(std::any_of(graph.modules.begin(), graph.modules.end(), is_conv));
}

TEST(Pt2, TiedWeightsAreOneValue) {
  const Graph graph = read(unpacked("small.pt2"));
  const Node *first = find(graph, "first"), *second = find(graph, "second");
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->inputs[1], second->inputs[1]);
  EXPECT_EQ(graph[first->inputs[1]].name, "first.weight");
  EXPECT_NE(first->inputs[2], second->inputs[2]);
}

TEST(Pt2, WeightsAreViewsWithTheirStrides) {
  const Graph graph = read(unpacked("small.pt2"));
  const auto scale = std::find_if(graph.values.begin(), graph.values.end(), [](const Value& v) { return v.name == "scale"; });
  ASSERT_NE(scale, graph.values.end());
  EXPECT_EQ(scale->constant->sizes(), (Sizes{8}));
  EXPECT_EQ(scale->constant->strides(), (Sizes{2}));
}

TEST(Pt2, ReadsFbnetA) {
  const char* given = std::getenv("WHERRY_DATA");
  const std::filesystem::path file = std::filesystem::path(given ? given : WHERRY_SOURCE_DIR "/../shared/data") / "fbnet_a.pt2";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "no " << file;
  Diagnostics diagnostics;
  const Graph graph = read_pt2(file, all_ops(), diagnostics);
  EXPECT_FALSE(diagnostics.has_errors());
  verify(graph);
  EXPECT_EQ(graph.nodes.size(), 162U);
  EXPECT_EQ(text(graph.type(graph.outputs.at(0).value)), "float32[1, 1000]");
  const Node* relu = find(graph, "backbone.stages.xif2_0.pw.relu");
  ASSERT_TRUE(relu);
  EXPECT_EQ(relu->where(), "backbone.stages.xif2_0.pw.relu (mobile_cv/arch/fbnet_v2/basic_blocks.py:491)");
}

// ---- faults: each matches its text ----------------------------------------------------------------------------------

TEST(Pt2Fault, VersionOfTheSchema) {
  EXPECT_THAT(edited(model, [](json& d) { d["schema_version"]["major"] = 7; }),
              AllOf(StartsWith("error E106: the program's schema is version 7."), HasSubstr("(written by torch 2.13"),
                    HasSubstr("export it with torch 2.13")));
}

TEST(Pt2Fault, VersionOfTheArchive) {
  Entries entries = unpacked("small.pt2");
  entries["small/archive_version"] = "9";
  EXPECT_THAT(fault_of(entries), StartsWith("error E106: 'x.pt2': its version is '9', Wherry reads '0'"));
  entries["small/archive_version"] = "0";
  entries["small/byteorder"] = "big";
  EXPECT_THAT(fault_of(entries), StartsWith("error E106: 'x.pt2': its byte order is 'big'"));
}

TEST(Pt2Fault, OtherKindsOfArchive) {
  EXPECT_THAT(fault_of({{"m/serialized_exported_program.json", "{}"}}),
              HasSubstr("E106: 'x.pt2': the archive's layout is that of torch 2.7 and older"));
  EXPECT_THAT(fault_of({{"m/constants.pkl", ""}, {"m/data.pkl", ""}}), HasSubstr("E107: 'x.pt2': the file is a TorchScript archive"));
  EXPECT_THAT(fault_of({{"m/data.pkl", ""}}), HasSubstr("E107: 'x.pt2': the file holds weights"));
  EXPECT_THAT(fault_of({{"m/readme", ""}}), HasSubstr("E103: 'x.pt2': it has no entry 'models/model.json'"));
  Entries two = unpacked("small.pt2");
  two["small/models/other.json"] = "{}";
  EXPECT_THAT(fault_of(two), HasSubstr("E107: 'x.pt2' holds 2 models: model, other"));
}

TEST(Pt2Fault, Json) {
  Entries entries = unpacked("small.pt2");
  entries[model].resize(entries[model].size() / 2);
  EXPECT_THAT(fault_of(entries), StartsWith("error E104: entry 'models/model.json' of 'x.pt2': the JSON does not parse"));
  EXPECT_THAT(edited(model, [](json& d) { d["graph_module"]["graph"].erase("nodes"); }),
              HasSubstr("E104: entry 'models/model.json' of 'x.pt2': field 'graph' lacks its field 'nodes'"));
  EXPECT_THAT(edited(model, [](json& d) { d["schema_version"]["major"] = "eight"; }), HasSubstr("field 'major' is not an int"));
}

TEST(Pt2Fault, MissingWeight) {
  Entries entries = unpacked("small.pt2");
  entries.erase("small/data/weights/weight_0");
  EXPECT_THAT(fault_of(entries), StartsWith("error E103: 'x.pt2': it has no entry 'data/weights/weight_0'"));
  EXPECT_THAT(edited(weights, [](json& d) { d["config"].erase("conv.bias"); }),
              HasSubstr("E103: 'x.pt2': it has no bytes for weight 'conv.bias'"));
  entries = unpacked("small.pt2");
  entries.erase(weights);
  EXPECT_THAT(fault_of(entries), StartsWith("error E103: 'x.pt2': it has no entry 'data/weights/model_weights_config.json'"));
}

TEST(Pt2Fault, WeightOfTheWrongLength) {
  Entries entries = unpacked("small.pt2");
  entries["small/data/weights/weight_0"].resize(100);
  EXPECT_THAT(
      fault_of(entries),
      StartsWith("error E105: weight 'conv.weight' of 'x.pt2' is float32[4, 3, 3, 3] and needs 432 bytes, but its storage holds 100"));
}

TEST(Pt2Fault, WeightOfAnotherType) {
  EXPECT_THAT(edited(weights, [](json& d) { d["config"]["conv.bias"]["tensor_meta"]["dtype"] = 5; }),
              HasSubstr("needs 32 bytes, but its storage holds 16"));
  EXPECT_THAT(edited(weights, [](json& d) { d["config"]["conv.bias"]["tensor_meta"]["dtype"] = 4; }),
              HasSubstr("E403: 'x.pt2': weight 'conv.bias' is int32[4], but the graph takes float32[4]"));
  EXPECT_THAT(edited(weights, [](json& d) { d["config"]["conv.bias"]["tensor_meta"]["dtype"] = 99; }), HasSubstr("E104"));
}

TEST(Pt2Fault, ShapeThatOverflows) {
  const auto sized = [](std::int64_t size) {
    return edited(weights, [&](json& d) { d["config"]["conv.weight"]["tensor_meta"]["sizes"][0]["as_int"] = size; });
  };
  EXPECT_THAT(sized(std::int64_t{1} << 62),
              StartsWith("error E503: weight 'conv.weight' of 'x.pt2' is float32[4611686018427387904, 3, 3, 3]"));
  EXPECT_THAT(sized(-4), StartsWith("error E503: weight 'conv.weight' of 'x.pt2' is float32[-4, 3, 3, 3]"));
  EXPECT_THAT(sized(5), HasSubstr("E105"));
  EXPECT_THAT(
      edited(model, [](json& d) { d["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][1]["as_int"] = std::int64_t{1} << 61; }),
      HasSubstr("E503: 'x.pt2': input 'x' is float32[s77, 2305843009213693952, 4, 4]"));
}

TEST(Pt2Fault, UnknownOperatorsAllAtOnce) {
  const std::string text = edited(model, [](json& d) {
    node(d, "aten.relu_.default")["target"] = "torch.ops.aten.relv.default";
    node(d, "aten.linear.default")["target"] = "torch.ops.my.thing.default";
  });
  EXPECT_THAT(text, HasSubstr("E201: 'aten.relv.default' (1 use) is not an operator that Wherry knows; did you mean 'aten.relu.default'?"));
  EXPECT_THAT(text, HasSubstr("at   act (make_pt2.py:"));
  EXPECT_THAT(text, HasSubstr("in   self: float32[s77, 4, 2, 2]"));
  EXPECT_THAT(text, HasSubstr("E201: 'my.thing.default' (1 use)"));
  EXPECT_THAT(text, HasSubstr("docs/adding-an-operator.md"));
}

TEST(Pt2Fault, UnknownAndWrongArguments) {
  EXPECT_THAT(edited(model,
                     [](json& d) {
                       node(d, "aten.conv2d.default")["inputs"].push_back({{"name", "mood"}, {"arg", {{"as_int", 3}}}});
                     }),
              HasSubstr("E203: 'aten.conv2d.default' has the argument 'mood' (3), which Wherry does not know"));
  EXPECT_THAT(edited(model, [](json& d) { node(d, "aten.conv2d.default")["inputs"].erase(1); }),
              HasSubstr("E203: 'aten.conv2d.default' lacks its argument 'weight'"));
  EXPECT_THAT(edited(model,
                     [](json& d) {
                       node(d, "aten.conv2d.default")["inputs"][3]["arg"] = {{"as_string", "fast"}};
                     }),
              HasSubstr("argument 'stride' of 'aten.conv2d.default' is fast, expected"));
}

TEST(Pt2Fault, TypesThatDifferFromWhatPyTorchRecorded) {
  EXPECT_THAT(edited(model, [](json& d) { d["graph_module"]["graph"]["tensor_values"]["conv2d"]["sizes"][1]["as_int"] = 7; }),
              HasSubstr("E501: 'aten.conv2d.default' gives float32[s77, 4, 2, 2] here, but PyTorch recorded float32[s77, 7, 2, 2]"));
}

TEST(Pt2Fault, TrainingMode) {
  const std::string text = edited(model, [](json& d) {
    for (json& input : node(d, "aten.batch_norm.default")["inputs"])
      if (input["name"] == "training") input["arg"] = {{"as_bool", true}};
  });
  EXPECT_THAT(text, AllOf(HasSubstr("E203"), HasSubstr("eval")));
}

TEST(Pt2Fault, ProgramsThatChangeTheirState) {
  EXPECT_THAT(edited(model,
                     [](json& d) {
                       d["graph_module"]["signature"]["output_specs"].push_back(
                           {{"buffer_mutation", {{"arg", {{"name", "add"}}}, {"buffer_name", "scale"}}}});
                     }),
              HasSubstr("E204: the program changes its buffer 'scale'"));
}

TEST(Pt2Fault, ValuesThatNothingGives) {
  EXPECT_THAT(edited(model, [](json& d) { node(d, "aten.linear.default")["inputs"][0]["arg"]["as_tensor"]["name"] = "ghost"; }),
              HasSubstr("E104: 'x.pt2': its graph takes 'ghost', which nothing gives"));
}

// ---- any change: a message or a graph, never anything else ----------------------------------------------------------

void survives(const Entries& entries, const std::string& what) {
  try {
    verify(read(entries));
  } catch (const Failure& failure) {
    EXPECT_FALSE(failure.diagnostics().empty()) << what;
  } catch (const std::exception& error) {
    ADD_FAILURE() << what << ": " << error.what();
  }
}

// All values of a document, by pointer.
void pointers(const json& value, const json::json_pointer& at, std::vector<json::json_pointer>& out) {
  out.push_back(at);
  if (value.is_object())
    for (const auto& [key, member] : value.items()) pointers(member, at / key, out);
  if (value.is_array())
    for (std::size_t i = 0; i < value.size(); ++i) pointers(value[i], at / i, out);
}

TEST(Pt2Fuzz, SurvivesEveryValueReplaced) {
  const std::vector<json> others = {nullptr,
                                    -1,
                                    std::int64_t{1} << 62,
                                    0.5,
                                    true,
                                    "x",
                                    "",
                                    json::array(),
                                    json::object(),
                                    {{"as_int", -7}},
                                    {{"as_none", true}},
                                    {{"as_tensor", {{"name", "x"}}}},
                                    {{"as_ints", {0, -3, 1 << 30}}},
                                    {{"as_expr", {{"expr_str", "Mul(Symbol('s0'), "}}}}};
  std::mt19937 random(1);
  for (const char* entry : {model, weights, "small/data/constants/model_constants_config.json"}) {
    Entries entries = unpacked("small.pt2");
    const json document = json::parse(entries.at(entry));
    std::vector<json::json_pointer> places;
    pointers(document, json::json_pointer(), places);
    for (const json::json_pointer& place : places) {
      json changed = document;
      changed[place] = others[random() % others.size()];
      entries[entry] = changed.dump();
      survives(entries, place.to_string() + " = " + changed[place].dump());
    }
  }
}

TEST(Pt2Fuzz, SurvivesNodesRemovedAndExchanged) {
  Entries entries = unpacked("small.pt2");
  const json document = json::parse(entries.at(model));
  const std::size_t count = document["graph_module"]["graph"]["nodes"].size();
  for (std::size_t i = 0; i < count; ++i) {
    json removed = document, exchanged = document, retargeted = document;
    json& nodes = removed["graph_module"]["graph"]["nodes"];
    nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(i));
    entries[model] = removed.dump();
    survives(entries, fmt::format("without node {}", i));
    std::swap(exchanged["graph_module"]["graph"]["nodes"][i], exchanged["graph_module"]["graph"]["nodes"][(i + 1) % count]);
    entries[model] = exchanged.dump();
    survives(entries, fmt::format("node {} exchanged", i));
    for (std::size_t j = 0; j < count; ++j) {
      retargeted["graph_module"]["graph"]["nodes"][i]["target"] = document["graph_module"]["graph"]["nodes"][j]["target"];
      entries[model] = retargeted.dump();
      survives(entries, fmt::format("node {} with the target of {}", i, j));
    }
  }
}

// Every operator that is known, on the arguments of another.
TEST(Pt2Fuzz, SurvivesEveryTargetOnForeignArguments) {
  Entries entries = unpacked("small.pt2");
  const json document = json::parse(entries.at(model));
  for (const char* place : {"aten.conv2d.default", "aten.view.default", "aten.add.Tensor", "aten.slice.Tensor"})
    for (const std::string& target : all_ops().torch_targets()) {
      json changed = document;
      node(changed, place)["target"] = "torch.ops." + target;
      entries[model] = changed.dump();
      survives(entries, fmt::format("{} as {}", place, target));
    }
}

TEST(Pt2Fuzz, SurvivesChangedBytes) {
  const std::string whole = packed(unpacked("small.pt2"));
  std::mt19937 random(2);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = whole;
    for (unsigned change = 0; change <= random() % 4; ++change) bytes[random() % bytes.size()] = static_cast<char>(random());
    if (random() % 8 == 0) bytes.resize(random() % bytes.size());
    try {
      Archive archive(owned(bytes), "'x.pt2'");
      Diagnostics diagnostics;
      read_pt2(archive, "x", all_ops(), diagnostics);
    } catch (const Failure&) {
    }
  }
}

}  // namespace
}  // namespace wherry::testing
