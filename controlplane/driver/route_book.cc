#include "controlplane/driver/route_book.h"

#include <algorithm>

#include "gateway/base/log.h"

namespace penstock {

Status RouteBook::add_fixed(const IpPrefix& prefix, const NextHop& next_hop) {
  const auto [entry, fresh] = fixed_.try_emplace(prefix, next_hop);
  if (!fresh) {
    if (entry->second == next_hop) return {};
    return errorf("two routes to %s", prefix.to_string().c_str());
  }
  const Status set = dataplane_.set_route(prefix, next_hop);
  if (!set.ok()) {
    fixed_.erase(entry);
    return errorf("route to %s: %s", prefix.to_string().c_str(), set.error().text.c_str());
  }
  claims_.erase(prefix);  // replaced: their removal must not take this route away
  return {};
}

Status RouteBook::add_interface_address(InterfaceId interface, const std::string& name,
                                        const InterfaceAddress& address) {
  NextHop local;
  local.kind = NextHop::Kind::kLocal;
  local.interface = interface;
  PENSTOCK_CHECK(add_fixed(IpPrefix::host(address.address), local));
  const IpPrefix network = address.network();
  if (network.is_host()) return {};
  if (fixed_.contains(network)) {
    log_warning("%s: network %s is routed elsewhere already", name.c_str(),
                network.to_string().c_str());
    return {};
  }
  NextHop tunnel;
  tunnel.kind = NextHop::Kind::kTunnel;
  tunnel.interface = interface;
  PENSTOCK_CHECK(add_fixed(network, tunnel));
  networks_[interface].push_back(network);
  return {};
}

bool RouteBook::covered(InterfaceId interface, const IpPrefix& prefix) const {
  const auto found = networks_.find(interface);
  return found != networks_.end() &&
         std::any_of(found->second.begin(), found->second.end(),
                     [&](const IpPrefix& network) { return network.contains(prefix); });
}

bool RouteBook::set_tunnel_route(InterfaceId interface, const IpPrefix& prefix) {
  NextHop tunnel;
  tunnel.kind = NextHop::Kind::kTunnel;
  tunnel.interface = interface;
  const Status set = dataplane_.set_route(prefix, tunnel);
  if (!set.ok()) {
    log_error("route to %s into its tunnel: %s", prefix.to_string().c_str(),
              set.error().text.c_str());
  }
  return set.ok();
}

void RouteBook::add_allowed_ip(InterfaceId interface, const std::string& name,
                               const IpPrefix& prefix) {
  if (covered(interface, prefix)) return;
  if (fixed_.contains(prefix)) {
    log_warning("%s: allowed IP %s gets no route, as the configuration routes it elsewhere",
                name.c_str(), prefix.to_string().c_str());
    return;
  }
  Claims& claims = claims_[prefix];
  if (std::find(claims.begin(), claims.end(), interface) != claims.end()) return;
  if (!claims.empty()) {
    log_warning("%s: allowed IP %s is routed into another interface, which has it too",
                name.c_str(), prefix.to_string().c_str());
  } else if (!set_tunnel_route(interface, prefix)) {
    claims_.erase(prefix);
    return;
  }
  claims.push_back(interface);
}

void RouteBook::remove_allowed_ip(InterfaceId interface, const IpPrefix& prefix) {
  const auto found = claims_.find(prefix);
  if (found == claims_.end()) return;
  Claims& claims = found->second;
  const auto claim = std::find(claims.begin(), claims.end(), interface);
  if (claim == claims.end()) return;
  const bool had_it = claim == claims.begin();
  claims.erase(claim);
  if (claims.empty()) {
    dataplane_.remove_route(prefix);
    claims_.erase(found);
  } else if (had_it && !set_tunnel_route(claims.front(), prefix)) {
    // Never into the interface that gave it up.
    dataplane_.remove_route(prefix);
    claims_.erase(found);
  }
}

}  // namespace penstock
