#include "ir/outline_columns.h"

#include <fmt/format.h>

#include <algorithm>

namespace wherry::outlining {

Columns::Columns(Template& block) : block_(block), count_(static_cast<std::size_t>(block.instances)) {
  collect(true);
  collect(false);
  for (Column& column : all) fill_holes(column);
  find_ends();
  find_multiples();
}

std::optional<std::size_t> Columns::of(std::size_t line, const std::string& argument) const {
  const std::pair<std::size_t, std::string> slot(line, argument);
  const auto speaks = [&](const Column& column) { return std::find(column.slots.begin(), column.slots.end(), slot) != column.slots.end(); };
  const auto it = std::find_if(all.begin(), all.end(), speaks);
  if (it == all.end()) return {};
  return static_cast<std::size_t>(it - all.begin());
}

std::optional<std::size_t> Columns::kernel_of(std::size_t line) const {
  return of(line, block_.lines[line].op.empty() ? "kernel" : "kernel_size");
}

std::string Columns::expression(std::size_t column) const {
  const Column& c = all[column];
  if (!c.base) return "$" + c.name;
  const std::string& base = all[*c.base].name;
  return c.factor > 0 ? fmt::format("${} * {}", base, c.factor) : fmt::format("${} // {}", base, -c.factor);
}

void Columns::write_expressions() const {
  for (const auto& [slot, place] : places_) slot->expression = expression(place.column) + (place.half ? " // 2" : "");
}

// Arguments of layers that every instance has come first: they are known everywhere, the others join them where they agree.
void Columns::collect(bool always) {
  for (std::size_t l = 0; l < block_.lines.size(); ++l) {
    Line& line = block_.lines[l];
    if (line.always() != always) continue;
    for (Slot& slot : line.args) {
      const bool constant = same_everywhere(slot.values);
      if (slot.may_be_left_out() || (constant && always) || is_half_of_kernel(l, slot)) continue;
      std::optional<std::size_t> column = agreeing(slot, !constant);
      if (!column && constant) continue;
      if (!column) {
        column = all.size();
        all.push_back({.meaning = meaning_of(slot.name), .values = slot.values});
      }
      all[*column].add(l, slot);
      places_[&slot] = {*column};
    }
  }
}

// padding: $kernel // 2
bool Columns::is_half_of_kernel(std::size_t line, Slot& slot) {
  if (slot.name != "padding") return false;
  const std::optional<std::size_t> kernel = kernel_of(line);
  if (!kernel) return false;
  for (std::size_t i = 0; i < count_; ++i)
    if (slot.values[i] && !is_multiple(*all[*kernel].values[i], *slot.values[i], -2)) return false;
  places_[&slot] = {.column = *kernel, .half = true};
  return true;
}

// A column of the same meaning that never says otherwise; one that has an argument of this name before others.
std::optional<std::size_t> Columns::agreeing(const Slot& slot, bool may_extend) const {
  std::optional<std::size_t> found;
  for (std::size_t c = 0; c < all.size(); ++c) {
    const Column& column = all[c];
    if (column.meaning != meaning_of(slot.name) || !column.agrees(slot.values, may_extend)) continue;
    if (column.has(slot.name)) return c;
    if (!found) found = c;
  }
  return found;
}

// Where all layers that a parameter speaks of are off it says what the next layer says, which takes their place.
void Columns::fill_holes(Column& column) const {
  const auto [from, name] = column.slots.front();
  for (std::size_t i = 0; i < count_; ++i) {
    for (std::size_t l = from + 1; !column.values[i] && l < block_.lines.size(); ++l)
      if (const Slot* slot = find_slot(block_.lines[l], name)) column.values[i] = slot->values[i];
    for (std::size_t l = from; !column.values[i] && l-- > 0;)
      if (const Slot* slot = find_slot(block_.lines[l], name)) column.values[i] = slot->values[i];
  }
  const Attr rest = usual(column.values);
  for (std::optional<Attr>& value : column.values)
    if (!value) value = rest;
}

bool Columns::takes_block_input(std::size_t l) const {
  const Line& line = block_.lines[l];
  for (std::size_t i = 0; i < count_; ++i)
    if (line.on[i] && !line.wires.empty() && block_.resolve(line.wires[0], l, i) == Ref{.kind = Ref::input}) return true;
  return false;
}

// The channels that go into the block and those that come out of it.
void Columns::find_ends() {
  std::size_t first = block_.lines.size(), last = 0;
  for (std::size_t c = 0; c < all.size(); ++c) {
    if (all[c].meaning != "channels") continue;
    for (const auto& [l, name] : all[c].slots) {
      if (name == "groups") continue;
      all[c].required = true;
      if (name != "out" && l < first && takes_block_input(l)) in = c, first = l;
      if (name != "in" && (!out || l >= last)) out = c, last = l;
    }
  }
  if (!in && out && all[*out].has("in")) in = out;
}

// out: $mid * 4, where it holds in at least three instances.
void Columns::find_multiples() {
  std::vector<std::size_t> order;
  if (in) order.push_back(*in);
  for (std::size_t c = 0; c < all.size(); ++c)
    if (all[c].required && c != in) order.push_back(c);
  for (std::size_t n = 1; n < order.size() && count_ >= 3; ++n)
    for (std::size_t m = 0; m < n && !all[order[n]].base; ++m) express(all[order[n]], order[m]);
}

void Columns::express(Column& column, std::size_t base) const {
  const Values& values = all[base].values;
  const std::int64_t factor = all[base].base ? 0 : factor_between(values[0], column.values[0]);
  if (factor == 0) return;
  for (std::size_t i = 0; i < count_; ++i)
    if (!is_multiple(*values[i], *column.values[i], factor)) return;
  column.base = base, column.factor = factor;
}

}  // namespace wherry::outlining
