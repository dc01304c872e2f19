#include "export/source/torch_scope.h"

#include "base/check.h"
#include "base/text.h"
#include "export/source/python_text.h"
#include "export/source/torch_tree.h"
#include "ir/constants.h"
#include "ops/source_helpers.h"

#include <fmt/format.h>

#include <algorithm>

namespace wherry::source {

namespace {

bool is_weight(const Input& input) { return input.role == Role::parameter || input.role == Role::optional_parameter; }

class TorchScope {
 public:
  TorchScope(TorchContext& context, std::size_t index)
      : context_(context), index_(index), scope_(context.program.scopes[index]), params_(context.params[index]) {
    variables_ = name_variables(scope_, names_);
    choose_forms();
    tree_ = ModuleTree::of(scope_, modules_);
  }

  std::string write() {
    PythonText forward = write_forward();  // first: it tells which parameters are kept
    PythonText out;
    const bool chain = is_sequential();
    out.open(fmt::format("class {}(nn.{}):", context_.classes[index_], chain ? "Sequential" : "Module"));
    docstring(out);
    write_init(out, chain);
    return out.text() + (chain ? "" : "\n" + forward.text());
  }

 private:
  // ---- forms: modules and expressions -------------------------------------------------------------------------------

  void choose_forms() {
    const std::size_t count = scope_.steps.size();
    modules_.assign(count, true);
    bool others = false;
    for (const Step& step : scope_.steps) others |= step.block >= 0 || (step.op && !slot_of(context_.program, step).torch_module.empty());
    std::map<std::string, int> written;  // operators that stand as expressions: how their layers would be called
    std::map<std::string, bool> settled;
    std::size_t inline_steps = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const Step& step = scope_.steps[i];
      slots_.push_back(step.op ? slot_of(context_.program, step) : SourceSlot{});
      if (!step.op) continue;
      if (needs_weights_of_others(step)) {
        modules_[i] = step.owns_weights;
        continue;
      }
      if (!slots_[i].torch_module.empty() || !exists(step)) continue;
      const std::string op(step.op->name);
      const auto [it, first] = written.emplace(op, 0);
      const std::string natural = first ? op : fmt::format("{}_{}", op, it->second + 1);
      const bool has_constants = std::any_of(step.inputs.begin(), step.inputs.end(), [](const Ref& r) { return r.kind == Ref::weight; });
      const bool expression = step.layer->name == natural && !settled[op] && !step.layer->repeat;
      if (expression || (has_constants && !step.layer->repeat)) {
        modules_[i] = false, ++inline_steps;
        if (!first) ++it->second;
        settled[op] = step.layer->when.has_value();  // whether the next is called add or add_1 differs between uses
      }
    }
    const bool alone = inline_steps == 1 && !others && count == 1 && scope_.block;  // the importer would give it the block's path
    for (std::size_t i = 0; alone && i < count; ++i) modules_[i] = true;
    report_missing();
  }

  void report_missing() const {
    for (std::size_t i = 0; i < scope_.steps.size(); ++i) {
      const Step& step = scope_.steps[i];
      if (!step.op) continue;
      const bool missing = step.owns_weights ? slots_[i].torch_module.empty() : slots_[i].torch.empty() && slots_[i].torch_module.empty();
      if (missing)
        context_.diagnostics.add({.code = "E202",
                                  .message = fmt::format("operator {} has no PyTorch source", step.op->name),
                                  .at = step.nodes.empty() ? step.layer->name : step.nodes[0]->where()});
    }
  }

  static bool exists(const Step& step) { return step.on; }

  // Some weight is another layer's, or an input of the layer.
  static bool needs_weights_of_others(const Step& step) {
    if (!step.layer->weights.empty()) return true;
    return std::any_of(step.slots.begin(), step.slots.end(),
                       [&](int slot) { return is_weight(step.op->inputs[static_cast<std::size_t>(slot)]); });
  }

  // ---- names --------------------------------------------------------------------------------------------------------

  std::string local(std::string_view param) const {
    if (param == "index") return "index";
    return params_.at(std::string(param));
  }
  NameOf locals() const {
    return [this](std::string_view param) { return local(param); };
  }
  // In forward: what __init__ keeps.
  NameOf kept() {
    return [this](std::string_view param) { return param == "index" ? "index" : "self." + keep(local(param)); };
  }
  std::string keep(const std::string& param) {
    std::string attribute = param;
    while (!may_be_attribute(attribute) ||
           std::any_of(tree_->children.begin(), tree_->children.end(), [&](const auto& c) { return c->segment == attribute; }))
      attribute += "_";
    kept_[attribute] = param;
    return attribute;
  }

