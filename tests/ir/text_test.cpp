// The text form: what is read, what is written, and what is said about text that is wrong.
#include "base/files.h"
#include "ir/text/read_model.h"
#include "ir/text/write_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace wherry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string messages(const Diagnostics& diagnostics) {
  std::string all;
  for (const Diagnostic& d : diagnostics.all()) all += render(d);
  return all;
}

Model parse(std::string_view text, Diagnostics& diagnostics) {
  return parse_model(text, "model.yaml", {std::filesystem::path(WHERRY_SOURCE_DIR) / "library"}, diagnostics);
}

Model parse_clean(std::string_view text) {
  Diagnostics diagnostics;
  Model model = parse(text, diagnostics);
  EXPECT_EQ(messages(diagnostics), "");
  return model;
}

std::string faults(std::string_view text) {
  Diagnostics diagnostics;
  parse(text, diagnostics);
  return messages(diagnostics);
}

// The example of the design, as write_yaml lays it out.
const std::string_view example = R"(wherry: 1
name: fbnet_a
weights: fbnet_a.safetensors
preprocess:
  - resize: {shorter_side: 256, filter: bilinear}
  - center_crop: [224, 224]
  - scale: 1/255
  - normalize: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
labels: imagenet1k
blocks:
  ConvBNRelu:
    params: {in: int, out: int, kernel: 1, stride: 1, groups: 1, relu: true}
    layers:
      conv: {op: conv2d, in: $in, out: $out, kernel_size: $kernel, stride: $stride, padding: $kernel // 2, groups: $groups}
      bn:   {op: batch_norm, features: $out}
      relu: {op: relu, when: $relu}
  IRFBlock:
    params: {in: int, mid: int, out: int, kernel: 3, stride: 1, residual: false}
    layers:
      pw:  {block: ConvBNRelu, in: $in, out: $mid}
      dw:  {block: ConvBNRelu, in: $mid, out: $mid, kernel: $kernel, stride: $stride, groups: $mid}
      pwl: {block: ConvBNRelu, in: $mid, out: $out, relu: false}
      sum: {op: add, inputs: [pwl, $input], when: $residual}
model:
  inputs: {image: "float32[1, 3, 224, 224]"}
  layers:
    backbone.stages.xif0_0: {block: ConvBNRelu, in: 3, out: 16, kernel: 3, stride: 2}
    backbone.stages.xif2_0: {block: IRFBlock, in: 16, mid: 48, out: 24, stride: 2}
    head.avg_pool: {op: adaptive_avg_pool2d, output_size: [1, 1]}
    head.conv: {op: conv2d, in: 24, out: 1000, kernel_size: 1}
    flat: {op: flatten, start_dim: 1}
  outputs: {logits: flat}
)";

TEST(Text, PrintsTheExampleAsItWasWritten) { EXPECT_EQ(write_yaml(parse_clean(example)), example); }

TEST(Text, KeepsTheStructureOfTheExample) {
  const Model model = parse_clean(example);
  EXPECT_EQ(model.name, "fbnet_a");
  ASSERT_EQ(model.blocks.size(), 2U);
  EXPECT_EQ(model.blocks[0].params[0].kind, "int");
  EXPECT_EQ(model.blocks[0].params[2].fallback->integer_value, 1);
  EXPECT_EQ(model.blocks[1].layers[3].inputs[1].string_value, "$input");
  EXPECT_EQ(model.blocks[1].layers[3].line, 23);
  EXPECT_EQ(model.layers.size(), 5U);
  EXPECT_EQ(text(model.inputs[0].type), "float32[1, 3, 224, 224]");
  EXPECT_THAT(model.outputs, ElementsAre(std::pair<std::string, std::string>("logits", "flat")));
}

TEST(Text, JsonIsTheSameStructure) {
  const std::string json = write_json(parse_clean(example));
  EXPECT_EQ(write_yaml(parse_clean(json)), example);
  EXPECT_EQ(write_json(parse_clean(json)), json);
}

TEST(Text, ReadsJsonAsOthersWriteIt) {
  const Model model = parse_clean(
      "\xEF\xBB\xBF{\"wherry\":1,\r\n\t\"name\":\"\\ud83d\\ude00 \\u00e9 \\\\ud83d a\\/b\",\"model\":"
      "{\"inputs\":{\"x\":\"float32[1]\"},\"layers\":{\"a\":{\"op\":\"relu\"}}}}");
  EXPECT_EQ(model.name, "\xF0\x9F\x98\x80 \xC3\xA9 \\ud83d a/b");
  EXPECT_EQ(write_json(parse_clean(write_json(model))), write_json(model));
}

TEST(Text, QuotesWhatWouldReadBackAsSomethingElse) {
  const std::string_view text = R"y(wherry: 1
name: "no"
metadata: {a: "1", b: "1e5", c: "a: b", d: "[x]", e: "", f: "tab\tline\nend", g: "12:30", h: "- x", i: -x, j: "null", k: "#no", l: a#b, m: é}
model:
  inputs: {x: "float32[batch, 3]"}
  layers:
    a: {op: clamp, min: -0.0, max: .inf, inputs: [$x, 2, 1.0e-05, null, {constant: [1, 2], dtype: int64}], note: "max($a, 1)"}
)y";
  const std::string printed = write_yaml(parse_clean(text));
  EXPECT_EQ(write_yaml(parse_clean(printed)), printed);
  const Model model = parse_clean(write_json(parse_clean(text)));
  EXPECT_EQ(write_yaml(model), printed);
  EXPECT_EQ(model.metadata, parse_clean(text).metadata);
  EXPECT_EQ(model.metadata.find("f")->string_value, "tab\tline\nend");
  EXPECT_EQ(model.layers[0].args[1].second.number_value, std::numeric_limits<double>::infinity());
}

