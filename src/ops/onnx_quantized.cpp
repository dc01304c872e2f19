#include "ops/onnx_quantized.h"

#include "ops/onnx.h"

namespace wherry::ops::onnx_quantized {

namespace {

constexpr std::int64_t most_products = 4096;  // of 8 by 5 bits, whose sum a float32 holds exactly

ValueId dequantized(Builder& b, const ForeignNode& n, int first, std::int64_t axis) {
  return b("dequantize", {onnx::required(n, first), onnx::required(n, first + 1), onnx::in(n, first + 2)}, {{"axis", axis}});
}

ValueId quantized(Builder& b, const ForeignNode& n, ValueId x, int scale) {
  const ValueId zero = onnx::required(n, scale + 1);
  return b("quantize", {x, onnx::required(n, scale), zero}, {{"axis", std::int64_t{-1}}, {"dtype", b.type(zero).dtype}});
}

// Conv on these operands, with the node's attributes.
ValueId convolved(Builder& b, const ForeignNode& n, const std::vector<ValueId>& operands) {
  ForeignNode plain = n;
  plain.target = "Conv";
  plain.output_count = 1;
  std::erase_if(plain.args, [](const ForeignArg& arg) { return std::isdigit(static_cast<unsigned char>(arg.name[0])) != 0; });
  for (std::size_t i = 0; i < operands.size(); ++i)
    if (operands[i] != absent) plain.args.push_back({std::to_string(i), operands[i]});
  return b.ops().onnx("Conv", n.version)->map->convert(b, plain).at(0);
}

// A bias of int32 counts in steps of both scales.
std::vector<ValueId> convert_conv(Builder& b, const ForeignNode& n) {
  const ValueId x = dequantized(b, n, 0, 1), w = dequantized(b, n, 3, 0), steps = onnx::in(n, 8);
  ValueId bias = absent;
  if (steps != absent) {
    const ValueId step = b("mul", {onnx::required(n, 1), onnx::required(n, 4)});
    bias = b("mul", {cast(b, steps, b.type(step).dtype), b("reshape", {step}, {{"shape", Ints{-1}}})});
  }
  return {quantized(b, n, convolved(b, n, {x, w, bias}), 6)};
}

std::vector<ValueId> convert_matmul(Builder& b, const ForeignNode& n) {
  const auto axis = [&](int input, std::int64_t from_end) {
    return std::max<std::int64_t>(onnx::rank(b, onnx::required(n, input)) - from_end, 0);
  };
  const ValueId x = dequantized(b, n, 0, axis(0, 2)), y = dequantized(b, n, 3, axis(3, 1));
  return {quantized(b, n, b("matmul", {x, y}), 6)};
}

// x - zero as float32.
ValueId shifted(Builder& b, ValueId x, ValueId zero, const Ints& along) {
  const ValueId real = cast(b, x, DType::float32);
  if (zero == absent) return real;
  ValueId offset = cast(b, zero, DType::float32);
  if (element_count(b.type(zero).shape) == Dim(1))
    offset = b("reshape", {offset}, {{"shape", Ints{}}});
  else if (!along.empty())
    offset = b("reshape", {offset}, {{"shape", along}});
  return b("sub", {real, offset});
}

// The second operand in two parts, 16 · high + low, so that no sum is rounded; the result is of int32.
template <class Product>
ValueId exact(Builder& b, ValueId y, Product product) {
  const auto number = [&](double value) { return b.scalar(value, DType::float32); };
  const ValueId high = b("floor", {b("mul", {y, number(1.0 / 16)})}), low = b("sub", {y, b("mul", {high, number(16)})});
  const ValueId upper = cast(b, product(high), DType::int32), lower = cast(b, product(low), DType::int32);
  return b("add", {b("mul", {upper, b.scalar(16, DType::int32)}), lower});
}

void needs_few(const ForeignNode& n, std::int64_t products) {
  if (products > most_products) refuse(n, fmt::format("'{}' adds up {} products; up to {} are exact", n.target, products, most_products));
}

std::vector<ValueId> convert_matmul_integer(Builder& b, const ForeignNode& n) {
  const ValueId x = shifted(b, onnx::required(n, 0), onnx::in(n, 2), {-1, 1}), y = shifted(b, onnx::required(n, 1), onnx::in(n, 3), {});
  needs_few(n, onnx::static_shape(b, n, x).back());
  return {exact(b, y, [&](ValueId part) { return b("matmul", {x, part}); })};
}

std::vector<ValueId> convert_conv_integer(Builder& b, const ForeignNode& n) {
  const Sizes w = onnx::static_shape(b, n, onnx::required(n, 1));
  const ValueId x = shifted(b, onnx::required(n, 0), onnx::in(n, 2), {});
  Ints along(w.size(), 1);
  along[0] = -1;
  const ValueId weight = shifted(b, onnx::required(n, 1), onnx::in(n, 3), along);
  needs_few(n, element_count(Sizes(w.begin() + 1, w.end())));
  return {exact(b, weight, [&](ValueId part) { return convolved(b, n, {x, part}); })};
}

// uint8 over the range of x, which zero belongs to: the integers, their scale and zero point.
std::vector<ValueId> convert_dynamic(Builder& b, const ForeignNode& n) {
  const ValueId x = onnx::required(n, 0), none = b.scalar(0), steps = b.scalar(255);
  const ValueId most = b("maximum", {b("amax", {x}, {{"dim", None{}}}), none}),
                least = b("minimum", {b("amin", {x}, {{"dim", None{}}}), none});
  const ValueId scale = b("div", {b("sub", {most, least}), steps});
  const ValueId place = b("round", {b("neg", {b("div", {least, scale})})});
  const ValueId zero = cast(b, b("clamp", {place}, {{"min", 0.0}, {"max", 255.0}}), DType::uint8);
  return {b("quantize", {x, scale, zero}, {{"dtype", DType::uint8}}), scale, zero};
}

}  // namespace

std::vector<ForeignMap> maps() {
  return {{.target = "QLinearConv", .since = 10, .convert = convert_conv},
          {.target = "QLinearMatMul", .since = 10, .convert = convert_matmul},
          {.target = "ConvInteger", .since = 10, .convert = convert_conv_integer},
          {.target = "MatMulInteger", .since = 10, .convert = convert_matmul_integer},
          {.target = "DynamicQuantizeLinear", .since = 11, .convert = convert_dynamic}};
}

}  // namespace wherry::ops::onnx_quantized
