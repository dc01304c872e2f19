// What torch.save wrote, read without running any of it: the few globals that tensors need are known, all others are E108.
#pragma once

#include "import/archive.h"
#include "ir/weights.h"

namespace wherry {

// The tensors of a state dict by key. `title` names the file in messages.
// Fails with E102, E103 or E105 when it is damaged, E107 when it is something else, E108. Both formats of torch.save are read.
Weights read_checkpoint(const OwnedBytes& bytes, const std::string& title);

// One tensor, saved by itself.
Tensor read_pickled_tensor(const OwnedBytes& bytes, const std::string& title);

}  // namespace wherry
