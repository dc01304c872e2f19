#include "export/source/keras_scope.h"

#include "base/check.h"
#include "base/text.h"
#include "export/source/cut.h"
#include "export/source/keras_call.h"
#include "export/source/keras_said.h"
#include "export/source/python_text.h"
#include "export/source/torch_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace wherry::source {

namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

constexpr std::int64_t most_numbers = 4096;  // of a constant that is written out
constexpr std::size_t longest_within = 48;   // an expression that stands within another one; longer ones get a name

constexpr std::string_view sides_source = R"py(
def sides(padding):
    """What ZeroPadding2D takes for top, bottom, left and right."""
    if isinstance(padding, tuple) and len(padding) == 4:
        return padding[:2], padding[2:]
    return padding
)py";

// What keras.layers.Layer and keras.Model call their own, on any backend; what they have of torch.nn.Module stands in torch_tree.cpp.
constexpr std::array names_of_layers = {
    "activity_regularizer", "add_loss",       "add_metric",      "add_variable", "add_weight",    "autocast",     "build",
    "built",                "call",           "compiled",        "compute_dtype", "compute_loss", "compute_mask", "count_params",
    "dtype",                "dtype_policy",   "evaluate",        "export",       "fit",           "from_config",  "get_config",
    "get_layer",            "get_metrics",    "get_weights",     "history",      "input",         "input_dtype",  "input_spec",
    "jit_compile",          "layers",         "load_weights",    "loss",         "losses",        "metrics",      "metrics_names",
    "name",                 "optimizer",      "output",          "path",         "predict",       "quantize",     "reset_metrics",
    "run_eagerly",          "save",           "save_weights",    "set_weights",  "submodules",    "summary",      "supports_jit",
    "supports_masking",     "test_function",  "test_step",       "to_json",      "train_function", "train_step",  "trainable",
    "trainable_variables",  "trainable_weights", "variable_dtype", "variables",  "weights",       "torch_params", "stop_training",
    "stateless_call",       "symbolic_call",  "non_trainable_weights", "non_trainable_variables", "predict_function", "name_scope"};

bool is_free(const std::string& name) {
  return may_be_attribute(name) && std::find(names_of_layers.begin(), names_of_layers.end(), name) == names_of_layers.end();
}

// A layer's name: TensorFlow takes none that begins with '_'.
std::string name_of_layer(const std::string& path) {
  std::string name;
  for (const char c : keras_name(path))
    if (c != '_' || !(name.empty() || name.back() == '-')) name += c;
  return name;
}

bool zero_padding(const KerasNode& node) {
  if (!node.layer.starts_with("ZeroPadding")) return false;
  const KerasValue& value = node.config.at(0).value;
  const auto zero = [](const Ints& pair) { return std::all_of(pair.begin(), pair.end(), [](std::int64_t i) { return i == 0; }); };
  if (const auto* pairs = std::get_if<std::vector<Ints>>(&value)) return std::all_of(pairs->begin(), pairs->end(), zero);
  const auto* attr = std::get_if<Attr>(&value);
  const auto* pair = attr ? std::get_if<Ints>(attr) : nullptr;
  return pair && zero(*pair);
}

class KerasScope {
 public:
  KerasScope(KerasContext& context, std::size_t index, std::string name)
      : context_(context),
        index_(index),
        scope_(context.program.scopes[index]),
        graphs_(context.uses[index]),
        params_(context.params[index]),
        name_(std::move(name)),
        steps_(items_of(context.program, index, graphs_)) {
    for (const char* word : {"layers", "ops", "inputs", "layer", "training"}) names_.reserve(word);
    for (const auto& [param, python] : params_) names_.reserve(python);
    variables_ = name_variables(scope_, names_);
    alias_.assign(scope_.steps.size(), std::nullopt);
    for (std::size_t i = 0; i < scope_.steps.size(); ++i)
      if (!scope_.steps[i].on && !scope_.steps[i].layer->repeat) alias_[i] = scope_.steps[i].handed_on;
    name_attributes();
    name_weights();
  }

  // Whether some layer of it does something else in training, as the use that was written last has it.
  bool trains() const {
    return std::any_of(steps_.begin(), steps_.end(), [&](const StepItems& items) {
      return is_run(items) &&
             std::any_of(items.items.begin(), items.items.end(), [&](const Item& item) { return trains_item(items, item); });
    });
  }

  // As this use would write it.
  std::string write(int use) {
    use_ = use;
    kept_.clear(), flags_.clear();
    const PythonText call = write_call();  // first: it tells which parameters are kept
    PythonText out;
    out.open(fmt::format("class {}({}):", name_, scope_.block ? "layers.Layer" : "keras.Model"));
    docstring(out);
    out.blank();
    write_init(out);
    if (!weight_names_.empty()) out.blank(), write_build(out);
    return out.text() + "\n" + call.text();
  }

 private:
  // ---- names --------------------------------------------------------------------------------------------------------

  const Step* step_of(const StepItems& items) const { return items.step < 0 ? nullptr : &scope_.steps[at(items.step)]; }
  const Use& used() const { return scope_.uses[at(use_)]; }

  // The item that bears the step's name: the one with weights, else the one that gives the result.
  static std::size_t main_item(const StepItems& items) {
    for (std::size_t i = 0; i < items.items.size(); ++i)
      for (const auto& [use, seen] : items.items[i].seen)
        if (!seen.node->weights.empty()) return i;
    for (std::size_t i = 0; i < items.items.size(); ++i)
      if (items.items[i].key == "=0") return i;
    return 0;
  }

