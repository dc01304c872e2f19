#include "verify/verify.h"

#include "base/text.h"

namespace wherry {

namespace {

LayerReport judge(std::string name, const Tensor& reference, const Tensor& other, double tolerance) {
  const Metrics metrics = compare(reference, other);
  return {std::move(name), metrics, metrics.relative() <= tolerance};
}

[[noreturn]] void do_not_fit(const Side& a, const Side& b, const std::string& what) {
  fail({.code = "E705",
        .message = fmt::format("{} and {} cannot be compared: {}", a.what(), b.what(), what),
        .next = "'wherry show' prints the inputs and outputs of both"});
}

void require_alike(const Side& a, const Side& b) {
  const auto alike = [&](const std::vector<NamedType>& x, const std::vector<NamedType>& y, const char* which) {
    if (x.size() != y.size()) do_not_fit(a, b, fmt::format("{} against {} {}s", x.size(), y.size(), which));
    for (std::size_t i = 0; i < x.size(); ++i)
      if (x[i].type.shape != y[i].type.shape)
        do_not_fit(a, b, fmt::format("{} '{}' is {} against {}", which, x[i].name, text(x[i].type), text(y[i].type)));
  };
  alike(a.inputs(), b.inputs(), "input");
  alike(a.outputs(), b.outputs(), "output");
}

// What frameworks leave of a layer's path: Keras takes no '.' in a name, and TensorFlow none that begins with '_'.
std::string framework_name(const std::string& path) {
  std::string name;
  for (const char c : path) {
    if (c == '.' || c == '-')
      name += '-';
    else if (c != '_' || !(name.empty() || name.back() == '-'))
      name += c;
  }
  return name;
}

std::vector<LayerReport> compare_layers(const std::vector<Side::Layer>& reference, const std::vector<Side::Layer>& other,
                                        double tolerance) {
  std::map<std::string, const Tensor*> by_name;
  for (const Side::Layer& layer : other) by_name.emplace(framework_name(layer.name), &layer.tensor);
  for (const Side::Layer& layer : other) by_name[layer.name] = &layer.tensor;
  std::vector<LayerReport> reports;
  for (const Side::Layer& layer : reference) {
    auto it = by_name.find(layer.name);
    if (it == by_name.end()) it = by_name.find(framework_name(layer.name));
    if (it != by_name.end() && it->second->sizes() == layer.tensor.sizes())
      reports.push_back(judge(layer.name, layer.tensor, *it->second, tolerance));
  }
  return reports;
}

}  // namespace

// Integer files are judged by their SQNR and agreement; these bounds only tell a working file from a broken one.
double tolerance_of(std::string_view precision) {
  if (precision == "float16" || precision == "int16x8") return 2e-2;
  if (precision == "int8-weights" || precision == "int8") return 0.35;
  if (precision == "dynamic" || precision == "int4") return 0.6;
  return 1e-4;
}

VerifyReport verify_sides(Side& reference, Side& other, const std::vector<Tensor>& inputs, double tolerance, bool layers) {
  require_alike(reference, other);
  VerifyReport report{.tolerance = tolerance};
  const std::vector<NamedType> names = reference.outputs();
  const std::vector<Tensor> expected = reference.run(inputs), found = other.run(inputs);
  report.worst = compare(expected.at(0), found.at(0));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    report.outputs.push_back(judge(names[i].name, expected[i], found[i], tolerance));
    report.worst = worst(report.worst, report.outputs.back().metrics);
    report.match = report.match && report.outputs.back().match;
  }
  if (layers) report.layers = compare_layers(reference.run_layers(inputs), other.run_layers(inputs), tolerance);
  for (const std::vector<LayerReport>* list : {&report.layers, &report.outputs})
    for (const LayerReport& layer : *list)
      if (!layer.match && report.first_mismatch.empty()) report.first_mismatch = layer.name;
  return report;
}

}  // namespace wherry
