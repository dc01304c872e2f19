// model.weights.h5: the variables of each layer.
#pragma once

#include "import/archive.h"
#include "ir/tensor.h"

namespace wherry {

class KerasWeights {
 public:
  // Fails with E102 where the bytes are no HDF5 file. `title` names the archive in messages.
  KerasWeights(const OwnedBytes& bytes, std::string title);
  ~KerasWeights();
  KerasWeights(const KerasWeights&) = delete;
  KerasWeights& operator=(const KerasWeights&) = delete;

  // The variables below `group`: "layers/conv2d_1" → vars/0, vars/1, … in order. E105 where one is of a type that is no number's.
  std::vector<Tensor> variables(const std::string& group) const;

 private:
  std::string title_;
  std::int64_t file_ = -1;
};

// The word by which the file counts layers of a class: "Conv2DTranspose" → "conv2d_transpose".
std::string keras_group(const std::string& class_name);

}  // namespace wherry