  void name_attributes() {
    Names taken;
    for (const StepItems& items : steps_) {
      attributes_.emplace_back();
      layer_names_.emplace_back();
      const Step* step = step_of(items);
      const std::string path = !step ? "output" : items.repeat < 0 ? step->layer->name : fmt::format("{}.{}", step->layer->name, items.repeat);
      const std::size_t main = main_item(items);
      for (std::size_t i = 0; i < items.items.size(); ++i) {
        const std::string full = i == main && step ? path : fmt::format("{}.{}", path, items.items[i].key);
        std::string name = python_name(full);
        while (!is_free(name) || !taken.free(name)) name += "_";
        if (is_layer(*items.items[i].seen.begin()->second.node)) taken.reserve(name);
        attributes_.back().push_back(name);
        layer_names_.back().push_back(name_of_layer(full));
        context_.underscores = context_.underscores || layer_names_.back().back() != keras_name(full);
      }
    }
    names_of_attributes_ = taken;
    std::map<std::string, std::string> layers;
    for (const Step& step : scope_.steps)
      if (const auto [it, fresh] = layers.emplace(name_of_layer(step.layer->name), step.layer->name); !fresh)
        refuse(step.layer->name, fmt::format("the layers '{}' and '{}' would have one name in Keras", it->second, step.layer->name),
               "give one of them another name");
  }

  NameOf locals() const {
    return [this](std::string_view param) { return param == "index" ? "index" : params_.at(std::string(param)); };
  }
  // In call(): what __init__ keeps.
  NameOf kept() {
    return [this](std::string_view param) {
      const std::string& name = params_.at(std::string(param));
      std::string attribute = name;
      while (!is_free(attribute) || !names_of_attributes_.free(attribute)) attribute += "_";
      kept_[attribute] = name;
      return "self." + attribute;
    };
  }

  // ---- what holds in every use --------------------------------------------------------------------------------------

  bool dropped(const Item& item) const {
    return std::all_of(item.seen.begin(), item.seen.end(), [](const auto& s) { return zero_padding(*s.second.node); });
  }

  static std::vector<const KerasNode*> classes(const Item& item) {
    std::vector<const KerasNode*> list;
    for (const auto& [use, seen] : item.seen)
      if (std::none_of(list.begin(), list.end(), [&](const KerasNode* n) { return n->layer == seen.node->layer; }))
        list.push_back(seen.node);
    std::stable_sort(list.begin(), list.end(), [](const KerasNode* a, const KerasNode* b) { return a->when.find("==") < b->when.find("=="); });
    return list;
  }

  // Whether the conditions that the layers come with tell, in each use, whether there is one and which.
  bool conditioned(const StepItems& items, const Item& item) const {
    const std::vector<const KerasNode*> all = classes(item);
    const Step* step = step_of(items);
    if (!step || !step->op || items.repeat >= 0) return false;
    for (const auto& [use, results] : items.results) {
      const auto seen = item.seen.find(use);
      for (const KerasNode* node : all) {
        if (node->when.empty()) return false;
        const std::optional<bool> found = holds(*step, node->when, scope_.uses[at(use)]);
        if (found != std::optional<bool>(seen != item.seen.end() && seen->second.node->layer == node->layer)) return false;
      }
    }
    return true;
  }
  bool everywhere(const StepItems& items, const Item& item) const { return item.seen.size() == items.results.size(); }

  // The classes that the code has for the item, seen from the use that is written; none: it has none here.
  std::vector<const KerasNode*> written_classes(const StepItems& items, const Item& item) const {
    const auto own = item.seen.find(use_);
    const std::vector<const KerasNode*> all = classes(item);
    const bool runs = items.results.contains(use_);
    if (all.size() == 1 && (everywhere(items, item) || !runs)) return all;
    if (conditioned(items, item)) return all;
    if (own != item.seen.end()) return {own->second.node};
    return runs ? std::vector<const KerasNode*>{} : std::vector<const KerasNode*>{all[0]};
  }
  bool exists(const StepItems& items, const Item& item) const { return !dropped(item) && !written_classes(items, item).empty(); }

  // As a use of that class has it: the one that is written where it is one.
  const Seen& seen_of(const Item& item, const std::string& layer) const {
    const auto own = item.seen.find(use_);
    if (own != item.seen.end() && own->second.node->layer == layer) return own->second;
    for (const auto& [use, seen] : item.seen)
      if (seen.node->layer == layer) return seen;
    WHERRY_CHECK(false, "no use has the layer {}", layer);
  }

  // Whether an entry's value follows from arguments in every use that has the layer.
  bool open(const StepItems& items, const Item& item, const std::string& layer, const KerasEntry& entry) const {
    const Step* step = step_of(items);
    if (entry.said.empty() || !step || !step->op || items.repeat >= 0 || !is_open(*step, entry.said)) return false;
    bool differ = false;
    for (const auto& [use, seen] : item.seen) {
      if (seen.node->layer != layer) continue;
      for (const KerasEntry& other : seen.node->config) {
        if (other.name != entry.name || other.either) continue;
        if (!says(*step, entry.said, scope_.uses[at(use)], other.value)) return false;
        differ = differ || keras_text(other.name, other.value) != keras_text(entry.name, settled(item, layer, entry));
      }
    }
    return differ || is_plain(entry.said);  // what an argument gives is written as that argument, what follows from several only at need
  }

  // Where two values would do, the one that the others have.
  const KerasValue& settled(const Item& item, const std::string& layer, const KerasEntry& entry) const {
    if (entry.either)
      for (const auto& [use, seen] : item.seen)
        for (const KerasEntry& other : seen.node->config)
          if (seen.node->layer == layer && other.name == entry.name && !other.either) return other.value;
    return entry.value;
  }

  // Whether a repetition is one that this use runs; where `when` leaves all of them out, those that others run stand in the code.
  bool is_run(const StepItems& items) const {
    if (items.repeat < 0 || items.results.contains(use_)) return true;
    const std::vector<std::size_t> all = repetitions(items.step);
    return std::none_of(all.begin(), all.end(), [&](std::size_t s) { return steps_[s].results.contains(use_); });
  }

