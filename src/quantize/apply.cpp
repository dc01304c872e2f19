#include "quantize/apply.h"

#include "base/check.h"
#include "quantize/rules.h"

#include <cmath>
#include <limits>

namespace wherry {

namespace {

class Applier {
 public:
  Applier(const TflGraph& graph, const Plan& plan, const ApplyOptions& options) : graph_(graph), plan_(plan), options_(options) {
    out_.graph.name = graph.name;
    out_.tensors.assign(graph.tensors.size(), -1);
  }

  Quantized run() {
    for (const Port& port : graph_.inputs) input(port);
    for (std::size_t n = 0; n < graph_.nodes.size(); ++n) node(static_cast<int>(n));
    for (const Port& port : graph_.outputs) output(port);
    return std::move(out_);
  }

 private:
  const TflTensor& source(int id) const { return graph_.tensors[static_cast<std::size_t>(id)]; }
  const Grid& grid(int id, DType dtype) const { return plan_.grids.at({id, dtype}).grid; }

  int add_tensor(TflTensor tensor) {
    out_.graph.tensors.push_back(std::move(tensor));
    return static_cast<int>(out_.graph.tensors.size()) - 1;
  }
  void add_node(TflNode node, int origin) {
    out_.graph.nodes.push_back(std::move(node));
    out_.nodes.push_back(origin);
  }

  // The tensor that stands for `id` in that precision as its producer gives it; made when first asked for.
  int made(int id, DType dtype) {
    const int out = add_tensor({.name = source(id).name, .dtype = dtype, .sizes = source(id).sizes, .constant = {}});
    if (dtype != DType::float32) out_.graph.tensors.back().quantization = one_scale(grid(id, dtype));
    forms_[{id, dtype}] = out;
    natural_[id] = dtype;
    out_.tensors[static_cast<std::size_t>(id)] = out;
    return out;
  }

  void input(const Port& port) {
    if (!is_real_tensor(graph_, port.value)) {
      out_.graph.inputs.push_back({port.name, copied(port.value)});
      return;
    }
    DType dtype = DType::float32;
    if (options_.integer_borders)
      for (const auto& [key, choice] : plan_.grids)
        if (key.first == port.value) dtype = key.second;
    out_.graph.inputs.push_back({port.name, made(port.value, dtype)});
  }

  void output(const Port& port) {
    if (!is_real_tensor(graph_, port.value)) {
      out_.graph.outputs.push_back({port.name, copied(port.value)});
      return;
    }
    const DType dtype = options_.integer_borders ? natural_.at(port.value) : DType::float32;
    out_.graph.outputs.push_back({port.name, formed(port.value, dtype)});
  }

  // Integers for indices and shapes, booleans: as they are.
  int copied(int id) {
    int& out = out_.tensors[static_cast<std::size_t>(id)];
    if (out < 0) out = add_tensor(source(id));
    return out;
  }

  // `id` in that precision, through a QUANTIZE or DEQUANTIZE where its producer gives another.
  int formed(int id, DType dtype) {
    if (const auto found = forms_.find({id, dtype}); found != forms_.end()) return found->second;
    if (source(id).constant) return forms_[{id, dtype}] = constant(id, dtype);
    const int from = forms_.at({id, natural_.at(id)});
    return forms_[{id, dtype}] = converted(from, source(id), dtype, dtype == DType::float32 ? nullptr : &grid(id, dtype));
  }

  int constant(int id, DType dtype) {
    TflTensor tensor = source(id);
    if (dtype != DType::float32) {
      tensor.constant = quantized(*tensor.constant, grid(id, dtype));
      tensor.dtype = dtype;
      tensor.quantization = one_scale(grid(id, dtype));
    }
    return add_tensor(std::move(tensor));
  }

  int converted(int from, const TflTensor& like, DType dtype, const Grid* grid) {
    TflTensor tensor{
        .name = fmt::format("{}/{}", like.name, grid ? name(dtype) : "float32"), .dtype = dtype, .sizes = like.sizes, .constant = {}};
    if (grid) tensor.quantization = one_scale(*grid);
    const int out = add_tensor(std::move(tensor));
    add_node(
        {.builtin = grid ? "QUANTIZE" : "DEQUANTIZE", .inputs = {from}, .outputs = {out}, .options = {}, .path = like.name, .source = {}},
        -1);
    return out;
  }

