#include "runtime/evaluate.h"
#include "verify/side.h"

namespace wherry {

namespace {

class EvaluatorSide : public Side {
 public:
  EvaluatorSide(const Graph& graph, const OpTable& ops, std::string what, NodeProgress progress)
      : evaluator_(graph, ops), what_(std::move(what)), progress_(std::move(progress)) {}

  std::string what() const override { return what_; }
  std::vector<NamedType> inputs() const override { return named(evaluator_.graph().inputs); }
  std::vector<NamedType> outputs() const override { return named(evaluator_.graph().outputs); }

  std::vector<Tensor> run(const std::vector<Tensor>& inputs) override {
    return evaluator_.run(inputs, [&](const Value&, const Tensor&, int done, int total) {
      if (progress_) progress_(done, total);
    });
  }

  std::vector<Layer> run_layers(const std::vector<Tensor>& inputs) override {
    std::vector<Layer> layers;
    evaluator_.run(inputs, [&](const Value& value, const Tensor& tensor, int done, int total) {
      layers.push_back({value.name, tensor});
      if (progress_) progress_(done, total);
    });
    return layers;
  }

 private:
  std::vector<NamedType> named(const std::vector<Port>& ports) const {
    std::vector<NamedType> list;
    for (const Port& port : ports) list.push_back({port.name, evaluator_.graph().type(port.value)});
    return list;
  }
  Evaluator evaluator_;
  std::string what_;
  NodeProgress progress_;
};

}  // namespace

std::unique_ptr<Side> evaluator_side(const Graph& graph, const OpTable& ops, std::string what, NodeProgress progress) {
  return std::make_unique<EvaluatorSide>(graph, ops, std::move(what), std::move(progress));
}

}  // namespace wherry
