// Inside flatten: weights by key, from the map that is given or made by a seeded initialisation.
#pragma once

#include "ir/flatten.h"
#include "ir/flatten_values.h"

namespace wherry::flattening {

class WeightSource {
 public:
  WeightSource(const FlattenOptions& options, Graph& graph, TextFaults& faults) : options_(options), graph_(graph), faults_(faults) {}

  // A layer's need. What is missing or of another shape is a fault, but gets a stand-in, so that the layers after it can be judged.
  struct Need {
    std::string key;
    Type type;
    std::string path;  // of the layer
    Origin origin;
    int line = 0, column = 0;
  };
  // One constant for each key, however many layers share it. `make` makes it where no map is given.
  ValueId get(const Need& need, const std::function<Tensor()>& make);
  // Throws TypeFault where a weight of this shape cannot be.
  void check_shape(const Shape& shape) const;

  void list_missing(const std::string& source);
  void list_leftover();

 private:
  ValueId stand_in(const Type& type);
  ValueId mismatch(const Need& need, const Type& found);

  const FlattenOptions& options_;
  Graph& graph_;
  TextFaults& faults_;
  std::unordered_map<std::string, ValueId> constants_;  // by key
  std::vector<Need> missing_;
};

// Of ParametersFn: a parameter that the layer does not have.
inline bool is_left_out(const Shape& shape) { return shape.size() == 1 && shape[0] == Dim(-1); }

}  // namespace wherry::flattening
