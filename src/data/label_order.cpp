#include "data/labels.h"

#include <numeric>

namespace wherry {

namespace {

using Order = std::vector<std::size_t>;  // the class that an output (or label) stands for

struct Candidate {
  std::string what;
  Order order;
};

Order counted(std::size_t count) {
  Order order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  return order;
}

Order inverse(const Order& order) {
  Order out(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) out[order[i]] = i;
  return out;
}

template <class Key>
Order sorted_by(std::size_t count, const Key& key) {
  Order order = counted(count);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return key(a) < key(b); });
  return order;
}

std::vector<Candidate> candidates(const Classes& classes, std::size_t outputs) {
  std::vector<Candidate> list;
  const auto both = [&](const std::string& what, const Order& order) {
    list.push_back({"the model was trained with " + what, order});
    list.push_back({"the labels count " + what, inverse(order)});
  };
  Order behind = counted(outputs), before = counted(outputs);
  for (std::size_t i = 0; i < outputs; ++i) behind[i] = (i + outputs - 1) % outputs, before[i] = (i + 1) % outputs;
  list.push_back({"the outputs are one behind the labels: a background class in front, or labels from 0 for outputs from 1", behind});
  list.push_back({"the labels are one behind the outputs: they count from 1", before});
  both("class numbers sorted as words (0, 1, 10, 100, …), as folders named by number are listed",
       sorted_by(outputs, [](std::size_t i) { return std::to_string(i); }));
  if (classes.names.size() == outputs)
    both("the classes in the alphabetical order of their names", sorted_by(outputs, [&](std::size_t i) { return classes.names[i]; }));
  if (classes.wordnet.size() == outputs)
    both("the classes in the order of their WordNet ids", sorted_by(outputs, [&](std::size_t i) { return classes.wordnet[i]; }));
  if (classes.devkit.size() == outputs)
    both("the classes in the order of the ILSVRC devkit", sorted_by(outputs, [&](std::size_t i) { return classes.devkit[i]; }));
  list.push_back({"the outputs in reverse", Order(inverse(sorted_by(outputs, [&](std::size_t i) { return outputs - i; })))});
  return list;
}

double accuracy(const std::vector<std::size_t>& truth, const std::vector<std::size_t>& predicted, const Order& order) {
  std::size_t right = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) right += order[predicted[i]] == truth[i] ? 1 : 0;
  return static_cast<double>(right) / static_cast<double>(truth.size());
}

// The class most often seen with each output on every second sample of a class, scored on the others.
std::optional<OrderFinding> learnt(const std::vector<std::size_t>& truth, const std::vector<std::size_t>& predicted, std::size_t outputs) {
  std::map<std::pair<std::size_t, std::size_t>, std::size_t> seen;  // (output, class)
  std::vector<std::size_t> of_class(outputs);
  std::vector<std::size_t> held;
  for (std::size_t i = 0; i < truth.size(); ++i)
    if (of_class[truth[i]]++ % 2 == 0)
      ++seen[{predicted[i], truth[i]}];
    else
      held.push_back(i);
  if (held.size() < truth.size() / 4) return std::nullopt;
  Order order(outputs, outputs);
  std::vector<std::size_t> most(outputs);
  for (const auto& [pair, count] : seen)
    if (count > most[pair.first]) most[pair.first] = count, order[pair.first] = pair.second;
  std::size_t right = 0;
  for (const std::size_t i : held) right += order[predicted[i]] == truth[i] ? 1 : 0;
  return OrderFinding{"a permutation of the classes that is none of the known orders",
                      static_cast<double>(right) / static_cast<double>(held.size()), order};
}

}  // namespace

std::optional<OrderFinding> find_order(const std::vector<std::size_t>& truth, const std::vector<std::size_t>& predicted,
                                       const Classes& classes, std::size_t outputs) {
  if (truth.size() < 10 || outputs < 2) return std::nullopt;
  const double now = accuracy(truth, predicted, counted(outputs)), chance = 1.0 / static_cast<double>(outputs);
  if (now > std::max(0.1, 1.5 * chance)) return std::nullopt;
  std::optional<OrderFinding> best;
  const auto offer = [&](OrderFinding found) {
    if (found.accuracy > std::max({0.25, 3 * now, 2 * chance}) && (!best || found.accuracy > best->accuracy + 0.02))
      best = std::move(found);
  };
  for (Candidate& candidate : candidates(classes, outputs))
    offer({candidate.what, accuracy(truth, predicted, candidate.order), candidate.order});
  if (!best)
    if (std::optional<OrderFinding> found = learnt(truth, predicted, outputs)) offer(std::move(*found));
  return best;
}

}  // namespace wherry
