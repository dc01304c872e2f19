#include "cli/session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

namespace wherry {

bool Session::colour() const { return ::isatty(STDERR_FILENO) != 0 && !std::getenv("NO_COLOR"); }

void Session::warn(const std::vector<Diagnostic>& warnings) const {
  for (const Diagnostic& warning : warnings) fmt::print(stderr, "{}", render(warning, colour()));
}

void Session::print(const nlohmann::ordered_json& document) const { fmt::print("{}\n", document.dump(2)); }

void Session::say(const std::string& text) const {
  if (!json && !quiet) fmt::print("{}\n", text);
}

CLI::App* add_command(CLI::App& app, Session& session, const std::string& name, const std::string& summary, const std::string& examples) {
  CLI::App* command = app.add_subcommand(name, summary);
  command->add_flag("--json", session.json, "Print one JSON document on stdout");
  command->add_flag("-q,--quiet", session.quiet, "Print nothing but errors");
  command->footer("Examples:\n" + examples + "\n");
  return command;
}

void add_load_options(CLI::App& command, LoadOptions& options) {
  command.add_option("--weights", options.weights, "A text's weights: .safetensors or .pth")->type_name("FILE");
  command.add_option("--seed", options.seed, "Make a text's weights at random instead")->type_name("N");
  command
      .add_option_function<std::vector<std::string>>(
          "--dim",
          [&options](const std::vector<std::string>& pairs) {
            for (const std::string& pair : pairs) {
              const std::size_t equals = pair.find('=');
              std::int64_t size = 0;
              if (equals == std::string::npos || !CLI::detail::lexical_cast(pair.substr(equals + 1), size))
                throw CLI::ValidationError("--dim", "'" + pair + "' is not NAME=N");
              options.dims[pair.substr(0, equals)] = size;
            }
          },
          "Size of a symbolic dimension; may be repeated")
      ->type_name("NAME=N")
      ->allow_extra_args(false);
}

}  // namespace wherry
