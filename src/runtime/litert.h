// LiteRT, the runtime that devices use, through its C interface: opened at run time out of PyPI's ai-edge-litert.
#pragma once

#include "base/diagnostics.h"
#include "base/files.h"
#include "ir/tensor.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace wherry {

struct TensorInfo {
  std::string name;
  Type type;
};

// Where libLiteRt.so was found, and the version that the wheel around it states ("" where there is no wheel around it).
struct LiteRtLibrary {
  std::filesystem::path path;
  std::string version;
};

// $WHERRY_LITERT (the file, or a folder that holds it), else the Python environment that this program lies in, else
// $VIRTUAL_ENV, else the Python environments that are on $PATH.
std::optional<LiteRtLibrary> find_litert();

// One operator of one run, as the kernel calls itself.
struct OperatorTime {
  std::string name;
  double milliseconds = 0;
};

// A .tflite file ready to run on the CPU. Every fault that LiteRT reports is E702, no library E701, unsuitable inputs E705.
class LiteRtModel {
 public:
  static void require();  // fails with E701 where LiteRT cannot be loaded
  static std::unique_ptr<LiteRtModel> from_file(const std::filesystem::path& file, int threads = 1, bool profiled = false);
  // `name` stands for the file in messages.
  static std::unique_ptr<LiteRtModel> from_bytes(std::string bytes, const std::string& name, int threads = 1);
  ~LiteRtModel();
  LiteRtModel(const LiteRtModel&) = delete;
  LiteRtModel& operator=(const LiteRtModel&) = delete;

  // Of the file's first signature, in its order; of its first graph where it has no signature.
  const std::vector<TensorInfo>& inputs() const;
  const std::vector<TensorInfo>& outputs() const;

  // One tensor for each input, of its type. Not for two threads at once.
  std::vector<Tensor> run(std::span<const Tensor> inputs);
  // The same without copies: `look` is called for each output with a view that ends with the call.
  void run(std::span<const Tensor> inputs, const std::function<void(std::size_t output, const Tensor& view)>& look);

  // Runs so often, and says what the operators took in each, in execution order. Needs: opened as profiled.
  std::vector<OperatorTime> profile(std::span<const Tensor> inputs, int runs);

  struct State;

 private:
  explicit LiteRtModel(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace wherry
