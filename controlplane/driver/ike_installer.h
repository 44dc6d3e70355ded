// Children of IKE in the dataplane: their tunnels, policies and SAs under the numbers that the
// engine gave them. Whatever fails, packets of a protect policy find no way in clear: they are
// discarded where there is no tunnel for them.
//
// Control thread only.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "controlplane/driver/tunnel_registry.h"
#include "controlplane/ike/effect.h"
#include "dataplane/api/dataplane.h"

namespace penstock {

class IkeInstaller {
 public:
  // `user` is told of what happens to the tunnels; the place is a ChildTunnel. All three outlive
  // it.
  IkeInstaller(Dataplane& dataplane, TunnelRegistry& tunnels, TunnelUser& user)
      : dataplane_(dataplane), registry_(tunnels), user_(user) {}
  ~IkeInstaller();
  IkeInstaller(const IkeInstaller&) = delete;
  IkeInstaller& operator=(const IkeInstaller&) = delete;

  // Children with this if_id attach to it. `dscp`: instead of what each child says.
  void add_interface(uint32_t if_id, InterfaceId interface, std::optional<DscpMode> dscp);

  // A failure comes again with the tunnel's InstallChildSa.
  void carry_out(const ike::AddTunnel& effect);
  void carry_out(const ike::RemoveTunnel& effect);
  void carry_out(const ike::SetTunnelEndpoint& effect);
  void carry_out(const ike::SetSelectors& effect);
  // Refused: the packets follow the routes, so the child must not be up.
  Status carry_out(const ike::AddPolicy& effect);
  void carry_out(const ike::RemovePolicy& effect);
  Status carry_out(const ike::InstallChildSa& effect);
  void carry_out(const ike::RemoveChildSa& effect);
  void carry_out(const ike::MakeCurrent& effect);
  void carry_out(const ike::SendIntoTunnel& effect);

  // "ike CONNECTION child CHILD", for logs.
  [[nodiscard]] std::string name_of(ike::ChildTunnel tunnel) const;
  [[nodiscard]] std::optional<SaHandle> outbound_of(uint32_t inbound_spi) const;
  // Of the pair with that outbound SA; 0: none.
  [[nodiscard]] uint32_t inbound_spi_of(SaHandle outbound) const;
  [[nodiscard]] std::vector<uint32_t> inbound_spis_of(ike::ChildTunnel tunnel) const;

 private:
  struct Interface {
    InterfaceId id;
    std::optional<DscpMode> dscp;
  };
  struct Tunnel {
    TunnelId id;      // invalid: the dataplane had no room for it, or there is no such interface
    std::string why;  // then
    std::string name;
  };
  // Both directions of a CHILD_SA.
  struct Pair {
    TunnelId tunnel;
    SaHandle outbound;
  };
  [[nodiscard]] const Tunnel* find(ike::ChildTunnel tunnel) const;
  [[nodiscard]] TunnelId id_of(ike::ChildTunnel tunnel) const;
  Status install(const ike::InstallChildSa& sa, TunnelId tunnel);

  Dataplane& dataplane_;
  TunnelRegistry& registry_;
  TunnelUser& user_;
  std::unordered_map<uint32_t, Interface> interfaces_;  // by if_id
  std::unordered_map<ike::ChildTunnel, Tunnel> tunnels_;
  std::unordered_map<uint32_t, Pair> pairs_;         // by inbound SPI
  std::unordered_map<uint32_t, PolicyId> policies_;  // by the engine's number
};

}  // namespace penstock