  bool left_out(const StepItems& items, const Item& item, const std::string& layer, const KerasEntry& entry) const {
    const auto* plain = std::get_if<Attr>(&entry.value);
    if (entry.name == "keepdims" && plain && *plain == Attr(false)) return true;
    if (!entry.fallback || open(items, item, layer, entry)) return false;
    const auto* attr = std::get_if<Attr>(&settled(item, layer, entry));
    bool all_either = entry.either;
    for (const auto& [use, seen] : item.seen)
      for (const KerasEntry& other : seen.node->config)
        if (seen.node->layer == layer && other.name == entry.name && !other.either) all_either = false;
    return all_either || (attr && *attr == *entry.fallback);
  }

  std::string entry_text(const StepItems& items, const Item& item, const std::string& layer, const KerasEntry& entry, const NameOf& names) {
    if (!open(items, item, layer, entry)) return keras_text(entry.name, settled(item, layer, entry));
    const Step& step = *step_of(items);
    const bool pairs = std::any_of(item.seen.begin(), item.seen.end(),
                                   [&](const auto& seen) { return gives_ends(step, entry.said, scope_.uses[at(seen.first)]); });
    if (pairs) define(sides_source);
    return said_text(step, entry.said, names, pairs);
  }

  void define(std::string_view definition) {
    PythonText text;
    text.raw(definition);
    if (std::find(context_.definitions.begin(), context_.definitions.end(), text.text()) == context_.definitions.end())
      context_.definitions.push_back(text.text());
  }

  // ---- constructors -------------------------------------------------------------------------------------------------

  std::string guard(const Step& step) const {
    return step.layer->when && scope_.block && step.on ? python_value(*step.layer->when, locals()) : "";
  }

  // A layer that is off stands as an Identity where all that it would do is take one tensor and give one.
  bool stands_as_identity(const StepItems& items) const {
    const Step& step = *step_of(items);
    if (step.inputs.size() != 1 || step.list) return false;
    return std::all_of(items.items.begin(), items.items.end(), [&](const Item& item) {
      if (!exists(items, item)) return true;
      const Seen& seen = seen_of(item, written_classes(items, item)[0]->layer);
      return is_layer(*seen.node) && seen.operands.size() == 1 && seen.node->outputs.size() == 1;
    });
  }

  std::string constructor(std::size_t s, std::size_t i, const KerasNode& node, const std::string& name) {
    const StepItems& items = steps_[s];
    const Item& item = items.items[i];
    std::vector<std::string> args;
    std::string what;
    if (node.is_block()) {
      const Step& step = *step_of(items);
      const std::string given = block_arguments(context_.program.scopes[at(step.block)], step, context_.params[at(step.block)], locals());
      if (!given.empty()) args.push_back(given);
      what = context_.classes[at(step.block)][use_of_block(node)];
    } else {
      const std::string layer = node.layer;
      args = layer_arguments(
          node, [&](const KerasEntry& e) { return entry_text(items, item, layer, e, locals()); },
          [&](const KerasEntry& e) { return left_out(items, item, layer, e); });
      what = layer_name(node);
      if (!node.definition.empty()) define(node.definition);
    }
    args.push_back("name=" + name);
    return fmt::format("{}({})", what, join(args, ", "));
  }

  static std::size_t use_of_block(const KerasNode& node) {
    return static_cast<std::size_t>(std::get<std::int64_t>(std::get<Attr>(node.config.at(1).value)));
  }

  // Of layers one behind the other that are there under one condition: what it is, and the assignments.
  struct Conditioned {
    std::string condition;
    std::vector<std::pair<std::string, std::string>> made;  // attribute, value
  };

  void flush(PythonText& out, Conditioned& pending) const {
    const auto assign = [&](const std::string& attribute, const std::string& value) {
      out.statement(fmt::format("{} = {}", attribute, value));
    };
    if (pending.made.size() == 1) {
      const auto& [attribute, value] = pending.made[0];
      const std::string row = fmt::format("{} = {} if {} else layers.Identity()", attribute, value, pending.condition);
      if (static_cast<int>(row.size()) <= out.room()) out.statement(row), pending.made.clear();
    }
    if (pending.made.empty()) return;
    out.open(fmt::format("if {}:", pending.condition));
    for (const auto& [attribute, value] : pending.made) assign(attribute, value);
    out.close();
    out.open("else:");
    for (const auto& [attribute, value] : pending.made) assign(attribute, "layers.Identity()");
    out.close();
    pending.made.clear();
  }

  void write_attribute(PythonText& out, Conditioned& pending, std::size_t s, std::size_t i, std::string condition) {
    const StepItems& items = steps_[s];
    const Item& item = items.items[i];
    if (!exists(items, item)) return;
    const std::vector<const KerasNode*> all = written_classes(items, item);
    if (!is_layer(*all[0]) || !shared_attribute(s, i).empty()) return;
    const std::string attribute = "self." + attributes_[s][i];
    const auto made = [&](const KerasNode* node) {
      return constructor(s, i, *seen_of(item, node->layer).node, python_string(layer_names_[s][i]));
    };
    const auto assign = [&](const std::string& text) { out.statement(fmt::format("{} = {}", attribute, text)); };
    const auto when = [&](const KerasNode* node) { return said_text(*step_of(items), node->when, locals(), false); };
    const auto choose = [&] {
      out.open(fmt::format("if {}:", when(all[0]))), assign(made(all[0])), out.close();
      out.open("else:"), assign(made(all[1])), out.close();
    };
    if (all.size() == 1 && !everywhere(items, item) && conditioned(items, item))
      condition = condition.empty() ? when(all[0]) : fmt::format("{} and {}", bracketed_or(condition), bracketed_or(when(all[0])));
    if (condition != pending.condition || all.size() > 1) flush(out, pending);
    if (all.size() == 1) {
      if (condition.empty()) return assign(made(all[0]));
      pending.condition = condition;
      pending.made.emplace_back(attribute, made(all[0]));
      return;
    }
    WHERRY_CHECK(all.size() == 2, "{} layers in one place", all.size());
    if (condition.empty()) return choose();
    out.open(fmt::format("if {}:", condition));
    choose();
    out.close();
    out.open("else:"), assign("layers.Identity()"), out.close();
  }
  static std::string bracketed_or(const std::string& condition) {
    return condition.find(" or ") == std::string::npos ? condition : "(" + condition + ")";
  }

