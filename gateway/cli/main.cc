// penstock: looks into a running gateway.
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/cli/client.h"
#include "gateway/cli/render.h"

namespace penstock::cli {
namespace {

enum ExitCode { kDone = 0, kRefused = 1, kUsage = 2, kNotThere = 3 };

constexpr const char* kDefaultSocket = "/run/penstock/control.sock";
constexpr const char* kHelp =
    R"(penstock COMMAND [--json] [--socket PATH]: looks into a running penstockd

Commands:
  status      version, ports, interfaces and workers at a glance
  ports       each port: device, link, queues, packets and errors
  tunnels     each WireGuard peer and IPsec child: where, state, identity, algorithms, bytes, age,
              addresses, last error; connections that are down and handshakes that were refused
  drops       dropped packets by reason (with --json also per worker, and reasons without any)
  neighbours  ARP and neighbour discovery: who is known where
  routes      every route: prefix, kind, next hop and device

Options:
  --json         the gateway's answer as JSON
  --socket PATH  its control socket, by default /run/penstock/control.sock
  --help         this text
  --version      the version of this command

Exit codes:
  0  answered
  1  the gateway refused, hung up or answered with something else
  2  the command line is wrong
  3  the gateway is not running, or its socket may not be opened
)";

constexpr std::string_view kCommands[] = {"status", "ports",      "tunnels",
                                          "drops",  "neighbours", "routes"};

struct Arguments {
  std::string command;
  std::string socket = kDefaultSocket;
  bool json = false, help = false, version = false;
};

Result<Arguments> parse(const std::vector<std::string_view>& words) {
  Arguments arguments;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string_view word = words[i];
    if (word == "--json") {
      arguments.json = true;
    } else if (word == "--help" || word == "-h" || word == "help") {
      arguments.help = true;
    } else if (word == "--version") {
      arguments.version = true;
    } else if (word == "--socket") {
      if (++i == words.size()) return errorf("--socket needs a path");
      arguments.socket = words[i];
    } else if (word.starts_with("--socket=")) {
      arguments.socket = word.substr(word.find('=') + 1);
    } else if (word.starts_with("-")) {
      return errorf("unknown option %s", std::string(word).c_str());
    } else if (!arguments.command.empty()) {
      return errorf("one command at a time");
    } else {
      arguments.command = word;
    }
  }
  if (arguments.help || arguments.version) return arguments;
  if (arguments.command.empty()) return errorf("a command is missing");
  for (const std::string_view command : kCommands) {
    if (command == arguments.command) return arguments;
  }
  return errorf("unknown command \"%s\"", arguments.command.c_str());
}

int run(const std::vector<std::string_view>& words) {
  const auto arguments = parse(words);
  if (!arguments.ok()) {
    std::fprintf(stderr, "penstock: %s; see penstock --help\n", arguments.error().text.c_str());
    return kUsage;
  }
  if (arguments->help) {
    std::fputs(kHelp, stdout);
    return kDone;
  }
  if (arguments->version) {
    std::puts("penstock " PENSTOCK_VERSION);
    return kDone;
  }
  const auto answer = ask(arguments->socket, arguments->command);
  if (!answer.ok()) {
    std::fprintf(stderr, "penstock: %s\n", answer.error().text.c_str());
    return answer.error().failure == AskFailure::kNotThere ? kNotThere : kRefused;
  }
  const auto text = arguments->json ? render_json(*answer) : render(arguments->command, *answer);
  if (!text.ok()) {
    std::fprintf(stderr, "penstock: %s\n", text.error().text.c_str());
    return kRefused;
  }
  return std::fputs(text->c_str(), stdout) < 0 ? kRefused : kDone;
}

}  // namespace
}  // namespace penstock::cli

int main(int argc, char** argv) {
  return penstock::cli::run(std::vector<std::string_view>(argv + 1, argv + argc));
}
