// Of a class of Keras code: __init__, build and the weights.
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

// ---- constructors ---------------------------------------------------------------------------------------------------

bool KerasScope::stands_as_identity(const StepItems& items) const {
  const Step& step = *step_of(items);
  if (step.inputs.size() != 1 || step.list) return false;
  return std::all_of(items.items.begin(), items.items.end(), [&](const Item& item) {
    if (!exists(items, item)) return true;
    const Seen& seen = seen_of(item, written_classes(items, item)[0]->layer);
    return is_layer(*seen.node) && seen.operands.size() == 1 && seen.node->outputs.size() == 1;
  });
}

std::string KerasScope::constructor(std::size_t s, std::size_t i, const KerasNode& node, const std::string& name) {
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

void KerasScope::flush(PythonText& out, Conditioned& pending) const {
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

void KerasScope::write_attribute(PythonText& out, Conditioned& pending, std::size_t s, std::size_t i, std::string condition) {
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

void KerasScope::write_init(PythonText& all) {
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

bool KerasScope::has_layers(const StepItems& items) const {
  return std::any_of(items.items.begin(), items.items.end(),
                     [&](const Item& item) { return exists(items, item) && is_layer(*written_classes(items, item)[0]); });
}

// ---- weights --------------------------------------------------------------------------------------------------------

void KerasScope::name_weights() {
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

void KerasScope::refuse(const std::string& place, const std::string& message, const std::string& next) const {
  for (const Diagnostic& d : context_.diagnostics.all())  // each use would say it again
    if (d.message == message && d.at == place) return;
  context_.diagnostics.add({.code = "E202", .message = message, .at = place, .next = next});
}

const Tensor& KerasScope::weight_in_file(const std::string& key) const {
  for (const Value& value : context_.program.graph.values)
    if (value.constant && value.name == key) return *value.constant;
  WHERRY_CHECK(false, "no weight {}", key);
}

void KerasScope::write_build(PythonText& out) const {
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

std::string KerasScope::weight_text(const KerasTensor& tensor) const {
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

std::string KerasScope::shared_attribute(std::size_t s, std::size_t i) const {
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
  const std::string mine = prefix + (steps_[s].repeat < 0 ? step->layer->name : fmt::format("{}.{}", step->layer->name, steps_[s].repeat));
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

bool KerasScope::same_configuration(const KerasNode& a, const KerasNode& b) {
  const auto text_of = [](const KerasNode& node) {
    std::string all;
    for (const KerasEntry& e : node.config) all += fmt::format("{}={} ", e.name, keras_text(e.name, e.value));
    return all;
  };
  return text_of(a) == text_of(b) && a.weights.size() == b.weights.size();
}

}  // namespace wherry::source