  // ---- constructors -------------------------------------------------------------------------------------------------

  std::string constructor(int index) {
    const Step& step = scope_.steps[static_cast<std::size_t>(index)];
    if (step.block >= 0) {
      const auto block = static_cast<std::size_t>(step.block);
      return fmt::format("{}({})", context_.classes[block],
                         block_arguments(context_.program.scopes[block], step, context_.params[block], locals()));
    }
    const SourceSlot& slot = slots_[static_cast<std::size_t>(index)];
    use_helpers(slot);
    const std::string text = slot.torch_module.empty() ? layer_class_call(step, slot) : filled(step, slot.torch_module, locals(), {});
    const std::vector<std::string> others = weights_of_others(step);
    if (others.empty()) return text;
    use_helper(ops::torch_text::without);
    return fmt::format("without({}, {})", text, join(others, ", "));
  }

  static std::vector<std::string> weights_of_others(const Step& step) {
    std::vector<std::string> names;
    for (const Input& input : step.op->inputs)
      if (is_weight(input) && !step.owns(input.name)) names.push_back(python_string(input.name));
    return names;
  }

  // A slot's text: inputs by `inputs`, attributes as the layer says them.
  std::string filled(const Step& step, std::string_view slot, const NameOf& names, const std::map<std::string, std::string>& inputs) const {
    return filled_slot(
        slot,
        [&](std::string_view hole) -> std::optional<std::string> {
          if (const auto it = inputs.find(std::string(hole)); it != inputs.end()) return it->second;
          return argument_text(step, hole, "torch.", names);
        },
        [&](std::string_view hole) { return default_text(*step.op, hole, "torch."); });
  }

  void use_helpers(const SourceSlot& slot) {
    for (const std::string_view helper : slot.torch_helpers) use_helper(helper);
  }
  void use_helper(std::string_view helper) {
    PythonText text;
    text.raw(helper);
    if (std::find(context_.helpers.begin(), context_.helpers.end(), text.text()) == context_.helpers.end())
      context_.helpers.push_back(text.text());
  }

  // ---- operators as modules: so that a layer keeps its name ---------------------------------------------------------

  std::string layer_class_call(const Step& step, const SourceSlot& slot) {
    const std::string& name = layer_class(step, slot);
    std::vector<std::string> arguments;
    for (const std::string& hole : attributes_in(step, slot.torch))
      if (const std::optional<std::string> text = argument_text(step, hole, "torch.", locals()))
        arguments.push_back(fmt::format("{}={}", python_name(hole), *text));
    return fmt::format("{}({})", name, join(arguments, ", "));
  }

  static std::vector<std::string> attributes_in(const Step& step, std::string_view slot) {
    std::vector<std::string> names;
    for (const std::string& hole : holes_of(slot))
      if (!is_input(*step.op, hole) && std::find(names.begin(), names.end(), hole) == names.end()) names.push_back(hole);
    const auto required = [&](const std::string& n) { return default_text(*step.op, n, "") == "None" && !has_default(*step.op, n); };
    std::stable_partition(names.begin(), names.end(), required);
    return names;
  }
  static bool has_default(const OpDef& op, const std::string& name) {
    const int at = op.attr_index(name);
    return at >= 0 && op.attrs[static_cast<std::size_t>(at)].fallback.has_value();
  }

