// Weights under a text: which are wanted, and what is said of those that are missing, left over or of another shape.
#include "text_cases.h"

#include "ir/outline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace wherry {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string_view two_layers = R"(wherry: 1
weights: tiny.safetensors
blocks:
  B:
    params: {out: int}
    layers:
      conv: {op: conv2d, in: 4, out: $out, kernel_size: 1}
      bn:   {op: batch_norm, features: $out}
model:
  inputs: {x: "float32[1, 4, 8, 8]"}
  layers:
    a: {block: B, out: 4}
    b: {block: B, out: 6}
)";

Weights whole() {
  Diagnostics diagnostics;
  return weights_of(flatten(parse(two_layers, diagnostics), all_ops(), {}, diagnostics));
}

std::string with(const Weights& weights, bool allow_leftover = false, std::string_view text = two_layers) {
  Diagnostics diagnostics;
  flatten(parse(text, diagnostics), all_ops(), {.weights = &weights, .allow_leftover = allow_leftover}, diagnostics);
  return messages(diagnostics);
}

TEST(TextWeights, AreTakenWithoutACopy) {
  const Weights weights = whole();
  EXPECT_THAT(weights, testing::SizeIs(12));
  Diagnostics diagnostics;
  const Graph graph = flatten(parse(two_layers, diagnostics), all_ops(), {.weights = &weights}, diagnostics);
  EXPECT_EQ(messages(diagnostics), "");
  for (const auto& [key, tensor] : weights_of(graph)) EXPECT_EQ(tensor.storage(), weights.at(key).storage());
}

TEST(TextWeights, MissingOnesAreNamedWithTheLikeliest) {
  Weights weights = whole();
  weights["b.conv.wieght"] = weights["b.conv.weight"];
  weights.erase("b.conv.weight"), weights.erase("a.bn.running_var");
  EXPECT_EQ(with(weights),
            "error E401: 'tiny.safetensors' lacks 'a.bn.running_var': float32[4]\n"
            "  --> model.yaml:8:7\n"
            "   8 |       bn:   {op: batch_norm, features: $out}\n"
            "     |       ^^\n"
            "  at   a.bn\n"
            "  try  'wherry show FILE' lists a file's weights; --weights names another\n"
            "error E401: 'tiny.safetensors' lacks 'b.conv.weight': float32[6, 4, 1, 1]; did you mean 'b.conv.wieght'?\n"
            "  --> model.yaml:7:7\n"
            "   7 |       conv: {op: conv2d, in: 4, out: $out, kernel_size: 1}\n"
            "     |       ^^^^\n"
            "  at   b.conv\n"
            "  try  'wherry show FILE' lists a file's weights; --weights names another\n"
            "error E402: no layer uses the weight 'b.conv.wieght': float32[6, 4, 1, 1]\n"
            "  try  add its layer, or remove it from the weights\n");
}

TEST(TextWeights, LeftOverOnesAreNamed) {
  Weights weights = whole();
  weights["c.weight"] = Tensor::from(std::vector<float>{1, 2}, {2});
  weights["a.bn.num_batches_tracked"] = Tensor::scalar(7, DType::int64);
  EXPECT_EQ(with(weights),
            "error E402: no layer uses the weight 'c.weight': float32[2]\n"
            "  try  add its layer, or remove it from the weights\n");
  EXPECT_EQ(with(weights, true), "");
}

TEST(TextWeights, AnotherShapeIsShownBesideTheOneNeeded) {
  Weights weights = whole();
  weights["b.conv.weight"] = Tensor::allocate(DType::float32, {6, 4, 3, 3});
  weights["a.conv.bias"] = Tensor::allocate(DType::int32, {4});
  const std::string all = with(weights);
  EXPECT_THAT(all, HasSubstr("error E403: weight 'b.conv.weight' is float32[6, 4, 3, 3], its layer needs float32[6, 4, 1, 1]"));
  EXPECT_THAT(all, HasSubstr("error E403: weight 'a.conv.bias' is int32[4], its layer needs float32[4]"));
  EXPECT_THAT(all, Not(HasSubstr("E402")));
}

TEST(TextWeights, AreNotListedByTheHundred) {
  std::string text = "wherry: 1\nmodel:\n  inputs: {x: \"float32[1, 4]\"}\n  layers:\n    l: {op: linear, repeat: 50, in: 4, out: 4}\n";
  const std::string missing = with({}, false, text);
  EXPECT_THAT(missing, HasSubstr("error E401: the weights lack 'l.0.weight': float32[4, 4]"));
  EXPECT_THAT(missing, HasSubstr("error E401: 80 more weights are missing"));
  Weights many;
  for (int i = 0; i < 50; ++i) many[fmt::format("w{}", i)] = Tensor::scalar(1);
  EXPECT_THAT(with(many, false, "wherry: 1\nmodel: {inputs: {x: \"float32[4]\"}, layers: {a: {op: relu}}}\n"),
              HasSubstr("error E402: 30 more weights are left over"));
}

