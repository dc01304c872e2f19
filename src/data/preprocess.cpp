#include "data/preprocess.h"

#include "base/files.h"
#include "base/text.h"

#include <nlohmann/json.hpp>

#include <charconv>

namespace wherry {

namespace {

class Reader {
 public:
  Reader(const Model& model, Diagnostics& diagnostics) : model_(model), diagnostics_(diagnostics) {}

  void read(const TextValue& steps, Preprocess& out) {
    if (steps.kind != TextValue::list) return fault(steps, "preprocess is a list of steps");
    for (const TextValue& step : steps.items) {
      if (step.kind != TextValue::map || step.members.size() != 1) {
        fault(step, "a step is one key with its value: '- resize: {shorter_side: 256}'");
        continue;
      }
      const auto& [key, value] = step.members[0];
      read_step(key, value, out);
    }
  }

 private:
  void read_step(const std::string& key, const TextValue& value, Preprocess& out) {
    static const std::vector<std::string> steps = {"resize", "center_crop", "scale", "normalize", "colours"};
    if (key == "resize")
      read_resize(value, out);
    else if (key == "center_crop")
      read_crop(value, out);
    else if (key == "scale")
      out.scale = fraction(value);
    else if (key == "normalize")
      read_normalize(value, out);
    else if (key == "colours")
      out.colours = word(value, {"rgb", "bgr"});
    else
      fault(value, fmt::format("unknown step '{}'{}", key, did_you_mean(key, steps)), "E302");
  }

  void read_resize(const TextValue& value, Preprocess& out) {
    if (value.kind != TextValue::map) {
      out.resize = sizes(value);
      return;
    }
    for (const auto& [key, item] : value.members) {
      if (key == "shorter_side")
        out.shorter_side = static_cast<int>(number(item));
      else if (key == "size")
        out.resize = sizes(item);
      else if (key == "filter")
        out.filter = word(item, {"nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"});
      else
        fault(item, fmt::format("unknown key '{}'{}", key, did_you_mean(key, {"shorter_side", "size", "filter"})), "E302");
    }
  }

  void read_crop(const TextValue& value, Preprocess& out) {
    if (value.kind != TextValue::map) {
      out.crop = sizes(value);
      return;
    }
    for (const auto& [key, item] : value.members) {
      if (key == "size")
        out.crop = sizes(item);
      else if (key == "rounding")
        out.crop_down = word(item, {"even", "down"}) == "down";
      else
        fault(item, fmt::format("unknown key '{}'{}", key, did_you_mean(key, {"size", "rounding"})), "E302");
    }
    if (out.crop.empty()) fault(value, "center_crop needs a size", "E303");
  }

  void read_normalize(const TextValue& value, Preprocess& out) {
    const TextValue* mean = value.find("mean");
    const TextValue* deviation = value.find("std");
    if (!mean || !deviation) return fault(value, "normalize needs mean and std", "E303");
    out.mean = numbers(*mean), out.std = numbers(*deviation);
    if (out.mean.size() != out.std.size())
      fault(value, fmt::format("{} means and {} standard deviations", out.mean.size(), out.std.size()));
    for (const double s : out.std)
      if (!(s > 0)) fault(*deviation, "a standard deviation must be positive");
  }

  double number(const TextValue& value) {
    if (value.kind == TextValue::integer) return static_cast<double>(value.integer_value);
    if (value.kind == TextValue::number) return value.number_value;
    fault(value, "a number is wanted here");
    return 1;
  }

  double fraction(const TextValue& value) {  // 1/255 or a number
    if (value.kind != TextValue::string) return number(value);
    const std::vector<std::string> parts = split(value.string_value, '/');
    double a = 0, b = 1;
    const auto parse = [](const std::string& s, double& out) {
      return std::from_chars(s.data(), s.data() + s.size(), out).ec == std::errc();
    };
    if (parts.size() != 2 || !parse(parts[0], a) || !parse(parts[1], b) || b == 0)
      fault(value, "a number or a fraction such as 1/255 is wanted here");
    return a / b;
  }

