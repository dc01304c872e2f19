// The one KerasLowering: builds a KerasGraph and keeps, for each source value, its tensor and the order of its axes.
#pragma once

#include "lower/lower_keras.h"
#include "lower/ordered_values.h"

namespace wherry {

// Thrown where an operator depends on the batch's size.
struct BatchIsNeeded {};

class ToKeras final : public OrderedValues<KerasLowering> {
 public:
  // Needs: every value of `graph` has a static shape. `batched`: axis 0 is a batch.
  ToKeras(const Graph& graph, bool batched, KerasForm form, Diagnostics& diagnostics);

  void input(const Port& port, Order order);
  void output(const Port& port, const Order& order);
  void lower(const Node& node);
  LoweredKeras finish();

  int constant(Tensor tensor, std::string name = {}) override;
  int add(std::string_view layer, std::vector<KerasValue> args, const Type& out, std::vector<KerasEntry> config = {},
          std::vector<KerasWeight> weights = {}) override;
  std::vector<int> add_multi(std::string_view layer, std::vector<KerasValue> args, const std::vector<Type>& outs,
                             std::vector<KerasEntry> config = {}) override;
  const KerasTensor& tensor(int id) override { return out_.graph.tensors[static_cast<std::size_t>(id)]; }
  const KerasNode* producer(int tensor) override;
  void touch(int axis) override;
  bool batched() const override { return out_.graph.batched; }
  bool as_code() const override { return form_ == KerasForm::code; }
  void only_when(int tensor, std::string_view when) override { maker(tensor).when = when; }
  void define(int tensor, std::string_view definition) override { maker(tensor).definition = definition; }
  KerasWeight weight(const Node& node, std::string_view input, std::string_view name, std::vector<int> axes, Sizes view) override;
  std::vector<int> same_order(const std::vector<ValueId>& values, Order& common) override;
  void give(ValueId output, int tensor, Order order) override;
  [[noreturn]] void refuse(const Node& node, const std::string& reason) override;

 private:
  struct Refused {};
  void refuse_output(const Port& port);
  KerasNode& maker(int tensor) {
    return out_.graph.nodes[static_cast<std::size_t>(out_.graph.tensors[static_cast<std::size_t>(tensor)].node)];
  }
  std::vector<int> append(KerasNode node, const std::vector<Type>& outs);
  int transposed(int tensor, const std::vector<int>& axes, const Sizes& result, const std::string& name) override;
  int reshaped(int tensor, const Sizes& result, const std::string& name) override;
  const Sizes& sizes_of(int tensor) const override { return sizes_[static_cast<std::size_t>(tensor)]; }
  std::string name_of(int tensor) const override;

  const KerasForm form_;
  Diagnostics& diagnostics_;
  LoweredKeras out_;
  std::vector<Sizes> sizes_;  // by tensor
  const Node* current_ = nullptr;
};

// A node whose slot names a layer: inputs, configuration and axes by the operator's layout rule.
void lower_by_layout(KerasLowering& lower, const Node& node);

}  // namespace wherry