  const std::string& layer_class(const Step& step, const SourceSlot& slot) {
    const std::string key = fmt::format("{}: {}", step.op->name, slot.torch);
    const auto [it, fresh] = context_.layer_class_names.emplace(key, "");
    if (!fresh) return it->second;
    it->second = context_.module_names.unique(class_name(step.op->name));
    const std::vector<std::string> attributes = attributes_in(step, slot.torch);
    PythonText out;
    out.open(fmt::format("class {}(nn.Module):", it->second));
    const std::string doc(step.op->doc.substr(0, step.op->doc.find(". ")));
    out.docstring(doc.ends_with('.') ? doc : doc + ".");
    out.blank();
    if (!attributes.empty()) {
      std::vector<std::string> parts = {"self"};
      for (const std::string& a : attributes)
        parts.push_back(has_default(*step.op, a) ? fmt::format("{}={}", python_name(a), default_text(*step.op, a, "torch."))
                                                 : python_name(a));
      out.open(fmt::format("def __init__({}):", join(parts, ", ")));
      out.statement("super().__init__()");
      for (const std::string& a : attributes) out.statement(fmt::format("self.{} = {}", python_name(a), python_name(a)));
      out.close();
      out.blank();
    }
    std::vector<std::string> parts = {"self"};
    std::map<std::string, std::string> holes;
    for (const Input& input : step.op->inputs) {
      const std::string name = python_name(input.name);
      holes[std::string(input.name)] = name;
      if (input.role == Role::variadic)
        parts.push_back("*" + name);
      else if (input.role == Role::tensor)
        parts.push_back(name);
      else if (input.role == Role::optional)
        parts.push_back(name + "=None");
      else
        holes[std::string(input.name)] = "None";
    }
    out.open(fmt::format("def forward({}):", join(parts, ", ")));
    out.statement("return " + filled_slot(slot.torch,
                                          [&](std::string_view hole) -> std::optional<std::string> {
                                            const auto input = holes.find(std::string(hole));
                                            return input != holes.end() ? input->second : "self." + python_name(hole);
                                          },
                                          {}));
    context_.layer_classes.emplace_back(key, out.text());
    return it->second;
  }

  // ---- __init__ -----------------------------------------------------------------------------------------------------

  // The class is a Sequential itself: its layers are 0, 1, 2, … one after the other.
  bool is_sequential() const {
    const bool all = std::all_of(modules_.begin(), modules_.end(), [](bool m) { return m; });
    if (!all || !tree_->numbered() || scope_.inputs.size() != 1 || scope_.outputs.size() != 1 || scope_.steps.empty()) return false;
    const LastUses last(scope_);
    for (std::size_t i = 0; i < scope_.steps.size(); ++i) {
      const Step& step = scope_.steps[i];
      if (step.layer->when || step.layer->repeat || step.list || step.inputs.size() != 1 || last.takers[i] != 1) return false;
      const Ref& from = step.inputs[0];
      if (i == 0 ? from.kind != Ref::input : from.kind != Ref::step || from.index != static_cast<int>(i) - 1) return false;
      if (tree_->children[i]->step != static_cast<int>(i) || !tree_->children[i]->children.empty()) return false;
    }
    const Ref& out = scope_.outputs[0].second;
    return out.kind == Ref::step && out.index == static_cast<int>(scope_.steps.size()) - 1 && kept_.empty() && scope_.block;
  }

  void docstring(PythonText& out) const {
    std::map<std::string, std::string> inputs;
    for (std::size_t i = 0; i < scope_.inputs.size(); ++i) inputs[scope_.inputs[i]] = variables_.inputs[i];
    const std::string types = signature(scope_, inputs, params_);
    const std::string summary = !scope_.doc.empty() ? scope_.doc : scope_.block ? scope_.name + "." : "The model " + scope_.name + ".";
    out.docstring(summary, types.empty() ? std::vector<std::string>{} : filled_rows(types, out.room()));
    out.blank();
  }
  static std::vector<std::string> filled_rows(const std::string& words, int room) {
    std::vector<std::string> rows = source::filled(words, room - 4);
    for (std::size_t i = 1; i < rows.size(); ++i) rows[i] = "    " + rows[i];
    return rows;
  }

  void write_init(PythonText& out, bool chain) {
    std::vector<std::pair<std::string, std::string>> late;
    std::vector<std::string> parts = block_parameters(scope_, params_, late);
    parts.insert(parts.begin(), "self");
    out.open(fmt::format("def __init__({}):", join(parts, ", ")));
    for (const auto& [name, value] : late) {
      out.open(fmt::format("if {} is None:", name));
      out.statement(fmt::format("{} = {}", name, value));
      out.close();
    }
    if (chain) {
      std::vector<std::string> layers;
      for (std::size_t i = 0; i < scope_.steps.size(); ++i) layers.push_back(constructor(static_cast<int>(i)));
      out.statement(fmt::format("super().__init__({})", join(layers, ", ")));
      return;
    }
    out.statement("super().__init__()");
    for (const auto& [attribute, param] : kept_) out.statement(fmt::format("self.{} = {}", attribute, param));
    for (const auto& child : tree_->children) write_module(out, *child);
    for (const auto& [attribute, condition] : flags_) out.statement(fmt::format("self.{} = {}", attribute, condition));
    std::set<std::string> made;
    for (const auto& [key, value] : weights_) write_weight(out, key, *value, made);
  }

