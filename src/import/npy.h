// NumPy's .npy arrays and .npz archives of them (format: numpy.lib.format, versions 1 to 3).
#pragma once

#include "base/diagnostics.h"
#include "ir/tensor.h"

#include <filesystem>

namespace wherry {

struct NamedArray {
  std::string name;  // without ".npy"; a lone .npy file: its stem
  Tensor tensor;
};

// In the order of their names. E102 when damaged, E107 for a data type without a counterpart (strings, objects).
std::vector<NamedArray> read_npz(const std::filesystem::path& file);

}  // namespace wherry
