// Images read at the places that a grid names.
#include "ops/all_ops.h"
#include "ops/foreign.h"
#include "ops/infer.h"
#include "ops/onnx.h"
#include "ops/spatial.h"

namespace wherry::ops {

namespace {

std::vector<Type> infer_grid_sample(const OpTypes& t) {
  const Type &x = t["x"], &grid = t["grid"];
  infer::needs_float(t, "x");
  infer::needs_float(t, "grid");
  const std::size_t axes = x.shape.size() - std::min<std::size_t>(x.shape.size(), 2);
  if (axes != 2 && axes != 3) infer::fault(fmt::format("grid_sample takes x of rank 4 or 5, not {}", text(x)));
  if (grid.shape.size() != x.shape.size() || !(grid.shape.back() == Dim(static_cast<std::int64_t>(axes))))
    infer::fault(fmt::format("grid_sample takes a grid [N, places…, {}] for {}, not {}", axes, text(x), text(grid)));
  if (!(grid.shape[0] == x.shape[0])) infer::fault(fmt::format("x {} and grid {} differ in their batch", text(x), text(grid)));
  if (t.node.string("mode") == "bicubic" && axes != 2) infer::fault("bicubic is for images of two axes");
  Type out{x.dtype, {x.shape[0], x.shape[1]}};
  out.shape.insert(out.shape.end(), grid.shape.begin() + 1, grid.shape.end() - 1);
  return {out};
}

// What the expansion is written with: float32 numbers of one value for each place of the grid.
class Sampling {
 public:
  Sampling(Builder& b, const Node& node)
      : b_(b),
        node_(node),
        x_(sizes(b.type(node.inputs[0]).shape)),
        grid_(sizes(b.type(node.inputs[1]).shape)),
        type_(b.type(node.inputs[0]).dtype),
        axes_(x_.size() - 2),
        aligned_(node.flag("align_corners")),
        padding_(node.string("padding_mode")) {
    Ints last = {0};
    for (std::size_t i = 0; i < axes_; ++i) last.push_back(static_cast<std::int64_t>(i) + 2);
    last.push_back(1);
    const ValueId rows = b("permute", {node.inputs[0]}, {{"dims", last}});
    pixels_ = b("flatten", {rows}, {{"start_dim", std::int64_t{0}}, {"end_dim", static_cast<std::int64_t>(axes_)}});
  }

  ValueId run() {
    const std::string& mode = node_.string("mode");
    std::vector<ValueId> places;  // along each axis of x; the grid names the last axis first
    for (std::size_t i = 0; i < axes_; ++i) places.push_back(place(i));
    ValueId y = absent;
    if (mode == "nearest") {
      std::vector<ValueId> at;
      for (const ValueId p : places) at.push_back(b_("round", {p}));
      y = rows_at(at, absent);
    } else {
      const std::vector<std::int64_t> reach = mode == "bicubic" ? std::vector<std::int64_t>{-1, 0, 1, 2} : std::vector<std::int64_t>{0, 1};
      y = combined(places, reach, mode == "bicubic");
    }
    Ints shape(grid_.begin(), grid_.end() - 1), first = {0, static_cast<std::int64_t>(axes_) + 1};
    shape.push_back(x_[1]);
    for (std::size_t i = 0; i < axes_; ++i) first.push_back(static_cast<std::int64_t>(i) + 1);
    return b_("permute", {b_("reshape", {y}, {{"shape", shape}})}, {{"dims", first}});
  }

 private:
  ValueId number(double value) { return b_.scalar(value, type_); }
  ValueId add(ValueId v, double value) { return value == 0 ? v : b_("add", {v, number(value)}); }
  ValueId times(ValueId v, double value) { return b_("mul", {v, number(value)}); }
  ValueId limited(ValueId v, double least, double most) { return b_("clamp", {v}, {{"min", least}, {"max", most}}); }

