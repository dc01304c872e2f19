#include "export/source/keras_call.h"

#include "base/text.h"
#include "export/source/keras_said.h"
#include "export/source/python_expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace wherry::source {

namespace {

std::string_view tail(std::string_view layer) {
  const std::size_t dot = layer.rfind('.');
  return dot == std::string_view::npos ? layer : layer.substr(dot + 1);
}

std::string_view definition_of(const KerasNode& node) {
  std::string_view text = node.definition;
  while (text.starts_with('\n')) text.remove_prefix(1);
  return text;
}

// What stands first in a layer's or operation's arguments and needs no name.
bool positional(std::string_view layer, std::string_view name) {
  constexpr std::array names = {"filters",     "kernel_size", "units",    "pool_size", "rate",     "activation",
                                "output_size", "groups",      "newshape", "axes",      "repeats",  "dims",
                                "input_dim",   "output_dim",  "dtype",    "pad_width", "cropping", "size"};
  if (name == "padding") return layer.starts_with("ZeroPadding");
  if (name == "groups") return layer == "GroupNormalization";
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool compound(std::string_view text) {
  int depth = 0;
  for (const char c : text) {
    depth += c == '(' || c == '[' || c == '{' ? 1 : c == ')' || c == ']' || c == '}' ? -1 : 0;
    if (c == ' ' && depth == 0) return true;
  }
  return text.starts_with('-');
}

std::string bracketed(const std::string& text) { return compound(text) ? "(" + text + ")" : text; }

// Two numbers or tensors of one float type, which every backend's operators take.
bool plain_arithmetic(const KerasGraph& graph, const KerasNode& node) {
  if (node.args.size() != 2) return false;
  std::vector<const KerasTensor*> tensors;
  for (const KerasValue& arg : node.args)
    if (const auto* ref = std::get_if<KerasRef>(&arg)) tensors.push_back(&graph.tensors[static_cast<std::size_t>(ref->tensor)]);
  if (tensors.size() != 2 || (tensors[0]->constant && tensors[1]->constant)) return false;
  const auto takes = [](const KerasTensor& t) { return !t.constant || t.constant->rank() == 0; };
  return takes(*tensors[0]) && takes(*tensors[1]) && tensors[0]->type.dtype == DType::float32 && tensors[1]->type.dtype == DType::float32;
}

std::string slices_text(const std::vector<KerasSlice>& slices) {
  std::vector<std::string> parts;
  for (const KerasSlice& s : slices) {
    std::string text = s.start == 0 ? ":" : fmt::format("{}:", s.start);
    if (s.stop) text += std::to_string(*s.stop);
    if (s.step != 1) text += fmt::format(":{}", s.step);
    parts.push_back(text);
  }
  return join(parts, ", ");
}

std::string list_text(const Tensor& tensor, const Sizes& sizes, std::size_t axis, std::int64_t& at) {
  if (axis == sizes.size()) {
    const double value = tensor.item(at++);
    if (tensor.dtype() == DType::boolean) return value != 0 ? "True" : "False";
    return is_float(tensor.dtype()) ? float_text(static_cast<float>(value)) : fmt::format("{}", static_cast<std::int64_t>(value));
  }
  std::vector<std::string> items;
  for (std::int64_t i = 0; i < sizes[axis]; ++i) items.push_back(list_text(tensor, sizes, axis + 1, at));
  return fmt::format("[{}]", join(items, ", "));
}

}  // namespace

bool is_operation_node(const KerasNode& node) { return node.layer.starts_with("ops."); }
bool is_function(const KerasNode& node) { return definition_of(node).starts_with("def "); }
bool is_layer(const KerasNode& node) { return !is_operation_node(node) && !is_function(node); }

bool acts_in_training(const KerasNode& node) { return node.layer == "BatchNormalization" || node.layer == "Dropout"; }

std::string operation_text(const KerasGraph& graph, const KerasNode& node, const std::vector<std::string>& operands,
                           const EntryText& entry) {
  const std::string word(tail(node.layer));
  constexpr std::array signs = {std::pair("Add", "+"), std::pair("Subtract", "-"), std::pair("Multiply", "*")};
  for (const auto& [name, sign] : signs)
    if (word == name && plain_arithmetic(graph, node)) return fmt::format("{} {} {}", bracketed(operands[0]), sign, bracketed(operands[1]));
  std::vector<std::string> args;
  std::size_t next = 0;
  std::optional<Attr> fill;
  for (const KerasValue& arg : node.args) {
    if (std::holds_alternative<KerasRef>(arg)) args.push_back(operands[next++]);
    if (const auto* refs = std::get_if<std::vector<KerasRef>>(&arg)) {
      std::vector<std::string> list(operands.begin() + static_cast<std::ptrdiff_t>(next),
                                    operands.begin() + static_cast<std::ptrdiff_t>(next + refs->size()));
      next += refs->size();
      args.push_back(fmt::format("[{}]", join(list, ", ")));
    }
    if (const auto* slices = std::get_if<std::vector<KerasSlice>>(&arg))
      return fmt::format("{}[{}]", bracketed(operands[0]), slices_text(*slices));
    if (const auto* attr = std::get_if<Attr>(&arg)) {
      if (word == "Pad")
        fill = *attr;
      else
        args.push_back(python_literal(*attr));
    }
  }
  for (const KerasEntry& e : node.config) {
    if (word == "Pad" && e.name == "mode" && fill) continue;  // by constant
    if (const auto* attr = std::get_if<Attr>(&e.value); e.name == "keepdims" && attr && *attr == Attr(false)) continue;
    args.push_back(positional(word, e.name) && is_operation_node(node) ? entry(e) : fmt::format("{}={}", e.name, entry(e)));
  }
  if (fill && *fill != Attr(0.0)) args.push_back(fmt::format("constant_values={}", python_literal(*fill)));
  std::string name = is_function(node) ? node.layer : "ops." + function_name(word);
  while (name.ends_with('_')) name.pop_back();  // ops.max is no built-in
  return fmt::format("{}({})", name, join(args, ", "));
}

std::string layer_name(const KerasNode& node) { return node.definition.empty() ? "layers." + node.layer : node.layer; }

std::vector<std::string> layer_arguments(const KerasNode& node, const EntryText& entry,
                                         const std::function<bool(const KerasEntry&)>& left_out) {
  std::vector<std::string> first, named;
  for (const KerasEntry& e : node.config) {
    if (left_out(e)) continue;
    if (positional(node.layer, e.name))
      first.push_back(entry(e));
    else
      named.push_back(fmt::format("{}={}", e.name, entry(e)));
  }
  first.insert(first.end(), named.begin(), named.end());
  return first;
}

std::string constant_text(const Tensor& tensor) {
  std::int64_t at = 0;
  const std::string numbers = list_text(tensor.contiguous(), tensor.sizes(), 0, at);
  if (tensor.rank() == 0 && tensor.dtype() != DType::float16) return numbers;
  return fmt::format("np.array({}, \"{}\")", numbers, name(tensor.dtype()));
}

}  // namespace wherry::source
