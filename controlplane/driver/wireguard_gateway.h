// All WireGuard interfaces: finds the one that a handshake belongs to, and gives each its turn.
//
// Control thread only.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "controlplane/driver/event_loop.h"
#include "controlplane/driver/wireguard_interface.h"

namespace penstock {

class WireguardGateway final : public PolledService {
 public:
  WireguardGateway(Dataplane& dataplane, ComputePool& pool, RouteBook& routes,
                   TimestampStore& timestamps, RandomSource& random, TunnelRegistry& tunnels,
                   uint32_t max_tunnels)
      : context_{dataplane, pool, routes, timestamps, random, tunnels, max_tunnels} {}

  Result<WireguardInterface*> add(const WireguardOptions& options,
                                  const wireguard::DeviceChange& configuration);
  [[nodiscard]] WireguardInterface* find(std::string_view name) const;
  [[nodiscard]] const std::vector<std::unique_ptr<WireguardInterface>>& interfaces() const {
    return interfaces_;
  }

  void on_handshake(const PuntedPacket& packet);

  bool turn(Nanoseconds boot_ns) override;
  [[nodiscard]] Nanoseconds next_deadline_ns() const override;

 private:
  WireguardContext context_;
  std::vector<std::unique_ptr<WireguardInterface>> interfaces_;
};

// What `wg syncconf` would send to bring an interface from `current` to what its file says:
// peers that are not in the file go, the others keep their sessions. Allowed IPs that are the same
// are left out, so that an unchanged peer is not touched.
wireguard::DeviceChange reload_change(const wireguard::DeviceStatus& current,
                                      const wireguard::DeviceChange& file);

}  // namespace penstock