  // The grid's -1 … 1 as positions of x, brought inside where the padding says so before it is read.
  ValueId place(std::size_t axis) {
    const auto from_end = static_cast<std::int64_t>(axes_ - 1 - axis);
    const ValueId g = cast(b_, b_("select", {node_.inputs[1]}, {{"dim", std::int64_t{-1}}, {"index", from_end}}), type_);
    const auto n = static_cast<double>(x_[axis + 2]);
    const ValueId at = aligned_ ? times(add(g, 1), (n - 1) / 2) : add(times(add(g, 1), n / 2), -0.5);
    if (node_.string("mode") == "bicubic") return at;
    return inside(at, axis);
  }

  ValueId inside(ValueId at, std::size_t axis) {
    const auto n = static_cast<double>(x_[axis + 2]);
    if (padding_ == "border") return limited(at, 0, n - 1);
    if (padding_ == "reflection") return limited(reflected(at, aligned_ ? 0 : -0.5, aligned_ ? n - 1 : n - 0.5), 0, n - 1);
    return at;
  }

  // Thrown back at both ends until it lies between them.
  ValueId reflected(ValueId at, double low, double high) {
    const double span = high - low;
    if (span <= 0) return times(at, 0);
    const ValueId turn = b_("remainder", {add(at, -low), number(2 * span)});  // 0 … 2 span
    const ValueId folded = b_("sub", {number(span), b_("abs", {add(turn, -span)})});
    return add(folded, low);
  }

  // The pixels at whole positions; zeros outside where the padding is that. `weight`: of each place, or absent.
  ValueId rows_at(const std::vector<ValueId>& at, ValueId weight) {
    ValueId index = absent;
    std::int64_t stride = 1;
    for (std::size_t i = axes_; i-- > 0; stride *= x_[i + 2]) {
      const auto n = static_cast<double>(x_[i + 2]);
      ValueId position = at[i];
      if (padding_ == "zeros") {
        const ValueId within = b_("logical_and", {b_("ge", {position, number(0)}), b_("le", {position, number(n - 1)})});
        const ValueId share = cast(b_, within, type_);
        weight = weight == absent ? share : b_("mul", {weight, share});
      } else {
        position = inside(position, i);
      }
      const ValueId whole = cast(b_, limited(position, 0, n - 1), DType::int64);
      const ValueId part = stride == 1 ? whole : b_("mul", {whole, b_.scalar(static_cast<double>(stride), DType::int64)});
      index = index == absent ? part : b_("add", {index, part});
    }
    std::vector<std::int64_t> images;
    for (std::int64_t i = 0; i < x_[0]; ++i) images.push_back(i * stride);
    Sizes first(axes_ + 1, 1);
    first[0] = x_[0];
    if (x_[0] > 1) index = b_("add", {index, b_.constant(Tensor::from(images, first))});
    const ValueId flat = b_("reshape", {index}, {{"shape", Ints{-1}}});
    const ValueId rows = b_("index_select", {pixels_, flat}, {{"dim", std::int64_t{0}}});
    return weight == absent ? rows : b_("mul", {rows, b_("reshape", {weight}, {{"shape", Ints{-1, 1}}})});
  }

  // Keys's kernel with a = -0.75, as PyTorch has it.
  ValueId cubic(ValueId distance, bool near) {
    const double a = -0.75;
    const auto polynomial = [&](double c3, double c2, double c1, double c0) {
      ValueId sum = add(times(distance, c3), c2);
      sum = add(b_("mul", {sum, distance}), c1);
      return add(b_("mul", {sum, distance}), c0);
    };
    return near ? polynomial(a + 2, -(a + 3), 0, 1) : polynomial(a, -5 * a, 8 * a, -4 * a);
  }

