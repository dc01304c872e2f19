// The one record of how an image becomes a model's input: calibration, evaluation and the deployed file's metadata read it.
#pragma once

#include "base/diagnostics.h"
#include "ir/model.h"

#include <nlohmann/json_fwd.hpp>

namespace wherry {

struct Preprocess {
  int shorter_side = 0;             // resize so that the shorter side has this many pixels; 0: no such step
  std::vector<int> resize;          // or to exactly [height, width]
  std::string filter = "bilinear";  // Pillow's: nearest, box, bilinear, hamming, bicubic, lanczos
  std::vector<int> crop;            // centre crop to [height, width]; empty: none
  bool crop_down = false;           // an odd rest puts the lesser half before the crop, instead of rounding halves to even
  double scale = 1;                 // multiplies the 0..255 values
  std::vector<double> mean, std;    // then (x - mean) / std, by channel; empty: none
  std::string colours = "rgb";      // rgb or bgr
  bool operator==(const Preprocess&) const = default;
};

// The record as a deployed file carries it, and back; nothing where the JSON is another thing.
nlohmann::ordered_json to_json(const Preprocess& preprocess);
std::optional<Preprocess> parse_preprocess(std::string_view json);

// Reads the text's `preprocess` list (docs/format.md). Null gives nothing; faults go to `diagnostics` with their places.
std::optional<Preprocess> read_preprocess(const Model& model, Diagnostics& diagnostics);

// The label names behind the text's `labels`: a list in the text, a file beside it (one name a line), or a set NAME found as
// labels/NAME.txt in a library folder. Nothing when the text names none; a warning where a set is not found.
std::vector<std::string> read_labels(const Model& model, const std::vector<std::filesystem::path>& library_folders,
                                     Diagnostics& diagnostics);

}  // namespace wherry
