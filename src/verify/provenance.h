// What a .tflite says of its own making: JSON under the metadata name WHERRY_PROVENANCE. The order of each tensor's axes lets a
// file be compared with its source layer by layer, without a guess.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace wherry {

struct Provenance {
  std::string generator;    // "wherry 0.1.0"
  std::string source;       // the source's file name
  std::string source_hash;  // "xxh3:…" of its bytes
  std::string precision, io;
  std::string preprocess = {};  // the text's preprocessing as JSON (data/preprocess.h); "": it has none
  // How tensors lie: axis i of the source's value is axis order[i] of the file's tensor.
  std::map<std::string, std::vector<int>> ports;  // inputs and outputs, by name
  struct Layer {
    int tensor;        // its index in the file
    std::string name;  // the source's value
    std::vector<int> order;
    std::vector<float> factors = {}, offsets = {};  // by channel, the file's last axis: the source's value is factors · this + offsets
  };
  std::vector<Layer> layers;  // in execution order
};

std::string to_json_text(const Provenance& provenance);
std::optional<Provenance> parse_provenance(std::string_view json);  // nullopt: not ours, or damaged
std::string hash_bytes(std::string_view bytes);

}  // namespace wherry
