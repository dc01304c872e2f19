#include "ir/op_def.h"

#include "base/check.h"
#include "base/diagnostics.h"

#include <algorithm>

namespace wherry {

DType computed_as(DType dtype) { return is_float(dtype) ? DType::float32 : dtype; }

namespace {

template <class Rows>
int index_of(const Rows& rows, std::string_view name) {
  const auto it = std::find_if(rows.begin(), rows.end(), [&](const auto& row) { return row.name == name; });
  return it == rows.end() ? -1 : static_cast<int>(it - rows.begin());
}

// The index of an input that the node may leave out; -1 when it is absent.
int present(const Node& node, std::string_view input, std::size_t given) {
  const int index = node.op->input_index(input);
  WHERRY_CHECK(index >= 0, "operator {} has no input '{}'", node.op->name, input);
  return static_cast<std::size_t>(index) < given ? index : -1;
}

template <class T>
const T* at(std::span<const T* const> list, int index) {
  return index < 0 || static_cast<std::size_t>(index) >= list.size() ? nullptr : list[static_cast<std::size_t>(index)];
}

}  // namespace

int OpDef::attr_index(std::string_view attr) const { return index_of(attrs, attr); }
int OpDef::input_index(std::string_view input) const { return index_of(inputs, input); }

const Type* OpTypes::find(std::string_view input) const { return at(inputs, present(node, input, inputs.size())); }
const Tensor* OpTypes::constant(std::string_view input) const { return at(constants, present(node, input, inputs.size())); }
const Tensor* OpValues::find(std::string_view input) const { return at(inputs, present(node, input, inputs.size())); }

const Type& OpTypes::operator[](std::string_view input) const {
  const Type* type = find(input);
  WHERRY_CHECK(type, "input '{}' of {} is absent", input, node.op->name);
  return *type;
}

const Tensor& OpValues::operator[](std::string_view input) const {
  const Tensor* tensor = find(input);
  WHERRY_CHECK(tensor, "input '{}' of {} is absent", input, node.op->name);
  return *tensor;
}

const ForeignArg* ForeignNode::find(std::string_view name) const {
  const int index = index_of(args, name);
  return index < 0 ? nullptr : &args[static_cast<std::size_t>(index)];
}

namespace {

[[noreturn]] void wrong_kind(const ForeignNode& node, std::string_view name, std::string_view wanted) {
  fail({.code = "E203",
        .message = fmt::format("argument '{}' of '{}' is not {}", name, node.target, wanted),
        .at = node.source.file.empty() ? node.path : fmt::format("{} ({}:{})", node.path, node.source.file, node.source.line)});
}

constexpr std::string_view never_left_out[] = {"self",  "input",   "other",  "condition", "mask", "value", "values",     "src",
                                               "index", "indices", "source", "v",         "g",    "theta", "boundaries", "sorted_sequence"};

}  // namespace

ValueId ForeignNode::value(std::string_view name) const {
  const ForeignArg* arg = find(name);
  const Attr* attr = arg ? std::get_if<Attr>(&arg->value) : nullptr;
  if (!arg || (attr && std::holds_alternative<None>(*attr))) {
    if (std::find(std::begin(never_left_out), std::end(never_left_out), name) != std::end(never_left_out)) wrong_kind(*this, name, "given");
    return absent;
  }
  if (const auto* id = std::get_if<ValueId>(&arg->value)) return *id;
  wrong_kind(*this, name, "a tensor");
}

std::vector<ValueId> ForeignNode::values(std::string_view name) const {
  const ForeignArg* arg = find(name);
  if (arg)
    if (const auto* ids = std::get_if<std::vector<ValueId>>(&arg->value))
      if (name != "tensors" || std::find(ids->begin(), ids->end(), absent) == ids->end()) return *ids;
  wrong_kind(*this, name, "a list of tensors");
}

const Attr* ForeignNode::attr(std::string_view name) const {
  const ForeignArg* arg = find(name);
  return arg ? std::get_if<Attr>(&arg->value) : nullptr;
}

void OpTable::add(std::span<const OpDef> defs) {
  for (const OpDef& def : defs) {
    WHERRY_CHECK(by_name_.emplace(def.name, &def).second, "operator {} is defined twice", def.name);
    all_.insert(std::upper_bound(all_.begin(), all_.end(), &def, [](const OpDef* a, const OpDef* b) { return a->name < b->name; }), &def);
    const auto claim = [&](const std::vector<ForeignMap>& maps, Meanings& meanings) {
      for (const ForeignMap& map : maps)
        WHERRY_CHECK(meanings.emplace(map.target, Foreign{&def, &map}).second, "two operators claim {}", map.target);
    };
    claim(def.torch, torch_);
    claim(def.tflite_in, tflite_);
    claim(def.keras_in, keras_);
    for (const ForeignMap& map : def.onnx)
      WHERRY_CHECK(onnx_[std::string(map.target)].emplace(map.since, Foreign{&def, &map}).second, "two operators claim {}", map.target);
  }
}

void OpTable::compose(std::span<const ForeignMap> torch) {
  compositions_ = torch;
  for (const ForeignMap& map : torch)
    WHERRY_CHECK(torch_.emplace(map.target, Foreign{nullptr, &map}).second, "an operator claims {} too", map.target);
}

std::vector<std::string> OpTable::torch_targets() const {
  std::vector<std::string> targets;
  for (const auto& [target, meaning] : torch_) targets.push_back(target);
  return targets;
}

const OpDef* OpTable::find(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : it->second;
}

std::vector<std::string> OpTable::names() const {
  std::vector<std::string> names;
  for (const OpDef* def : all_) names.emplace_back(def->name);
  return names;
}

namespace {

template <typename Meanings>
const OpTable::Foreign* meaning(const Meanings& meanings, std::string_view target) {
  const auto it = meanings.find(target);
  return it == meanings.end() ? nullptr : &it->second;
}

}  // namespace

const OpTable::Foreign* OpTable::torch(std::string_view target) const { return meaning(torch_, target); }
const OpTable::Foreign* OpTable::tflite(std::string_view target) const { return meaning(tflite_, target); }
const OpTable::Foreign* OpTable::keras(std::string_view target) const { return meaning(keras_, target); }

const OpTable::Foreign* OpTable::onnx(std::string_view target, int version) const {
  const auto it = onnx_.find(target);
  if (it == onnx_.end()) return nullptr;
  const auto above = it->second.upper_bound(version);
  return above == it->second.begin() ? nullptr : &std::prev(above)->second;
}

}  // namespace wherry
