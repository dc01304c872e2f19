#include "verify/verify.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "verify/provenance.h"

namespace wherry {
namespace {

Tensor floats(const std::vector<float>& values) { return Tensor::from(values, {static_cast<std::int64_t>(values.size())}); }

TEST(Metrics, OfEqualTensors) {
  const Metrics m = compare(floats({1, -2, 3}), floats({1, -2, 3}));
  EXPECT_EQ(m.max_abs_error, 0);
  EXPECT_EQ(m.scale, 3);
  EXPECT_TRUE(std::isinf(m.sqnr_db));
  EXPECT_DOUBLE_EQ(m.cosine, 1);
}

TEST(Metrics, OfKnownErrors) {
  const Metrics m = compare(floats({3, 4}), floats({3, 4.5}));
  EXPECT_DOUBLE_EQ(m.max_abs_error, 0.5);
  EXPECT_DOUBLE_EQ(m.relative(), 0.125);
  EXPECT_NEAR(m.sqnr_db, 20, 1e-9);  // 25 against 0.25
}

TEST(Metrics, ANanOnOneSideIsAMismatch) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isinf(compare(floats({1, nan}), floats({1, 2})).max_abs_error));
  EXPECT_TRUE(std::isinf(compare(floats({1, 2}), floats({1, nan})).max_abs_error));
  EXPECT_EQ(compare(floats({1, nan}), floats({1, nan})).max_abs_error, 0);
}

// A side made of numbers.
class Given : public Side {
 public:
  Given(std::vector<Layer> layers, Tensor output) : layers_(std::move(layers)), output_(std::move(output)) {}
  std::string what() const override { return "given"; }
  std::vector<NamedType> inputs() const override { return {}; }
  std::vector<NamedType> outputs() const override { return {{"y", output_.type()}}; }
  std::vector<Tensor> run(const std::vector<Tensor>&) override { return {output_}; }
  std::vector<Layer> run_layers(const std::vector<Tensor>&) override { return layers_; }

 private:
  std::vector<Layer> layers_;
  Tensor output_;
};

TEST(Verify, NamesTheFirstLayerThatDiffers) {
  Given a({{"one", floats({1, 2})}, {"only_here", floats({5})}, {"two", floats({3, 4})}, {"three", floats({9})}}, floats({9}));
  Given b({{"one", floats({1, 2})}, {"two", floats({3, 5})}, {"three", floats({8})}}, floats({8}));
  const VerifyReport report = verify_sides(a, b, {}, 1e-4, true);
  EXPECT_FALSE(report.match);
  EXPECT_EQ(report.first_mismatch, "two");
  EXPECT_EQ(report.layers.size(), 3U);
}

TEST(Verify, RefusesSidesOfOtherShapes) {
  Given a({}, floats({1, 2})), b({}, floats({1}));
  EXPECT_THROW(verify_sides(a, b, {}, 1e-4, false), Failure);
}

TEST(Provenance, ReadsBackWhatItWrote) {
  const Provenance p{.generator = "wherry",
                     .source = "a.pt2",
                     .source_hash = "xxh3:0",
                     .precision = "float32",
                     .io = "nhwc",
                     .ports = {{"x", {0, 3, 1, 2}}},
                     .layers = {{4, "conv", {0, 3, 1, 2}}}};
  const auto again = parse_provenance(to_json_text(p));
  ASSERT_TRUE(again);
  EXPECT_EQ(to_json_text(*again), to_json_text(p));
  EXPECT_FALSE(parse_provenance("{}"));
  EXPECT_FALSE(parse_provenance("not json"));
}

}  // namespace
}  // namespace wherry
