// Why a packet was dropped: one list that makes the enum, the counter, the text of the command line
// and the label of a metric.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace penstock {

// X(enumerator, "label", "what an operator reads")
#define PENSTOCK_DROP_REASONS(X)                                                                   \
  /* receive and link layer */                                                                     \
  X(kRxNotLinear, "rx_not_linear", "received buffer could not be made one piece")                  \
  X(kEthTooShort, "eth_too_short", "frame shorter than its Ethernet header")                       \
  X(kEthNotForUs, "eth_not_for_us", "frame to another MAC address")                                \
  X(kEthUnknownType, "eth_unknown_type", "Ethernet type that the gateway does not handle")         \
  X(kEthVlan, "eth_vlan", "VLAN tag on a port without VLANs")                                      \
  /* IP headers */                                                                                 \
  X(kIpTruncated, "ip_truncated", "IP packet shorter than its headers or its length field")        \
  X(kIpBadHeader, "ip_bad_header", "IP version, header length or checksum is wrong")               \
  X(kIpOptions, "ip_options", "IPv4 options or IPv6 extension headers that are not forwarded")     \
  X(kIpMartianSource, "ip_martian_source", "source address that no packet may have")               \
  X(kIpMartianDestination, "ip_martian_destination", "destination address that is not forwarded")  \
  X(kIpSourceCheck, "ip_source_check",                                                             \
    "source address that belongs behind another port or tunnel")                                   \
  X(kIpTtlExceeded, "ip_ttl_exceeded", "TTL or hop limit reached zero")                            \
  X(kIpTooBig, "ip_too_big", "larger than the MTU of the next hop and not to be fragmented")       \
  X(kIpBroadcast, "ip_broadcast", "broadcast or multicast that the gateway does not use")          \
  /* routing */                                                                                    \
  X(kNoRoute, "no_route", "no route to the destination")                                           \
  X(kBlackhole, "blackhole", "a route says to discard")                                            \
  X(kForwardDenied, "forward_denied", "clear text that the configuration does not let pass")       \
  X(kCleartextFromOutside, "cleartext_from_outside",                                               \
    "clear text from outside that claims an address inside a tunnel (RFC 4301 5.2)")               \
  X(kEndpointInTunnel, "endpoint_in_tunnel", "the tunnel's own endpoint is routed into a tunnel")  \
  X(kNeighbourUnresolved, "neighbour_unresolved", "next hop did not answer ARP or ND")             \
  X(kNeighbourQueueFull, "neighbour_queue_full", "too many packets wait for this next hop")        \
  /* fragments */                                                                                  \
  X(kFragmentTableFull, "fragment_table_full", "too many datagrams in reassembly")                 \
  X(kFragmentInvalid, "fragment_invalid", "fragment that overlaps, is too long or too small")      \
  X(kFragmentTimeout, "fragment_timeout", "datagram never became complete")                        \
  X(kFragmentFailed, "fragment_failed", "could not split into fragments")                          \
  /* delivery to the gateway itself */                                                             \
  X(kLocalNoService, "local_no_service", "to an address of ours, but nothing listens there")       \
  X(kPuntQueueFull, "punt_queue_full", "control plane did not keep up with punted packets")        \
  X(kIcmpRateLimited, "icmp_rate_limited", "ICMP answer over its rate")                            \
  X(kHostDropped, "host_dropped", "the gateway's own protocols had no use for it")                 \
  /* tunnels */                                                                                    \
  X(kTunnelMalformed, "tunnel_malformed", "tunnel packet with a wrong type or length")             \
  X(kTunnelUnknownIndex, "tunnel_unknown_index", "no session with this receiver index or SPI")     \
  X(kTunnelReplay, "tunnel_replay", "sequence number already seen or left of the window")          \
  X(kTunnelAuthFailed, "tunnel_auth_failed", "authentication tag is wrong")                        \
  X(kTunnelCipherFailed, "tunnel_cipher_failed", "cipher engine could not encrypt the packet")     \
  X(kTunnelExpired, "tunnel_expired", "session is past its lifetime or its counter limit")         \
  X(kTunnelInnerMalformed, "tunnel_inner_malformed", "authenticated, but not an IP packet inside") \
  X(kTunnelSourceNotAllowed, "tunnel_source_not_allowed",                                          \
    "inner source is not among this peer's allowed IPs")                                           \
  X(kTunnelEcnInvalid, "tunnel_ecn_invalid",                                                       \
    "congestion marked outside on a packet that cannot carry the mark (RFC 6040)")                 \
  X(kTunnelNoPeer, "tunnel_no_peer", "no peer has the destination among its allowed IPs")          \
  X(kTunnelNoSession, "tunnel_no_session", "peer has no session, and the staging queue is full")   \
  X(kTunnelNoEndpoint, "tunnel_no_endpoint", "peer's endpoint is not known")                       \
  X(kTunnelNested, "tunnel_nested", "packet would enter a tunnel more often than allowed")         \
  X(kTunnelSequenceExhausted, "tunnel_sequence_exhausted", "session has no sequence numbers left") \
  X(kHandOverFull, "hand_over_full", "the worker that owns the session did not keep up")           \
  X(kTunnelInFlightFull, "tunnel_in_flight_full",                                                  \
    "too many packets between their sequence numbers and the end of their cipher")                 \
  X(kUnderlayMismatch, "underlay_mismatch", "tunnel packet on a port that is not outside")         \
  X(kTunnelSelectorMismatch, "tunnel_selector_mismatch",                                           \
    "inner packet outside the traffic selectors of its SA (RFC 4301 5.2)")                         \
  X(kTunnelTrailerInvalid, "tunnel_trailer_invalid",                                               \
    "authenticated, but with a padding or next header that no sender makes")                       \
  X(kTunnelDummy, "tunnel_dummy", "dummy packet of a peer (RFC 4303 2.6): nothing is wrong")       \
  X(kNatKeepalive, "nat_keepalive", "NAT keepalive of a peer (RFC 3948 2.3): nothing is wrong")    \
  X(kPolicyDiscard, "policy_discard", "a policy says to discard")                                  \
  X(kIkeMalformed, "ike_malformed", "UDP to port 500 or 4500 that is neither IKE nor ESP")         \
  /* transmit */                                                                                   \
  X(kNoBuffer, "no_buffer", "packet pool is empty")                                                \
  X(kNoRoom, "no_room", "buffer without room for the headers of a tunnel")                         \
  X(kTxFull, "tx_full", "transmit queue of the port is full")                                      \
  X(kTxLinkDown, "tx_link_down", "link of the port is down")                                       \
  /* handshakes (counted by the control plane) */                                                  \
  X(kHandshakeMalformed, "handshake_malformed", "handshake message with a wrong type or length")   \
  X(kHandshakeBadMac, "handshake_bad_mac", "MAC1 of a handshake message is wrong")                 \
  X(kHandshakeRateLimited, "handshake_rate_limited", "too many handshakes from this source")       \
  X(kHandshakeNeedsCookie, "handshake_needs_cookie",                                               \
    "under load: a cookie reply was sent instead")                                                 \
  X(kHandshakeUnknownPeer, "handshake_unknown_peer", "static key of no configured peer")           \
  X(kHandshakeReplay, "handshake_replay", "initiation not newer than the last one")                \
  X(kHandshakeInvalid, "handshake_invalid", "handshake message that does not authenticate")        \
  X(kHandshakeQueueFull, "handshake_queue_full", "handshake compute queue is full")

enum class DropReason : uint8_t {
#define X(name, label, text) name,
  PENSTOCK_DROP_REASONS(X)
#undef X
      kCount
};

inline constexpr size_t kDropReasonCount = static_cast<size_t>(DropReason::kCount);

struct DropReasonText {
  std::string_view label;
  std::string_view text;
};

inline constexpr DropReasonText kDropReasonTexts[kDropReasonCount] = {
#define X(name, label, text) {label, text},
    PENSTOCK_DROP_REASONS(X)
#undef X
};

constexpr const DropReasonText& text_of(DropReason reason) {
  return kDropReasonTexts[static_cast<size_t>(reason)];
}

}  // namespace penstock
