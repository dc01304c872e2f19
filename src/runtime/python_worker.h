// A Python process that runs a file of another framework (python/wherry/_worker): started on demand, spoken to over a socket.
#pragma once

#include "base/diagnostics.h"
#include "ir/tensor.h"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace wherry {

// $WHERRY_PYTHON, else the Python of the environment that this program lies in, else $VIRTUAL_ENV's, else the one on $PATH.
std::optional<std::filesystem::path> find_python();

struct WorkerMessage {
  nlohmann::json header;
  std::vector<Tensor> tensors;
};

// No Python and no framework are E706, with the pip command that installs it; whatever the framework says of the file is E707.
class PythonWorker {
 public:
  // `subject` stands for the file in messages.
  explicit PythonWorker(std::string subject);
  ~PythonWorker();
  PythonWorker(const PythonWorker&) = delete;
  PythonWorker& operator=(const PythonWorker&) = delete;

  // Sends {"call": …} and tensors, waits for the answer. Not for two threads at once.
  WorkerMessage call(nlohmann::json header, const std::vector<Tensor>& tensors = {});

 private:
  struct Process;
  [[noreturn]] void refuse(const nlohmann::json& reply) const;
  [[noreturn]] void ended() const;
  std::string subject_;
  std::unique_ptr<Process> process_;
};

}  // namespace wherry