  void write_module(PythonText& out, const ModuleTree& tree) {
    if (tree.kind == ModuleTree::sequence)
      return write_guarded(out, tree, sequence(tree), scope_.steps[static_cast<std::size_t>(tree.first)]);
    if (tree.step >= 0) {
      const Step& step = scope_.steps[static_cast<std::size_t>(tree.step)];
      if (exists(step)) {
        if (step.layer->repeat)
          write_repeated(out, tree, step);
        else
          write_guarded(out, tree, constructor(tree.step), step);
      }
    } else {
      out.statement(fmt::format("{} = nn.Module{}()", tree.access, tree.kind == ModuleTree::dict ? "Dict" : ""));
    }
    for (const auto& child : tree.children) write_module(out, *child);
  }

  std::string condition(const Step& step, const NameOf& names) const { return python_value(*step.layer->when, names); }

  // Where `when` does not hold, the module gives what it takes.
  void write_guarded(PythonText& out, const ModuleTree& tree, const std::string& module, const Step& step) {
    if (!scope_.block && !step.on) return;
    const bool guarded = step.layer->when && scope_.block;
    const bool unary = step.inputs.size() == 1;
    const std::string otherwise = unary ? "nn.Identity()" : "None";
    const std::string text = !guarded ? module : fmt::format("{} if {} else {}", module, condition(step, locals()), otherwise);
    const std::string statement = fmt::format("{} = {}", tree.access, text);
    if (!guarded || static_cast<int>(statement.size()) <= out.room()) return out.statement(statement);
    out.statement(fmt::format("{} = {}", tree.access, otherwise));
    out.open(fmt::format("if {}:", condition(step, locals())));
    out.statement(fmt::format("{} = {}", tree.access, module));
    out.close();
  }

  void write_repeated(PythonText& out, const ModuleTree& tree, const Step& step) {
    out.statement(fmt::format("{} = nn.{}()", tree.access, one_after_the_other(step, tree.step) ? "Sequential" : "ModuleList"));
    if (step.layer->when && scope_.block) out.open(fmt::format("if {}:", condition(step, locals())));
    const bool indexed = uses_index(step);
    out.open(fmt::format("for {} in range({}):", indexed ? "index" : "_", python_value(*step.layer->repeat, locals())));
    out.statement(fmt::format("{}.append({})", tree.access, constructor(tree.step)));
    out.close();
    if (step.layer->when && scope_.block) out.close();
  }

  static bool mentions_index(const TextValue& value) {
    if (value.kind == TextValue::string) return value.string_value.find("$index") != std::string::npos;
    return std::any_of(value.items.begin(), value.items.end(), mentions_index);
  }
  static bool uses_index(const Step& step) {
    return std::any_of(step.layer->args.begin(), step.layer->args.end(), [](const auto& arg) { return mentions_index(arg.second); });
  }

  // A repeated layer that is a Sequential: one input, and nothing takes a result between.
  bool one_after_the_other(const Step& step, int index) const {
    const auto between = [&](const Ref& ref) { return ref.kind == Ref::step && ref.index == index && ref.repeat >= 0; };
    for (const Step& other : scope_.steps)
      if (std::any_of(other.inputs.begin(), other.inputs.end(), between)) return false;
    for (const auto& [name, ref] : scope_.outputs)
      if (between(ref)) return false;
    return step.inputs.size() == 1 && !step.list;
  }

  std::string sequence(const ModuleTree& tree) {
    std::vector<std::string> values;
    for (const auto& child : tree.children)
      values.push_back(child->kind == ModuleTree::sequence ? sequence(*child) : constructor(child->step));
    if (tree.numbered()) return fmt::format("nn.Sequential({})", join(values, ", "));
    const bool words = std::all_of(tree.children.begin(), tree.children.end(), [](const auto& c) { return may_be_attribute(c->segment); });
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = words ? fmt::format("{}={}", tree.children[i]->segment, values[i])
                        : fmt::format("{}: {}", python_string(tree.children[i]->segment), values[i]);
    const std::string list = join(values, ", ");
    return words ? fmt::format("nn.Sequential(OrderedDict({}))", list) : fmt::format("nn.Sequential(OrderedDict({{{}}}))", list);
  }

