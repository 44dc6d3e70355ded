// wg-quick(8) files: what wg0.conf says, as a DeviceChange and the interface's own settings. The
// same tolerance as the tools': keys without regard to case, `#` comments, any white space.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/wireguard/configuration.h"
#include "gateway/base/diagnostic.h"
#include "gateway/base/net.h"
#include "gateway/base/result.h"

namespace penstock::wireguard {

// What to do with PreUp, PostUp, PreDown, PostDown and SaveConfig, none of which a gateway runs.
enum class HookPolicy : uint8_t { kRefuse, kWarn };

// Turns a host name and a port into an address. Called for an Endpoint that is not an address.
using Resolver = std::function<Result<Endpoint>(const std::string& host, uint16_t port)>;

// getaddrinfo(3): blocks. IPv4 and IPv6 in the system's order of preference, the first one wins.
Result<Endpoint> resolve_with_system(const std::string& host, uint16_t port);

// A peer whose endpoint names a host.
struct NamedEndpoint {
  size_t peer = 0;  // index into WgQuickFile::device.peers
  std::string host;
  uint16_t port = 0;
  size_t line = 0;
};

struct WgQuickFile {
  DeviceChange device;  // replace_peers is set; every peer replaces its allowed IPs
  std::vector<InterfaceAddress> addresses;
  std::optional<uint16_t> mtu;
  std::vector<std::string> dns;    // addresses and search domains; no meaning on a gateway
  bool routes = true;              // Table = off: no routes from allowed IPs
  std::vector<std::string> hooks;  // skipped under HookPolicy::kWarn: "PostUp = ..."
  std::vector<NamedEndpoint> names;
  // Lines of what others must point at when it clashes with the rest of the configuration; 0:
  // absent.
  size_t private_key_line = 0, listen_port_line = 0, mtu_line = 0;
  std::vector<size_t> address_lines;  // one per address
};

// Every mistake in the file is appended to `diagnostics` with `path`, its line and its key. The
// result is complete only if none of them is an error.
WgQuickFile parse_wg_quick(std::string_view text, const std::string& path, HookPolicy hooks,
                           Diagnostics& diagnostics);

// A peer without an endpoint because its name does not resolve yet.
struct UnresolvedEndpoint {
  PublicKey peer{};
  std::string host;
  uint16_t port = 0;
};

// Gives every peer of `names` its endpoint. A name that does not resolve is a warning, and returned
// to be asked for again: the peer may speak first, and the others are not to wait for it.
std::vector<UnresolvedEndpoint> resolve_endpoints(WgQuickFile& file, const std::string& path,
                                                  const Resolver& resolver,
                                                  Diagnostics& diagnostics);

}  // namespace penstock::wireguard
