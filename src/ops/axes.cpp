#include "ops/axes.h"

#include <algorithm>
#include <numeric>

namespace wherry::ops {

Order identity_order(int rank) {
  Order order(static_cast<std::size_t>(rank));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

Type ordered(const Type& type, const Order& order) {
  Type out{type.dtype, Shape(type.shape.size())};
  for (std::size_t i = 0; i < order.size(); ++i) out.shape[static_cast<std::size_t>(order[i])] = type.shape[i];
  return out;
}

Order without_axes(const Order& order, const std::vector<int>& removed) {
  Order kept;
  for (std::size_t i = 0; i < order.size(); ++i)
    if (std::find(removed.begin(), removed.end(), static_cast<int>(i)) == removed.end()) kept.push_back(order[i]);
  Order closed;
  for (const int at : kept)
    closed.push_back(static_cast<int>(std::count_if(kept.begin(), kept.end(), [&](int other) { return other < at; })));
  return closed;
}

}  // namespace wherry::ops
