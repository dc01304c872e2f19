#include "ir/flatten.h"

#include "base/text.h"
#include "ir/check_model.h"
#include "ir/constants.h"
#include "ir/expression.h"
#include "ir/flatten_weights.h"
#include "ir/initialise.h"
#include "ir/text/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace wherry {

namespace {

using namespace flattening;

constexpr std::int64_t most_layers = 200'000;
constexpr int deepest_blocks = 100;

class Flattener {
 public:
  Flattener(const Model& model, const OpTable& ops, const FlattenOptions& options, Diagnostics& diagnostics)
      : model_(model),
        ops_(ops),
        options_(options),
        faults_(diagnostics),
        values_(faults_),
        weights_(options, graph_, faults_),
        builder_(graph_, ops) {
    for (const Block& block : model.blocks) blocks_.emplace(block.name, &block);
  }

  Graph run() {
    checked_ = check_model(model_, ops_, faults_);
    graph_.name = model_.name;
    Frame frame{.origin = origin_of(model_, nullptr), .source_file = model_.file.filename().string()};
    for (const ModelInput& input : model_.inputs) {
      const ValueId id = graph_.add_value({input.name, input.type, {}});
      graph_.inputs.push_back({input.name, id});
      frame.inputs[input.name] = id;
    }
    if (checked_.circular) return std::move(graph_);
    if (!model_.inputs.empty()) frame.last.values = {graph_.inputs[0].value};
    expand(model_.layers, frame);
    outputs(frame);
    weights_.list_missing(model_.weights);
    if (options_.weights && !incomplete_ && !options_.allow_leftover) weights_.list_leftover();
    return std::move(graph_);
  }

 private:
  // ---- layers -------------------------------------------------------------------------------------------------------

  void expand(const std::vector<Layer>& layers, Frame& frame) {
    for (const Layer& layer : layers) {
      Result result{{unknown}, {}};
      if (checked_.faulty.count(&layer))
        incomplete_ = true;
      else
        try {
          result = repeated(layer, frame);
        } catch (const Abandoned&) {
          incomplete_ = true;
        }
      frame.last = result;
      frame.layers[layer.name] = std::move(result);
    }
  }

  // A layer that `when` or `repeat: 0` leaves out hands on the first input that is a layer's, else its first.
  Result repeated(const Layer& layer, Frame& frame) {
    std::vector<ValueId> inputs = resolve(layer, frame);
    const Result passed{{handed_on(layer, inputs)}, {}};
    if (layer.when && !values_.flag(*layer.when, layer, frame, "when")) return passed;
    if (!layer.repeat) return one(layer, frame, frame.path_of(layer.name), inputs);
    const Attr times = values_.value(*layer.repeat, layer, frame);
    const auto* count = std::get_if<std::int64_t>(&times);
    if (!count || *count < 0 || *count > most_layers)
      values_.fault("E304", fmt::format("repeat must be a number from 0 to {}, not {}", most_layers, text(times)), *layer.repeat, layer,
                    frame);
    Result result = passed;
    const std::optional<Attr> outer = frame.params.count("index") ? std::optional(frame.params["index"]) : std::nullopt;
    for (std::int64_t i = 0; i < *count; ++i) {
      const std::string name = fmt::format("{}.{}", layer.name, i);
      frame.params["index"] = i;
      result = one(layer, frame, frame.path_of(name), inputs);
      frame.layers[name] = result;
      if (!inputs.empty()) inputs[0] = result.values[0];
    }
    if (outer)
      frame.params["index"] = *outer;
    else
      frame.params.erase("index");
    return result;
  }

  static ValueId handed_on(const Layer& layer, const std::vector<ValueId>& inputs) {
    for (std::size_t i = 0; i < layer.inputs.size(); ++i)
      if (const TextValue& input = layer.inputs[i]; input.kind == TextValue::string && !is_expression(input.string_value)) return inputs[i];
    return inputs.empty() ? absent : inputs[0];
  }

  Result one(const Layer& layer, Frame& frame, const std::string& path, const std::vector<ValueId>& inputs) {
    if (++expanded_ > most_layers) {
      values_.fault("E305", fmt::format("the model has more than {} layers", most_layers), layer, frame, "look at the 'repeat' counts");
    }
    return layer.block.empty() ? of_operator(*ops_.find(layer.op), layer, frame, path, inputs)
                               : of_block(*blocks_.at(layer.block), layer, frame, path, inputs);
  }

