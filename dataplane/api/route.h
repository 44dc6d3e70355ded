// What the control plane says about addresses, routes, neighbours and interfaces.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/api/tunnel.h"
#include "gateway/base/ids.h"
#include "gateway/base/net.h"

namespace penstock {

// Which side of the gateway a port is on. kBoth is the one-armed gateway.
enum class PortRole : uint8_t { kOutside, kInside, kBoth };
constexpr std::string_view text_of(PortRole role) {
  return role == PortRole::kOutside ? "outside" : role == PortRole::kInside ? "inside" : "both";
}

// What the source address of a clear packet must satisfy beside not being a martian, ours or a
// tunnel's (RFC 3704). Strict: the route back leads to the port it came from.
enum class SourceCheck : uint8_t { kOff, kLoose, kStrict };

struct PortInfo {
  PortId id;
  std::string name;    // of the configuration: "outside"
  std::string device;  // DPDK's: "0000:3b:00.0", "net_af_packet0"
  std::string driver;
  PortRole role = PortRole::kInside;
  MacAddress mac;
  uint16_t mtu = 1500;  // of the IP packet
  uint16_t rx_queues = 0, tx_queues = 0;
  bool link_up = false;
  uint32_t link_mbps = 0;  // 0: unknown
  int numa_node = -1;
  uint64_t rx_packets = 0, rx_bytes = 0, rx_missed = 0, rx_errors = 0, rx_no_buffer = 0;
  uint64_t tx_packets = 0, tx_bytes = 0, tx_errors = 0;
};

// Where a route leads.
struct NextHop {
  enum class Kind : uint8_t {
    kBlackhole,  // discard, counted
    kLocal,      // an address of the gateway; `port` or `interface` says whose
    kConnected,  // on-link at `port`: the destination is its own neighbour
    kGateway,    // via `gateway`, a neighbour at `port`
    kTunnel,     // into `interface`: its allowed IPs or policies choose the tunnel
  };
  Kind kind = Kind::kBlackhole;
  PortId port;
  InterfaceId interface;
  IpAddress gateway;
  friend bool operator==(const NextHop&, const NextHop&) = default;
};

struct RouteInfo {
  IpPrefix prefix;
  NextHop next_hop;
};

struct NeighbourInfo {
  PortId port;
  IpAddress address;
  MacAddress mac;
};

// A tunnel interface, such as a WireGuard device. Which tunnel a packet takes that is routed into
// it: WireGuard's allowed IPs say, or the policies of an ESP interface.
struct InterfaceSpec {
  std::string name;
  TunnelProtocol protocol = TunnelProtocol::kWireguard;
  uint16_t listen_port = 0;         // WireGuard: UDP, on every outside address of the gateway
  uint16_t mtu = 1420;              // of the inner packet
  DscpMode dscp = DscpMode::kZero;  // ESP: the tunnel says it
};

}  // namespace penstock