  // ---- weights that no operator owns --------------------------------------------------------------------------------

  // The weight behind a key as the text writes it: relative to the scope.
  std::string relative_key(const std::string& written, const Step& step) const {
    if (written.starts_with('.')) return written.substr(1);
    if (scope_.block)
      context_.diagnostics.add({.code = "E202",
                                .message = fmt::format("weight '{}' is taken from outside of its block {}", written, scope_.name),
                                .at = step.layer->name,
                                .next = "name it relative to the block ('.key'), or give it to the block as an input"});
    return written;
  }

  std::string weight_of(const Step& step, std::string_view name) {
    for (const auto& [key, where] : step.layer->weights)
      if (key.empty() || key == name)
        return weight_access(relative_key(where.string_value, step) + (key.empty() ? "." + std::string(name) : ""));
    return weight_access(step.layer->name + "." + std::string(name));
  }

  std::string named_weight(const Ref& ref, const Step& step) {
    const std::string key = relative_key(ref.value->find("weight")->string_value, step);
    weights_.emplace(key, ref.value);
    return weight_access(key);
  }

  // A module, as an expression. `made` has those that no layer is in, and takes more of them.
  std::string owner_of(PythonText& out, const std::string& path, std::set<std::string>& made) const {
    if (path.empty()) return "self";
    const std::size_t dot = path.rfind('.');
    const std::string outer = owner_of(out, dot == std::string::npos ? "" : path.substr(0, dot), made);
    if (!has_module(path) && made.insert(path).second)
      out.statement(fmt::format("{}.add_module({}, nn.Module())", outer, python_string(path.substr(dot + 1))));
    const std::vector<std::string> segments = split(path, '.');
    const bool attributes = std::all_of(segments.begin(), segments.end(), may_be_attribute);
    return attributes ? "self." + path : fmt::format("self.get_submodule({})", python_string(path));
  }

  void write_weight(PythonText& out, const std::string& key, const TextValue& written, std::set<std::string>& made) const {
    if (is_layers_own(key)) return;
    const std::optional<Type> type = parse_type(written.find("type")->string_value);
    const std::size_t dot = key.rfind('.');
    const std::string owner = owner_of(out, dot == std::string::npos ? "" : key.substr(0, dot), made);
    const std::string name = key.substr(dot + 1), sizes = python_literal(wherry::sizes(type->shape));
    const bool trained = is_float(type->dtype);
    const std::string value =
        trained ? fmt::format("nn.Parameter(0.02 * torch.randn({}{}))", sizes, dtype_argument(type->dtype))
                : fmt::format("torch.zeros({}, dtype=torch.{})", sizes, type->dtype == DType::boolean ? "bool" : wherry::name(type->dtype));
    out.statement(fmt::format("{}.register_{}({}, {})", owner, trained ? "parameter" : "buffer", python_string(name), value));
  }
  static std::string dtype_argument(DType dtype) { return dtype == DType::float32 ? "" : fmt::format(", dtype=torch.{}", name(dtype)); }

  bool has_module(const std::string& path) const {
    const ModuleTree* at = tree_.get();
    for (const std::string& segment : split(path, '.')) {
      const auto it = std::find_if(at->children.begin(), at->children.end(), [&](const auto& child) { return child->segment == segment; });
      if (it == at->children.end()) return false;
      at = it->get();
    }
    return true;
  }
  bool is_layers_own(const std::string& key) const {
    const std::size_t dot = key.rfind('.');
    return dot != std::string::npos && std::any_of(scope_.steps.begin(), scope_.steps.end(), [&](const Step& step) {
             if (step.layer->name != key.substr(0, dot) || !step.op) return false;
             const int input = step.op->input_index(key.substr(dot + 1));
             return input >= 0 && is_weight(step.op->inputs[static_cast<std::size_t>(input)]);
           });
  }

  // ---- forward ------------------------------------------------------------------------------------------------------

