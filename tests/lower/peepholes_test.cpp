#include "lower/peepholes.h"

#include "../net.h"

namespace wherry {
namespace {

// A TflGraph by hand: tensors by name, nodes in order.
struct Hand {
  Lowered lowered;
  TflGraph& graph = lowered.graph;

  Hand() { graph.name = "hand"; }
  int tensor(const std::string& name, Sizes sizes) {
    graph.tensors.push_back({.name = name, .dtype = DType::float32, .sizes = std::move(sizes), .constant = {}});
    return static_cast<int>(graph.tensors.size()) - 1;
  }
  int constant(const std::string& name, Tensor values) {
    graph.tensors.push_back({.name = name, .dtype = values.dtype(), .sizes = values.sizes(), .constant = values});
    return static_cast<int>(graph.tensors.size()) - 1;
  }
  int ints(const std::vector<std::int32_t>& values, Sizes sizes = {}) {
    return constant("ints", Tensor::from(values, sizes.empty() ? Sizes{static_cast<std::int64_t>(values.size())} : sizes));
  }
  int scalar(float value) { return constant("scalar", Tensor::scalar(value)); }
  int input(const std::string& name, Sizes sizes) {
    const int id = tensor(name, std::move(sizes));
    graph.inputs.push_back({name, id});
    return id;
  }
  int node(const std::string& name, const std::string& builtin, std::vector<int> inputs, Sizes sizes, std::vector<TflOption> options = {}) {
    const int out = tensor(name, std::move(sizes));
    graph.nodes.push_back(
        {.builtin = builtin, .inputs = std::move(inputs), .outputs = {out}, .options = std::move(options), .path = name, .source = {}});
    return out;
  }
  void output(int id) { graph.outputs.push_back({"out", id}); }
  std::string after(void (*peephole)(Lowered&)) {
    peephole(lowered);
    drop_dead(lowered);
    return text(graph);
  }
};

TEST(Peepholes, ARoundTripOfTransposesVanishes) {
  Hand h;
  int t = h.node("a", "TRANSPOSE", {h.input("x", {2, 3, 4}), h.ints({2, 0, 1})}, {4, 2, 3});
  t = h.node("b", "TRANSPOSE", {t, h.ints({1, 2, 0})}, {2, 3, 4});
  h.output(h.node("y", "RELU", {t}, {2, 3, 4}));
  EXPECT_EQ(h.after(drop_idle_moves), "hand(x: float32[2, 3, 4])\ny = RELU(x) -> float32[2, 3, 4]\nreturn out: y\n");
}

TEST(Peepholes, TwoTransposesAreOne) {
  Hand h;
  int t = h.node("a", "TRANSPOSE", {h.input("x", {2, 3, 4}), h.ints({2, 0, 1})}, {4, 2, 3});
  h.output(h.node("b", "TRANSPOSE", {t, h.ints({2, 0, 1})}, {3, 4, 2}));
  EXPECT_EQ(h.after(drop_idle_moves), "hand(x: float32[2, 3, 4])\nb = TRANSPOSE(x, [1, 2, 0]) -> float32[3, 4, 2]\nreturn out: b\n");
}

TEST(Peepholes, ATransposeOfOnesIsAReshapeAndReshapesMerge) {
  Hand h;
  int t = h.node("a", "TRANSPOSE", {h.input("x", {1, 3, 4}), h.ints({1, 0, 2})}, {3, 1, 4});
  h.output(h.node("b", "RESHAPE", {t, h.ints({12})}, {12}));
  EXPECT_EQ(h.after(drop_idle_moves), "hand(x: float32[1, 3, 4])\nb = RESHAPE(x, [12]) -> float32[12]\nreturn out: b\n");
}

TEST(Peepholes, AnOutputIsStillMadeByANode) {
  Hand h;
  h.output(h.node("same", "RESHAPE", {h.input("x", {3}), h.ints({3})}, {3}));
  EXPECT_EQ(h.after(drop_idle_moves), "hand(x: float32[3])\nsame = RESHAPE(x, [3]) -> float32[3]\nreturn out: same\n");
}

TEST(Peepholes, PadsAddUp) {
  Hand h;
  int t = h.node("a", "PAD", {h.input("x", {2, 3}), h.ints({0, 1, 2, 0}, {2, 2})}, {3, 5});
  h.output(h.node("b", "PAD", {t, h.ints({1, 1, 1, 1}, {2, 2})}, {5, 7}));
  EXPECT_EQ(h.after(merge_pads), "hand(x: float32[2, 3])\nb = PAD(x, [1, 2, 3, 1]) -> float32[5, 7]\nreturn out: b\n");
}

TEST(Peepholes, ClampsAreActivations) {
  Hand h;
  const int x = h.input("x", {3});
  int t = h.node("low", "MAXIMUM", {x, h.scalar(0)}, {3});
  t = h.node("relu6", "MINIMUM", {t, h.scalar(6)}, {3});
  t = h.node("low1", "MAXIMUM", {h.scalar(-1), t}, {3});
  t = h.node("one", "MINIMUM", {t, h.scalar(1)}, {3});
  h.output(h.node("other", "MINIMUM", {t, h.scalar(5)}, {3}));
  EXPECT_EQ(h.after(name_clamps),
            "hand(x: float32[3])\n"
            "relu6 = RELU6(x) -> float32[3]\n"
            "one = RELU_N1_TO_1(relu6) -> float32[3]\n"
            "other = MINIMUM(one, 5.0) -> float32[3]\n"
            "return out: other\n");
}

TEST(Peepholes, AnActivationGoesIntoTheNodeBeforeIt) {
  Hand h;
  const int x = h.input("x", {3});
  const int sum = h.node("sum", "ADD", {x, x}, {3}, {{"fused_activation_function", std::string("NONE")}});
  h.output(h.node("y", "RELU6", {sum}, {3}));
  EXPECT_EQ(h.after(fuse_activations), "hand(x: float32[3])\ny = ADD(x, x) fused_activation_function=RELU6 -> float32[3]\nreturn out: y\n");
}

TEST(Peepholes, AnActivationStaysWhereItCannotGo) {
  Hand h;
  const int x = h.input("x", {3});
  const int twice = h.node("twice", "ADD", {x, x}, {3});
  const int exp = h.node("exp", "EXP", {twice}, {3});
  const int a = h.node("a", "RELU", {twice}, {3}), b = h.node("b", "RELU", {exp}, {3});
  h.output(h.node("y", "MUL", {a, b}, {3}, {{"fused_activation_function", std::string("RELU")}}));
  h.graph.outputs[0].value = h.node("z", "RELU6", {h.graph.outputs[0].value}, {3});
  const std::string before = text(h.graph);
  EXPECT_EQ(h.after(fuse_activations), before);
}

TEST(Peepholes, IndicesAreInt32) {
  Hand h;
  const int shape = h.constant("shape", Tensor::from(std::vector<std::int64_t>{3, 2}, {2}));
  h.output(h.node("y", "RESHAPE", {h.input("x", {2, 3}), shape}, {3, 2}));
  h.after(narrow_index_constants);
  EXPECT_EQ(h.graph.tensors[static_cast<std::size_t>(h.graph.nodes[0].inputs[1])].dtype, DType::int32);
}

}  // namespace
}  // namespace wherry
