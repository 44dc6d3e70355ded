// penstockd: the gateway's daemon.
//
// Exit codes: 0 after a clean stop or a successful --check, 1 where the configuration or the
// machine does not let it run, 2 for a wrong command line.
#include <sys/prctl.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "gateway/app/gateway.h"
#include "gateway/base/log.h"
#include "gateway/config/config.h"

namespace penstock::app {
namespace {

enum ExitCode { kDone = 0, kFailed = 1, kUsage = 2 };

void print(const Diagnostics& diagnostics) {
  for (const Diagnostic& diagnostic : diagnostics) {
    std::fprintf(stderr, "%s\n", diagnostic.to_string().c_str());
  }
}

bool use_journald(config::Choice choice) {
  // systemd names the journal's socket where standard error leads to it.
  if (choice == config::Choice::kAuto) return std::getenv("JOURNAL_STREAM") != nullptr;
  return choice == config::Choice::kYes;
}

int run_daemon(const config::Config& config, const config::CommandLine& command_line) {
  log_configure(config.log.level, use_journald(config.log.journald));
  // A reader of our log that went away is no reason to stop.
  (void)std::signal(SIGPIPE, SIG_IGN);
  auto gateway = Gateway::start(config, command_line);
  if (!gateway.ok()) {
    log_error("%s", gateway.error().text.c_str());
    return kFailed;
  }
  (*gateway)->run();
  return kDone;
}

int run(int argc, const char* const* argv) {
  // Keys will be in this process's memory, from the first file on: no core dump, no reading by
  // others.
  prctl(PR_SET_DUMPABLE, 0);
  const config::CommandLine command_line = config::parse_command_line(argc, argv);
  if (command_line.help) {
    std::fputs(config::help_text().c_str(), stdout);
    return kDone;
  }
  if (command_line.version) {
    std::puts("penstockd " PENSTOCK_VERSION);
    return kDone;
  }
  if (has_errors(command_line.diagnostics)) {
    print(command_line.diagnostics);
    std::fputs("see penstockd --help\n", stderr);
    return kUsage;
  }
  const config::Outcome outcome = config::load_config(command_line);
  if (command_line.check) {
    std::fputs(config::format_check(outcome, command_line.config_path).c_str(), stdout);
    return outcome.config ? kDone : kFailed;
  }
  print(outcome.diagnostics);
  return outcome.config ? run_daemon(*outcome.config, command_line) : kFailed;
}

}  // namespace
}  // namespace penstock::app

int main(int argc, char** argv) {
  try {
    return penstock::app::run(argc, argv);
  } catch (const std::exception& error) {  // out of memory, mostly
    std::fprintf(stderr, "penstockd: %s\n", error.what());
    return 1;
  }
}
