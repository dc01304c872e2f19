#include "ir/text/read_model.h"

#include "base/files.h"
#include "base/text.h"
#include "ir/text/place.h"
#include "ir/text/tree.h"

#include <algorithm>
#include <set>

namespace wherry {

namespace {

namespace fs = std::filesystem;

const std::vector<std::string> top_keys = {"wherry", "name",     "weights",      "use",    "preprocess",
                                           "labels", "metadata", "quantization", "blocks", "model"};
const std::vector<std::string> library_keys = {"wherry", "blocks"};
const std::vector<std::string> block_keys = {"doc", "params", "inputs", "layers", "outputs"};
const std::vector<std::string> model_keys = {"inputs", "layers", "outputs"};
const std::vector<std::string> param_kinds = {"int", "float", "bool", "string", "ints"};

std::string shown(const TextValue& value) {
  switch (value.kind) {
    case TextValue::null: return "nothing";
    case TextValue::boolean: return value.boolean_value ? "true" : "false";
    case TextValue::integer: return fmt::format("the number {}", value.integer_value);
    case TextValue::number: return fmt::format("the number {}", text(Attr(value.number_value)));
    case TextValue::string: return fmt::format("'{}'", value.string_value);
    case TextValue::list: return "a list";
    case TextValue::map: return "a map";
  }
  return "";
}

bool is_layer_name(std::string_view name) {
  bool segment = false;  // the one before the dot has a letter
  for (const char c : name) {
    if (c == '.' && !segment) return false;
    if (c != '.' && c != '_' && c != '-' && std::isalnum(static_cast<unsigned char>(c)) == 0) return false;
    segment = c != '.';
  }
  return segment;
}

class ModelReader {
 public:
  ModelReader(std::string file, const std::vector<std::string>& lines, Diagnostics& diagnostics)
      : file_(std::move(file)), lines_(lines), diagnostics_(diagnostics) {}

  void read(const TextValue& root, Model& model) {
    if (!is_map(root, "a model's text")) return;
    version(root);
    check_keys(root, top_keys, "a model's text");
    if (const TextValue* v = root.find("name")) model.name = string(*v, "name");
    if (const TextValue* v = root.find("weights")) model.weights = string(*v, "weights");
    if (const TextValue* v = root.find("use")) use(*v, model);
    if (const TextValue* v = root.find("preprocess")) model.preprocess = *v;
    if (const TextValue* v = root.find("labels")) model.labels = *v;
    if (const TextValue* v = root.find("metadata")) model.metadata = *v;
    if (const TextValue* v = root.find("quantization"); v && is_map(*v, "quantization")) model.quantization = *v;
    if (const TextValue* v = root.find("blocks")) model.blocks = blocks(*v);
    const TextValue* body = root.find("model");
    if (!body) return missing("model", "a model's text", root);
    if (!is_map(*body, "model")) return;
    check_keys(*body, model_keys, "model");
    const TextValue* inputs = body->find("inputs");
    if (!inputs)
      missing("inputs", "model", *body);
    else if (is_map(*inputs, "inputs"))
      for (const auto& [name, value] : inputs->members) model.inputs.push_back(input(name, value));
    model.layers = layers(*body, "model");
    if (const TextValue* v = body->find("outputs"))
      model.outputs = outputs(*v), model.outputs_line = v->key_line, model.outputs_column = v->key_column;
  }

  std::vector<Block> read_library(const TextValue& root) {
    if (!is_map(root, "a block library")) return {};
    version(root);
    check_keys(root, library_keys, "a block library");
    const TextValue* v = root.find("blocks");
    if (v) return blocks(*v);
    missing("blocks", "a block library", root);
    return {};
  }

  void fault(std::string code, std::string message, int line, int column, std::string next = {}) {
    diagnostics_.add(
        {.code = std::move(code), .message = std::move(message), .next = std::move(next), .place = place_in(file_, lines_, line, column)});
  }
  void fault(std::string code, std::string message, const TextValue& at, std::string next = {}) {
    fault(std::move(code), std::move(message), at.line, at.column, std::move(next));
  }