  PythonText write_forward() {
    PythonText out;
    std::vector<std::string> parts = {"self"};
    parts.insert(parts.end(), variables_.inputs.begin(), variables_.inputs.end());
    out.indent();
    out.open(fmt::format("def forward({}):", join(parts, ", ")));
    alias_.assign(scope_.steps.size(), std::nullopt);
    for (std::size_t i = 0; i < scope_.steps.size();) {
      if (const ModuleTree* run = tree_->sequence_at(static_cast<int>(i))) {
        write_call(out, run->access, static_cast<int>(i), run->last);
        i = static_cast<std::size_t>(run->last) + 1;
      } else {
        write_step(out, static_cast<int>(i));
        ++i;
      }
    }
    std::vector<std::string> results;
    for (const auto& [name, ref] : scope_.outputs) results.push_back(value(ref, nullptr));
    if (results.size() == 1) {
      out.statement("return " + results[0]);
    } else if (scope_.block) {
      out.statement("return " + join(results, ", "));
    } else {
      for (std::size_t i = 0; i < results.size(); ++i)
        results[i] = fmt::format("{}: {}", python_string(scope_.outputs[i].first), results[i]);
      out.statement(fmt::format("return {{{}}}", join(results, ", ")));
    }
    return out;
  }

  const Ref& followed(const Ref& ref) const {
    const Ref* at = &ref;
    while (at->kind == Ref::step && alias_[static_cast<std::size_t>(at->index)]) at = &*alias_[static_cast<std::size_t>(at->index)];
    return *at;
  }

  std::string value(const Ref& ref, const Step* step) {
    switch (ref.kind) {
      case Ref::absent: return "None";
      case Ref::input:
      case Ref::step: return variables_.text(scope_, followed(ref));
      case Ref::number: return python_value(*ref.value, kept());
      case Ref::constant: return constant(*ref.value, *step);
      case Ref::weight: return named_weight(ref, *step);
    }
    return "";
  }

  std::string constant(const TextValue& written, const Step& step) {
    std::optional<DType> dtype;
    if (const TextValue* word = written.find("dtype")) dtype = parse_dtype(word->string_value);
    const ConstantText read = parse_constant(*written.find("constant"), dtype);
    WHERRY_CHECK(read.tensor, "a constant that flatten has read");
    const DType kind = read.tensor->dtype();
    std::string device;
    for (const Ref& ref : step.inputs)
      if (device.empty() && (ref.kind == Ref::input || ref.kind == Ref::step))
        device = fmt::format(", device={}.device", value(ref, &step));
    const std::string variable = names_.unique("constant");
    constants_.push_back(fmt::format("{} = torch.tensor({}, dtype=torch.{}{})", variable, lists(*written.find("constant")),
                                     kind == DType::boolean ? "bool" : name(kind), device));
    return variable;
  }
  static std::string lists(const TextValue& value) {
    if (value.kind != TextValue::list) return python_value(value, {});
    std::vector<std::string> items;
    for (const TextValue& item : value.items) items.push_back(lists(item));
    return fmt::format("[{}]", join(items, ", "));
  }

  // The statement, behind those that make its constants.
  void write(PythonText& out, const std::string& statement) {
    for (const std::string& constant : constants_) out.statement(constant);
    constants_.clear();
    out.statement(statement);
  }

  void write_call(PythonText& out, const std::string& access, int first, int last) {
    const Step& step = scope_.steps[static_cast<std::size_t>(first)];
    if (!scope_.block && !step.on) {
      for (int i = first; i <= last; ++i) alias_[static_cast<std::size_t>(i)] = scope_.steps[static_cast<std::size_t>(i)].handed_on;
      return;
    }
    out.statement(fmt::format("{} = {}({})", variables_.steps[static_cast<std::size_t>(last)], access, value(step.inputs[0], &step)));
  }

  void write_step(PythonText& out, int index) {
    const auto at = static_cast<std::size_t>(index);
    const Step& step = scope_.steps[at];
    if (!scope_.block && !step.on && !(step.layer->repeat && !step.layer->when)) {
      alias_[at] = step.handed_on;
      return;
    }
    const std::string& result = variables_.steps[at];
    const ModuleTree* module = modules_[at] && exists(step) ? tree_->find(index) : nullptr;
    if (step.layer->repeat) return write_repeat(out, step, index, module);
    const bool identity = module && step.inputs.size() == 1;  // where `when` does not hold the module is nn.Identity
    const bool own_module = module && !(step.op && needs_weights_of_others(step));
    const std::string text = own_module ? call(module->access, step, index) : expression(step, index);
    if (!step.layer->when || !scope_.block || (identity && own_module)) {
      if (text != result) write(out, fmt::format("{} = {}", result, text));
      return;
    }
    const std::string flag = own_module ? module->access : "self." + flag_of(step), otherwise = value(step.handed_on, &step);
    const std::string row = fmt::format("{} = {} if {} else {}", result, text, flag, otherwise);
    if (static_cast<int>(row.size()) <= out.room()) return write(out, row);
    out.open(fmt::format("if {}:", flag));
    write(out, fmt::format("{} = {}", result, text));
    out.close();
    if (otherwise == result) return;
    out.open("else:");
    out.statement(fmt::format("{} = {}", result, otherwise));
    out.close();
  }

