#include "lower/known_types.h"

#include "base/text.h"
#include "ir/builder.h"

#include <algorithm>
#include <limits>

namespace wherry {

namespace {

bool is_other_float(DType dtype) { return is_float(dtype) && dtype != DType::float32; }

// All numbers of `narrow` are numbers of `wide`.
bool holds(DType wide, DType narrow) {
  const int sign_wide = is_signed(wide) ? 1 : 0, sign_narrow = is_signed(narrow) ? 1 : 0;
  return bits(wide) - sign_wide >= bits(narrow) - sign_narrow && sign_wide >= sign_narrow;
}

// The type in which the operator computes these integers: theirs, where it is known or no other would do.
DType integer_for(const OpDef& op, DType dtype) {
  if (!is_integer(dtype) || knows_integers(op.tflite, dtype)) return dtype;
  if (dtype == DType::uint64) return op.tflite.uint64 == TflSlot::refused ? dtype : DType::int64;
  for (const std::string& word : split(op.tflite.integers, ' '))
    if (const std::optional<DType> known = parse_dtype(word); known && holds(*known, dtype)) return *known;
  return dtype;
}

class Retyping {
 public:
  Retyping(const Graph& graph, const OpTable& ops) : graph_(graph), rw_(graph, ops), stored_(graph.values.size(), absent) {}

  Graph run() {
    for (const Port& port : graph_.inputs)
      if (is_other_float(graph_.type(port.value).dtype)) {
        stored_[at(port.value)] = rw_[port.value];
        rw_.map(port.value, cast(rw_[port.value], DType::float32, port.name));
      }
    for (const Node& node : graph_.nodes) retype(node);
    for (const Port& port : graph_.outputs) {
      const DType wanted = graph_.type(port.value).dtype;
      if (stored_[at(port.value)] != absent)
        rw_.map(port.value, stored_[at(port.value)]);
      else if (is_other_float(wanted))
        rw_.map(port.value, cast(rw_[port.value], wanted, port.name));
    }
    return rw_.finish();
  }

 private:
  static bool in_order(const Node& node, DType dtype) { return dtype == DType::uint64 && node.op->tflite.uint64 == TflSlot::same_order; }
  static std::size_t at(ValueId value) { return static_cast<std::size_t>(value); }

  ValueId cast(ValueId value, DType dtype, const std::string& path) {
    const OpDef* op = rw_.builder().ops().find("cast");
    return rw_.builder().node(*op, {value}, {dtype}, fmt::format("{}.{}", path, name(dtype)))[0];
  }

  // Between the bits of uint64 and int64 in the same order: the upper one turned.
  ValueId turned(ValueId value, const Node& node) {
    const OpDef* sub = rw_.builder().ops().find("sub");
    const ValueId least = rw_.builder().constant(Tensor::from<std::int64_t>({std::numeric_limits<std::int64_t>::min()}, {}));
    return rw_.builder().node(*sub, {value, least}, {}, node.path + ".order")[0];
  }

  // As the node computes with it.
  ValueId operand(ValueId value, const Node& node) {
    if (value == absent) return absent;
    const Value& old = graph_[value];
    if (old.constant && is_other_float(old.type.dtype) && rw_.graph()[rw_[value]].type.dtype != DType::float32)
      rw_.map(value, rw_.graph().add_constant(old.constant->cast(DType::float32), old.name));
    const ValueId fresh = rw_[value];
    const DType wanted = integer_for(*node.op, old.type.dtype);
    if (wanted == rw_.graph().type(fresh).dtype || !is_integer(old.type.dtype)) return fresh;
    const ValueId known = cast(fresh, wanted, node.path);
    return in_order(node, old.type.dtype) ? turned(known, node) : known;
  }

  void retype(const Node& node) {
    const auto other = [&](ValueId v) {
      return v != absent && (is_other_float(graph_.type(v).dtype) || integer_for(*node.op, graph_.type(v).dtype) != graph_.type(v).dtype);
    };
    if (std::none_of(node.inputs.begin(), node.inputs.end(), other) && std::none_of(node.outputs.begin(), node.outputs.end(), other))
      return rw_.copy(node);
    rw_.builder().at(node.path, node.source);
    std::vector<ValueId> inputs;
    for (const ValueId v : node.inputs) inputs.push_back(operand(v, node));
    if (node.op->name == "cast") return retype_cast(node, inputs[0]);
    std::vector<Attr> attrs = node.attrs;
    for (Attr& attr : attrs)
      if (const auto* dtype = std::get_if<DType>(&attr); dtype && is_other_float(*dtype)) attr = DType::float32;
    std::vector<ValueId> made = rw_.builder().node(*node.op, inputs, attrs, node.path);
    for (std::size_t i = 0; i < made.size(); ++i) {
      const DType wanted = graph_.type(node.outputs[i]).dtype;
      if (!is_integer(wanted) || rw_.graph().type(made[i]).dtype == wanted) continue;
      rw_.graph()[made[i]].name = fmt::format("{}.{}", node.path, node.op->name);  // the cast's result takes the name
      if (in_order(node, wanted)) made[i] = turned(made[i], node);
      made[i] = cast(made[i], wanted, node.path);
    }
    rw_.replace(node, made);
  }

  // A cast to another float rounds; what computes with its result takes it back as float32.
  void retype_cast(const Node& node, ValueId x) {
    const auto wanted = std::get<DType>(node.attr("dtype"));
    const ValueId out = node.outputs[0];
    if (!is_other_float(wanted)) return rw_.replace(node, {rw_.builder().node(*node.op, {x}, {wanted}, node.path)[0]});
    const ValueId narrow = rw_.builder().node(*node.op, {x}, {wanted}, node.path)[0];
    rw_.replace(node, {cast(narrow, DType::float32, node.path)});
    stored_[at(out)] = narrow;
  }

  const Graph& graph_;
  Rewriter rw_;
  std::vector<ValueId> stored_;  // by old value: where it is there in its own type too
};

}  // namespace

bool knows_integers(const TflSlot& slot, DType dtype) {
  if (!is_integer(dtype) || slot.integers.empty()) return true;
  const std::vector<std::string> words = split(slot.integers, ' ');
  return std::find(words.begin(), words.end(), name(dtype)) != words.end();
}

Graph in_known_types(const Graph& graph, const OpTable& ops) { return Retyping(graph, ops).run(); }

}  // namespace wherry