 private:
  void missing(const std::string& key, const std::string& where, const TextValue& at) {
    const bool keyed = at.key_line > 0;
    fault("E303", fmt::format("{} needs the key '{}'", where, key), keyed ? at.key_line : at.line, keyed ? at.key_column : at.column,
          "write it; docs/format.md shows what belongs there");
  }

  void wrong_kind(const TextValue& value, const std::string& what, std::string_view wanted, std::string next = {}) {
    fault("E304", fmt::format("{} must be {}, not {}", what, wanted, shown(value)), value, std::move(next));
  }

  bool is_map(const TextValue& value, const std::string& what) {
    if (value.kind != TextValue::map) wrong_kind(value, what, "a map");
    return value.kind == TextValue::map;
  }

  std::string string(const TextValue& value, const std::string& what) {
    if (value.kind == TextValue::string) return value.string_value;
    wrong_kind(value, what, "a word", "put it in quotes if it is meant as text");
    return {};
  }

  void check_keys(const TextValue& map, const std::vector<std::string>& known, const std::string& where) {
    for (const auto& [key, value] : map.members)
      if (std::find(known.begin(), known.end(), key) == known.end())
        fault("E302", fmt::format("{} has no key '{}'{}", where, key, did_you_mean(key, known)), value.key_line, value.key_column,
              "its keys are: " + join(known, ", "));
  }

  void version(const TextValue& root) {
    const TextValue* v = root.find("wherry");
    if (!v)
      fault("E303", "the text does not say its format's version", root, "begin it with the line 'wherry: 1'");
    else if (v->kind != TextValue::integer)
      wrong_kind(*v, "wherry", "the format's version, a number");
    else if (v->integer_value != 1)
      fault("E309", fmt::format("this is version {} of the text format; this Wherry reads version 1", v->integer_value), *v,
            "update Wherry");
  }

  void use(const TextValue& value, Model& model) {
    if (value.kind != TextValue::list) return wrong_kind(value, "use", "a list of libraries", "write 'use: [vision]'");
    for (const TextValue& item : value.items) model.use.push_back(string(item, "a library"));
  }

  ModelInput input(const std::string& name, const TextValue& value) {
    ModelInput result{.name = name, .line = value.key_line, .column = value.key_column};
    if (!is_identifier(name))
      fault("E304", fmt::format("'{}' is not an input's name: letters, digits and _", name), result.line, result.column);
    const std::optional<Type> type = value.kind == TextValue::string ? parse_type(value.string_value) : std::nullopt;
    if (type)
      result.type = *type;
    else
      wrong_kind(value, fmt::format("input '{}'", name), "a type", "write it like \"float32[1, 3, 224, 224]\", in quotes");
    return result;
  }

  std::vector<std::pair<std::string, std::string>> outputs(const TextValue& value) {
    std::vector<std::pair<std::string, std::string>> result;
    if (!is_map(value, "outputs")) return result;
    for (const auto& [name, layer] : value.members) result.emplace_back(name, string(layer, fmt::format("output '{}'", name)));
    return result;
  }

  std::vector<Block> blocks(const TextValue& value) {
    std::vector<Block> result;
    if (value.kind == TextValue::null || !is_map(value, "blocks")) return result;
    for (const auto& [name, body] : value.members) result.push_back(block(name, body));
    return result;
  }

  Block block(const std::string& name, const TextValue& body) {
    Block result{.name = name, .line = body.key_line, .column = body.key_column};
    if (!is_layer_name(name)) fault("E304", fmt::format("'{}' is not a block's name", name), result.line, result.column);
    const std::string where = fmt::format("block '{}'", name);
    if (!is_map(body, where)) return result;
    check_keys(body, block_keys, where);
    if (const TextValue* v = body.find("doc")) result.doc = string(*v, "doc");
    if (const TextValue* v = body.find("params"); v && v->kind != TextValue::null && is_map(*v, "params"))
      for (const auto& [key, value] : v->members) result.params.push_back(param(key, value));
    if (const TextValue* v = body.find("inputs")) block_inputs(*v, result);
    result.layers = layers(body, where);
    if (const TextValue* v = body.find("outputs"))
      result.outputs = outputs(*v), result.outputs_line = v->key_line, result.outputs_column = v->key_column;
    return result;
  }

