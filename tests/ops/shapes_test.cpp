// Types that operators infer where sizes are symbolic, and what they say to shapes that do not fit.
#include "ir/builder.h"
#include "ops/all_ops.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace wherry {
namespace {

using testing::HasSubstr;

// One node over inputs of these types.
class Shapes : public testing::Test {
 protected:
  ValueId in(std::string_view type) {
    const ValueId id = graph.add_value({"x", parse_type(type).value(), {}});
    graph.inputs.push_back({"x", id});
    return id;
  }
  std::string of(std::string_view op, std::vector<ValueId> inputs, std::vector<NamedAttr> attrs = {}) {
    return text(graph.type(b(op, std::move(inputs), std::move(attrs))));
  }
  std::string fault(std::string_view op, std::vector<ValueId> inputs, std::vector<NamedAttr> attrs = {}) {
    try {
      return "no fault: " + of(op, std::move(inputs), std::move(attrs));
    } catch (const Failure& failure) {
      return render(failure.diagnostics().at(0));
    }
  }
  Graph graph;
  Builder b{graph, all_ops()};
};

TEST_F(Shapes, ReshapeKeepsASymbolInTheOpenSize) {
  const ValueId x = in("float32[batch, 3, 4, 5]");
  EXPECT_EQ(of("reshape", {x}, {{"shape", Ints{-1, 60}}}), "float32[batch, 60]");
  EXPECT_EQ(of("reshape", {x}, {{"shape", Ints{-1, 5}}}), "float32[12 * batch, 5]");
  EXPECT_EQ(of("reshape", {in("float32[2, 3]")}, {{"shape", Ints{3, -1}}}), "float32[3, 2]");
}

TEST_F(Shapes, ShapeOperatorsCarrySymbols) {
  const ValueId x = in("float32[batch, 6, 4, width]");
  EXPECT_EQ(of("flatten", {in("float32[batch, 3, 4, 5]")}, {{"start_dim", std::int64_t{1}}}), "float32[batch, 60]");
  EXPECT_EQ(of("permute", {x}, {{"dims", Ints{0, 3, 1, 2}}}), "float32[batch, width, 6, 4]");
  EXPECT_EQ(of("transpose", {x}, {{"dim0", std::int64_t{1}}, {"dim1", std::int64_t{-1}}}), "float32[batch, width, 4, 6]");
  EXPECT_EQ(of("unsqueeze", {x}, {{"dim", std::int64_t{-1}}}), "float32[batch, 6, 4, width, 1]");
  EXPECT_EQ(of("squeeze", {in("float32[batch, 1, 1]")}), "float32[batch]");
  EXPECT_EQ(of("unflatten", {x}, {{"dim", std::int64_t{1}}, {"sizes", Ints{2, -1}}}), "float32[batch, 2, 3, 4, width]");
  EXPECT_EQ(of("expand", {in("float32[batch, 1, 4]")}, {{"size", Ints{-1, 3, -1}}}), "float32[batch, 3, 4]");
  EXPECT_EQ(of("slice", {x}, {{"dim", std::int64_t{3}}, {"start", std::int64_t{1}}}), "float32[batch, 6, 4, width - 1]");
  EXPECT_EQ(of("cat", {x, x}, {{"dim", std::int64_t{1}}}), "float32[batch, 12, 4, width]");
  EXPECT_EQ(of("stack", {x, x}), "float32[2, batch, 6, 4, width]");
  EXPECT_EQ(of("mean", {x}, {{"dim", Ints{2, 3}}}), "float32[batch, 6]");
  EXPECT_EQ(of("argmax", {x}, {{"dim", std::int64_t{1}}}), "int64[batch, 4, width]");
}

TEST_F(Shapes, ConstantsInSymbolicSizesAddUp) {
  const ValueId x = in("float32[batch, 2, h, w]"), weight = b.constant(Tensor::allocate(DType::float32, {2, 2, 3, 3}), "weight");
  const ValueId same = b("conv2d", {x, weight}, {{"padding", Ints{1, 1}}});
  EXPECT_EQ(text(graph.type(same)), "float32[batch, 2, h, w]");
  EXPECT_EQ(of("add", {x, same}), "float32[batch, 2, h, w]");
  EXPECT_EQ(of("conv2d", {x, weight}), "float32[batch, 2, h - 2, w - 2]");
  EXPECT_EQ((Dim::symbol("h") + Dim(3) - Dim(1)).text(), "h + 2");
  EXPECT_EQ((Dim::symbol("h // 2") + Dim(3) - Dim(3)).text(), "h // 2");
  EXPECT_EQ((Dim::symbol("h10") + Dim(-1)).text(), "h10 - 1");
}

TEST_F(Shapes, ArithmeticBroadcastsSymbols) {
  const ValueId x = in("float32[batch, 6, 4, 4]");
  EXPECT_EQ(of("add", {x, in("float32[6, 1, 1]")}), "float32[batch, 6, 4, 4]");
  EXPECT_EQ(of("lt", {x, b.scalar(0)}), "bool[batch, 6, 4, 4]");
  EXPECT_EQ(of("where", {in("bool[batch, 1, 1, 1]"), x, b.scalar(0)}), "float32[batch, 6, 4, 4]");
  EXPECT_EQ(of("matmul", {in("float32[batch, 3, k]"), in("float32[k, 5]")}), "float32[batch, 3, 5]");
  EXPECT_EQ(of("matmul", {in("float32[k]"), in("float32[batch, k, 5]")}), "float32[batch, 5]");
}

TEST_F(Shapes, FaultsNameBothSides) {
  EXPECT_THAT(fault("add", {in("float32[2, 3]"), in("float32[2, 4]")}), HasSubstr("shapes [2, 3] and [2, 4] do not broadcast"));
  EXPECT_THAT(fault("add", {in("float32[2]"), in("int64[2]")}),
              HasSubstr("error E502: add takes tensors of one data type, not float32 and int64"));
  EXPECT_THAT(fault("reshape", {in("float32[2, 3]")}, {{"shape", Ints{4, -1}}}),
              HasSubstr("[2, 3] has 6 elements and cannot become [4, -1]"));
  EXPECT_THAT(fault("reshape", {in("float32[2, 3]")}, {{"shape", Ints{-1, -1}}}), HasSubstr("shape [-1, -1] has more than one -1"));
  EXPECT_THAT(fault("cat", {in("float32[2, 3]"), in("float32[3, 3]")}, {{"dim", std::int64_t{1}}}),
              HasSubstr("cat cannot join float32[2, 3] and float32[3, 3]"));
  EXPECT_THAT(fault("matmul", {in("float32[2, 3]"), in("float32[4, 5]")}), HasSubstr("the last axis of x == the last axis but one of y"));
  EXPECT_THAT(fault("permute", {in("float32[2, 3]")}, {{"dims", Ints{0, 0}}}), HasSubstr("dims [0, 0] names an axis twice"));
  EXPECT_THAT(fault("mean", {in("int64[2]")}), HasSubstr("E502: mean takes x of a float type, not int64"));
  EXPECT_THAT(fault("select", {in("float32[2, 3]")}, {{"dim", std::int64_t{1}}, {"index", std::int64_t{3}}}),
              HasSubstr("index 3 is out of range for an axis of 3"));
  EXPECT_THAT(fault("split", {in("float32[batch, 3]")}, {{"split_size_or_sections", Ints{1}}}),
              HasSubstr("E504: split of an axis of size batch: how many parts it gives is not known"));
  EXPECT_THAT(fault("split", {in("float32[6]")}, {{"split_size_or_sections", Ints{1, 2}}}),
              HasSubstr("sizes [1, 2] add up to 3, the axis has 6"));
  EXPECT_THAT(fault("softmax", {in("float32[2, 3]")}, {{"dim", std::int64_t{2}}}),
              HasSubstr("dim 2 is out of range for a tensor of rank 2"));
  EXPECT_THAT(fault("index_select", {in("float32[3]"), b.ints({3})}), HasSubstr("position 3 is out of range for an axis of 3"));
  EXPECT_THAT(fault("arange", {}, {{"end", 3}, {"step", -1}}), HasSubstr("arange from 0 to 3 by -1 does not end"));
}

TEST_F(Shapes, HugeResultsAreRefused) {
  const ValueId x = in("float32[4096, 4096]");
  EXPECT_THAT(fault("repeat", {x}, {{"repeats", Ints{1 << 20, 1 << 20}}}), HasSubstr("error E503"));
  EXPECT_THAT(fault("repeat", {x}, {{"repeats", Ints{std::int64_t{1} << 60, 1}}}), HasSubstr("error E503"));
  EXPECT_THAT(fault("expand", {in("float32[1]")}, {{"size", Ints{std::int64_t{1} << 50}}}), HasSubstr("error E503"));
  EXPECT_THAT(fault("unbind", {in("float32[1000000]")}), HasSubstr("E503: unbind would give 1000000 parts"));
  EXPECT_THAT(fault("split", {in("float32[1000000]")}, {{"split_size_or_sections", Ints{1}}}),
              HasSubstr("E503: split would give 1000000 parts"));
}

}  // namespace
}  // namespace wherry
