#include "base/text.h"
#include "data/inputs.h"

namespace wherry {

namespace {

// What arrays of photographs hold most often, for the message.
struct Habit {
  const char* what;
  double least, most;
};
constexpr Habit habits[] = {
    {"grey levels as they are, 0..255: nothing was scaled or normalised", 0, 255},
    {"scaled to 0..1 and not normalised", 0, 1},
    {"scaled to -1..1", -1, 1},
    {"normalised with ImageNet's mean and standard deviation", -2.118, 2.64},
    {"grey levels less their mean", -127.5, 127.5},
};

std::string looks_like(double least, double most) {
  for (const Habit& habit : habits) {
    const double margin = 0.1 * (habit.most - habit.least);
    if (std::abs(least - habit.least) <= margin && std::abs(most - habit.most) <= margin)
      return fmt::format("; they look like photographs {}", habit.what);
  }
  return "";
}

}  // namespace

std::vector<ChannelStatistics> channel_statistics(const Dataset& dataset, std::size_t array, std::size_t samples) {
  const Sizes& sizes = dataset.all_arrays().at(array).tensor.sizes();
  if (sizes.size() != 4 || (sizes[1] != 3 && sizes[3] != 3)) return {};
  const std::vector<int> channels_last = {0, 2, 3, 1};
  const std::size_t count = std::min(samples, dataset.size());
  std::vector<ChannelStatistics> found(3, {0, 0, std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()});
  double pixels = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const Tensor sample = dataset.arrays(i * dataset.size() / count)[array].tensor;
    const Tensor flat = (sizes[1] == 3 ? sample.permuted(channels_last) : sample).contiguous().cast(DType::float32);
    const auto values = flat.as<float>();
    for (std::size_t k = 0; k < values.size(); ++k) {
      ChannelStatistics& channel = found[k % 3];
      const double value = values[k];
      channel.mean += value, channel.std += value * value;
      channel.min = std::min(channel.min, value), channel.max = std::max(channel.max, value);
    }
    pixels += static_cast<double>(values.size()) / 3;
  }
  for (ChannelStatistics& channel : found) {
    channel.mean /= pixels;
    channel.std = std::sqrt(std::max(channel.std / pixels - channel.mean * channel.mean, 0.0));
  }
  return found;
}

void check_statistics(const Preprocess& preprocess, const std::vector<ChannelStatistics>& found, const std::string& what,
                      Diagnostics& diagnostics) {
  if (found.empty()) return;
  bool finite = true;
  double least = found[0].min, most = found[0].max, darkest = 255, brightest = 0, outside = 0, span = 0, wanted_least = 0, wanted_most = 0;
  std::vector<std::string> means, deviations;
  for (std::size_t c = 0; c < found.size(); ++c) {
    const double black = normalised(preprocess, c, 0), white = normalised(preprocess, c, 255);
    const auto level = [&](double value) { return (value - black) / (white - black) * 255; };
    least = std::min(least, found[c].min), most = std::max(most, found[c].max);
    wanted_least = std::min(c == 0 ? black : wanted_least, black), wanted_most = std::max(c == 0 ? white : wanted_most, white);
    darkest = std::min(darkest, level(found[c].min)), brightest = std::max(brightest, level(found[c].max));
    span = std::max(span, level(found[c].max) - level(found[c].min));
    outside = std::max({outside, -level(found[c].min), level(found[c].max) - 255});
    finite = finite && std::isfinite(found[c].mean) && std::isfinite(found[c].std);
    means.push_back(fmt::format("{:.3g}", found[c].mean)), deviations.push_back(fmt::format("{:.3g}", found[c].std));
  }
  std::string reason;
  if (!finite)
    reason = "they hold NaN or infinite numbers";
  else if (outside > 6)  // a resampling without clipping overshoots by less
    reason = "some are values that no grey level becomes";
  else if (span < 128 || darkest > 64)
    reason = fmt::format("they are grey levels {:.0f} to {:.0f} only", darkest, brightest);
  if (reason.empty()) return;
  diagnostics.add(
      {.code = "E807",
       .message = fmt::format(
           "{} is not what the text's preprocessing gives: {}; found {:.3g} to {:.3g}, mean {}, std {}; expected {:.3g} to {:.3g}{}", what,
           reason, least, most, join(means, " "), join(deviations, " "), wanted_least, wanted_most, looks_like(least, most))});
}

}  // namespace wherry