  ValueId combined(const std::vector<ValueId>& places, const std::vector<std::int64_t>& reach, bool bicubic) {
    std::vector<ValueId> floors, rests;
    for (const ValueId p : places) {
      floors.push_back(b_("floor", {p}));
      rests.push_back(b_("sub", {p, floors.back()}));
    }
    const auto weight_of = [&](std::size_t axis, std::int64_t step) {
      if (!bicubic) return step == 0 ? b_("sub", {number(1), rests[axis]}) : rests[axis];
      const ValueId distance =
          step <= 0 ? add(rests[axis], static_cast<double>(-step)) : b_("sub", {number(static_cast<double>(step)), rests[axis]});
      return cubic(distance, step == 0 || step == 1);
    };
    std::size_t count = 1;
    for (std::size_t i = 0; i < axes_; ++i) count *= reach.size();
    ValueId sum = absent;
    for (std::size_t corner = 0; corner < count; ++corner) {
      std::vector<ValueId> at;
      ValueId weight = absent;
      std::size_t rest = corner;
      for (std::size_t i = 0; i < axes_; ++i, rest /= reach.size()) {
        const std::int64_t step = reach[rest % reach.size()];
        at.push_back(add(floors[i], static_cast<double>(step)));
        const ValueId own = weight_of(i, step);
        weight = weight == absent ? own : b_("mul", {weight, own});
      }
      const ValueId part = rows_at(at, weight);
      sum = sum == absent ? part : b_("add", {sum, part});
    }
    return sum;
  }

  Builder& b_;
  const Node& node_;
  const Sizes x_, grid_;
  const DType type_;
  const std::size_t axes_;
  const bool aligned_;
  const std::string padding_;
  ValueId pixels_ = absent;  // [N · places, C]
};

std::vector<ValueId> expand_grid_sample(Builder& b, const Node& node) {
  if (!is_static(b.type(node.inputs[0]).shape) || !is_static(b.type(node.inputs[1]).shape))
    fail({.code = "E504",
          .message = "grid_sample needs sizes that are known",
          .at = node.where(),
          .next = "give each with --dim NAME=SIZE"});
  return {Sampling(b, node).run()};
}

constexpr std::string_view grid_sample_source = R"py(
def grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False):
    """x read at the places that a grid names, -1 and 1 being its ends."""
    sizes = x.shape[2:]
    pixels = jnp.moveaxis(x, 1, -1)
    images = jnp.arange(x.shape[0]).reshape(-1, *(1,) * len(sizes))

    def inside(at, n):
        if padding_mode == "reflection":
            low, high = (0, n - 1) if align_corners else (-0.5, n - 0.5)
            span = max(high - low, 1e-30)
            at = span - jnp.abs(jnp.mod(at - low, 2 * span) - span) + low
        return at if padding_mode == "zeros" else jnp.clip(at, 0, n - 1)

    def read(places):
        share, index = jnp.ones(grid.shape[:-1]), []
        for at, n in zip(places, sizes, strict=True):
            share = share * ((at >= 0) & (at <= n - 1) | (padding_mode != "zeros"))
            index.append(jnp.clip(inside(at, n), 0, n - 1).astype(int))
        return pixels[(images, *index)] * share[..., None]

    def weight(d):
        if mode != "bicubic":
            return 1 - d
        near = ((1.25 * d - 2.25) * d) * d + 1
        far = ((-0.75 * d + 3.75) * d - 6.0) * d + 3.0
        return jnp.where(d <= 1, near, far)

    def place(g, n):
        at = (g + 1) * (n - 1) / 2 if align_corners else ((g + 1) * n - 1) / 2
        return at if mode == "bicubic" else inside(at, n)

    places = [place(grid[..., -1 - i], n) for i, n in enumerate(sizes)]
    if mode == "nearest":
        return jnp.moveaxis(read([jnp.round(at) for at in places]), -1, 1)
    total = 0.0
    steps = (-1, 0, 1, 2) if mode == "bicubic" else (0, 1)
    for corner in itertools.product(steps, repeat=len(sizes)):
        whole = [jnp.floor(at) + s for at, s in zip(places, corner, strict=True)]
        pairs = zip(places, whole, strict=True)
        share = math.prod(weight(jnp.abs(at - w)) for at, w in pairs)
        total = total + read(whole) * share[..., None]
    return jnp.moveaxis(total, -1, 1)
)py";

