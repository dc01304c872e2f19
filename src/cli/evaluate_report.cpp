// What an evaluation found, as JSON and as a page.
#include "cli/evaluate.h"
#include "data/resize.h"
#include "report/page.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace wherry {

namespace {

using Json = nlohmann::ordered_json;

Json share(const std::optional<std::size_t>& hits, std::size_t count) {
  return hits ? Json(static_cast<double>(*hits) / static_cast<double>(count)) : Json();
}

Json interval(const std::optional<std::size_t>& hits, std::size_t count) {
  if (!hits) return {};
  const Interval i = wilson(*hits, count);
  return {i.low, i.high};
}

Json finite(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json to_json(const Flip& flip, const EvaluateResult& result) {
  const auto named = [&](std::size_t index) { return Json{{"class", index}, {"name", result.classes.name(index)}}; };
  Json j = {{"sample", result.data->sample(flip.sample).name}, {"reference", named(flip.reference)}, {"model", named(flip.model)}};
  if (flip.truth) j["truth"] = named(*flip.truth);
  j["reference_margin"] = flip.margin;
  return j;
}

Json to_json(const ModelScore& model, const EvaluateResult& result) {
  const std::size_t n = result.count;
  Json j = {{"model", model.name},
            {"runs_in", model.what},
            {"precision", model.precision},
            {"bytes", model.bytes},
            {"is_reference", model.is_reference}};
  j["top1"] = share(model.top1, n), j["top1_interval"] = interval(model.top1, n);
  j["top5"] = share(model.top5, n), j["top5_interval"] = interval(model.top5, n);
  j["agreement_top1"] = share(model.agreement_top1, n), j["agreement_top1_interval"] = interval(model.agreement_top1, n);
  j["agreement_top5"] = share(model.agreement_top5, n);
  j["sqnr_db"] = model.distance ? finite(model.distance->sqnr_db) : Json();
  j["cosine"] = model.distance ? Json(model.distance->cosine) : Json();
  j["l2"] = model.distance ? Json(model.distance->l2) : Json();
  j["images_per_second"] = model.images_per_second;
  j["latency_ms"] = {{"threads", model.threads},
                     {"median", percentile(model.latency_ms, 0.5)},
                     {"p90", percentile(model.latency_ms, 0.9)},
                     {"p99", percentile(model.latency_ms, 0.99)}};
  j["flipped"] = Json::array();
  for (const Flip& flip : model.flips) j["flipped"].push_back(to_json(flip, result));
  if (!model.layers.empty()) {
    j["layers"] = Json::array();
    for (const auto& [name, sqnr] : model.layers) j["layers"].push_back({{"name", name}, {"sqnr_db", sqnr}});
  }
  return j;
}

// "88.6 % (85.5 to 91.1)"
std::string percent(const std::optional<std::size_t>& hits, std::size_t count) {
  if (!hits) return "";
  const Interval i = wilson(*hits, count);
  return fmt::format("{:.1f} % ({:.1f} to {:.1f})", 100.0 * static_cast<double>(*hits) / static_cast<double>(count), 100 * i.low,
                     100 * i.high);
}

// The middle square, small.
std::string thumbnail(const Image& image) {
  constexpr int side = 176;
  const int shorter = std::min(image.width, image.height);
  const int width = std::max(side, image.width * side / shorter), height = std::max(side, image.height * side / shorter);
  return encode_jpeg(resize(image, width, height, Filter::bilinear, {(width - side) / 2, (height - side) / 2, side, side}));
}

void add_flips(Page& page, const ModelScore& model, const EvaluateResult& result) {
  if (model.is_reference || !model.agreement_top1) return;
  page.heading(fmt::format("{}: {} of {} images flipped", model.name, model.flips.size(), result.count));
  if (model.flips.empty()) return;
  constexpr std::size_t shown = 60;
  std::vector<Page::Card> cards;
  for (const Flip& flip : model.flips) {
    if (cards.size() == shown || !result.data->holds_images()) break;
    Page::Card card{thumbnail(result.data->image(flip.sample)),
                    {"was: " + result.classes.name(flip.reference), "now: " + result.classes.name(flip.model)}};
    if (flip.truth) card.lines.push_back("is: " + result.classes.name(*flip.truth));
    card.lines.push_back(result.data->sample(flip.sample).name);
    cards.push_back(std::move(card));
  }
  page.cards(cards);
  if (model.flips.size() > cards.size()) page.paragraph(fmt::format("{} more in the table.", model.flips.size() - cards.size()));
  std::map<std::pair<std::size_t, std::size_t>, std::size_t> confusion;
  for (const Flip& flip : model.flips) ++confusion[{flip.reference, flip.model}];
  std::vector<std::pair<std::size_t, std::pair<std::size_t, std::size_t>>> pairs;
  for (const auto& [pair, count] : confusion) pairs.emplace_back(count, pair);
  std::stable_sort(pairs.begin(), pairs.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<std::vector<std::string>> rows;
  for (const auto& [count, pair] : pairs)
    rows.push_back({result.classes.name(pair.first), result.classes.name(pair.second), std::to_string(count)});
  page.table({"the reference said", "this model says", "images"}, rows);
}

}  // namespace

nlohmann::ordered_json to_json(const EvaluateResult& result) {
  Json j = {{"data", result.data->path().string()}, {"images", result.count}, {"threads", result.threads}, {"seconds", result.seconds}};
  j["images_per_second"] = static_cast<double>(result.count) / std::max(result.seconds, 1e-9);
  j["labels"] = result.labels_from.empty() ? Json() : Json(result.labels_from);
  j["label_order"] = result.order ? Json{{"order", result.order->order}, {"top1", result.order->accuracy}} : Json();
  j["models"] = Json::array();
  for (const ModelScore& model : result.models) j["models"].push_back(to_json(model, result));
  j["warnings"] = Json::array();
  for (const Diagnostic& warning : result.warnings) j["warnings"].push_back(to_json(warning));
  return j;
}

std::string html_page(const EvaluateResult& result) {
  Page page("Evaluation: " + result.models[0].name);
  page.paragraph(
      fmt::format("{} samples of {}. {}Shares with their 95 % intervals (Wilson). SQNR, cosine and L2 compare all scores with those of {}.",
                  result.count, result.data->path().string(),
                  result.labels_from.empty() ? "" : fmt::format("Labels: {}. ", result.labels_from), result.models[0].name));
  for (const Diagnostic& warning : result.warnings) page.paragraph(warning.message);
  std::vector<std::vector<std::string>> rows;
  for (const ModelScore& m : result.models)
    rows.push_back({m.name, m.precision, percent(m.top1, result.count), percent(m.top5, result.count),
                    percent(m.agreement_top1, result.count), percent(m.agreement_top5, result.count),
                    m.distance ? fmt::format("{:.1f}", m.distance->sqnr_db) : "",
                    m.distance ? fmt::format("{:.5f}", m.distance->cosine) : "", m.distance ? fmt::format("{:.3g}", m.distance->l2) : "",
                    fmt::format("{:.1f}", static_cast<double>(m.bytes) / 1e6), fmt::format("{:.0f}", m.images_per_second),
                    fmt::format("{:.1f}", percentile(m.latency_ms, 0.5)), fmt::format("{:.1f}", percentile(m.latency_ms, 0.9))});
  page.table({"model", "precision", "top-1", "top-5", "agreement", "in its top 5", "SQNR dB", "cosine", "L2", "MB", "images/s", "median ms",
              "p90 ms"},
             rows);
  for (const ModelScore& model : result.models) add_flips(page, model, result);
  for (const ModelScore& model : result.models) {
    if (model.layers.empty()) continue;
    page.heading(model.name + ": SQNR by layer, in execution order");
    page.bars(model.layers, "dB");
  }
  return page.html();
}

}  // namespace wherry
