#include "quantize/rules.h"

namespace wherry {

namespace {

constexpr BuiltinRule rows[] = {
    {.builtins = "CONV_2D FULLY_CONNECTED", .kind = BuiltinRule::weighted, .weight = 1, .bias = 2},
    {.builtins = "DEPTHWISE_CONV_2D", .kind = BuiltinRule::weighted, .weight = 1, .bias = 2, .axis = 3},
    {.builtins = "TRANSPOSE_CONV", .kind = BuiltinRule::weighted, .input = 2, .weight = 1, .bias = 3},
    {.builtins = "ADD SUB MUL MEAN RELU RELU6 LEAKY_RELU EXP LOG RSQRT ABS BATCH_MATMUL"},
    {.builtins = "SQUARED_DIFFERENCE PRELU HARD_SWISH GELU ELU", .int16 = false},
    {.builtins = "LOGISTIC SOFTMAX",
     .kind = BuiltinRule::fixed,
     .output8 = {DType::int8, 1.0F / 256, -128},
     .output16 = {DType::int16, 1.0F / 32768, 0}},
    {.builtins = "TANH", .kind = BuiltinRule::fixed, .output8 = {DType::int8, 1.0F / 128, 0}, .output16 = {DType::int16, 1.0F / 32768, 0}},
    {.builtins = "L2_NORMALIZATION", .kind = BuiltinRule::fixed, .int16 = false, .output8 = {DType::int8, 1.0F / 128, 0}},
    {.builtins = "LOG_SOFTMAX", .kind = BuiltinRule::fixed, .int16 = false, .output8 = {DType::int8, 16.0F / 256, 127}},
    {.builtins = "AVERAGE_POOL_2D MAX_POOL_2D RESHAPE SQUEEZE EXPAND_DIMS PAD PADV2 MIRROR_PAD TRANSPOSE SLICE STRIDED_SLICE SPLIT SPLIT_V "
                 "UNPACK PACK CONCATENATION GATHER GATHER_ND TILE BROADCAST_TO REVERSE_V2 SELECT_V2 MAXIMUM MINIMUM RESIZE_BILINEAR "
                 "RESIZE_NEAREST_NEIGHBOR REDUCE_MAX REDUCE_MIN",
     .kind = BuiltinRule::same_scale},
    {.builtins = "SPACE_TO_DEPTH DEPTH_TO_SPACE", .kind = BuiltinRule::same_scale, .int16 = false},
    {.builtins = "SUM", .kind = BuiltinRule::own_range, .int16 = false},
};

bool names(std::string_view list, std::string_view wanted) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(' '), list.size());
    if (list.substr(0, end) == wanted) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

}  // namespace

std::span<const BuiltinRule> builtin_rules() { return rows; }

const BuiltinRule* rule_of(std::string_view builtin) {
  for (const BuiltinRule& row : rows)
    if (names(row.builtins, builtin)) return &row;
  return nullptr;
}

bool is_real(const TflGraph& graph, const TflNode& node) {
  const auto real = [&](int id) { return is_real_tensor(graph, id); };
  return std::ranges::any_of(node.inputs, real) || std::ranges::any_of(node.outputs, real);
}

const BuiltinRule* weighted_rule(const TflGraph& graph, const TflNode& node) {
  const BuiltinRule* rule = rule_of(node.builtin);
  if (!rule || rule->kind != BuiltinRule::weighted) return nullptr;
  const TflTensor* weight = tensor_at(graph, node.inputs[static_cast<std::size_t>(rule->weight)]);
  return weight && weight->constant ? rule : nullptr;
}

double macs(const TflGraph& graph, const TflNode& node) {
  const auto count = [&](int id) { return static_cast<double>(element_count(tensor_at(graph, id)->sizes)); };
  const BuiltinRule* rule = weighted_rule(graph, node);
  if (!rule) {
    if (node.builtin != "BATCH_MATMUL") return 0;
    return count(node.outputs[0]) * static_cast<double>(tensor_at(graph, node.inputs[0])->sizes.back());
  }
  const TflTensor& weight = *tensor_at(graph, node.inputs[static_cast<std::size_t>(rule->weight)]);
  const double per_channel =
      static_cast<double>(element_count(weight.sizes)) / static_cast<double>(weight.sizes[static_cast<std::size_t>(rule->axis)]);
  const int swept = node.builtin == "TRANSPOSE_CONV" ? node.inputs[static_cast<std::size_t>(rule->input)] : node.outputs[0];
  const double out_channels = node.builtin == "TRANSPOSE_CONV" ? static_cast<double>(weight.sizes[0]) : 1;
  return count(swept) *
         (node.builtin == "TRANSPOSE_CONV" ? per_channel * out_channels / static_cast<double>(weight.sizes[3]) : per_channel);
}

}  // namespace wherry
