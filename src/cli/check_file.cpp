#include "cli/check_file.h"

#include "cli/lower_source.h"
#include "cli/observe_integers.h"
#include "cli/progress.h"
#include "export/tflite/op_version.h"
#include "quantize/audit/audit.h"
#include "tflite_schema/read_tfl_graph.h"

#include <fmt/format.h>

namespace wherry {

namespace {

struct Reference {
  TflGraph graph;
  std::optional<Preprocess> preprocess;
};

Reference read_reference(const CheckFileOptions& options) {
  if (kind_of(options.reference) == FileKind::tflite) return {read_tfl_graph(options.reference).graph, {}};
  Diagnostics diagnostics;
  const LoadedSource source = load_source(options.reference, options.load);
  Reference reference{lower_source(source.graph, {}, {}, diagnostics).graph, {}};
  if (source.model) reference.preprocess = read_preprocess(*source.model, diagnostics);
  diagnostics.throw_if_errors();
  return reference;
}

}  // namespace

void check_file(Session& session, const CheckFileOptions& options) {
  const TflFile file = read_tfl_graph(options.file);
  std::optional<Reference> reference;
  if (!options.reference.empty()) reference = read_reference(options);
  AuditOptions audit_options{.versions = file.versions, .reference = reference ? &reference->graph : nullptr};
  audit_options.least_version = [](const TflGraph& graph, const TflNode& node) -> std::optional<int> {
    const std::optional<OpVersion> least = find_op_version(graph, node);
    return least ? std::optional(least->version) : std::nullopt;
  };
  if (!options.data.empty()) {
    Progress progress(!session.json && !session.quiet);
    constexpr std::size_t samples = 100;
    audit_options.observed = observe_integers(options.file, file, options.data, reference ? reference->preprocess : std::nullopt, samples,
                                              2, [&](std::size_t done, std::size_t total) { progress.at("run", done, total); });
    progress.clear();
  }
  const AuditReport report = audit(file.graph, audit_options);
  const int errors = report.count(AuditSeverity::error);
  if (session.json) {
    nlohmann::ordered_json j = {{"ok", errors == 0}, {"file", options.file.string()}};
    j.update(to_json(report));
    session.print(j);
  } else {
    session.say(fmt::format("{}\n{}", options.file.filename().string(), text(report)));
  }
  if (errors == 0) return;
  session.warn(
      {{.code = "E805", .message = fmt::format("'{}' has faults in {} places that change its numbers", options.file.string(), errors)}});
  session.exit_code = bad_input;
}

}  // namespace wherry
