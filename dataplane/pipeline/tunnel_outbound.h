// What the outbound sides of both tunnel protocols share, inline in each.
#pragma once

#include <rte_mbuf.h>

#include "dataplane/pipeline/pipeline.h"
#include "dataplane/pipeline/transmit.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/udp.h"

namespace penstock {

inline constexpr uint16_t kOuterIpv4Bytes = sizeof(Ipv4Header) + sizeof(UdpHeader);
inline constexpr uint16_t kOuterIpv6Bytes = sizeof(Ipv6Header) + sizeof(UdpHeader);

inline uint8_t inner_traffic_class(const Packet& packet) {
  if (packet.family == 4) return packet.ip[1];
  if (packet.family == 6) return static_cast<uint8_t>(packet.ip[0] << 4 | packet.ip[1] >> 4);
  return 0;
}

// Room for all headers in front, of which `header_bytes` are the tunnel protocol's, and for what it
// puts behind.
inline bool has_outer_room(const Packet& packet, size_t header_bytes, size_t behind_bytes) {
  const size_t front_bytes = sizeof(EthernetHeader) + kOuterIpv6Bytes + header_bytes;
  const auto* buffer = static_cast<const uint8_t*>(packet.mbuf->buf_addr);
  const auto front = static_cast<size_t>(packet.ip - buffer);
  return front >= front_bytes && front + packet.length + behind_bytes <= packet.mbuf->buf_len;
}

// RFC 8200 8.1: over IPv6 the checksum is mandatory, and receivers refuse 0.
inline void finish_udp_ipv6(rte_mbuf* m, uint8_t* outer, bool offload) {
  auto& ip = *reinterpret_cast<Ipv6Header*>(outer);
  auto& udp = *reinterpret_cast<UdpHeader*>(outer + sizeof ip);
  const uint16_t bytes = udp.length.get();
  const uint64_t pseudo = pseudo_header_sum(ip.source, ip.destination, kProtocolUdp, bytes);
  if (offload) {
    udp.checksum = Be16::from_raw(fold_sum(pseudo));
    m->tx_offload = 0;
    m->l2_len = sizeof(EthernetHeader);
    m->l3_len = sizeof(Ipv6Header);
    m->ol_flags |= RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM;
  } else {
    udp.checksum = udp_checksum(pseudo, {reinterpret_cast<const uint8_t*>(&udp), bytes});
  }
}

// The first words of a tunnel's outer headers, all of one version (see TunnelHot).
template <size_t kWords>
struct OuterHeaders {
  uint64_t words[kWords];
  uint32_t version = 0;

  explicit OuterHeaders(const TunnelHot& hot) {
    do {
      version = hot.version.load(std::memory_order_acquire);
      for (size_t i = 0; i < kWords; ++i) words[i] = hot.header[i].load(std::memory_order_relaxed);
      std::atomic_thread_fence(std::memory_order_acquire);
    } while ((version & 1) != 0 || hot.version.load(std::memory_order_relaxed) != version);
  }
};

// Of a packet whose tunnel is chosen.
PENSTOCK_HOT void Pipeline::into_esp_tunnel(Packet& packet) {
  packet.rerouted = true;
  if (esp_outbound_.full()) [[unlikely]]
    esp_outbound();
  // Where outer headers and trailer will be written.
  __builtin_prefetch(packet.ip - 64, 1);
  __builtin_prefetch(packet.ip + packet.length, 1);
  esp_outbound_.push(&packet);
}

// The underlay path of a tunnel, looked up again only when routes have changed: its next hop and
// what fits there (see OuterPath).
template <TunnelProtocol kProtocol>
PENSTOCK_HOT OuterPath Pipeline::outer_path(TunnelHot& hot) {
  const uint32_t version = fib_.version();
  const uint64_t cached = hot.cached_path.load(std::memory_order_relaxed);
  if (cached >> 32 == version) [[likely]]
    return OuterPath(static_cast<uint32_t>(cached));
  return find_outer_path<kProtocol>(hot, version);
}

// Puts the tunnel's outer headers in front of the message and fills in what varies. WireGuard is
// always in UDP. False: the endpoint is not known.
template <TunnelProtocol kProtocol>
PENSTOCK_HOT bool Pipeline::write_outer(Packet& packet, const TunnelHot& hot,
                                        uint16_t message_bytes, uint8_t traffic_class,
                                        uint8_t* message, bool dont_fragment) {
  constexpr bool kAlwaysUdp = kProtocol == TunnelProtocol::kWireguard;
  while (true) {
    const OuterHeaders<3> headers(hot);
    const auto [first, second, third] = headers.words;
    if ((first & 0xff) != kIpv4PlainVersionLength) [[unlikely]] {
      if (first == 0) return false;
      if (write_outer_ipv6(packet, hot, message_bytes, traffic_class, message)) return true;
      continue;
    }
    const bool in_udp = kAlwaysUdp || (second >> 8 & 0xff) == kProtocolUdp;
    uint8_t* outer = message - (in_udp ? kOuterIpv4Bytes : sizeof(Ipv4Header));
    // Word by word, as they are read; each later field is patched with a store of its own.
    store_unaligned(outer + 8, second);
    auto total = static_cast<uint16_t>(sizeof(Ipv4Header) + message_bytes);
    if (in_udp) {
      const auto udp_bytes = static_cast<uint16_t>(sizeof(UdpHeader) + message_bytes);
      total = static_cast<uint16_t>(total + sizeof(UdpHeader));
      store_unaligned(outer + 16, third);
      store_unaligned(outer + 24, uint32_t{Be16(udp_bytes).raw()});  // length; checksum 0: none
    } else {
      store_unaligned(outer + 16, static_cast<uint32_t>(third));
    }
    const uint16_t identification = next_identification_++;
    const uint64_t flags = dont_fragment ? Be16(kIpv4DontFragment).raw() : 0;
    const uint64_t start = kIpv4PlainVersionLength | uint64_t{traffic_class} << 8 |
                           uint64_t{Be16(total).raw()} << 16 | uint64_t{identification} << 32 |
                           flags << 48;
    store_unaligned(outer, start);
    // The stored checksum field is the sum of the constant words; add those that vary.
    const auto constant = static_cast<uint16_t>(second >> 16);
    const uint32_t sum = uint32_t{constant} + Be16(total).raw() + identification +
                         (uint32_t{traffic_class} << 8) + static_cast<uint32_t>(flags);
    store_unaligned(outer + 10, complement_sum(sum));
    packet.ip = outer;
    packet.family = 4;
    packet.length = total;
    return true;
  }
}

// The last step before the wire.
PENSTOCK_HOT void Pipeline::finish_outbound(const Packet& packet, const NextHopEntry& next_hop) {
  if (packet.family == 6 && packet.ip[6] == kProtocolUdp) {
    // Not left to the port while the packet has to wait: it leaves from another buffer then.
    finish_udp_ipv6(packet.mbuf, packet.ip,
                    tables_.ports[next_hop.port].transmit_udp_checksum &&
                        next_hop.ethernet_start.load(std::memory_order_relaxed) != 0);
  }
  output(packet, next_hop);
}

}  // namespace penstock
