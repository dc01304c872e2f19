#include "ops/foreign.h"

#include <fmt/format.h>

#include <algorithm>

namespace wherry::ops {

void refuse(const ForeignNode& node, std::string message) {
  fail({.code = "E203",
        .message = std::move(message),
        .at = node.source.file.empty() ? node.path : fmt::format("{} ({}:{})", node.path, node.source.file, node.source.line)});
}

namespace {

const Attr* find(const ForeignNode& node, std::string_view name) {
  const ForeignArg* arg = node.find(name);
  if (!arg) return nullptr;
  const Attr* attr = std::get_if<Attr>(&arg->value);
  if (!attr) refuse(node, fmt::format("argument '{}' of '{}' is computed by the model; a fixed value is needed", name, node.target));
  return std::holds_alternative<None>(*attr) ? nullptr : attr;
}

template <class T>
T read(const ForeignNode& node, std::string_view name, AttrKind kind, std::optional<T> fallback) {
  const Attr* attr = find(node, name);
  if (!attr) {
    if (fallback) return *fallback;
    refuse(node, fmt::format("'{}' lacks its argument '{}'", node.target, name));
  }
  const std::optional<Attr> value = coerce(*attr, kind);
  if (!value) refuse(node, fmt::format("argument '{}' of '{}' is {}, expected {}", name, node.target, text(*attr), wherry::name(kind)));
  return std::get<T>(*value);
}

// PyTorch's order of types: bool < integers < floats; within a kind the wider wins.
int rank_of(DType dtype) {
  static constexpr DType order[] = {DType::boolean, DType::uint8,   DType::int8,     DType::int16,   DType::int32,
                                    DType::int64,   DType::float16, DType::bfloat16, DType::float32, DType::float64};
  return static_cast<int>(std::find(std::begin(order), std::end(order), dtype) - std::begin(order));
}
int category(DType dtype) { return is_float(dtype) ? 2 : is_integer(dtype) ? 1 : 0; }

DType promote(DType a, DType b) {
  if (a == b) return a;
  if ((a == DType::uint8 && b == DType::int8) || (a == DType::int8 && b == DType::uint8)) return DType::int16;
  if ((a == DType::float16 && b == DType::bfloat16) || (a == DType::bfloat16 && b == DType::float16)) return DType::float32;
  return rank_of(a) > rank_of(b) ? a : b;
}

}  // namespace

bool given(const ForeignNode& node, std::string_view name) {
  const ForeignArg* arg = node.find(name);
  if (!arg) return false;
  const Attr* attr = std::get_if<Attr>(&arg->value);
  return !attr || !std::holds_alternative<None>(*attr);
}

double number(const ForeignNode& node, std::string_view name, std::optional<double> fallback) {
  return read<double>(node, name, AttrKind::number, fallback);
}
std::int64_t integer(const ForeignNode& node, std::string_view name, std::optional<std::int64_t> fallback) {
  return read<std::int64_t>(node, name, AttrKind::integer, fallback);
}
bool flag(const ForeignNode& node, std::string_view name, bool fallback) {
  if (const Attr* attr = find(node, name))  // ONNX says it as 0 or 1
    if (const auto* number = std::get_if<std::int64_t>(attr); number && (*number == 0 || *number == 1)) return *number == 1;
  return read<bool>(node, name, AttrKind::boolean, fallback);
}
std::string word(const ForeignNode& node, std::string_view name, std::string fallback) {
  return read<std::string>(node, name, AttrKind::string, std::move(fallback));
}
Ints ints(const ForeignNode& node, std::string_view name, std::optional<Ints> fallback) {
  return read<Ints>(node, name, AttrKind::ints, std::move(fallback));
}
Ints for_axes(const ForeignNode& node, std::string_view name, std::size_t count, std::optional<Ints> fallback) {
  Ints list = ints(node, name, std::move(fallback));
  if (list.size() == 1) list.resize(count, list[0]);
  if (list.size() != count) refuse(node, fmt::format("{} of '{}' is {}, expected {} numbers", name, node.target, text(Attr(list)), count));
  return list;
}
Attr optional_number(const ForeignNode& node, std::string_view name) { return given(node, name) ? Attr(number(node, name)) : Attr(None{}); }
Attr optional_integer(const ForeignNode& node, std::string_view name) {
  return given(node, name) ? Attr(integer(node, name)) : Attr(None{});
}
Attr optional_ints(const ForeignNode& node, std::string_view name) { return given(node, name) ? Attr(ints(node, name)) : Attr(None{}); }

std::optional<DType> dtype(const ForeignNode& node, std::string_view name) {
  return find(node, name) ? std::optional(read<DType>(node, name, AttrKind::dtype, std::nullopt)) : std::nullopt;
}

std::optional<DType> stated_dtype(const ForeignNode& node) {
  if (const std::optional<DType> type = dtype(node, "dtype")) return type;
  return node.output_types.empty() ? std::nullopt : std::optional(node.output_types[0].dtype);
}

ValueId cast(Builder& b, ValueId value, DType to) { return b.type(value).dtype == to ? value : b("cast", {value}, {{"dtype", to}}); }

std::vector<ValueId> promoted(Builder& b, const ForeignNode& node, std::initializer_list<std::string_view> names) {
  std::vector<ForeignArg> args;
  for (const std::string_view name : names) {
    const ForeignArg* arg = node.find(name);
    args.push_back(arg ? *arg : ForeignArg{std::string(name), Attr(None{})});
  }
  return promoted(b, node, args);
}

std::vector<ValueId> promoted(Builder& b, const ForeignNode& node, std::span<const ForeignArg> args) {
  std::optional<DType> tensors, zero_dims;  // a rank-0 tensor or a number changes the type only by a higher category
  int number_category = 0;
  const auto merge = [](std::optional<DType>& into, DType with) { into = into ? promote(*into, with) : with; };
  for (const ForeignArg& arg : args) {
    const Attr* attr = std::get_if<Attr>(&arg.value);
    if (attr && !std::holds_alternative<None>(*attr)) {
      number_category = std::max(number_category, std::holds_alternative<double>(*attr) ? 2 : std::holds_alternative<bool>(*attr) ? 0 : 1);
      continue;
    }
    if (attr || std::get<ValueId>(arg.value) == absent) refuse(node, fmt::format("'{}' lacks its argument '{}'", node.target, arg.name));
    const Type& type = b.type(std::get<ValueId>(arg.value));
    merge(type.shape.empty() ? zero_dims : tensors, type.dtype);
  }
  if (zero_dims && (!tensors || category(*zero_dims) > category(*tensors))) tensors = tensors ? promote(*tensors, *zero_dims) : zero_dims;
  DType type = tensors.value_or(DType::float32);
  if (number_category > category(type)) type = number_category == 2 ? DType::float32 : DType::int64;

  std::vector<ValueId> values;
  for (const ForeignArg& arg : args) {
    const Attr* attr = std::get_if<Attr>(&arg.value);
    if (!attr) {
      values.push_back(cast(b, std::get<ValueId>(arg.value), type));
      continue;
    }
    const std::optional<Attr> number = coerce(*attr, AttrKind::number);
    const bool* truth = std::get_if<bool>(attr);
    if (!number && !truth) refuse(node, fmt::format("argument '{}' of '{}' is {}, expected a number", arg.name, node.target, text(*attr)));
    values.push_back(b.scalar(truth ? (*truth ? 1 : 0) : std::get<double>(*number), type));
  }
  return values;
}

Ints shape_of_result(const ForeignNode& node, std::string_view argument) {
  if (node.output_types.empty()) return ints(node, argument);
  Ints shape;
  int symbolic = 0;
  for (const Dim& d : node.output_types[0].shape) {
    shape.push_back(d.known() ? d.size() : -1);
    symbolic += d.known() ? 0 : 1;
  }
  if (symbolic > 1)
    refuse(node, fmt::format("'{}' gives {} with more than one symbolic size; only one can be left open", node.target,
                             text(node.output_types[0].shape)));
  return shape;
}

}  // namespace wherry::ops
