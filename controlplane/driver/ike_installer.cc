#include "controlplane/driver/ike_installer.h"

#include "gateway/base/log.h"

namespace penstock {
namespace {

std::string text_of(const TrafficSelector& selector) {
  return selector.first.to_string() + "-" + selector.last.to_string();
}

}  // namespace

// What is left in the dataplane goes with it: it ends with, or before, its policies.
IkeInstaller::~IkeInstaller() {
  for (const auto& [number, tunnel] : tunnels_) {
    if (tunnel.id.valid()) registry_.clear(tunnel.id);
  }
}

void IkeInstaller::add_interface(uint32_t if_id, InterfaceId interface,
                                 std::optional<DscpMode> dscp) {
  interfaces_[if_id] = {interface, dscp};
}

const IkeInstaller::Tunnel* IkeInstaller::find(ike::ChildTunnel tunnel) const {
  const auto found = tunnels_.find(tunnel);
  return found == tunnels_.end() ? nullptr : &found->second;
}

TunnelId IkeInstaller::id_of(ike::ChildTunnel tunnel) const {
  const Tunnel* const found = find(tunnel);
  return found == nullptr ? TunnelId{} : found->id;
}

std::string IkeInstaller::name_of(ike::ChildTunnel tunnel) const {
  const Tunnel* const found = find(tunnel);
  return found == nullptr ? "ike" : "ike " + found->name;
}

std::optional<SaHandle> IkeInstaller::outbound_of(uint32_t inbound_spi) const {
  const auto found = pairs_.find(inbound_spi);
  return found == pairs_.end() ? std::nullopt : std::optional(found->second.outbound);
}

uint32_t IkeInstaller::inbound_spi_of(SaHandle outbound) const {
  for (const auto& [spi, pair] : pairs_) {
    if (pair.outbound == outbound) return spi;
  }
  return 0;
}

std::vector<uint32_t> IkeInstaller::inbound_spis_of(ike::ChildTunnel tunnel) const {
  std::vector<uint32_t> spis;
  const TunnelId id = id_of(tunnel);
  if (!id.valid()) return spis;
  for (const auto& [spi, pair] : pairs_) {
    if (pair.tunnel == id) spis.push_back(spi);
  }
  return spis;
}

// --- tunnels and policies ------------------------------------------------------------------------

void IkeInstaller::carry_out(const ike::AddTunnel& effect) {
  Tunnel& tunnel = tunnels_[effect.tunnel];
  tunnel = {};
  tunnel.name =
      effect.child.empty() ? effect.connection : effect.connection + " child " + effect.child;
  TunnelSpec spec;
  spec.protocol = TunnelProtocol::kEsp;
  spec.dscp = effect.dscp;
  spec.copy_df = effect.copy_df;
  if (effect.if_id != 0) {
    const auto interface = interfaces_.find(effect.if_id);
    if (interface == interfaces_.end()) {
      tunnel.why = errorf("no section [ipsec.NAME] has if_id = %u", effect.if_id).text;
      log_error("ike %s: %s", tunnel.name.c_str(), tunnel.why.c_str());
      return;
    }
    spec.interface = interface->second.id;
    spec.dscp = interface->second.dscp.value_or(effect.dscp);
  }
  const auto added = dataplane_.add_tunnel(spec);
  if (!added.ok()) {
    tunnel.why = added.error().text;
    log_error("ike %s cannot have a tunnel: %s", tunnel.name.c_str(), tunnel.why.c_str());
    return;
  }
  tunnel.id = *added;
  registry_.set(tunnel.id, user_, effect.tunnel);
}

void IkeInstaller::carry_out(const ike::RemoveTunnel& effect) {
  const TunnelId id = id_of(effect.tunnel);
  if (id.valid()) {
    registry_.clear(id);
    dataplane_.remove_tunnel(id);
  }
  tunnels_.erase(effect.tunnel);
}

void IkeInstaller::carry_out(const ike::SetTunnelEndpoint& effect) {
  const TunnelId id = id_of(effect.tunnel);
  if (!id.valid()) return;
  dataplane_.set_tunnel_endpoint(id, effect.remote, effect.local.address,
                                 effect.encapsulated ? Encapsulation::kUdp : Encapsulation::kNone);
}

void IkeInstaller::carry_out(const ike::SetSelectors& effect) {
  const TunnelId id = id_of(effect.tunnel);
  if (!id.valid()) return;
  const Status set = dataplane_.set_tunnel_selectors(id, effect.pairs);
  if (set.ok()) return;
  log_error("%s: traffic selectors: %s; nothing is taken out of the tunnel",
            name_of(effect.tunnel).c_str(), set.error().text.c_str());
  (void)dataplane_.set_tunnel_selectors(id, {});
}

Status IkeInstaller::carry_out(const ike::AddPolicy& effect) {
  PolicySpec spec;
  spec.selectors = effect.selectors;
  spec.action = effect.action;
  spec.priority = effect.priority;
  if (effect.if_id != 0) {
    const auto interface = interfaces_.find(effect.if_id);
    // No route leads into an interface that is not there, and AddTunnel has said so.
    if (interface == interfaces_.end()) return {};
    spec.interface = interface->second.id;
  }
  if (effect.action == PolicyAction::kProtect) {
    spec.tunnel = id_of(effect.tunnel);
    if (!spec.tunnel.valid()) spec.action = PolicyAction::kDiscard;
  }
  const auto added = dataplane_.add_policy(spec);
  if (added.ok()) {
    policies_[effect.policy] = *added;
    return {};
  }
  log_error("%s: policy %s to %s cannot be installed: %s", name_of(effect.tunnel).c_str(),
            text_of(spec.selectors.local).c_str(), text_of(spec.selectors.remote).c_str(),
            added.error().text.c_str());
  return added.error();
}

void IkeInstaller::carry_out(const ike::RemovePolicy& effect) {
  const auto found = policies_.find(effect.policy);
  if (found == policies_.end()) return;
  dataplane_.remove_policy(found->second);
  policies_.erase(found);
}

// --- SAs -----------------------------------------------------------------------------------------

Status IkeInstaller::install(const ike::InstallChildSa& sa, TunnelId tunnel) {
  OutboundSaSpec outbound;
  outbound.tunnel = tunnel;
  outbound.peer_index = sa.outbound_spi;
  outbound.algorithm = sa.algorithm;
  outbound.keys = sa.outbound_keys;
  outbound.expires_at_ns = sa.expires_at_ns;
  outbound.esp = sa.parameters;
  PENSTOCK_TRY(const SaHandle handle, dataplane_.install_outbound_sa(outbound));

  InboundSaSpec inbound;
  inbound.tunnel = tunnel;
  inbound.index = sa.inbound_spi;
  inbound.algorithm = sa.algorithm;
  inbound.keys = sa.inbound_keys;
  inbound.expires_at_ns = sa.expires_at_ns;
  // RFC 7296 2.8: the responder of a rekey sends under the new SA once a packet under it has
  // authenticated.
  const bool waits = sa.role == ike::SaRole::kResponder;
  if (waits) inbound.promotes = handle;
  inbound.expected_source = sa.expected_source;
  inbound.owner = sa.owner;
  inbound.esp = sa.parameters;
  if (const Status installed = dataplane_.install_inbound_sa(inbound); !installed.ok()) {
    dataplane_.remove_outbound_sa(handle);
    return installed;
  }
  pairs_[sa.inbound_spi] = Pair{tunnel, handle};
  if (!waits) dataplane_.set_current_outbound(tunnel, handle);
  return {};
}

Status IkeInstaller::carry_out(const ike::InstallChildSa& effect) {
  const Tunnel* const tunnel = find(effect.tunnel);
  Status installed;
  if (tunnel == nullptr) {
    installed = errorf("it has no tunnel");
  } else if (!tunnel->id.valid()) {
    installed = Error{tunnel->why};
  } else {
    installed = install(effect, tunnel->id);
  }
  if (!installed.ok()) {
    log_error("%s: SA cannot be installed: %s", name_of(effect.tunnel).c_str(),
              installed.error().text.c_str());
  }
  return installed;
}

void IkeInstaller::carry_out(const ike::RemoveChildSa& effect) {
  const auto found = pairs_.find(effect.inbound_spi);
  if (found == pairs_.end()) {  // its installation failed: only the SPI is ours
    dataplane_.release_inbound_index(effect.inbound_spi);
    return;
  }
  const Pair pair = found->second;
  pairs_.erase(found);
  if (dataplane_.current_outbound(pair.tunnel) == pair.outbound) {
    dataplane_.set_current_outbound(pair.tunnel, SaHandle{});
  }
  dataplane_.remove_inbound_sa(effect.inbound_spi);
  dataplane_.remove_outbound_sa(pair.outbound);
}

void IkeInstaller::carry_out(const ike::MakeCurrent& effect) {
  const auto found = pairs_.find(effect.inbound_spi);
  if (found == pairs_.end()) return;
  dataplane_.set_current_outbound(found->second.tunnel, found->second.outbound);
}

void IkeInstaller::carry_out(const ike::SendIntoTunnel& effect) {
  const TunnelId id = id_of(effect.tunnel);
  if (id.valid() && dataplane_.current_outbound(id).valid()) {
    (void)dataplane_.send_into_tunnel(id, effect.inner_packet);
  } else {
    dataplane_.count_drop(DropReason::kTunnelNoSession);
  }
}

}  // namespace penstock
