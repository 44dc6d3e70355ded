// Which routes the dataplane has and why: the configured ones, which stay, and those that follow
// the allowed IPs of tunnel interfaces (Table = auto of a wg-quick file), which come and go with
// peers. Where both claim a prefix, the configuration wins; where two interfaces claim it, the
// first one has it until it lets go.
//
// Control thread only.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "dataplane/api/dataplane.h"

namespace penstock {

class RouteBook {
 public:
  explicit RouteBook(Dataplane& dataplane) : dataplane_(dataplane) {}

  // A route of the configuration. Refused where another one has the prefix.
  Status add_fixed(const IpPrefix& prefix, const NextHop& next_hop);
  // An address of a tunnel interface and the network it is in: a fixed local route, and a fixed
  // route into the interface.
  Status add_interface_address(InterfaceId interface, const std::string& name,
                               const InterfaceAddress& address);

  // An allowed IP of some peer of the interface. The same prefix again changes nothing: a prefix
  // has one owner among an interface's peers. No route is made where the interface's own networks
  // cover it, as the packets already go there.
  void add_allowed_ip(InterfaceId interface, const std::string& name, const IpPrefix& prefix);
  void remove_allowed_ip(InterfaceId interface, const IpPrefix& prefix);

  [[nodiscard]] size_t tunnel_routes() const { return claims_.size(); }

 private:
  // Those that want the prefix, the one that has it first.
  using Claims = std::vector<InterfaceId>;
  [[nodiscard]] bool covered(InterfaceId interface, const IpPrefix& prefix) const;
  bool set_tunnel_route(InterfaceId interface, const IpPrefix& prefix);

  Dataplane& dataplane_;
  std::map<IpPrefix, NextHop> fixed_;
  std::map<IpPrefix, Claims> claims_;
  std::unordered_map<InterfaceId, std::vector<IpPrefix>> networks_;  // that the interface has
};

}  // namespace penstock
