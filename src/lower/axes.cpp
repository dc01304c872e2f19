#include "lower/axes.h"

#include <numeric>

namespace wherry {

namespace {
std::size_t at(int i) { return static_cast<std::size_t>(i); }
}  // namespace

Order identity_order(int rank) {
  Order order(at(rank));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

bool is_identity(const Order& order) { return order == identity_order(static_cast<int>(order.size())); }

Order inverse(const Order& order) {
  Order result(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) result[at(order[i])] = static_cast<int>(i);
  return result;
}

Order transposition(const Order& from, const Order& to) {
  Order perm(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) perm[at(to[i])] = from[i];
  return perm;
}

Sizes ordered(const Sizes& sizes, const Order& order) {
  Sizes result(sizes.size());
  for (std::size_t i = 0; i < sizes.size(); ++i) result[at(order[i])] = sizes[i];
  return result;
}

bool only_ones_move(const Sizes& sizes, const Order& perm) {
  int last = -1;
  for (const int axis : perm) {
    if (sizes[at(axis)] == 1) continue;
    if (axis < last) return false;
    last = axis;
  }
  return true;
}

}  // namespace wherry
