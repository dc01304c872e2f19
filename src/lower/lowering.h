// The one TflLowering: builds a TflGraph and keeps, for each source value, its tensor and the order of its axes.
#pragma once

#include "lower/lower_tfl.h"
#include "lower/ordered_values.h"

namespace wherry {

class Lowering final : public OrderedValues<TflLowering> {
 public:
  // Needs: every value of `graph` has a static shape. `diagnostics` takes what refuse() says.
  Lowering(const Graph& graph, Diagnostics& diagnostics);

  void input(const Port& port, Order order);
  void output(const Port& port, const Order& order);
  // Lowers one node; a refusal goes to the diagnostics, and its outputs get stand-ins so that later nodes are heard as well.
  void lower(const Node& node);
  Lowered finish();

  int constant(Tensor tensor, std::string name = {}) override;
  int add(std::string_view builtin, std::vector<int> inputs, const Type& out, std::vector<TflOption> options = {}) override;
  std::vector<int> add_multi(std::string_view builtin, std::vector<int> inputs, const std::vector<Type>& outs,
                             std::vector<TflOption> options = {}) override;
  const TflTensor& tensor(int id) override { return out_.graph.tensors[static_cast<std::size_t>(id)]; }
  const TflNode* producer(int tensor) override;
  void give(ValueId output, int tensor, Order order) override;
  [[noreturn]] void refuse(const Node& node, const std::string& reason) override;

 private:
  struct Refused {};

  int transposed(int tensor, const std::vector<int>& axes, const Sizes& result, const std::string& name) override;
  int reshaped(int tensor, const Sizes& result, const std::string& name) override;
  const Sizes& sizes_of(int id) const override { return out_.graph.tensors[static_cast<std::size_t>(id)].sizes; }
  std::string name_of(int id) const override { return out_.graph.tensors[static_cast<std::size_t>(id)].name; }
  std::string scratch_name(std::string_view what) const;

  Diagnostics& diagnostics_;
  Lowered out_;
  std::vector<int> producers_;  // by tensor: index of the node, or -1
  std::vector<bool> named_;     // by tensor: stands for a source value
  const Node* current_ = nullptr;
};

// A node whose slot names a builtin: inputs, options and axes by the operator's layout rule.
void lower_by_layout(TflLowering& lower, const Node& node);

}  // namespace wherry
