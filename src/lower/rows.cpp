#include "lower/lowering.h"
#include "lower/slot_rows.h"

namespace wherry {

void lower_by_layout(TflLowering& lower, const Node& node) {
  LaidOut laid = lay_out(lower, node);
  std::vector<TflOption> options;
  for (SlotPair& pair : slot_pairs(node, node.op->tflite.options, laid.of_first))
    options.push_back({std::move(pair.name), std::move(pair.value)});
  const std::vector<int> made = lower.add_multi(node.op->tflite.builtin, std::move(laid.inputs), laid.outs, std::move(options));
  give_laid_out(lower, node, made, laid);
}

}  // namespace wherry