  std::string flag_of(const Step& step) {
    const std::string name = python_name("has_" + step.layer->name);
    const auto it = std::find_if(flags_.begin(), flags_.end(), [&](const auto& f) { return f.first == name; });
    if (it == flags_.end()) flags_.emplace_back(name, condition(step, locals()));
    return name;
  }

  std::string call(const std::string& access, const Step& step, int) {
    std::vector<std::string> inputs;
    for (const Ref& ref : step.inputs) inputs.push_back(value(ref, &step));
    while (!inputs.empty() && inputs.back() == "None") inputs.pop_back();
    return fmt::format("{}({})", access, join(inputs, ", "));
  }

  std::string expression(const Step& step, int index) {
    const SourceSlot& slot = slots_[static_cast<std::size_t>(index)];
    use_helpers(slot);
    std::map<std::string, std::string> inputs;
    std::vector<std::string> list;
    for (std::size_t i = 0; i < step.inputs.size(); ++i) {
      const Input& input = step.op->inputs[static_cast<std::size_t>(step.slots[i])];
      const std::string text = value(step.inputs[i], &step);
      if (input.role == Role::variadic) {
        list.push_back(text);
        inputs[std::string(input.name)] = fmt::format("[{}]", join(list, ", "));
      } else {
        inputs[std::string(input.name)] = text;
      }
    }
    for (const Input& input : step.op->inputs) {
      const std::string name(input.name);
      if (inputs.contains(name)) continue;
      const bool missing = !is_weight(input) ||
                           (!step.nodes.empty() && step.nodes[0]->inputs[static_cast<std::size_t>(step.op->input_index(name))] == absent);
      inputs[name] = missing ? "None" : weight_of(step, name);
    }
    return filled(step, slot.torch, kept(), inputs);
  }

  void write_repeat(PythonText& out, const Step& step, int index, const ModuleTree* module) {
    const std::string& result = variables_.steps[static_cast<std::size_t>(index)];
    if (!module) {
      if (const std::string same = value(step.handed_on, &step); same != result) out.statement(fmt::format("{} = {}", result, same));
      return;
    }
    if (one_after_the_other(step, index))
      return out.statement(fmt::format("{} = {}({})", result, module->access, value(step.inputs[0], &step)));
    const std::string first = step.inputs.empty() ? "" : value(step.inputs[0], &step);
    if (first != result) out.statement(fmt::format("{} = {}", result, first));
    out.statement(fmt::format("{}_all = []", result));
    out.open(fmt::format("for layer in {}:", module->access));
    std::vector<std::string> inputs = {result};
    for (std::size_t i = 1; i < step.inputs.size(); ++i) inputs.push_back(value(step.inputs[i], &step));
    out.statement(fmt::format("{} = layer({})", result, join(inputs, ", ")));
    out.statement(fmt::format("{}_all.append({})", result, result));
    out.close();
  }

  TorchContext& context_;
  const std::size_t index_;
  const Scope& scope_;
  const std::map<std::string, std::string>& params_;
  Names names_;  // of forward
  Variables variables_;
  std::vector<SourceSlot> slots_;
  std::vector<bool> modules_;
  std::unique_ptr<ModuleTree> tree_;
  std::map<std::string, std::string> kept_;                 // attribute → parameter
  std::vector<std::pair<std::string, std::string>> flags_;  // attribute → condition
  std::map<std::string, const TextValue*> weights_;         // key → {weight, type}
  std::vector<std::string> constants_;                      // statements that the next one needs
  std::vector<std::optional<Ref>> alias_;                   // of the body's layers that are off: what stands for them
};

}  // namespace

std::string torch_scope(TorchContext& context, std::size_t scope) { return TorchScope(context, scope).write(); }

}  // namespace wherry::source