std::vector<ValueId> convert(Builder& b, const ForeignNode& n) {
  static constexpr const char* modes[] = {"bilinear", "nearest", "bicubic"};
  static constexpr const char* paddings[] = {"zeros", "border", "reflection"};
  const std::int64_t mode = integer(n, "interpolation_mode", 0), padding = integer(n, "padding_mode", 0);
  if (mode < 0 || mode > 2 || padding < 0 || padding > 2) refuse(n, fmt::format("'{}' with an unknown mode", n.target));
  return {b("grid_sample", {n.value("input"), n.value("grid")},
            {{"mode", std::string(modes[mode])},
             {"padding_mode", std::string(paddings[padding])},
             {"align_corners", flag(n, "align_corners", false)}})};
}

std::vector<ValueId> convert_onnx(Builder& b, const ForeignNode& n) {
  std::string mode = word(n, "mode", n.version < 20 ? "bilinear" : "linear");
  if (mode == "linear") mode = "bilinear";
  if (mode == "cubic") mode = "bicubic";
  const std::string padding = word(n, "padding_mode", "zeros");
  for (const auto& [given, known] :
       {std::pair(mode, Strings{"bilinear", "nearest", "bicubic"}), std::pair(padding, Strings{"zeros", "border", "reflection"})})
    if (std::find(known.begin(), known.end(), given) == known.end()) refuse(n, fmt::format("'{}' of '{}' is not known", given, n.target));
  return {b("grid_sample", {onnx::required(n, 0), onnx::required(n, 1)},
            {{"mode", mode}, {"padding_mode", padding}, {"align_corners", flag(n, "align_corners", false)}})};
}

}  // namespace

OpList grid_sample() {
  static const OpDef defs[] = {
      {.name = "grid_sample",
       .doc = "x read at the places that a grid names, -1 and 1 being its ends along each axis.",
       .inputs = {{"x", "[N, C, H, W] or [N, C, D, H, W]"},
                  {"grid", "[N, places…, 2 or 3]: for each place where to read, the last axis first"}},
       .attrs = {{"mode", AttrKind::string, std::string("bilinear"), "how pixels are mixed", {"bilinear", "nearest", "bicubic"}},
                 {"padding_mode", AttrKind::string, std::string("zeros"), "what lies outside", {"zeros", "border", "reflection"}},
                 {"align_corners", AttrKind::boolean, false, "whether -1 and 1 are the middles of the pixels at the ends, or their edges"}},
       .infer = infer_grid_sample,
       .expand = expand_grid_sample,
       .torch = {{"aten.grid_sampler.default", "", 0, convert},
                 {"aten.grid_sampler_2d.default", "", 0, convert},
                 {"aten.grid_sampler_3d.default", "", 0, convert}},
       .onnx = {{.target = "GridSample", .since = 16, .convert = convert_onnx}},
       .source = {.torch = "F.grid_sample({x}, {grid}, mode={mode?}, padding_mode={padding_mode?}, align_corners={align_corners})",
                  .jax = "grid_sample({x}, {grid}, mode={mode?}, padding_mode={padding_mode?}, align_corners={align_corners?})",
                  .jax_helpers = {grid_sample_source}},
       .quant = {QuantRule::float_only},
       .examples =
           {"grid_sample(x: float32[2, 3, 5, 6], grid: float32[2, 4, 3, 2] in -1.3..1.3)",
            "grid_sample(x: float32[1, 2, 5, 6], grid: float32[1, 4, 3, 2] in -1.3..1.3, padding_mode: border, align_corners: true)",
            "grid_sample(x: float32[1, 2, 5, 6], grid: float32[1, 4, 3, 2] in -1.9..1.9, mode: bicubic, padding_mode: reflection)",
            "grid_sample(x: float32[1, 2, 3, 5, 4], grid: float32[1, 2, 3, 2, 3] in -1.3..1.3)"}},
  };
  return defs;
}

}  // namespace wherry::ops
