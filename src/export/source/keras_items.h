// What the uses of a scope compute in Keras, laid side by side: each layer or operation once, with every use that has it.
#pragma once

#include "export/source/program.h"
#include "ops/keras.h"

namespace wherry::source {

// By scope of the program and use: the use lowered by itself (source::cut).
using KerasUses = std::vector<std::vector<KerasGraph>>;

// What a call takes.
struct Operand {
  enum Kind { item, value, constant } kind = value;
  int index = 0;                                // of an item of the same step
  int output = 0;                               // of that item
  Ref ref = {};                                 // a value: an input of the scope or what another step gives
  bool before = false;                          // a value: what the repetition before gives
  const KerasTensor* tensor = nullptr;          // a constant
  bool operator==(const Operand& other) const;  // of constants only the type counts
};

// An item as one use has it.
struct Seen {
  const KerasNode* node = nullptr;
  std::vector<Operand> operands;  // of all tensors that the node takes, in order
};

struct Item {
  std::string key;           // what makes it the same item in another use
  std::map<int, Seen> seen;  // by use
  bool block = false;
};

// One step, or one repetition of it; or what brings the scope's outputs into order.
struct StepItems {
  int step = -1;  // -1: the outputs
  int repeat = -1;
  std::vector<Item> items;
  std::map<int, std::vector<Operand>> results;  // by use: what stands for its outputs
  int richest = 0;                              // the use that has most items
};

// In execution order, the outputs last. A step that no use runs has none.
std::vector<StepItems> items_of(const Program& program, std::size_t scope, const std::vector<KerasGraph>& graphs);

}  // namespace wherry::source
