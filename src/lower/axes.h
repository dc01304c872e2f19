// Orders of axes: order[i] is where axis i of a value lies in its tensor.
#pragma once

#include "ir/type.h"

#include <vector>

namespace wherry {

using Order = std::vector<int>;

Order identity_order(int rank);
bool is_identity(const Order& order);
Order inverse(const Order& order);                           // inverse(order)[j]: which axis of the value is axis j of the tensor
Order transposition(const Order& from, const Order& to);     // TRANSPOSE's perm: axis j of the result is axis perm[j] of the input
Sizes ordered(const Sizes& sizes, const Order& order);       // sizes of a value → sizes of its tensor
bool only_ones_move(const Sizes& sizes, const Order& perm);  // then a RESHAPE does what the TRANSPOSE would

}  // namespace wherry
