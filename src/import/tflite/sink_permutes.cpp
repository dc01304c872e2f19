#include "import/tflite/sink_permutes.h"

#include <algorithm>
#include <numeric>

namespace wherry {

namespace {

Ints identity(std::size_t rank) {
  Ints dims(rank);
  std::iota(dims.begin(), dims.end(), 0);
  return dims;
}

bool is_identity(const Ints& dims) { return std::is_sorted(dims.begin(), dims.end()); }

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// Axis i of permute(permute(x, first), second) is axis first[second[i]] of x.
Ints composed(const Ints& first, const Ints& second) {
  Ints out;
  for (const std::int64_t d : second) out.push_back(first[at(d)]);
  return out;
}

Ints inverse(const Ints& dims) {
  Ints out(dims.size());
  for (std::size_t i = 0; i < dims.size(); ++i) out[at(dims[i])] = static_cast<std::int64_t>(i);
  return out;
}

// What stands for an old value: permute(base, dims).
struct Turned {
  ValueId base = absent;
  Ints dims;
};

class Sinking {
 public:
  Sinking(const Graph& graph, const OpTable& ops)
      : old_(graph), rw_(graph, ops), known_(graph.values.size()), made_(graph.values.size(), absent) {}

  Graph run() {
    for (const Node& node : old_.nodes) {
      rw_.builder().at(node.path, node.source);
      if (!permute(node) && !elementwise(node) && !along_axis(node) && !recount(node)) plain(node);
    }
    for (const Port& port : old_.outputs) rw_.map(port.value, whole(port.value));
    return rw_.finish();
  }

 private:
  std::size_t rank(ValueId v) const { return old_.type(v).shape.size(); }

  Turned& turned(ValueId v) {
    Turned& t = known_[at(v)];
    if (t.base == absent) t = {rw_[v], identity(rank(v))};
    return t;
  }

  // The old value as it was.
  ValueId whole(ValueId v) {
    if (v == absent) return absent;
    ValueId& made = made_[at(v)];
    if (made == absent) made = permuted(v, identity(rank(v)));
    return made;
  }

  // permute(the old value, dims) in the new graph; a constant stays one.
  ValueId permuted(ValueId v, const Ints& dims) {
    const Turned t = turned(v);
    const Ints all = composed(t.dims, dims);
    if (is_identity(all)) return t.base;
    Builder& b = rw_.builder();
    if (const std::optional<Tensor> tensor = rw_.graph()[t.base].constant)
      return b.constant(tensor->permuted({all.begin(), all.end()}), rw_.graph()[t.base].name);
    return b.node(*b.ops().find("permute"), {t.base}, {Attr(all)}, b.path() + ".permute")[0];
  }

  void give(const Node& node, const std::vector<ValueId>& bases, const std::vector<Ints>& dims) {
    for (std::size_t i = 0; i < bases.size(); ++i) {
      known_[at(node.outputs[i])] = {bases[i], dims[i]};
      rw_.graph()[bases[i]].name = old_[node.outputs[i]].name;
    }
  }

  std::vector<ValueId> add(const Node& node, const std::vector<ValueId>& inputs, const std::vector<Attr>& attrs) {
    return rw_.builder().node(*node.op, inputs, attrs, node.path);
  }

  void plain(const Node& node) {
    std::vector<ValueId> inputs;
    for (const ValueId v : node.inputs) inputs.push_back(whole(v));
    const std::vector<ValueId> outputs = add(node, inputs, node.attrs);
    std::vector<Ints> dims;
    for (const ValueId v : node.outputs) dims.push_back(identity(rank(v)));
    give(node, outputs, dims);
  }

  bool permute(const Node& node) {
    if (node.op->name != "permute") return false;
    const Turned t = turned(node.inputs[0]);
    Ints dims = node.ints("dims");
    for (std::int64_t& d : dims) d += d < 0 ? static_cast<std::int64_t>(dims.size()) : 0;
    known_[at(node.outputs[0])] = {t.base, composed(t.dims, dims)};
    return true;
  }

  // The first input that is turned and of this rank.
  const Turned* leader(const std::vector<ValueId>& inputs, std::size_t wanted) {
    for (const ValueId v : inputs)
      if (v != absent && rank(v) == wanted && !old_.is_constant(v) && !is_identity(turned(v).dims)) return &turned(v);
    return nullptr;
  }