// Whatever is typed ends in a message: no crash, no endless work, no failed check of our own.
TEST(TextDamage, EndsInAMessage) {
  const std::string_view words[] = {"0",
                                    "-1",
                                    "9223372036854775807",
                                    "1.0e+300",
                                    ".nan",
                                    "null",
                                    "true",
                                    "[]",
                                    "{}",
                                    "[0, 0]",
                                    "[1, 2, 3, 4, 5]",
                                    "x",
                                    "$out",
                                    "$out // 0",
                                    "$out * $out * $out * $out * 999999999",
                                    "\"\"",
                                    "same",
                                    "\"float32[0]\"",
                                    "\"float32[9223372036854775807, 4]\""};
  const std::string text(two_layers);
  int faults = 0;
  for (std::size_t at = 0; (at = text.find_first_of(":,", at)) != std::string::npos; ++at) {
    const std::size_t begin = at + 2, end = std::min(text.find_first_of(",}\n", begin), text.size());
    if (begin >= text.size() || text[at + 1] != ' ') continue;
    for (const std::string_view word : words) {
      const std::string changed = text.substr(0, begin) + std::string(word) + text.substr(end);
      ASSERT_NO_THROW(faults += outcome(changed).starts_with("error") ? 1 : 0) << changed;
    }
  }
  EXPECT_GT(faults, 100);
}

// Every operator with arguments that nobody would write.
TEST(TextDamage, NoArgumentsBreakAnOperator) {
  const std::string_view whole[] = {"0", "-1", "1", "2", "3", "4", "8", "-9", "4294967296", "9223372036854775807", "-9223372036854775808"};
  const std::string_view lists[] = {"0",
                                    "-1",
                                    "1",
                                    "2",
                                    "3",
                                    "9223372036854775807",
                                    "[]",
                                    "[0]",
                                    "[-1]",
                                    "[1, 1]",
                                    "[-1, 2]",
                                    "[0, 0, 0, 0]",
                                    "[1, 2, 3, 4]",
                                    "[0, 1, 2, 3, 4, 5]",
                                    "[1, 2, 3, 4, 5, 6, 7]",
                                    "[9223372036854775807, 9223372036854775807]",
                                    "[4294967296, 4294967296]"};
  const std::string_view numbers[] = {"0.5", "0", "-1", ".nan", ".inf", "1.0e+300"};
  const std::string_view flags[] = {"true", "false"}, words[] = {"null", "same", "int64", "[a]", "[0.5, 2]"};
  const std::string_view types[] = {"float32[1, 4, 8, 8]", "float32[]",           "int64[4]",
                                    "float32[0, 4]",       "float32[n, 4, h, 8]", "bool[2, 3, 4]"};
  std::uint64_t random = 1;
  const auto pick = [&](const auto& list) -> std::string_view {
    random = random * 6364136223846793005U + 1442695040888963407U;
    return list[(random >> 33U) % std::size(list)];
  };
  const auto value = [&](AttrKind kind, const std::vector<std::string_view>& choices) {
    if (!choices.empty() && pick(flags) == "true") return pick(choices);
    switch (kind) {
      case AttrKind::boolean: return pick(flags);
      case AttrKind::integer: return pick(whole);
      case AttrKind::number: return pick(numbers);
      case AttrKind::ints:
      case AttrKind::ints1:
      case AttrKind::ints2:
      case AttrKind::ints3: return pick(lists);
      default: return pick(words);
    }
  };
  for (const OpDef* op : all_ops().all()) {
    std::string inputs = "[$x";
    for (std::size_t i = 1; i < op->inputs.size(); ++i)
      if (op->inputs[i].role == Role::tensor) inputs += ", $x";
    for (int round = 0; round < 150; ++round) {
      std::string row = fmt::format("op: {}, inputs: {}]", op->name, inputs);
      for (const HyperDef& def : op->hyper) row += fmt::format(", {}: {}", def.name, value(def.kind, {}));
      for (const AttrDef& def : op->attrs)
        if (!def.fallback || pick(flags) == "true") row += fmt::format(", {}: {}", def.name, value(def.kind, def.choices));
      const std::string text = fmt::format("wherry: 1\nmodel: {{inputs: {{x: \"{}\"}}, layers: {{a: {{{}}}}}}}\n", pick(types), row);
      ASSERT_NO_THROW(outcome(text)) << text;
    }
  }
}

}  // namespace
}  // namespace wherry
