#include "ir/outline_params.h"

#include "base/text.h"
#include "ir/outline_column.h"

#include <algorithm>
#include <set>

namespace wherry::outlining {

namespace {

class Parametrizer {
 public:
  explicit Parametrizer(Template& block) : block_(block), count_(static_cast<std::size_t>(block.instances)) {
    for (const std::string& input : input_names(block.inputs)) taken_.insert(input);
  }

  std::vector<Parameter> run() {
    collect(true);
    collect(false);
    for (Column& column : columns_) fill_holes(column);
    find_ends();
    find_multiples();
    name_columns();
    for (const auto& [slot, place] : places_) slot->expression = fmt::format(fmt::runtime(place.format), expression(columns_[place.column]));
    std::vector<Parameter> parameters;
    for (const std::size_t c : reading_order())
      parameters.push_back(parameter(columns_[c]));
    add_flags(parameters);
    return parameters;
  }

 private:
  struct Place {
    std::size_t column;
    const char* format = "{}";
  };

  // Arguments of layers that every instance has come first: they are known everywhere, the others join them where they agree.
  void collect(bool always) {
    for (std::size_t l = 0; l < block_.lines.size(); ++l) {
      Line& line = block_.lines[l];
      if (line.always() != always) continue;
      for (Slot& slot : line.args) {
        const bool constant = same_everywhere(slot.values);
        if (slot.may_be_left_out() || (constant && always) || is_half_of_kernel(line, slot)) continue;
        std::optional<std::size_t> column = agreeing(slot, !constant);
        if (!column && constant) continue;
        if (!column) {
          column = columns_.size();
          columns_.push_back({.meaning = meaning_of(slot.name), .values = slot.values});
        }
        columns_[*column].add(l, slot);
        places_[&slot] = {*column};
      }
    }
  }

  // padding: $kernel // 2
  bool is_half_of_kernel(Line& line, Slot& slot) {
    if (slot.name != "padding") return false;
    const std::optional<std::size_t> kernel = column_of(line, line.op.empty() ? "kernel" : "kernel_size");
    if (!kernel) return false;
    for (std::size_t i = 0; i < count_; ++i)
      if (slot.values[i] && !is_multiple(*columns_[*kernel].values[i], *slot.values[i], -2)) return false;
    places_[&slot] = {*kernel, "{} // 2"};
    return true;
  }

  // A column of the same meaning that never says otherwise; one that has an argument of this name before others.
  std::optional<std::size_t> agreeing(const Slot& slot, bool may_extend) const {
    std::optional<std::size_t> found;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      const Column& column = columns_[c];
      if (column.meaning != meaning_of(slot.name) || !column.agrees(slot.values, may_extend)) continue;
      if (column.has(slot.name)) return c;
      if (!found) found = c;
    }
    return found;
  }

  // Where all layers that a parameter speaks of are off it says what the next layer says, which takes their place.
  void fill_holes(Column& column) const {
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

  bool takes_block_input(std::size_t l) const {
    const Line& line = block_.lines[l];
    for (std::size_t i = 0; i < count_; ++i)
      if (line.on[i] && !line.wires.empty() && block_.resolve(line.wires[0], l, i) == Ref{.kind = Ref::input}) return true;
    return false;
  }

  // The channels that go into the block and those that come out of it.
  void find_ends() {
    std::size_t first = block_.lines.size(), last = 0;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      if (columns_[c].meaning != "channels") continue;
      for (const auto& [l, name] : columns_[c].slots) {
        if (name == "groups") continue;
        columns_[c].required = true;
        if (name != "out" && l < first && takes_block_input(l)) in_ = c, first = l;
        if (name != "in" && (!out_ || l >= last)) out_ = c, last = l;
      }
    }
    if (!in_ && out_ && columns_[*out_].has("in")) in_ = out_;
  }

  // out: $mid * 4, where it holds in at least three instances.
  void find_multiples() {
    std::vector<std::size_t> order;
    if (in_) order.push_back(*in_);
    for (std::size_t c = 0; c < columns_.size(); ++c)
      if (columns_[c].required && c != in_) order.push_back(c);
    for (std::size_t n = 1; n < order.size() && count_ >= 3; ++n)
      for (std::size_t m = 0; m < n && !columns_[order[n]].base; ++m) express(columns_[order[n]], order[m]);
  }

