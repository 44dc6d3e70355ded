// What a device knows of one peer.
#pragma once

#include <optional>
#include <vector>

#include "controlplane/wireguard/cookie.h"
#include "controlplane/wireguard/effect.h"
#include "controlplane/wireguard/noise.h"
#include "controlplane/wireguard/staging.h"
#include "controlplane/wireguard/tai64n.h"
#include "controlplane/wireguard/timers.h"

namespace penstock::wireguard {

// A session's name and age; its keys went to the dataplane with InstallKeypair.
struct Keypair {
  uint32_t local_index = 0;  // 0: none
  KeypairRole role = KeypairRole::kInitiator;
  Nanoseconds made_ns = 0;
  [[nodiscard]] bool exists() const { return local_index != 0; }
};

// Our own handshake as initiator:
//
//   idle --want a session--> queued --job--> computing --initiation sent--> sent
//     ^                         ^                                           |  |
//     |                         +------------- rekey timeout ---------------+  |
//     +--------------------- response consumed, or given up -------------------+
enum class HandshakeState : uint8_t { kIdle, kQueued, kComputing, kSent };

struct InitiatorHandshake {
  HandshakeState state = HandshakeState::kIdle;
  uint64_t serial = 0;       // of the attempt: older results are stale
  uint32_t local_index = 0;  // in kSent
  uint32_t consuming = 0;    // responses in computation
  Secret<32> ephemeral_private;
  NoiseState noise;
  Nanoseconds attempt_began_ns = 0;
  Nanoseconds next_allowed_ns = 0;  // no initiation before: the last one plus the rekey timeout
};

// The precomputed DH(S_us, S_peer).
enum class StaticState : uint8_t { kMissing, kComputing, kReady, kRefused };

struct Peer {
  Peer(PeerId peer_id, const PublicKey& key) : id(peer_id), public_key(key), cookies(key) {}

  PeerId id;
  PublicKey public_key;
  Secret<32> preshared_key;
  StaticState static_state = StaticState::kMissing;
  Secret<32> static_static;

  std::optional<Endpoint> endpoint;
  IpAddress local;  // of ours; unspecified: the route decides
  uint16_t persistent_keepalive_s = 0;
  std::vector<IpPrefix> allowed_ips;

  InitiatorHandshake handshake;
  // As responder: the newest initiation consumed.
  Tai64n greatest_timestamp{};
  Nanoseconds consumed_ns = 0;
  uint64_t consumed_count = 0;     // tells the newest response job from older ones
  uint32_t unconfirmed = 0;        // responses since the last session that came to be
  uint64_t last_timestamp_ns = 0;  // of our own initiations

  // As in paper section 6.3: `current` sends; `next` waits, as responder, for its first packet;
  // `previous` still receives.
  Keypair current;
  Keypair previous;
  Keypair next;

  CookieJar cookies;
  StagedQueue staged;
  PeerTimers timers;
  bool rekeyed_on_receive = false;  // once per session, as initiator near its end
  Nanoseconds last_handshake_wall_ns = 0;
  const char* last_error = "";
};

}  // namespace penstock::wireguard
