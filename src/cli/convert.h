// The whole road from a source to a verified file: the one place that names the stages in order.
#pragma once

#include "cli/load.h"
#include "lower/lower_tfl.h"
#include "passes/pipeline.h"
#include "quantize/audit/audit.h"
#include "quantize/quantize.h"
#include "verify/verify.h"

#include <nlohmann/json_fwd.hpp>

namespace wherry {

enum class Precision { float32, float16, dynamic, int8_weights, int4, int8, int16x8 };
inline bool is_calibrated(Precision precision) { return precision == Precision::int8 || precision == Precision::int16x8; }
std::string_view name(Precision precision);
std::string_view name(Io io);

struct ConvertOptions {
  std::filesystem::path source, out;
  LoadOptions load;
  std::optional<Precision> precision;  // without: the text's quantization's, else float32
  std::optional<Io> io;                // without: the target's convention (.tflite: nhwc)
  std::optional<int> l1_cache;         // kilobytes: depthwise convolutions of a float .tflite are made to fit it
  QuantizeOptions quantize;
  std::filesystem::path calibrate;            // data: a folder of images, a list, .npy or .npz
  std::size_t calibration_count = 0;          // at most so many of it, evenly spread; 0: all
  bool cache = true;                          // keep what calibration measured, and take it from there
  std::vector<std::filesystem::path> labels;  // tables of classes, for an accuracy target of top1
  std::filesystem::path preprocess;           // a text whose preprocess and labels hold for a source that has none
  bool verify = true;
  std::optional<double> tolerance;
  int threads = 2;
  std::optional<int> opset;  // .onnx: the version of its operators; without: the newest that ONNX Runtime runs
  std::string to;            // .py: torch, keras, jax or nnx
  bool nested = false;       // .keras: blocks are models within the model
  PassOptions passes;
  bool check_passes = false;   // compare the numbers before and after each pass; a difference is E703
  std::filesystem::path dump;  // a folder for the graph after each pass and the target's form, "" : none
  std::function<void(const std::string& stage, double done, double total)> progress;
};

struct ConvertResult {
  std::filesystem::path out;
  std::vector<std::filesystem::path> beside;  // what was written with it: the weights of a text
  std::uintmax_t bytes = 0;
  std::vector<std::pair<std::string, double>> seconds;  // by stage, in order
  std::optional<VerifyReport> verified;
  std::optional<AuditReport> audit;        // of integers
  std::optional<MixedResult> mixed;        // with an accuracy target
  bool calibrated = false;                 // integers: verified by the angle between answers
  bool on_data = false;                    // on calibration data; else on made-up inputs
  std::string runtime = "LiteRT";          // where it was run: "Keras 3.15.1 on JAX"
  std::map<std::string, int> ops;          // by target operator; a text: by Wherry's operator
  std::vector<NamedType> inputs, outputs;  // as the file has them
  std::string io;                          // "nhwc", "nchw" or ""
  std::vector<Diagnostic> warnings;
};

// Writes out's format. On a mismatch nothing is left under the output's name and the result says so (verified->match).
ConvertResult convert(const ConvertOptions& options);
nlohmann::ordered_json to_json(const ConvertResult& result);

}  // namespace wherry
