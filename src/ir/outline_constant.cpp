#include "ir/outline_constant.h"

#include "ir/constants.h"

#include <fmt/format.h>

namespace wherry::outlining {

namespace {

TextValue text_map(std::vector<TextMember> members) {
  TextValue value;
  value.kind = TextValue::map;
  value.members = std::move(members);
  return value;
}

TextValue element(const Tensor& tensor, std::int64_t index) {
  const double number = tensor.item(index);
  if (tensor.dtype() == DType::boolean) return TextValue::of(number != 0);
  if (is_integer(tensor.dtype())) return TextValue::of(tensor.integer(index));
  if (tensor.dtype() == DType::float64) return TextValue::of(number);
  return TextValue::of(std::stod(fmt::format("{}", static_cast<float>(number))));  // 0.1, not 0.10000000149
}

TextValue elements(const Tensor& tensor, std::size_t axis, std::int64_t& next) {
  if (axis == tensor.sizes().size()) return element(tensor, next++);
  TextValue list;
  list.kind = TextValue::list;
  for (std::int64_t i = 0; i < tensor.sizes()[axis]; ++i) list.items.push_back(elements(tensor, axis + 1, next));
  return list;
}

bool reads_back(const TextValue& value, std::optional<DType> dtype, const Tensor& tensor) {
  const ConstantText read = parse_constant(value, dtype);
  return read.tensor && read.tensor->same_bits(tensor);
}

}  // namespace

TextValue written(const Tensor& strided, std::optional<DType> first) {
  const Tensor tensor = strided.contiguous();
  std::int64_t next = 0;
  const TextValue value = elements(tensor, 0, next);
  const bool number = value.kind == TextValue::integer || value.kind == TextValue::number;
  if (number && reads_back(value, number_type(value, first), tensor)) return value;
  if (reads_back(value, {}, tensor)) return text_map({{"constant", value}});
  return text_map({{"constant", value}, {"dtype", TextValue::of(tensor.dtype())}});
}

TextValue named_constant(const std::string& key, const Type& type) {
  return text_map({{"weight", TextValue::of(key)}, {"type", TextValue::of(text(type))}});
}

}  // namespace wherry::outlining
