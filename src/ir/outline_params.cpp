#include "ir/outline_params.h"

#include "base/text.h"
#include "ir/outline_columns.h"
#include "ir/outline_when.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace wherry::outlining {

namespace {

class Parametrizer {
 public:
  explicit Parametrizer(Template& block) : block_(block), count_(static_cast<std::size_t>(block.instances)), columns_(block) {
    for (const std::string& input : input_names(block.inputs)) taken_.insert(input);
  }

  std::vector<Parameter> run() {
    name_columns();
    columns_.write_expressions();
    std::vector<Parameter> parameters;
    for (const Column* column : reading_order()) parameters.push_back(parameter(*column));
    add_flags(parameters);
    return parameters;
  }

 private:
  // ---- names ----

  void name_columns() {
    const bool same = columns_.in == columns_.out;
    if (columns_.in) name_column(columns_.all[*columns_.in], same ? "channels" : "in", 0);
    if (columns_.out && !same) name_column(columns_.all[*columns_.out], "out", 2);
    for (Column& column : columns_.all) {
      if (!column.name.empty()) continue;
      const std::string wanted = column.required ? "mid" : column.meaning == "channels" ? "groups" : column.meaning;
      const auto& [line, argument] = column.slots.front();
      name_column(column, free(wanted) ? wanted : block_.lines[line].name + "_" + (column.required ? argument : wanted), rank_of(column));
    }
  }

  void name_column(Column& column, const std::string& wanted, int rank) {
    if (!column.base) column.name = claim(wanted), column.rank = rank;
  }

  bool free(const std::string& name) const { return !taken_.contains(name); }

  std::string claim(const std::string& wanted) {
    std::string name = identifier(wanted);
    for (int n = 2; !taken_.insert(name).second; ++n) name = fmt::format("{}_{}", identifier(wanted), n);
    return name;
  }

  std::vector<const Column*> reading_order() const {
    std::vector<const Column*> order;
    for (const Column& column : columns_.all)
      if (!column.base) order.push_back(&column);
    std::stable_sort(order.begin(), order.end(), [](const Column* a, const Column* b) { return a->rank < b->rank; });
    return order;
  }

  // ---- defaults ----

  Parameter parameter(const Column& column) const {
    Parameter result{.name = column.name, .fallback = {}, .values = known(column.values), .fallbacks = Values(count_)};
    if (column.required || is_half_of_kernel_mostly(column, result)) return result;
    const Attr fallback = usual(column.values);
    result.fallback = TextValue::of(fallback);
    result.fallbacks.assign(count_, fallback);
    return result;
  }

  // params: {kernel: 3, padding: $kernel // 2}
  bool is_half_of_kernel_mostly(const Column& column, Parameter& result) const {
    const std::optional<std::size_t> kernel = column.meaning == "padding" ? columns_.kernel_of(column.slots.front().first) : std::nullopt;
    if (!kernel) return false;
    Values halves;
    std::size_t same = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      const auto* size = std::get_if<std::int64_t>(&*columns_.all[*kernel].values[i]);
      if (!size) return false;
      halves.emplace_back(*size / 2);
      same += halves[i] == column.values[i];
    }
    if (2 * same <= count_) return false;
    result.fallbacks = std::move(halves);
    result.fallback = TextValue::of(columns_.expression(*kernel) + " // 2");
    return true;
  }

  // ---- layers that some instances lack ----

  void add_flags(std::vector<Parameter>& parameters) {
    std::map<std::vector<bool>, std::string> conditions;
    for (std::size_t l = 0; l < block_.lines.size(); ++l) {
      Line& line = block_.lines[l];
      if (line.always()) continue;
      std::string& when = conditions[line.on];
      if (when.empty()) when = condition(block_, columns_, l);
      if (when.empty()) when = "$" + add_flag(line, parameters);
      line.when = when;
    }
  }

  std::string add_flag(const Line& line, std::vector<Parameter>& parameters) {
    const std::string wanted = is_residual(line) ? "residual" : common_name(line.on);
    const bool mostly = 2 * std::count(line.on.begin(), line.on.end(), true) > block_.instances;
    parameters.push_back({.name = claim(free(wanted) ? wanted : "has_" + wanted),
                          .fallback = TextValue::of(mostly),
                          .values = {line.on.begin(), line.on.end()},
                          .fallbacks = Values(count_, mostly)});
    return parameters.back().name;
  }

  // downsample, for downsample.0 and downsample.1
  std::string common_name(const std::vector<bool>& on) const {
    std::vector<std::string> common;
    const std::string* first = nullptr;
    for (const Line& line : block_.lines) {
      if (line.on != on) continue;
      const std::vector<std::string> parts = split(line.name, '.');
      if (!first) first = &line.name, common = parts;
      const auto end = std::mismatch(common.begin(), common.end(), parts.begin(), parts.end()).first;
      common.erase(end, common.end());
    }
    return identifier(common.empty() ? *first : join(common, "_"));
  }

  Template& block_;
  const std::size_t count_;
  Columns columns_;
  std::set<std::string> taken_ = {"index"};  // which `repeat` counts with
};

}  // namespace

std::vector<Parameter> parametrize(Template& block) { return Parametrizer(block).run(); }

}  // namespace wherry::outlining
