#include "quantize/text/channel_maps_file.h"

#include "quantize/rules.h"

#include <cmath>
#include <set>

namespace wherry {

namespace {

constexpr const char *factors_suffix = ".factors", *offsets_suffix = ".offsets";

class Reader {
 public:
  Reader(const TflGraph& graph, const std::vector<std::string>& names, const Weights& codes, const std::function<void(std::string)>& report)
      : graph_(graph), names_(names), codes_(codes), report_(report) {}

  ChannelMaps run() {
    ChannelMaps out;
    for (const auto& set : scalable_sets(graph_)) {
      const auto first = read(set[0], factors_suffix, [](float f) { return f >= 1e-6F && f <= 1e6F; });
      for (const int id : set) {
        const auto own = read(id, factors_suffix, [](float f) { return f >= 1e-6F && f <= 1e6F; });
        if (own != first)
          report_(fmt::format("'{}' and '{}' must be the same: the model adds or passes on one as the other", key(set[0], factors_suffix),
                              key(id, factors_suffix)));
        else if (first)
          out.factors[id] = *first;
      }
    }
    for (const int id : movable_tensors(graph_))
      if (auto own = read(id, offsets_suffix, [](float f) { return std::abs(f) <= 1e6F; })) out.offsets[id] = *std::move(own);
    out.offsets = all_offsets(graph_, out.offsets);
    refuse_unread(factors_suffix, "scales a tensor whose channels cannot be scaled without changing the model");
    refuse_unread(offsets_suffix, "moves a tensor whose channels cannot be moved without changing the model");
    return out;
  }

 private:
  std::string key(int id, const char* suffix) const { return names_[static_cast<std::size_t>(id)] + suffix; }

  template <class Good>
  std::optional<std::vector<float>> read(int id, const char* suffix, const Good& good) {
    const auto found = codes_.find(key(id, suffix));
    if (found == codes_.end()) return std::nullopt;
    read_.insert(found->first);
    const Sizes& sizes = tensor_at(graph_, id)->sizes;
    const Type wanted{DType::float32, {Dim(sizes.empty() ? 1 : sizes.back())}};
    if (!(found->second.type() == wanted)) {
      report_(fmt::format("'{}' in the file of codes is {}; the model needs {}", found->first, text(found->second.type()), text(wanted)));
      return std::nullopt;
    }
    std::vector<float> values = found->second.to_floats();
    if (std::ranges::all_of(values, good)) return values;
    report_(fmt::format("'{}' has numbers that are no {}: they go {} 1e6", found->first, suffix + 1,
                        suffix == factors_suffix ? "from 1e-6 to" : "to plus and minus"));
    return std::nullopt;
  }

  void refuse_unread(const std::string& suffix, const char* why) const {
    for (const auto& [key, tensor] : codes_) {
      if (!key.ends_with(suffix) || read_.contains(key)) continue;
      const std::string name = key.substr(0, key.size() - suffix.size());
      report_(std::ranges::find(names_, name) == names_.end() ? fmt::format("'{}' in the file of codes is for no tensor of the model", key)
                                                              : fmt::format("'{}' {}", key, why));
    }
  }

  const TflGraph& graph_;
  const std::vector<std::string>& names_;
  const Weights& codes_;
  const std::function<void(std::string)>& report_;
  std::set<std::string> read_;
};

}  // namespace

void add_channel_maps(const ChannelMaps& maps, const TflGraph& graph, const std::vector<std::string>& names, Weights& codes) {
  const auto put = [&](int id, const char* suffix, const std::vector<float>& values) {
    codes[names[static_cast<std::size_t>(id)] + suffix] = Tensor::from(values, {static_cast<std::int64_t>(values.size())});
  };
  for (const auto& [id, factors] : maps.factors) put(id, factors_suffix, factors);
  for (const int id : movable_tensors(graph))
    if (const auto found = maps.offsets.find(id); found != maps.offsets.end()) put(id, offsets_suffix, found->second);
}

ChannelMaps channel_maps_of(const TflGraph& graph, const std::vector<std::string>& names, const Weights& codes,
                            const std::function<void(std::string)>& report) {
  return Reader(graph, names, codes, report).run();
}

}  // namespace wherry
