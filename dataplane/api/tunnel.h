// What the control plane says about tunnels and their security associations (SAs).
//
// A tunnel is a peer's place in the dataplane. It lives from configuration to removal; its SAs come
// and go with rekeys. An SA is one direction of one session. WireGuard calls an inbound and an
// outbound SA that were made together a keypair.
#pragma once

#include <cstdint>

#include "gateway/base/clock.h"
#include "gateway/base/ids.h"
#include "gateway/base/net.h"
#include "gateway/base/secret.h"

namespace penstock {

enum class TunnelProtocol : uint8_t { kWireguard, kEsp };

// How the packets of an SA are ciphered.
enum class SaAlgorithm : uint8_t {
  kChacha20Poly1305,  // WireGuard; ESP: RFC 7634
  kAes128Gcm16,       // RFC 4106
  kAes256Gcm16,
  kAes128CbcSha256,  // RFC 3602 with HMAC-SHA2-256-128 of RFC 4868
  kAes256CbcSha256,
};
inline constexpr size_t kSaAlgorithmCount = 5;

// The key material of one direction. What the algorithm does not use is zero.
struct SaKeys {
  Secret<32> cipher_key;  // the first 16 bytes, or all
  Secret<4> salt;         // the AEADs of ESP: RFC 4106 4, RFC 7634 2
  Secret<32> auth_key;    // CBC: of HMAC-SHA2-256
};

// What carries the ciphered packets.
enum class Encapsulation : uint8_t {
  kUdp,   // WireGuard; ESP: RFC 3948, from our port 4500
  kNone,  // ESP as IP protocol 50; ports mean nothing
};

inline constexpr uint16_t kIkePort = 500;
inline constexpr uint16_t kIkeNatTraversalPort = 4500;  // RFC 3948; IKE behind the non-ESP marker

// The slot of an SA in the inbound or outbound table and the generation that tells a stale handle
// from a live one.
struct SaHandle {
  uint32_t slot = UINT32_MAX;
  uint32_t generation = 0;
  [[nodiscard]] bool valid() const { return slot != UINT32_MAX; }
  friend bool operator==(const SaHandle&, const SaHandle&) = default;
};

// How the DSCP of the outer header is set. ECN always follows RFC 6040.
enum class DscpMode : uint8_t { kZero, kCopy };

struct TunnelSpec {
  // Invalid, for ESP only: a tunnel of the policies that are asked before the routes.
  InterfaceId interface;
  TunnelProtocol protocol = TunnelProtocol::kWireguard;
  // The rest is for ESP only; a WireGuard interface says it for all its tunnels.
  DscpMode dscp = DscpMode::kCopy;
  // RFC 4301 8.1: DF of an IPv4 packet is copied to the outer IPv4 header (of an IPv6 packet: DF is
  // set). Off: the outer DF is clear, and routers split what does not fit their links. Nothing is
  // learnt from ICMP errors of the outside, so turn it on only where the path MTU is known.
  bool copy_df = false;
};

// What an SA of ESP has beside what every SA has. Ignored for WireGuard.
struct EspParameters {
  bool esn = false;  // 64-bit sequence numbers, RFC 4303 2.2.1
  // Inbound: 64 to 16,384, rounded up to a power of two. 0: replays are not looked for, which needs
  // a peer that does not offer it (RFC 4303 3.4.3); refused with ESN.
  uint32_t replay_window_packets = 1024;
  // 0: none. Soft: kEventSoftLimit is raised. Hard: kEventHardLimit, and the SA is not used any
  // more. Bytes are of inner packets. Limits in time are the control plane's own, but for
  // expires_at_ns.
  uint64_t soft_bytes = 0, hard_bytes = 0;
  uint64_t soft_packets = 0, hard_packets = 0;
  // Outbound: inner packets shorter than this are padded up to it (RFC 4303 2.7), as far as the
  // path takes them. 0: none; UINT16_MAX: all up to the MTU.
  uint16_t pad_to_bytes = 0;
};

struct InboundSaSpec {
  TunnelId tunnel;
  // From Dataplane::reserve_inbound_index(): what the peer writes into its packets (WireGuard's
  // receiver index, ESP's SPI). Its low bits name the slot.
  uint32_t index = 0;
  SaAlgorithm algorithm = SaAlgorithm::kChacha20Poly1305;
  SaKeys keys;
  Nanoseconds expires_at_ns = kNever;  // boot_time_ns() after which packets are refused
  // The outbound SA that becomes the tunnel's current one when the first packet has authenticated
  // here (WireGuard's responder, paper 6.3: `next` becomes `current`). Invalid: none.
  SaHandle promotes;
  // Where the packets are expected to come from; another source that authenticates is roaming.
  Endpoint expected_source;
  // The worker that writes the replay window: the one on which the handshake arrived.
  WorkerId owner;
  EspParameters esp;
};

struct OutboundSaSpec {
  TunnelId tunnel;
  uint32_t peer_index = 0;  // the index or SPI that the peer chose
  SaAlgorithm algorithm = SaAlgorithm::kChacha20Poly1305;
  SaKeys keys;
  Nanoseconds expires_at_ns = kNever;
  // ESP: at least 1 (RFC 4303 3.3.3); 0 means 1.
  uint64_t first_sequence = 0;
  // The first sequence number that is not sent any more. ESP: 0 means the end of the numbers, and
  // more than fits (2^32 without ESN) is cut down to it.
  uint64_t sequence_limit = 0;
  // From here on kEventNearLimit is raised. ESP: 0 means an eighth before sequence_limit.
  uint64_t rekey_sequence = 0;
  // ESP: the worker that numbers the packets, so that they leave in order (a peer's window may be
  // as small as 32). Invalid: the dataplane chooses, the same one for all SAs of a tunnel.
  WorkerId owner;
  EspParameters esp;
};

// Level-triggered flags that a worker raises and the control plane collects: never lost, never
// queued, the same flag twice is one event.
enum TunnelEvent : uint32_t {
  kEventReceivedData = 1U << 0,       // authenticated packet with content
  kEventReceivedKeepalive = 1U << 1,  // authenticated empty packet
  kEventSentData = 1U << 2,           // data left under an outbound SA
  kEventSentKeepalive = 1U << 3,      // an empty packet left
  kEventPromoted = 1U << 4,           // first packet under a `next` keypair: it is current now
  // Authenticated packet from another endpoint. ESP: and with the highest sequence number so far.
  kEventRoamed = 1U << 5,
  kEventNeedSession = 1U << 6,  // a packet wants out, and no outbound SA is usable
  kEventNearLimit = 1U << 7,    // outbound sequence passed rekey_sequence
  kEventSoftLimit = 1U << 8,    // an SA passed a soft limit of its EspParameters
  kEventHardLimit = 1U << 9,    // an SA reached a hard limit: it is dead
};

// One of each tunnel that has events; of several SAs with limits, one each.
struct TunnelEvents {
  TunnelId tunnel;
  uint32_t flags = 0;            // of TunnelEvent
  uint32_t inbound_index = 0;    // of the SA that raised kEventPromoted or kEventReceivedData last
  Endpoint roamed_source;        // with kEventRoamed: the peer's new endpoint
  IpAddress roamed_destination;  // and the address of ours that it sent to
  // With kEventSoftLimit, kEventHardLimit and kEventNearLimit: of which SA. 0 and invalid: of the
  // other direction.
  uint32_t limit_inbound_index = 0;
  SaHandle limit_outbound;
};

// Of one SA, since it was installed.
struct SaCounters {
  uint64_t packets = 0;
  uint64_t bytes = 0;  // ESP: of inner packets. WireGuard: of UDP payload.
  // Inbound ESP only.
  uint64_t replay_drops = 0;
  uint64_t auth_failures = 0;
  uint64_t other_drops = 0;      // authenticated, but refused: trailer, inner header, selectors
  Nanoseconds last_used_ns = 0;  // boot_time_ns() of the last packet; 0: none yet. ESP only.
};

struct TunnelCounters {
  uint64_t rx_packets = 0;  // authenticated data packets, keepalives included
  uint64_t rx_bytes = 0;  // WireGuard: of UDP payload, as `wg show` counts. ESP: of inner packets.
  uint64_t tx_packets = 0;
  uint64_t tx_bytes = 0;
};

}  // namespace penstock
