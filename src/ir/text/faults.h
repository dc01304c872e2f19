// Faults in a model's text, said once each however often the block they stand in is used.
#pragma once

#include "ir/model.h"

#include <set>

namespace wherry {

// The text that a block (or, without one, the model's body) was read from.
struct Origin {
  std::string file;
  const std::vector<std::string>* lines = nullptr;
};
Origin origin_of(const Model& model, const Block* block);

class TextFaults {
 public:
  explicit TextFaults(Diagnostics& diagnostics) : diagnostics_(diagnostics) {}
  // `at` is the path of the layer, where the fault concerns one use of a block.
  void add(std::string code, std::string message, const Origin& origin, int line, int column, std::string next = {}, std::string at = {});
  void add(Diagnostic diagnostic, const Origin& origin, int line, int column);
  int count() const { return count_; }

 private:
  Diagnostics& diagnostics_;
  std::set<std::string> said_;
  int count_ = 0;
};

}  // namespace wherry
