#include "base/diagnostics.h"

#include <gtest/gtest.h>

#include "base/check.h"
#include "base/text.h"

namespace wherry {
namespace {

TEST(Diagnostics, RendersTheCaretUnderTheColumn) {
  const Diagnostic d{.code = "E302",
                     .message = "unknown operator 'rleu'",
                     .next = "did you mean 'relu'?",
                     .place = {.file = "m.yaml", .line = 7, .column = 11, .text = "    r: {op: rleu}", .length = 4}};
  EXPECT_EQ(render(d),
            "error E302: unknown operator 'rleu'\n"
            "  --> m.yaml:7:11\n"
            "   7 |     r: {op: rleu}\n"
            "     |           ^^^^\n"
            "  try  did you mean 'relu'?\n");
}

TEST(Diagnostics, ThrowsAllThatWasCollected) {
  Diagnostics all;
  all.add({.code = "E401", .message = "one"});
  all.add({.code = "E402", .message = "two", .next = "this"});
  try {
    all.throw_if_errors();
    FAIL();
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.diagnostics().size(), 2U);
    EXPECT_STREQ(
        failure.what(),
        "error E401: one\n  try  'wherry show FILE' lists a file's weights; --weights names another\nerror E402: two\n  try  this\n");
  }
}

TEST(Diagnostics, WarningsDoNotThrow) {
  Diagnostics all;
  all.add({.code = "E404", .message = "careful", .severity = Severity::warning});
  EXPECT_NO_THROW(all.throw_if_errors());
}

TEST(Diagnostics, AnUnknownCodeIsOurFault) {
  Diagnostics all;
  EXPECT_THROW(all.add({.code = "E999", .message = ""}), InternalError);
}

TEST(Text, DidYouMeanIsSilentWhenNothingIsNear) {
  EXPECT_EQ(did_you_mean("rleu", {"relu", "conv2d"}), "; did you mean 'relu'?");
  EXPECT_EQ(did_you_mean("transformer", {"relu", "conv2d"}), "");
}

TEST(Text, AmountsHaveThreeDigits) {
  EXPECT_EQ(human_bytes(17435136), "17.4 MB");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_count(4350000), "4.35 M");
}

}  // namespace
}  // namespace wherry