  Result of_block(const Block& block, const Layer& layer, Frame& outer, const std::string& path, const std::vector<ValueId>& inputs) {
    if (outer.depth == deepest_blocks) values_.fault("E307", "blocks stand within each other deeper than 100", layer, outer);
    Frame frame{.path = path,
                .origin = origin_of(model_, &block),
                .source_file = block.file.empty() ? outer_file() : block.file.filename().string(),
                .depth = outer.depth + 1};
    for (const Param& param : block.params) {
      const auto it = std::find_if(layer.args.begin(), layer.args.end(), [&](const auto& arg) { return arg.first == param.name; });
      if (it == layer.args.end()) {
        frame.params[param.name] = values_.value(*param.fallback, layer, frame);
        continue;
      }
      Attr given = values_.value(it->second, layer, outer);
      if (!fits(param, given))
        values_.fault("E304",
                      fmt::format("parameter '{}' of block {} must be {}, not {}", param.name, block.name, kind_text(param), text(given)),
                      it->second, layer, outer);
      frame.params[param.name] = std::move(given);
    }
    for (std::size_t i = 0; i < block.inputs.size(); ++i) frame.inputs[block.inputs[i]] = i < inputs.size() ? inputs[i] : absent;
    if (!inputs.empty()) frame.last.values = {inputs[0]};
    graph_.modules.push_back({path, block.name});
    expand(block.layers, frame);
    if (block.outputs.empty()) return frame.last;
    Result result;
    for (const auto& [name, reference] : block.outputs) {
      result.names.push_back(name);
      result.values.push_back(follow(reference, frame, block.outputs_line, block.outputs_column, true));
    }
    return result;
  }

  std::string outer_file() const { return model_.file.filename().string(); }

  static std::string kind_of(const Param& param) {
    if (!param.fallback) return param.kind;
    switch (param.fallback->kind) {
      case TextValue::boolean: return "bool";
      case TextValue::integer: return "int";
      case TextValue::number: return "float";
      case TextValue::string: return is_expression(param.fallback->string_value) ? "" : "string";
      default: return "";
    }
  }
  static std::string kind_text(const Param& param) {
    const std::string kind = kind_of(param);
    return kind == "int"     ? "an int"
           : kind == "float" ? "a number"
           : kind == "bool"  ? "true or false"
           : kind == "ints"  ? "a list of ints"
                             : "a word";
  }
  static bool fits(const Param& param, const Attr& attr) {
    const std::string kind = kind_of(param);
    if (kind.empty() || std::holds_alternative<None>(attr)) return true;
    if (kind == "bool") return std::holds_alternative<bool>(attr);
    const bool ints = std::holds_alternative<std::int64_t>(attr) || std::holds_alternative<Ints>(attr);
    if (kind == "int" || kind == "ints") return ints;
    if (kind == "float") return ints || std::holds_alternative<double>(attr) || std::holds_alternative<Floats>(attr);
    return std::holds_alternative<std::string>(attr);
  }

  // ---- operators ----------------------------------------------------------------------------------------------------

  Result of_operator(const OpDef& op, const Layer& layer, Frame& frame, const std::string& path, const std::vector<ValueId>& given) {
    Node node{.op = &op, .path = path, .source = {frame.source_file, layer.line}};
    if (!paths_.insert(path).second)
      values_.fault("E308", fmt::format("two layers have the path '{}'", path), layer, frame, "rename one of them");
    const Hyper hyper = arguments(op, layer, frame, node);
    node.inputs.assign(op.inputs.size(), absent);
    std::vector<bool> filled(op.inputs.size());
    const InputPlan plan = plan_inputs(op, given.size());
    for (std::size_t i = 0; i < given.size(); ++i) {
      const auto slot = static_cast<std::size_t>(plan.slots[i]);
      if (slot < i && op.inputs[slot].role == Role::variadic)
        node.inputs.push_back(given[i]);
      else
        node.inputs[slot] = given[i], filled[slot] = true;
      const bool may_lack = op.inputs[slot].role == Role::optional || op.inputs[slot].role == Role::optional_parameter;
      if (given[i] == absent && !may_lack)
        values_.fault("E304", fmt::format("input '{}' of {} cannot be null", op.inputs[slot].name, op.name), layer, frame);
    }
    parameters(op, hyper, layer, frame, node, filled);
    if (std::find(node.inputs.begin(), node.inputs.end(), unknown) != node.inputs.end()) throw Abandoned{};
    try {
      builder_.at(path, node.source);
      return {builder_.node(op, node.inputs, node.attrs, path), {}};
    } catch (const Failure& failure) {
      for (const Diagnostic& diagnostic : failure.diagnostics()) faults_.add(diagnostic, frame.origin, layer.line, layer.column);
      throw Abandoned{};
    }
  }

