// Packets between the control thread and the workers.
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "dataplane/wire/checksum.h"
#include "dataplane/wire/esp.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/udp.h"
#include "dataplane/worker/dpdk_dataplane.h"

namespace penstock {
namespace {

constexpr uint16_t kTailRoomBytes = 64;

template <class Address>
Address address_at(const uint8_t* bytes) {
  Address address;
  std::memcpy(address.bytes.data(), bytes, sizeof address.bytes);
  return address;
}

// The UDP datagram, or the ESP packet without one, in a punted packet; the pipeline has checked all
// lengths.
void read_datagram(Bytes packet, PuntedPacket& out) {
  const bool v4 = packet[0] >> 4 == 4;
  const size_t header_bytes = v4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
  if (v4) {
    out.source.address = address_at<Ipv4Address>(packet.data() + 12);
    out.destination.address = address_at<Ipv4Address>(packet.data() + 16);
  } else {
    out.source.address = address_at<Ipv6Address>(packet.data() + 8);
    out.destination.address = address_at<Ipv6Address>(packet.data() + 24);
  }
  if ((v4 ? packet[9] : packet[6]) != kProtocolUdp) {
    out.bytes = packet.subspan(header_bytes);
    return;
  }
  const auto& udp = *reinterpret_cast<const UdpHeader*>(packet.data() + header_bytes);
  out.source.port = udp.source_port.get();
  out.destination.port = udp.destination_port.get();
  out.bytes =
      packet.subspan(header_bytes + sizeof(UdpHeader), udp.length.get() - sizeof(UdpHeader));
}

}  // namespace

rte_mbuf* DpdkDataplane::make_buffer(Bytes content) {
  rte_mbuf* buffer = rte_pktmbuf_alloc(pool_);
  if (buffer == nullptr) return nullptr;
  if (content.size() + kTailRoomBytes > rte_pktmbuf_tailroom(buffer)) {
    rte_pktmbuf_free(buffer);
    return nullptr;
  }
  if (!content.empty()) {
    std::memcpy(rte_pktmbuf_append(buffer, static_cast<uint16_t>(content.size())), content.data(),
                content.size());
  }
  return buffer;
}

// The first worker sends everything that the control plane makes: it is little, and in order.
bool DpdkDataplane::inject(rte_mbuf* buffer) {
  if (rte_ring_sp_enqueue(tables_->rings[0].inject, buffer) == 0) return true;
  rte_pktmbuf_free(buffer);
  return false;
}

bool DpdkDataplane::send_ip(Bytes packet) { return inject_ip(packet, RingMeta::Inject::kIp); }

bool DpdkDataplane::inject_ip(Bytes packet, RingMeta::Inject kind) {
  const uint8_t version = packet.empty() ? uint8_t{0} : packet[0] >> 4;
  if ((version != 4 || packet.size() < sizeof(Ipv4Header)) &&
      (version != 6 || packet.size() < sizeof(Ipv6Header))) {
    return false;
  }
  rte_mbuf* buffer = make_buffer(packet);
  if (buffer == nullptr) return false;
  ring_meta(buffer) = RingMeta{};
  ring_meta(buffer).inject = kind;
  return inject(buffer);
}

bool DpdkDataplane::send_frame(PortId port, const MacAddress& destination, uint16_t ether_type,
                               Bytes payload) {
  if (port.value >= ports_.size()) return false;
  uint8_t frame[2048];
  Writer writer(frame);
  EthernetHeader ethernet{};
  ethernet.destination = destination;
  ethernet.source = ports_[port.value]->mac();
  ethernet.ether_type = Be16(ether_type);
  writer.object(ethernet);
  writer.bytes(payload);
  if (!writer.ok()) return false;
  rte_mbuf* buffer = make_buffer(writer.written());
  if (buffer == nullptr) return false;
  ring_meta(buffer) = RingMeta{};
  ring_meta(buffer).inject = RingMeta::Inject::kFrame;
  ring_meta(buffer).port = static_cast<uint16_t>(port.value);
  return inject(buffer);
}

bool DpdkDataplane::inject_into_tunnel(TunnelId tunnel, Bytes inner, RingMeta::Inject kind) {
  if (!tables_->tunnels->exists(tunnel)) return false;
  rte_mbuf* buffer = make_buffer(inner);
  if (buffer == nullptr) return false;
  RingMeta& meta = ring_meta(buffer) = RingMeta{};
  meta.inject = kind;
  meta.tunnel = tunnel.value;
  meta.tunnel_generation = tables_->tunnels->tunnel_generation(tunnel.value);
  meta.interface = static_cast<uint16_t>(tables_->tunnels->interface_of(tunnel).value);
  return inject(buffer);
}

bool DpdkDataplane::send_keepalive(TunnelId tunnel) {
  return inject_into_tunnel(tunnel, {}, RingMeta::Inject::kKeepalive);
}

bool DpdkDataplane::send_into_tunnel(TunnelId tunnel, Bytes inner_packet) {
  if (inner_packet.empty()) return false;
  return inject_into_tunnel(tunnel, inner_packet, RingMeta::Inject::kTunnelPacket);
}

// While the packet was in the ring its tunnel may have been removed, and the slot given away.
bool DpdkDataplane::punt_is_current(const RingMeta& meta) const {
  const TunnelId tunnel{meta.tunnel};
  return tables_->tunnels->exists(tunnel) &&
         tables_->tunnels->tunnel_generation(meta.tunnel) == meta.tunnel_generation;
}

size_t DpdkDataplane::poll_punts(size_t budget,
                                 const std::function<void(const PuntedPacket&)>& deliver) {
  constexpr unsigned kBurst = 32;
  size_t delivered = 0;
  // Neighbours first: without them nothing else gets through.
  for (const PuntClass kind : {PuntClass::kNeighbour, PuntClass::kWaiting, PuntClass::kIke,
                               PuntClass::kHandshake, PuntClass::kIkeInitial}) {
    for (size_t worker = 0; worker < workers_.size(); ++worker) {
      rte_ring* ring = tables_->rings[worker].punt[static_cast<size_t>(kind)];
      size_t left = budget / (workers_.size() * kPuntClasses) + 1;
      while (left > 0) {
        void* items[kBurst];
        const unsigned count = rte_ring_sc_dequeue_burst(
            ring, items, static_cast<unsigned>(std::min<size_t>(kBurst, left)), nullptr);
        if (count == 0) break;
        left -= count;
        for (unsigned i = 0; i < count; ++i) {
          auto* buffer = static_cast<rte_mbuf*>(items[i]);
          deliver_punt(buffer, deliver);
          rte_pktmbuf_free(buffer);
        }
        delivered += count;
      }
    }
  }
  return delivered;
}

void DpdkDataplane::deliver_punt(rte_mbuf* buffer,
                                 const std::function<void(const PuntedPacket&)>& deliver) {
  const RingMeta& meta = ring_meta(buffer);
  PuntedPacket packet;
  packet.kind = meta.punt;
  packet.worker = WorkerId{meta.worker};
  packet.port = PortId{meta.port};
  packet.bytes = Bytes(rte_pktmbuf_mtod(buffer, const uint8_t*), buffer->data_len);
  if (buffer->nb_segs > 1) {  // of IKE alone
    long_punt_.resize(buffer->pkt_len);
    packet.bytes = Bytes(static_cast<const uint8_t*>(
                             rte_pktmbuf_read(buffer, 0, buffer->pkt_len, long_punt_.data())),
                         buffer->pkt_len);
  }
  switch (meta.punt) {
    case PuntKind::kArp:
    case PuntKind::kNeighbourDiscovery:
      packet.source_mac = meta.source_mac;
      break;
    case PuntKind::kHandshake:
      packet.interface = InterfaceId{meta.interface};
      read_datagram(packet.bytes, packet);
      break;
    case PuntKind::kIke:
      read_datagram(packet.bytes, packet);
      if (packet.destination.port == kIkeNatTraversalPort) {
        packet.bytes = packet.bytes.subspan(kNonEspMarkerBytes);
      }
      break;
    case PuntKind::kUnknownSpi:
      read_datagram(packet.bytes, packet);
      break;
    case PuntKind::kNeedNeighbour:
      packet.next_hop = meta.next_hop;
      break;
    case PuntKind::kNeedSession:
      if (!punt_is_current(meta)) return count_drop(DropReason::kTunnelNoPeer, 1);
      packet.tunnel = TunnelId{meta.tunnel};
      if (meta.interface != kPolicyInterface.value) packet.interface = InterfaceId{meta.interface};
      break;
  }
  deliver(packet);
}

}  // namespace penstock
