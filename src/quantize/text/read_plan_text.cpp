#include "base/text.h"
#include "ir/text/place.h"
#include "quantize/rules.h"
#include "quantize/text/channel_maps_file.h"
#include "quantize/text/plan_text.h"
#include "quantize/weights.h"

#include <cmath>

namespace wherry {

namespace {

constexpr double widest_bias = 1e14;  // steps: 16-bit kernels sum in 48 bits

const std::vector<std::string> section_keys = {"precision", "codes", "by", "io", "borders", "activations", "layers", "requantized"};
const std::vector<std::string> grid_keys = {"scale", "zero_point", "by", "group", "precision"};
const std::vector<std::string> layer_keys = {"granularity", "by", "precision"};

std::string shown(const TextValue& value) {
  switch (value.kind) {
    case TextValue::null: return "nothing";
    case TextValue::boolean: return value.boolean_value ? "true" : "false";
    case TextValue::integer: return std::to_string(value.integer_value);
    case TextValue::number: return text(Attr(value.number_value));
    case TextValue::string: return fmt::format("'{}'", value.string_value);
    case TextValue::list: return "a list";
    case TextValue::map: return "a map";
  }
  return "";
}

std::string shown(const Grid& grid) { return fmt::format("scale {} and zero point {}", grid.scale, grid.zero_point); }

class SectionFaults {
 public:
  SectionFaults(const Model& model, Diagnostics& diagnostics) : model_(model), diagnostics_(diagnostics) {}

  void at(int line, int column, std::string message, std::string next = {}) {
    diagnostics_.add({.code = "E811",
                      .message = std::move(message),
                      .next = std::move(next),
                      .place = place_in(model_.file.string(), model_.text_lines, line, column)});
  }
  void at_value(const TextValue& value, std::string message, std::string next = {}) {
    at(value.line, value.column, std::move(message), std::move(next));
  }
  void at_key(const TextValue& value, std::string message, std::string next = {}) {
    at(value.key_line, value.key_column, std::move(message), std::move(next));
  }

  void keys(const TextValue& map, const std::vector<std::string>& known, const std::string& where) {
    for (const auto& [key, value] : map.members)
      if (std::ranges::find(known, key) == known.end())
        at_key(value, fmt::format("{} has no key '{}'{}", where, key, did_you_mean(key, known)), "its keys are: " + join(known, ", "));
  }
  bool is_map(const TextValue& value, const std::string& what) {
    if (value.kind != TextValue::map) at_value(value, fmt::format("{} must be a map, not {}", what, shown(value)));
    return value.kind == TextValue::map;
  }
  // One of the words, or nothing after a fault.
  std::string choice(const TextValue& value, const std::string& what, const std::vector<std::string>& words) {
    if (value.kind == TextValue::string && std::ranges::find(words, value.string_value) != words.end()) return value.string_value;
    at_value(value, fmt::format("{} is {}; it must be {}", what, shown(value), join(words, " or ")));
    return {};
  }

 private:
  const Model& model_;
  Diagnostics& diagnostics_;
};

DType dtype_of(const std::string& word) {
  return word == "int16" || word == "int16x8" ? DType::int16 : word == "float32" ? DType::float32 : DType::int8;
}

class PlanReader {
 public:
  PlanReader(const TflGraph& graph, const Model& model, const Weights& codes, Diagnostics& diagnostics)
      : graph_(graph), section_(model.quantization), codes_(codes), faults_(model, diagnostics), names_(section_names(graph)) {
    for (std::size_t id = 0; id < names_.size(); ++id) ids_[names_[id]] = static_cast<int>(id);
    for (std::size_t n = 0; n < graph.nodes.size(); ++n) nodes_[names_[static_cast<std::size_t>(graph.nodes[n].outputs[0])]] = n;
  }