  static const TextValue* argument(const Layer& layer, std::string_view name) {
    for (const auto& [key, value] : layer.args)
      if (key == name) return &value;
    return nullptr;
  }

  // Attributes go into the node, hyperparameters come back.
  Hyper arguments(const OpDef& op, const Layer& layer, Frame& frame, Node& node) {
    bool wrong = false;
    const auto read = [&](std::string_view name, AttrKind kind, const std::optional<Attr>& fallback, const AttrDef* def) -> Attr {
      const TextValue* written = argument(layer, name);
      if (!written) return fallback.value_or(None{});
      try {
        return coerced(values_.value(*written, layer, frame), kind, def, *written, name, layer, frame);
      } catch (const Abandoned&) {
        wrong = true;
        return None{};
      }
    };
    for (const AttrDef& def : op.attrs) node.attrs.push_back(read(def.name, def.kind, def.fallback, &def));
    Hyper hyper;
    for (const HyperDef& def : op.hyper) {
      const int attr = op.attr_index(def.name);
      if (attr < 0)
        hyper.emplace(def.name, read(def.name, def.kind, def.fallback, nullptr));
      else
        hyper.emplace(def.name, coerce(node.attrs[static_cast<std::size_t>(attr)], def.kind).value_or(def.fallback.value_or(None{})));
    }
    if (wrong) throw Abandoned{};
    return hyper;
  }

  Attr coerced(const Attr& given, AttrKind kind, const AttrDef* def, const TextValue& at, std::string_view name, const Layer& layer,
               Frame& frame) {
    const auto* word = std::get_if<std::string>(&given);
    if (def && def->or_none && std::holds_alternative<None>(given)) return given;
    const std::vector<std::string> choices =
        def ? std::vector<std::string>(def->choices.begin(), def->choices.end()) : std::vector<std::string>{};
    if (word && !choices.empty() && std::find(choices.begin(), choices.end(), *word) == choices.end())
      values_.fault("E304", fmt::format("{} of {} cannot be '{}'{}", name, layer.op, *word, did_you_mean(*word, choices)), at, layer, frame,
                    "it is one of: " + join(choices, ", "));
    if (word && def && def->or_string) return given;
    const auto* empty = std::get_if<Ints>(&given);
    if (kind == AttrKind::strings && empty && empty->empty()) return Strings{};
    if (std::optional<Attr> value = coerce(given, kind)) return *value;
    values_.fault("E304", fmt::format("{} of {} must be {}, not {}", name, layer.op, wherry::name(kind), text(given)), at, layer, frame);
  }

  // ---- weights ------------------------------------------------------------------------------------------------------

  void parameters(const OpDef& op, const Hyper& hyper, const Layer& layer, const Frame& frame, Node& node,
                  const std::vector<bool>& filled) {
    if (!op.parameters) return;
    std::vector<Shape> shapes;
    try {
      for (const auto& [name, attr] : hyper) check_hyper(name, attr);
      shapes = op.parameters(hyper, node);
      for (const Shape& shape : shapes) weights_.check_shape(shape);
    } catch (const TypeFault& fault) {
      faults_.add({.code = fault.code, .message = fault.message, .at = node.where()}, frame.origin, layer.line, layer.column);
      throw Abandoned{};
    }
    std::size_t next = 0;
    for (std::size_t i = 0; i < op.inputs.size() && next < shapes.size(); ++i) {
      if (op.inputs[i].role != Role::parameter && op.inputs[i].role != Role::optional_parameter) continue;
      const Shape& shape = shapes[next++];
      if (filled[i] || is_left_out(shape)) continue;
      const std::string key = key_of(layer, frame, node.path, std::string(op.inputs[i].name));
      node.inputs[i] = weights_.get({key, {DType::float32, shape}, node.path, frame.origin, layer.line, layer.column},
                                    [&] { return initialise(op, op.inputs[i].name, sizes(shape), sizes(shapes[0]), options_.seed, key); });
    }
  }

