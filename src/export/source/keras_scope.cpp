#include "export/source/keras_scope_writer.h"

#include "base/check.h"
#include "base/text.h"
#include "export/source/cut.h"
#include "export/source/keras_call.h"
#include "export/source/keras_said.h"
#include "export/source/python_text.h"
#include "export/source/torch_tree.h"

#include <fmt/format.h>

#include <algorithm>

namespace wherry::source {

namespace {

constexpr std::string_view sides_source = R"py(
def sides(padding):
    """What ZeroPadding2D takes for top, bottom, left and right."""
    if isinstance(padding, tuple) and len(padding) == 4:
        return padding[:2], padding[2:]
    return padding
)py";

// What keras.layers.Layer and keras.Model call their own, on any backend; what they have of torch.nn.Module stands in torch_tree.cpp.
constexpr std::string_view names_of_layers =
    " activity_regularizer add_loss add_metric add_variable add_weight autocast build built call compiled compute_dtype "
    "compute_loss compute_mask count_params dtype dtype_policy evaluate export fit from_config get_config get_layer "
    "get_metrics get_weights history input input_dtype input_spec jit_compile layers load_weights loss losses metrics "
    "metrics_names name optimizer output path predict quantize reset_metrics run_eagerly save save_weights set_weights "
    "submodules summary supports_jit supports_masking test_function test_step to_json train_function train_step trainable "
    "trainable_variables trainable_weights variable_dtype variables weights torch_params stop_training stateless_call "
    "symbolic_call non_trainable_weights non_trainable_variables predict_function name_scope ";

}  // namespace

bool is_free(const std::string& name) { return may_be_attribute(name) && names_of_layers.find(" " + name + " ") == std::string_view::npos; }

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

KerasScope::KerasScope(KerasContext& context, std::size_t index, std::string name)
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

bool KerasScope::trains() const {
  return std::any_of(steps_.begin(), steps_.end(), [&](const StepItems& items) {
    return is_run(items) && std::any_of(items.items.begin(), items.items.end(), [&](const Item& item) { return trains_item(items, item); });
  });
}

std::string KerasScope::write(int use) {
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

// ---- names ----------------------------------------------------------------------------------------------------------

std::size_t KerasScope::main_item(const StepItems& items) {
  for (std::size_t i = 0; i < items.items.size(); ++i)
    for (const auto& [use, seen] : items.items[i].seen)
      if (!seen.node->weights.empty()) return i;
  for (std::size_t i = 0; i < items.items.size(); ++i)
    if (items.items[i].key == "=0") return i;
  return 0;
}

void KerasScope::name_attributes() {
  Names taken;
  for (const StepItems& items : steps_) {
    attributes_.emplace_back();
    layer_names_.emplace_back();
    const Step* step = step_of(items);
    const std::string path = !step              ? "output"
                             : items.repeat < 0 ? step->layer->name
                                                : fmt::format("{}.{}", step->layer->name, items.repeat);
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

NameOf KerasScope::kept() {
  return [this](std::string_view param) {
    const std::string& name = params_.at(std::string(param));
    std::string attribute = name;
    while (!is_free(attribute) || !names_of_attributes_.free(attribute)) attribute += "_";
    kept_[attribute] = name;
    return "self." + attribute;
  };
}

// ---- what holds in every use ----------------------------------------------------------------------------------------

std::vector<const KerasNode*> KerasScope::classes(const Item& item) {
  std::vector<const KerasNode*> list;
  for (const auto& [use, seen] : item.seen)
    if (std::none_of(list.begin(), list.end(), [&](const KerasNode* n) { return n->layer == seen.node->layer; })) list.push_back(seen.node);
  std::stable_sort(list.begin(), list.end(),
                   [](const KerasNode* a, const KerasNode* b) { return a->when.find("==") < b->when.find("=="); });
  return list;
}

bool KerasScope::conditioned(const StepItems& items, const Item& item) const {
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

std::vector<const KerasNode*> KerasScope::written_classes(const StepItems& items, const Item& item) const {
  const auto own = item.seen.find(use_);
  const std::vector<const KerasNode*> all = classes(item);
  const bool runs = items.results.contains(use_);
  if (all.size() == 1 && (everywhere(items, item) || !runs)) return all;
  if (conditioned(items, item)) return all;
  if (own != item.seen.end()) return {own->second.node};
  return runs ? std::vector<const KerasNode*>{} : std::vector<const KerasNode*>{all[0]};
}

const Seen& KerasScope::seen_of(const Item& item, const std::string& layer) const {
  const auto own = item.seen.find(use_);
  if (own != item.seen.end() && own->second.node->layer == layer) return own->second;
  for (const auto& [use, seen] : item.seen)
    if (seen.node->layer == layer) return seen;
  WHERRY_CHECK(false, "no use has the layer {}", layer);
}

bool KerasScope::open(const StepItems& items, const Item& item, const std::string& layer, const KerasEntry& entry) const {
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

const KerasValue& KerasScope::settled(const Item& item, const std::string& layer, const KerasEntry& entry) const {
  if (entry.either)
    for (const auto& [use, seen] : item.seen)
      for (const KerasEntry& other : seen.node->config)
        if (seen.node->layer == layer && other.name == entry.name && !other.either) return other.value;
  return entry.value;
}

bool KerasScope::is_run(const StepItems& items) const {
  if (items.repeat < 0 || items.results.contains(use_)) return true;
  const std::vector<std::size_t> all = repetitions(items.step);
  return std::none_of(all.begin(), all.end(), [&](std::size_t s) { return steps_[s].results.contains(use_); });
}

bool KerasScope::left_out(const StepItems& items, const Item& item, const std::string& layer, const KerasEntry& entry) const {
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

std::string KerasScope::entry_text(const StepItems& items, const Item& item, const std::string& layer, const KerasEntry& entry,
                                   const NameOf& names) {
  if (!open(items, item, layer, entry)) return keras_text(entry.name, settled(item, layer, entry));
  const Step& step = *step_of(items);
  const bool pairs = std::any_of(item.seen.begin(), item.seen.end(),
                                 [&](const auto& seen) { return gives_ends(step, entry.said, scope_.uses[at(seen.first)]); });
  if (pairs) define(sides_source);
  return said_text(step, entry.said, names, pairs);
}

void KerasScope::define(std::string_view definition) {
  PythonText text;
  text.raw(definition);
  if (std::find(context_.definitions.begin(), context_.definitions.end(), text.text()) == context_.definitions.end())
    context_.definitions.push_back(text.text());
}

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
