// Python as `ruff format` leaves it: what a formatter does with the same statement stands here as text.
#include "export/source/python_text.h"
#include "export/source/python_expression.h"

#include <gtest/gtest.h>

namespace wherry::source {
namespace {

std::string printed(const std::string& statement, int depth = 0) {
  PythonText out;
  for (int i = 0; i < depth; ++i) out.indent();
  out.statement(statement);
  return out.text();
}

TEST(PythonText, ShortStatementsStay) { EXPECT_EQ(printed("x = relu(x)", 1), "    x = relu(x)\n"); }

TEST(PythonText, ArgumentsTakeOneRowWhereTheyFit) {
  EXPECT_EQ(printed("self.expand = ConvolutionAndNormalisation(in_channels, mid_channels, kernel=3, stride=2)", 1),
            "    self.expand = ConvolutionAndNormalisation(\n"
            "        in_channels, mid_channels, kernel=3, stride=2\n"
            "    )\n");
}

TEST(PythonText, ElseOneRowEachWithACommaBehind) {
  EXPECT_EQ(printed("def block(in_channels, out_channels, kernel=1, stride=1, groups=1, bias=True, activation=None, norm=None):"),
            "def block(\n"
            "    in_channels,\n    out_channels,\n    kernel=1,\n    stride=1,\n    groups=1,\n    bias=True,\n    activation=None,\n    "
            "norm=None,\n"
            "):\n");
}

TEST(PythonText, ConditionalsGetBrackets) {
  EXPECT_EQ(printed("self.projection = Projection(in_channels, out_channels) if in_channels != out_channels else Identity()", 1),
            "    self.projection = (\n"
            "        Projection(in_channels, out_channels)\n"
            "        if in_channels != out_channels\n"
            "        else Identity()\n"
            "    )\n");
}

TEST(PythonText, BlankRowsAndDocstrings) {
  PythonText out;
  out.open("class A:");
  out.docstring("What it is.", {"x: float32[1]"});
  out.blank();
  out.statement("y = 1");
  EXPECT_EQ(out.text(), "class A:\n    \"\"\"What it is.\n\n    x: float32[1]\n    \"\"\"\n\n    y = 1\n");
}

TEST(PythonExpression, TextsExpressionsArePythons) {
  const NameOf names = [](std::string_view name) { return name == "in" ? std::string("in_channels") : std::string(name); };
  const auto python = [&](const std::string& text) {
    TextValue value;
    value.kind = TextValue::string;
    value.string_value = text;
    return python_value(value, names);
  };
  EXPECT_EQ(python("$in*6"), "in_channels * 6");
  EXPECT_EQ(python("$stride==1 and $in != $out"), "stride == 1 and in_channels != out");
  EXPECT_EQ(python("max($in // 4, -8) + 1e-05"), "max(in_channels // 4, -8) + 1e-05");
  EXPECT_EQ(python("$mode == 'same' or not true"), "mode == \"same\" or not True");
  EXPECT_EQ(python("same"), "\"same\"");
}

TEST(PythonExpression, Names) {
  EXPECT_EQ(python_name("downsample.0"), "downsample_0");
  EXPECT_EQ(python_name("0"), "layer_0");
  EXPECT_EQ(python_name("class"), "class_");
  EXPECT_EQ(class_name("fbnet_a"), "FbnetA");
  EXPECT_EQ(function_name("IRFBlock"), "irf_block");
  EXPECT_EQ(function_name("ConvBNRelu6"), "conv_bn_relu6");
}

TEST(PythonExpression, HolesWithTheirDefaultAreLeftOut) {
  const HoleOf given = [](std::string_view hole) -> std::optional<std::string> {
    if (hole == "in") return "8";
    if (hole == "alpha") return "a + 1";
    return std::nullopt;
  };
  const NameOf fallback = [](std::string_view) { return std::string("0"); };
  EXPECT_EQ(filled_slot("Conv({in}, {out}, stride={stride?}, bias={bias?})", given, fallback), "Conv(8, 0)");
  EXPECT_EQ(filled_slot("PReLU({count?})", given, fallback), "PReLU()");
  EXPECT_EQ(filled_slot("F({first?}, {in})", given, fallback), "F(8)");
  EXPECT_EQ(filled_slot("{in} * {alpha}", given, fallback), "8 * (a + 1)");
  EXPECT_EQ(filled_slot("f({alpha})", given, fallback), "f(a + 1)");
}

}  // namespace
}  // namespace wherry::source
