#include "ir/text/schema.h"
#include "ops/all_ops.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace wherry {
namespace {

TEST(TextSchema, HasABranchForEveryOperator) {
  const nlohmann::ordered_json schema = text_schema(all_ops());
  EXPECT_EQ(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
  for (const OpDef* op : all_ops().all()) {
    const auto& branch = schema["$defs"]["op." + std::string(op->name)];
    EXPECT_EQ(branch["properties"]["op"]["const"], op->name);
    for (const HyperDef& def : op->hyper) EXPECT_TRUE(branch["properties"].contains(def.name)) << op->name << " " << def.name;
    for (const AttrDef& def : op->attrs) EXPECT_TRUE(branch["properties"].contains(def.name)) << op->name << " " << def.name;
  }
  EXPECT_EQ(schema["$defs"]["layer"]["allOf"].size(), all_ops().all().size());
}

TEST(TextSchema, SaysWhatIsRequiredAndWhatIsTheDefault) {
  const auto schema = text_schema(all_ops());
  const auto& conv = schema["$defs"]["op.conv2d"];
  EXPECT_EQ(conv["required"], nlohmann::ordered_json({"op", "in", "out", "kernel_size"}));
  EXPECT_EQ(conv["properties"]["bias"]["default"], true);
  EXPECT_EQ(conv["properties"]["padding"]["anyOf"][1]["enum"], nlohmann::ordered_json({"same", "valid"}));
}

// A layer's own keys could not be told from an argument of the same name.
TEST(TextSchema, NoArgumentIsCalledLikeALayersKey) {
  for (const OpDef* op : all_ops().all())
    for (const std::string_view key : {"op", "block", "inputs", "when", "repeat", "weights"}) {
      EXPECT_LT(op->attr_index(key), 0) << op->name;
      for (const HyperDef& def : op->hyper) EXPECT_NE(def.name, key) << op->name;
    }
}

}  // namespace
}  // namespace wherry
