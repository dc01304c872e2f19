#include "ir/text/write_model.h"

#include "ir/text/write_tree.h"

namespace wherry {

namespace {

TextValue map() {
  TextValue value;
  value.kind = TextValue::map;
  return value;
}

TextValue word(const std::string& text) { return TextValue::of(text); }

TextValue list(const std::vector<TextValue>& items) {
  TextValue value;
  value.kind = TextValue::list;
  value.items = items;
  return value;
}

void put(TextValue& to, const std::string& key, TextValue value) { to.members.emplace_back(key, std::move(value)); }

TextValue layer_row(const Layer& layer) {
  TextValue row = map();
  if (!layer.op.empty()) put(row, "op", word(layer.op));
  if (!layer.block.empty()) put(row, "block", word(layer.block));
  if (layer.inputs.size() == 1 && layer.inputs[0].kind != TextValue::null)
    put(row, "inputs", layer.inputs[0]);
  else if (!layer.inputs.empty())
    put(row, "inputs", list(layer.inputs));
  if (layer.when) put(row, "when", *layer.when);
  if (layer.repeat) put(row, "repeat", *layer.repeat);
  if (layer.weights.size() == 1 && layer.weights[0].first.empty()) {
    put(row, "weights", layer.weights[0].second);
  } else if (!layer.weights.empty()) {
    TextValue weights = map();
    for (const auto& [name, key] : layer.weights) put(weights, name, key);
    put(row, "weights", std::move(weights));
  }
  for (const auto& [name, value] : layer.args) put(row, name, value);
  return row;
}

TextValue layer_rows(const std::vector<Layer>& layers) {
  TextValue rows = map();
  for (const Layer& layer : layers) put(rows, layer.name, layer_row(layer));
  return rows;
}

void put_outputs(TextValue& to, const std::vector<std::pair<std::string, std::string>>& outputs) {
  if (outputs.empty()) return;
  TextValue ports = map();
  for (const auto& [name, layer] : outputs) put(ports, name, word(layer));
  put(to, "outputs", std::move(ports));
}

TextValue block_text(const Block& block) {
  TextValue out = map();
  if (!block.doc.empty()) put(out, "doc", word(block.doc));
  if (!block.params.empty()) {
    TextValue params = map();
    for (const Param& param : block.params) put(params, param.name, param.fallback ? *param.fallback : word(param.kind));
    put(out, "params", std::move(params));
  }
  if (block.inputs != Block{}.inputs) {
    std::vector<TextValue> names;
    for (const std::string& name : block.inputs) names.push_back(word(name));
    put(out, "inputs", list(names));
  }
  put(out, "layers", layer_rows(block.layers));
  put_outputs(out, block.outputs);
  return out;
}

TextValue tree_of(const Model& model) {
  TextValue root = map();
  put(root, "wherry", TextValue::of(std::int64_t{1}));
  if (!model.name.empty()) put(root, "name", word(model.name));
  if (!model.weights.empty()) put(root, "weights", word(model.weights));
  if (!model.use.empty()) {
    std::vector<TextValue> names;
    for (const std::string& name : model.use) names.push_back(word(name));
    put(root, "use", list(names));
  }
  if (model.preprocess.kind != TextValue::null) put(root, "preprocess", model.preprocess);
  if (model.labels.kind != TextValue::null) put(root, "labels", model.labels);
  if (model.metadata.kind != TextValue::null) put(root, "metadata", model.metadata);
  TextValue blocks = map();
  for (const Block& block : model.blocks)
    if (block.library.empty()) put(blocks, block.name, block_text(block));
  if (!blocks.members.empty()) put(root, "blocks", std::move(blocks));
  TextValue body = map(), inputs = map();
  for (const ModelInput& input : model.inputs) put(inputs, input.name, word(text(input.type)));
  put(body, "inputs", std::move(inputs));
  put(body, "layers", layer_rows(model.layers));
  put_outputs(body, model.outputs);
  put(root, "model", std::move(body));
  if (model.quantization.kind != TextValue::null) put(root, "quantization", model.quantization);
  return root;
}

}  // namespace

std::string write_yaml(const Model& model) { return yaml_text(tree_of(model)); }
std::string write_json(const Model& model) { return json_text(tree_of(model)); }

}  // namespace wherry