  void write_init(PythonText& all) {
    PythonText out = all;
    std::vector<std::pair<std::string, std::string>> late;
    std::vector<std::string> parts = block_parameters(scope_, params_, late);
    parts.insert(parts.begin(), "self");
    parts.emplace_back("**kwargs");
    out.open(fmt::format("def __init__({}):", join(parts, ", ")));
    out.statement("super().__init__(**kwargs)");
    const std::string before = out.text();
    for (const auto& [name, value] : late) {
      out.open(fmt::format("if {} is None:", name));
      out.statement(fmt::format("{} = {}", name, value));
      out.close();
    }
    for (const auto& [attribute, param] : kept_) out.statement(fmt::format("self.{} = {}", attribute, param));
    Conditioned pending;
    for (std::size_t s = 0; s < steps_.size(); ++s) {
      const Step* step = step_of(steps_[s]);
      if (!step || !is_run(steps_[s])) continue;
      if (step->layer->repeat) flush(out, pending);
      if (step->layer->repeat && is_loop(steps_[s].step)) {
        if (steps_[s].repeat == 0) write_loop_attribute(out, s);
        continue;
      }
      const std::string condition = guard(*step);
      const bool identity = stands_as_identity(steps_[s]);
      const bool block = !condition.empty() && !identity && has_layers(steps_[s]);
      if (block) out.open(fmt::format("if {}:", condition));
      for (std::size_t i = 0; i < steps_[s].items.size(); ++i) write_attribute(out, pending, s, i, identity ? condition : "");
      if (block) flush(out, pending), out.close();
    }
    flush(out, pending);
    for (const auto& [attribute, condition] : flags_) out.statement(fmt::format("self.{} = {}", attribute, condition));
    out.close();
    if (out.text() != before || parts.size() > 2) all = out;  // else it would do what it inherits
  }
  bool has_layers(const StepItems& items) const {
    return std::any_of(items.items.begin(), items.items.end(),
                       [&](const Item& item) { return exists(items, item) && is_layer(*written_classes(items, item)[0]); });
  }

  // ---- weights ------------------------------------------------------------------------------------------------------

  // Arrays that no layer of Keras has: relative keys and what the file holds for them.
  void name_weights() {
    for (const StepItems& items : steps_)
      for (const Item& item : items.items)
        for (const auto& [use, seen] : item.seen)
          for (const Operand& operand : seen.operands) {
            if (operand.kind != Operand::constant || !context_.weights.contains(operand.tensor->name)) continue;
            const std::string& path = scope_.uses[at(use)].path;
            const std::string prefix = path.empty() ? "" : path + ".", &key = operand.tensor->name;
            if (!key.starts_with(prefix)) {
              refuse(seen.node->path, fmt::format("weight '{}' is taken from outside of its block {}", key, scope_.name),
                     "name it relative to the block ('.key'), or give it to the block as an input");
              continue;
            }
            const std::string relative = key.substr(prefix.size());
            if (weight_names_.contains(relative)) continue;
            std::string name = python_name(relative);
            while (!is_free(name) || !names_of_attributes_.free(name)) name += "_";
            names_of_attributes_.reserve(name);
            weight_names_[relative] = {name, key};
          }
  }

  void refuse(const std::string& place, const std::string& message, const std::string& next) const {
    for (const Diagnostic& d : context_.diagnostics.all())  // each use would say it again
      if (d.message == message && d.at == place) return;
    context_.diagnostics.add({.code = "E202", .message = message, .at = place, .next = next});
  }

  const Tensor& weight_in_file(const std::string& key) const {
    for (const Value& value : context_.program.graph.values)
      if (value.constant && value.name == key) return *value.constant;
    WHERRY_CHECK(false, "no weight {}", key);
  }

  void write_build(PythonText& out) const {
    std::vector<std::string> shapes = {"self"};
    if (variables_.inputs.size() == 1 || !scope_.block)
      shapes.emplace_back("input_shape");
    else
      for (const std::string& input : variables_.inputs) shapes.push_back(input + "_shape");
    out.open(fmt::format("def build({}):", join(shapes, ", ")));
    for (const auto& [relative, weight] : weight_names_) {
      const Tensor& tensor = weight_in_file(weight.second);
      const std::string_view leaf = std::string_view(relative).substr(relative.rfind('.') == std::string::npos ? 0 : relative.rfind('.') + 1);
      const bool statistic = leaf.starts_with("running_");
      const std::string start = leaf == "weight" && tensor.rank() == 1 ? "ones" : leaf == "bias" ? "zeros" : "random_normal";
      std::string more = is_float(tensor.dtype()) ? "" : fmt::format(", dtype=\"{}\"", name(tensor.dtype()));
      if (statistic || !is_float(tensor.dtype())) more += ", trainable=False";
      out.statement(fmt::format("self.{} = self.add_weight({}, {}{}, name={})", weight.first, python_literal(tensor.sizes()),
                                python_string(is_float(tensor.dtype()) ? start : "zeros"), more, python_string(name_of_layer(relative))));
    }
    out.close();
  }