  Param param(const std::string& name, const TextValue& value) {
    Param result{.name = name, .line = value.key_line, .column = value.key_column};
    if (!is_identifier(name))
      fault("E304", fmt::format("'{}' is not a parameter's name: letters, digits and _", name), result.line, result.column);
    const bool kind =
        value.kind == TextValue::string && std::find(param_kinds.begin(), param_kinds.end(), value.string_value) != param_kinds.end();
    if (kind)
      result.kind = value.string_value;
    else if (value.kind == TextValue::map)
      wrong_kind(value, fmt::format("parameter '{}'", name), "a default or one of " + join(param_kinds, ", "));
    else
      result.fallback = value;
    return result;
  }

  void block_inputs(const TextValue& value, Block& block) {
    if (value.kind != TextValue::list) return wrong_kind(value, "inputs", "a list of names", "write 'inputs: [x, skip]'");
    block.inputs.clear();
    for (const TextValue& item : value.items) {
      const std::string name = string(item, "an input");
      if (!is_identifier(name)) fault("E304", fmt::format("'{}' is not an input's name: letters, digits and _", name), item);
      if (std::find(block.inputs.begin(), block.inputs.end(), name) != block.inputs.end())
        fault("E308", fmt::format("input '{}' stands twice", name), item);
      block.inputs.push_back(name);
    }
  }

  std::vector<Layer> layers(const TextValue& body, const std::string& where) {
    std::vector<Layer> result;
    const TextValue* value = body.find("layers");
    if (!value)
      missing("layers", where, body);
    else if (is_map(*value, "layers"))
      for (const auto& [name, row] : value->members) result.push_back(layer(name, row));
    return result;
  }

  Layer layer(const std::string& name, const TextValue& row) {
    Layer result{.name = name, .line = row.key_line, .column = row.key_column};
    if (!is_layer_name(name))
      fault("E304", fmt::format("'{}' is not a layer's name: letters, digits, _ and -, joined by dots", name), result.line, result.column);
    const std::string where = fmt::format("layer '{}'", name);
    if (!is_map(row, where)) return result;
    for (const auto& [key, value] : row.members) {
      if (key == "op" || key == "block") result.word_line = value.line, result.word_column = value.column;
      if (key == "op")
        result.op = string(value, "op");
      else if (key == "block")
        result.block = string(value, "block");
      else if (key == "inputs")
        layer_inputs(value, result);
      else if (key == "when")
        result.when = value;
      else if (key == "repeat")
        result.repeat = value;
      else if (key == "weights")
        weights(value, result);
      else
        result.args.emplace_back(key, value);
    }
    const bool op = row.find("op"), block = row.find("block");
    if (op && block) fault("E304", where + " has both op and block", result.line, result.column);
    if (!op && !block)
      fault("E303", where + " needs the key 'op' or 'block'", result.line, result.column, "write 'op: relu' or 'block: ConvBNRelu'");
    return result;
  }

  void layer_inputs(const TextValue& value, Layer& layer) {
    if (value.kind == TextValue::list)
      layer.inputs = value.items;
    else
      layer.inputs = {value};
    if (value.kind == TextValue::null || (value.kind == TextValue::list && value.items.empty()))
      wrong_kind(value, "inputs", "a layer, a number or a list of these", "leave the key out to take the layer before");
    for (const TextValue& item : layer.inputs) {
      const bool literal = item.kind == TextValue::map && (item.find("constant") != nullptr) != (item.find("weight") != nullptr);
      if (item.kind == TextValue::map && literal)
        check_keys(item, item.find("weight") ? weight_keys : constant_keys, "an input");
      else if (item.kind == TextValue::map || item.kind == TextValue::list || item.kind == TextValue::boolean)
        wrong_kind(item, "an input", "a layer's name, $input, a number, {constant: …} or {weight: …}");
    }
  }

