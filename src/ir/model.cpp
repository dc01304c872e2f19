#include "ir/model.h"

namespace wherry {

const TextValue* TextValue::find(std::string_view key) const {
  for (const auto& [name, value] : members)
    if (name == key) return &value;
  return nullptr;
}

bool TextValue::operator==(const TextValue& other) const {
  if (kind != other.kind) return false;
  switch (kind) {
    case null: return true;
    case boolean: return boolean_value == other.boolean_value;
    case integer: return integer_value == other.integer_value;
    case number: return number_value == other.number_value || (number_value != number_value && other.number_value != other.number_value);
    case string: return string_value == other.string_value;
    case list: return items == other.items;
    case map: return members == other.members;
  }
  return false;
}

namespace {

TextValue scalar(bool v) {
  TextValue t;
  t.kind = TextValue::boolean, t.boolean_value = v;
  return t;
}
TextValue scalar(std::int64_t v) {
  TextValue t;
  t.kind = TextValue::integer, t.integer_value = v;
  return t;
}
TextValue scalar(double v) {
  TextValue t;
  t.kind = TextValue::number, t.number_value = v;
  return t;
}
TextValue scalar(const std::string& v) {
  TextValue t;
  t.kind = TextValue::string, t.string_value = v;
  return t;
}
TextValue scalar(DType v) { return scalar(std::string(name(v))); }
TextValue scalar(None) { return {}; }
template <class T>
TextValue scalar(const std::vector<T>& list) {
  TextValue t;
  t.kind = TextValue::list;
  for (const T& item : list) t.items.push_back(scalar(item));
  return t;
}

}  // namespace

TextValue TextValue::empty_map() {
  TextValue value;
  value.kind = map;
  return value;
}

void TextValue::put(std::string key, TextValue value) { members.emplace_back(std::move(key), std::move(value)); }

TextValue TextValue::of(const Attr& attr) {
  return std::visit([](const auto& v) { return scalar(v); }, attr);
}

}  // namespace wherry
