// What a Device wants done: pulled one by one with Device::poll() and carried out in that order.
#pragma once

#include <cstdint>
#include <variant>

#include "controlplane/wireguard/compute.h"
#include "controlplane/wireguard/configuration.h"
#include "dataplane/api/drop_reason.h"
#include "gateway/base/bytes.h"
#include "gateway/base/ids.h"
#include "gateway/base/net.h"
#include "gateway/base/secret.h"

namespace penstock::wireguard {

// A peer of one device: its slot and the generation that tells a removed peer from the next one in
// the slot.
struct PeerId {
  uint32_t slot = UINT32_MAX;
  uint32_t generation = 0;
  [[nodiscard]] bool valid() const { return slot != UINT32_MAX; }
  friend bool operator==(const PeerId&, const PeerId&) = default;
};

// A handshake message. An unspecified local address is chosen by the route.
struct SendDatagram {
  Endpoint local;
  Endpoint remote;
  ByteVector payload;
};

struct PeerAdded {
  PeerId peer;
  PublicKey public_key{};
};
// Its allowed IPs and keypairs have been removed by earlier effects.
struct PeerRemoved {
  PeerId peer;
};
struct AllowedIpSet {
  IpPrefix prefix;
  PeerId peer;
};
struct AllowedIpRemoved {
  IpPrefix prefix;
};

// Where the tunnel sends from now on. `local` unspecified: the route decides.
struct SetEndpoint {
  PeerId peer;
  Endpoint remote;
  IpAddress local;
};

enum class KeypairRole : uint8_t {
  kInitiator,  // sends under it at once: becomes the tunnel's current
  kResponder,  // `next`: becomes current when the first packet under it has authenticated
};

struct InstallKeypair {
  PeerId peer;
  KeypairRole role = KeypairRole::kInitiator;
  uint32_t local_index = 0;  // of IndexSource; names the keypair in all that follows
  uint32_t remote_index = 0;
  Secret<32> send_key;
  Secret<32> receive_key;
  Nanoseconds expires_at_ns = kNever;  // boot time; send and receive
  uint64_t rekey_sequence = 0;
  uint64_t sequence_limit = 0;
  Endpoint expected_source;
  WorkerId owner;  // the worker on which the handshake message arrived
};
// Both directions. Frees the index.
struct RemoveKeypair {
  PeerId peer;
  uint32_t local_index = 0;
};
// The keypair under which the tunnel sends: repairs a promotion that crossed a removal. 0: none.
struct MakeCurrent {
  PeerId peer;
  uint32_t local_index = 0;
};

struct SendKeepalive {
  PeerId peer;
};
// A staged packet, now that there is a session.
struct SendIntoTunnel {
  PeerId peer;
  ByteVector inner_packet;
};

// Slow crypto: answer with Device::on_compute(now, id, run_compute(job)), from whatever thread ran
// it, in any order.
struct Compute {
  ComputeId id = 0;
  ComputeJob job;
};

struct CountDrop {
  DropReason reason = DropReason::kHandshakeInvalid;
  uint64_t packets = 1;
};

// Store this value durably before carrying out what follows, and hand it to the constructor at the
// next start: no initiation bears a later time stamp until another such effect.
struct PersistTimestamp {
  uint64_t floor_ns = 0;  // since 1970
};

// For the log only.
struct Notify {
  enum class Kind : uint8_t {
    kHandshakeComplete,  // as initiator: response consumed; as responder: first packet received
    kHandshakeRetry,     // no answer within the rekey timeout
    kHandshakeGaveUp,    // no answer within the rekey attempt time; staged packets dropped
    kNoEndpoint,         // something is to be sent, but the peer's endpoint is not known
    kRoamed,             // the endpoint moved
    kCookieReceived,     // the peer is under load and wants our address proved
    kHandshakeRefused,   // an initiation or response of this peer did not authenticate
    kLowOrderPoint,      // a key of this peer gives a zero shared secret
    kKeysWiped,          // no session for three times reject-after-time
    kUnderLoad,          // device-wide: cookies from now on
    kLoadOver,           // device-wide
    kNoIndex,            // no free receiver index
    kUnconfirmed,        // responses in a row after which nothing came under the new session
    kUnknownKey,         // device-wide: an initiation under `key`, which no peer has
    kNotOurKey,          // device-wide: an initiation made with another public key than ours
  };
  Kind kind = Kind::kHandshakeComplete;
  PeerId peer;        // invalid where device-wide
  Endpoint endpoint;  // where it makes sense
  PublicKey key{};    // of kUnknownKey
};

using Effect = std::variant<SendDatagram, PeerAdded, PeerRemoved, AllowedIpSet, AllowedIpRemoved,
                            SetEndpoint, InstallKeypair, RemoveKeypair, MakeCurrent, SendKeepalive,
                            SendIntoTunnel, Compute, CountDrop, PersistTimestamp, Notify>;

}  // namespace penstock::wireguard