  bool elementwise(const Node& node) {
    if (node.op->layout.kind != LayoutRule::any || node.outputs.size() != 1) return false;
    const std::size_t wanted = rank(node.outputs[0]);
    const Turned* first = leader(node.inputs, wanted);
    if (!first) return false;
    const Ints dims = first->dims, back = inverse(dims);
    std::vector<ValueId> inputs;
    for (const ValueId v : node.inputs) inputs.push_back(v == absent || rank(v) == 0 ? whole(v) : in_order(v, wanted, back));
    give(node, add(node, inputs, node.attrs), {dims});
    return true;
  }

  // The old value with leading axes of size 1 up to `wanted`, then permuted.
  ValueId in_order(ValueId v, std::size_t wanted, const Ints& dims) {
    if (rank(v) == wanted) return permuted(v, dims);
    Shape shape = old_.type(v).shape;
    shape.insert(shape.begin(), wanted - shape.size(), Dim(1));
    Shape ordered;
    for (const std::int64_t d : dims) ordered.push_back(shape[at(d)]);
    Builder& b = rw_.builder();
    if (const std::optional<Tensor>& tensor = old_[v].constant)
      return b.constant(tensor->reshaped(sizes(shape)).permuted({dims.begin(), dims.end()}), old_[v].name);
    const ValueId wide = b.node(*b.ops().find("reshape"), {whole(v)}, {Attr(Ints(sizes(shape)))}, b.path() + ".reshape")[0];
    return is_identity(dims) ? wide : b.node(*b.ops().find("permute"), {wide}, {Attr(dims)}, b.path() + ".permute")[0];
  }

  // Operators along axes that an attribute names: the names change. Axes that they take away leave the order of the others.
  bool along_axis(const Node& node) {
    const LayoutRule& rule = node.op->layout;
    if (rule.kind != LayoutRule::axis || node.inputs.empty() || node.inputs[0] == absent) return false;
    const std::size_t wanted = rank(node.inputs[0]);
    const bool variadic = node.op->inputs.back().role == Role::variadic;
    const Turned* first = leader(variadic ? node.inputs : std::vector<ValueId>{node.inputs[0]}, wanted);
    const Attr& named = node.attr(rule.attr);
    const bool one = std::holds_alternative<std::int64_t>(named);
    if (!first || (!one && !std::holds_alternative<Ints>(named))) return false;
    const Ints dims = first->dims;
    Ints axes = one ? Ints{std::get<std::int64_t>(named)} : std::get<Ints>(named);
    for (std::int64_t& axis : axes) axis += axis < 0 ? static_cast<std::int64_t>(wanted) : 0;
    const std::size_t after = rank(node.outputs[0]);
    if (after != wanted && after + axes.size() != wanted) return false;
    std::vector<Attr> attrs = node.attrs;
    Ints mapped = composed(dims, axes);
    std::sort(mapped.begin(), mapped.end());
    attrs[at(node.op->attr_index(rule.attr))] = one ? Attr(mapped[0]) : Attr(mapped);
    std::vector<ValueId> inputs;
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      inputs.push_back(i == 0 || variadic ? permuted(node.inputs[i], inverse(dims)) : whole(node.inputs[i]));
    give(node, add(node, inputs, attrs), std::vector<Ints>(node.outputs.size(), after == wanted ? dims : remaining(dims, axes)));
    return true;
  }

  // The order of the axes that are left when `axes` of the old value go.
  static Ints remaining(const Ints& dims, const Ints& axes) {
    const auto gone = [&](std::int64_t axis) { return std::find(axes.begin(), axes.end(), axis) != axes.end(); };
    Ints kept;  // axes of the base, in the old value's order
    for (std::size_t i = 0; i < dims.size(); ++i)
      if (!gone(static_cast<std::int64_t>(i))) kept.push_back(dims[i]);
    Ints out;
    for (const std::int64_t axis : kept)
      out.push_back(std::count_if(kept.begin(), kept.end(), [&](std::int64_t other) { return other < axis; }));
    return out;
  }

  // A reshape sees no permute that only moves axes of size 1.
  bool recount(const Node& node) {
    if (node.op->name != "reshape") return false;
    const Turned t = turned(node.inputs[0]);
    const Shape& shape = rw_.graph().type(t.base).shape;
    Ints long_axes;
    for (const std::int64_t d : t.dims)
      if (shape[at(d)] != Dim(1)) long_axes.push_back(d);
    if (is_identity(t.dims) || !is_identity(long_axes)) return false;
    give(node, add(node, {t.base}, node.attrs), {identity(rank(node.outputs[0]))});
    return true;
  }

  const Graph& old_;
  Rewriter rw_;
  std::vector<Turned> known_;
  std::vector<ValueId> made_;
};

}  // namespace

Graph sink_permutes(const Graph& graph, const OpTable& ops) { return Sinking(graph, ops).run(); }

}  // namespace wherry
