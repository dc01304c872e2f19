// Of a class of Keras code: repeated layers and call().
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

constexpr std::int64_t most_numbers = 4096;  // of a constant that is written out
constexpr std::size_t longest_within = 48;   // an expression that stands within another one; longer ones get a name

}  // namespace

// ---- repeated layers ------------------------------------------------------------------------------------------------

std::vector<std::size_t> KerasScope::repetitions(int step) const {
  std::vector<std::size_t> list;
  for (std::size_t s = 0; s < steps_.size(); ++s)
    if (steps_[s].step == step) list.push_back(s);
  return list;
}

bool KerasScope::is_loop(int step) {
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

void KerasScope::write_loop_attribute(PythonText& out, std::size_t s) {
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

std::string KerasScope::loop_attribute(const Step& step) const {
  std::string name = python_name(step.layer->name);
  while (!is_free(name) || !names_of_attributes_.free(name)) name += "_";
  return name;
}

bool KerasScope::takes_one_of(int index) const {
  const auto one = [&](const Ref& ref) { return ref.kind == Ref::step && ref.index == index && ref.repeat >= 0; };
  for (const Step& step : scope_.steps)
    if (std::any_of(step.inputs.begin(), step.inputs.end(), one)) return true;
  return std::any_of(scope_.outputs.begin(), scope_.outputs.end(), [&](const auto& output) { return one(output.second); });
}

// ---- call -----------------------------------------------------------------------------------------------------------

const Ref& KerasScope::followed(const Ref& ref) const {
  const Ref* to = &ref;
  while (to->kind == Ref::step && alias_[at(to->index)]) to = &*alias_[at(to->index)];
  return *to;
}

std::string KerasScope::number_or_constant(const StepItems& items, const Item& item, std::size_t place, const KerasTensor& tensor) {
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

const Operand& KerasScope::operand_of(const StepItems& items, const Item& item, std::size_t place) const {
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

void KerasScope::count(StepTexts& step, const Operand& operand) {
  if (operand.kind != Operand::item) return;
  const Item& item = step.items.items[at(operand.index)];
  const bool here = exists(step.items, item);
  if (here && step.takers[at(operand.index)]++ > 0) return;
  for (std::size_t i = 0; i < operands(item); ++i) count(step, operand_of(step.items, item, i));
}

std::size_t KerasScope::operands(const Item& item) const {
  const auto own = item.seen.find(use_);
  return (own == item.seen.end() ? item.seen.begin()->second : own->second).operands.size();
}

std::string KerasScope::text_of(PythonText& out, StepTexts& step, const Operand& operand, const Item* taker, std::size_t place) {
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

std::string KerasScope::word_of(const StepTexts& step, std::size_t index) const {
  const std::string& key = step.items.items[index].key;
  return python_name(key.starts_with('=') && step_of(step.items) ? step_of(step.items)->layer->name : key);
}

void KerasScope::name_long(PythonText& out, StepTexts& step, std::size_t index, std::vector<std::string>& given) {
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

std::string KerasScope::call_text(PythonText& out, StepTexts& step, std::size_t index) {
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

bool KerasScope::trains_item(const StepItems& items, const Item& item) const {
  if (!exists(items, item)) return false;
  const std::vector<const KerasNode*> all = written_classes(items, item);
  return std::any_of(all.begin(), all.end(), [&](const KerasNode* node) {
    if (!node->is_block()) return acts_in_training(*node);
    return context_.training.contains(context_.classes[at(step_of(items)->block)][use_of_block(*seen_of(item, node->layer).node)]);
  });
}

PythonText KerasScope::write_call() {
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

std::vector<Operand> KerasScope::results_of(const StepItems& items) const {
  const auto own = items.results.find(use_);
  return own == items.results.end() ? items.results.begin()->second : richer(items, own->second);
}

std::vector<Operand> KerasScope::richer(const StepItems& items, const std::vector<Operand>& own) const {
  std::vector<Operand> list = own;
  const std::vector<Operand>& rich = items.results.at(items.richest);
  for (std::size_t i = 0; i < list.size() && i < rich.size(); ++i) {
    const Operand* to = &rich[i];
    while (to->kind == Operand::item && !items.items[at(to->index)].seen.contains(use_) && conditioned(items, items.items[at(to->index)]))
      to = &items.items[at(to->index)].seen.begin()->second.operands[0];
    if (*to == list[i]) list[i] = rich[i];
  }
  return list;
}

void KerasScope::write_step(PythonText& out, std::size_t s) {
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

void KerasScope::write_result(PythonText& out, StepTexts& texts, const Step& step, const std::vector<Operand>& results) {
  const std::string& result = variables_.steps[at(texts.items.step)];
  if (step.list) {
    bool whole = !results.empty();
    for (std::size_t i = 0; i < results.size(); ++i)
      whole = whole && results[i].kind == Operand::item && results[i].index == results[0].index && results[i].output == static_cast<int>(i);
    if (whole &&
        seen_of(texts.items.items[at(results[0].index)], written_classes(texts.items, texts.items.items[at(results[0].index)])[0]->layer)
                .node->outputs.size() == results.size())
      return out.statement(fmt::format("{} = {}", result, call_text(out, texts, at(results[0].index))));
    std::vector<std::string> list;
    for (const Operand& operand : results) list.push_back(text_of(out, texts, operand, nullptr, 0));
    return out.statement(fmt::format("{} = [{}]", result, join(list, ", ")));
  }
  const std::string text = text_of(out, texts, results.at(0), nullptr, 0);
  if (text != result) out.statement(fmt::format("{} = {}", result, text));
}

std::string KerasScope::flag_of(const Step& step) {
  const std::string name = python_name("has_" + step.layer->name);
  if (std::none_of(flags_.begin(), flags_.end(), [&](const auto& f) { return f.first == name; })) flags_.emplace_back(name, guard(step));
  return name;
}

void KerasScope::write_loop(PythonText& out, std::size_t s) {
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

void KerasScope::write_return(PythonText& out, StepTexts& texts, const std::vector<Operand>& results) {
  std::vector<std::string> list;
  for (const Operand& operand : results) list.push_back(text_of(out, texts, operand, nullptr, 0));
  if (list.size() > 1 && !scope_.block) {
    for (std::size_t i = 0; i < list.size(); ++i) list[i] = fmt::format("{}: {}", python_string(scope_.outputs[i].first), list[i]);
    return out.statement(fmt::format("return {{{}}}", join(list, ", ")));
  }
  out.statement("return " + join(list, ", "));
}

void KerasScope::docstring(PythonText& out) const {
  std::map<std::string, std::string> inputs;
  for (std::size_t i = 0; i < scope_.inputs.size(); ++i) inputs[scope_.inputs[i]] = variables_.inputs[i];
  const std::string types = signature(scope_, inputs, params_, border_order);
  const std::string summary = !scope_.doc.empty() ? scope_.doc : scope_.block ? scope_.name + "." : "The model " + scope_.name + ".";
  std::vector<std::string> rows;
  if (!types.empty()) rows = filled(types, out.room() - 4);
  for (std::size_t i = 1; i < rows.size(); ++i) rows[i] = "    " + rows[i];
  out.docstring(summary, rows);
}

}  // namespace wherry::source