  void express(Column& column, std::size_t base) const {
    const Values& values = columns_[base].values;
    const std::int64_t factor = columns_[base].base ? 0 : factor_between(values[0], column.values[0]);
    if (factor == 0) return;
    for (std::size_t i = 0; i < count_; ++i)
      if (!is_multiple(*values[i], *column.values[i], factor)) return;
    column.base = base, column.factor = factor;
  }

  std::string expression(const Column& column) const {
    if (!column.base) return "$" + column.name;
    const std::string base = "$" + columns_[*column.base].name;
    return column.factor > 0 ? fmt::format("{} * {}", base, column.factor) : fmt::format("{} // {}", base, -column.factor);
  }

  // ---- names ----

  void name_columns() {
    if (in_) name_column(*in_, in_ == out_ ? "channels" : "in", 0);
    if (out_ && in_ != out_) name_column(*out_, "out", 2);
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      Column& column = columns_[c];
      if (column.base || !column.name.empty()) continue;
      const std::string wanted = column.required ? "mid" : column.meaning == "channels" ? "groups" : column.meaning;
      const auto& [l, arg] = column.slots.front();
      name_column(c, free(wanted) ? wanted : block_.lines[l].name + "_" + (column.required ? arg : wanted), rank_of(column));
    }
  }

  bool free(const std::string& name) const { return taken_.count(name) == 0; }

  void name_column(std::size_t c, const std::string& wanted, int rank) {
    if (columns_[c].base) return;
    columns_[c].name = claim(wanted), columns_[c].rank = rank;
  }

  std::string claim(const std::string& wanted) {
    std::string name = identifier(wanted);
    for (int n = 2; !taken_.insert(name).second; ++n) name = fmt::format("{}_{}", identifier(wanted), n);
    return name;
  }

