// The examples of docs/format.md do what the page says.
#include "text_cases.h"

#include "base/files.h"
#include "base/text.h"
#include "ir/outline.h"
#include "ir/text/write_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace wherry {
namespace {

struct Example {
  std::string info, text;  // what stands behind the fence's ```
};

std::vector<Example> examples() {
  std::vector<Example> all;
  bool inside = false;
  for (const std::string& line : split(read_text(std::filesystem::path(WHERRY_SOURCE_DIR) / "docs/format.md"), '\n')) {
    if (line.starts_with("```")) {
      inside = !inside;
      if (inside) all.push_back({line.substr(3), {}});
    } else if (inside) {
      all.back().text += line + "\n";
    }
  }
  return all;
}

TEST(TextDocs, ModelsFlattenAndPrintUnchangedInMeaning) {
  int models = 0;
  for (const Example& example : examples()) {
    if (example.info != "yaml model") continue;
    ++models;
    Diagnostics diagnostics;
    const Model model = parse(example.text, diagnostics);
    const Graph graph = flatten(model, all_ops(), {}, diagnostics);
    ASSERT_EQ(messages(diagnostics), "") << example.text;
    verify(graph);
    for (const std::string& printed : {write_yaml(model), write_json(model)})
      EXPECT_EQ(first_difference(flatten(parse(printed, diagnostics), all_ops(), {}, diagnostics), graph), "") << printed;
    EXPECT_EQ(write_yaml(parse(write_json(model), diagnostics)), write_yaml(model));
    EXPECT_EQ(messages(diagnostics), "");
  }
  EXPECT_GE(models, 6);
}

TEST(TextDocs, FaultsGiveTheirCode) {
  const std::vector<Example> all = examples();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!all[i].info.starts_with("yaml fault ")) continue;
    const std::string code = all[i].info.substr(11), said = outcome(all[i].text);
    EXPECT_TRUE(said.starts_with("error " + code + ": ")) << said;
    const bool shown = i + 1 < all.size() && all[i + 1].info.empty();
    if (shown) {
      EXPECT_EQ(said.substr(0, all[i + 1].text.size()), all[i + 1].text);
    }
  }
}

TEST(TextDocs, FirstExampleIsLaidOutAsWritten) {
  Diagnostics diagnostics;
  const std::string text = examples().at(0).text;
  EXPECT_EQ(write_yaml(parse(text, diagnostics)), text);
}

}  // namespace
}  // namespace wherry
