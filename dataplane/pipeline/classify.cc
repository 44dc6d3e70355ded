// First stage: what is this frame? Exits: inbound_ (WireGuard data for us), clear_ (IP to be
// routed), punt (ARP, ND, handshakes), drop.
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include "dataplane/pipeline/pipeline.h"
#include "dataplane/pipeline/validate.h"
#include "dataplane/wire/arp.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/icmp.h"
#include "dataplane/wire/udp.h"
#include "dataplane/wire/wireguard.h"

namespace penstock {
namespace {

constexpr uint64_t kMacMask = 0xffff'ffff'ffff;
constexpr size_t kPrefetchAhead = 4;

void prefetch_frame(rte_mbuf* m) { rte_prefetch0(rte_pktmbuf_mtod(m, void*)); }

}  // namespace

void Pipeline::classify(uint16_t port, rte_mbuf* const* frames, uint16_t count) {
  for (uint16_t i = 0; i < count && i < kPrefetchAhead; ++i) prefetch_frame(frames[i]);
  for (uint16_t i = 0; i < count; ++i) {
    if (i + kPrefetchAhead < count) prefetch_frame(frames[i + kPrefetchAhead]);
    classify_frame(port, frames[i]);
  }
  counters_.rx_packets.add(count);
}

PENSTOCK_HOT void Pipeline::classify_frame(uint16_t port, rte_mbuf* frame) {
  if (frame->nb_segs != 1) [[unlikely]] {
    if (rte_pktmbuf_linearize(frame) != 0) return drop(frame, DropReason::kRxNotLinear);
  }
  uint8_t* data = rte_pktmbuf_mtod(frame, uint8_t*);
  const uint32_t length = frame->data_len;
  if (length < sizeof(EthernetHeader)) return drop(frame, DropReason::kEthTooShort);
  // What the port says of checksums is not believed; how the buffer's memory is held stays.
  frame->ol_flags &= RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT;
  const uint64_t destination = load_unaligned<uint64_t>(data) & kMacMask;
  const uint16_t type = load_unaligned<uint16_t>(data + 12);
  uint8_t* ip = data + sizeof(EthernetHeader);
  const uint32_t available = length - static_cast<uint32_t>(sizeof(EthernetHeader));
  const bool to_group = (destination & 1) != 0;
  if (destination != tables_.ports[port].mac48 && !to_group) {
    return drop(frame, DropReason::kEthNotForUs);
  }
  if (type == Be16(kEtherTypeIpv4).raw())
    return classify_ipv4(port, frame, ip, available, to_group);
  if (type == Be16(kEtherTypeIpv6).raw())
    return classify_ipv6(port, frame, ip, available, to_group);
  classify_odd_frame(port, frame);
}

void Pipeline::classify_odd_frame(uint16_t port, rte_mbuf* frame) {
  const auto* ethernet = rte_pktmbuf_mtod(frame, const EthernetHeader*);
  const uint16_t type = ethernet->ether_type.get();
  if (type == kEtherTypeVlan || type == kEtherTypeQinq) return drop(frame, DropReason::kEthVlan);
  if (type != kEtherTypeArp) return drop(frame, DropReason::kEthUnknownType);
  if (frame->data_len < sizeof(EthernetHeader) + sizeof(ArpHeader)) {
    return drop(frame, DropReason::kEthTooShort);
  }
  RingMeta& meta = ring_meta(frame);
  meta.port = port;
  meta.source_mac = ethernet->source;
  punt(frame, reinterpret_cast<const uint8_t*>(ethernet + 1), sizeof(ArpHeader), PuntKind::kArp,
       PuntClass::kNeighbour, DropReason::kPuntQueueFull);
}

PENSTOCK_HOT void Pipeline::classify_ipv4(uint16_t port, rte_mbuf* frame, uint8_t* ip,
                                          uint32_t available, bool to_group) {
  const DropReason invalid = validate_ipv4(ip, available);
  if (invalid != kValid) [[unlikely]]
    return drop(frame, invalid);
  const auto& header = *reinterpret_cast<const Ipv4Header*>(ip);
  // RFC 1122 3.3.6: a frame to a group that carries a packet to a single host is not for us.
  if (to_group) [[unlikely]]
    return drop(frame, DropReason::kIpBroadcast);
  const uint16_t length = header.total_length.get();
  if (tables_.ports[port].role != PortRole::kInside && !header.is_fragment() &&
      classify_any_tunnel<4>(port, frame, ip, length, header.protocol)) {
    return;
  }
  push_clear(port, frame, ip, length, 4);
}

void Pipeline::classify_ipv6(uint16_t port, rte_mbuf* frame, uint8_t* ip, uint32_t available,
                             bool to_group) {
  const DropReason invalid = validate_ipv6(ip, available);
  if (invalid != kValid) [[unlikely]]
    return drop(frame, invalid);
  const auto& header = *reinterpret_cast<const Ipv6Header*>(ip);
  const auto length = static_cast<uint16_t>(sizeof(Ipv6Header) + header.payload_length.get());
  // Neighbour discovery goes to groups and link-local addresses, which the forwarding table does
  // not know; its hop limit proves that no router forwarded it (RFC 4861 7.1).
  if (header.next_header == kProtocolIcmpv6 && is_neighbour_discovery(ip, length)) {
    RingMeta& meta = ring_meta(frame);
    meta.port = port;
    meta.source_mac = reinterpret_cast<const EthernetHeader*>(ip - sizeof(EthernetHeader))->source;
    return punt(frame, ip, length, PuntKind::kNeighbourDiscovery, PuntClass::kNeighbour,
                DropReason::kPuntQueueFull);
  }
  if (to_group || header.destination.is_multicast()) [[unlikely]]
    return drop(frame, DropReason::kIpBroadcast);
  if (tables_.ports[port].role != PortRole::kInside &&
      classify_any_tunnel<6>(port, frame, ip, length, header.next_header)) {
    return;
  }
  push_clear(port, frame, ip, length, 6);
}

// Built in place: a copy would wait for its own small stores.
PENSTOCK_HOT void Pipeline::push_clear(uint16_t port, rte_mbuf* frame, uint8_t* ip, uint16_t length,
                                       uint8_t family) {
  Packet& packet = clear_.next();
  packet.mbuf = frame;
  packet.ip = ip;
  packet.length = length;
  packet.family = family;
  packet.origin = Origin::kPort;
  packet.port = port;
}

// Takes what is for a tunnel, or for its control protocol; false: it is not that. `length` is of
// the whole validated packet.
template <uint8_t kFamily>
PENSTOCK_HOT bool Pipeline::classify_any_tunnel(uint16_t port, rte_mbuf* frame, uint8_t* ip,
                                                uint32_t length, uint8_t protocol) {
  if (protocol == kProtocolUdp) return classify_tunnel<kFamily>(port, frame, ip, length);
  if (protocol == kProtocolEsp) return classify_native_esp<kFamily>(port, frame, ip, length);
  return false;
}

// Takes UDP to one of our tunnel ports and addresses; false: it is not that. `length` is of the
// whole validated packet. The UDP checksum is not looked at: every WireGuard message authenticates
// itself (MAC1 or the tag).
template <uint8_t kFamily>
bool Pipeline::classify_tunnel(uint16_t port, rte_mbuf* frame, uint8_t* ip, uint32_t length) {
  constexpr uint32_t kIpBytes = kFamily == 4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
  constexpr uint32_t kTypeBytes = 4;
  if (length < kIpBytes + sizeof(UdpHeader) + kTypeBytes) [[unlikely]]
    return classify_short_udp<kFamily>(frame, ip, length);
  const auto& udp = *reinterpret_cast<const UdpHeader*>(ip + kIpBytes);
  const uint8_t listener =
      tables_.listeners[udp.destination_port.raw()].load(std::memory_order_relaxed);
  if (listener == 0) return false;
  if (kFamily == 4 ? !is_local_v4(ip + 16) : !is_local_v6(ip + 24)) return false;
  const uint32_t udp_bytes = udp.length.get();
  uint8_t* message = ip + kIpBytes + sizeof(UdpHeader);
  if (udp_bytes < sizeof(UdpHeader) + kTypeBytes || udp_bytes > length - kIpBytes) {
    drop(frame, DropReason::kTunnelMalformed);
    return true;
  }
  if (listener >= kListenerIke) {
    classify_ike_port<kFamily>(port, frame, ip, length, udp_bytes,
                               listener == kListenerNatTraversal);
    return true;
  }
  const auto message_bytes = static_cast<uint32_t>(udp_bytes - sizeof(UdpHeader));
  const auto interface = static_cast<uint16_t>(listener - 1);
  const uint32_t type = load_unaligned<Le32>(message).get();
  if (type != kWireguardData) [[unlikely]] {
    punt_handshake(port, frame, ip, length, interface, type, message_bytes);
    return true;
  }
  if (message_bytes < kWireguardMinimumDataBytes) {
    drop(frame, DropReason::kTunnelMalformed);
    return true;
  }
  const auto& data = *reinterpret_cast<const WireguardDataHeader*>(message);
  Inbound& in = inbound_.next();
  in.mbuf = frame;
  in.message = message;
  in.sa = &tunnels_.inbound_slot_of(data.receiver.get());
  in.counter = data.counter.get();
  in.message_bytes = message_bytes;
  in.port = port;
  in.interface = interface;
  in.outer_family = kFamily;
  in.outer_bytes = kIpBytes + sizeof(UdpHeader);
  in.in_udp = true;
  if constexpr (kFamily == 4) {
    in.source_tag = source_tag_v4(load_unaligned<uint32_t>(ip + 12), udp.source_port.raw());
    in.outer_traffic_class = ip[1];
  } else {
    in.source_tag = source_tag_v6(ip + 8, udp.source_port.raw());
    in.outer_traffic_class = reinterpret_cast<const Ipv6Header*>(ip)->traffic_class();
  }
  __builtin_prefetch(in.sa);
  __builtin_prefetch(&in.sa->rx_packets, 1);
  return true;
}

template bool Pipeline::classify_tunnel<4>(uint16_t, rte_mbuf*, uint8_t*, uint32_t);
template bool Pipeline::classify_tunnel<6>(uint16_t, rte_mbuf*, uint8_t*, uint32_t);

// Types 1 to 3 of exactly their length go to the control plane (paper 5.4), nothing else.
void Pipeline::punt_handshake(uint16_t port, rte_mbuf* frame, const uint8_t* ip, uint32_t length,
                              uint16_t interface, uint32_t type, uint32_t message_bytes) {
  const bool handshake =
      (type == kWireguardInitiation && message_bytes == kWireguardInitiationBytes) ||
      (type == kWireguardResponse && message_bytes == kWireguardResponseBytes) ||
      (type == kWireguardCookieReply && message_bytes == kWireguardCookieReplyBytes);
  if (!handshake) {
    return drop(frame, type >= kWireguardInitiation && type <= kWireguardCookieReply
                           ? DropReason::kHandshakeMalformed
                           : DropReason::kTunnelMalformed);
  }
  RingMeta& meta = ring_meta(frame);
  meta.port = port;
  meta.interface = interface;
  punt(frame, ip, length, PuntKind::kHandshake, PuntClass::kHandshake, DropReason::kPuntQueueFull);
}

// Nearly all tunnel packets come to one address of ours: remember it as long as routes stay.
PENSTOCK_HOT bool Pipeline::is_local_v4(const uint8_t* address) {
  const auto wanted = load_unaligned<uint32_t>(address);
  const uint32_t version = fib_.version();
  if (wanted == local_v4_ && version == local_version_) [[likely]]
    return true;
  if (fib_.next_hop(fib_.lookup_v4(address)).kind != NextHopEntry::Kind::kLocal) return false;
  local_v4_ = wanted;
  local_version_ = version;
  return true;
}

bool Pipeline::is_local_v6(const uint8_t* address) {
  const uint32_t version = fib_.version();
  if (std::memcmp(address, local_v6_, 16) == 0 && version == local_v6_version_) [[likely]]
    return true;
  if (fib_.next_hop(fib_.lookup_v6(address)).kind != NextHopEntry::Kind::kLocal) return false;
  std::memcpy(local_v6_, address, 16);
  local_v6_version_ = version;
  return true;
}

}  // namespace penstock