  // self.gamma as the call takes it: its axes may lie in another order, with ones among them.
  std::string weight_text(const KerasTensor& tensor) const {
    const std::string& path = used().path;
    const std::string prefix = path.empty() ? "" : path + ".";
    const auto it = tensor.name.starts_with(prefix) ? weight_names_.find(tensor.name.substr(prefix.size())) : weight_names_.end();
    if (it == weight_names_.end()) return "None";  // refused
    const std::string text = "self." + it->second.first;
    const Sizes source = weight_in_file(tensor.name).sizes(), wanted = tensor.constant->sizes();
    Sizes padded(wanted.size() > source.size() ? wanted.size() - source.size() : 0, 1);
    padded.insert(padded.end(), source.begin(), source.end());
    std::vector<int> by_stride;  // the source's axes, longest step first, then ones
    for (int axis = 0; axis < tensor.constant->rank(); ++axis)
      if (wanted[at(axis)] != 1) by_stride.push_back(axis);
    std::stable_sort(by_stride.begin(), by_stride.end(),
                     [&](int a, int b) { return tensor.constant->strides()[at(a)] > tensor.constant->strides()[at(b)]; });
    const bool in_order = std::is_sorted(by_stride.begin(), by_stride.end());
    if (in_order) return wanted == padded ? text : fmt::format("ops.reshape({}, {})", text, python_literal(wanted));
    Sizes full;
    std::vector<std::int64_t> axes(wanted.size());
    std::vector<int> order;
    for (int axis = 0; axis < tensor.constant->rank(); ++axis)
      if (wanted[at(axis)] == 1) order.push_back(axis);
    order.insert(order.end(), by_stride.begin(), by_stride.end());
    for (std::size_t i = 0; i < order.size(); ++i) full.push_back(wanted[at(order[i])]), axes[at(order[i])] = static_cast<std::int64_t>(i);
    return fmt::format("ops.transpose(ops.reshape({}, {}), {})", text, python_literal(full), python_literal(Ints(axes)));
  }

  // The attribute of another layer of the scope whose weights this one takes; "" where it has its own.
  std::string shared_attribute(std::size_t s, std::size_t i) const {
    const Item& item = steps_[s].items[i];
    const auto own = item.seen.find(use_);
    const Seen& seen = own == item.seen.end() ? item.seen.begin()->second : own->second;
    const Step* step = step_of(steps_[s]);
    if (!step || seen.node->weights.empty() || seen.node->is_block()) return "";
    const int use = own == item.seen.end() ? item.seen.begin()->first : use_;
    const std::string& path = scope_.uses[at(use)].path;
    const std::string prefix = path.empty() ? "" : path + ".";
    std::set<std::string> owners;
    for (const KerasWeight& weight : seen.node->weights) owners.insert(weight.source.substr(0, weight.source.rfind('.')));
    const std::string mine =
        prefix + (steps_[s].repeat < 0 ? step->layer->name : fmt::format("{}.{}", step->layer->name, steps_[s].repeat));
    if (owners.size() == 1 && *owners.begin() == mine) return "";
    if (owners.size() == 1)
      for (std::size_t other = 0; other < s; ++other) {
        const Step* theirs = step_of(steps_[other]);
        const std::size_t main = main_item(steps_[other]);
        if (!theirs || steps_[other].items.empty() || prefix + theirs->layer->name != *owners.begin()) continue;
        const auto their = steps_[other].items[main].seen.find(use);
        if (their == steps_[other].items[main].seen.end() || their->second.node->layer != seen.node->layer) continue;
        if (same_configuration(*their->second.node, *seen.node)) return attributes_[other][main];
      }
    refuse(seen.node->path, "its weights are not all its own, and Keras shares whole layers only",
           "let it take all weights of a layer above it in the same block ('weights: layer'), with the same arguments");
    return attributes_[s][i];
  }
  static bool same_configuration(const KerasNode& a, const KerasNode& b) {
    const auto text_of = [](const KerasNode& node) {
      std::string all;
      for (const KerasEntry& e : node.config) all += fmt::format("{}={} ", e.name, keras_text(e.name, e.value));
      return all;
    };
    return text_of(a) == text_of(b) && a.weights.size() == b.weights.size();
  }

  // ---- repeated layers ----------------------------------------------------------------------------------------------

  std::vector<std::size_t> repetitions(int step) const {
    std::vector<std::size_t> list;
    for (std::size_t s = 0; s < steps_.size(); ++s)
      if (steps_[s].step == step) list.push_back(s);
    return list;
  }

  // One layer or block each time, made alike.
  bool is_loop(int step) {
    std::set<std::string> made;
    for (const std::size_t s : repetitions(step)) {
      const StepItems& items = steps_[s];
      if (!is_run(items)) continue;
      if (items.items.size() != 1 || !exists(items, items.items[0]) || !shared_attribute(s, 0).empty()) return false;
      const Item& item = items.items[0];
      const std::vector<const KerasNode*> all = written_classes(items, item);
      if (all.size() != 1 || !is_layer(*all[0]) || all[0]->outputs.size() != 1) return false;
      const Seen& seen = seen_of(item, all[0]->layer);
      if (seen.operands.empty() || (items.repeat > 0 && !seen.operands[0].before)) return false;
      made.insert(constructor(s, 0, *seen.node, ""));
    }
    return made.size() == 1;
  }

  void write_loop_attribute(PythonText& out, std::size_t s) {
    const Step& step = *step_of(steps_[s]);
    const Item& item = steps_[s].items[0];
    const KerasNode& node = *seen_of(item, written_classes(steps_[s], item)[0]->layer).node;
    const std::string name = fmt::format("f\"{}-{{index}}\"", name_of_layer(step.layer->name)), condition = guard(step);
    out.statement(fmt::format("self.{} = []", loop_attribute(step)));
    if (!condition.empty()) out.open(fmt::format("if {}:", condition));
    out.open(fmt::format("for index in range({}):", python_value(*step.layer->repeat, locals())));
    out.statement(fmt::format("self.{}.append({})", loop_attribute(step), constructor(s, 0, node, name)));
    out.close();
    if (!condition.empty()) out.close();
  }
  std::string loop_attribute(const Step& step) const {
    std::string name = python_name(step.layer->name);
    while (!is_free(name) || !names_of_attributes_.free(name)) name += "_";
    return name;
  }

