#include "quantize/weight_only.h"

#include "base/check.h"
#include "quantize/rules.h"
#include "quantize/weights.h"

#include <bit>
#include <cmath>
#include <utility>

namespace wherry {

namespace {

enum class Form { int8, int4, blocks };  // a scale a channel; the same in int4; a scale a block

constexpr float least_half = 6.103515625e-05F;  // float16's least normal number
constexpr float least_scale = 1e-12F;

// A tensor that shall be small: how, and along which axis its scales lie.
struct Wish {
  Form form;
  int axis;
  auto operator<=>(const Wish&) const = default;
};

float round_to_bfloat16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return std::bit_cast<float>((bits + 0x7fffU + ((bits >> 16) & 1U)) & 0xffff0000U);
}

float code_of(float x, float scale, float low, float high) { return std::clamp(std::nearbyint(x / scale), low, high); }

// Tries scales around max|w| / 7.
float best_block_scale(std::span<const float> block) {
  float most = 0;
  for (const float x : block) most = std::max(most, std::abs(x));
  float best = std::max(round_to_bfloat16(most / 7), least_half);
  double least = INFINITY;
  for (int step = 0; step <= 16; ++step) {
    const float scale = std::max(round_to_bfloat16(most / (6.4F + 0.125F * static_cast<float>(step))), least_half);
    double error = 0;
    for (const float x : block) {
      const float e = x - scale * code_of(x, scale, -8, 7);
      error += static_cast<double>(e) * static_cast<double>(e);
    }
    if (error < least) least = error, best = scale;
  }
  return best;
}

// Symmetric, a scale for each slice of `axis`.
TflTensor with_channel_scales(const TflTensor& weight, int axis, DType dtype) {
  const auto high = static_cast<float>(highest_code(dtype));
  const Channels channels = channels_of(weight.sizes, axis);
  const Tensor dense = weight.constant->contiguous();
  const auto from = dense.as<float>();
  Tensor codes = Tensor::allocate(dtype, weight.sizes);
  const auto to = codes.mutable_as<std::int8_t>();
  TflQuantization quantization{.scales = {}, .zero_points = {}, .axis = axis};
  for (std::int64_t c = 0; c < channels.count; ++c) {
    float most = 0;
    const auto each = [&](auto&& f) {
      for (std::int64_t o = 0; o < channels.outer; ++o)
        for (std::int64_t i = 0; i < channels.inner; ++i) f(static_cast<std::size_t>(channels.at(o, c, i)));
    };
    each([&](std::size_t at) { most = std::max(most, std::abs(from[at])); });
    const float scale = std::max(most / high, least_scale);
    each([&](std::size_t at) { to[at] = static_cast<std::int8_t>(code_of(from[at], scale, -high, high)); });
    quantization.scales.push_back(scale);
  }
  quantization.zero_points.assign(quantization.scales.size(), 0);
  return {
      .name = weight.name, .dtype = dtype, .sizes = weight.sizes, .constant = std::move(codes), .quantization = std::move(quantization)};
}

class Shrinker {
 public:
  enum class Kind { dynamic, int8, int4 };
  Shrinker(TflGraph& graph, Kind kind) : graph_(graph), kind_(kind), readers_(graph.tensors.size(), 0) {
    for (const TflNode& node : graph.nodes)
      for (const int id : node.inputs)
        if (id >= 0) ++readers_[static_cast<std::size_t>(id)];
    for (const Port& port : graph.outputs) ++readers_[static_cast<std::size_t>(port.value)];
  }

  void run() {
    for (const TflNode& node : graph_.nodes)
      if (const auto operand = weight_of(node)) wishes_[operand->id][operand->wish] += 1;
    for (TflNode& node : std::exchange(graph_.nodes, {})) {
      if (const auto operand = weight_of(node)) rewrite(node, *operand);
      graph_.nodes.push_back(std::move(node));
    }
    graph_.nodes.insert(graph_.nodes.begin(), std::make_move_iterator(before_.begin()), std::make_move_iterator(before_.end()));
  }

 private:
  struct Operand {
    int id;
    std::size_t place;
    Wish wish;
    bool computes;  // the operator takes the integers itself
  };

  const TflTensor& tensor(int id) const { return graph_.tensors[static_cast<std::size_t>(id)]; }
  int add(TflTensor made) {
    graph_.tensors.push_back(std::move(made));
    return static_cast<int>(graph_.tensors.size()) - 1;
  }