  WrittenPlan run() {
    if (const TextValue* v = section_.find("precision")) out_.activations = dtype_of(v->string_value);
    if (const TextValue* v = section_.find("borders"))
      out_.apply.integer_borders = faults_.choice(*v, "borders", {"float", "integer"}) == "integer";
    layers();
    activations();
    requantized();
    if (section_.find("activations")) {
      needed_grids();
      groups();
      for (std::size_t n = 0; n < graph_.nodes.size(); ++n)
        if (is_integer(n)) kernel_rules(n);
    }
    out_.channels = channel_maps_of(graph_, names_, codes_, [&](std::string fault) { at_codes(std::move(fault)); });
    for (std::size_t n = 0; n < graph_.nodes.size(); ++n)
      if (is_integer(n)) weight(n);
    missing_codes();
    return std::move(out_);
  }

 private:
  using Key = std::pair<int, DType>;
  bool is_integer(std::size_t n) const { return out_.plan.nodes[n] && *out_.plan.nodes[n] != DType::float32; }
  const std::string& name_of(int id) const { return names_[static_cast<std::size_t>(id)]; }
  const std::string& layer_name(std::size_t n) const { return name_of(graph_.nodes[n].outputs[0]); }

  // What is called so among the values that are computed with.
  std::vector<std::string> known_activations() const {
    std::vector<std::string> out;
    for (std::size_t id = 0; id < names_.size(); ++id)
      if (!graph_.tensors[id].constant) out.push_back(names_[id]);
    return out;
  }
  const std::size_t* find_node(const std::string& name, const TextValue& row) {
    const auto found = nodes_.find(name);
    if (found != nodes_.end() && is_real(graph_, graph_.nodes[found->second])) return &found->second;
    std::vector<std::string> known;
    for (const TflNode& node : graph_.nodes)
      if (is_real(graph_, node)) known.push_back(name_of(node.outputs[0]));
    faults_.at_key(row, fmt::format("the model has no layer '{}'{}", name, did_you_mean(name, known)),
                   "layers go by their first output in the TensorFlow Lite form");
    return nullptr;
  }

  void layers() {
    std::map<std::size_t, const TextValue*> rows;
    for (const TflNode& node : graph_.nodes)
      out_.plan.nodes.push_back(is_real(graph_, node) ? std::optional(out_.activations) : std::nullopt);
    if (const TextValue* v = section_.find("layers"); v && faults_.is_map(*v, "layers"))
      for (const auto& [name, row] : v->members) layer(name, row, rows);
    for (std::size_t n = 0; n < graph_.nodes.size(); ++n) {
      if (!is_integer(n)) continue;
      const TflNode& node = graph_.nodes[n];
      const BuiltinRule* rule = rule_of(node.builtin);
      const DType dtype = *out_.plan.nodes[n];
      if (rule && (dtype == DType::int8 || rule->int16)) continue;
      const std::string message =
          fmt::format("{} has no kernel for {}, which layer '{}' is to compute in", node.builtin, name(dtype), layer_name(n));
      const std::string next = fmt::format("write '{}: {{precision: float32}}' under layers", layer_name(n));
      if (rows.contains(n))
        faults_.at_value(*rows.at(n), message, next);
      else
        faults_.at_key(section_, message, next);
      out_.plan.nodes[n] = DType::float32;
    }
  }

  void layer(const std::string& name, const TextValue& row, std::map<std::size_t, const TextValue*>& rows) {
    const std::size_t* n = find_node(name, row);
    const std::string where = fmt::format("layer '{}'", name);
    if (!faults_.is_map(row, where)) return;
    faults_.keys(row, layer_keys, where);
    if (const TextValue* v = row.find("granularity")) {
      const std::string said = faults_.choice(*v, "granularity", {"channel", "tensor"});
      if (n && !said.empty()) granularity(*n, *v, said);
    }
    const TextValue* v = row.find("precision");
    if (!v) return;
    const std::string said = faults_.choice(*v, "precision", {"float32", "int8", "int16"});
    if (!n || said.empty()) return;
    out_.plan.nodes[*n] = dtype_of(said);
    rows[*n] = v;
  }