  bool takes_one_of(int index) const {
    const auto one = [&](const Ref& ref) { return ref.kind == Ref::step && ref.index == index && ref.repeat >= 0; };
    for (const Step& step : scope_.steps)
      if (std::any_of(step.inputs.begin(), step.inputs.end(), one)) return true;
    return std::any_of(scope_.outputs.begin(), scope_.outputs.end(), [&](const auto& output) { return one(output.second); });
  }

  // ---- call ---------------------------------------------------------------------------------------------------------

  const Ref& followed(const Ref& ref) const {
    const Ref* to = &ref;
    while (to->kind == Ref::step && alias_[at(to->index)]) to = &*alias_[at(to->index)];
    return *to;
  }

  std::string number_or_constant(const StepItems& items, const Item& item, std::size_t place, const KerasTensor& tensor) {
    if (context_.weights.contains(tensor.name)) return weight_text(tensor);
    const Step* step = step_of(items);
    if (step && tensor.constant->rank() == 0)
      for (const Ref& ref : step->inputs) {
        if (ref.kind != Ref::number || ref.value->kind != TextValue::string) continue;
        const bool always = std::all_of(item.seen.begin(), item.seen.end(), [&](const auto& seen) {
          const std::optional<Attr> value = value_in(*ref.value, scope_.uses[at(seen.first)]);
          const Operand& operand = seen.second.operands[std::min(place, seen.second.operands.size() - 1)];
          if (!value || operand.kind != Operand::constant) return false;
          const auto* i = std::get_if<std::int64_t>(&*value);
          const auto* d = std::get_if<double>(&*value);
          return (i || d) && static_cast<float>(i ? static_cast<double>(*i) : *d) == static_cast<float>(operand.tensor->constant->item());
        });
        if (always) return python_value(*ref.value, kept());
      }
    if (tensor.constant->count() > most_numbers)
      refuse(step ? step->layer->name : "", fmt::format("a constant of {} numbers has no place in source code", tensor.constant->count()),
             "make it a weight ({weight: name, type: …})");
    return constant_text(*tensor.constant);
  }

  // An operand as the item's richest use has it, where this use differs only by what it leaves out.
  const Operand& operand_of(const StepItems& items, const Item& item, std::size_t place) const {
    const auto own = item.seen.find(use_);
    const auto rich = item.seen.find(items.richest);
    const Seen& wanted = rich == item.seen.end() ? item.seen.begin()->second : rich->second;
    if (own == item.seen.end()) return wanted.operands[place];
    const Operand& mine = own->second.operands[place];
    if (place >= wanted.operands.size()) return mine;
    const Operand* to = &wanted.operands[place];
    while (to->kind == Operand::item && !items.items[at(to->index)].seen.contains(use_)) {
      const Item& between = items.items[at(to->index)];
      if (!conditioned(items, between) || between.seen.begin()->second.operands.size() != 1) return mine;
      to = &between.seen.begin()->second.operands[0];
    }
    return *to == mine && mine.kind != Operand::constant ? wanted.operands[place] : mine;
  }

  struct StepTexts {
    const StepItems& items;
    std::size_t index;
    std::string before;              // the variable of the repetition before
    std::vector<std::string> texts;  // of items that have a variable
    std::vector<int> takers;         // of items
  };

  void count(StepTexts& step, const Operand& operand) {
    if (operand.kind != Operand::item) return;
    const Item& item = step.items.items[at(operand.index)];
    const bool here = exists(step.items, item);
    if (here && step.takers[at(operand.index)]++ > 0) return;
    for (std::size_t i = 0; i < operands(item); ++i) count(step, operand_of(step.items, item, i));
  }
  std::size_t operands(const Item& item) const {
    const auto own = item.seen.find(use_);
    return (own == item.seen.end() ? item.seen.begin()->second : own->second).operands.size();
  }

  std::string text_of(PythonText& out, StepTexts& step, const Operand& operand, const Item* taker, std::size_t place) {
    if (operand.kind == Operand::constant)
      return taker ? number_or_constant(step.items, *taker, place, *operand.tensor) : constant_text(*operand.tensor->constant);
    if (!is_there(operand)) return "None";
    if (operand.kind == Operand::value) return operand.before ? step.before : variables_.text(scope_, followed(operand.ref));
    const auto index = at(operand.index);
    const Item& item = step.items.items[index];
    if (!exists(step.items, item)) return text_of(out, step, operand_of(step.items, item, 0), &item, 0);
    std::string& known = step.texts[index];
    const KerasNode& node = *seen_of(item, written_classes(step.items, item)[0]->layer).node;
    const bool several = node.outputs.size() > 1;
    if (known.empty()) {
      const std::string text = call_text(out, step, index);
      if (step.takers[index] < 2 && !several && (!taker || text.size() <= longest_within)) return text;
      known = names_.unique(word_of(step, index));
      out.statement(fmt::format("{} = {}", known, text));
    }
    return several ? fmt::format("{}[{}]", known, operand.output) : known;
  }

  // A variable for an item: "take", or the layer's name.
  std::string word_of(const StepTexts& step, std::size_t index) const {
    const std::string& key = step.items.items[index].key;
    return python_name(key.starts_with('=') && step_of(step.items) ? step_of(step.items)->layer->name : key);
  }

  // Operands that do not fit one row with the sign between them get names.
  void name_long(PythonText& out, StepTexts& step, std::size_t index, std::vector<std::string>& given) {
    std::size_t length = 0;
    for (const std::string& text : given) length += text.size();
    if (length <= longest_within) return;
    for (std::size_t i = 0; i < given.size(); ++i) {
      if (given[i].find('(') == std::string::npos) continue;
      const Operand& operand = operand_of(step.items, step.items.items[index], i);
      const std::string name = names_.unique(operand.kind == Operand::item ? word_of(step, at(operand.index)) : "value");
      out.statement(fmt::format("{} = {}", name, given[i]));
      given[i] = name;
    }
  }

