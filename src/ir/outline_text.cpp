#include "ir/outline_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace wherry::outlining {

namespace {

TextValue word(const std::string& text) { return TextValue::of(Attr(text)); }

TextValue value(const Ref& ref, const Template& form, const std::vector<std::string>& inputs) {
  if (ref.kind == Ref::literal) return ref.value;
  return ref.kind == Ref::none ? TextValue{} : word(reference(ref, form, inputs));
}

Layer layer_of(const Line& line, const Template& form, const std::vector<std::string>& inputs) {
  Layer layer{.name = line.name, .op = line.op, .block = line.block};
  const bool follows = line.wires.size() == 1 && line.wires[0].previous;
  for (std::size_t i = 0; i < line.wires.size() && !follows; ++i) layer.inputs.push_back(value(line.wires[i].ref, form, inputs));
  if (line.when) layer.when = word(*line.when);
  for (const auto& [name, key] : line.weights) layer.weights.emplace_back(name, word(key));
  for (const Slot& slot : line.args) {
    const auto given = std::find_if(slot.values.begin(), slot.values.end(), [](const auto& v) { return v.has_value(); });
    if (slot.expression)
      layer.args.emplace_back(slot.name, word(*slot.expression));
    else if (!slot.may_be_left_out())
      layer.args.emplace_back(slot.name, TextValue::of(**given));
  }
  return layer;
}

// How many layers from `first` on are name.0, name.1, … each the same block with the same arguments after the one before.
std::size_t run_length(const std::vector<Layer>& layers, std::size_t first) {
  const Layer& model = layers[first];
  if (model.block.empty() || model.when || model.inputs.size() > 1 || !model.name.ends_with(".0")) return 1;
  const std::string stem = model.name.substr(0, model.name.size() - 1);
  std::size_t n = 1;
  for (; first + n < layers.size(); ++n) {
    const Layer& next = layers[first + n];
    if (next.name != stem + std::to_string(n) || next.block != model.block || next.args != model.args || next.when || !next.inputs.empty())
      break;
  }
  return n;
}

std::vector<Layer> fold_repeats(std::vector<Layer> layers) {
  std::set<std::string> names;
  for (const Layer& layer : layers) names.insert(layer.name);
  std::vector<Layer> folded;
  for (std::size_t i = 0; i < layers.size();) {
    std::size_t n = run_length(layers, i);
    Layer& layer = layers[i];
    const std::string stem = layer.name.substr(0, layer.name.rfind('.'));
    if (n > 1 && !names.contains(stem))
      layer.name = stem, layer.repeat = TextValue::of(static_cast<std::int64_t>(n));
    else
      n = 1;
    folded.push_back(std::move(layer));
    i += n;
  }
  return folded;
}

}  // namespace

std::vector<Layer> layers_of(const Template& form, const std::vector<std::string>& inputs) {
  std::vector<Layer> layers;
  for (const Line& line : form.lines) layers.push_back(layer_of(line, form, inputs));
  return fold_repeats(std::move(layers));
}

std::string reference(const Ref& ref, const Template& form, const std::vector<std::string>& inputs) {
  if (ref.kind == Ref::input) return "$" + inputs[static_cast<std::size_t>(ref.index)];
  return form.lines[form.index.at(ref.layer)].outputs > 1 ? fmt::format("{}:{}", ref.layer, ref.index) : ref.layer;
}

}  // namespace wherry::outlining
