// UDP datagrams of the gateway's own: built here, routed by a worker. Those that are larger than
// the way out leave in fragments (IKE without RFC 7383), which no router could make over IPv6.
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/fragment.h"
#include "dataplane/wire/ipv6.h"
#include "dataplane/wire/udp.h"
#include "dataplane/worker/dpdk_dataplane.h"

namespace penstock {
namespace {

constexpr size_t kMaxPayloadBytes = 16'384;

// The whole packet, as if there were no MTU.
void build_datagram(const Endpoint& local, const Endpoint& remote, Bytes payload, uint8_t dscp,
                    uint16_t identification, Writer& writer) {
  const auto udp_bytes = static_cast<uint16_t>(sizeof(UdpHeader) + payload.size());
  UdpHeader udp{};
  udp.source_port = Be16(local.port);
  udp.destination_port = Be16(remote.port);
  udp.length = Be16(udp_bytes);
  if (local.address.is_v4()) {
    Ipv4Header ip{};
    ip.version_length = kIpv4PlainVersionLength;
    ip.tos = static_cast<uint8_t>(dscp << 2);
    ip.total_length = Be16(static_cast<uint16_t>(sizeof ip + udp_bytes));
    ip.identification = Be16(identification);
    ip.ttl = 64;
    ip.protocol = kProtocolUdp;
    ip.source = local.address.v4();
    ip.destination = remote.address.v4();
    set_plain_header_checksum(ip);
    writer.object(ip);
  } else {
    Ipv6Header ip{};
    ip.version_class_flow = ipv6_version_class_flow(static_cast<uint8_t>(dscp << 2), 0);
    ip.payload_length = Be16(udp_bytes);
    ip.next_header = kProtocolUdp;
    ip.hop_limit = 64;
    ip.source = local.address.v6();
    ip.destination = remote.address.v6();
    const uint64_t pseudo =
        sum_bytes({reinterpret_cast<const uint8_t*>(&udp), sizeof udp},
                  pseudo_header_sum(ip.source, ip.destination, kProtocolUdp, udp_bytes));
    udp.checksum = udp_checksum(pseudo, payload);
    writer.object(ip);
  }
  writer.object(udp);
  writer.bytes(payload);
}

}  // namespace

bool DpdkDataplane::send_datagram(const Endpoint& local, const Endpoint& remote, Bytes payload,
                                  uint8_t dscp) {
  if (payload.size() > kMaxPayloadBytes) return false;
  const Endpoint from{local.address.is_unspecified() ? source_for(remote.address) : local.address,
                      local.port};
  if (from.address.is_unspecified() || from.address.family() != remote.address.family()) {
    return false;
  }
  ByteVector packet(sizeof(Ipv6Header) + sizeof(UdpHeader) + payload.size());
  Writer writer{MutableBytes(packet)};
  build_datagram(from, remote, payload, dscp, static_cast<uint16_t>(random_.u32()), writer);
  if (!writer.ok()) return false;
  const uint16_t mtu = tables_->fib->find(remote.address).mtu.load(std::memory_order_relaxed);
  if (mtu == 0 || writer.written().size() <= mtu) {
    return inject_ip(writer.written(), RingMeta::Inject::kDatagram);
  }
  return send_fragments(writer.written(), mtu);
}

bool DpdkDataplane::send_fragments(Bytes packet, uint16_t mtu) {
  ByteVector piece;
  if (packet[0] >> 4 == 4) {
    auto fragments = Ipv4Fragmenter::make(packet, mtu);
    if (!fragments) return false;
    while (const auto fragment = fragments->next()) {
      piece.resize(sizeof fragment->header + fragment->payload.size());
      Writer writer{MutableBytes(piece)};
      writer.object(fragment->header);
      writer.bytes(fragment->payload);
      if (!inject_ip(writer.written(), RingMeta::Inject::kDatagram)) return false;
    }
    return true;
  }
  // RFC 8200 4.5: the source splits; all pieces but the last are multiples of 8.
  constexpr size_t kHeaders = sizeof(Ipv6Header) + sizeof(Ipv6FragmentHeader);
  const size_t step = (std::max(mtu, kIpv6MinimumMtu) - kHeaders) & ~size_t{7};
  auto ip = *reinterpret_cast<const Ipv6Header*>(packet.data());
  const Bytes payload = packet.subspan(sizeof ip);
  Ipv6FragmentHeader fragment{};
  fragment.next_header = ip.next_header;
  fragment.identification = Be32(random_.u32());
  ip.next_header = kProtocolFragment;
  for (size_t at = 0; at < payload.size(); at += step) {
    const Bytes part = payload.subspan(at, std::min(step, payload.size() - at));
    const bool more = at + part.size() < payload.size();
    fragment.offset_more = Be16(static_cast<uint16_t>(at | (more ? 1 : 0)));
    ip.payload_length = Be16(static_cast<uint16_t>(sizeof fragment + part.size()));
    piece.resize(kHeaders + part.size());
    Writer writer{MutableBytes(piece)};
    writer.object(ip);
    writer.object(fragment);
    writer.bytes(part);
    if (!inject_ip(writer.written(), RingMeta::Inject::kDatagram)) return false;
  }
  return true;
}

}  // namespace penstock
