// The elements of .onnx tensors, in whichever of the format's ways they are stored.
#pragma once

#include "base/files.h"
#include "import/onnx/proto.h"
#include "ir/tensor.h"

namespace wherry::onnx {

// Reads tensors of one file. External data is mapped, each file once, and never copied; what is packed in less than a byte is unpacked.
class TensorReader {
 public:
  explicit TensorReader(std::shared_ptr<const MappedFile> file) : file_(std::move(file)) {}
  // Fails with E101 (external file), E105 (bytes that do not fit), E107 (strings and other types), E503 (sizes); `what` names it.
  Tensor read(const TensorDef& def, const std::string& what);

 private:
  std::string_view external(const TensorDef& def, const std::string& what, std::shared_ptr<const MappedFile>& owner);
  std::shared_ptr<const MappedFile> file_;
  std::map<std::string, std::shared_ptr<const MappedFile>, std::less<>> others_;
};

}  // namespace wherry::onnx