  static void check_hyper(const std::string& name, const Attr& attr) {
    const auto* one = std::get_if<std::int64_t>(&attr);
    const auto* list = std::get_if<Ints>(&attr);
    if ((one && *one < 0) || (list && std::any_of(list->begin(), list->end(), [](std::int64_t i) { return i < 0; })))
      throw TypeFault{"E503", fmt::format("{} is {}; the size of a weight cannot be negative", name, text(attr))};
  }

  std::string key_of(const Layer& layer, const Frame& frame, const std::string& path, const std::string& parameter) {
    for (const auto& [name, where] : layer.weights)
      if (name.empty() || name == parameter) return values_.key(where, layer, frame) + (name.empty() ? "." + parameter : "");
    return path + "." + parameter;
  }

  // ---- inputs and outputs -------------------------------------------------------------------------------------------

  std::vector<ValueId> resolve(const Layer& layer, Frame& frame) {
    if (layer.inputs.empty()) {
      const OpDef* op = layer.op.empty() ? nullptr : ops_.find(layer.op);
      const bool takes = op ? !plan_inputs(*op, 1).slots.empty() : !blocks_.at(layer.block)->inputs.empty();
      if (!takes) return {};
      if (frame.last.values.empty())
        values_.fault("E303", fmt::format("no layer stands before '{}' whose result it could take", layer.name), layer, frame,
                      "give 'inputs'");
      return {frame.last.values[0]};
    }
    std::vector<ValueId> ids(layer.inputs.size(), unknown);
    std::vector<std::pair<std::size_t, TextValue>> numbers;
    std::optional<DType> first;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const TextValue& input = layer.inputs[i];
      if (input.kind == TextValue::integer || input.kind == TextValue::number)
        numbers.emplace_back(i, input);
      else if (input.kind == TextValue::null)
        ids[i] = absent;
      else if (input.kind == TextValue::map)
        ids[i] = literal(input, layer, frame);
      else if (is_expression(input.string_value) && !named_input(input.string_value, frame))
        numbers.emplace_back(i, computed(input, layer, frame));
      else
        ids[i] = follow(input.string_value, frame, input.line, input.column);
      const bool tensor = ids[i] >= 0 && input.kind == TextValue::string;
      if (tensor && !first) first = graph_.type(ids[i]).dtype;
    }
    for (const auto& [i, number] : numbers) {
      ConstantText constant = parse_constant(number, number_type(number, first));
      if (!constant.tensor)
        values_.fault("E304", fmt::format("the number cannot be an input here: {}", constant.problem), layer.inputs[i], layer, frame);
      ids[i] = graph_.add_constant(std::move(*constant.tensor), {});
    }
    return ids;
  }

  static bool named_input(const std::string& text, const Frame& frame) { return text[0] == '$' && frame.inputs.count(text.substr(1)) > 0; }

  TextValue computed(const TextValue& input, const Layer& layer, Frame& frame) {
    TextValue number = TextValue::of(values_.value(input, layer, frame));
    if (number.kind != TextValue::integer && number.kind != TextValue::number)
      values_.fault("E304", fmt::format("{} is no input of this block and no number", input.string_value), input, layer, frame);
    return number;
  }

  ValueId literal(const TextValue& input, const Layer& layer, Frame& frame) {
    if (const TextValue* key = input.find("weight")) return named_weight(input, *key, layer, frame);
    std::optional<DType> dtype;
    if (const TextValue* word = input.find("dtype")) {
      dtype = word->kind == TextValue::string ? parse_dtype(word->string_value) : std::nullopt;
      if (!dtype) values_.fault("E304", "dtype must be a data type such as float32 or int64", *word, layer, frame);
    }
    const TextValue& written = *input.find("constant");
    ConstantText constant = parse_constant(written, dtype);
    if (!constant.tensor) values_.fault("E304", fmt::format("the constant cannot be read: {}", constant.problem), written, layer, frame);
    return graph_.add_constant(std::move(*constant.tensor), {});
  }