  static bool is_table_look_up(const TflNode& node) {
    const auto zero = [&](std::string_view option) {
      const TflOption* found = node.find(option);
      return !found || found->value == Attr(std::int64_t{0});
    };
    return node.builtin == "GATHER" && zero("axis") && zero("batch_dims");
  }

  // The operand of a node that is worth shrinking.
  std::optional<Operand> weight_of(const TflNode& node) const {
    std::size_t place = 0;
    int axis = 0;
    bool rows = false;  // a matrix that is read by rows
    if (const BuiltinRule* rule = rule_of(node.builtin); rule && rule->kind == BuiltinRule::weighted) {
      place = static_cast<std::size_t>(rule->weight);
      axis = rule->axis;
      rows = node.builtin == "FULLY_CONNECTED";
    } else if (is_table_look_up(node)) {
      rows = tensor(node.inputs[0]).sizes.size() == 2;
      if (!rows) return std::nullopt;
    } else {
      return std::nullopt;
    }
    const int id = node.inputs[place];
    // While nodes are rewritten a shared weight may already be small: what it was is kept.
    const auto kept = floats_.find(id);
    const TflTensor& weight = kept != floats_.end() ? kept->second : tensor(id);
    if (!weight.constant || weight.dtype != DType::float32) return std::nullopt;
    const std::int64_t channels = weight.sizes[static_cast<std::size_t>(axis)];
    if (channels == 0 || weight.constant->count() / channels <= 4) return std::nullopt;  // a scale and its zero point weigh 12 bytes
    Wish wish{Form::int8, axis};
    if (kind_ == Kind::int4 && rows && weight.sizes[1] % 2 == 0) wish.form = weight.sizes[1] % int4_block == 0 ? Form::blocks : Form::int4;
    const bool computes = is_table_look_up(node) || (kind_ == Kind::dynamic && node.builtin != "TRANSPOSE_CONV") || wish.form != Form::int8;
    return Operand{id, place, wish, computes};
  }

  void rewrite(TflNode& node, const Operand& operand) {
    const int small = shrunk(operand);
    if (!operand.computes) {
      int& real = reals_[small];
      if (real == 0) {
        const std::string name = tensor(small).name + "/float32";
        real = add({.name = name, .dtype = DType::float32, .sizes = Sizes(tensor(small).sizes), .constant = {}});
        before_.push_back(
            {.builtin = "DEQUANTIZE", .inputs = {small}, .outputs = {real}, .options = {}, .path = node.path, .source = node.source});
      }
      node.inputs[operand.place] = real;
      return;
    }
    node.inputs[operand.place] = small;
    if (node.builtin == "GATHER") return look_up(node);
    if (node.builtin != "FULLY_CONNECTED") return;
    if (TflOption* option = node.find("asymmetric_quantize_inputs"))
      option->value = true;
    else
      node.options.push_back({"asymmetric_quantize_inputs", true});
  }

  // The small form of a constant: in its place where nobody needs the float one, else beside it.
  int shrunk(const Operand& operand) {
    const auto [found, is_new] = small_.try_emplace({operand.id, operand.wish}, 0);
    if (!is_new) return found->second;
    const auto id = static_cast<std::size_t>(operand.id);
    const auto kept = floats_.try_emplace(operand.id, graph_.tensors[id]).first;
    TflTensor made = small_form(kept->second, operand.wish);
    const auto& wished = wishes_.at(operand.id);
    if (wished.size() == 1 && wished.begin()->second == readers_[id]) {
      graph_.tensors[id] = std::move(made);
      return found->second = operand.id;
    }
    made.name += fmt::format("/{}", name(made.dtype));
    return found->second = add(std::move(made));
  }

  TflTensor small_form(const TflTensor& weight, const Wish& wish) {
    if (wish.form != Form::blocks) return with_channel_scales(weight, wish.axis, wish.form == Form::int8 ? DType::int8 : DType::int4);
    BlockCodes blocks = quantize_blocks(*weight.constant);
    const int scales =
        add({.name = weight.name + "/scales", .dtype = DType::float16, .sizes = Sizes(blocks.scales.sizes()), .constant = blocks.scales});
    return {.name = weight.name,
            .dtype = DType::int4,
            .sizes = weight.sizes,
            .constant = std::move(blocks.codes),
            .quantization = TflQuantization{.scales = {}, .zero_points = {}, .axis = 0, .block_size = int4_block, .block_scales = scales}};
  }

