// wherry doctor: what is there, what is missing, what to do.
#include "base/version.h"
#include "cli/session.h"
#include "ops/all_ops.h"
#include "runtime/litert.h"

#include <fmt/format.h>

namespace wherry {

namespace {

struct Finding {
  std::string what;
  bool ok;
  std::string found, next;
};

std::string why_it_does_not_load() {
  try {
    LiteRtModel::require();
  } catch (const Failure& failure) {
    return failure.diagnostics().front().message;
  }
  return "";
}

std::vector<Finding> examine() {
  std::vector<Finding> findings;
  findings.push_back({"wherry", true, fmt::format("{}, {} operators", version, all_ops().all().size()), ""});
  const std::optional<LiteRtLibrary> litert = find_litert();
  const std::string trouble = litert ? why_it_does_not_load() : "not found";
  findings.push_back({"LiteRT", trouble.empty(), trouble.empty() ? fmt::format("{} {}", litert->version, litert->path.string()) : trouble,
                      "pip install ai-edge-litert, or set WHERRY_LITERT to its libLiteRt.so; without it convert needs --no-verify"});
  const std::vector<std::filesystem::path> folders = library_folders();
  findings.push_back({"block library", !folders.empty(), folders.empty() ? "not found" : folders.front().string(),
                      "set WHERRY_LIBRARY to the folder with vision.yaml; texts with 'use:' need it"});
  return findings;
}

}  // namespace

void add_doctor(CLI::App& app, Session& session) {
  CLI::App* command = add_command(app, session, "doctor", "Say what is installed, what is missing and what to do", "  wherry doctor");
  command->callback([&session] {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    std::string out;
    for (const Finding& f : examine()) {
      nlohmann::ordered_json j = {{"what", f.what}, {"ok", f.ok}, {"found", f.found}};
      if (!f.ok) j["next"] = f.next, session.exit_code = bad_input;
      list.push_back(std::move(j));
      out += fmt::format("{:<14} {:<8} {}\n", f.what, f.ok ? "ok" : "missing", f.found);
      if (!f.ok) out += fmt::format("  try  {}\n", f.next);
    }
    out.pop_back();
    if (session.json)
      session.print({{"findings", list}});
    else
      session.say(out);
  });
}

}  // namespace wherry