  void granularity(std::size_t n, const TextValue& value, const std::string& said) {
    const BuiltinRule* rule = weighted_rule(graph_, graph_.nodes[n]);
    if (!rule) return faults_.at_value(value, fmt::format("layer '{}' has no weights that have a granularity", layer_name(n)));
    const Sizes& sizes = tensor_at(graph_, graph_.nodes[n].inputs[static_cast<std::size_t>(rule->weight)])->sizes;
    if ((channels_of(sizes, rule->axis).count > 1) != (said == "channel"))
      faults_.at_value(value,
                       fmt::format("the weights of layer '{}' have one scale {}", layer_name(n),
                                   said == "channel" ? "for all: they have one channel" : "for each channel"),
                       "granularity tells what the codes are; it is not changed here");
  }

  void activations() {
    const TextValue* v = section_.find("activations");
    if (!v) return faults_.at_key(section_, "quantization needs the key 'activations'");
    if (!faults_.is_map(*v, "activations")) return;
    for (const auto& [name, row] : v->members) {
      const auto found = ids_.find(name);
      const int id = found == ids_.end() || !is_real_tensor(graph_, found->second) ? -1 : found->second;
      if (id < 0)
        faults_.at_key(row, fmt::format("the model has no activation '{}'{}", name, did_you_mean(name, known_activations())),
                       "activations go by their names in the TensorFlow Lite form");
      if (row.kind != TextValue::list) {
        grid(id, name, row);
        continue;
      }
      for (const TextValue& item : row.items) grid(id, name, item);
    }
  }

