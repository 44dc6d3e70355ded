// Neighbours between their machine and the dataplane: ARP, neighbour discovery, packets that wait
// for a neighbour.
//
// Control thread only.
#pragma once

#include <functional>
#include <vector>

#include "controlplane/driver/control_server.h"
#include "controlplane/driver/event_loop.h"
#include "controlplane/driver/log_limit.h"
#include "controlplane/neighbour/resolver.h"
#include "dataplane/api/dataplane.h"

namespace penstock {

class NeighbourDriver final : public PolledService {
 public:
  NeighbourDriver(Dataplane& dataplane, RandomSource& random, const neighbour::Limits& limits)
      : dataplane_(dataplane), resolver_(random, limits, {}) {}

  // Adds a port; IPv6's link-local address is made from its MAC address where it has none.
  // Returns the addresses that the port answers for, so that they can be routed.
  // `proxies`: the port answers for addresses of VPN clients too (set_proxy()).
  Result<std::vector<InterfaceAddress>> add_port(neighbour::PortSetup setup, bool proxies = false);
  void on_link(PortId port, bool up);
  // Punts of kind kArp, kNeighbourDiscovery and kNeedNeighbour.
  void on_punt(const PuntedPacket& packet);
  [[nodiscard]] std::vector<NeighbourStatus> status() const;
  // Whether we answer for a VPN client's address: on every port that proxies and in whose network
  // it lies.
  void set_proxy(const IpAddress& address, bool on);

  bool turn(Nanoseconds boot_ns) override;
  [[nodiscard]] Nanoseconds next_deadline_ns() const override { return resolver_.next_timeout(); }

 private:
  void carry_out(neighbour::SendFrame& effect);
  void carry_out(neighbour::SetNeighbour& effect);
  void carry_out(neighbour::RemoveNeighbour& effect);
  void carry_out(neighbour::SendIp& effect);
  void carry_out(neighbour::UnreachableIcmp& effect);
  void carry_out(neighbour::CountDrop& effect);
  void carry_out(neighbour::Notify& effect);

  struct Port {
    PortId id;
    std::vector<InterfaceAddress> addresses;
    bool proxies = false;
  };
  Dataplane& dataplane_;
  neighbour::Resolver resolver_;
  std::vector<Port> ports_;
  LogLimit log_limit_;
};

}  // namespace penstock
