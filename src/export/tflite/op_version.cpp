#include "export/tflite/op_version.h"

#include "base/check.h"
#include "base/text.h"

namespace wherry {
namespace {

// A node with its tensors at hand.
struct Operands {
  const TflGraph& graph;
  const TflNode& node;

  const TflTensor* input(std::size_t i) const {
    const int id = i < node.inputs.size() ? node.inputs[i] : -1;
    return id < 0 ? nullptr : &graph.tensors[static_cast<std::size_t>(id)];
  }
  const TflTensor& output() const { return graph.tensors[static_cast<std::size_t>(node.outputs.at(0))]; }
  bool takes(std::size_t i, DType dtype) const { return input(i) && input(i)->dtype == dtype; }
  bool gives(DType dtype) const { return output().dtype == dtype; }
  std::size_t rank(std::size_t i) const { return input(i) ? input(i)->sizes.size() : 0; }
  bool flag(std::string_view option) const {
    const TflOption* found = node.find(option);
    if (!found) return false;
    const auto* boolean = std::get_if<bool>(&found->value);
    return boolean ? *boolean : std::get<std::int64_t>(found->value) != 0;
  }
  bool is(std::string_view option, const Attr& value) const {
    const TflOption* found = node.find(option);
    return found && found->value == value;
  }
};

// What a node may ask for beyond an operator's first version.
using Feature = bool (*)(const Operands&);

bool any(const Operands&) { return true; }
template <std::size_t I, DType D>
bool in(const Operands& o) {
  return o.takes(I, D);
}
template <DType D>
bool out(const Operands& o) {
  return o.gives(D);
}
constexpr Feature int8 = in<0, DType::int8>, uint8 = in<0, DType::uint8>, int16 = in<0, DType::int16>, int32 = in<0, DType::int32>,
                  int64 = in<0, DType::int64>, uint32 = in<0, DType::uint32>, boolean = in<0, DType::boolean>, int4 = in<0, DType::int4>,
                  half = in<0, DType::float16>;
template <std::size_t Rank>
bool above_rank(const Operands& o) {
  return o.rank(0) > Rank;
}
bool broadcast_above_4(const Operands& o) {
  return o.input(0) && o.input(1) && o.input(0)->sizes != o.input(1)->sizes && std::max(o.rank(0), o.rank(1)) > 4;
}
bool not_rank_4(const Operands& o) { return o.rank(0) != 4; }
bool grouped(const Operands& o) { return o.input(0)->sizes.back() != o.input(1)->sizes.back(); }
bool dilated(const Operands& o) {
  const auto above_1 = [&](std::string_view option) { return o.node.find(option) && !o.is(option, std::int64_t{1}); };
  return above_1("dilation_w_factor") || above_1("dilation_h_factor");
}
bool weight8(const Operands& o) { return o.takes(0, DType::float32) && o.takes(1, DType::int8); }
bool weight4(const Operands& o) { return o.takes(0, DType::int8) && o.takes(1, DType::int4); }
bool bias_type(const Operands& o) { return o.takes(0, DType::int16) && o.node.find("quantized_bias_type"); }
bool by_channel(const Operands& o, std::size_t i) { return o.input(i)->quantization && o.input(i)->quantization->scales.size() > 1; }
bool weight8_by_channel(const Operands& o) { return weight8(o) && by_channel(o, 1); }
bool rows_by_channel(const Operands& o) { return by_channel(o, 1); }
bool codes_by_channel(const Operands& o) { return o.takes(0, DType::int8) && by_channel(o, 0); }
bool grows(const Operands& o) {  // the product of the inputs' scales is not below the output's
  if (!o.takes(0, DType::int8) || !o.input(0)->quantization || !o.input(1)->quantization || !o.output().quantization) return false;
  return double{o.input(0)->quantization->scales[0]} * double{o.input(1)->quantization->scales[0]} >=
         double{o.output().quantization->scales[0]};
}
bool asymmetric(const Operands& o) { return weight8(o) && o.flag("asymmetric_quantize_inputs"); }
bool no_bias(const Operands& o) { return !o.input(2); }
bool has_bias(const Operands& o) { return o.input(3) != nullptr; }
bool fused(const Operands& o) {
  return o.node.find("fused_activation_function") && !o.is("fused_activation_function", std::string("NONE"));
}
bool keep_dims(const Operands& o) { return o.flag("keep_num_dims"); }
bool half_pixel(const Operands& o) { return o.flag("half_pixel_centers"); }
bool aligned(const Operands& o) { return o.flag("align_corners"); }
bool batched(const Operands& o) { return o.flag("batch_dims"); }
bool free_scale(const Operands& o) { return o.takes(0, DType::int16) && o.is("pot_scale_int16", false); }
bool new_axes(const Operands& o) { return o.flag("ellipsis_mask") || o.flag("new_axis_mask"); }
bool offsets(const Operands& o) { return o.flag("offset"); }
template <DType D>
bool either(const Operands& o) {
  return o.takes(0, D) || o.gives(D);
}

struct Need {
  Feature feature;
  int version;
  std::string_view runtime;
};

struct Row {
  std::string_view builtins;  // one or more that share the row
  std::vector<Need> needs;
};

// The version is the highest that one of the features asks for.
const std::vector<Row>& rows() {
  static const std::vector<Row> all = {
      {"CONV_2D",
       {{any, 1, "1.5.0"},
        {weight8, 2, "1.14.0"},
        {int8, 3, "1.14.0"},
        {weight8_by_channel, 5, "2.4.0"},
        {grouped, 6, "2.9.0"},
        {weight4, 7, "2.11.0"},
        {bias_type, 8, "2.15.0"}}},
      {"DEPTHWISE_CONV_2D",
       {{any, 1, "1.5.0"},
        {dilated, 2, "1.12.0"},
        {int8, 3, "1.14.0"},
        {weight8, 4, "2.2.0"},
        {weight8_by_channel, 6, "2.3.0"},
        {weight4, 7, "2.11.0"}}},
      {"TRANSPOSE_CONV",
       {{any, 1, "1.9.0"}, {in<1, DType::int8>, 2, "2.2.0"}, {has_bias, 3, "2.3.0"}, {fused, 4, "2.13.0"}, {bias_type, 5, "2.15.0"}}},
      {"FULLY_CONNECTED",
       {{any, 1, "1.5.0"},
        {weight8, 3, "1.14.0"},
        {int8, 4, "1.14.0"},
        {keep_dims, 5, "2.0.0"},
        {no_bias, 6, "2.1.0"},
        {asymmetric, 9, "2.3.0"},
        {weight4, 10, "2.11.0"},
        {bias_type, 11, "2.15.0"},
        {weight8_by_channel, 12, "2.17.0"}}},
      {"CONV_3D", {{any, 1, "2.5.0"}}},
      {"CONV_3D_TRANSPOSE", {{any, 1, "2.6.0"}}},
      {"BATCH_MATMUL", {{any, 1, "2.3.0"}, {int8, 2, "2.3.0"}, {int16, 3, "2.4.0"}, {asymmetric, 4, "2.5.0"}}},
      {"AVERAGE_POOL_2D MAX_POOL_2D", {{any, 1, "1.5.0"}, {int8, 2, "1.14.0"}, {int16, 3, "2.3.0"}}},
      {"ADD", {{any, 1, "1.5.0"}, {int8, 2, "1.14.0"}, {free_scale, 3, "2.4.0"}, {int64, 4, "2.6.0"}}},
      {"SUB", {{any, 1, "1.6.0"}, {int8, 2, "1.14.0"}, {broadcast_above_4, 3, "2.3.0"}, {int64, 4, "2.4.0"}, {free_scale, 5, "2.4.0"}}},
      {"MUL",
       {{any, 1, "1.5.0"}, {int8, 2, "1.14.0"}, {grows, 3, "1.15.0"}, {int16, 4, "2.3.0"}, {int64, 5, "2.6.0"}, {uint32, 7, "2.13.0"}}},
      {"DIV", {{any, 1, "1.6.0"}, {broadcast_above_4, 2, "2.3.0"}}},
      {"MAXIMUM MINIMUM", {{any, 1, "1.14.0"}, {int8, 2, "1.14.0"}, {broadcast_above_4, 3, "2.3.0"}, {int16, 4, "2.3.0"}}},
      {"SQUARED_DIFFERENCE", {{any, 1, "1.13.1"}, {int8, 2, "2.5.0"}}},
      {"FLOOR_DIV", {{any, 1, "1.14.0"}, {in<0, DType::float32>, 2, "1.14.0"}, {int8, 3, "2.13.0"}, {int16, 3, "2.13.0"}}},
      {"FLOOR_MOD", {{any, 1, "1.13.0"}, {int8, 2, "2.13.0"}, {int16, 2, "2.13.0"}}},
      {"RELU", {{any, 1, "1.5.0"}, {int8, 2, "2.1.0"}, {uint8, 2, "2.1.0"}, {int16, 3, "2.5.0"}}},
      {"RELU6", {{any, 1, "1.5.0"}, {int8, 2, "1.14.0"}, {int16, 3, "2.5.0"}}},
      {"LEAKY_RELU", {{any, 1, "1.13.1"}, {int16, 2, "2.3.0"}}},
      {"GELU", {{any, 1, "2.9.0"}, {int8, 2, "2.9.0"}, {uint8, 2, "2.9.0"}}},
      {"LOGISTIC TANH", {{any, 1, "1.14.0"}, {int8, 2, "1.14.0"}, {int16, 3, "2.3.0"}}},
      {"SOFTMAX", {{any, 1, "1.5.0"}, {int8, 2, "1.14.0"}, {int16, 3, "2.3.0"}}},
      {"LOG_SOFTMAX", {{any, 1, "1.14.0"}, {int8, 2, "1.14.0"}}},
      {"L2_NORMALIZATION", {{any, 1, "1.5.0"}, {int8, 2, "1.14.0"}}},
      {"EXP", {{any, 1, "1.7.0"}, {int8, 2, "2.12.0"}, {int16, 2, "2.12.0"}}},
      {"LOG", {{any, 1, "1.14.0"}, {int8, 2, "2.15.0"}, {int16, 2, "2.15.0"}}},
      {"RSQRT", {{any, 1, "1.10.0"}, {int8, 2, "2.5.0"}, {int16, 3, "2.15.0"}}},
      {"ABS", {{any, 1, "1.13.0"}, {int8, 2, "2.4.0"}, {uint8, 2, "2.4.0"}, {int16, 3, "2.5.0"}, {int32, 5, "2.12.0"}}},
      {"SIGN", {{any, 1, "2.11.0"}, {int32, 2, "2.12.0"}}},
      {"CONCATENATION", {{any, 1, "1.5.0"}, {int8, 2, "1.14.0"}, {int16, 3, "2.3.0"}, {uint32, 4, "2.14.0"}}},
      {"PACK", {{any, 1, "1.11.0"}, {int8, 2, "1.14.0"}, {int16, 3, "2.3.0"}, {uint32, 4, "2.13.0"}}},
      {"UNPACK", {{any, 1, "1.11.0"}, {int8, 2, "1.14.0"}, {uint8, 2, "1.14.0"}, {boolean, 3, "2.2.0"}, {int16, 4, "2.3.0"}}},
      {"SPLIT",
       {{any, 1, "1.5.0"}, {in<1, DType::int8>, 2, "1.14.0"}, {in<1, DType::int32>, 3, "1.14.0"}, {in<1, DType::int16>, 4, "2.3.0"}}},
      {"SPLIT_V", {{any, 1, "1.13.1"}, {int8, 2, "2.3.0"}}},
      {"SLICE", {{any, 1, "1.14.0"}, {int8, 2, "1.14.0"}, {int16, 4, "2.4.0"}, {above_rank<4>, 5, "2.5.0"}, {uint32, 6, "2.14.0"}}},
      {"STRIDED_SLICE",
       {{any, 1, "1.6.0"},
        {int8, 2, "1.14.0"},
        {boolean, 3, "2.1.0"},
        {above_rank<4>, 4, "2.2.0"},
        {new_axes, 6, "2.6.0"},
        {uint32, 7, "2.14.0"},
        {offsets, 8, "2.14.0"}}},
      {"GATHER",
       {{any, 1, "1.6.0"},
        {int8, 2, "1.14.0"},
        {boolean, 3, "1.15.0"},
        {int16, 4, "2.4.0"},
        {batched, 5, "2.5.0"},
        {in<1, DType::int16>, 6, "2.13.0"},
        {int4, 7, "2.15.0"}}},
      {"GATHER_ND", {{any, 1, "1.14.0"}, {int16, 3, "2.5.0"}, {in<1, DType::int16>, 4, "2.13.0"}, {boolean, 5, "2.16.0"}}},
      {"PAD", {{any, 1, "1.5.0"}, {int8, 2, "1.14.0"}, {int16, 3, "2.4.0"}, {above_rank<4>, 4, "2.6.0"}, {boolean, 5, "2.19.0"}}},
      {"PADV2", {{any, 1, "1.9.0"}, {int8, 2, "1.14.0"}, {int16, 3, "2.4.0"}, {above_rank<4>, 4, "2.6.0"}, {boolean, 5, "2.19.0"}}},
      {"MIRROR_PAD", {{any, 1, "1.13.1"}, {int8, 2, "2.3.0"}, {int16, 3, "2.12.0"}}},
      {"MEAN", {{any, 1, "1.6.0"}, {int8, 2, "1.14.0"}, {int16, 3, "2.4.0"}}},
      {"SUM", {{any, 1, "1.10.0"}, {int8, 2, "1.15.0"}}},
      {"REDUCE_MAX REDUCE_MIN", {{any, 1, "1.11.0"}, {int8, 2, "1.14.0"}, {int16, 3, "2.5.0"}}},
      {"REDUCE_PROD", {{any, 1, "1.11.0"}, {int8, 2, "2.6.0"}, {int16, 2, "2.6.0"}}},
      {"ARG_MAX ARG_MIN", {{any, 1, "1.9.0"}, {int8, 2, "1.14.0"}, {boolean, 3, "2.9.0"}}},
      {"TOPK_V2", {{any, 1, "1.7.0"}, {int8, 2, "1.14.0"}, {int16, 3, "2.13.0"}}},
      {"TRANSPOSE",
       {{any, 1, "1.6.0"},
        {int8, 2, "1.14.0"},
        {boolean, 3, "1.15.0"},
        {above_rank<4>, 4, "2.3.0"},
        {int16, 5, "2.4.0"},
        {above_rank<5>, 6, "2.12.0"},
        {int4, 7, "2.14.4"}}},
      {"DEPTH_TO_SPACE", {{any, 1, "2.1.0"}, {int8, 2, "2.5.0"}}},
      {"SPACE_TO_DEPTH", {{any, 1, "1.5.0"}, {int8, 2, "1.14.0"}}},
      {"SPACE_TO_BATCH_ND BATCH_TO_SPACE_ND", {{any, 1, "1.6.0"}, {int8, 2, "1.14.0"}, {not_rank_4, 3, "2.3.0"}, {int16, 4, "2.12.0"}}},
      {"RESIZE_BILINEAR", {{any, 1, "1.7.0"}, {int8, 2, "1.14.0"}, {half_pixel, 3, "2.2.0"}, {int16, 4, "2.5.0"}}},
      {"RESIZE_NEAREST_NEIGHBOR",
       {{any, 1, "1.13.1"}, {int8, 2, "1.14.0"}, {half_pixel, 3, "2.3.0"}, {aligned, 3, "2.3.0"}, {int16, 4, "2.4.0"}}},
      {"BROADCAST_TO", {{any, 2, "2.5.0"}, {int8, 3, "2.5.0"}, {int16, 3, "2.5.0"}}},
      {"TILE", {{any, 1, "1.10.1"}, {int8, 3, "2.8.0"}}},
      {"FILL",
       {{any, 1, "1.13.0"},
        {in<1, DType::boolean>, 2, "2.3.0"},
        {in<1, DType::int8>, 3, "2.5.0"},
        {in<1, DType::int16>, 3, "2.5.0"},
        {in<1, DType::float16>, 4, "2.12.0"}}},
      {"REVERSE_V2", {{any, 1, "1.14.0"}, {boolean, 2, "2.2.0"}, {int8, 3, "2.5.0"}}},
      {"EQUAL", {{any, 1, "1.14.0"}, {int8, 2, "1.14.0"}, {int16, 4, "2.13.0"}}},
      {"NOT_EQUAL GREATER LESS_EQUAL", {{any, 1, "1.14.0"}, {int8, 2, "1.14.0"}}},
      {"LESS GREATER_EQUAL", {{any, 1, "1.14.0"}, {int8, 2, "1.14.0"}, {int16, 3, "2.13.0"}}},
      {"SELECT", {{any, 1, "1.14.0"}, {in<1, DType::int8>, 2, "1.14.0"}, {above_rank<4>, 3, "2.12.0"}}},
      {"SELECT_V2", {{any, 1, "2.2.0"}, {in<1, DType::uint32>, 2, "2.12.0"}}},
      {"DEQUANTIZE",
       {{any, 1, "1.13.1"},
        {int8, 2, "1.14.0"},
        {half, 3, "1.15.0"},
        {int16, 3, "1.15.0"},
        {codes_by_channel, 5, "2.17.0"},
        {int4, 6, "2.18.0"}}},
      {"QUANTIZE", {{any, 1, "1.14.0"}, {out<DType::int16>, 2, "1.15.0"}, {either<DType::int4>, 4, "2.18.0"}}},
      {"CAST",
       {{any, 1, "1.5.0"},
        {either<DType::uint32>, 2, "2.7.0"},
        {either<DType::int8>, 3, "2.8.0"},
        {either<DType::uint16>, 4, "2.9.0"},
        {either<DType::float16>, 5, "2.12.0"},
        {either<DType::float64>, 5, "2.12.0"},
        {int4, 6, "2.15.0"},
        {either<DType::bfloat16>, 7, "2.17.0"}}},
      {"DYNAMIC_UPDATE_SLICE", {{any, 1, "2.9.0"}, {in<2, DType::int64>, 2, "2.17.0"}, {half, 3, "2.19.0"}, {int16, 4, "2.20.0"}}},
      {"EMBEDDING_LOOKUP", {{any, 1, "1.13.0"}, {in<1, DType::int4>, 4, "2.18.0"}, {rows_by_channel, 4, "2.18.0"}}},
      {"RANGE", {{any, 1, "1.13.0"}, {int64, 2, "2.14.0"}}},
      {"RESHAPE RELU_N1_TO_1 L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION", {{any, 1, "1.5.0"}}},
      {"SQUEEZE", {{any, 1, "1.6.0"}}},
      {"PRELU", {{any, 1, "1.8.0"}}},
      {"FLOOR NEG SIN", {{any, 1, "1.9.0"}}},
      {"EXPAND_DIMS POW SHAPE SQRT", {{any, 1, "1.10.0"}}},
      {"LOGICAL_AND LOGICAL_NOT LOGICAL_OR ONE_HOT REDUCE_ANY", {{any, 1, "1.11.0"}}},
      {"SQUARE ZEROS_LIKE", {{any, 1, "1.12.0"}}},
      {"ADD_N CEIL COS ELU ROUND RANK", {{any, 1, "1.14.0"}}},
      {"HARD_SWISH", {{any, 1, "1.15.0"}}},
      {"SCATTER_ND", {{any, 1, "2.1.0"}}},
      {"CUMSUM", {{any, 1, "2.4.0"}}},
      {"REDUCE_ALL", {{any, 1, "2.6.0"}}},
      {"ATAN2 RELU_0_TO_1", {{any, 1, "2.10.0"}}},
      {"BITCAST BITWISE_XOR RIGHT_SHIFT", {{any, 1, "2.13.0"}}},
      {"DILATE REDUCE_WINDOW", {{any, 1, "2.15.0"}}},
  };
  return all;
}

bool names(std::string_view builtins, std::string_view wanted) {
  for (std::size_t at = builtins.find(wanted); at != std::string_view::npos; at = builtins.find(wanted, at + 1)) {
    const std::size_t end = at + wanted.size();
    if ((at == 0 || builtins[at - 1] == ' ') && (end == builtins.size() || builtins[end] == ' ')) return true;
  }
  return false;
}

}  // namespace

OpVersion op_version(const TflGraph& graph, const TflNode& node) {
  const std::optional<OpVersion> found = find_op_version(graph, node);
  WHERRY_CHECK(found, "op_version.cpp has no row for {}", node.builtin);
  return *found;
}

std::optional<OpVersion> find_op_version(const TflGraph& graph, const TflNode& node) {
  const Operands operands{graph, node};
  if (node.outputs.empty() || node.outputs[0] < 0) return std::nullopt;
  if (node.builtin == "CONV_2D" && (operands.rank(0) == 0 || operands.rank(1) == 0)) return std::nullopt;
  for (const Row& row : rows()) {
    if (!names(row.builtins, node.builtin)) continue;
    OpVersion best{0, {}};
    for (const Need& need : row.needs)
      if (need.version > best.version && need.feature(operands)) best = {need.version, need.runtime};
    return best;
  }
  return std::nullopt;
}

bool older(std::string_view a, std::string_view b) {
  const auto parts = [](std::string_view version) {
    std::vector<int> out;
    for (const std::string& part : split(version, '.')) out.push_back(std::stoi(part));  // our own table's words: always digits
    return out;
  };
  return parts(a) < parts(b);
}

}  // namespace wherry
