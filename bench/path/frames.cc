// The frames of the benchmarks' world: clear ones from inside, tunnel packets of the peers.
#include <algorithm>
#include <cstring>

#include "bench/path/addresses.h"
#include "bench/path/world.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/esp.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/udp.h"
#include "dataplane/wire/wireguard.h"

namespace penstock::bench {
namespace {

void write_ipv4(uint8_t* at, const Ipv4Address& source, const Ipv4Address& destination,
                uint16_t total, uint8_t protocol) {
  Ipv4Header ip{};
  ip.version_length = kIpv4PlainVersionLength;
  ip.total_length = Be16(total);
  ip.ttl = 64;
  ip.protocol = protocol;
  ip.source = source;
  ip.destination = destination;
  set_plain_header_checksum(ip);
  std::memcpy(at, &ip, sizeof ip);
}

uint8_t* frame_start(rte_mbuf* m, uint16_t bytes) {
  m->data_off = RTE_PKTMBUF_HEADROOM;
  m->data_len = bytes;
  m->pkt_len = bytes;
  m->nb_segs = 1;
  m->next = nullptr;
  return rte_pktmbuf_mtod(m, uint8_t*);
}

void write_ethernet(uint8_t* at, const MacAddress& destination) {
  EthernetHeader ethernet{};
  ethernet.destination = destination;
  ethernet.source = kRouterMac;
  ethernet.ether_type = Be16(kEtherTypeIpv4);
  std::memcpy(at, &ethernet, sizeof ethernet);
}

}  // namespace

void write_clear_frame(World&, Item& item) {
  uint8_t* at =
      frame_start(item.mbuf, static_cast<uint16_t>(item.inner_bytes + sizeof(EthernetHeader)));
  write_ethernet(at, kInsideMac);
  write_ipv4(at + sizeof(EthernetHeader), host(item.host), peer_inner(item.peer), item.inner_bytes,
             kProtocolUdp);
}

namespace {

void write_outer(const World& world, const Item& item, uint8_t* at, uint16_t message) {
  const WorldOptions& options = world.options();
  const bool wireguard = options.protocol == TunnelProtocol::kWireguard;
  const bool in_udp = wireguard || options.in_udp;
  const Endpoint from = peer_endpoint(item.peer);
  const auto udp_bytes = static_cast<uint16_t>(message + sizeof(UdpHeader));
  const auto total = static_cast<uint16_t>((in_udp ? udp_bytes : message) + sizeof(Ipv4Header));
  write_ethernet(at, kOutsideMac);
  write_ipv4(at + sizeof(EthernetHeader), from.address.v4(), *Ipv4Address::parse(kOurOutside),
             total, in_udp ? kProtocolUdp : kProtocolEsp);
  if (!in_udp) return;
  UdpHeader udp{};
  udp.source_port = Be16(wireguard ? from.port : kIkeNatTraversalPort);
  udp.destination_port = Be16(wireguard ? kListenPort : kIkeNatTraversalPort);
  udp.length = Be16(udp_bytes);
  std::memcpy(at + sizeof(EthernetHeader) + sizeof(Ipv4Header), &udp, sizeof udp);
}

void write_wireguard_header(PeerKeys& peer, uint8_t* at) {
  WireguardDataHeader header{};
  header.type = kWireguardData;
  header.receiver = Le32(peer.receiver_index);
  header.counter = Le64(peer.next_counter++);
  std::memcpy(at, &header, sizeof header);
}

// Header, IV and trailer; the explicit IV of an AEAD is the sequence number.
void write_esp_header(PeerKeys& peer, const Item& item, const WorldOptions& options, uint8_t* at) {
  const uint64_t sequence = peer.next_counter++;
  const EspHeader header{Be32(peer.receiver_index), Be32(static_cast<uint32_t>(sequence))};
  std::memcpy(at, &header, sizeof header);
  std::memset(at + sizeof header, 0, iv_bytes(options));
  store_unaligned(at + sizeof header, Be64(sequence));
  uint8_t* end = at + sizeof header + iv_bytes(options) + payload_bytes(options, item);
  const uint32_t padding = payload_bytes(options, item) - item.inner_bytes - 2;
  for (uint32_t i = 0; i < padding; ++i)
    end[-2 - static_cast<int>(padding) + static_cast<int>(i)] = static_cast<uint8_t>(i + 1);
  end[-2] = static_cast<uint8_t>(padding);
  end[-1] = kProtocolIpv4;
}

}  // namespace

void write_tunnel_frame(World& world, Item& item) {
  const WorldOptions& options = world.options();
  PeerKeys& peer = world.peers()[item.peer];
  const bool wireguard = options.protocol == TunnelProtocol::kWireguard;
  const size_t before = payload_offset(options, true);
  const size_t header =
      wireguard ? sizeof(WireguardDataHeader) : sizeof(EspHeader) + iv_bytes(options);
  const auto message = static_cast<uint16_t>(header + payload_bytes(options, item) + kAeadTagBytes);
  uint8_t* at = frame_start(item.mbuf, static_cast<uint16_t>(before - header + message));
  write_outer(world, item, at, message);
  write_ipv4(at + before, peer_inner(item.peer), host(item.host), item.inner_bytes, kProtocolUdp);
  if (wireguard) {
    write_wireguard_header(peer, at + before - header);
  } else {
    write_esp_header(peer, item, options, at + before - header);
  }
}

void write_handshake_frame(World& world, Item& item) {
  constexpr auto kBytes = static_cast<uint16_t>(kWireguardInitiationBytes);
  constexpr size_t kBefore = sizeof(EthernetHeader) + sizeof(Ipv4Header) + sizeof(UdpHeader);
  uint8_t* at = frame_start(item.mbuf, static_cast<uint16_t>(kBefore + kBytes));
  write_outer(world, item, at, kBytes);
  std::memset(at + kBefore, 0, kBytes);
  store_unaligned(at + kBefore, Le32(kWireguardInitiation));
}

void seal_frames(World& world, std::span<Item> items, uint16_t worker) {
  const WorldOptions& options = world.options();
  const bool wireguard = options.protocol == TunnelProtocol::kWireguard;
  AeadJob jobs[kBurst];
  for (size_t first = 0; first < items.size(); first += kBurst) {
    const size_t count = std::min<size_t>(kBurst, items.size() - first);
    for (size_t i = 0; i < count; ++i) {
      const Item& item = items[first + i];
      AeadJob& job = jobs[i];
      job = AeadJob{};
      job.data = rte_pktmbuf_mtod_offset(item.mbuf, uint8_t*, payload_offset(options, true));
      job.length = payload_bytes(options, item);
      job.tag = job.data + job.length;
      std::memcpy(job.nonce + 4, job.data - 8, 8);  // behind a salt of zeros
      job.key = world.peer_key();
      if (!wireguard) {
        job.aad = job.data - iv_bytes(options) - sizeof(EspHeader);
        job.aad_length = static_cast<uint32_t>(sizeof(EspHeader) +
                                               (is_cbc(options.algorithm) ? iv_bytes(options) : 0));
      }
    }
    world.peer_engine(worker).seal({jobs, count});
  }
}

uint32_t iv_bytes(const WorldOptions& options) {
  return options.protocol == TunnelProtocol::kEsp ? esp_shape_of(options.algorithm).iv_bytes : 0;
}

size_t payload_offset(const WorldOptions& options, bool inbound) {
  if (!inbound) return sizeof(EthernetHeader);
  const size_t outer = sizeof(EthernetHeader) + sizeof(Ipv4Header);
  if (options.protocol == TunnelProtocol::kWireguard) {
    return outer + sizeof(UdpHeader) + sizeof(WireguardDataHeader);
  }
  return outer + (options.in_udp ? sizeof(UdpHeader) : 0) + sizeof(EspHeader) + iv_bytes(options);
}

uint32_t payload_bytes(const WorldOptions& options, const Item& item) {
  if (options.protocol == TunnelProtocol::kWireguard) return (item.inner_bytes + 15U) & ~15U;
  const uint32_t mask = esp_shape_of(options.algorithm).alignment - 1U;
  return (item.inner_bytes + 2U + mask) & ~mask;
}

}  // namespace penstock::bench
