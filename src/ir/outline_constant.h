// Constants among a layer's inputs, as the text writes them in place.
#pragma once

#include "ir/model.h"

namespace wherry::outlining {

// 0.5 or {constant: [1, 2], dtype: int64}: the shortest that reads back to the same bits. `first`: the data type of the
// layer's first tensor input, which a bare number takes.
TextValue written(const Tensor& tensor, std::optional<DType> first);

// {weight: key, type: "float32[8]"}
TextValue named_constant(const std::string& key, const Type& type);

}  // namespace wherry::outlining