  void node(int n) {
    TflNode node = graph_.nodes[static_cast<std::size_t>(n)];
    const std::optional<DType> precision = plan_.nodes[static_cast<std::size_t>(n)];
    const DType dtype = precision.value_or(DType::float32);
    const auto weighted = plan_.weights.find(n);
    if (weighted != plan_.weights.end()) {
      weighted_inputs(node, dtype, weighted->second);
    } else {
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        int& id = node.inputs[i];
        if (id < 0) continue;
        if (!is_real_tensor(graph_, id))
          id = copied(id);
        else if (dtype != DType::float32 && plan_.cuts.contains({n, static_cast<int>(i)}))
          id = joined_input(id, dtype, grid(graph_.nodes[static_cast<std::size_t>(n)].outputs[0], dtype));
        else
          id = formed(id, dtype);
      }
    }
    for (int& id : node.outputs) id = is_real_tensor(graph_, id) ? made(id, dtype) : copied(id);
    if (dtype == DType::int16 && (node.builtin == "ADD" || node.builtin == "SUB")) {
      if (TflOption* option = node.find("pot_scale_int16"))
        option->value = false;
      else
        node.options.push_back({"pot_scale_int16", false});
    }
    add_node(std::move(node), n);
  }

  int joined_input(int id, DType dtype, const Grid& wanted) {
    const int own = formed(id, dtype);
    if (*out_.graph.tensors[static_cast<std::size_t>(own)].quantization == one_scale(wanted)) return own;
    return converted(own, source(id), dtype, &wanted);
  }

  void weighted_inputs(TflNode& node, DType dtype, const QuantizedWeight& weight) {
    const BuiltinRule& rule = *rule_of(node.builtin);
    const Grid input = grid(node.inputs[static_cast<std::size_t>(rule.input)], dtype);
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      int& id = node.inputs[i];
      if (id < 0) continue;
      if (static_cast<int>(i) == rule.weight)
        id = weight_tensor(source(id), weight, rule.axis);
      else if (static_cast<int>(i) == rule.bias)
        id = add_tensor({.name = source(id).name,
                         .dtype = input.dtype == DType::int16 ? DType::int64 : DType::int32,
                         .sizes = source(id).sizes,
                         .constant = bias_codes(weight, input),
                         .quantization = bias_quantization(weight, input)});
      else
        id = is_real_tensor(graph_, id) ? formed(id, dtype) : copied(id);
    }
  }

  int weight_tensor(const TflTensor& like, const QuantizedWeight& weight, int axis) {
    return add_tensor({.name = like.name,
                       .dtype = DType::int8,
                       .sizes = like.sizes,
                       .constant = weight.codes,
                       .quantization = weight_quantization(weight, axis)});
  }

  const TflGraph& graph_;
  const Plan& plan_;
  const ApplyOptions& options_;
  Quantized out_;
  std::map<std::pair<int, DType>, int> forms_;
  std::map<int, DType> natural_;  // what a tensor's producer gives
};

}  // namespace

TflQuantization one_scale(const Grid& grid) { return {.scales = {grid.scale}, .zero_points = {grid.zero_point}}; }

Tensor bias_codes(const QuantizedWeight& weight, const Grid& input) {
  const auto count = static_cast<std::int64_t>(weight.bias.size());
  const auto step = [&](std::size_t c) { return static_cast<double>(input.scale) * static_cast<double>(weight.scales[c]); };
  Tensor out = Tensor::allocate(input.dtype == DType::int16 ? DType::int64 : DType::int32, {count});
  for (std::size_t c = 0; c < weight.bias.size(); ++c) {
    const double code = std::nearbyint(weight.bias[c] / step(c));
    if (input.dtype == DType::int16) {
      out.mutable_as<std::int64_t>()[c] = static_cast<std::int64_t>(code);
    } else {
      WHERRY_CHECK(std::abs(code) < 2147483647.0, "a bias of {} steps leaves int32", code);
      out.mutable_as<std::int32_t>()[c] = static_cast<std::int32_t>(code);
    }
  }
  return out;
}

TflQuantization weight_quantization(const QuantizedWeight& weight, int axis) {
  return {.scales = weight.scales,
          .zero_points = std::vector<std::int64_t>(weight.scales.size(), 0),
          .axis = weight.scales.size() > 1 ? axis : 0};
}

TflQuantization bias_quantization(const QuantizedWeight& weight, const Grid& input) {
  TflQuantization out;
  for (const float scale : weight.scales) out.scales.push_back(input.scale * scale);
  out.zero_points.assign(weight.scales.size(), 0);
  return out;
}

Quantized apply_plan(const TflGraph& graph, const Plan& plan, const ApplyOptions& options) { return Applier(graph, plan, options).run(); }

}  // namespace wherry
