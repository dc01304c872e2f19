#include "ops/recurrent_steps.h"

#include <fmt/format.h>

namespace wherry::ops::recurrent {

namespace {

const NamedAttr last{"dim", std::int64_t{-1}};

std::vector<ValueId> split(Builder& b, ValueId x, Ints sizes) {
  return b.multi("split", {x}, {{"split_size_or_sections", std::move(sizes)}, last});
}

// What the input gives one step, or all steps: of a GRU the gates and the candidate, which takes it later.
std::vector<ValueId> from_input(Builder& b, const Cell& c, ValueId x) {
  const ValueId all = apply(b, c.input, x);
  return c.kind == Kind::gru ? split(b, all, {2 * c.hidden, c.hidden}) : std::vector{all};
}

State lstm_step(Builder& b, const Cell& c, ValueId given, const State& s) {
  const std::vector<ValueId> parts = split(b, b("add", {given, apply(b, c.state, s.hidden)}), {c.hidden});
  const auto gate = [&](std::size_t place, ValueId peephole, ValueId cell) {
    ValueId v = parts[place];
    if (peephole != absent) v = b("add", {v, b("mul", {peephole, cell})});
    return b(c.gate, {v});
  };
  const ValueId kept = b("mul", {gate(c.order[1], c.peepholes[1], s.cell), s.cell});
  const ValueId added = b("mul", {gate(c.order[0], c.peepholes[0], s.cell), b(c.squash, {parts[c.order[2]]})});
  const ValueId cell = b("add", {kept, added});
  const ValueId hidden = b("mul", {gate(c.order[3], c.peepholes[2], cell), b(c.squash_cell, {cell})});
  return {c.projection.weight == absent ? hidden : apply(b, c.projection, hidden), cell};
}

State gru_step(Builder& b, const Cell& c, ValueId gates, ValueId candidate, const State& s) {
  const bool early = c.candidate.weight != absent;  // the state is reset before the product
  const ValueId from_state = apply(b, c.state, s.hidden);
  const std::vector<ValueId> parts = early ? std::vector{from_state} : split(b, from_state, {2 * c.hidden, c.hidden});
  const std::vector<ValueId> open = split(b, b(c.gate, {b("add", {gates, parts[0]})}), {c.hidden});
  const ValueId reset = open[c.order[0]], update = open[c.order[1]];
  const ValueId remembered = early ? apply(b, c.candidate, b("mul", {reset, s.hidden})) : b("mul", {reset, parts[1]});
  const ValueId fresh = b(c.squash, {b("add", {candidate, remembered})});
  return {b("add", {b("mul", {b("sub", {s.hidden, fresh}), update}), fresh})};
}

State advanced(Builder& b, const Cell& c, const std::vector<ValueId>& given, const State& s) {
  if (c.kind == Kind::lstm) return lstm_step(b, c, given[0], s);
  if (c.kind == Kind::gru) return gru_step(b, c, given[0], given[1], s);
  return {b(c.squash, {b("add", {given[0], apply(b, c.state, s.hidden)})})};
}

}  // namespace

Affine affine(Builder& b, ValueId weight, ValueId bias) {
  if (b.graph().is_constant(weight) && (bias == absent || b.graph().is_constant(bias))) return {weight, bias};
  return {b("transpose", {weight}, {{"dim0", std::int64_t{0}}, {"dim1", std::int64_t{1}}}), bias, true};
}

ValueId apply(Builder& b, const Affine& a, ValueId x) {
  if (!a.computed) return b("linear", {x, a.weight, a.bias});
  const ValueId product = b("matmul", {x, a.weight});
  return a.bias == absent ? product : b("add", {product, a.bias});
}

std::int64_t gates_of(Kind kind) { return kind == Kind::lstm ? 4 : kind == Kind::gru ? 3 : 1; }

State step(Builder& b, const Cell& c, ValueId x, const State& state) { return advanced(b, c, from_input(b, c, x), state); }

Driven drive(Builder& b, const Cell& c, ValueId x, std::int64_t time) {
  Driven parts;
  for (const ValueId part : from_input(b, c, x)) parts.push_back(b.multi("unbind", {part}, {{"dim", time}}));
  return parts;
}

Track run(Builder& b, const Cell& c, const Driven& driven, std::int64_t time, bool backwards, State state) {
  const std::size_t count = driven.at(0).size();
  std::vector<ValueId> outputs(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = backwards ? count - 1 - i : i;
    std::vector<ValueId> given;
    for (const std::vector<ValueId>& part : driven) given.push_back(part[at]);
    state = advanced(b, c, given, state);
    outputs[at] = state.hidden;
  }
  return {b("stack", outputs, {{"dim", time}}), state};
}

ValueId rows(Builder& b, ValueId value, std::int64_t from, std::int64_t count) {
  if (value == absent || b.type(value).shape[0] == Dim(count)) return value;
  const Value& whole = b.graph()[value];
  if (whole.constant)
    return b.constant(whole.constant->narrowed(0, from, count), fmt::format("{}.{}", whole.name.empty() ? b.path() : whole.name, from));
  return b("slice", {value}, {{"dim", std::int64_t{0}}, {"start", from}, {"end", from + count}});
}

}  // namespace wherry::ops::recurrent
