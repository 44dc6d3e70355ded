// IKE and ESP among what a port receives: UDP ports 500 and 4500, IP protocol 50 (RFC 3948 2,
// RFC 7296 2.23). Exits: esp_inbound_, punt (IKE, some unknown SPIs), drop.
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <algorithm>

#include "dataplane/pipeline/pipeline.h"
#include "dataplane/pipeline/validate.h"
#include "dataplane/wire/esp.h"
#include "dataplane/wire/udp.h"

namespace penstock {
namespace {

// The shortest ESP packet that there is: an AEAD with nothing inside but padding and trailer.
constexpr uint32_t kMinimumEspBytes = sizeof(EspHeader) + 8 + 4 + kEspTagBytes;

constexpr size_t kMaximumIkeBytes = 16'384;

template <uint8_t kFamily>
constexpr uint32_t kIpBytesOf = kFamily == 4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header);

template <uint8_t kFamily>
bool udp_checksum_ok(const uint8_t* ip, uint32_t udp_bytes) {
  const uint8_t* datagram = ip + kIpBytesOf<kFamily>;
  if (kFamily == 4 && reinterpret_cast<const UdpHeader*>(datagram)->checksum.raw() == 0) {
    return true;
  }
  uint64_t pseudo = 0;
  if constexpr (kFamily == 4) {
    const auto& header = *reinterpret_cast<const Ipv4Header*>(ip);
    pseudo = pseudo_header_sum(header.source, header.destination, kProtocolUdp,
                               static_cast<uint16_t>(udp_bytes));
  } else {
    const auto& header = *reinterpret_cast<const Ipv6Header*>(ip);
    pseudo = pseudo_header_sum(header.source, header.destination, kProtocolUdp, udp_bytes);
  }
  return transport_checksum_ok(pseudo, {datagram, udp_bytes});
}

}  // namespace

// A datagram of valid length to UDP/500 or UDP/4500 of ours.
template <uint8_t kFamily>
PENSTOCK_HOT void Pipeline::classify_ike_port(uint16_t port, rte_mbuf* frame, uint8_t* ip,
                                              uint32_t length, uint32_t udp_bytes,
                                              bool nat_traversal) {
  constexpr uint32_t kIpBytes = kIpBytesOf<kFamily>;
  uint8_t* message = ip + kIpBytes + sizeof(UdpHeader);
  auto message_bytes = static_cast<uint32_t>(udp_bytes - sizeof(UdpHeader));
  if (nat_traversal) {
    if (load_unaligned<uint32_t>(message) != 0) [[likely]] {  // an SPI, not the non-ESP marker
      // The checksum is not looked at: the packet authenticates itself (RFC 3948 2.1).
      const auto& udp = *reinterpret_cast<const UdpHeader*>(ip + kIpBytes);
      return push_esp<kFamily>(port, frame, ip, message, message_bytes, udp.source_port.raw(),
                               true);
    }
    message += kNonEspMarkerBytes;
    message_bytes -= static_cast<uint32_t>(kNonEspMarkerBytes);
  }
  if (message_bytes < kIkeHeaderBytes || !udp_checksum_ok<kFamily>(ip, udp_bytes)) {
    return drop(frame, DropReason::kIkeMalformed);
  }
  punt_ike(port, frame, ip, length, message, message_bytes);
}

// A datagram with less than four bytes: of interest is the NAT keepalive (RFC 3948 2.3), which
// keeps a mapping in somebody's NAT and wants nothing of us.
template <uint8_t kFamily>
bool Pipeline::classify_short_udp(rte_mbuf* frame, const uint8_t* ip, uint32_t length) {
  constexpr uint32_t kIpBytes = kIpBytesOf<kFamily>;
  if (length < kIpBytes + sizeof(UdpHeader) + 1) return false;
  const auto& udp = *reinterpret_cast<const UdpHeader*>(ip + kIpBytes);
  const uint8_t listener =
      tables_.listeners[udp.destination_port.raw()].load(std::memory_order_relaxed);
  if (listener != kListenerNatTraversal) return false;
  if (kFamily == 4 ? !is_local_v4(ip + 16) : !is_local_v6(ip + 24)) return false;
  const bool keepalive = udp.length.get() == sizeof(UdpHeader) + 1 &&
                         ip[kIpBytes + sizeof(UdpHeader)] == kNatKeepaliveByte;
  drop(frame, keepalive ? DropReason::kNatKeepalive : DropReason::kIkeMalformed);
  return true;
}

template <uint8_t kFamily>
PENSTOCK_HOT bool Pipeline::classify_native_esp(uint16_t port, rte_mbuf* frame, uint8_t* ip,
                                                uint32_t length) {
  if (!tables_.accept_esp.load(std::memory_order_relaxed)) return false;
  if (kFamily == 4 ? !is_local_v4(ip + 16) : !is_local_v6(ip + 24)) return false;
  push_esp<kFamily>(port, frame, ip, ip + kIpBytesOf<kFamily>, length - kIpBytesOf<kFamily>, 0,
                    false);
  return true;
}