  std::vector<double> numbers(const TextValue& value) {
    std::vector<double> out;
    for (const TextValue& item : value.items) out.push_back(number(item));
    if (value.kind != TextValue::list) out.push_back(number(value));
    return out;
  }

  std::vector<int> sizes(const TextValue& value) {
    std::vector<int> out;
    for (const double d : numbers(value)) out.push_back(static_cast<int>(d));
    if (out.size() == 1) out.push_back(out[0]);
    if (out.size() != 2 || out[0] <= 0 || out[1] <= 0) fault(value, "[height, width] is wanted here");
    return out;
  }

  std::string word(const TextValue& value, const std::vector<std::string>& words) {
    if (std::find(words.begin(), words.end(), value.string_value) == words.end())
      fault(value, fmt::format("'{}' is none of {}", value.string_value, join(words, ", ")));
    return value.string_value;
  }

  void fault(const TextValue& value, std::string message, std::string code = "E304") {
    Place place{.file = model_.file.string(), .line = value.line, .column = value.column};
    if (value.line > 0 && static_cast<std::size_t>(value.line) <= model_.text_lines.size())
      place.text = model_.text_lines[static_cast<std::size_t>(value.line) - 1];
    diagnostics_.add({.code = std::move(code),
                      .message = "preprocess: " + std::move(message),
                      .next = "docs/format.md lists the steps",
                      .place = std::move(place)});
  }

  const Model& model_;
  Diagnostics& diagnostics_;
};

}  // namespace

std::optional<Preprocess> read_preprocess(const Model& model, Diagnostics& diagnostics) {
  if (model.preprocess.kind == TextValue::null) return std::nullopt;
  Preprocess result;
  Reader(model, diagnostics).read(model.preprocess, result);
  return result;
}

nlohmann::ordered_json to_json(const Preprocess& p) {
  return {{"shorter_side", p.shorter_side},
          {"resize", p.resize},
          {"filter", p.filter},
          {"crop", p.crop},
          {"scale", p.scale},
          {"mean", p.mean},
          {"std", p.std},
          {"colours", p.colours}};
}

std::optional<Preprocess> parse_preprocess(std::string_view text) {
  const nlohmann::json j = nlohmann::json::parse(text, nullptr, false);
  try {
    Preprocess p{.shorter_side = j.at("shorter_side"),
                 .resize = j.at("resize"),
                 .filter = j.at("filter"),
                 .crop = j.at("crop"),
                 .scale = j.at("scale"),
                 .mean = j.at("mean"),
                 .std = j.at("std"),
                 .colours = j.at("colours")};
    const bool sane = p.shorter_side >= 0 && (p.resize.empty() || p.resize.size() == 2) && (p.crop.empty() || p.crop.size() == 2) &&
                      p.mean.size() == p.std.size();
    return sane ? std::optional(p) : std::nullopt;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

std::vector<std::string> read_labels(const Model& model, const std::vector<std::filesystem::path>& library_folders,
                                     Diagnostics& diagnostics) {
  std::vector<std::string> labels;
  for (const TextValue& item : model.labels.items) labels.push_back(item.string_value);
  if (model.labels.kind != TextValue::string) return labels;
  const std::string& name = model.labels.string_value;
  std::vector<std::filesystem::path> places = {model.file.parent_path() / name};
  for (const auto& folder : library_folders) places.push_back(folder / "labels" / (name + ".txt"));
  for (const auto& place : places) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(place, error)) continue;
    labels = split(read_text(place), '\n');
    while (!labels.empty() && labels.back().empty()) labels.pop_back();
    return labels;
  }
  diagnostics.add({.code = "E101",
                   .message = fmt::format("the label set '{}' is not found; the file carries no labels", name),
                   .next = fmt::format("put one name a line into labels/{}.txt of a folder named by WHERRY_LIBRARY", name),
                   .severity = Severity::warning});
  return labels;
}

}  // namespace wherry
