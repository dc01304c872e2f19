// Tensors that view the bytes of a storage, as torch.save and torch.export.save lay them down.
#pragma once

#include "import/archive.h"
#include "ir/tensor.h"

namespace wherry {

// Strides and offset count elements. Fails with E105 (E503 where numbers overflow) when the view does not lie inside the storage;
// `what` names the tensor: "weight 'conv.weight' of 'm.pt2'".
Tensor view_storage(const OwnedBytes& storage, DType dtype, const Sizes& sizes, const Sizes& strides, std::int64_t offset,
                    const std::string& what);

}  // namespace wherry
