// Initiations of others: from the admitted message to the response (paper 5.4.2, 5.4.3, 5.4.4).
#include <utility>

#include "controlplane/wireguard/core.h"

namespace penstock::wireguard {

void Device::Core::on_initiation(const Arrival& arrival, const InitiationMessage& message) {
  if (responding_ >= limits_.responder_handshakes) {
    drop(DropReason::kHandshakeQueueFull);
    return;
  }
  ++responding_;
  start(OpenInitiationJob{*private_key_, public_key_, message.ephemeral, message.encrypted_static},
        OpenContext{epoch_, arrival, message});
}

void Device::Core::refuse_initiation(DropReason reason) {
  --responding_;
  drop(reason);
}

// e, es and s are done: the sender says who it is.
void Device::Core::finish(const Now& now, const OpenContext& context,
                          const OpenInitiationResult& result) {
  if (!result.ok || context.epoch != epoch_)
    return refuse_initiation(DropReason::kHandshakeInvalid);
  Peer* const peer = find(result.peer_public);
  if (!peer) {
    if (strangers_.note(now.boot_ns, now.wall_ns, result.peer_public, context.arrival.source)) {
      emit(Notify{Notify::Kind::kUnknownKey, {}, context.arrival.source, result.peer_public});
    }
    return refuse_initiation(DropReason::kHandshakeUnknownPeer);
  }
  OpenedContext opened{peer->id, epoch_, context.arrival, context.message, result.noise};
  if (peer->static_state == StaticState::kReady) return consume_initiation(now, *peer, opened);
  if (peer->static_state == StaticState::kRefused) {
    return refuse_initiation(DropReason::kHandshakeInvalid);
  }
  // The peer is so new that its precomputation has not come up yet.
  start(StaticJob{*private_key_, peer->public_key}, std::move(opened));
}

void Device::Core::finish(const Now& now, const OpenedContext& context,
                          const StaticResult& result) {
  Peer* const peer = find(context.peer);
  if (!peer || context.epoch != epoch_) return refuse_initiation(DropReason::kHandshakeUnknownPeer);
  if (peer->static_state != StaticState::kReady) set_static(*peer, result);
  if (!result.ok) return refuse_initiation(DropReason::kHandshakeInvalid);
  consume_initiation(now, *peer, context);
}

// ss and {time stamp}, with the cached secret: from here on the sender is authenticated.
void Device::Core::consume_initiation(const Now& now, Peer& peer, const OpenedContext& context) {
  NoiseState noise = context.noise;
  Tai64n timestamp{};
  if (!noise.mix_shared(peer.static_static) ||                        // ss
      !noise.open(context.message.encrypted_timestamp, timestamp)) {  // {time stamp}
    notify(Notify::Kind::kHandshakeRefused, peer);
    return refuse_initiation(DropReason::kHandshakeInvalid);
  }
  if (timestamp <= peer.greatest_timestamp) return refuse_initiation(DropReason::kHandshakeReplay);
  if (peer.consumed_count > 0 && now.boot_ns - peer.consumed_ns < limits_.initiation_interval_ns) {
    return refuse_initiation(DropReason::kHandshakeRateLimited);
  }
  peer.greatest_timestamp = timestamp;
  peer.consumed_ns = now.boot_ns;
  ++peer.consumed_count;
  set_endpoint(peer, context.arrival.source, context.arrival.destination.address, true);
  received_authenticated(now.boot_ns, peer);

  RespondJob job{noise, context.message.ephemeral, peer.public_key, peer.preshared_key, {}};
  random_.fill(job.ephemeral_private.mutable_bytes());
  start(std::move(job), RespondContext{peer.id, epoch_, peer.consumed_count, context.arrival,
                                       context.message.sender_index.get()});
}

void Device::Core::finish(const Now& now, const RespondContext& context,
                          const RespondResult& result) {
  --responding_;
  Peer* const peer = find(context.peer);
  if (!peer || context.epoch != epoch_) return;
  if (context.consumed_count != peer->consumed_count) return;  // a newer initiation came meanwhile
  if (!result.ok) return drop(DropReason::kHandshakeInvalid);
  Result<uint32_t> index = indices_.reserve();
  if (!index.ok()) return fail(*peer, "no free receiver index", Notify::Kind::kNoIndex);

  ResponseMessage message{};
  message.type.set(static_cast<uint32_t>(MessageType::kResponse));
  message.sender_index.set(*index);
  message.receiver_index.set(context.remote_index);
  message.ephemeral = result.ephemeral_public;
  message.encrypted_nothing = result.encrypted_nothing;
  const MutableBytes bytes(reinterpret_cast<uint8_t*>(&message), sizeof message);
  peer->cookies.add_macs(now.boot_ns, cookie_use_ns(), bytes);
  // Installed before the response leaves: the answer under it may come at once.
  install(now, *peer, KeypairRole::kResponder, *index, context.remote_index, result.keys,
          context.arrival);
  emit(SendDatagram{context.arrival.destination, context.arrival.source, to_vector(bytes)});
  sent_authenticated(now.boot_ns, *peer);
  note_response(*peer);
}

// The preshared key is mixed into the response only (paper 5.4.3), so where the two ends' differ
// the initiator refuses our response without a word, and begins anew.
void Device::Core::note_response(Peer& peer) {
  constexpr uint32_t kInARow = 3;
  if (++peer.unconfirmed < kInARow) return;
  fail(peer, "response not confirmed by the peer: preshared key differs, or it does not arrive?",
       Notify::Kind::kUnconfirmed);
}

}  // namespace penstock::wireguard
