// Statistics kept from one conversion to the next, by all that they depend on: the float graph with its weights, the data, the
// runtime. A file that cannot be read or is damaged counts as absent, and one that cannot be written is left out.
#pragma once

#include "quantize/adjust/channel_maps.h"
#include "quantize/calibrate/calibrate.h"

#include <filesystem>

namespace wherry {

struct Statistics {
  std::vector<std::size_t> order;  // of the samples, by their content: any few of the first are typical
  ChannelMaps channels;            // that the graph's tensors were changed by
  std::vector<Histogram> tensors;  // by tensor of the changed graph
  Answers answers;                 // of it in float, of every sample
};

// Structure and every constant's bits.
std::string fingerprint(const TflGraph& graph);

class StatisticsCache {
 public:
  static constexpr std::size_t most_files = 20;  // the least recently used go

  // `data` says what the samples are, in their order, and who runs the graph; `how` what else decides what is measured.
  StatisticsCache(std::filesystem::path folder, std::string data) : folder_(std::move(folder)), data_(std::move(data)) {}
  std::optional<Statistics> find(const TflGraph& graph, const std::string& how) const;
  void keep(const TflGraph& graph, const std::string& how, const Statistics& statistics) const;

 private:
  std::filesystem::path file_of(const TflGraph& graph, const std::string& how) const;
  std::filesystem::path folder_;
  std::string data_;
};

}  // namespace wherry
