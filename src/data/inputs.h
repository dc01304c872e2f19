// A data set as the inputs of one model.
#pragma once

#include "data/apply_preprocess.h"
#include "data/dataset.h"

namespace wherry {

// One input as its consumer takes it: a .tflite's own tensor, or the lowered graph's.
struct InputPort {
  std::string name;
  Type type;                    // static, with a first axis of one
  bool channels_last = false;   // rank 4: [1, h, w, c]
  std::optional<double> scale;  // of integers that stand for reals
  std::int64_t zero_point = 0;
};

class Inputs {
 public:
  // Checks all that can be known before a sample is read, and of arrays their statistics (check_statistics). E806, E807, E809.
  Inputs(std::shared_ptr<const Dataset> dataset, std::vector<InputPort> ports, std::optional<Preprocess> preprocess,
         Diagnostics& diagnostics);

  std::size_t size() const { return dataset_->size(); }
  // One tensor for each port. Any thread may ask for any sample.
  std::vector<Tensor> load(std::size_t i) const;

  // In two steps, so that models share the decoding: the image after the record's geometry, and as this model takes it.
  bool from_images() const { return table_.has_value(); }
  Image fitted(const Image& decoded, std::size_t i) const;  // E806 where its size is not the model's
  Tensor from_image(const Image& image) const;
  const std::optional<Preprocess>& preprocess() const { return preprocess_; }
  const Dataset& dataset() const { return *dataset_; }

 private:
  void check_images(Diagnostics& diagnostics);
  void check_arrays(Diagnostics& diagnostics);
  Tensor from_array(const Tensor& sample, const InputPort& port) const;
  std::string listing() const;

  std::shared_ptr<const Dataset> dataset_;
  std::vector<InputPort> ports_;
  std::optional<Preprocess> preprocess_;
  std::optional<PixelTable> table_;  // data of images
  std::vector<std::size_t> array_;   // by port: which array of the data
};

struct ChannelStatistics {
  double mean = 0, std = 0, min = 0, max = 0;
};
// Of up to `samples` samples at even distances; the axis that has 3 entries is the channels'. Nothing where the array is no image.
std::vector<ChannelStatistics> channel_statistics(const Dataset& dataset, std::size_t array, std::size_t samples = 64);

// E807 when these cannot be photographs after the record's scale, mean and std: values that no grey level gives, or a range that is a
// part of the grey levels only. The message says what the data look like. `what` names them.
void check_statistics(const Preprocess& preprocess, const std::vector<ChannelStatistics>& found, const std::string& what,
                      Diagnostics& diagnostics);

}  // namespace wherry
