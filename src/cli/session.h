// What every subcommand shares: options that all have, how results and messages reach the user, the exit code.
#pragma once

#include "base/diagnostics.h"
#include "cli/load.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

namespace wherry {

enum ExitCode { done = 0, bad_input = 1, bad_command_line = 2, mismatch = 3 };

struct Session {
  bool json = false;
  bool quiet = false;
  int exit_code = done;

  bool colour() const;                                       // stderr is a terminal and NO_COLOR is not set
  void warn(const std::vector<Diagnostic>& warnings) const;  // to stderr
  void print(const nlohmann::ordered_json& document) const;  // to stdout
  void say(const std::string& text) const;                   // to stdout, unless --json or --quiet
};

// A subcommand with --json and --quiet; `examples` end its help.
CLI::App* add_command(CLI::App& app, Session& session, const std::string& name, const std::string& summary, const std::string& examples);
// --weights, --seed, --dim
void add_load_options(CLI::App& command, LoadOptions& options);

// One for each file of this folder that is a subcommand.
void add_import(CLI::App& app, Session& session);
void add_convert(CLI::App& app, Session& session);
void add_show(CLI::App& app, Session& session);
void add_check(CLI::App& app, Session& session);
void add_verify(CLI::App& app, Session& session);
void add_compare(CLI::App& app, Session& session);
void add_evaluate(CLI::App& app, Session& session);
void add_benchmark(CLI::App& app, Session& session);
void add_ops(CLI::App& app, Session& session);
void add_doctor(CLI::App& app, Session& session);

}  // namespace wherry