  void grid(int id, const std::string& name, const TextValue& row) {
    const std::string where = fmt::format("activation '{}'", name);
    if (!faults_.is_map(row, where)) return;
    faults_.keys(row, grid_keys, where);
    Choice choice{.grid = {.dtype = out_.activations}, .by = "text"};
    if (const TextValue* v = row.find("precision")) choice.grid.dtype = dtype_of(faults_.choice(*v, "precision", {"int8", "int16"}));
    const bool good = read_scale(row, where, choice.grid) & read_zero_point(row, where, choice.grid);  // both are to be told
    if (const TextValue* v = row.find("by")) {
      if (v->kind == TextValue::string)
        choice.by = v->string_value;
      else
        faults_.at_value(*v, fmt::format("by is {}; it must be a word", shown(*v)));
    }
    if (const TextValue* v = row.find("group")) {
      if (v->kind == TextValue::integer && v->integer_value >= 0 && v->integer_value < 1'000'000'000)
        choice.group = static_cast<int>(v->integer_value);
      else
        faults_.at_value(*v, fmt::format("group is {}; it must be a number from 0", shown(*v)));
    }
    if (id < 0) return;
    const Key key{id, choice.grid.dtype};
    if (!good) unread_.insert(key);
    if (out_.plan.grids.contains(key))
      return faults_.at_value(row, fmt::format("activation '{}' has two grids of {}", name, wherry::name(key.second)));
    out_.plan.grids[key] = choice;
    rows_[key] = &row;
  }

  bool read_scale(const TextValue& row, const std::string& where, Grid& grid) {
    const TextValue* v = row.find("scale");
    if (!v) {
      faults_.at_value(row, where + " needs the key 'scale'");
      return false;
    }
    const double scale = v->kind == TextValue::integer ? static_cast<double>(v->integer_value) : v->number_value;
    const bool number = v->kind == TextValue::integer || v->kind == TextValue::number;
    if (number && scale >= static_cast<double>(least_scale) && scale <= 1e30) {
      grid.scale = static_cast<float>(scale);
      return true;
    }
    faults_.at_value(*v, fmt::format("the scale of {} is {}; it must be a number from {} to 1e30", where, shown(*v), least_scale));
    return false;
  }

  bool read_zero_point(const TextValue& row, const std::string& where, Grid& grid) {
    const TextValue* v = row.find("zero_point");
    if (!v) {
      faults_.at_value(row, where + " needs the key 'zero_point'");
      return false;
    }
    const int low = grid.dtype == DType::int16 ? 0 : lowest_code(grid.dtype),
              high = grid.dtype == DType::int16 ? 0 : highest_code(grid.dtype);
    if (v->kind == TextValue::integer && v->integer_value >= low && v->integer_value <= high) {
      grid.zero_point = static_cast<int>(v->integer_value);
      return true;
    }
    faults_.at_value(
        *v, fmt::format("the zero point of {} is {}; {}", where, shown(*v),
                        low == high ? "with int16 it must be 0" : fmt::format("it must be a whole number from {} to {}", low, high)));
    return false;
  }

  void requantized() {
    const TextValue* v = section_.find("requantized");
    if (!v || !faults_.is_map(*v, "requantized")) return;
    for (const auto& [name, places] : v->members) {
      const std::size_t* n = find_node(name, places);
      if (places.kind != TextValue::list) {
        faults_.at_value(places, fmt::format("requantized must name inputs by their places, as [1], not {}", shown(places)));
        continue;
      }
      if (!n) continue;
      const TflNode& node = graph_.nodes[*n];
      for (const TextValue& place : places.items) {
        const bool is_place = place.kind == TextValue::integer && place.integer_value >= 0 &&
                              place.integer_value < static_cast<std::int64_t>(node.inputs.size());
        const int id = is_place ? node.inputs[static_cast<std::size_t>(place.integer_value)] : -1;
        const bool same_scale = rule_of(node.builtin) && rule_of(node.builtin)->kind == BuiltinRule::same_scale;
        if (same_scale && is_real_tensor(graph_, id) && !tensor_at(graph_, id)->constant && is_real_tensor(graph_, node.outputs[0]))
          out_.plan.cuts.emplace(static_cast<int>(*n), static_cast<int>(place.integer_value));
        else
          faults_.at_value(place, fmt::format("{} '{}' has no input {} that shares its output's grid", node.builtin, name, shown(place)));
      }
    }
  }

  bool is_parameter(std::size_t n, std::size_t place) const {
    const BuiltinRule* rule = weighted_rule(graph_, graph_.nodes[n]);
    return rule && (static_cast<int>(place) == rule->weight || static_cast<int>(place) == rule->bias);
  }

  void needed_grids() {
    std::map<Key, std::string> missing;
    const auto need = [&](int id, DType dtype, const std::string& whom) {
      if (is_real_tensor(graph_, id) && !out_.plan.grids.contains({id, dtype})) missing.try_emplace({id, dtype}, whom);
    };
    for (std::size_t n = 0; n < graph_.nodes.size(); ++n) {
      if (!is_integer(n)) continue;
      const TflNode& node = graph_.nodes[n];
      for (std::size_t i = 0; i < node.inputs.size(); ++i)
        if (!is_parameter(n, i)) need(node.inputs[i], *out_.plan.nodes[n], fmt::format("{} '{}' takes", node.builtin, layer_name(n)));
      for (const int id : node.outputs) need(id, *out_.plan.nodes[n], fmt::format("{} '{}' gives", node.builtin, layer_name(n)));
    }
    for (const auto& [key, whom] : missing)
      faults_.at_key(*section_.find("activations"),
                     fmt::format("activations lack '{}' in {}, which {}", name_of(key.first), name(key.second), whom),
                     fmt::format("write '{}: {{scale: …, zero_point: …}}'", name_of(key.first)));
  }

  // One grid for each group's number.
  void groups() {
    std::map<std::pair<int, DType>, Key> first;
    for (const auto& [key, choice] : out_.plan.grids) {
      if (choice.group < 0 || unread_.contains(key)) continue;
      const auto [found, is_new] = first.try_emplace({choice.group, key.second}, key);
      const Choice& other = out_.plan.grids.at(found->second);
      if (is_new || other.grid == choice.grid) continue;
      faults_.at_value(*rows_.at(key),
                       fmt::format("'{}' and '{}' are in group {} and must have one grid: found {} here, {} there", name_of(key.first),
                                   name_of(found->second.first), choice.group, shown(choice.grid), shown(other.grid)),
                       "give all of the group the same scale and zero point");
      told_.insert(key);
    }
  }

  const Grid* readable(int id, DType dtype) const {
    const Key key{id, dtype};
    return !out_.plan.grids.contains(key) || unread_.contains(key) || told_.contains(key) ? nullptr : &out_.plan.grids.at(key).grid;
  }

  void kernel_rules(std::size_t n) {
    const TflNode& node = graph_.nodes[n];
    const DType dtype = *out_.plan.nodes[n];
    const BuiltinRule& rule = *rule_of(node.builtin);
    const Grid* output = readable(node.outputs[0], dtype);
    if (!output) return;
    if (rule.kind == BuiltinRule::fixed) {
      const Grid& wanted = dtype == DType::int16 ? rule.output16 : rule.output8;
      if (!(*output == wanted))
        faults_.at_value(
            *rows_.at({node.outputs[0], dtype}),
            fmt::format("the kernel of {} gives '{}' with {}, not with {}", node.builtin, layer_name(n), shown(wanted), shown(*output)),
            "write the kernel's");
    }
    if (rule.kind != BuiltinRule::same_scale && !(node.builtin == "SUM" && dtype == DType::int16)) return;
    const auto must_equal = [&](int id) {
      const Grid* grid = is_real_tensor(graph_, id) ? readable(id, dtype) : nullptr;
      if (!grid || *grid == *output) return;
      faults_.at_value(*rows_.at({id, dtype}),
                       fmt::format("{} '{}' does not rescale: '{}' has {}, its output {}", node.builtin, layer_name(n), name_of(id),
                                   shown(*grid), shown(*output)),
                       "give both the same scale and zero point");
      told_.insert({id, dtype});
    };
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      if (!out_.plan.cuts.contains({static_cast<int>(n), static_cast<int>(i)})) must_equal(node.inputs[i]);
    for (std::size_t i = 1; i < node.outputs.size(); ++i) must_equal(node.outputs[i]);
  }

  void at_codes(std::string message, std::string next = {}) {
    if (const TextValue* v = section_.find("codes")) faults_.at_value(*v, std::move(message), std::move(next));
  }

  // nullptr after a fault, or where the file has no such tensor and none is asked for.
  const Tensor* stored(const std::string& key, DType dtype, const Sizes& sizes) {
    const auto found = codes_.find(key);
    if (found == codes_.end()) {
      missing_.push_back(key);
      return nullptr;
    }
    const Type wanted{dtype, to_shape(sizes)};
    if (found->second.dtype() == dtype && found->second.sizes() == sizes) return &found->second;
    at_codes(fmt::format("'{}' in the file of codes is {}; the model needs {}", key, text(found->second.type()), text(wanted)));
    return nullptr;
  }

  void missing_codes() {
    if (missing_.empty()) return;
    std::vector<std::string> some(missing_.begin(),
                                  missing_.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(missing_.size(), 6)));
    at_codes(fmt::format("the file of codes lacks '{}'{}", join(some, "', '"),
                         missing_.size() > some.size() ? fmt::format(" and {} more", missing_.size() - some.size()) : ""),
             "a layer without codes can only be {precision: float32}");
  }

