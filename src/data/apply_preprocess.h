// A Preprocess record applied to an image: what a model takes.
#pragma once

#include "data/images.h"
#include "data/preprocess.h"
#include "data/resize.h"
#include "ir/tensor.h"

namespace wherry {

// The geometry of torchvision: the longer side of a resize by the shorter one is cut to whole pixels; a centre crop rounds halves to
// even and pads with black what the image lacks. Colours in the record's order.
Image apply_geometry(const Image& image, const Preprocess& preprocess);
bool same_geometry(const Preprocess& a, const Preprocess& b);

// How a model takes its image.
struct PixelForm {
  DType dtype = DType::float32;  // float32, float16, int8, uint8, int16, …
  bool channels_last = false;
  // For integers: q = round(x / scale) + zero_point, clamped. uint8 and int8 without a scale take the grey levels themselves.
  std::optional<double> scale;
  std::int64_t zero_point = 0;
};

// scale, mean, std and the form at once, by a table of the 256 grey levels of each channel.
class PixelTable {
 public:
  PixelTable(const Preprocess& preprocess, const PixelForm& form);
  // A batch of one: [1, 3, height, width] or [1, height, width, 3].
  Tensor apply(const Image& image) const;

 private:
  PixelForm form_;
  std::vector<std::byte> table_;  // by channel, then grey level
};

// Real value of a grey level in a channel after the record's steps.
double normalised(const Preprocess& preprocess, std::size_t channel, double level);

}  // namespace wherry
