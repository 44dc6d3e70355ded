// What the dataplane's events and the passing of time do to a peer (paper 6.1 to 6.5).
//
// Events come collected, some 100 ms after the fact and without an order among themselves; each
// function below is right for the order that asks for more: what was sent is taken as earlier than
// what was received.
#include "controlplane/wireguard/core.h"
#include "dataplane/api/tunnel.h"

namespace penstock::wireguard {

void Device::Core::on_events(const Now& now, Peer& peer, uint32_t flags, uint32_t inbound_index,
                             const Endpoint& source, const IpAddress& destination) {
  if (flags & kEventPromoted) promote(now, peer, inbound_index);
  if (flags & (kEventSentData | kEventSentKeepalive)) sent_authenticated(now.boot_ns, peer);
  if (flags & kEventSentData) sent_data(now.boot_ns, peer);
  if (flags & (kEventReceivedData | kEventReceivedKeepalive)) {
    received_authenticated(now.boot_ns, peer);
    keep_fresh_on_receive(now, peer);
  }
  if (flags & kEventReceivedData) received_data(now.boot_ns, peer);
  if (flags & (kEventSentData | kEventSentKeepalive)) keep_fresh_on_send(now, peer);
  if (flags & kEventRoamed) set_endpoint(peer, source, destination, true);
  if (flags & kEventNearLimit) want_session(now, peer);
  if ((flags & kEventNeedSession) && !usable(peer, now.boot_ns)) want_session(now, peer);
  pump(now);
}

void Device::Core::passed_authenticated(Nanoseconds now_ns, Peer& peer) {
  if (peer.persistent_keepalive_s == 0) return;
  arm(peer, Timer::kPersistentKeepalive,
      now_ns + peer.persistent_keepalive_s * config_.persistent_keepalive_unit_ns);
}

void Device::Core::sent_authenticated(Nanoseconds now_ns, Peer& peer) {
  peer.timers.disarm(Timer::kSendKeepalive);
  passed_authenticated(now_ns, peer);
}

void Device::Core::received_authenticated(Nanoseconds now_ns, Peer& peer) {
  peer.timers.disarm(Timer::kNewHandshake);
  passed_authenticated(now_ns, peer);
}

void Device::Core::sent_data(Nanoseconds now_ns, Peer& peer) {
  if (peer.timers.armed(Timer::kNewHandshake)) return;
  arm(peer, Timer::kNewHandshake,
      now_ns + config_.keepalive_timeout_ns + config_.rekey_timeout_ns + jitter_ns());
}

// Only data calls for a keepalive: one that answered keepalives would keep two idle peers awake.
void Device::Core::received_data(Nanoseconds now_ns, Peer& peer) {
  if (peer.timers.armed(Timer::kSendKeepalive)) return;
  arm(peer, Timer::kSendKeepalive, now_ns + config_.keepalive_timeout_ns);
}

// 6.2: only the initiator renews by time, so that both ends do not at once.
void Device::Core::keep_fresh_on_send(const Now& now, Peer& peer) {
  if (peer.current.exists() && peer.current.role == KeypairRole::kInitiator &&
      now.boot_ns - peer.current.made_ns >= config_.rekey_after_time_ns) {
    want_session(now, peer);
  }
}

// 6.2: a session that only receives is renewed, once, before it would be refused.
void Device::Core::keep_fresh_on_receive(const Now& now, Peer& peer) {
  if (peer.rekeyed_on_receive || !usable(peer, now.boot_ns) ||
      peer.current.role != KeypairRole::kInitiator) {
    return;
  }
  const Nanoseconds fresh_for_ns =
      config_.reject_after_time_ns - config_.keepalive_timeout_ns - config_.rekey_timeout_ns;
  if (now.boot_ns - peer.current.made_ns < fresh_for_ns) return;
  peer.rekeyed_on_receive = true;
  want_session(now, peer);
}

void Device::Core::send_keepalive(const Now& now, Peer& peer, bool start_session) {
  if (usable(peer, now.boot_ns)) {
    emit(SendKeepalive{peer.id});
  } else if (start_session) {
    want_session(now, peer);
  }
}

Nanoseconds Device::Core::next_timeout() const { return deadlines_.earliest_ns(); }

void Device::Core::on_timeout(const Now& now) {
  while (deadlines_.earliest_ns() <= now.boot_ns) {
    Peer& peer = *peers[deadlines_.pop()];
    expire(now, peer);
    // A timer of length zero comes up again at the next call, not in this one.
    const Nanoseconds earliest_ns = peer.timers.earliest_ns();
    deadlines_.remove(peer.id.slot);
    deadlines_.set_no_later_than(peer.id.slot, std::max(earliest_ns, now.boot_ns + 1));
  }
  pump(now);
}

void Device::Core::expire(const Now& now, Peer& peer) {
  PeerTimers& timers = peer.timers;
  if (timers.take_if_due(Timer::kRetransmitHandshake, now.boot_ns)) retry_or_give_up(now, peer);
  if (timers.take_if_due(Timer::kSendKeepalive, now.boot_ns)) send_keepalive(now, peer, false);
  if (timers.take_if_due(Timer::kNewHandshake, now.boot_ns)) {
    peer.last_error = "nothing received after sending, new handshake";
    want_session(now, peer);
  }
  if (timers.take_if_due(Timer::kPersistentKeepalive, now.boot_ns)) {
    arm(peer, Timer::kPersistentKeepalive,
        now.boot_ns + peer.persistent_keepalive_s * config_.persistent_keepalive_unit_ns);
    send_keepalive(now, peer, true);
  }
  if (timers.take_if_due(Timer::kZeroKeyMaterial, now.boot_ns)) {
    remove_all_keypairs(peer);
    notify(Notify::Kind::kKeysWiped, peer);
  }
}

void Device::Core::arm(Peer& peer, Timer timer, Nanoseconds at_ns) {
  peer.timers.arm(timer, at_ns);
  deadlines_.set_no_later_than(peer.id.slot, at_ns);
}

Nanoseconds Device::Core::jitter_ns() {
  if (config_.rekey_timeout_jitter_ns <= 0) return 0;
  return static_cast<Nanoseconds>(random_.u64() %
                                  static_cast<uint64_t>(config_.rekey_timeout_jitter_ns + 1));
}

}  // namespace penstock::wireguard
