// How fast .tflite files run and what they take: all measured in one run, taking turns, so that their ratios are fair.
#pragma once

#include "base/diagnostics.h"

#include <nlohmann/json_fwd.hpp>

#include <filesystem>
#include <functional>

namespace wherry {

struct BenchmarkOptions {
  std::vector<std::filesystem::path> models;
  std::vector<int> threads = {1, 2};  // of the runtime; also how many runtimes share the cores for the throughput
  int turns = 20;                     // of each file, rotating; the first file's are what quotients are of
  int runs = 5;                       // in a turn
  std::function<void(const std::string& stage, double done, double total)> progress;
};

struct LatencyReport {
  int threads = 1;
  double load_ms = 0, first_ms = 0;  // opening the file; its first run
  std::vector<double> run_ms;        // every run behind the first
  std::vector<double> turn_ms;       // the median of each turn
  double quotient = 1;               // median over turns of this file's turn by the first file's beside it
  double per_second = 0;             // runs a second of that many runtimes of one thread each, side by side
};

struct OperatorShare {
  std::string name;  // as the kernels call themselves: "Fully Connected (NC, F32) GEMM"
  int count = 0;     // in a run
  double ms = 0;     // in a run
};

struct ModelBenchmark {
  std::string name, precision;
  std::uintmax_t bytes = 0;
  double peak_mb = 0;  // of a process that loads and runs the file alone, less what a process without it has; 10^6 bytes
  std::vector<LatencyReport> latencies;
  std::vector<OperatorShare> operators;  // the slowest first; on one thread
};

// Fails with E701, E702, E107 (no .tflite).
std::vector<ModelBenchmark> benchmark(const BenchmarkOptions& options);
nlohmann::ordered_json to_json(const std::vector<ModelBenchmark>& models);

}  // namespace wherry
