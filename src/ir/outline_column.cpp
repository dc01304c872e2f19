#include "ir/outline_column.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace wherry::outlining {

void Column::add(std::size_t line, const Slot& slot) {
  slots.emplace_back(line, slot.name);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!values[i]) values[i] = slot.values[i];
}

bool Column::has(const std::string& argument) const {
  return std::any_of(slots.begin(), slots.end(), [&](const auto& slot) { return slot.second == argument; });
}

bool Column::agrees(const Values& other, bool may_extend) const {
  bool some = false;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!other[i]) continue;
    if (!values[i] && !may_extend) return false;
    if (values[i] && values[i] != other[i]) return false;
    some = some || values[i];
  }
  return some;
}

std::string meaning_of(const std::string& argument) {
  static constexpr std::array channels = {"in", "out", "mid", "channels", "features", "groups"};
  if (std::find(channels.begin(), channels.end(), argument) != channels.end()) return "channels";
  return argument == "kernel_size" ? "kernel" : argument;
}

int rank_of(const Column& column) {
  static constexpr std::array order = {"kernel", "stride", "padding", "dilation", "channels"};
  if (column.required) return 1;
  const auto it = std::find(order.begin(), order.end(), column.meaning);
  return 3 + static_cast<int>(it - order.begin());
}

bool same_everywhere(const Values& values) {
  const std::optional<Attr>* first = nullptr;
  for (const std::optional<Attr>& value : values) {
    if (!value) continue;
    if (first && *first != value) return false;
    first = &value;
  }
  return true;
}

Attr usual(const Values& values) {
  const std::optional<Attr>* best = nullptr;
  std::ptrdiff_t most = 0;
  for (const std::optional<Attr>& value : values) {
    const std::ptrdiff_t n = value ? std::count(values.begin(), values.end(), value) : 0;
    if (n > most) best = &value, most = n;
  }
  return best ? **best : Attr(None{});
}

std::vector<Attr> known(const Values& values) {
  std::vector<Attr> all;
  for (const std::optional<Attr>& value : values) all.push_back(*value);
  return all;
}

bool is_multiple(const Attr& a, const Attr& b, std::int64_t factor) {
  const auto* x = std::get_if<std::int64_t>(&a);
  const auto* y = std::get_if<std::int64_t>(&b);
  if (!x || !y || *x < 0) return false;
  return factor > 0 ? *x * factor == *y : *x / -factor == *y;
}

std::int64_t factor_between(const std::optional<Attr>& a, const std::optional<Attr>& b) {
  const auto* x = a ? std::get_if<std::int64_t>(&*a) : nullptr;
  const auto* y = b ? std::get_if<std::int64_t>(&*b) : nullptr;
  if (!x || !y || *x <= 0 || *y <= 0 || *x == *y) return 0;
  if (*y % *x == 0) return *y / *x;
  return *x % *y == 0 ? -(*x / *y) : 0;
}

const Slot* find_slot(const Line& line, const std::string& argument) {
  const auto it = std::find_if(line.args.begin(), line.args.end(), [&](const Slot& slot) { return slot.name == argument; });
  return it == line.args.end() ? nullptr : &*it;
}

std::string identifier(const std::string& text) {
  std::string name;
  for (const char c : text) name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name.empty() || std::isdigit(static_cast<unsigned char>(name[0])) ? "layer_" + name : name;
}

}  // namespace wherry::outlining