  ValueId named_weight(const TextValue& input, const TextValue& key, const Layer& layer, Frame& frame) {
    const TextValue* written = input.find("type");
    const std::optional<Type> type = written && written->kind == TextValue::string ? parse_type(written->string_value) : std::nullopt;
    if (!type || !is_static(type->shape))
      values_.fault(written ? "E304" : "E303", "a weight among the inputs needs its type: {weight: scale, type: \"float32[1, 8]\"}", input,
                    layer, frame);
    const std::string full = values_.key(key, layer, frame);
    try {
      weights_.check_shape(type->shape);
    } catch (const TypeFault& fault) {
      values_.fault(fault.code, fault.message, *written, layer, frame);
    }
    return weights_.get({full, *type, frame.path_of(layer.name), frame.origin, layer.line, layer.column},
                        [&] { return uniform(*type, 0.02, options_.seed, full); });
  }

  // `said`: check_model has said it where the layer does not exist.
  ValueId follow(const std::string& text, Frame& frame, int line, int column, bool said = false) {
    if (const auto it = text.starts_with('$') ? frame.inputs.find(text.substr(1)) : frame.inputs.end(); it != frame.inputs.end())
      return it->second;
    const Reference reference = parse_reference(text);
    const auto it = frame.layers.find(reference.layer);
    if (it == frame.layers.end()) {
      if (!said) faults_.add("E306", fmt::format("there is no layer '{}'", reference.layer), frame.origin, line, column, {}, frame.path);
      return unknown;
    }
    const Result& result = it->second;
    if (reference.output.empty() || (result.values.size() == 1 && result.values[0] == unknown)) return result.values[0];
    const auto named = std::find(result.names.begin(), result.names.end(), reference.output);
    if (named != result.names.end()) return result.values[static_cast<std::size_t>(named - result.names.begin())];
    const bool digits = reference.output.size() < 9 &&
                        std::all_of(reference.output.begin(), reference.output.end(), [](char c) { return c >= '0' && c <= '9'; });
    const std::size_t index = digits ? std::stoul(reference.output) : result.values.size();
    if (index < result.values.size()) return result.values[index];
    const std::string has = result.names.empty() ? fmt::format("its outputs are 0 to {}", result.values.size() - 1)
                                                 : "its outputs are: " + join(result.names, ", ");
    faults_.add("E306", fmt::format("layer '{}' has no output '{}'", reference.layer, reference.output), frame.origin, line, column, has,
                frame.path);
    return unknown;
  }

  void outputs(Frame& frame) {
    if (model_.outputs.empty()) {
      const ValueId last = frame.last.values.empty() ? unknown : frame.last.values[0];
      if (last >= 0)
        graph_.outputs.push_back({"output", last});
      else if (!incomplete_)
        faults_.add("E303", "the model has no output: it has neither layers nor inputs", frame.origin, 1, 1);
    }
    for (const auto& [name, reference] : model_.outputs) {
      const int before = faults_.count();
      const ValueId id = follow(reference, frame, model_.outputs_line, model_.outputs_column, true);
      if (id >= 0) graph_.outputs.push_back({name, id});
      incomplete_ |= faults_.count() > before;
    }
  }

  const Model& model_;
  const OpTable& ops_;
  const FlattenOptions& options_;
  TextFaults faults_;
  Values values_;
  Graph graph_;
  WeightSource weights_;
  Builder builder_;
  CheckedModel checked_;
  std::unordered_map<std::string, const Block*> blocks_;
  std::unordered_set<std::string> paths_;
  std::int64_t expanded_ = 0;
  bool incomplete_ = false;
};

}  // namespace

Graph flatten(const Model& model, const OpTable& ops, const FlattenOptions& options, Diagnostics& diagnostics) {
  return Flattener(model, ops, options, diagnostics).run();
}

}  // namespace wherry
