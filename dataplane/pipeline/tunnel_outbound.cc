// Packets into tunnels of both protocols: the way out, and the exits of packets that have none.
#include "dataplane/pipeline/tunnel_outbound.h"

#include <rte_mbuf.h>

#include <algorithm>

#include "dataplane/wire/wireguard.h"

namespace penstock {

void Pipeline::into_tunnel(Packet& packet) {
  packet.rerouted = true;
  if (tables_.interfaces[packet.interface].protocol.load(std::memory_order_relaxed) ==
      TunnelProtocol::kEsp) {
    if (packet.tunnel == UINT32_MAX && !choose_esp_tunnel(packet)) return;
    return into_esp_tunnel(packet);
  }
  if (outbound_.full()) wireguard_outbound();
  outbound_.push(&packet);
}

template <TunnelProtocol kProtocol>
OuterPath Pipeline::find_outer_path(TunnelHot& hot, uint32_t version) {
  const OuterHeaders<kMaxOuterHeader / 8> headers(hot);
  const auto* bytes = reinterpret_cast<const uint8_t*>(headers.words);
  if (bytes[0] == 0) return {};  // no endpoint
  const bool v4 = bytes[0] >> 4 == 4;
  const uint32_t index = v4 ? fib_.lookup_v4(bytes + 16) : fib_.lookup_v6(bytes + 24);
  const NextHopEntry& next_hop = fib_.next_hop(index);
  size_t overhead = v4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
  if ((v4 ? bytes[9] : bytes[6]) == kProtocolUdp) overhead += sizeof(UdpHeader);
  if constexpr (kProtocol == TunnelProtocol::kWireguard) overhead += kWireguardDataOverheadBytes;
  const uint16_t mtu = next_hop.mtu.load(std::memory_order_relaxed);
  const bool fits = next_hop.is_port() && mtu > overhead;
  const OuterPath path(index, fits ? static_cast<uint32_t>(mtu - overhead) : 0);
  // Only if the header is still the one looked up: set_header() clears this after writing.
  if (hot.version.load(std::memory_order_acquire) == headers.version) {
    // Once more behind the store: the header may have changed just before it, and the clearing
    // with it. Acquire: whoever reads that clearing sees the new version.
    uint64_t stored = uint64_t{version} << 32 | path.word();
    hot.cached_path.exchange(stored, std::memory_order_acq_rel);
    if (hot.version.load(std::memory_order_relaxed) != headers.version) {
      hot.cached_path.compare_exchange_strong(stored, 0, std::memory_order_relaxed);
    }
  }
  return path;
}

template OuterPath Pipeline::find_outer_path<TunnelProtocol::kWireguard>(TunnelHot&, uint32_t);
template OuterPath Pipeline::find_outer_path<TunnelProtocol::kEsp>(TunnelHot&, uint32_t);

// write_outer() over IPv6. False: the headers have changed, and are not of IPv6 any more.
bool Pipeline::write_outer_ipv6(Packet& packet, const TunnelHot& hot, uint16_t message_bytes,
                                uint8_t traffic_class, uint8_t* message) {
  const OuterHeaders<kMaxOuterHeader / 8> headers(hot);
  const auto* bytes = reinterpret_cast<const uint8_t*>(headers.words);
  if (bytes[0] >> 4 != 6) return false;
  const bool in_udp = bytes[6] == kProtocolUdp;
  const size_t outer_bytes = in_udp ? kOuterIpv6Bytes : sizeof(Ipv6Header);
  uint8_t* outer = message - outer_bytes;
  for (size_t i = 0; i < outer_bytes / 8; ++i) store_unaligned(outer + i * 8, headers.words[i]);
  const auto payload = static_cast<uint16_t>(outer_bytes - sizeof(Ipv6Header) + message_bytes);
  auto& ip = *reinterpret_cast<Ipv6Header*>(outer);
  ip.version_class_flow = ipv6_version_class_flow(traffic_class, 0);
  ip.payload_length = Be16(payload);
  if (in_udp) reinterpret_cast<UdpHeader*>(outer + sizeof ip)->length = Be16(payload);
  packet.ip = outer;
  packet.family = 6;
  packet.length = static_cast<uint16_t>(sizeof ip + payload);
  return true;
}

// Exits of a packet that does not fit the path, or whose tunnel has none.
void Pipeline::leave_before_outer(const Packet& packet, const OuterPath& path, uint16_t inner_mtu) {
  if (inner_mtu > 0) {
    // Pieces of a packet for an ESP tunnel go there without asking: they have no ports.
    const bool esp = tables_.interfaces[packet.interface].protocol.load(
                         std::memory_order_relaxed) == TunnelProtocol::kEsp;
    return too_big(packet, inner_mtu, false, esp);
  }
  using Kind = NextHopEntry::Kind;
  const Kind kind = fib_.next_hop(path.next_hop()).kind;
  const bool endpoint_known =
      tunnels_.tunnel(packet.tunnel).header[0].load(std::memory_order_relaxed) != 0;
  drop(packet.mbuf, !endpoint_known            ? DropReason::kTunnelNoEndpoint
                    : kind == Kind::kNone      ? DropReason::kNoRoute
                    : kind == Kind::kBlackhole ? DropReason::kBlackhole
                                               : DropReason::kEndpointInTunnel);
}

// No usable SA: the packet waits in the control plane, which starts a handshake.
void Pipeline::wait_for_session(const Packet& packet) {
  if (packet.length == 0) {  // a keepalive is not worth a handshake
    return drop(packet.mbuf, DropReason::kTunnelNoSession);
  }
  tunnels_.raise_tunnel(packet.tunnel, kEventNeedSession);
  RingMeta& meta = ring_meta(packet.mbuf);
  meta.tunnel = packet.tunnel;
  meta.tunnel_generation = tunnels_.tunnel_generation(packet.tunnel);
  meta.interface = packet.interface;
  punt(packet.mbuf, packet.ip, packet.length, PuntKind::kNeedSession, PuntClass::kWaiting,
       DropReason::kTunnelNoSession);
}

}  // namespace penstock
