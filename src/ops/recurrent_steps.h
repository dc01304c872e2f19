// Recurrent layers written out step by step, in operators of ours: what the input gives is computed for all steps at once.
#pragma once

#include "ir/builder.h"

#include <array>

namespace wherry::ops::recurrent {

inline constexpr std::int64_t most_steps = 4096;

// x · weightᵀ + bias. A weight that the model computes lies turned, so that each step can take it as it is.
struct Affine {
  ValueId weight = absent, bias = absent;
  bool computed = false;
};
Affine affine(Builder& b, ValueId weight, ValueId bias);
ValueId apply(Builder& b, const Affine& a, ValueId x);

enum class Kind { rnn, gru, lstm };
std::int64_t gates_of(Kind kind);  // how many times the hidden size the weights have rows

// One direction of one layer. Its weights hold the gates one after the other, a GRU's candidate last.
struct Cell {
  Kind kind = Kind::rnn;
  std::int64_t hidden = 0;
  Affine input, state;
  Affine candidate = {};                  // GRU: the state's part of it, where the state is reset before the product
  Affine projection = {};                 // LSTM: what is given on is a product
  std::array<std::size_t, 4> order = {};  // LSTM: where input gate, forget gate, candidate and output gate lie; GRU: reset, update
  std::array<ValueId, 3> peepholes = {absent, absent, absent};  // LSTM: weights of input, forget and output gate for the cell
  std::string gate = "sigmoid", squash = "tanh", squash_cell = "tanh";
};

struct State {
  ValueId hidden = absent, cell = absent;
};
// One step: x [batch, in], states [batch, hidden].
State step(Builder& b, const Cell& c, ValueId x, const State& state);

// What the input gives each step, by part; steps are the axis `time` of x. Needs: its size is known, at least 1.
using Driven = std::vector<std::vector<ValueId>>;
Driven drive(Builder& b, const Cell& c, ValueId x, std::int64_t time);

struct Track {
  ValueId outputs;  // of all steps, along the axis `time`
  State last;
};
Track run(Builder& b, const Cell& c, const Driven& driven, std::int64_t time, bool backwards, State state);

// The part [from, from + count) of the first axis; of a constant a constant.
ValueId rows(Builder& b, ValueId value, std::int64_t from, std::int64_t count);

}  // namespace wherry::ops::recurrent
