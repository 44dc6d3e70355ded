// Any bytes as a wg-quick file: every diagnostic has a line of the file, every prefix is canonical.
#include <algorithm>
#include <cstdlib>

#include "controlplane/api/wg_quick.h"

using namespace penstock;
using namespace penstock::wireguard;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = text_of(Bytes(data, size));
  const auto lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  for (const HookPolicy hooks : {HookPolicy::kRefuse, HookPolicy::kWarn}) {
    Diagnostics diagnostics;
    WgQuickFile file = parse_wg_quick(text, "f", hooks, diagnostics);
    for (const Diagnostic& d : diagnostics) {
      if (d.line == 0 || d.line > lines) std::abort();
    }
    for (const NamedEndpoint& name : file.names) {
      if (name.peer >= file.device.peers.size() || name.port == 0) std::abort();
    }
    if (file.addresses.size() != file.address_lines.size()) std::abort();
    resolve_endpoints(
        file, "f", [](const std::string&, uint16_t) -> Result<Endpoint> { return Error{"no"}; },
        diagnostics);
    for (const PeerChange& peer : file.device.peers) {
      for (const AllowedIpChange& allowed : peer.allowed_ips) {
        if (IpPrefix::parse(allowed.prefix.to_string()) != allowed.prefix) std::abort();
      }
    }
  }
  return 0;
}
