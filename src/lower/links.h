// Who makes and who takes each tensor of a TflGraph, as the graph stood when this was built.
#pragma once

#include "ops/tfl.h"

namespace wherry {

inline std::size_t at(int i) { return static_cast<std::size_t>(i); }

struct Links {
  std::vector<int> producer, users, last_user;  // by tensor: a node or -1, a count, a node or -1
  std::vector<bool> is_input, is_output;

  explicit Links(const TflGraph& graph)
      : producer(graph.tensors.size(), -1),
        users(graph.tensors.size()),
        last_user(graph.tensors.size(), -1),
        is_input(graph.tensors.size()),
        is_output(graph.tensors.size()) {
    for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
      for (const int t : graph.nodes[n].outputs) producer[at(t)] = static_cast<int>(n);
      for (const int t : graph.nodes[n].inputs)
        if (t >= 0) ++users[at(t)], last_user[at(t)] = static_cast<int>(n);
    }
    for (const Port& port : graph.inputs) is_input[at(port.value)] = true;
    for (const Port& port : graph.outputs) is_output[at(port.value)] = true;
  }
  bool single(int t) const { return users[at(t)] == 1 && !is_output[at(t)]; }
  int taker(int t) const { return single(t) ? last_user[at(t)] : -1; }  // the node that alone takes a tensor, or -1
  TflNode* maker(TflGraph& graph, int t) const {
    return t < 0 || at(t) >= producer.size() || producer[at(t)] < 0 ? nullptr : &graph.nodes[at(producer[at(t)])];
  }
};

}  // namespace wherry
