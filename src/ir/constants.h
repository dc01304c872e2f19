// Constants that a text spells out: 2, {constant: [[1, 2], [3, 4]], dtype: int64}.
#pragma once

#include "ir/model.h"

namespace wherry {

// Either a tensor or why there is none.
struct ConstantText {
  std::optional<Tensor> tensor;
  std::string problem;
};
ConstantText parse_constant(const TextValue& value, std::optional<DType> dtype);

// The data type of a number among a layer's inputs, given the layer's first tensor input (rule in ir/model.h).
DType number_type(const TextValue& number, std::optional<DType> first_tensor);

}  // namespace wherry
