// Inside flatten: one use of a block, and the values of what its text says.
#pragma once

#include "ir/graph.h"
#include "ir/text/faults.h"

#include <map>
#include <unordered_map>

namespace wherry::flattening {

inline constexpr ValueId unknown = -2;  // the result of a layer that has a fault: what takes it is not judged

struct Result {
  std::vector<ValueId> values;
  std::vector<std::string> names;  // of a block's outputs
};

// One use of a block, or the model's body.
struct Frame {
  std::string path = {};
  Origin origin = {};
  std::string source_file = {};
  int depth = 0;
  std::map<std::string, Attr, std::less<>> params = {};
  std::map<std::string, ValueId, std::less<>> inputs = {};
  std::unordered_map<std::string, Result> layers = {};
  Result last = {};

  std::string path_of(const std::string& name) const { return path.empty() ? name : path + "." + name; }
};

// Ends the work on one layer; the fault has been said.
struct Abandoned {};

// What a layer's text says, in the frame it stands in.
class Values {
 public:
  explicit Values(TextFaults& faults) : faults_(faults) {}

  Attr value(const TextValue& written, const Layer& layer, const Frame& frame) const;
  bool flag(const TextValue& written, const Layer& layer, const Frame& frame, std::string_view what) const;
  // A weight's key; a leading dot means: within the block.
  std::string key(const TextValue& written, const Layer& layer, const Frame& frame) const;

  [[noreturn]] void fault(std::string code, std::string message, const TextValue& at, const Layer& layer, const Frame& frame,
                          std::string next = {}) const;
  [[noreturn]] void fault(std::string code, std::string message, const Layer& layer, const Frame& frame, std::string next = {}) const;

 private:
  Attr list(const TextValue& written, const Layer& layer, const Frame& frame) const;
  Attr expression(const TextValue& written, const Layer& layer, const Frame& frame) const;
  TextFaults& faults_;
};

}  // namespace wherry::flattening
