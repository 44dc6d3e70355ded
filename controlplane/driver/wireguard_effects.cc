// The installer: what a WireGuard machine wants done, as calls of the dataplane.
#include "controlplane/driver/wireguard_interface.h"
#include "gateway/base/log.h"
#include "gateway/base/text.h"

namespace penstock {
namespace {

// Handshakes go out as AF41 (RFC 2597), as Linux sends them.
constexpr uint8_t kHandshakeDscp = 34;
// By then the grace periods of tunnels that were removed have long ended, be they 100,000.
constexpr Nanoseconds kLongestGraceNs = 10 * kSecond;

}  // namespace

void WireguardInterface::carry_out(wireguard::SendDatagram& effect) {
  // A lost handshake message is sent again by its timer.
  (void)context_.dataplane.send_datagram(effect.local, effect.remote, effect.payload,
                                         kHandshakeDscp);
}

bool WireguardInterface::make_tunnel(const wireguard::PeerAdded& effect) {
  const auto tunnel = context_.dataplane.add_tunnel({id_, TunnelProtocol::kWireguard});
  // A set that replaces all peers removes their tunnels first; the slots come back a little later.
  if (!tunnel.ok() && boot_time_ns() - context_.tunnel_removed_ns < kLongestGraceNs) return false;
  if (effect.peer.slot >= peers_.size()) peers_.resize(effect.peer.slot + size_t{1});
  Peer& peer = peers_[effect.peer.slot];
  peer = Peer{effect.peer.generation, {}, effect.public_key, false};
  if (!tunnel.ok()) {
    log_error("%s cannot have a tunnel: %s", text_of_peer(effect.peer).c_str(),
              tunnel.error().text.c_str());
    return true;
  }
  peer.tunnel = *tunnel;
  const uint64_t place = uint64_t{effect.peer.slot} << 32 | effect.peer.generation;
  context_.tunnels.set(*tunnel, *this, place);
  return true;
}

void WireguardInterface::carry_out(wireguard::PeerRemoved& effect) {
  Peer* const peer = find(effect.peer);
  if (peer == nullptr) return;
  if (peer->tunnel.valid()) {
    context_.tunnels.clear(peer->tunnel);
    context_.tunnel_removed_ns = boot_time_ns();
    context_.dataplane.remove_tunnel(peer->tunnel);
  }
  *peer = Peer{};
}

void WireguardInterface::carry_out(wireguard::AllowedIpSet& effect) {
  // The route comes whatever happens: without the allowed IP packets are dropped in the interface
  // and do not leave by a shorter route in clear.
  if (options_.routes) context_.routes.add_allowed_ip(id_, name(), effect.prefix);
  const TunnelId tunnel = tunnel_of(effect.peer);
  const Status set = tunnel.valid() ? context_.dataplane.set_allowed_ip(id_, effect.prefix, tunnel)
                                    : errorf("it has no tunnel");
  if (set.ok()) return;
  context_.dataplane.remove_allowed_ip(id_, effect.prefix);  // nor does its former owner keep it
  log_error("%s: allowed IP %s: %s", text_of_peer(effect.peer).c_str(),
            effect.prefix.to_string().c_str(), set.error().text.c_str());
}

void WireguardInterface::carry_out(wireguard::AllowedIpRemoved& effect) {
  // The route goes last, so that meanwhile packets are dropped in the interface and do not leave
  // by a shorter route in clear.
  context_.dataplane.remove_allowed_ip(id_, effect.prefix);
  if (options_.routes) context_.routes.remove_allowed_ip(id_, effect.prefix);
}

void WireguardInterface::carry_out(wireguard::SetEndpoint& effect) {
  const TunnelId tunnel = tunnel_of(effect.peer);
  if (tunnel.valid()) {
    context_.dataplane.set_tunnel_endpoint(tunnel, effect.remote, effect.local,
                                           Encapsulation::kUdp);
  }
}

Status WireguardInterface::install(const wireguard::InstallKeypair& keypair, TunnelId tunnel) {
  OutboundSaSpec outbound;
  outbound.tunnel = tunnel;
  outbound.peer_index = keypair.remote_index;
  outbound.keys.cipher_key = keypair.send_key;
  outbound.expires_at_ns = keypair.expires_at_ns;
  outbound.sequence_limit = keypair.sequence_limit;
  outbound.rekey_sequence = keypair.rekey_sequence;
  PENSTOCK_TRY(const SaHandle handle, context_.dataplane.install_outbound_sa(outbound));

  InboundSaSpec inbound;
  inbound.tunnel = tunnel;
  inbound.index = keypair.local_index;
  inbound.keys.cipher_key = keypair.receive_key;
  inbound.expires_at_ns = keypair.expires_at_ns;
  // Paper 6.3: the responder waits for the first packet before it sends under the new keypair.
  const bool responder = keypair.role == wireguard::KeypairRole::kResponder;
  if (responder) inbound.promotes = handle;
  inbound.expected_source = keypair.expected_source;
  inbound.owner = keypair.owner;
  if (const Status installed = context_.dataplane.install_inbound_sa(inbound); !installed.ok()) {
    context_.dataplane.remove_outbound_sa(handle);
    return installed;
  }
  keypairs_[keypair.local_index] = Keypair{tunnel, handle};
  if (!responder) context_.dataplane.set_current_outbound(tunnel, handle);
  return {};
}

void WireguardInterface::carry_out(wireguard::InstallKeypair& effect) {
  const TunnelId tunnel = tunnel_of(effect.peer);
  const Status installed = tunnel.valid() ? install(effect, tunnel) : errorf("it has no tunnel");
  if (installed.ok()) return;
  log_error("%s: session cannot be installed: %s", text_of_peer(effect.peer).c_str(),
            installed.error().text.c_str());
  device_.on_install_failed({boot_time_ns(), wall_time_ns()}, effect.peer, effect.local_index);
}

void WireguardInterface::carry_out(wireguard::RemoveKeypair& effect) {
  const auto found = keypairs_.find(effect.local_index);
  if (found == keypairs_.end()) {  // its installation failed: only the index is ours
    context_.dataplane.release_inbound_index(effect.local_index);
    return;
  }
  const Keypair keypair = found->second;
  keypairs_.erase(found);
  if (context_.dataplane.current_outbound(keypair.tunnel) == keypair.outbound) {
    context_.dataplane.set_current_outbound(keypair.tunnel, SaHandle{});
  }
  context_.dataplane.remove_inbound_sa(effect.local_index);
  context_.dataplane.remove_outbound_sa(keypair.outbound);
}

void WireguardInterface::carry_out(wireguard::MakeCurrent& effect) {
  const TunnelId tunnel = tunnel_of(effect.peer);
  if (!tunnel.valid()) return;
  const auto found = keypairs_.find(effect.local_index);
  context_.dataplane.set_current_outbound(
      tunnel, found == keypairs_.end() ? SaHandle{} : found->second.outbound);
}

void WireguardInterface::carry_out(wireguard::SendKeepalive& effect) {
  const TunnelId tunnel = tunnel_of(effect.peer);
  if (tunnel.valid()) (void)context_.dataplane.send_keepalive(tunnel);
}

void WireguardInterface::carry_out(wireguard::SendIntoTunnel& effect) {
  const TunnelId tunnel = tunnel_of(effect.peer);
  if (tunnel.valid()) (void)context_.dataplane.send_into_tunnel(tunnel, effect.inner_packet);
}

void WireguardInterface::carry_out(wireguard::CountDrop& effect) {
  context_.dataplane.count_drop(effect.reason, effect.packets);
}

void WireguardInterface::carry_out(wireguard::PersistTimestamp& effect) {
  const Status stored = context_.timestamps.store(effect.floor_ns);
  if (!stored.ok()) {
    log_error(
        "%s: handshake time stamp not stored, so a restart with the clock behind may be "
        "refused by peers: %s",
        name().c_str(), stored.error().text.c_str());
  }
}

// --- slow crypto ---------------------------------------------------------------------------------

void WireguardInterface::carry_out(wireguard::Compute& effect) {
  waiting_.push_back(std::move(effect));
  submit_waiting();
}

// The machine bounds its jobs; those for which the pool has no room wait here, in order.
void WireguardInterface::submit_waiting() {
  while (!waiting_.empty()) {
    auto compute = std::make_shared<wireguard::Compute>(std::move(waiting_.front()));
    const std::weak_ptr<WireguardInterface*> self = self_;
    const bool submitted = context_.pool.submit([self, compute]() -> EventLoop::Task {
      auto result =
          std::make_shared<wireguard::ComputeResult>(wireguard::run_compute(compute->job));
      return [self, id = compute->id, result] {
        const auto alive = self.lock();
        if (!alive) return;
        (*alive)->device_.on_compute({boot_time_ns(), wall_time_ns()}, id, std::move(*result));
      };
    });
    if (!submitted) {
      waiting_.front() = std::move(*compute);
      return;
    }
    waiting_.pop_front();
  }
}

// --- what an operator reads ----------------------------------------------------------------------

void WireguardInterface::log_strangers(const wireguard::Notify& effect) {
  if (!context_.log_limit.allow(boot_time_ns())) return;
  log_notice("%s: handshake refused, no peer has the public key %s, from %s", name().c_str(),
             to_base64(effect.key).c_str(), effect.endpoint.to_string().c_str());
}

void WireguardInterface::carry_out(wireguard::Notify& effect) {
  using Kind = wireguard::Notify::Kind;
  Peer* const peer = find(effect.peer);
  LogLevel level = LogLevel::kDebug;
  const char* text = "";
  switch (effect.kind) {
    case Kind::kHandshakeComplete:
      text = "session established with";
      if (peer != nullptr && !peer->announced) {
        peer->announced = true;
        level = LogLevel::kInfo;
      }
      break;
    case Kind::kHandshakeRetry:
      text = "no answer to the handshake yet from";
      break;
    case Kind::kHandshakeGaveUp:
      level = LogLevel::kNotice;
      text = "gave up the handshake: no answer from";
      if (peer != nullptr) peer->announced = false;
      break;
    case Kind::kNoEndpoint:
      text = "has packets waiting, but no endpoint is known; it has to speak first";
      break;
    case Kind::kRoamed:
      level = LogLevel::kInfo;
      text = "moved to";
      break;
    case Kind::kCookieReceived:
      text = "is under load and wants our address proved:";
      break;
    case Kind::kHandshakeRefused:
      level = LogLevel::kNotice;
      text = "sent a handshake that does not authenticate (wrong key or preshared key?), from";
      break;
    case Kind::kLowOrderPoint:
      level = LogLevel::kWarning;
      text = "has an unusable public key (low-order point)";
      break;
    case Kind::kKeysWiped:
      level = LogLevel::kInfo;
      text = "has been silent: keys wiped";
      if (peer != nullptr) peer->announced = false;
      break;
    case Kind::kUnderLoad:
      level = LogLevel::kWarning;
      text = "under load: sources of handshakes must prove their address with a cookie";
      break;
    case Kind::kLoadOver:
      level = LogLevel::kNotice;
      text = "load is over";
      break;
    case Kind::kNoIndex:
      level = LogLevel::kError;
      text = "no free session slot in the dataplane: raise max_tunnels";
      break;
    case Kind::kUnconfirmed:
      level = LogLevel::kWarning;
      text =
          "does not confirm our responses: the preshared keys differ, or they do not reach it, at";
      break;
    case Kind::kUnknownKey:
      log_strangers(effect);
      return;
    case Kind::kNotOurKey:
      level = LogLevel::kNotice;
      text = "handshake made with another public key than this interface's, from";
      break;
  }
  if (!log_enabled(level) || !context_.log_limit.allow(boot_time_ns())) return;
  const std::string who = effect.peer.valid() ? text_of_peer(effect.peer) : name() + ":";
  const bool has_endpoint = effect.endpoint.port != 0;
  log_line(level, "%s %s%s%s", who.c_str(), text, has_endpoint ? " " : "",
           has_endpoint ? effect.endpoint.to_string().c_str() : "");
}

}  // namespace penstock
