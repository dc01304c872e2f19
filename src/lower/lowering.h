// The one TflLowering: builds a TflGraph and keeps, for each source value, its tensor and the order of its axes.
#pragma once

#include "lower/axes.h"
#include "lower/lower_tfl.h"

#include <map>
#include <set>

namespace wherry {

class Lowering final : public TflLowering {
 public:
  // Needs: every value of `graph` has a static shape. `diagnostics` takes what refuse() says.
  Lowering(const Graph& graph, Diagnostics& diagnostics);

  void input(const Port& port, Order order);
  void output(const Port& port, const Order& order);
  // Lowers one node; a refusal goes to the diagnostics, and its outputs get stand-ins so that later nodes are heard as well.
  void lower(const Node& node);
  Lowered finish();

  int source_order(ValueId value) override;
  int channels_last(ValueId value) override;
  int in_order(ValueId value, const Order& order) override;
  const Order& order(ValueId value) override;
  int as_is(ValueId value) override;
  std::vector<int> same_order(const std::vector<ValueId>& values, Order& order) override;
  int constant(Tensor tensor, std::string name = {}) override;
  int add(std::string_view builtin, std::vector<int> inputs, const Type& out, std::vector<TflOption> options = {}) override;
  std::vector<int> add_multi(std::string_view builtin, std::vector<int> inputs, const std::vector<Type>& outs,
                             std::vector<TflOption> options = {}) override;
  const TflTensor& tensor(int id) override { return out_.graph.tensors[static_cast<std::size_t>(id)]; }
  const TflNode* producer(int tensor) override;
  void give_source_order(ValueId output, int tensor) override;
  void give_channels_last(ValueId output, int tensor) override;
  void give(ValueId output, int tensor, Order order) override;
  [[noreturn]] void refuse(const Node& node, const std::string& reason) override;

 private:
  struct State {
    int tensor = -1;
    Order order;
    std::map<Order, int> in_orders;  // what was made so far, by order
  };
  struct Refused {};

  State& state(ValueId value);
  int rank(ValueId value) const { return static_cast<int>(graph.type(value).shape.size()); }
  int arrange(int tensor, const Sizes& now, const Order& from, const Order& to);  // TRANSPOSE, RESHAPE or nothing
  int reshape(int tensor, const Sizes& to, const std::string& name);
  int with_leading_ones(ValueId value, const Order& order);
  int broadcast_constant(ValueId value, const Order& order, DType dtype);
  std::string scratch_name(std::string_view what) const;

  Diagnostics& diagnostics_;
  Lowered out_;
  std::vector<State> states_;
  std::vector<int> producers_;  // by tensor: index of the node, or -1
  std::vector<bool> named_;     // by tensor: stands for a source value
  const Node* current_ = nullptr;
};

// A node whose slot names a builtin: inputs, options and axes by the operator's layout rule.
void lower_by_layout(TflLowering& lower, const Node& node);

}  // namespace wherry
