// What the control plane says about policies: which packets are protected by which tunnel, which
// pass and which are discarded (RFC 4301 4.4.1, the SPD).
#pragma once

#include <cstdint>

#include "gateway/base/ids.h"
#include "gateway/base/net.h"

namespace penstock {

// One side of a packet. Addresses of both ends of the range are of one family.
struct TrafficSelector {
  IpAddress first;
  IpAddress last;
  uint8_t protocol = 0;  // 0: any. The same in both selectors of a pair.
  // Of TCP, UDP, SCTP, DCCP and UDP-Lite the ports; of ICMP and ICMPv6 type << 8 | code
  // (RFC 4301 4.4.1.1); of other protocols nothing, and only 0 to 65535 matches.
  uint16_t first_port = 0;
  uint16_t last_port = 65535;
  // RFC 4301 4.4.1.1 OPAQUE: matches where the packet's ports cannot be known, that is in fragments
  // other than the first. first_port and last_port mean nothing then.
  bool opaque_ports = false;
  friend bool operator==(const TrafficSelector&, const TrafficSelector&) = default;
};

// Local is this gateway's side: the source of outbound packets, the destination of inbound ones.
struct SelectorPair {
  TrafficSelector local;
  TrafficSelector remote;
  friend bool operator==(const SelectorPair&, const SelectorPair&) = default;
};

enum class PolicyAction : uint8_t {
  kProtect,  // into `tunnel`, under its current outbound SA; without one kNeedSession; never in
             // clear
  kBypass,   // on to the routes
  kDiscard,
};

// Exactly one policy decides about an outbound packet: of those that match the one with the lowest
// priority, of equals the more specific one (the longer common prefixes of remote and local, then
// the one with a protocol, then the one with narrower ports), then the one added last.
struct PolicySpec {
  // Invalid: asked before the routes, about every packet that is forwarded or that is the gateway's
  // own. Else an ESP interface: asked about packets that a route leads into it.
  InterfaceId interface;
  SelectorPair selectors;
  PolicyAction action = PolicyAction::kProtect;
  TunnelId tunnel;  // with kProtect
  uint32_t priority = 0;
};

using PolicyId = Id<struct PolicyTag>;

}  // namespace penstock
