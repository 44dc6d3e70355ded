// Our own handshakes: from the wish for a session to the consumed response (paper 5.4.2, 5.4.3,
// 6.4).
#include <utility>

#include "controlplane/wireguard/core.h"

namespace penstock::wireguard {
namespace {

// Responses to one initiation that are in computation at a time: whoever saw our index may send
// forged ones, and the right one must have its turn.
constexpr uint32_t kConsumingPerPeer = 8;

template <class Message>
MutableBytes bytes_of_message(Message& message) {
  return {reinterpret_cast<uint8_t*>(&message), sizeof message};
}

}  // namespace

void Device::Core::fail(Peer& peer, const char* why, Notify::Kind kind) {
  if (std::string_view(peer.last_error) != why) notify(kind, peer);
  peer.last_error = why;
}

// Something wants out, or wants a fresher session. At most one initiation per rekey timeout.
void Device::Core::want_session(const Now& now, Peer& peer) {
  InitiatorHandshake& handshake = peer.handshake;
  handshake.attempt_began_ns = now.boot_ns;  // 6.4: traffic starts the attempt time anew
  if (!private_key_) {
    peer.last_error = "the interface has no private key";
    return;
  }
  if (peer.static_state == StaticState::kRefused) {
    fail(peer, "the peer's public key is a low-order point", Notify::Kind::kLowOrderPoint);
    return;
  }
  if (!peer.endpoint) {
    fail(peer, "no endpoint", Notify::Kind::kNoEndpoint);
    return;
  }
  if (handshake.state != HandshakeState::kIdle) return;
  if (now.boot_ns < handshake.next_allowed_ns) {
    if (!peer.timers.armed(Timer::kRetransmitHandshake)) {
      arm(peer, Timer::kRetransmitHandshake, handshake.next_allowed_ns);
    }
    return;
  }
  enqueue_initiation(peer);
}

void Device::Core::enqueue_initiation(Peer& peer) {
  drop_handshake(peer);
  peer.handshake.state = HandshakeState::kQueued;
  initiation_queue_.push_back(peer.id);
}

// Starts what waits in line, as far as the bounds on jobs allow. Ends every input.
void Device::Core::pump(const Now& now) {
  while (initiating_ < limits_.initiator_jobs && !initiation_queue_.empty()) {
    Peer* const peer = find(initiation_queue_.front());
    initiation_queue_.pop_front();
    if (!peer || peer->handshake.state != HandshakeState::kQueued) continue;
    if (peer->static_state == StaticState::kReady) {
      start_initiation(now, *peer);
    } else if (peer->static_state == StaticState::kMissing) {
      static_queue_.push_front(peer->id);  // before its turn; it comes back here when it is done
    }
  }
  while (static_jobs_ < limits_.static_jobs && !static_queue_.empty()) {
    Peer* const peer = find(static_queue_.front());
    static_queue_.pop_front();
    if (peer && peer->static_state == StaticState::kMissing) start_static(*peer);
  }
}

void Device::Core::start_static(Peer& peer) {
  if (!private_key_) return;
  ++static_jobs_;
  peer.static_state = StaticState::kComputing;
  start(StaticJob{*private_key_, peer.public_key}, StaticContext{peer.id, epoch_});
}

void Device::Core::finish(const StaticContext& context, const StaticResult& result) {
  --static_jobs_;
  Peer* const peer = find(context.peer);
  if (peer && context.epoch == epoch_) set_static(*peer, result);
}

void Device::Core::set_static(Peer& peer, const StaticResult& result) {
  const bool waits = peer.handshake.state == HandshakeState::kQueued;
  if (result.ok) {
    peer.static_static = result.static_static;
    peer.static_state = StaticState::kReady;
    if (waits) initiation_queue_.push_back(peer.id);
    return;
  }
  peer.static_state = StaticState::kRefused;
  drop_handshake(peer);
  fail(peer, "the peer's public key is a low-order point", Notify::Kind::kLowOrderPoint);
}

// Strictly upwards per peer whatever the wall clock does, and never past what has been persisted.
uint64_t Device::Core::draw_timestamp(const Now& now, Peer& peer) {
  const uint64_t last_ns = std::max(peer.last_timestamp_ns, timestamp_floor_ns_);
  peer.last_timestamp_ns = next_timestamp_ns(now.wall_ns, last_ns);
  if (peer.last_timestamp_ns > timestamp_leased_ns_) {
    timestamp_leased_ns_ =
        peer.last_timestamp_ns + static_cast<uint64_t>(limits_.timestamp_lease_ns);
    emit(PersistTimestamp{timestamp_leased_ns_});
  }
  return peer.last_timestamp_ns;
}

void Device::Core::start_initiation(const Now& now, Peer& peer) {
  ++initiating_;
  peer.handshake.state = HandshakeState::kComputing;
  InitiateJob job{*private_key_, public_key_, peer.public_key, peer.static_static, {}, {}};
  random_.fill(job.ephemeral_private.mutable_bytes());
  job.timestamp = tai64n_of(draw_timestamp(now, peer));
  InitiateContext context{peer.id, epoch_, ++peer.handshake.serial, job.ephemeral_private};
  start(std::move(job), std::move(context));
}

void Device::Core::finish(const Now& now, const InitiateContext& context,
                          const InitiateResult& result) {
  --initiating_;
  Peer* const peer = find(context.peer);
  if (!peer || context.epoch != epoch_) return;
  InitiatorHandshake& handshake = peer->handshake;
  if (handshake.state != HandshakeState::kComputing || handshake.serial != context.serial) return;

  handshake.state = HandshakeState::kIdle;
  if (!result.ok) {
    fail(*peer, "the peer's public key is a low-order point", Notify::Kind::kLowOrderPoint);
    return;
  }
  handshake.next_allowed_ns = now.boot_ns + config_.rekey_timeout_ns;
  arm(*peer, Timer::kRetransmitHandshake, handshake.next_allowed_ns + jitter_ns());
  Result<uint32_t> index = indices_.reserve();
  if (!index.ok()) {
    fail(*peer, "no free receiver index", Notify::Kind::kNoIndex);
    return;
  }
  by_index_[*index] = peer->id.slot;
  handshake.state = HandshakeState::kSent;
  handshake.local_index = *index;
  handshake.ephemeral_private = context.ephemeral_private;
  handshake.noise = result.noise;

  InitiationMessage message{};
  message.type.set(static_cast<uint32_t>(MessageType::kInitiation));
  message.sender_index.set(*index);
  message.ephemeral = result.ephemeral_public;
  message.encrypted_static = result.encrypted_static;
  message.encrypted_timestamp = result.encrypted_timestamp;
  const MutableBytes bytes = bytes_of_message(message);
  peer->cookies.add_macs(now.boot_ns, cookie_use_ns(), bytes);
  emit(SendDatagram{Endpoint{peer->local, listen_port}, *peer->endpoint, to_vector(bytes)});
  sent_authenticated(now.boot_ns, *peer);
}

void Device::Core::on_response(const Arrival& arrival, const ResponseMessage& message) {
  const uint32_t local_index = message.receiver_index.get();
  Peer* const peer = find_index(local_index);
  if (!peer || peer->handshake.state != HandshakeState::kSent ||
      peer->handshake.local_index != local_index) {
    drop(DropReason::kTunnelUnknownIndex);
    return;
  }
  if (peer->handshake.consuming >= kConsumingPerPeer) {
    drop(DropReason::kHandshakeQueueFull);
    return;
  }
  ++peer->handshake.consuming;
  start(ConsumeResponseJob{peer->handshake.noise, *private_key_, peer->handshake.ephemeral_private,
                           peer->preshared_key, message.ephemeral, message.encrypted_nothing},
        ConsumeContext{peer->id, epoch_, local_index, message.sender_index.get(), arrival});
}

void Device::Core::finish(const Now& now, const ConsumeContext& context,
                          const ConsumeResponseResult& result) {
  Peer* const peer = find(context.peer);
  if (!peer || context.epoch != epoch_) return;
  InitiatorHandshake& handshake = peer->handshake;
  if (handshake.state != HandshakeState::kSent || handshake.local_index != context.local_index) {
    return;  // another response to the same initiation came first
  }
  --handshake.consuming;
  if (!result.ok) {
    drop(DropReason::kHandshakeInvalid);
    fail(*peer, "response does not authenticate: wrong preshared key, or forged",
         Notify::Kind::kHandshakeRefused);
    return;
  }
  handshake.local_index = 0;  // the keypair's from here on
  set_endpoint(*peer, context.arrival.source, context.arrival.destination.address, true);
  install(now, *peer, KeypairRole::kInitiator, context.local_index, context.remote_index,
          result.keys, context.arrival);
  received_authenticated(now.boot_ns, *peer);
  complete_handshake(now, *peer);
  // The first packet under the new session tells the responder that it may send (5.4.5).
  if (peer->staged.packets == 0) emit(SendKeepalive{peer->id});
  release_staged(*peer);
}

// The rekey timeout after an initiation without a valid response.
void Device::Core::retry_or_give_up(const Now& now, Peer& peer) {
  InitiatorHandshake& handshake = peer.handshake;
  if (now.boot_ns - handshake.attempt_began_ns >= config_.rekey_attempt_time_ns) {
    drop_handshake(peer);
    drop_staged(peer);
    peer.timers.disarm(Timer::kSendKeepalive);
    peer.last_error = "no answer to handshakes, gave up";
    notify(Notify::Kind::kHandshakeGaveUp, peer);
    return;
  }
  if (handshake.state == HandshakeState::kSent) {
    fail(peer, "no answer to handshake", Notify::Kind::kHandshakeRetry);
    // The address of ours that once worked may be gone: let the route choose again.
    set_endpoint(peer, *peer.endpoint, IpAddress(), false);
  }
  enqueue_initiation(peer);
}

// Forgets our initiation, whatever it has come to; results under way become stale.
void Device::Core::drop_handshake(Peer& peer) {
  InitiatorHandshake& handshake = peer.handshake;
  if (handshake.local_index != 0) {
    by_index_.erase(handshake.local_index);
    indices_.release(handshake.local_index);
  }
  handshake.state = HandshakeState::kIdle;
  handshake.local_index = 0;
  handshake.consuming = 0;
  ++handshake.serial;
  handshake.ephemeral_private = {};
  handshake.noise = {};
  peer.timers.disarm(Timer::kRetransmitHandshake);
}

}  // namespace penstock::wireguard
