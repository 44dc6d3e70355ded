// Packets that a worker hands to the control plane.
#pragma once

#include <cstdint>

#include "gateway/base/bytes.h"
#include "gateway/base/ids.h"
#include "gateway/base/net.h"

namespace penstock {

enum class PuntKind : uint8_t {
  kArp,                 // `bytes`: from the ARP header on
  kNeighbourDiscovery,  // `bytes`: the IPv6 packet (NS or NA, hop limit 255, checksum verified)
  kHandshake,           // WireGuard types 1 to 3: `bytes` is the UDP payload
  kNeedNeighbour,       // `bytes`: the IP packet that waits for `next_hop` at `port`
  kNeedSession,         // `bytes`: the inner IP packet that waits for a session of `tunnel`
  kIke,                 // UDP/500 and UDP/4500: `bytes` is the IKE message, non-ESP marker removed
  // An ESP packet with an SPI that no SA has, at a limited rate: `bytes` from the SPI on. Ports are
  // 0 where it came as protocol 50. Not authenticated: a hint at most (RFC 7296 2.21.4).
  kUnknownSpi,
};

// Valid during the call that delivers it; whoever keeps the bytes copies them.
struct PuntedPacket {
  PuntKind kind = PuntKind::kArp;
  WorkerId worker;        // where it was received
  PortId port;            // where it was received; of kNeedNeighbour: where it wants out
  InterfaceId interface;  // of kHandshake: whose listen port it came to
  TunnelId tunnel;        // of kNeedSession
  IpAddress next_hop;     // of kNeedNeighbour
  MacAddress source_mac;  // of kArp and kNeighbourDiscovery
  Endpoint source;        // of kHandshake, kIke, kUnknownSpi: UDP source and destination
  Endpoint destination;
  Bytes bytes;
};

}  // namespace penstock
