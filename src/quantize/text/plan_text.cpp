#include "quantize/text/plan_text.h"

#include "quantize/rules.h"
#include "quantize/text/channel_maps_file.h"

#include <cmath>
#include <set>

namespace wherry {

namespace {

TextValue word(std::string_view text) { return TextValue::of(std::string(text)); }
TextValue integer(std::int64_t value) { return TextValue::of(value); }

// The number with the fewest digits that is this float.
TextValue shortest(float value) {
  const double digits = std::stod(fmt::format("{}", value));
  return TextValue::of(static_cast<float>(digits) == value ? digits : static_cast<double>(value));
}

TextValue grid_row(const Choice& choice, DType usual) {
  TextValue row = TextValue::empty_map();
  row.put("scale", shortest(choice.grid.scale));
  row.put("zero_point", integer(choice.grid.zero_point));
  row.put("by", word(choice.by));
  if (choice.group >= 0) row.put("group", integer(choice.group));
  if (choice.grid.dtype != usual) row.put("precision", word(name(choice.grid.dtype)));
  return row;
}

TextValue activation_rows(const std::vector<std::string>& names, const WrittenPlan& written) {
  std::map<int, std::vector<TextValue>> rows;
  for (const auto& [key, choice] : written.plan.grids) rows[key.first].push_back(grid_row(choice, written.activations));
  TextValue out = TextValue::empty_map();
  for (auto& [id, grids] : rows) {
    TextValue several;
    several.kind = TextValue::list;
    several.items = grids;
    out.put(names[static_cast<std::size_t>(id)], grids.size() == 1 ? grids[0] : std::move(several));
  }
  return out;
}

}  // namespace

std::vector<std::string> section_names(const TflGraph& graph) {
  std::vector<std::string> names;
  std::set<std::string> taken;
  for (const TflTensor& tensor : graph.tensors) taken.insert(tensor.name);
  std::set<std::string> given;
  for (const TflTensor& tensor : graph.tensors) {
    std::string name = tensor.name;
    for (int number = 2; given.contains(name) || (number > 2 && taken.contains(name)); ++number)
      name = fmt::format("{}#{}", tensor.name, number);
    given.insert(name);
    names.push_back(std::move(name));
  }
  return names;
}

TextValue plan_to_text(const TflGraph& graph, const WrittenPlan& written, const PlanNotes& notes, const std::string& codes) {
  const std::vector<std::string> names = section_names(graph);
  const auto name_of = [&](std::size_t n) { return names[static_cast<std::size_t>(graph.nodes[n].outputs[0])]; };
  TextValue layers = TextValue::empty_map(), requantized = TextValue::empty_map();
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    TextValue row = TextValue::empty_map();
    if (const auto weight = written.plan.weights.find(static_cast<int>(n)); weight != written.plan.weights.end()) {
      row.put("granularity", word(weight->second.scales.size() > 1 ? "channel" : "tensor"));
      if (const auto by = notes.weights.find(static_cast<int>(n)); by != notes.weights.end()) row.put("by", word(by->second));
    }
    const std::optional<DType> precision = written.plan.nodes[n];
    if (precision && *precision != written.activations) row.put("precision", word(name(*precision)));
    if (!row.members.empty()) layers.put(name_of(n), std::move(row));
  }
  std::map<int, TextValue> cuts;
  for (const auto& [node, place] : written.plan.cuts) {
    cuts[node].kind = TextValue::list;
    cuts[node].items.push_back(integer(place));
  }
  for (auto& [node, places] : cuts) requantized.put(name_of(static_cast<std::size_t>(node)), std::move(places));

  TextValue section = TextValue::empty_map();
  section.put("precision", word(written.activations == DType::int16 ? "int16x8" : "int8"));
  section.put("codes", word(codes));
  if (!notes.by.members.empty()) section.put("by", notes.by);
  if (!notes.channels_last) section.put("io", word("nchw"));
  section.put("borders", word(written.apply.integer_borders ? "integer" : "float"));
  section.put("activations", activation_rows(names, written));
  if (!layers.members.empty()) section.put("layers", std::move(layers));
  if (!requantized.members.empty()) section.put("requantized", std::move(requantized));
  return section;
}

Weights codes_of(const TflGraph& graph, const WrittenPlan& written) {
  const std::vector<std::string> names = section_names(graph);
  const auto one_axis = [](const auto& values) { return Tensor::from(values, {static_cast<std::int64_t>(values.size())}); };
  Weights out;
  for (const auto& [node, weight] : written.plan.weights) {
    const std::string& name = names[static_cast<std::size_t>(graph.nodes[static_cast<std::size_t>(node)].outputs[0])];
    out[name + ".codes"] = weight.codes;
    out[name + ".scales"] = one_axis(weight.scales);
    if (!weight.bias.empty()) out[name + ".bias"] = one_axis(weight.bias);
  }
  add_channel_maps(written.channels, graph, names, out);
  return out;
}

}  // namespace wherry
