// Any bytes as penstock.conf, and as the wg-quick file that it may name: a configuration comes out
// exactly where no diagnostic is an error, and no route of it leads to a port that is not there.
#include <algorithm>
#include <cstdlib>

#include "gateway/config/config.h"

using namespace penstock;
using namespace penstock::config;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(text_of(Bytes(data, size)));
  Environment environment;
  environment.read_file = [&text](const std::string&) -> Result<FileText> {
    return FileText{text, false};
  };
  environment.resolve = [](const std::string&, uint16_t) -> Result<Endpoint> {
    return Error{"no"};
  };
  const Outcome outcome = parse_config(text, "f", {}, environment);
  if (outcome.config.has_value() == has_errors(outcome.diagnostics)) std::abort();
  (void)format_check(outcome, "f");
  if (!outcome.config) return 0;
  for (const RouteConfig& route : outcome.config->routes) {
    if (route.kind != RouteConfig::Kind::kGateway && route.kind != RouteConfig::Kind::kPort)
      continue;
    const auto& ports = outcome.config->ports;
    const bool known = std::any_of(ports.begin(), ports.end(),
                                   [&](const PortConfig& port) { return port.name == route.port; });
    if (!known) std::abort();
  }
  return 0;
}
