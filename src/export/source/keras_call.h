// An operation of keras.ops as Python calls it.
#pragma once

#include "ops/keras.h"

#include <functional>
#include <string>
#include <vector>

namespace wherry::source {

bool is_operation_node(const KerasNode& node);  // of keras.ops
bool is_function(const KerasNode& node);        // one that the file defines
bool is_layer(const KerasNode& node);           // something that an object keeps
bool acts_in_training(const KerasNode& node);   // a layer that does something else in training

// `operands`: the texts of the tensors that it takes, in order. `entry` says an entry of the configuration.
using EntryText = std::function<std::string(const KerasEntry&)>;
std::string operation_text(const KerasGraph& graph, const KerasNode& node, const std::vector<std::string>& operands,
                           const EntryText& entry);

// "layers.Conv2D(16, 3, strides=2)" without the closing bracket's name=…: the arguments.
std::vector<std::string> layer_arguments(const KerasNode& node, const EntryText& entry,
                                         const std::function<bool(const KerasEntry&)>& left_out);
std::string layer_name(const KerasNode& node);  // "layers.Conv2D"

// Nested lists of a constant's numbers, or one number.
std::string constant_text(const Tensor& tensor);

}  // namespace wherry::source