  std::vector<std::size_t> reading_order() const {
    std::vector<std::size_t> order;
    for (std::size_t c = 0; c < columns_.size(); ++c)
      if (!columns_[c].base) order.push_back(c);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return columns_[a].rank < columns_[b].rank; });
    return order;
  }

  Parameter parameter(const Column& column) const {
    Parameter result{.name = column.name, .fallback = {}, .values = known(column.values), .fallbacks = Values(count_)};
    if (column.required) return result;
    if (half_of_kernel_mostly(column, result)) return result;
    const Attr fallback = usual(column.values);
    result.fallback = TextValue::of(fallback);
    result.fallbacks.assign(count_, fallback);
    return result;
  }

  // params: {kernel: 3, padding: $kernel // 2}
  bool half_of_kernel_mostly(const Column& column, Parameter& result) const {
    if (column.meaning != "padding") return false;
    const Line& line = block_.lines[column.slots.front().first];
    const std::optional<std::size_t> kernel = column_of(line, line.op.empty() ? "kernel" : "kernel_size");
    if (!kernel) return false;
    std::size_t half = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      const auto* size = std::get_if<std::int64_t>(&*columns_[*kernel].values[i]);
      if (!size) return false;
      result.fallbacks[i] = *size / 2;
      half += result.fallbacks[i] == column.values[i];
    }
    if (2 * half <= count_) {
      result.fallbacks.assign(count_, {});
      return false;
    }
    result.fallback = TextValue::of(expression(columns_[*kernel]) + " // 2");
    return true;
  }

  // ---- layers that some instances lack ----

  void add_flags(std::vector<Parameter>& parameters) {
    std::map<std::vector<bool>, std::vector<Line*>> groups;
    std::vector<const std::vector<bool>*> order;
    for (Line& line : block_.lines) {
      if (line.always()) continue;
      const auto [it, fresh] = groups.try_emplace(line.on);
      if (fresh) order.push_back(&it->first);
      it->second.push_back(&line);
    }
    for (const std::vector<bool>* on : order) {
      const std::vector<Line*>& lines = groups.at(*on);
      const bool residual = lines.size() == 1 && adds_input(*lines[0]);
      std::string when = comparison(lines, residual);
      if (when.empty()) when = own_argument(*lines[0]);
      if (when.empty()) {
        const std::string wanted = residual ? "residual" : common_name(lines);
        const bool mostly = 2 * std::count(on->begin(), on->end(), true) > block_.instances;
        parameters.push_back({.name = claim(free(wanted) ? wanted : "has_" + wanted), .fallback = TextValue::of(mostly),
                              .values = {on->begin(), on->end()}, .fallbacks = Values(count_, mostly)});
        when = "$" + parameters.back().name;
      }
      for (Line* line : lines) line->when = when;
    }
  }

  bool adds_input(const Line& line) const {
    const auto is_input = [](const Wire& wire) { return !wire.previous && wire.ref.kind == Ref::input; };
    return line.op == "add" && std::any_of(line.wires.begin(), line.wires.end(), is_input);
  }

  // A residual sum stands where the block keeps its channels, any other layer where it changes them itself: said by
  // comparing the two when that always holds.
  std::string comparison(const std::vector<Line*>& lines, bool residual) const {
    if (count_ < 4) return {};
    const std::optional<std::size_t> in = residual ? in_ : column_of(*lines[0], "in"), out = residual ? out_ : column_of(*lines[0], "out");
    if (!in || !out || in == out) return {};
    const Column &a = columns_[*in], &b = columns_[*out];
    for (std::size_t i = 0; i < count_; ++i)
      if (((a.values[i] == b.values[i]) == residual) != lines[0]->on[i]) return {};
    return fmt::format("{} {} {}", expression(a), residual ? "==" : "!=", expression(b));
  }

  std::optional<std::size_t> column_of(const Line& line, const std::string& argument) const {
    for (std::size_t c = 0; c < columns_.size(); ++c)
      if (speaks_of(line, argument, columns_[c])) return c;
    return {};
  }

  // A layer that is off exactly where an argument of its own has a certain value: a shuffle, when $groups > 1.
  std::string own_argument(const Line& line) const {
    if (count_ < 4) return {};
    for (const Column& column : columns_) {
      const bool own = std::any_of(line.args.begin(), line.args.end(), [&](const Slot& slot) { return speaks_of(line, slot.name, column); });
      if (!own || column.required) continue;
      const auto off = static_cast<std::size_t>(std::find(line.on.begin(), line.on.end(), false) - line.on.begin());
      const auto* least = std::get_if<std::int64_t>(&*column.values[off]);
      bool holds = least != nullptr;
      for (std::size_t i = 0; i < count_ && holds; ++i) {
        const auto* value = std::get_if<std::int64_t>(&*column.values[i]);
        holds = value && (line.on[i] ? *value > *least : *value == *least);
      }
      if (holds) return fmt::format("${} > {}", column.name, *least);
    }
    return {};
  }

  bool speaks_of(const Line& line, const std::string& argument, const Column& column) const {
    const std::pair<std::size_t, std::string> slot(block_.index.at(line.name), argument);
    return std::find(column.slots.begin(), column.slots.end(), slot) != column.slots.end();
  }

  static std::string common_name(const std::vector<Line*>& lines) {
    std::vector<std::string> common = split(lines[0]->name, '.');
    for (const Line* line : lines) {
      const std::vector<std::string> parts = split(line->name, '.');
      std::size_t same = 0;
      while (same < common.size() && same < parts.size() && common[same] == parts[same]) ++same;
      common.resize(same);
    }
    return identifier(common.empty() ? lines[0]->name : join(common, "_"));
  }

  Template& block_;
  const std::size_t count_;
  std::vector<Column> columns_;
  std::map<Slot*, Place> places_;
  std::optional<std::size_t> in_, out_;      // columns
  std::set<std::string> taken_ = {"index"};   // which `repeat` counts with
};

}  // namespace

std::vector<Parameter> parametrize(Template& block) { return Parametrizer(block).run(); }

}  // namespace wherry::outlining