  std::string call_text(PythonText& out, StepTexts& step, std::size_t index) {
    const Item& item = step.items.items[index];
    const std::string layer = written_classes(step.items, item)[0]->layer;
    const KerasNode& node = *seen_of(item, layer).node;
    std::vector<std::string> given;
    for (std::size_t i = 0; i < operands(item); ++i) {
      given.push_back(text_of(out, step, operand_of(step.items, item, i), &item, i));
      if (!given.back().starts_with("np.array(") || given.back().size() <= longest_within) continue;
      const std::string constant = names_.unique("constant");
      out.statement(fmt::format("{} = {}", constant, given.back()));
      given.back() = constant;
    }
    if (!is_layer(node)) {
      if (node.layer == "ops.numpy.GetItem" && given[0].find('(') != std::string::npos) {
        const std::string whole = names_.unique(word_of(step, index));
        out.statement(fmt::format("{} = {}", whole, given[0]));
        given[0] = whole;
      }
      if (!node.definition.empty()) define(node.definition);
      if (given.size() == 2) name_long(out, step, index, given);
      const auto own = item.seen.find(use_);
      const KerasGraph& graph = graphs_[at(own == item.seen.end() ? item.seen.begin()->first : use_)];
      return operation_text(graph, node, given, [&](const KerasEntry& e) { return entry_text(step.items, item, layer, e, kept()); });
    }
    if (node.is_block()) {
      std::vector<std::string> all;
      std::size_t next = 0;
      for (const Ref& ref : step_of(step.items)->inputs)
        all.push_back(ref.kind == Ref::absent || next >= given.size() ? "None" : given[next++]);
      while (!all.empty() && all.back() == "None") all.pop_back();
      return fmt::format("self.{}({}{})", attributes_[step.index][index], join(all, ", "), training(step.items, item));
    }
    const std::string shared = shared_attribute(step.index, index);
    const bool list = std::holds_alternative<std::vector<KerasRef>>(node.args.at(0));
    return fmt::format("self.{}({}{}{}{})", shared.empty() ? attributes_[step.index][index] : shared, list ? "[" : "", join(given, ", "),
                       list ? "]" : "", training(step.items, item));
  }

  // Keras hands `training` on by itself on some backends only.
  bool trains_item(const StepItems& items, const Item& item) const {
    if (!exists(items, item)) return false;
    const std::vector<const KerasNode*> all = written_classes(items, item);
    return std::any_of(all.begin(), all.end(), [&](const KerasNode* node) {
      if (!node->is_block()) return acts_in_training(*node);
      return context_.training.contains(context_.classes[at(step_of(items)->block)][use_of_block(*seen_of(item, node->layer).node)]);
    });
  }
  std::string training(const StepItems& items, const Item& item) const { return trains_item(items, item) ? ", training=training" : ""; }

  PythonText write_call() {
    PythonText out;
    out.indent();
    std::vector<std::string> parts = {"self"};
    const bool list = !scope_.block && variables_.inputs.size() > 1;
    if (list)
      parts.emplace_back("inputs");
    else
      parts.insert(parts.end(), variables_.inputs.begin(), variables_.inputs.end());
    if (trains()) parts.emplace_back("training=None");
    out.open(fmt::format("def call({}):", join(parts, ", ")));
    if (list) out.statement(fmt::format("{} = inputs", join(variables_.inputs, ", ")));
    for (std::size_t s = 0; s < steps_.size(); ++s) write_step(out, s);
    for (std::size_t i = 0; i < scope_.steps.size(); ++i)
      WHERRY_CHECK(scope_.steps[i].on || alias_[i] || scope_.steps[i].layer->repeat, "a step that nobody runs");
    return out;
  }

  std::vector<Operand> results_of(const StepItems& items) const {
    const auto own = items.results.find(use_);
    return own == items.results.end() ? items.results.begin()->second : richer(items, own->second);
  }
  // The same with what this use leaves out, where a condition says so.
  std::vector<Operand> richer(const StepItems& items, const std::vector<Operand>& own) const {
    std::vector<Operand> list = own;
    const std::vector<Operand>& rich = items.results.at(items.richest);
    for (std::size_t i = 0; i < list.size() && i < rich.size(); ++i) {
      const Operand* to = &rich[i];
      while (to->kind == Operand::item && !items.items[at(to->index)].seen.contains(use_) &&
             conditioned(items, items.items[at(to->index)]))
        to = &items.items[at(to->index)].seen.begin()->second.operands[0];
      if (*to == list[i]) list[i] = rich[i];
    }
    return list;
  }

  static bool is_there(const Operand& result) {
    return result.kind != Operand::value || result.before || result.ref.kind != Ref::absent;
  }

  void write_step(PythonText& out, std::size_t s) {
    const StepItems& items = steps_[s];
    const Step* step = step_of(items);
    if (!is_run(items)) return;
    if (step && step->layer->repeat && is_loop(items.step)) {
      if (items.repeat == 0) write_loop(out, s);
      return;
    }
    const std::string result = step ? variables_.steps[at(items.step)] : "";
    StepTexts texts{items, s, result, std::vector<std::string>(items.items.size()), std::vector<int>(items.items.size(), 0)};
    const std::vector<Operand> results = results_of(items);
    for (const Operand& operand : results) count(texts, operand);
    if (step && std::none_of(results.begin(), results.end(), is_there)) return;  // nothing of it is left
    if (!step) return write_return(out, texts, results);
    const std::string condition = guard(*step);
    const bool identity = stands_as_identity(items);
    if (condition.empty() || identity) {
      write_result(out, texts, *step, results);
    } else {
      const std::string flag = flag_of(*step), otherwise = variables_.text(scope_, followed(step->handed_on));
      PythonText inside;
      const std::string text = step->list ? "" : text_of(inside, texts, results[0], nullptr, 0);
      const std::string row = fmt::format("{} = {} if self.{} else {}", result, text, flag, otherwise);
      if (!text.empty() && inside.text().empty() && static_cast<int>(row.size()) <= out.room()) {
        out.statement(row);
      } else {
        std::fill(texts.texts.begin(), texts.texts.end(), "");
        out.open(fmt::format("if self.{}:", flag));
        write_result(out, texts, *step, results);
        out.close();
        if (otherwise != result) out.open("else:"), out.statement(fmt::format("{} = {}", result, otherwise)), out.close();
      }
    }
    if (items.repeat >= 0 && takes_one_of(items.step)) {
      if (items.repeat == 0) out.statement(fmt::format("{}_all = []", result));
      out.statement(fmt::format("{}_all.append({})", result, result));
    }
  }

