// Models scored on labelled data and against each other, in one run over the samples.
#pragma once

#include "cli/scored_model.h"
#include "data/labels.h"
#include "data/score.h"

#include <nlohmann/json_fwd.hpp>

namespace wherry {

struct EvaluateOptions {
  std::vector<std::filesystem::path> models;
  std::filesystem::path reference;  // "": the first of several models
  std::filesystem::path data;
  std::vector<std::filesystem::path> labels;
  std::filesystem::path preprocess;  // a text whose preprocessing all models take
  std::size_t limit = 0;             // samples, at even distances; 0: all
  bool layers = false;
  ScoredModelOptions model;
  std::function<void(const std::string& stage, double done, double total)> progress;
};

// A sample whose first class is not the reference's.
struct Flip {
  std::size_t sample, reference, model;
  std::optional<std::size_t> truth;
  double margin;  // the reference's first score less its second
};

struct ModelScore {
  std::string name, what, precision;
  std::uintmax_t bytes = 0;
  bool is_reference = false;
  std::optional<std::size_t> top1, top5;                      // right ones; where there are labels
  std::optional<std::size_t> agreement_top1, agreement_top5;  // same first class; the reference's first among the five
  std::optional<DistanceSummary> distance;
  double images_per_second = 0;    // of this model alone: its runs and the decoding, over all threads
  int threads = 1;                 // of one run
  std::vector<double> latency_ms;  // of one run on `threads` threads
  std::vector<Flip> flips;
  std::vector<std::pair<std::string, double>> layers;  // mean SQNR in dB, in execution order
};

struct EvaluateResult {
  std::shared_ptr<const Dataset> data;
  std::size_t count = 0;
  std::string labels_from;  // "": none
  Classes classes;
  std::vector<ModelScore> models;
  std::optional<OrderFinding> order;  // of the reference's predictions, or the first model's
  double seconds = 0;                 // decoding and running, all models
  int threads = 1;
  std::vector<Diagnostic> warnings;
};

EvaluateResult evaluate(const EvaluateOptions& options);
nlohmann::ordered_json to_json(const EvaluateResult& result);

// A self-contained page: the table, the flipped images with what both sides say, SQNR by layer.
std::string html_page(const EvaluateResult& result);

}  // namespace wherry
