#include "ir/outline_when.h"

#include <fmt/format.h>

#include <algorithm>

namespace wherry::outlining {

namespace {

constexpr int fewest_instances = 4;

// A residual sum stands where the block keeps its channels, any other layer where it changes them itself.
std::string comparison(const Line& line, std::optional<std::size_t> in, std::optional<std::size_t> out, const Columns& columns,
                       bool equal) {
  if (!in || !out || in == out) return {};
  const Values &a = columns.all[*in].values, &b = columns.all[*out].values;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (((a[i] == b[i]) == equal) != line.on[i]) return {};
  return fmt::format("{} {} {}", columns.expression(*in), equal ? "==" : "!=", columns.expression(*out));
}

// A layer is off exactly where an argument of its own has its least value: a shuffle of one group.
std::string above_least(const Line& line, const Column& column) {
  const auto number = [&](std::size_t i) { return std::get_if<std::int64_t>(&*column.values[i]); };
  const auto off = static_cast<std::size_t>(std::find(line.on.begin(), line.on.end(), false) - line.on.begin());
  const auto* least = number(off);
  if (!least) return {};
  for (std::size_t i = 0; i < line.on.size(); ++i)
    if (!number(i) || (line.on[i] ? *number(i) <= *least : *number(i) != *least)) return {};
  return fmt::format("${} > {}", column.name, *least);
}

}  // namespace

bool is_residual(const Line& line) {
  const auto is_input = [](const Wire& wire) { return !wire.previous && wire.ref.kind == Ref::input; };
  return line.op == "add" && std::any_of(line.wires.begin(), line.wires.end(), is_input);
}

std::string condition(const Template& block, const Columns& columns, std::size_t l) {
  if (block.instances < fewest_instances) return {};
  const Line& line = block.lines[l];
  if (is_residual(line)) return comparison(line, columns.in, columns.out, columns, true);
  std::string found = comparison(line, columns.of(l, "in"), columns.of(l, "out"), columns, false);
  for (const Slot& slot : line.args) {
    const std::optional<std::size_t> column = columns.of(l, slot.name);
    if (found.empty() && column && !columns.all[*column].required) found = above_least(line, columns.all[*column]);
  }
  return found;
}

}  // namespace wherry::outlining