template <uint8_t kFamily>
PENSTOCK_HOT void Pipeline::push_esp(uint16_t port, rte_mbuf* frame, uint8_t* ip, uint8_t* message,
                                     uint32_t message_bytes, uint16_t source_port_raw,
                                     bool in_udp) {
  if (message_bytes < kMinimumEspBytes) [[unlikely]]
    return drop(frame, DropReason::kTunnelMalformed);
  const auto& header = *reinterpret_cast<const EspHeader*>(message);
  const uint32_t spi = header.spi.get();
  Inbound& in = esp_inbound_.next();
  in.mbuf = frame;
  in.message = message;
  in.sa = &tunnels_.inbound_slot_of(spi);
  in.counter = header.sequence.get();
  in.message_bytes = message_bytes;
  in.port = port;
  in.outer_family = kFamily;
  in.outer_bytes = static_cast<uint16_t>(message - ip);
  in.in_udp = in_udp;
  if constexpr (kFamily == 4) {
    in.source_tag = source_tag_v4(load_unaligned<uint32_t>(ip + 12), source_port_raw);
    in.outer_traffic_class = ip[1];
  } else {
    in.source_tag = source_tag_v6(ip + 8, source_port_raw);
    in.outer_traffic_class = reinterpret_cast<const Ipv6Header*>(ip)->traffic_class();
  }
  __builtin_prefetch(in.sa);
  __builtin_prefetch(&in.sa->rx_packets, 1);
}

// IKE that no single buffer holds, put together from fragments (a peer without RFC 7383 that sends
// a chain of certificates). False: it is not that, or there are no buffers.
template <uint8_t kFamily>
bool Pipeline::punt_long_ike(uint16_t port, Bytes whole) {
  constexpr size_t kHeaders = kIpBytesOf<kFamily> + sizeof(UdpHeader);
  const uint8_t* ip = whole.data();
  if (whole.size() > kMaximumIkeBytes ||
      whole.size() < kHeaders + kNonEspMarkerBytes + kIkeHeaderBytes) {
    return false;
  }
  if ((kFamily == 4 ? ip[9] : ip[6]) != kProtocolUdp) return false;
  if (tables_.ports[port].role == PortRole::kInside) return false;
  const auto& udp = *reinterpret_cast<const UdpHeader*>(ip + kIpBytesOf<kFamily>);
  const uint8_t listener =
      tables_.listeners[udp.destination_port.raw()].load(std::memory_order_relaxed);
  if (listener < kListenerIke) return false;
  const size_t udp_bytes = whole.size() - kIpBytesOf<kFamily>;
  if (udp.length.get() != udp_bytes ||
      !udp_checksum_ok<kFamily>(ip, static_cast<uint32_t>(udp_bytes))) {
    return false;
  }
  const uint8_t* message = ip + kHeaders;
  if (listener == kListenerNatTraversal) {
    if (load_unaligned<uint32_t>(message) != 0) return false;
    message += kNonEspMarkerBytes;
  }
  rte_mbuf* chain = make_chain(whole);
  if (chain == nullptr) return false;
  RingMeta& meta = ring_meta(chain);
  meta.port = port;
  meta.punt = PuntKind::kIke;
  meta.worker = config_.worker;
  const bool initial = load_unaligned<uint64_t>(message + kIkeResponderSpiOffset) == 0;
  const PuntClass to = initial ? PuntClass::kIkeInitial : PuntClass::kIke;
  rte_ring* ring = tables_.rings[config_.worker].punt[static_cast<size_t>(to)];
  if (rte_ring_sp_enqueue(ring, chain) != 0) {
    drop(chain, DropReason::kPuntQueueFull);
  } else {
    counters_.punts.add(1);
  }
  return true;
}

template bool Pipeline::punt_long_ike<4>(uint16_t, Bytes);
template bool Pipeline::punt_long_ike<6>(uint16_t, Bytes);

// A chain of buffers with a copy of `content`, or nullptr where the pool is empty.
rte_mbuf* Pipeline::make_chain(Bytes content) {
  rte_mbuf* head = nullptr;
  while (!content.empty()) {
    rte_mbuf* segment = rte_pktmbuf_alloc(config_.pool);
    if (segment == nullptr) {
      rte_pktmbuf_free(head);
      return nullptr;
    }
    const auto bytes =
        static_cast<uint16_t>(std::min<size_t>(content.size(), rte_pktmbuf_tailroom(segment)));
    std::memcpy(rte_pktmbuf_append(segment, bytes), content.data(), bytes);
    content = content.subspan(bytes);
    if (head == nullptr) {
      head = segment;
    } else {
      rte_pktmbuf_chain(head, segment);
    }
  }
  return head;
}

template void Pipeline::classify_ike_port<4>(uint16_t, rte_mbuf*, uint8_t*, uint32_t, uint32_t,
                                             bool);
template void Pipeline::classify_ike_port<6>(uint16_t, rte_mbuf*, uint8_t*, uint32_t, uint32_t,
                                             bool);

void Pipeline::punt_ike(uint16_t port, rte_mbuf* frame, const uint8_t* ip, uint32_t length,
                        const uint8_t* message, uint32_t message_bytes) {
  // A first message has no responder's SPI: whoever floods us sends these.
  const bool initial = message_bytes >= kIkeHeaderBytes &&
                       load_unaligned<uint64_t>(message + kIkeResponderSpiOffset) == 0;
  ring_meta(frame).port = port;
  punt(frame, ip, length, PuntKind::kIke, initial ? PuntClass::kIkeInitial : PuntClass::kIke,
       DropReason::kPuntQueueFull);
}

// Counted always, reported at a limited rate: the peer may hold an SA that we have lost.
void Pipeline::punt_unknown_spi(const Inbound& in) {
  if (!unknown_spi_bucket_.take(static_cast<uint64_t>(now_ns_))) {
    return drop(in.mbuf, DropReason::kTunnelUnknownIndex);
  }
  counters_.drops[static_cast<size_t>(DropReason::kTunnelUnknownIndex)].add(1);
  ring_meta(in.mbuf).port = in.port;
  punt(in.mbuf, in.message - in.outer_bytes, in.outer_bytes + in.message_bytes,
       PuntKind::kUnknownSpi, PuntClass::kIkeInitial, DropReason::kPuntQueueFull);
}

}  // namespace penstock
