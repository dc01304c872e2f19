#include "ir/text/schema.h"

#include "ir/text/read_model.h"

#include <nlohmann/json.hpp>

#include <cmath>

namespace wherry {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* layer_name = "^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*$";
constexpr const char* identifier = "^[A-Za-z_][A-Za-z0-9_]*$";
constexpr const char* type_text = "^[a-z][a-z0-9_]*\\[.*\\]$";

Json refer_to(const std::string& name) { return {{"$ref", "#/$defs/" + name}}; }

Json object(Json properties, Json required = Json::array()) {
  Json result = {{"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
  if (!required.empty()) result["required"] = std::move(required);
  return result;
}

Json map_of(const char* names, Json values) {
  return {{"type", "object"}, {"propertyNames", {{"pattern", names}}}, {"additionalProperties", std::move(values)}};
}

Json list_of(Json items) { return {{"type", "array"}, {"items", std::move(items)}}; }

// JSON has no infinities: the text writes them as words.
Json number() { return {{"anyOf", {{{"type", "number"}}, {{"enum", {".inf", "-.inf", ".nan"}}}}}}; }

Json json_of(const Attr& attr) {
  return std::visit(
      [](const auto& value) -> Json {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, None>)
          return nullptr;
        else if constexpr (std::is_same_v<T, DType>)
          return std::string(name(value));
        else if constexpr (std::is_same_v<T, double>)
          return std::isfinite(value) ? Json(value) : Json(text(Attr(value)));
        else
          return value;
      },
      attr);
}

Json kind_schema(AttrKind kind) {
  const Json integer = {{"type", "integer"}};
  const auto integers = [&](int least, int most) {
    Json list = list_of({{"anyOf", {integer, refer_to("expression")}}});
    if (most > 0) list["minItems"] = least, list["maxItems"] = most;
    return Json{{"anyOf", {integer, list}}};
  };
  switch (kind) {
    case AttrKind::boolean: return {{"type", "boolean"}};
    case AttrKind::integer: return integer;
    case AttrKind::number: return number();
    case AttrKind::string: return {{"type", "string"}};
    case AttrKind::ints: return integers(0, 0);
    case AttrKind::ints1: return integers(1, 2);
    case AttrKind::ints2: return integers(1, 4);
    case AttrKind::ints3: return integers(1, 6);
    case AttrKind::numbers: return list_of({{"anyOf", {number(), refer_to("expression")}}});
    case AttrKind::dtype: return refer_to("dtype");
    case AttrKind::strings: return list_of({{"type", "string"}});
  }
  return {};
}

Json value_schema(AttrKind kind, const std::vector<std::string_view>& choices, bool or_string, bool or_none) {
  Json options = Json::array();
  if (choices.empty() || or_string) options.push_back(kind_schema(kind));
  if (!choices.empty()) options.push_back({{"enum", choices}});
  if (or_none) options.push_back({{"type", "null"}});
  options.push_back(refer_to("expression"));
  return {{"anyOf", std::move(options)}};
}

Json common_properties() {
  return {{"op", refer_to("operator")},
          {"block", {{"type", "string"}, {"description", "a block of this text or of a library under 'use'"}}},
          {"inputs", refer_to("inputs")},
          {"when", {{"anyOf", {{{"type", "boolean"}}, refer_to("expression")}}, {"description", "false: the layer is left out"}}},
          {"repeat",
           {{"anyOf", {{{"type", "integer"}, {"minimum", 0}}, refer_to("expression")}},
            {"description", "a stack of so many: name.0, name.1, …"}}},
          {"weights",
           {{"anyOf", {{{"type", "string"}}, {{"type", "object"}, {"additionalProperties", {{"type", "string"}}}}}},
            {"description", "other keys than the layer's own: another layer's path, or a key for each weight"}}}};
}

Json operator_schema(const OpDef& op) {
  Json properties = common_properties(), required = {"op"};
  properties.erase("block");
  properties["op"] = {{"const", op.name}};
  const auto put = [&](std::string_view name, Json schema, const std::optional<Attr>& fallback, std::string_view doc, bool needed) {
    if (!doc.empty()) schema["description"] = doc;
    if (fallback) schema["default"] = json_of(*fallback);
    if (needed) required.push_back(name);
    properties[std::string(name)] = std::move(schema);
  };
  for (const HyperDef& def : op.hyper) put(def.name, value_schema(def.kind, {}, false, false), def.fallback, def.doc, !def.fallback);
  for (const AttrDef& def : op.attrs)
    put(def.name, value_schema(def.kind, def.choices, def.or_string, def.or_none), def.fallback, def.doc, !def.fallback);
  Json schema = object(std::move(properties), std::move(required));
  schema["description"] = op.doc;
  return schema;
}

Json layer_schema(const OpTable& ops) {
  Json rules = Json::array();
  for (const OpDef* op : ops.all())
    rules.push_back({{"if", {{"properties", {{"op", {{"const", op->name}}}}}, {"required", {"op"}}}},
                     {"then", refer_to("op." + std::string(op->name))}});
  return {{"type", "object"},
          {"properties", common_properties()},
          {"oneOf", {{{"required", {"op"}}}, {{"required", {"block"}}}}},
          {"allOf", std::move(rules)}};
}

Json definitions(const OpTable& ops) {
  const Json reference = {{"type", "string"}, {"description", "a layer above, one of its outputs (split:1), or an input ($input)"}};
  const Json constant = object({{"constant", Json::object()}, {"dtype", refer_to("dtype")}}, {"constant"});
  const Json weight = object({{"weight", {{"type", "string"}}}, {"type", refer_to("type")}}, {"weight", "type"});
  const Json input = {{"anyOf", {reference, number(), constant, weight, {{"type", "null"}}}}};
  Json dtypes = Json::array();
  for (const DType dtype : all_dtypes())
    if (is_number(dtype)) dtypes.push_back(name(dtype));
  const Json outputs = map_of(".", {{"type", "string"}});
  Json defs = {
      {"expression",
       {{"type", "string"}, {"pattern", "\\$"}, {"description", "of parameters: $kernel // 2, $stride == 1 and $in == $out"}}},
      {"type", {{"type", "string"}, {"pattern", type_text}, {"description", "float32[1, 3, 224, 224]; a word for a size that is open"}}},
      {"dtype", {{"enum", std::move(dtypes)}}},
      {"operator", {{"enum", ops.names()}}},
      {"inputs", {{"anyOf", {input, list_of(input)}}, {"description", "what goes in; the layer before where it is left out"}}},
      {"layer", layer_schema(ops)},
      {"layers", map_of(layer_name, refer_to("layer"))},
      {"block",
       object({{"doc", {{"type", "string"}}},
               {"params", map_of(identifier, {{"description", "int, float, bool, string or ints: required; anything else: its default"}})},
               {"inputs", list_of({{"type", "string"}, {"pattern", identifier}})},
               {"layers", refer_to("layers")},
               {"outputs", outputs}},
              {"layers"})}};
  for (const OpDef* op : ops.all()) defs["op." + std::string(op->name)] = operator_schema(*op);
  return defs;
}

Json quantization_schema() {
  const Json word = {{"type", "string"}}, integer = {{"type", "integer"}};
  const Json grid = object({{"scale", {{"type", "number"}, {"exclusiveMinimum", 0}}},
                            {"zero_point", integer},
                            {"by", {{"type", "string"}, {"description", "who decided; whoever edits may write their own name"}}},
                            {"group", {{"type", "integer"}, {"description", "those with one number share the grid"}}},
                            {"precision", {{"enum", {"int8", "int16"}}}}},
                           {"scale", "zero_point"});
  const Json layer =
      object({{"granularity", {{"enum", {"channel", "tensor"}}}}, {"by", word}, {"precision", {{"enum", {"float32", "int8", "int16"}}}}});
  Json schema = object({{"precision", {{"enum", {"int8", "int16x8"}}}},
                        {"codes", {{"type", "string"}, {"description", "the integers' file beside the text"}}},
                        {"by", {{"type", "object"}, {"description", "how it was made; kept, not read"}}},
                        {"io", {{"enum", {"nhwc", "nchw"}}}},
                        {"borders", {{"enum", {"float", "integer"}}, {"default", "float"}}},
                        {"activations", map_of(".", {{"anyOf", {grid, list_of(grid)}}})},
                        {"layers", map_of(".", layer)},
                        {"requantized", map_of(".", list_of(integer))}},
                       {"precision", "codes", "activations"});
  schema["description"] = "the integers of a quantized model, by tensor of its TensorFlow Lite form";
  return schema;
}

}  // namespace

Json text_schema(const OpTable& ops) {
  const Json word = {{"type", "string"}};
  const Json body =
      object({{"inputs", map_of(identifier, refer_to("type"))}, {"layers", refer_to("layers")}, {"outputs", map_of(".", word)}},
             {"inputs", "layers"});
  Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", "A model as Wherry's text, version 1"}};
  schema.update(object({{"wherry", {{"const", 1}, {"description", "version of the format"}}},
                        {"name", word},
                        {"weights", {{"type", "string"}, {"description", "the weights' file beside the text"}}},
                        {"use", {{"type", "array"}, {"items", word}, {"description", "libraries of blocks"}}},
                        {"preprocess", {{"type", "array"}, {"items", {{"type", "object"}}}, {"description", "from an image to the input"}}},
                        {"labels", {{"description", "names of the classes: a list, a file, or a known set"}}},
                        {"metadata", Json::object()},
                        {"quantization", quantization_schema()},
                        {"blocks", map_of(layer_name, refer_to("block"))},
                        {"model", body}},
                       {"wherry"}));
  schema["anyOf"] = {{{"required", {"model"}}}, {{"required", {"blocks"}}}};
  schema["$defs"] = definitions(ops);
  return schema;
}

}  // namespace wherry
