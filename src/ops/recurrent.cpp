#include "ops/recurrent.h"

#include "ops/foreign.h"
#include "ops/recurrent_steps.h"

#include <fmt/format.h>

#include <algorithm>

namespace wherry::ops::recurrent {

namespace {

std::vector<ValueId> all_given(const ForeignNode& n, std::string_view name, std::vector<ValueId> values) {
  if (std::find(values.begin(), values.end(), absent) != values.end())
    refuse(n, fmt::format("'{}' lacks a tensor of its argument '{}'", n.target, name));
  return values;
}

// The states to begin with: an LSTM has two.
std::vector<ValueId> begin_of(const ForeignNode& n, Kind kind) {
  const bool two = kind == Kind::lstm;
  std::vector<ValueId> begin = all_given(n, "hx", two ? n.values("hx") : std::vector{n.value("hx")});
  if (begin.size() != (two ? 2 : 1)) refuse(n, fmt::format("'{}' begins with {} states, expected {}", n.target, begin.size(), two ? 2 : 1));
  return begin;
}

// The gates lie as PyTorch has them: input, forget, candidate, output; of a GRU reset, update.
Cell torch_cell(Builder& b, const ForeignNode& n, Kind kind, const std::string& squash, ValueId input, ValueId state, ValueId input_bias,
                ValueId state_bias) {
  const Shape shape = b.type(state).shape;
  if (shape.size() != 2 || !shape[0].known() || shape[0].size() % gates_of(kind) != 0)
    refuse(n, fmt::format("'{}' with weights {} for its state, expected {} rows for each hidden element", n.target, text(b.type(state)),
                          gates_of(kind)));
  return {.kind = kind,
          .hidden = shape[0].size() / gates_of(kind),
          .input = affine(b, input, input_bias),
          .state = affine(b, state, state_bias),
          .order = {0, 1, 2, 3},
          .squash = squash};
}

void check_steps(Builder& b, const ForeignNode& n, ValueId x, std::int64_t time) {
  const Type& type = b.type(x);
  if (type.shape.size() != 3) refuse(n, fmt::format("'{}' of {}, expected a tensor of rank 3", n.target, text(type)));
  const Dim& steps = type.shape[static_cast<std::size_t>(time)];
  const auto unfit = [&](const std::string& found, std::string next) {
    fail({.code = "E504",
          .message = fmt::format("'{}' is written out step by step, but it takes {} steps", n.target, found),
          .at = n.source.file.empty() ? n.path : fmt::format("{} ({}:{})", n.path, n.source.file, n.source.line),
          .in = fmt::format("input: {}", text(type)),
          .next = std::move(next)});
  };
  if (!steps.known()) unfit(fmt::format("an open number ({}) of", steps.text()), "export the model with a fixed number of time steps");
  if (steps.size() < 1 || steps.size() > most_steps)
    unfit(fmt::format("{}", steps.size()), fmt::format("export the model with 1 to {} time steps", most_steps));
}

struct Layers {
  std::int64_t count, directions, time;
  bool biases, projection;
  std::size_t parameters() const { return (biases ? 4 : 2) + (projection ? 1 : 0); }  // of each cell
};

Layers layers_of(const ForeignNode& n, Kind kind, std::size_t parameters) {
  if (flag(n, "train", false) && number(n, "dropout", 0) != 0)
    refuse(n, fmt::format("'{}' drops at random: export the model in eval mode", n.target));
  Layers l{.count = integer(n, "num_layers", 1),
           .directions = flag(n, "bidirectional", false) ? 2 : 1,
           .time = flag(n, "batch_first", false) ? 1 : 0,
           .biases = flag(n, "has_biases", true),
           .projection = false};
  const bool many = l.count < 1 || l.count > static_cast<std::int64_t>(parameters);
  const auto fits = [&] { return !many && parameters == static_cast<std::size_t>(l.count * l.directions) * l.parameters(); };
  l.projection = kind == Kind::lstm && !fits();
  if (!fits()) refuse(n, fmt::format("'{}' has {} weights for {} layers", n.target, parameters, l.count));
  return l;
}

void check_states(Builder& b, const ForeignNode& n, const Layers& l, const std::vector<ValueId>& begin) {
  const std::int64_t cells = l.count * l.directions;
  for (const ValueId all : begin)
    if (b.type(all).shape.size() != 3 || b.type(all).shape[0] != Dim(cells))
      refuse(n, fmt::format("'{}' begins with {}, expected {} states of rank 2", n.target, text(b.type(all)), cells));
}

std::vector<ValueId> convert_layers(Builder& b, const ForeignNode& n, Kind kind, const std::string& squash) {
  const std::vector<ValueId> params = all_given(n, "params", n.values("params")), begin = begin_of(n, kind);
  const Layers l = layers_of(n, kind, params.size());
  ValueId x = n.value("input");
  check_steps(b, n, x, l.time);
  check_states(b, n, l, begin);
  std::vector<ValueId> hidden, cells;
  for (std::int64_t layer = 0; layer < l.count; ++layer) {
    std::vector<ValueId> sides;
    for (std::int64_t side = 0; side < l.directions; ++side) {
      const std::int64_t at = layer * l.directions + side;
      const ValueId* p = params.data() + static_cast<std::size_t>(at) * l.parameters();
      Cell cell = torch_cell(b, n, kind, squash, p[0], p[1], l.biases ? p[2] : absent, l.biases ? p[3] : absent);
      if (l.projection) cell.projection = affine(b, p[l.parameters() - 1], absent);
      const Driven driven = drive(b, cell, x, l.time);
      const auto state = [&](ValueId all) { return b("select", {all}, {{"dim", std::int64_t{0}}, {"index", at}}); };
      const State first{state(begin[0]), kind == Kind::lstm ? state(begin[1]) : absent};
      const Track track = run(b, cell, driven, l.time, side == 1, first);
      sides.push_back(track.outputs);
      hidden.push_back(track.last.hidden), cells.push_back(track.last.cell);
    }
    x = sides.size() == 1 ? sides[0] : b("cat", sides, {{"dim", std::int64_t{2}}});
  }
  std::vector<ValueId> out = {x, b("stack", hidden, {{"dim", std::int64_t{0}}})};
  if (kind == Kind::lstm) out.push_back(b("stack", cells, {{"dim", std::int64_t{0}}}));
  return out;
}

std::vector<ValueId> convert_cell(Builder& b, const ForeignNode& n, Kind kind, const std::string& squash) {
  const std::vector<ValueId> begin = begin_of(n, kind);
  const std::vector<ValueId> weights = all_given(n, "w_ih, w_hh", {n.value("w_ih"), n.value("w_hh")});
  const Cell cell = torch_cell(b, n, kind, squash, weights[0], weights[1], n.value("b_ih"), n.value("b_hh"));
  const State after = step(b, cell, n.value("input"), {begin[0], kind == Kind::lstm ? begin[1] : absent});
  return kind == Kind::lstm ? std::vector{after.hidden, after.cell} : std::vector{after.hidden};
}

template <Kind kind, Word squash>
std::vector<ValueId> layers(Builder& b, const ForeignNode& n) {
  return convert_layers(b, n, kind, std::string(squash));
}
template <Kind kind, Word squash>
std::vector<ValueId> cell(Builder& b, const ForeignNode& n) {
  return convert_cell(b, n, kind, std::string(squash));
}

}  // namespace

std::vector<ForeignMap> torch_maps() {
  return {{.target = "aten.lstm.input", .convert = layers<Kind::lstm, "tanh">},
          {.target = "aten.gru.input", .convert = layers<Kind::gru, "tanh">},
          {.target = "aten.rnn_tanh.input", .convert = layers<Kind::rnn, "tanh">},
          {.target = "aten.rnn_relu.input", .convert = layers<Kind::rnn, "relu">},
          {.target = "aten.lstm_cell.default", .convert = cell<Kind::lstm, "tanh">},
          {.target = "aten.gru_cell.default", .convert = cell<Kind::gru, "tanh">},
          {.target = "aten.rnn_tanh_cell.default", .convert = cell<Kind::rnn, "tanh">},
          {.target = "aten.rnn_relu_cell.default", .convert = cell<Kind::rnn, "relu">}};
}

}  // namespace wherry::ops::recurrent