  // GATHER(table, positions) → EMBEDDING_LOOKUP(positions as one row of int32, table), in the shape that GATHER gave.
  void look_up(TflNode& node) {
    const int table = node.inputs[0], out = node.outputs[0];
    int positions = node.inputs[1];
    const std::int64_t count = element_count(tensor(positions).sizes);
    const auto through = [&](std::string builtin, DType dtype, Sizes sizes, std::vector<int> more = {}) {
      std::vector<int> inputs = {positions};
      inputs.insert(inputs.end(), more.begin(), more.end());
      positions =
          add({.name = fmt::format("{}/{}", node.path, tensor(positions).name), .dtype = dtype, .sizes = std::move(sizes), .constant = {}});
      graph_.nodes.push_back({.builtin = std::move(builtin),
                              .inputs = std::move(inputs),
                              .outputs = {positions},
                              .options = {},
                              .path = node.path,
                              .source = node.source});
    };
    const auto shape = [&](const std::vector<std::int32_t>& sizes) {
      return add({.name = node.path + "/shape",
                  .dtype = DType::int32,
                  .sizes = {static_cast<std::int64_t>(sizes.size())},
                  .constant = Tensor::from(sizes, {static_cast<std::int64_t>(sizes.size())})});
    };
    if (tensor(positions).dtype != DType::int32) through("CAST", DType::int32, Sizes(tensor(positions).sizes));
    if (tensor(positions).sizes.size() != 1) through("RESHAPE", DType::int32, {count}, {shape({static_cast<std::int32_t>(count)})});
    node.builtin = "EMBEDDING_LOOKUP";
    node.options.clear();
    node.inputs = {positions, table};
    if (tensor(out).sizes.size() == 2) return;
    const std::int64_t width = tensor(table).sizes[1];
    node.outputs = {add({.name = node.path + "/rows", .dtype = DType::float32, .sizes = {count, width}, .constant = {}})};
    const std::vector<std::int32_t> sizes(tensor(out).sizes.begin(), tensor(out).sizes.end());
    TflNode back{.builtin = "RESHAPE",
                 .inputs = {node.outputs[0], shape(sizes)},
                 .outputs = {out},
                 .options = {},
                 .path = node.path,
                 .source = node.source};
    graph_.nodes.push_back(std::exchange(node, std::move(back)));
  }

  TflGraph& graph_;
  Kind kind_;
  std::vector<int> readers_;
  std::map<int, std::map<Wish, int>> wishes_;  // by constant: what is wanted of it, how often
  std::map<int, TflTensor> floats_;            // constants as they were
  std::map<std::pair<int, Wish>, int> small_;  // tensors with integers
  std::map<int, int> reals_;                   // by tensor with integers: what its DEQUANTIZE gives
  std::vector<TflNode> before_;                // the DEQUANTIZEs
};

}  // namespace

BlockCodes quantize_blocks(const Tensor& weight) {
  const std::int64_t rows = weight.sizes()[0], width = weight.sizes()[1], blocks = width / int4_block;
  WHERRY_CHECK(width % int4_block == 0, "rows of {} are not whole blocks", width);
  const Tensor dense = weight.contiguous();
  const auto from = dense.as<float>();
  BlockCodes out{Tensor::allocate(DType::int4, weight.sizes()), Tensor::allocate(DType::float16, {rows, blocks})};
  const auto codes = out.codes.mutable_as<std::int8_t>();
  const auto scales = out.scales.mutable_as<std::uint16_t>();
  for (std::size_t b = 0; b < scales.size(); ++b) {
    const std::size_t first = b * int4_block;
    const auto block = from.subspan(first, int4_block);
    scales[b] = float_to_half(best_block_scale(block));
    const float scale = half_to_float(scales[b]);
    for (std::size_t i = 0; i < block.size(); ++i) codes[first + i] = static_cast<std::int8_t>(code_of(block[i], scale, -8, 7));
  }
  return out;
}

void to_dynamic_range(TflGraph& graph) { Shrinker(graph, Shrinker::Kind::dynamic).run(); }
void to_int8_weights(TflGraph& graph) { Shrinker(graph, Shrinker::Kind::int8).run(); }
void to_int4_weights(TflGraph& graph) { Shrinker(graph, Shrinker::Kind::int4).run(); }

}  // namespace wherry