  void write_result(PythonText& out, StepTexts& texts, const Step& step, const std::vector<Operand>& results) {
    const std::string& result = variables_.steps[at(texts.items.step)];
    if (step.list) {
      bool whole = !results.empty();
      for (std::size_t i = 0; i < results.size(); ++i)
        whole = whole && results[i].kind == Operand::item && results[i].index == results[0].index && results[i].output == static_cast<int>(i);
      if (whole && seen_of(texts.items.items[at(results[0].index)], written_classes(texts.items, texts.items.items[at(results[0].index)])[0]->layer)
                           .node->outputs.size() == results.size())
        return out.statement(fmt::format("{} = {}", result, call_text(out, texts, at(results[0].index))));
      std::vector<std::string> list;
      for (const Operand& operand : results) list.push_back(text_of(out, texts, operand, nullptr, 0));
      return out.statement(fmt::format("{} = [{}]", result, join(list, ", ")));
    }
    const std::string text = text_of(out, texts, results.at(0), nullptr, 0);
    if (text != result) out.statement(fmt::format("{} = {}", result, text));
  }

  std::string flag_of(const Step& step) {
    const std::string name = python_name("has_" + step.layer->name);
    if (std::none_of(flags_.begin(), flags_.end(), [&](const auto& f) { return f.first == name; })) flags_.emplace_back(name, guard(step));
    return name;
  }

  void write_loop(PythonText& out, std::size_t s) {
    const StepItems& items = steps_[s];
    const Step& step = *step_of(items);
    const std::string& result = variables_.steps[at(items.step)];
    StepTexts texts{items, s, result, {""}, {0}};
    const Item& item = items.items[0];
    std::vector<std::string> given;
    for (std::size_t i = 0; i < operands(item); ++i) given.push_back(text_of(out, texts, operand_of(items, item, i), &item, i));
    if (given[0] != result) out.statement(fmt::format("{} = {}", result, given[0]));
    given[0] = result;
    const bool taken = takes_one_of(items.step);
    if (taken) out.statement(fmt::format("{}_all = []", result));
    out.open(fmt::format("for layer in self.{}:", loop_attribute(step)));
    out.statement(fmt::format("{} = layer({}{})", result, join(given, ", "), training(items, item)));
    if (taken) out.statement(fmt::format("{}_all.append({})", result, result));
    out.close();
  }

  void write_return(PythonText& out, StepTexts& texts, const std::vector<Operand>& results) {
    std::vector<std::string> list;
    for (const Operand& operand : results) list.push_back(text_of(out, texts, operand, nullptr, 0));
    if (list.size() > 1 && !scope_.block) {
      for (std::size_t i = 0; i < list.size(); ++i) list[i] = fmt::format("{}: {}", python_string(scope_.outputs[i].first), list[i]);
      return out.statement(fmt::format("return {{{}}}", join(list, ", ")));
    }
    out.statement("return " + join(list, ", "));
  }

  void docstring(PythonText& out) const {
    std::map<std::string, std::string> inputs;
    for (std::size_t i = 0; i < scope_.inputs.size(); ++i) inputs[scope_.inputs[i]] = variables_.inputs[i];
    const std::string types = signature(scope_, inputs, params_, border_order);
    const std::string summary = !scope_.doc.empty() ? scope_.doc : scope_.block ? scope_.name + "." : "The model " + scope_.name + ".";
    std::vector<std::string> rows;
    if (!types.empty()) rows = filled(types, out.room() - 4);
    for (std::size_t i = 1; i < rows.size(); ++i) rows[i] = "    " + rows[i];
    out.docstring(summary, rows);
  }

  KerasContext& context_;
  const std::size_t index_;
  const Scope& scope_;
  const std::vector<KerasGraph>& graphs_;
  const std::map<std::string, std::string>& params_;
  const std::string name_;
  std::vector<StepItems> steps_;
  Names names_;  // of call()
  Names names_of_attributes_;
  Variables variables_;
  std::vector<std::optional<Ref>> alias_;
  std::vector<std::vector<std::string>> attributes_, layer_names_;            // by steps_ and item
  std::map<std::string, std::pair<std::string, std::string>> weight_names_;   // relative key → attribute, a key in the file
  std::map<std::string, std::string> kept_;                                   // attribute → parameter
  std::vector<std::pair<std::string, std::string>> flags_;                    // attribute → condition
  int use_ = 0;
};

}  // namespace

std::vector<std::string> keras_scope(KerasContext& context, std::size_t index) {
  const Scope& scope = context.program.scopes[index];
  const std::string wanted = class_name(scope.name.empty() ? "model" : scope.name);
  std::vector<std::string> texts, names, classes(scope.uses.size());
  KerasScope writer(context, index, wanted);
  for (std::size_t use = 0; use < scope.uses.size(); ++use) {
    const std::string text = writer.write(static_cast<int>(use));
    const auto it = std::find(texts.begin(), texts.end(), text);
    const auto number = static_cast<std::size_t>(it - texts.begin());
    if (it == texts.end()) {
      texts.push_back(text);
      names.push_back(context.module_names.unique(wanted));
      if (writer.trains()) context.training.insert(names.back());
    }
    classes[use] = names[number];
  }
  for (std::size_t i = 0; i < texts.size(); ++i) texts[i].replace(6, wanted.size(), names[i]);  // behind "class "
  context.classes.push_back(std::move(classes));
  return texts;
}

}  // namespace wherry::source