  void weight(std::size_t n) {
    const TflNode& node = graph_.nodes[n];
    const BuiltinRule* rule = weighted_rule(graph_, node);
    if (!rule) return;
    const TflTensor& float_weight = *tensor_at(graph_, node.inputs[static_cast<std::size_t>(rule->weight)]);
    const auto bias_at = static_cast<std::size_t>(rule->bias);
    const bool has_bias = bias_at < node.inputs.size() && node.inputs[bias_at] >= 0;
    const std::int64_t channels = channels_of(float_weight.sizes, rule->axis).count;
    const Tensor* codes = stored(layer_name(n) + ".codes", DType::int8, float_weight.sizes);
    const Tensor* scales = stored(layer_name(n) + ".scales", DType::float32, {channels});
    const Tensor* bias = has_bias ? stored(layer_name(n) + ".bias", DType::float64, {channels}) : nullptr;
    if (!codes || !scales || (has_bias && !bias)) return;
    QuantizedWeight out{codes->contiguous(), {}, {}};
    for (const float scale : scales->contiguous().as<float>()) out.scales.push_back(scale);
    if (bias)
      for (const double b : bias->contiguous().as<double>()) out.bias.push_back(b);
    if (!check_numbers(n, out)) return;
    const auto grid = out_.plan.grids.find({node.inputs[static_cast<std::size_t>(rule->input)], *out_.plan.nodes[n]});
    if (grid == out_.plan.grids.end()) return;  // told already
    if (has_bias) fit_bias(out, grid->second.grid, rule->axis);
    check_bias(n, out, grid->second.grid);
    out_.plan.weights[static_cast<int>(n)] = std::move(out);
  }

