// apply(): the meaning of a `set`, as Linux's wireguard module gives it (drivers/net/wireguard/
// netlink.c) and wireguard-go after it.
#include "controlplane/crypto/x25519.h"
#include "controlplane/wireguard/core.h"

namespace penstock::wireguard {

Status Device::Core::apply(const Now& now, const DeviceChange& change) {
  size_t wanted = change.replace_peers ? 0 : peer_count;
  for (const PeerChange& one : change.peers) {
    const bool adds = !one.remove && !one.update_only;
    if (adds && (change.replace_peers || !find(one.public_key))) ++wanted;
  }
  if (wanted > limits_.peers) return errorf("more than %u peers on one interface", limits_.peers);

  if (change.listen_port) listen_port = *change.listen_port;
  if (change.fwmark) fwmark_ = *change.fwmark;
  if (change.replace_peers) {
    for (const auto& peer : peers) {
      if (peer) remove_peer(*peer);
    }
  }
  if (change.private_key) set_private_key(*change.private_key);
  for (const PeerChange& one : change.peers) apply_peer(now, one);
  pump(now);
  return {};
}

void Device::Core::set_private_key(const Secret<32>& given) {
  // Compared as it is stored: a file that has it unclamped is not a new key each time.
  Secret<32> key = given;
  if (!key.is_zero()) x25519_clamp(key);
  if (private_key_ ? *private_key_ == key : key.is_zero()) return;
  ++epoch_;
  private_key_.reset();
  public_key_ = {};
  if (!key.is_zero()) {
    private_key_ = key;
    public_key_ = x25519_public(key);
    // A peer with our own key could only be ourselves.
    if (Peer* const ourselves = find(public_key_)) remove_peer(*ourselves);
  }
  checker_.set_public_key(public_key_);
  static_queue_.clear();
  for (const auto& peer : peers) {
    if (!peer) continue;
    drop_handshake(*peer);
    remove_all_keypairs(*peer);
    peer->static_state = StaticState::kMissing;
    wipe(peer->static_static.mutable_bytes());
    if (private_key_) static_queue_.push_back(peer->id);
  }
}

void Device::Core::apply_peer(const Now& now, const PeerChange& change) {
  Peer* peer = find(change.public_key);
  if (change.remove) {
    if (peer) remove_peer(*peer);
    return;
  }
  if (!peer) {
    if (change.update_only) return;
    if (private_key_ && change.public_key == public_key_) return;  // ourselves: ignored
    peer = &add_peer(change.public_key);
  }
  // The next handshake mixes the new key in; the running session stays.
  if (change.preshared_key) peer->preshared_key = *change.preshared_key;
  if (change.endpoint) set_endpoint(*peer, *change.endpoint, IpAddress(), false);
  apply_allowed_ips(*peer, change);
  if (change.persistent_keepalive_s) {
    set_persistent_keepalive(now, *peer, *change.persistent_keepalive_s);
  }
  // What waited for an endpoint or a key may go now.
  if (peer->staged.packets > 0) want_session(now, *peer);
}

Peer& Device::Core::add_peer(const PublicKey& key) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<uint32_t>(peers.size()));
    peers.emplace_back();
    generations_.push_back(0);
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  const PeerId id{slot, ++generations_[slot]};
  peers[slot] = std::make_unique<Peer>(id, key);
  by_key_.emplace(key, slot);
  strangers_.forget(key);
  ++peer_count;
  emit(PeerAdded{id, key});
  if (private_key_) static_queue_.push_back(id);
  return *peers[slot];
}

void Device::Core::remove_peer(Peer& peer) {
  drop_handshake(peer);
  remove_all_keypairs(peer);
  drop_staged(peer);
  while (!peer.allowed_ips.empty()) {
    const IpPrefix prefix = peer.allowed_ips.back();
    forget_allowed_ip(peer, prefix);
    emit(AllowedIpRemoved{prefix});
  }
  // Should the same key come back, its time stamps still go up.
  timestamp_floor_ns_ = std::max(timestamp_floor_ns_, peer.last_timestamp_ns);
  deadlines_.remove(peer.id.slot);
  by_key_.erase(peer.public_key);
  --peer_count;
  emit(PeerRemoved{peer.id});
  const uint32_t slot = peer.id.slot;
  free_slots_.push_back(slot);
  peers[slot].reset();
}

void Device::Core::apply_allowed_ips(Peer& peer, const PeerChange& change) {
  if (change.replace_allowed_ips) {
    while (!peer.allowed_ips.empty()) {
      const IpPrefix prefix = peer.allowed_ips.back();
      forget_allowed_ip(peer, prefix);
      emit(AllowedIpRemoved{prefix});
    }
  }
  for (const AllowedIpChange& one : change.allowed_ips) {
    const IpPrefix prefix = IpPrefix::make(one.prefix.address, one.prefix.length);
    const auto found = allowed_ips_.find(prefix);
    const bool ours = found != allowed_ips_.end() && found->second.slot == peer.id.slot;
    if (!one.remove) {
      if (!ours) set_allowed_ip(peer, prefix);
    } else if (ours) {
      forget_allowed_ip(peer, prefix);
      emit(AllowedIpRemoved{prefix});
    }
  }
}

void Device::Core::set_allowed_ip(Peer& peer, const IpPrefix& prefix) {
  const auto found = allowed_ips_.find(prefix);
  if (found != allowed_ips_.end()) forget_allowed_ip(*peers[found->second.slot], prefix);  // moves
  allowed_ips_.emplace(prefix, PrefixOwner{peer.id.slot, peer.allowed_ips.size()});
  peer.allowed_ips.push_back(prefix);
  emit(AllowedIpSet{prefix, peer.id});
}

// Without an effect: the caller says whether the prefix moves or goes.
void Device::Core::forget_allowed_ip(Peer& owner, const IpPrefix& prefix) {
  const auto found = allowed_ips_.find(prefix);
  const size_t position = found->second.position;
  allowed_ips_.erase(found);
  if (position + 1 != owner.allowed_ips.size()) {
    owner.allowed_ips[position] = owner.allowed_ips.back();
    allowed_ips_.find(owner.allowed_ips[position])->second.position = position;
  }
  owner.allowed_ips.pop_back();
}

void Device::Core::set_persistent_keepalive(const Now& now, Peer& peer, uint16_t seconds) {
  const bool begins = peer.persistent_keepalive_s == 0 && seconds != 0;
  peer.persistent_keepalive_s = seconds;
  if (seconds == 0) {
    peer.timers.disarm(Timer::kPersistentKeepalive);
  } else {
    arm(peer, Timer::kPersistentKeepalive,
        now.boot_ns + seconds * config_.persistent_keepalive_unit_ns);
  }
  if (begins) send_keepalive(now, peer, true);
}

}  // namespace penstock::wireguard
