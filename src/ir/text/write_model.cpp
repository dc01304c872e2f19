#include "ir/text/write_model.h"

#include "ir/text/write_tree.h"

namespace wherry {

namespace {

TextValue word(const std::string& text) { return TextValue::of(text); }

TextValue list(const std::vector<TextValue>& items) {
  TextValue value;
  value.kind = TextValue::list;
  value.items = items;
  return value;
}

TextValue layer_row(const Layer& layer) {
  TextValue row = TextValue::empty_map();
  if (!layer.op.empty()) row.put("op", word(layer.op));
  if (!layer.block.empty()) row.put("block", word(layer.block));
  if (layer.inputs.size() == 1 && layer.inputs[0].kind != TextValue::null)
    row.put("inputs", layer.inputs[0]);
  else if (!layer.inputs.empty())
    row.put("inputs", list(layer.inputs));
  if (layer.when) row.put("when", *layer.when);
  if (layer.repeat) row.put("repeat", *layer.repeat);
  if (layer.weights.size() == 1 && layer.weights[0].first.empty()) {
    row.put("weights", layer.weights[0].second);
  } else if (!layer.weights.empty()) {
    TextValue weights = TextValue::empty_map();
    for (const auto& [name, key] : layer.weights) weights.put(name, key);
    row.put("weights", std::move(weights));
  }
  for (const auto& [name, value] : layer.args) row.put(name, value);
  return row;
}

TextValue layer_rows(const std::vector<Layer>& layers) {
  TextValue rows = TextValue::empty_map();
  for (const Layer& layer : layers) rows.put(layer.name, layer_row(layer));
  return rows;
}

void put_outputs(TextValue& to, const std::vector<std::pair<std::string, std::string>>& outputs) {
  if (outputs.empty()) return;
  TextValue ports = TextValue::empty_map();
  for (const auto& [name, layer] : outputs) ports.put(name, word(layer));
  to.put("outputs", std::move(ports));
}

TextValue block_text(const Block& block) {
  TextValue out = TextValue::empty_map();
  if (!block.doc.empty()) out.put("doc", word(block.doc));
  if (!block.params.empty()) {
    TextValue params = TextValue::empty_map();
    for (const Param& param : block.params) params.put(param.name, param.fallback ? *param.fallback : word(param.kind));
    out.put("params", std::move(params));
  }
  if (block.inputs != Block{}.inputs) {
    std::vector<TextValue> names;
    for (const std::string& name : block.inputs) names.push_back(word(name));
    out.put("inputs", list(names));
  }
  out.put("layers", layer_rows(block.layers));
  put_outputs(out, block.outputs);
  return out;
}

TextValue tree_of(const Model& model) {
  TextValue root = TextValue::empty_map();
  root.put("wherry", TextValue::of(std::int64_t{1}));
  if (!model.name.empty()) root.put("name", word(model.name));
  if (!model.weights.empty()) root.put("weights", word(model.weights));
  if (!model.use.empty()) {
    std::vector<TextValue> names;
    for (const std::string& name : model.use) names.push_back(word(name));
    root.put("use", list(names));
  }
  if (model.preprocess.kind != TextValue::null) root.put("preprocess", model.preprocess);
  if (model.labels.kind != TextValue::null) root.put("labels", model.labels);
  if (model.metadata.kind != TextValue::null) root.put("metadata", model.metadata);
  TextValue blocks = TextValue::empty_map();
  for (const Block& block : model.blocks)
    if (block.library.empty()) blocks.put(block.name, block_text(block));
  if (!blocks.members.empty()) root.put("blocks", std::move(blocks));
  TextValue body = TextValue::empty_map(), inputs = TextValue::empty_map();
  for (const ModelInput& input : model.inputs) inputs.put(input.name, word(text(input.type)));
  body.put("inputs", std::move(inputs));
  body.put("layers", layer_rows(model.layers));
  put_outputs(body, model.outputs);
  root.put("model", std::move(body));
  if (model.quantization.kind != TextValue::null) root.put("quantization", model.quantization);
  return root;
}

}  // namespace

std::string write_yaml(const Model& model) { return yaml_text(tree_of(model)); }
std::string write_json(const Model& model) { return json_text(tree_of(model)); }

}  // namespace wherry