  bool check_numbers(std::size_t n, const QuantizedWeight& weight) {
    const auto codes = weight.codes.as<std::int8_t>();
    const bool codes_good = std::ranges::all_of(codes, [](std::int8_t c) { return c >= -127; });
    const bool scales_good = std::ranges::all_of(weight.scales, [](float s) { return s >= 1e-12F && s <= 1e30F; });
    const bool bias_good = std::ranges::all_of(weight.bias, [](double b) { return std::isfinite(b); });
    if (!codes_good) at_codes(fmt::format("'{}.codes' has -128: weights go from -127 to 127", layer_name(n)));
    if (!scales_good) at_codes(fmt::format("'{}.scales' has numbers that are no scales: they go from 1e-12 to 1e30", layer_name(n)));
    if (!bias_good) at_codes(fmt::format("'{}.bias' has NaN or infinite numbers", layer_name(n)));
    return codes_good && scales_good && bias_good;
  }

  void check_bias(std::size_t n, const QuantizedWeight& weight, const Grid& input) {
    const double most = input.dtype == DType::int16 ? widest_bias : 2147483647.0;
    for (std::size_t c = 0; c < weight.bias.size(); ++c) {
      const double steps = std::abs(weight.bias[c]) / (static_cast<double>(input.scale) * static_cast<double>(weight.scales[c]));
      if (steps < most) continue;
      return at_codes(
          fmt::format("the bias of layer '{}' is {:.3g} steps of its input's and its weights' scales, more than the kernel holds",
                      layer_name(n), steps),
          "give its input a larger scale");
    }
  }

  const TflGraph& graph_;
  const TextValue& section_;
  const Weights& codes_;
  SectionFaults faults_;
  std::vector<std::string> names_;
  std::map<std::string, int> ids_;
  std::map<std::string, std::size_t> nodes_;
  std::map<Key, const TextValue*> rows_;
  std::set<Key> unread_, told_;  // grids with a fault that was told
  std::vector<std::string> missing_;
  WrittenPlan out_;
};

}  // namespace

PlanHead plan_head(const Model& model, Diagnostics& diagnostics) {
  SectionFaults faults(model, diagnostics);
  const TextValue& section = model.quantization;
  faults.keys(section, section_keys, "quantization");
  PlanHead head;
  if (const TextValue* v = section.find("precision"))
    head.precision = faults.choice(*v, "precision", {"int8", "int16x8"});
  else
    faults.at_key(section, "quantization needs the key 'precision'", "write 'precision: int8' or 'precision: int16x8'");
  if (const TextValue* v = section.find("io")) head.channels_last = faults.choice(*v, "io", {"nhwc", "nchw"}) != "nchw";
  const TextValue* codes = section.find("codes");
  if (!codes)
    faults.at_key(section, "quantization needs the key 'codes': the file of integers beside the text");
  else if (codes->kind != TextValue::string || codes->string_value.empty())
    faults.at_value(*codes, fmt::format("codes is {}; it must be a file's name", shown(*codes)));
  else
    head.codes = codes->string_value;
  return head;
}

WrittenPlan plan_from_text(const TflGraph& graph, const Model& model, const Weights& codes, Diagnostics& diagnostics) {
  return PlanReader(graph, model, codes, diagnostics).run();
}

}  // namespace wherry
