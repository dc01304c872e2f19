#include "ops/onnx_attention.h"

#include "ops/onnx.h"

#include <cmath>
#include <limits>

namespace wherry::ops::onnx_attention {

namespace {

const NamedAttr last{"dim", std::int64_t{-1}};

// [batch, length, heads · size] as [batch, heads, length, size].
ValueId by_heads(Builder& b, const ForeignNode& n, ValueId v, std::string_view heads) {
  if (onnx::rank(b, v) == 4) return v;
  if (onnx::rank(b, v) != 3) refuse(n, fmt::format("'{}' takes tensors of rank 3 or 4, not {}", n.target, text(b.type(v))));
  const ValueId split = b("unflatten", {v}, {{"dim", std::int64_t{2}}, {"sizes", Ints{integer(n, heads), -1}}});
  return b("transpose", {split}, {{"dim0", std::int64_t{1}}, {"dim1", std::int64_t{2}}});
}

ValueId without_heads(Builder& b, ValueId v) {
  const ValueId turned = b("transpose", {v}, {{"dim0", std::int64_t{1}}, {"dim1", std::int64_t{2}}});
  return b("flatten", {turned}, {{"start_dim", std::int64_t{2}}, {"end_dim", std::int64_t{3}}});
}

// Which keys a query may see: by its place, which is `offset` behind its row.
struct Sight {
  bool causal = false;
  std::int64_t left = -1, right = -1;  // -1: without a limit
  std::int64_t queries = 0, keys = 0;
  bool limited() const { return causal || left >= 0 || right >= 0; }
};

ValueId grid(Builder& b, const Sight& s, std::int64_t more) {  // key - query + more
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < s.queries; ++i)
    for (std::int64_t j = 0; j < s.keys; ++j) values.push_back(j - i + more);
  return b.constant(Tensor::from(values, {s.queries, s.keys}));
}

// `offset`: the place of the first query, one number or [batch, 1, 1, 1]. Nothing where all is seen.
ValueId seen(Builder& b, const Sight& s, ValueId offset) {
  ValueId all = absent;
  const auto also = [&](ValueId part) { all = all == absent ? part : b("logical_and", {all, part}); };
  if (s.causal) also(b("le", {grid(b, s, 0), offset}));
  if (s.right >= 0) also(b("le", {grid(b, s, -s.right), offset}));
  if (s.left >= 0) also(b("ge", {grid(b, s, s.left), offset}));
  return all;
}

// A mask may say nothing of the last keys: they are not seen.
ValueId whole_mask(Builder& b, ValueId mask, std::int64_t keys) {
  const Shape shape = b.type(mask).shape;
  if (shape.empty() || !shape.back().known() || shape.back().size() >= keys || shape.back().size() == 1) return mask;
  const Ints behind = {0, keys - shape.back().size()};
  if (b.type(mask).dtype != DType::boolean) return b("pad", {mask}, {{"pad", behind}, {"value", -std::numeric_limits<double>::infinity()}});
  return cast(b, b("pad", {cast(b, mask, DType::int32)}, {{"pad", behind}, {"value", 0.0}}), DType::boolean);
}

// Rows in which nothing is seen give zeros.
ValueId guarded_softmax(Builder& b, const ForeignNode& n, ValueId scores) {
  const DType type = b.type(scores).dtype;
  const std::int64_t precision = integer(n, "softmax_precision", 0);
  if (precision != 0) scores = cast(b, scores, onnx::dtype(n, "softmax_precision"));
  const DType own = b.type(scores).dtype;
  const ValueId most = b("amax", {scores}, {{"dim", Ints{-1}}, {"keepdim", true}});
  const ValueId dead = b("eq", {most, b.scalar(-std::numeric_limits<double>::infinity(), own)}), zero = b.scalar(0, own);
  const ValueId shares = b("softmax", {b("where", {dead, zero, scores})}, {last});
  return cast(b, b("where", {dead, zero, shares}), type);
}

struct Operands {
  ValueId query, key, value;  // [batch, heads, length, size]
  double scale;
};

std::vector<ValueId> attend(Builder& b, const ForeignNode& n, const Operands& o, const Sight& sight, ValueId offset, ValueId unpadded) {
  const DType type = b.type(o.query).dtype;
  const ValueId across = b("transpose", {o.key}, {{"dim0", std::int64_t{-2}}, {"dim1", std::int64_t{-1}}});
  std::vector<ValueId> stages = {b("matmul", {b("mul", {o.query, b.scalar(o.scale, type)}), across})};
  ValueId scores = stages[0];
  if (const double cap = number(n, "softcap", 0); cap != 0)
    scores = b("mul", {b("tanh", {b("div", {scores, b.scalar(cap, type)})}), b.scalar(cap, type)});
  stages.push_back(scores);
  const ValueId never = b.scalar(-std::numeric_limits<double>::infinity(), type);
  const auto limit = [&](ValueId allowed) {
    if (allowed != absent) scores = b("where", {allowed, scores, never});
  };
  if (const ValueId given = onnx::in(n, 3); given != absent) {
    const ValueId mask = whole_mask(b, given, sight.keys);
    if (b.type(mask).dtype == DType::boolean)
      limit(mask);
    else
      scores = b("add", {scores, cast(b, mask, type)});
  }
  limit(seen(b, sight, offset));
  limit(unpadded);
  stages.push_back(scores);
  stages.push_back(guarded_softmax(b, n, scores));
  const std::int64_t mode = integer(n, "qk_matmul_output_mode", 0);
  if (mode < 0 || mode > 3) refuse(n, fmt::format("qk_matmul_output_mode {} is not known", mode));
  return {b("matmul", {stages[3], o.value}), stages[static_cast<std::size_t>(mode)]};
}

std::vector<ValueId> convert_attention(Builder& b, const ForeignNode& n) {
  const ValueId mask = onnx::in(n, 3), past_key = onnx::in(n, 4), past_value = onnx::in(n, 5), lengths = onnx::in(n, 6);
  const bool flat = onnx::rank(b, onnx::required(n, 0)) == 3;
  Operands o{by_heads(b, n, onnx::required(n, 0), "q_num_heads"), by_heads(b, n, onnx::required(n, 1), "kv_num_heads"),
             by_heads(b, n, onnx::required(n, 2), "kv_num_heads"), 1};
  std::int64_t before = 0;
  if (past_key != absent && past_value != absent) {
    before = onnx::static_shape(b, n, past_key).at(2);
    o.key = b("cat", {past_key, o.key}, {{"dim", std::int64_t{2}}});
    o.value = b("cat", {past_value, o.value}, {{"dim", std::int64_t{2}}});
  }
  const ValueId present_key = o.key, present_value = o.value;
  const Sizes q = onnx::static_shape(b, n, o.query), k = onnx::static_shape(b, n, o.key);
  if (k[1] <= 0 || q[1] % k[1] != 0) refuse(n, fmt::format("'{}' shares {} heads of keys among {} of queries", n.target, k[1], q[1]));
  if (q[1] != k[1])
    for (ValueId* v : {&o.key, &o.value}) *v = b("repeat_interleave", {*v}, {{"repeats", q[1] / k[1]}, {"dim", std::int64_t{1}}});
  o.scale = number(n, "scale", 1 / std::sqrt(static_cast<double>(q[3])));
  const Sight sight{flag(n, "is_causal", false), integer(n, "left_window_size", -1), integer(n, "right_window_size", -1), q[2], k[2]};

  ValueId offset = b.constant(Tensor::from<std::int64_t>({before}, {})), unpadded = absent;
  if (lengths != absent) {
    const ValueId each = b("reshape", {cast(b, lengths, DType::int64)}, {{"shape", Ints{-1, 1, 1, 1}}});
    offset = b("sub", {each, b.constant(Tensor::from<std::int64_t>({q[2]}, {}))});
    std::vector<std::int64_t> places;
    for (std::int64_t j = 0; j < k[2]; ++j) places.push_back(j);
    unpadded = b("lt", {b.constant(Tensor::from(places, {1, 1, 1, k[2]})), each});
  }
  const bool plain = mask == absent && lengths == absent && number(n, "softcap", 0) == 0 && n.output_count < 4 &&
                     integer(n, "softmax_precision", 0) == 0 && sight.left < 0 && sight.right < 0 && (!sight.causal || before == 0);
  std::vector<ValueId> out;
  if (plain)
    out = {b("scaled_dot_product_attention", {o.query, o.key, o.value}, {{"is_causal", sight.causal}, {"scale", o.scale}}), absent};
  else
    out = attend(b, n, o, sight, offset, unpadded);
  return {flat ? without_heads(b, out[0]) : out[0], present_key, present_value, out[1]};
}

// Pairs of elements turned by the angle of their place: halves of the axis, or neighbours.
std::vector<ValueId> convert_rotary(Builder& b, const ForeignNode& n) {
  const ValueId x = onnx::required(n, 0), places = onnx::in(n, 3);
  const bool flat = onnx::rank(b, x) == 3, neighbours = flag(n, "interleaved", false);
  ValueId y = by_heads(b, n, x, "num_heads");
  const std::int64_t size = onnx::static_shape(b, n, y).at(3), given = integer(n, "rotary_embedding_dim", 0);
  const std::int64_t turned = given == 0 ? size : given;
  if (turned % 2 != 0 || turned > size) refuse(n, fmt::format("'{}' turns {} of {} elements", n.target, turned, size));
  const auto angle = [&](int input) {  // [batch, 1, length, turned / 2]
    const ValueId cache = onnx::required(n, input);
    return b("unsqueeze", {places == absent ? cache : b("embedding", {places, cache})}, {{"dim", std::int64_t{1}}});
  };
  const auto part = [&](std::int64_t from, std::int64_t to, std::int64_t step) {
    return b("slice", {y}, {last, {"start", from}, {"end", to}, {"step", step}});
  };
  const ValueId cosine = angle(1), sine = angle(2);
  const ValueId first = neighbours ? part(0, turned, 2) : part(0, turned / 2, 1);
  const ValueId second = neighbours ? part(1, turned, 2) : part(turned / 2, turned, 1);
  const ValueId real = b("sub", {b("mul", {cosine, first}), b("mul", {sine, second})});
  const ValueId imaginary = b("add", {b("mul", {sine, first}), b("mul", {cosine, second})});
  std::vector<ValueId> parts = {real, imaginary};
  if (neighbours) {
    const ValueId pairs = b("stack", parts, {last});
    parts = {b("flatten", {pairs}, {{"start_dim", std::int64_t{-2}}, {"end_dim", std::int64_t{-1}}})};
  }
  if (turned < size) parts.push_back(part(turned, size, 1));
  y = parts.size() == 1 ? parts[0] : b("cat", parts, {last});
  return {flat ? without_heads(b, y) : y};
}

}  // namespace

std::vector<ForeignMap> maps() {
  return {{.target = "Attention", .since = 23, .convert = convert_attention},
          {.target = "RotaryEmbedding", .since = 23, .convert = convert_rotary}};
}

}  // namespace wherry::ops::onnx_attention
