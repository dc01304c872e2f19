#include "text_cases.h"

#include "base/files.h"
#include "base/text.h"

#include <gtest/gtest.h>

namespace wherry {
namespace {

struct Case {
  std::string name, text, expected;
};

std::vector<Case> read_cases(const std::filesystem::path& file) {
  std::vector<Case> cases;
  bool expecting = false;
  for (const std::string& line : split(read_text(file), '\n')) {
    if (line.starts_with("==== "))
      cases.push_back({line.substr(5), {}, {}}), expecting = false;
    else if (line == "----")
      expecting = true;
    else if (!cases.empty())
      (expecting ? cases.back().expected : cases.back().text) += line + "\n";
  }
  for (Case& c : cases)
    while (c.expected.ends_with("\n\n") || c.expected == "\n") c.expected.pop_back();
  return cases;
}

class TextCases : public testing::TestWithParam<std::string> {};

TEST_P(TextCases, SayWhatTheFileSays) {
  const std::filesystem::path file = std::filesystem::path(WHERRY_SOURCE_DIR) / "tests/text" / (GetParam() + ".txt");
  std::vector<Case> cases = read_cases(file);
  ASSERT_FALSE(cases.empty());
  std::string updated;
  for (const Case& c : cases) {
    const std::string found = outcome(c.text);
    EXPECT_EQ(found, c.expected) << "case '" << c.name << "' of " << file.filename();
    updated += fmt::format("==== {}\n{}----\n{}\n", c.name, c.text, found);
  }
  if (std::getenv("WHERRY_UPDATE")) write_text(file, updated);
}

INSTANTIATE_TEST_SUITE_P(Files, TextCases, testing::Values("blocks", "expressions", "references", "arguments", "shapes"),
                         [](const auto& one) { return one.param; });

}  // namespace
}  // namespace wherry