  void weights(const TextValue& value, Layer& layer) {
    if (value.kind == TextValue::string) {
      layer.weights = {{"", value}};
    } else if (is_map(value, "weights")) {
      for (const auto& [name, key] : value.members) {
        string(key, fmt::format("the key of weight '{}'", name));
        layer.weights.emplace_back(name, key);
      }
    }
  }

  inline static const std::vector<std::string> constant_keys = {"constant", "dtype"}, weight_keys = {"weight", "type"};
  std::string file_;
  const std::vector<std::string>& lines_;
  Diagnostics& diagnostics_;
};

// The file of a library and, for the message, all the libraries that there are.
fs::path find_library(const std::string& name, const std::vector<fs::path>& folders, std::vector<std::string>& available) {
  fs::path found;
  for (const fs::path& folder : folders) {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(folder, none)) {
      if (entry.path().extension() != ".yaml") continue;
      available.push_back(entry.path().stem().string());
      if (found.empty() && available.back() == name) found = entry.path();
    }
  }
  std::sort(available.begin(), available.end());
  return found;
}

std::vector<Block> read_library(const fs::path& file, const std::string& name, Diagnostics& diagnostics) {
  const std::string text = read_text(file);
  auto lines = std::make_shared<const std::vector<std::string>>(lines_of(text));
  const std::optional<TextValue> tree = parse_tree(text, file.string(), *lines, diagnostics);
  if (!tree) return {};
  std::vector<Block> blocks = ModelReader(file.string(), *lines, diagnostics).read_library(*tree);
  for (Block& block : blocks) block.library = name, block.file = file, block.text_lines = lines;
  return blocks;
}

void add_libraries(const TextValue& use, ModelReader& reader, const std::vector<fs::path>& folders, Model& model,
                   Diagnostics& diagnostics) {
  std::set<std::string> names, libraries;
  for (const Block& block : model.blocks) names.insert(block.name);
  for (std::size_t i = 0; i < model.use.size(); ++i) {
    const TextValue& item = use.items[i];
    if (model.use[i].empty()) continue;
    if (!libraries.insert(model.use[i]).second) {
      reader.fault("E308", fmt::format("library '{}' stands twice", model.use[i]), item);
      continue;
    }
    std::vector<std::string> available;
    const fs::path file = find_library(model.use[i], folders, available);
    if (file.empty()) {
      reader.fault("E101", fmt::format("there is no library '{}'{}", model.use[i], did_you_mean(model.use[i], available)), item,
                   available.empty() ? "no library was found" : "there are: " + join(available, ", "));
      continue;
    }
    for (Block& block : read_library(file, model.use[i], diagnostics)) {
      if (!names.insert(block.name).second)
        reader.fault("E308", fmt::format("library '{}' has a block '{}', which is defined already", model.use[i], block.name), item,
                     "rename your block or leave the library out");
      model.blocks.push_back(std::move(block));
    }
  }
}

}  // namespace

Model read_model(const fs::path& file, const std::vector<fs::path>& library_folders, Diagnostics& diagnostics) {
  return parse_model(read_text(file), file, library_folders, diagnostics);
}

Model parse_model(std::string_view text, const fs::path& name, const std::vector<fs::path>& library_folders, Diagnostics& diagnostics) {
  Model model;
  model.file = name;
  model.text_lines = lines_of(text);
  const std::optional<TextValue> tree = parse_tree(text, name.string(), model.text_lines, diagnostics);
  if (!tree) return model;
  ModelReader reader(name.string(), model.text_lines, diagnostics);
  reader.read(*tree, model);
  const TextValue* use = tree->kind == TextValue::map ? tree->find("use") : nullptr;
  if (use && model.use.size() == use->items.size()) add_libraries(*use, reader, library_folders, model, diagnostics);
  return model;
}

}  // namespace wherry
