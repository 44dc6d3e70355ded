#include "controlplane/driver/wireguard_gateway.h"

#include <algorithm>
#include <map>
#include <set>

namespace penstock {
namespace {

// Effects of one interface per turn; between turns sockets and punts are served.
constexpr size_t kEffectsPerTurn = 2048;

std::vector<IpPrefix> allowed_ips_after(const wireguard::PeerChange& peer) {
  std::set<IpPrefix> prefixes;
  for (const auto& change : peer.allowed_ips) {
    if (change.remove) {
      prefixes.erase(change.prefix);
    } else {
      prefixes.insert(change.prefix);
    }
  }
  return {prefixes.begin(), prefixes.end()};
}

}  // namespace

Result<WireguardInterface*> WireguardGateway::add(const WireguardOptions& options,
                                                  const wireguard::DeviceChange& configuration) {
  PENSTOCK_TRY(auto interface, WireguardInterface::create(context_, options, configuration));
  interfaces_.push_back(std::move(interface));
  return interfaces_.back().get();
}

WireguardInterface* WireguardGateway::find(std::string_view name) const {
  for (const auto& interface : interfaces_) {
    if (interface->name() == name) return interface.get();
  }
  return nullptr;
}

void WireguardGateway::on_handshake(const PuntedPacket& packet) {
  for (const auto& interface : interfaces_) {
    if (interface->id() == packet.interface) {
      interface->on_handshake(packet);
      return;
    }
  }
  context_.dataplane.count_drop(DropReason::kHostDropped);  // its interface is gone
}

bool WireguardGateway::turn(Nanoseconds boot_ns) {
  const wireguard::Now now{boot_ns, wall_time_ns()};
  bool more = false;
  for (const auto& interface : interfaces_) more = interface->turn(now, kEffectsPerTurn) || more;
  return more;
}

Nanoseconds WireguardGateway::next_deadline_ns() const {
  Nanoseconds next = kNever;
  for (const auto& interface : interfaces_) next = std::min(next, interface->next_timeout());
  return next;
}

wireguard::DeviceChange reload_change(const wireguard::DeviceStatus& current,
                                      const wireguard::DeviceChange& file) {
  wireguard::DeviceChange change = file;
  change.replace_peers = false;
  // As wg's syncconf: what the file does not say is cleared.
  if (!change.private_key) change.private_key.emplace();
  if (*change.private_key == current.private_key) change.private_key.reset();
  if (!change.fwmark) change.fwmark = 0;
  if (change.listen_port == current.listen_port) change.listen_port.reset();

  std::map<wireguard::PublicKey, const wireguard::PeerStatus*> before;
  for (const auto& peer : current.peers) before[peer.public_key] = &peer;
  std::set<wireguard::PublicKey> kept;
  for (auto& peer : change.peers) {
    kept.insert(peer.public_key);
    if (!peer.preshared_key) peer.preshared_key.emplace();
    if (!peer.persistent_keepalive_s) peer.persistent_keepalive_s = 0;
    peer.replace_allowed_ips = true;
    const auto known = before.find(peer.public_key);
    if (known == before.end()) continue;
    if (peer.preshared_key == known->second->preshared_key) peer.preshared_key.reset();
    // An endpoint that has roamed since is not moved back unless the file's own one changed, which
    // nobody remembers: like syncconf, the file wins.
    std::vector<IpPrefix> allowed = known->second->allowed_ips;
    std::sort(allowed.begin(), allowed.end());
    if (allowed_ips_after(peer) == allowed) {
      peer.replace_allowed_ips = false;
      peer.allowed_ips.clear();
    }
  }
  for (const auto& [key, peer] : before) {
    if (kept.contains(key)) continue;
    wireguard::PeerChange removal;
    removal.public_key = key;
    removal.remove = true;
    change.peers.push_back(std::move(removal));
  }
  return change;
}

}  // namespace penstock
