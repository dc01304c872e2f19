// The stages of a conversion, timed for the result and told to whoever watches.
#pragma once

#include "cli/convert.h"

#include <chrono>

namespace wherry {

// Each stage lasts until the next begins.
class Stages {
 public:
  Stages(ConvertResult& result, const ConvertOptions& options) : result_(result), options_(options) {}
  void begin(std::string name) {
    end();
    name_ = std::move(name);
    begin_ = Clock::now();
    progress(0, 0);
  }
  void progress(double done, double total) const {
    if (options_.progress) options_.progress(name_, done, total);
  }
  void end() {
    if (!name_.empty()) result_.seconds.emplace_back(name_, std::chrono::duration<double>(Clock::now() - begin_).count());
    name_.clear();
  }

 private:
  using Clock = std::chrono::steady_clock;
  ConvertResult& result_;
  const ConvertOptions& options_;
  std::string name_;
  Clock::time_point begin_{};
};

// One for each format that convert() writes, each in its own convert_….cpp.
void convert_to_tflite(LoadedSource& source, const ConvertOptions& options, ConvertResult& result, Stages& stages);
void convert_to_keras(LoadedSource& source, const ConvertOptions& options, ConvertResult& result, Stages& stages);
void convert_to_text(LoadedSource& source, const ConvertOptions& options, ConvertResult& result, Stages& stages);
void convert_to_onnx(LoadedSource& source, const ConvertOptions& options, ConvertResult& result, Stages& stages);
void convert_to_source(LoadedSource& source, const ConvertOptions& options, ConvertResult& result, Stages& stages);

}  // namespace wherry
