// The tensors of a .pt2 archive by name: views of its entries, one storage for all that share it.
#pragma once

#include "import/pt2/schema.h"
#include "ir/weights.h"

#include <deque>

namespace wherry::pt2 {

class WeightStore {
 public:
  // Reads data/weights and data/constants' tables for the model called `model`; no bytes yet.
  WeightStore(Archive& archive, const std::string& model);

  struct Found {
    Tensor tensor;
    std::string first_name;  // names that mean the very same elements have one
  };
  // The tensor called `name`. Its bytes are checked at this time.
  // Fails with E103 when there is none, E105 when the bytes do not fit the shape, E502 on a layout that is not dense.
  Found read(std::string_view name, bool constant);

 private:
  struct Payload {
    std::string entry;  // "data/weights/weight_0"
    std::optional<TensorMeta> meta;
    bool pickled = false;
    std::string_view first_name;  // the first name in the table that means the same elements
  };
  using Table = std::map<std::string_view, Payload, std::less<>>;
  void read_table(const std::string& folder, const std::string& model, Table& table, Weights& legacy);
  Tensor view(std::string_view name, const Payload& payload);

  Archive& archive_;
  std::deque<JsonDocument> documents_;
  Table weights_, constants_;
  Weights legacy_weights_, legacy_constants_;
};

}  // namespace wherry::pt2
