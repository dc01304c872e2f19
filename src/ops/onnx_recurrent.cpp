#include "ops/onnx_recurrent.h"

#include "ops/onnx.h"
#include "ops/recurrent_steps.h"

#include <fmt/format.h>

namespace wherry::ops::onnx_recurrent {

namespace {

using recurrent::Affine;
using recurrent::Cell;
using recurrent::Kind;
using recurrent::State;

enum Inputs { x_at, w_at, r_at, b_at, lengths_at, hidden_at, cell_at, peephole_at };

struct Form {
  Kind kind = Kind::rnn;
  std::int64_t directions = 1, hidden = 0;
  bool backwards = false;  // the first direction
  bool batch_first = false;
  std::int64_t time() const { return batch_first ? 1 : 0; }
};

std::string activation(const ForeignNode& n, const std::string& name) {
  for (const auto& [theirs, ours] : {std::pair{"Sigmoid", "sigmoid"}, {"Tanh", "tanh"}, {"Relu", "relu"}})
    if (name == theirs) return ours;
  refuse(n, fmt::format("'{}' with the activation '{}', expected Sigmoid, Tanh or Relu", n.target, name));
}

// For each direction in turn.
Strings activations(const ForeignNode& n, const Form& f) {
  const Strings usual = f.kind == Kind::lstm  ? Strings{"Sigmoid", "Tanh", "Tanh"}
                        : f.kind == Kind::gru ? Strings{"Sigmoid", "Tanh"}
                                              : Strings{"Tanh"};
  Strings all;
  for (std::int64_t d = 0; d < f.directions; ++d) all.insert(all.end(), usual.begin(), usual.end());
  if (!given(n, "activations")) return all;
  const auto* list = std::get_if<Strings>(n.attr("activations"));
  if (!list || list->size() != all.size())
    refuse(n, fmt::format("activations of '{}' are {}, expected {} names", n.target, text(*n.attr("activations")), all.size()));
  return *list;
}

Form form_of(Builder& b, const ForeignNode& n, Kind kind) {
  const std::string direction = word(n, "direction", "forward");
  if (direction != "forward" && direction != "reverse" && direction != "bidirectional")
    refuse(n, fmt::format("direction '{}' of '{}' is not known", direction, n.target));
  if (given(n, "clip")) refuse(n, fmt::format("'{}' with clip cannot be honoured", n.target));
  if (flag(n, "input_forget", false)) refuse(n, fmt::format("'{}' with input_forget cannot be honoured", n.target));
  Form f{.kind = kind,
         .directions = direction == "bidirectional" ? 2 : 1,
         .backwards = direction == "reverse",
         .batch_first = flag(n, "layout", false)};
  const Sizes state = onnx::static_shape(b, n, onnx::required(n, r_at));
  if (state.size() != 3 || state[0] != f.directions || state[1] != recurrent::gates_of(kind) * state[2])
    refuse(n, fmt::format("'{}' with the weights {}, expected [{}, {} · hidden, hidden]", n.target, text(to_shape(state)), f.directions,
                          recurrent::gates_of(kind)));
  f.hidden = state[2];
  return f;
}

// What belongs to one direction of a tensor that has one part for each.
ValueId side(Builder& b, ValueId all, std::int64_t direction) {
  if (all == absent) return absent;
  const Shape shape = b.type(all).shape;
  const ValueId part = recurrent::rows(b, all, direction, 1);
  if (const Value& value = b.graph()[part]; value.constant) {
    const Sizes sizes = wherry::sizes(shape);
    return b.constant(value.constant->reshaped(Sizes(sizes.begin() + 1, sizes.end())), value.name);
  }
  return b("squeeze", {part}, {{"dim", std::int64_t{0}}});
}

Affine part_of(Builder& b, ValueId weight, ValueId bias, std::int64_t from, std::int64_t count) {
  return recurrent::affine(b, recurrent::rows(b, weight, from, count), recurrent::rows(b, bias, from, count));
}

// The gates lie as ONNX has them: input, output, forget, candidate; of a GRU update, reset.
Cell cell_of(Builder& b, const ForeignNode& n, const Form& f, std::int64_t direction) {
  const std::int64_t all = recurrent::gates_of(f.kind) * f.hidden;
  const ValueId w = side(b, onnx::required(n, w_at), direction), r = side(b, onnx::required(n, r_at), direction);
  const ValueId biases = side(b, onnx::in(n, b_at), direction);
  const auto bias = [&](std::int64_t from) { return biases == absent ? absent : recurrent::rows(b, biases, from, all); };
  const ValueId state_bias = bias(all);
  Cell cell{.kind = f.kind, .hidden = f.hidden, .input = recurrent::affine(b, w, bias(0)), .state = {}, .order = {1, 0, 0, 0}};
  if (f.kind == Kind::lstm) cell.order = {0, 2, 3, 1};
  const bool early = f.kind == Kind::gru && !flag(n, "linear_before_reset", false);
  cell.state = early ? part_of(b, r, state_bias, 0, 2 * f.hidden) : recurrent::affine(b, r, state_bias);
  if (early) cell.candidate = part_of(b, r, state_bias, 2 * f.hidden, f.hidden);
  if (const ValueId peepholes = side(b, onnx::in(n, peephole_at), direction); peepholes != absent)  // input, output, forget
    for (const auto& [place, from] : {std::pair{0, 0}, {1, 2}, {2, 1}})
      cell.peepholes[static_cast<std::size_t>(place)] = recurrent::rows(b, peepholes, from * f.hidden, f.hidden);
  const Strings names = activations(n, f);
  const std::size_t each = names.size() / static_cast<std::size_t>(f.directions), first = each * static_cast<std::size_t>(direction);
  const auto name = [&](std::size_t i) { return activation(n, names[first + i]); };
  if (f.kind != Kind::rnn) cell.gate = name(0);
  cell.squash = name(f.kind == Kind::rnn ? 0 : 1);
  if (f.kind == Kind::lstm) cell.squash_cell = name(2);
  return cell;
}

// The state before the first step: zeros where none is given.
ValueId begin_of(Builder& b, const ForeignNode& n, const Form& f, int input, std::int64_t direction) {
  const ValueId x = onnx::required(n, x_at), all = onnx::in(n, input);
  if (all != absent && !f.batch_first) return side(b, all, direction);
  if (all != absent) return b("select", {all}, {{"dim", std::int64_t{1}}, {"index", direction}});
  const DType type = b.type(x).dtype;
  const Shape shape = b.type(x).shape;
  if (const Dim& batch = shape[f.batch_first ? 0 : 1]; batch.known())
    return b.constant(Tensor::allocate(DType::float32, {batch.size(), f.hidden}).cast(type));
  const ValueId first = b("select", {x}, {{"dim", f.time()}, {"index", std::int64_t{0}}});  // of an open batch: no product but zero
  const Sizes none = {f.hidden, shape[2].size()};
  return b("linear", {first, b.constant(Tensor::allocate(DType::float32, none).cast(type)), absent});
}

void check_steps(Builder& b, const ForeignNode& n, const Form& f) {
  const ValueId x = onnx::required(n, x_at);
  const Shape shape = b.type(x).shape;
  if (shape.size() != 3) refuse(n, fmt::format("'{}' of {}, expected a tensor of rank 3", n.target, text(b.type(x))));
  const auto time = static_cast<std::size_t>(f.time());
  if (!shape[time].known()) onnx::static_shape(b, n, x);
  const std::int64_t steps = shape[time].size();
  if (steps < 1 || steps > recurrent::most_steps)
    refuse(n, fmt::format("'{}' of {} steps is not written out; 1 to {} are", n.target, steps, recurrent::most_steps));
  const std::optional<Ints> lengths = onnx::fixed_ints(b, n, lengths_at, "sequence_lens");
  for (const std::int64_t length : lengths.value_or(Ints{}))
    if (length != steps) refuse(n, fmt::format("'{}' with a sequence of {} among {} steps cannot be honoured", n.target, length, steps));
}

std::vector<ValueId> convert(Builder& b, const ForeignNode& n, Kind kind) {
  const Form f = form_of(b, n, kind);
  check_steps(b, n, f);
  std::vector<ValueId> outputs, hidden, cells;
  for (std::int64_t d = 0; d < f.directions; ++d) {
    const Cell cell = cell_of(b, n, f, d);
    const recurrent::Driven driven = recurrent::drive(b, cell, onnx::required(n, x_at), f.time());
    const State begin{begin_of(b, n, f, hidden_at, d), kind == Kind::lstm ? begin_of(b, n, f, cell_at, d) : absent};
    const recurrent::Track track = recurrent::run(b, cell, driven, f.time(), f.backwards || d == 1, begin);
    outputs.push_back(track.outputs);
    hidden.push_back(track.last.hidden), cells.push_back(track.last.cell);
  }
  const NamedAttr across{"dim", std::int64_t{f.batch_first ? 1 : 0}};
  std::vector<ValueId> out = {b("stack", outputs, {{"dim", f.time() + 1}}), b("stack", hidden, {across})};
  if (kind == Kind::lstm) out.push_back(b("stack", cells, {across}));
  return out;
}

template <Kind kind>
std::vector<ValueId> convert_to(Builder& b, const ForeignNode& n) {
  return convert(b, n, kind);
}

}  // namespace

std::vector<ForeignMap> maps() {
  return {{.target = "LSTM", .convert = convert_to<Kind::lstm>},
          {.target = "GRU", .convert = convert_to<Kind::gru>},
          {.target = "RNN", .convert = convert_to<Kind::rnn>}};
}

}  // namespace wherry::ops::onnx_recurrent
