// Where each source value lies and how: the bookkeeping of axis orders that every channels-last target shares. `Target` is the
// target's own interface (TflLowering, KerasLowering) over tensors numbered by ints.
#pragma once

#include "base/check.h"
#include "lower/axes.h"
#include "ops/layout_lowering.h"

#include <fmt/format.h>

#include <map>

namespace wherry {

template <class Target>
class OrderedValues : public Target {
 public:
  int source_order(ValueId value) override { return in_order(value, identity_order(rank(value))); }
  int channels_last(ValueId value) override { return in_order(value, LayoutLowering::channels_last_order(rank(value))); }
  int as_is(ValueId value) override { return state(value).tensor; }

  const Order& order(ValueId value) override {
    State& s = states_[static_cast<std::size_t>(value)];
    if (s.tensor < 0 && s.order.empty()) s.order = identity_order(rank(value));  // a constant that nobody has asked for yet
    return s.order;
  }

  int in_order(ValueId value, const Order& wanted) override {
    WHERRY_CHECK(static_cast<int>(wanted.size()) == rank(value), "order of {} axes for {}", wanted.size(), text(graph.type(value)));
    State& s = states_[static_cast<std::size_t>(value)];
    const auto made = s.in_orders.find(wanted);
    if (made != s.in_orders.end()) return made->second;
    int id = -1;
    const Value& v = graph[value];
    if (v.constant) {
      id = is_identity(wanted) ? state(value).tensor : this->constant(v.constant->permuted(inverse(wanted)), v.name);
    } else {
      const int now = state(value).tensor;
      id = arrange(now, Sizes(sizes_of(now)), s.order, wanted);
    }
    s.in_orders.emplace(wanted, id);
    return id;
  }

  std::vector<int> same_order(const std::vector<ValueId>& values, Order& common) override {
    int out_rank = 0;
    for (const ValueId v : values)
      if (v != absent) out_rank = std::max(out_rank, rank(v));
    const Order last = LayoutLowering::channels_last_order(out_rank);
    common = identity_order(out_rank);
    bool found = false;
    std::optional<DType> dtype;
    for (const ValueId v : values) {
      if (v == absent) continue;
      if (!dtype && !(graph.is_constant(v) && rank(v) == 0)) dtype = graph.type(v).dtype;
      if (graph.is_constant(v) || rank(v) < out_rank) continue;
      if (!found || (common != last && order(v) == last)) common = order(v);
      found = true;
    }
    std::vector<int> result;
    for (const ValueId v : values) {
      if (v == absent)
        result.push_back(-1);
      else if (graph.is_constant(v))
        result.push_back(broadcast_constant(v, common, dtype.value_or(graph.type(v).dtype)));
      else if (rank(v) < out_rank)
        result.push_back(with_leading_ones(v, common));
      else
        result.push_back(in_order(v, common));
    }
    return result;
  }

  void give_source_order(ValueId output, int tensor) override { this->give(output, tensor, identity_order(rank(output))); }
  void give_channels_last(ValueId output, int tensor) override {
    this->give(output, tensor, LayoutLowering::channels_last_order(rank(output)));
  }

 protected:
  using LayoutLowering::graph;

  explicit OrderedValues(const Graph& g) : Target(g), states_(g.values.size()) {}

  // What the target makes of a change of layout. `name` is for the new tensor.
  virtual int transposed(int tensor, const std::vector<int>& axes, const Sizes& result, const std::string& name) = 0;
  virtual int reshaped(int tensor, const Sizes& result, const std::string& name) = 0;
  virtual const Sizes& sizes_of(int tensor) const = 0;
  virtual std::string name_of(int tensor) const = 0;

  // What was made of a value in other orders is made again where it is wanted again.
  void forget_orders() {
    for (State& s : states_)
      if (s.in_orders.size() > 1) std::erase_if(s.in_orders, [&](const auto& made) { return made.second != s.tensor; });
  }

  int rank(ValueId value) const { return static_cast<int>(graph.type(value).shape.size()); }
  bool given(ValueId value) const { return states_[static_cast<std::size_t>(value)].tensor >= 0; }

  void place(ValueId value, int tensor, Order order) {
    State& s = states_[static_cast<std::size_t>(value)];
    s.tensor = tensor;
    s.order = order;
    s.in_orders[std::move(order)] = tensor;
  }

 private:
  struct State {
    int tensor = -1;
    Order order;
    std::map<Order, int> in_orders;  // what was made so far, by order
  };

  State& state(ValueId value) {
    WHERRY_CHECK(value != absent, "the tensor of an absent input");
    State& s = states_[static_cast<std::size_t>(value)];
    if (s.tensor >= 0) return s;
    const Value& v = graph[value];
    WHERRY_CHECK(v.constant, "{} is taken before it is made", v.name);
    s.order = identity_order(rank(value));
    s.tensor = this->constant(*v.constant, v.name);
    return s;
  }

  // A transpose, a reshape where only ones move, or nothing.
  int arrange(int tensor, const Sizes& now, const Order& from, const Order& to) {
    const Order perm = transposition(from, to);
    if (is_identity(perm)) return tensor;
    Sizes result(now.size());
    for (std::size_t j = 0; j < perm.size(); ++j) result[j] = now[static_cast<std::size_t>(perm[j])];
    const std::string name = name_of(tensor);
    if (only_ones_move(now, perm)) return reshaped(tensor, result, name + "/reshape");
    return transposed(tensor, perm, result, name + "/transpose");
  }

  // A lower rank broadcasts by itself in the source's order; in another it gets its leading ones and is brought there.
  int with_leading_ones(ValueId value, const Order& wanted) {
    const int plain = source_order(value);
    if (is_identity(wanted) || sizes_of(plain).empty()) return plain;
    Sizes full = sizes_of(plain);
    full.insert(full.begin(), wanted.size() - full.size(), 1);
    const Order now = identity_order(static_cast<int>(full.size()));
    const std::string name = name_of(plain) + "/reshape";
    if (only_ones_move(full, transposition(now, wanted))) return reshaped(plain, ordered(full, wanted), name);  // one reshape does both
    return arrange(reshaped(plain, full, name), full, now, wanted);
  }

  int broadcast_constant(ValueId value, const Order& wanted, DType dtype) {
    const Tensor& source = *graph[value].constant;
    if (source.rank() == 0 && source.dtype() != dtype) return this->constant(source.cast(dtype), graph[value].name);
    if (source.rank() == static_cast<int>(wanted.size())) return in_order(value, wanted);
    if (source.rank() == 0 || is_identity(wanted)) return source_order(value);
    Sizes full = source.sizes();
    full.insert(full.begin(), wanted.size() - full.size(), 1);
    return this->constant(source.reshaped(full).permuted(inverse(wanted)), graph[value].name);
  }

  std::vector<State> states_;
};

}  // namespace wherry