TEST(Text, WrapsLongRows) {
  std::string row = "{op: cat, inputs: [layer_0";
  for (int i = 1; i < 60; ++i) row += ", layer_" + std::to_string(i);
  const std::string printed = write_yaml(parse_clean("wherry: 1\nmodel: {inputs: {x: 'float32[1]'}, layers: {a: " + row + "]}}}"));
  std::size_t longest = 0, from = 0;
  for (std::size_t end = 0; (end = printed.find('\n', from)) != std::string::npos; from = end + 1) longest = std::max(longest, end - from);
  EXPECT_LE(longest, 140U);
  EXPECT_GT(longest, 100U);
  EXPECT_EQ(write_yaml(parse_clean(printed)), printed);
}

TEST(Text, DrawsACaretUnderTheFault) {
  EXPECT_EQ(faults("wherry: 1\nmodle:\n  layers: {}\n"),
            "error E302: a model's text has no key 'modle'; did you mean 'model'?\n"
            "  --> model.yaml:2:1\n"
            "   2 | modle:\n"
            "     | ^^^^^\n"
            "  try  its keys are: wherry, name, weights, use, preprocess, labels, metadata, quantization, blocks, model\n"
            "error E303: a model's text needs the key 'model'\n"
            "  --> model.yaml:1:1\n"
            "   1 | wherry: 1\n"
            "     | ^^^^^^\n"
            "  try  write it; docs/format.md shows what belongs there\n");
}

TEST(Text, ReportsAllFaultsAtOnce) {
  const std::string all = faults(R"(wherry: 1
blocks:
  B:
    parms: {}
    layers:
      a: {op: relu, op: relu}
      b: {inputs: x}
model:
  inputs: {x: float32}
  layers:
    c: 3
    d: {op: relu, block: B}
)");
  EXPECT_THAT(all, HasSubstr("E302: block 'B' has no key 'parms'; did you mean 'params'?"));
  EXPECT_THAT(all, HasSubstr("E308: key 'op' stands twice in this map"));
  EXPECT_THAT(all, HasSubstr("E303: layer 'b' needs the key 'op' or 'block'"));
  EXPECT_THAT(all, HasSubstr("E304: input 'x' must be a type, not 'float32'"));
  EXPECT_THAT(all, HasSubstr("model.yaml:9:15"));
  EXPECT_THAT(all, HasSubstr("E304: layer 'c' must be a map, not the number 3"));
  EXPECT_THAT(all, HasSubstr("E304: layer 'd' has both op and block"));
}

TEST(Text, RefusesWhatIsNotWellFormed) {
  EXPECT_THAT(faults("wherry: 1\nmodel: {a: [1, 2}\n"), HasSubstr("error E301: the text is not well-formed"));
  EXPECT_THAT(faults(""), HasSubstr("error E301: the text is empty"));
  EXPECT_THAT(faults("{\"wherry\": 1,"), HasSubstr("error E301"));
  EXPECT_THAT(faults("a: &x 1\nb: *x\n"), HasSubstr("error E301: anchors and aliases"));
  EXPECT_THAT(faults("a: !!python/object:os.system x\n"), HasSubstr("error E301: tags"));
  EXPECT_THAT(faults("wherry: 1\n---\nwherry: 1\n"), HasSubstr("error E301: a second document"));
  std::string deep;
  for (int i = 0; i < 150; ++i) deep += std::string(static_cast<std::size_t>(i), ' ') + "a:\n";
  EXPECT_THAT(faults(deep), HasSubstr("error E301: lists and maps nest deeper than 100"));
  EXPECT_THAT(faults(std::string(5000, '[')), HasSubstr("error E301"));
  EXPECT_THAT(faults(std::string(200, '{')), HasSubstr("error E301"));
  EXPECT_THAT(faults("? [a]\n: 1\n"), HasSubstr("error E301: a key must be a word"));
}

TEST(Text, ChecksTheVersion) {
  EXPECT_THAT(faults("wherry: 2\nmodel: {inputs: {}, layers: {}}\n"), HasSubstr("error E309: this is version 2"));
  EXPECT_THAT(faults("model: {inputs: {}, layers: {}}\n"), HasSubstr("begin it with the line 'wherry: 1'"));
  EXPECT_THAT(faults("wherry: one\nmodel: {inputs: {}, layers: {}}\n"), HasSubstr("error E304: wherry must be"));
}

TEST(Text, NamesTheLibrariesThereAre) {
  const std::string all = faults("wherry: 1\nuse: [visoin]\nmodel: {inputs: {}, layers: {}}\n");
  EXPECT_THAT(all, HasSubstr("error E101: there is no library 'visoin'; did you mean 'vision'?"));
  EXPECT_THAT(all, HasSubstr("model.yaml:2:7"));
}

TEST(Text, NeverThrowsOnDamagedText) {
  const std::string whole(example);
  for (std::size_t i = 0; i < whole.size(); i += 7) {
    Diagnostics diagnostics;
    parse(whole.substr(0, i), diagnostics);
    std::string changed = whole;
    for (const char c : {'{', '"', '\0', ':', '\xFF', '\n'}) {
      changed[i] = c;
      parse(changed, diagnostics);
    }
  }
}

}  // namespace
}  // namespace wherry
