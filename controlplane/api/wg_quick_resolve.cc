// Endpoints that name hosts. The only place here that leaves the process, and only at load time.
#include <netdb.h>
#include <netinet/in.h>

#include <memory>

#include "controlplane/api/wg_quick.h"

namespace penstock::wireguard {

namespace {

std::optional<Endpoint> endpoint_of(const addrinfo& info, uint16_t port) {
  if (info.ai_family == AF_INET && info.ai_addrlen >= sizeof(sockaddr_in)) {
    sockaddr_in socket_address{};
    std::memcpy(&socket_address, info.ai_addr, sizeof socket_address);
    Ipv4Address address;
    std::memcpy(address.bytes.data(), &socket_address.sin_addr, address.bytes.size());
    return Endpoint{address, port};
  }
  if (info.ai_family == AF_INET6 && info.ai_addrlen >= sizeof(sockaddr_in6)) {
    sockaddr_in6 socket_address{};
    std::memcpy(&socket_address, info.ai_addr, sizeof socket_address);
    Ipv6Address address;
    std::memcpy(address.bytes.data(), &socket_address.sin6_addr, address.bytes.size());
    return Endpoint{address, port};
  }
  return std::nullopt;
}

}  // namespace

Result<Endpoint> resolve_with_system(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  const int failure = getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (failure != 0) return errorf("%s", gai_strerror(failure));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    if (const auto endpoint = endpoint_of(*info, port)) return *endpoint;
  }
  return Error{"the name has no IPv4 or IPv6 address"};
}

std::vector<UnresolvedEndpoint> resolve_endpoints(WgQuickFile& file, const std::string& path,
                                                  const Resolver& resolver,
                                                  Diagnostics& diagnostics) {
  std::vector<UnresolvedEndpoint> unresolved;
  for (const NamedEndpoint& name : file.names) {
    const Result<Endpoint> endpoint = resolver(name.host, name.port);
    PeerChange& peer = file.device.peers[name.peer];
    if (endpoint) {
      peer.endpoint = *endpoint;
      continue;
    }
    unresolved.push_back({peer.public_key, name.host, name.port});
    diagnostics.push_back({Severity::kWarning, path, name.line, "Endpoint",
                           "cannot resolve \"" + name.host + "\" yet: " + endpoint.error().text +
                               "; the gateway asks again while it runs"});
  }
  file.names.clear();
  return unresolved;
}

}  // namespace penstock::wireguard
