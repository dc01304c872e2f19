// Walks the operator table: what every row must have, and that its slots agree with each other on its examples.
#include "base/text.h"
#include "export/tflite/write_tflite.h"
#include "ir/expand.h"
#include "lower/lower_tfl.h"
#include "ops/all_ops.h"
#include "ops/examples.h"
#include "runtime/evaluate.h"
#include "runtime/litert.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <set>

namespace wherry {
namespace {

bool is_sentence(std::string_view doc) { return doc.size() > 5 && doc.ends_with('.'); }

// The largest difference, over the larger of 1 and the reference's largest size; NaN equals NaN.
double distance(const Tensor& a, const Tensor& b) {
  double worst = 0, scale = 1;
  for (std::int64_t i = 0; i < a.count(); ++i) {
    const double x = a.item(i), y = b.item(i);
    if (std::isfinite(x)) scale = std::max(scale, std::abs(x));
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    worst = std::isfinite(x) && std::isfinite(y) ? std::max(worst, std::abs(x - y)) : std::numeric_limits<double>::infinity();
  }
  return worst / scale;
}

void expect_close(const std::vector<Tensor>& expected, const std::vector<Tensor>& found, double bound) {
  ASSERT_EQ(expected.size(), found.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(text(expected[i].type()), text(found[i].type())) << "output " << i;
    EXPECT_LE(distance(expected[i], found[i]), bound) << "output " << i;
  }
}

TEST(Table, EveryRowIsDocumented) {
  for (const OpDef* op : all_ops().all()) {
    SCOPED_TRACE(op->name);
    EXPECT_TRUE(is_identifier(op->name));
    EXPECT_TRUE(is_sentence(op->doc)) << op->doc;
    EXPECT_NE(op->infer, nullptr);
    EXPECT_TRUE(op->eval || op->expand) << "neither eval nor expand";
    EXPECT_FALSE(op->examples.empty());
    std::set<std::string_view> names;
    for (const Input& in : op->inputs) {
      EXPECT_FALSE(in.doc.empty()) << in.name;
      EXPECT_TRUE(names.insert(in.name).second) << in.name;
    }
    for (const AttrDef& attr : op->attrs) {
      EXPECT_FALSE(attr.doc.empty()) << attr.name;
      EXPECT_TRUE(names.insert(attr.name).second) << attr.name;
      if (!attr.fallback || (attr.or_none && std::holds_alternative<None>(*attr.fallback))) continue;
      if (attr.or_string && std::holds_alternative<std::string>(*attr.fallback)) continue;
      EXPECT_TRUE(coerce(*attr.fallback, attr.kind)) << attr.name << ": " << text(*attr.fallback);
    }
    for (const HyperDef& hyper : op->hyper) EXPECT_FALSE(hyper.doc.empty()) << hyper.name;
    for (const Rule& rule : op->rules) EXPECT_FALSE(rule.text.empty());
    const bool owns = std::any_of(op->inputs.begin(), op->inputs.end(),
                                  [](const Input& in) { return in.role == Role::parameter || in.role == Role::optional_parameter; });
    EXPECT_EQ(owns, op->parameters != nullptr);
    EXPECT_EQ(owns, op->hyper_of != nullptr);
  }
}

TEST(Table, TorchMapsNameWhatTheOperatorHas) {
  for (const OpDef* op : all_ops().all())
    for (const ForeignMap& map : op->torch) {
      SCOPED_TRACE(std::string(op->name) + ": " + std::string(map.target));
      EXPECT_TRUE(map.target.starts_with("aten."));
      EXPECT_TRUE(!map.convert || map.pairs.empty()) << "pairs beside a function";
      for (const std::string& pair : split(map.pairs, ' ')) {
        if (pair.empty()) continue;
        const std::size_t equal = pair.find('=');
        ASSERT_NE(equal, std::string::npos) << pair;
        const std::string ours = pair.substr(0, equal);
        EXPECT_TRUE(ours.empty() || op->input_index(ours) >= 0 || op->attr_index(ours) >= 0) << pair;
        EXPECT_LT(equal + 1, pair.size()) << pair;
      }
    }
}

// One test an operator, all its examples in turn.
class Operators : public testing::TestWithParam<std::string> {
 protected:
  const OpDef& op() const { return *all_ops().find(GetParam()); }
  std::vector<Example> examples() const {
    std::vector<Example> list;
    for (const std::string_view text : op().examples) list.push_back(parse_example(all_ops(), text));
    return list;
  }
};

TEST_P(Operators, ExamplesAreSound) {
  for (const Example& e : examples()) {
    SCOPED_TRACE(e.text);
    EXPECT_EQ(e.node().op, &op());
    verify(e.graph);
    for (const Tensor& y : Evaluator(e.graph, all_ops()).run(e.inputs)) EXPECT_TRUE(std::isfinite(y.count() ? y.item() : 0));
  }
}

TEST_P(Operators, ExpandEqualsEval) {
  if (!op().eval || !op().expand) GTEST_SKIP() << "not both slots";
  for (const Example& e : examples()) {
    SCOPED_TRACE(e.text);
    const Graph expanded = expand(e.graph, all_ops(), [&](const OpDef& other) { return &other != &op(); });
    expect_close(Evaluator(e.graph, all_ops()).run(e.inputs), Evaluator(expanded, all_ops()).run(e.inputs), 1e-5);
  }
}

std::vector<int> inverse(const std::vector<int>& order) {
  std::vector<int> axes(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) axes[static_cast<std::size_t>(order[i])] = static_cast<int>(i);
  return axes;
}

// The file that the example becomes, run in LiteRT; tensors in the source's own order of axes.
std::vector<Tensor> run_in_litert(const Example& e, const TflGraph& graph, Io io) {
  AtomicFile file(std::filesystem::temp_directory_path() / fmt::format("wherry_example_{}.tflite", getpid()));
  write_tflite(graph, {}, file);
  file.finish();
  const std::unique_ptr<LiteRtModel> model = LiteRtModel::from_file(file.temporary());
  std::vector<Tensor> inputs;
  for (const TensorInfo& info : model->inputs())
    for (std::size_t i = 0; i < e.inputs.size(); ++i)
      if (e.graph.inputs[i].name == info.name)
        inputs.push_back(e.inputs[i].permuted(inverse(io_order(e.inputs[i].type(), io))).contiguous());
  std::vector<Tensor> outputs = model->run(inputs);
  for (std::size_t i = 0; i < outputs.size(); ++i)
    outputs[i] = outputs[i].permuted(io_order(e.graph.type(e.graph.outputs[i].value), io)).contiguous();
  return outputs;
}

void expect_tflite_equals_eval(const std::vector<Example>& examples, Io io) {
  for (const Example& e : examples) {
    SCOPED_TRACE(e.text);
    Diagnostics diagnostics;
    const Lowered lowered = lower_to_tfl(e.graph, all_ops(), {.io = io}, diagnostics);
    for (const Diagnostic& d : diagnostics.all()) ADD_FAILURE() << render(d);
    if (!diagnostics.has_errors()) expect_close(Evaluator(e.graph, all_ops()).run(e.inputs), run_in_litert(e, lowered.graph, io), 2e-6);
  }
}

TEST_P(Operators, TfliteEqualsEval) {
  if (!find_litert()) GTEST_SKIP() << "LiteRT is not found";
  expect_tflite_equals_eval(examples(), Io::nchw);
}

TEST_P(Operators, TfliteEqualsEvalChannelsLast) {
  if (!find_litert()) GTEST_SKIP() << "LiteRT is not found";
  expect_tflite_equals_eval(examples(), Io::nhwc);
}

INSTANTIATE_TEST_SUITE_P(All, Operators, testing::ValuesIn(all_ops().names()), [](const auto& tested) { return tested.param; });

}  // namespace
}  // namespace wherry
