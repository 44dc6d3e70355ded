// Keypairs (paper 6.3), the packets that wait for one, and the peer's endpoint (2.1).
#include <utility>

#include "controlplane/wireguard/core.h"

namespace penstock::wireguard {

// As initiator the new keypair sends at once; as responder it waits as `next` for the first packet
// under it. A `next` that was never used is replaced; `current` stays until its successor is
// proved.
void Device::Core::install(const Now& now, Peer& peer, KeypairRole role, uint32_t local_index,
                           uint32_t remote_index, const TransportKeys& keys,
                           const Arrival& arrival) {
  const bool initiator = role == KeypairRole::kInitiator;
  InstallKeypair effect;
  effect.peer = peer.id;
  effect.role = role;
  effect.local_index = local_index;
  effect.remote_index = remote_index;
  effect.send_key = initiator ? keys.initiator_to_responder : keys.responder_to_initiator;
  effect.receive_key = initiator ? keys.responder_to_initiator : keys.initiator_to_responder;
  effect.expires_at_ns = now.boot_ns + config_.reject_after_time_ns;
  effect.rekey_sequence = limits_.rekey_after_messages;
  effect.sequence_limit = limits_.reject_after_messages;
  effect.expected_source = arrival.source;
  effect.owner = arrival.worker;
  emit(std::move(effect));

  by_index_[local_index] = peer.id.slot;
  const Keypair fresh{local_index, role, now.boot_ns};
  if (initiator) {
    remove_keypair(peer, peer.previous);
    peer.previous = peer.current;
    peer.current = fresh;
  } else {
    remove_keypair(peer, peer.next);
    peer.next = fresh;
  }
  peer.rekeyed_on_receive = false;
  arm(peer, Timer::kZeroKeyMaterial, now.boot_ns + 3 * config_.reject_after_time_ns);
}

// The dataplane received the first packet under a responder's keypair and sends under it now.
// `inbound_index` may instead name an older keypair of ours, under which a late packet came after
// the promotion and before its event was collected: only `next` can have been promoted.
void Device::Core::promote(const Now& now, Peer& peer, uint32_t inbound_index) {
  const Peer* const owner = inbound_index == 0 ? nullptr : find_index(inbound_index);
  if (owner != &peer) {
    // Replaced before its promotion was known: the dataplane must not go on with it.
    emit(MakeCurrent{peer.id, peer.current.local_index});
    return;
  }
  if (!peer.next.exists()) return;
  const bool crossed = peer.current.made_ns > peer.next.made_ns;
  remove_keypair(peer, peer.previous);
  peer.previous = peer.current;
  peer.current = peer.next;
  peer.next = {};
  // Our own newer keypair was installed between the promotion and its event.
  if (crossed) emit(MakeCurrent{peer.id, peer.current.local_index});
  complete_handshake(now, peer);
  release_staged(peer);
}

void Device::Core::complete_handshake(const Now& now, Peer& peer) {
  drop_handshake(peer);
  peer.last_handshake_wall_ns = now.wall_ns;
  peer.last_error = "";
  peer.unconfirmed = 0;
  notify(Notify::Kind::kHandshakeComplete, peer);
}

void Device::Core::remove_keypair(Peer& peer, Keypair& keypair) {
  if (!keypair.exists()) return;
  by_index_.erase(keypair.local_index);
  emit(RemoveKeypair{peer.id, keypair.local_index});
  keypair = {};
}

void Device::Core::remove_all_keypairs(Peer& peer) {
  remove_keypair(peer, peer.next);
  remove_keypair(peer, peer.current);
  remove_keypair(peer, peer.previous);
}

bool Device::Core::usable(const Peer& peer, Nanoseconds now_ns) const {
  return peer.current.exists() && now_ns < peer.current.made_ns + config_.reject_after_time_ns;
}

void Device::Core::on_need_session(const Now& now, Peer& peer, Bytes inner_packet) {
  // A packet that was punted just before its session came goes after it. Later than that, the
  // dataplane knows better than our clock that the session does not send any more.
  constexpr Nanoseconds kCrossingNs = kSecond;
  if (usable(peer, now.boot_ns) && now.boot_ns < peer.current.made_ns + kCrossingNs) {
    emit(SendIntoTunnel{peer.id, to_vector(inner_packet)});
    return;
  }
  if (!peer.endpoint) {
    drop(DropReason::kTunnelNoEndpoint);
  } else if (const uint32_t dropped = staging_.push(peer.staged, inner_packet); dropped > 0) {
    drop(DropReason::kTunnelNoSession, dropped);
  }
  want_session(now, peer);
  pump(now);
}

void Device::Core::release_staged(Peer& peer) {
  while (auto packet = staging_.pop(peer.staged)) {
    emit(SendIntoTunnel{peer.id, std::move(*packet)});
  }
}

void Device::Core::drop_staged(Peer& peer) {
  const uint32_t dropped = staging_.clear(peer.staged);
  if (dropped > 0) drop(DropReason::kTunnelNoSession, dropped);
}

void Device::Core::on_install_failed(const Now& now, Peer& peer, uint32_t local_index) {
  if (local_index == 0) return;
  const bool was_current = peer.current.local_index == local_index;
  for (Keypair* const keypair : {&peer.next, &peer.current, &peer.previous}) {
    if (keypair->local_index == local_index) remove_keypair(peer, *keypair);
  }
  // The dataplane still sends under the one before, so that one is to be renewed in time.
  if (was_current) peer.current = std::exchange(peer.previous, {});
  peer.last_error = "the dataplane has no room for the session";
  if (peer.staged.packets > 0) want_session(now, peer);
  pump(now);
}

// Called for what has authenticated and for what the configuration says; never for a cookie reply.
void Device::Core::set_endpoint(Peer& peer, const Endpoint& remote, const IpAddress& local,
                                bool notify_roamed) {
  const bool moved = !peer.endpoint || *peer.endpoint != remote;
  if (!moved && peer.local == local) return;
  const bool roamed = moved && peer.endpoint.has_value();
  peer.endpoint = remote;
  peer.local = local;
  emit(SetEndpoint{peer.id, remote, local});
  if (roamed && notify_roamed) notify(Notify::Kind::kRoamed, peer);
}

}  // namespace penstock::wireguard
