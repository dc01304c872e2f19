// The command line. Exit codes: 0 done, 1 the input cannot be converted or read, 2 the command line is wrong, 3 the result does
// not match its source. One of the two places that catch exceptions.
#include "base/check.h"
#include "base/version.h"
#include "cli/session.h"

#include <fmt/format.h>

#include <csignal>
#include <new>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace {

using wherry::Session;

int report(const Session& session, const wherry::Failure& failure) {
  if (session.json) {
    nlohmann::ordered_json document;
    for (const wherry::Diagnostic& d : failure.diagnostics()) document["errors"].push_back(to_json(d));
    session.print(document);
  }
  session.warn(failure.diagnostics());
  return wherry::bad_input;
}

int run(int argc, char** argv) {
  Session session;
  CLI::App app{"Carries neural networks from PyTorch to the device, through one readable text."};
  app.name("wherry");
  app.set_version_flag("--version", fmt::format("wherry {}", wherry::version));
  app.require_subcommand(1);
  app.footer("'wherry COMMAND --help' shows a command's options and examples.\n");
  app.get_formatter()->column_width(26);
  wherry::add_import(app, session);
  wherry::add_convert(app, session);
  wherry::add_show(app, session);
  wherry::add_check(app, session);
  wherry::add_verify(app, session);
  wherry::add_compare(app, session);
  wherry::add_evaluate(app, session);
  wherry::add_benchmark(app, session);
  wherry::add_ops(app, session);
  wherry::add_doctor(app, session);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    app.exit(error);
    return wherry::bad_command_line;
  } catch (const wherry::Failure& failure) {
    return report(session, failure);
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "error: out of memory\n  try  a machine with more memory, or a smaller model\n");
    return wherry::bad_input;
  } catch (const std::exception& error) {
    fmt::print(stderr, "internal error: {}\n  try  reporting this: it is a fault of Wherry, not of your model\n", error.what());
    return wherry::bad_input;
  }
  return session.exit_code;
}

}  // namespace

int main(int argc, char** argv) {
#if defined(__GLIBC__)
  // Tensors come and go by the thousand: pages that were faulted in once stay.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
  std::signal(SIGPIPE, SIG_DFL);  // 'wherry show … | head' ends quietly
  std::signal(SIGXFSZ, SIG_IGN);  // a file-size limit becomes a failed write, with its message
  return run(argc, argv);
}
