#include "bench/load/outer_frame.h"

#include <algorithm>
#include <cstring>

#include "dataplane/wire/checksum.h"
#include "dataplane/wire/esp.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/udp.h"
#include "dataplane/wire/wireguard.h"

namespace penstock::load {
namespace {

constexpr size_t kLinkBytes = sizeof(EthernetHeader);
constexpr size_t kEspFrontBytes = sizeof(EspHeader) + 8;  // with the AEADs' IV (RFC 4106 3.1)
static_assert(kEspFrontBytes == sizeof(WireguardDataHeader), "inner_offset() is of both");

// RFC 4303 2.2.1, appendix A, for a sender that is not 2^31 packets ahead: the high half that makes
// the number nearest to the highest so far.
uint64_t whole_sequence(uint64_t highest, uint32_t low) {
  const auto ahead = static_cast<int32_t>(low - static_cast<uint32_t>(highest));
  const auto near = static_cast<int64_t>(highest) + ahead;
  return near < 0 ? low : static_cast<uint64_t>(near);
}

// AAD of the AEADs: SPI and sequence number; with ESN the whole number, built aside (RFC 4106 5).
void set_aad(AeadJob& job, bool esn, const uint8_t* message, uint64_t sequence, uint8_t* aside) {
  job.aad = message;
  job.aad_length = sizeof(EspHeader);
  if (!esn) return;
  std::memcpy(aside, message, 4);
  store_unaligned(aside + 4, Be64(sequence));
  job.aad = aside;
  job.aad_length = 12;
}

}  // namespace

OuterFrames::OuterFrames(const Plan& plan, Sessions& sessions)
    : plan_(plan),
      sessions_(sessions),
      v6_(plan.outer_v6()),
      esp_(plan.protocol() == Protocol::kEsp),
      sizeof_link_ip_(kLinkBytes + (v6_ ? sizeof(Ipv6Header) : sizeof(Ipv4Header))) {
  auto* link = reinterpret_cast<EthernetHeader*>(link_ip_);
  if (v6_) {
    link->ether_type = Be16(kEtherTypeIpv6);
    auto* ip = reinterpret_cast<Ipv6Header*>(link_ip_ + kLinkBytes);
    ip->version_class_flow = ipv6_version_class_flow(0, 0);
    ip->hop_limit = 64;
  } else {
    link->ether_type = Be16(kEtherTypeIpv4);
    auto* ip = reinterpret_cast<Ipv4Header*>(link_ip_ + kLinkBytes);
    ip->version_length = kIpv4PlainVersionLength;
    ip->ttl = 64;
  }
}

void OuterFrames::set_macs(const MacAddress& ours, const MacAddress& gateway) {
  auto* link = reinterpret_cast<EthernetHeader*>(link_ip_);
  link->source = ours;
  link->destination = gateway;
}

size_t OuterFrames::write_headers(uint8_t* frame, uint32_t tunnel, bool udp, uint16_t source_port,
                                  uint16_t destination_port, size_t payload_bytes) const {
  std::memcpy(frame, link_ip_, sizeof_link_ip_);
  const size_t above = payload_bytes + (udp ? sizeof(UdpHeader) : 0);
  const uint8_t protocol = udp ? kProtocolUdp : kProtocolEsp;
  if (v6_) {
    auto* ip = reinterpret_cast<Ipv6Header*>(frame + kLinkBytes);
    ip->payload_length = Be16(static_cast<uint16_t>(above));
    ip->next_header = protocol;
    plan_.write_outer_addresses(tunnel, frame + kLinkBytes + 8);
  } else {
    auto* ip = reinterpret_cast<Ipv4Header*>(frame + kLinkBytes);
    ip->total_length = Be16(static_cast<uint16_t>(sizeof *ip + above));
    ip->protocol = protocol;
    plan_.write_outer_addresses(tunnel, frame + kLinkBytes + 12);
    set_plain_header_checksum(*ip);
  }
  if (!udp) return sizeof_link_ip_;
  auto* header = reinterpret_cast<UdpHeader*>(frame + sizeof_link_ip_);
  header->source_port = Be16(source_port);
  header->destination_port = Be16(destination_port);
  header->length = Be16(static_cast<uint16_t>(above));
  header->checksum = Be16(0);
  return sizeof_link_ip_ + sizeof *header;
}

uint16_t OuterFrames::prepare(uint8_t* frame, uint32_t tunnel, uint16_t bytes, AeadJob& job,
                              uint8_t* aside) {
  Sessions::Outbound& session = sessions_.outbound(tunnel);
  if (session.next_sequence >= session.sequence_limit) return 0;
  const uint64_t sequence = session.next_sequence++;
  session.sent_lately = true;
  uint8_t* const inner = frame + inner_offset(session);
  uint8_t* const message = inner - sizeof(WireguardDataHeader);
  uint16_t sealed = 0;
  job = {};
  job.key = session.key;
  job.data = inner;
  if (esp_) {
    // RFC 4303 2.4: padding 1, 2, 3 ... so that the trailer ends at a multiple of four. An empty
    // one is a dummy packet (2.6).
    const auto padding = static_cast<uint8_t>((4 - (bytes + sizeof(EspTrailer)) % 4) % 4);
    for (uint8_t i = 0; i < padding; ++i) inner[bytes + i] = static_cast<uint8_t>(i + 1);
    inner[bytes + padding] = padding;
    inner[bytes + padding + 1] = bytes == 0         ? kProtocolNoNext
                                 : plan_.inner_v6() ? kProtocolIpv6
                                                    : kProtocolIpv4;
    sealed = static_cast<uint16_t>(bytes + padding + sizeof(EspTrailer));
    store_unaligned(message, Be32(session.peer_index));
    store_unaligned(message + 4, Be32(static_cast<uint32_t>(sequence)));
    store_unaligned(message + 8, Be64(sequence));  // the IV: never the same twice
    store_unaligned(job.nonce, session.salt);
    std::memcpy(job.nonce + 4, message + 8, 8);
    set_aad(job, session.esn, message, sequence, aside);
  } else {
    sealed = static_cast<uint16_t>((bytes + 15) & ~15);
    std::memset(inner + bytes, 0, sealed - bytes);
    store_unaligned(message, Le32(kWireguardData));
    store_unaligned(message + 4, Le32(session.peer_index));
    store_unaligned(message + 8, Le64(sequence));
    std::memcpy(job.nonce + 4, message + 8, 8);
  }
  job.length = sealed;
  job.tag = inner + sealed;
  const size_t payload = sizeof(WireguardDataHeader) + sealed + kAeadTagBytes;
  const uint16_t port = esp_ ? kIkeNatTraversalPort : kPeerPort;
  const uint16_t to = esp_ ? kIkeNatTraversalPort : plan_.listen_port();
  return static_cast<uint16_t>(write_headers(frame, tunnel, session.in_udp, port, to, payload) +
                               payload);
}

void OuterFrames::finish(uint8_t* frame, uint16_t frame_bytes) const {
  if (!v6_) return;
  const auto* ip = reinterpret_cast<const Ipv6Header*>(frame + kLinkBytes);
  if (ip->next_header != kProtocolUdp) return;
  const auto length = static_cast<uint16_t>(frame_bytes - sizeof_link_ip_);
  const uint64_t pseudo = pseudo_header_sum(ip->source, ip->destination, kProtocolUdp, length);
  store_unaligned(frame + sizeof_link_ip_ + 6,
                  udp_checksum(pseudo, {frame + sizeof_link_ip_, length}));
}

uint16_t OuterFrames::write_datagram(uint8_t* frame, const SendToGateway& datagram) const {
  const size_t front = write_headers(frame, datagram.tunnel, true, datagram.local_port,
                                     datagram.remote_port, datagram.payload.size());
  std::memcpy(frame + front, datagram.payload.data(), datagram.payload.size());
  const auto bytes = static_cast<uint16_t>(front + datagram.payload.size());
  finish(frame, bytes);
  return bytes;
}

bool OuterFrames::read_headers(MutableBytes frame, Datagram& out) const {
  if (frame.size() < sizeof_link_ip_) return false;
  uint8_t* const at = frame.data() + kLinkBytes;
  size_t payload = 0;
  const uint8_t* destination = nullptr;
  if (v6_) {
    const auto* ip = reinterpret_cast<const Ipv6Header*>(at);
    out.protocol = ip->next_header;
    payload = ip->payload_length.get();
    destination = ip->destination.bytes.data();
  } else {
    const auto* ip = reinterpret_cast<const Ipv4Header*>(at);
    if (ip->version_length != kIpv4PlainVersionLength || ip->is_fragment()) return false;
    out.protocol = ip->protocol;
    const size_t total = ip->total_length.get();
    if (total < sizeof *ip) return false;
    payload = total - sizeof *ip;
    destination = ip->destination.bytes.data();
  }
  if (payload > frame.size() - sizeof_link_ip_) return false;
  out.tunnel = plan_.tunnel_of_peer(destination);
  if (out.tunnel == UINT32_MAX) return false;
  out.payload = frame.subspan(sizeof_link_ip_, payload);
  if (out.protocol != kProtocolUdp) return true;
  const auto* udp = header_at<UdpHeader>(out.payload);
  if (udp == nullptr) return false;
  const size_t length = udp->length.get();
  if (length < sizeof *udp || length > payload) return false;
  out.source_port = udp->source_port.get();
  out.destination_port = udp->destination_port.get();
  out.payload = out.payload.subspan(sizeof *udp, length - sizeof *udp);
  return true;
}

OuterFrames::Arrival OuterFrames::read(MutableBytes frame, AeadJob& job, uint8_t* aside) const {
  Arrival arrival;
  const auto* link = header_at<EthernetHeader>(frame);
  if (link == nullptr) return arrival;
  const uint16_t type = link->ether_type.get();
  if (type == kEtherTypeArp) {
    arrival.kind = Kind::kNeighbour;
    return arrival;
  }
  Datagram datagram;
  if (type == kEtherTypeIpv6 && frame.size() > kLinkBytes + sizeof(Ipv6Header) &&
      frame[kLinkBytes + 6] == kProtocolIcmpv6) {
    arrival.kind = Kind::kNeighbour;
    return arrival;
  }
  if (type != (v6_ ? kEtherTypeIpv6 : kEtherTypeIpv4) || !read_headers(frame, datagram)) {
    return arrival;
  }
  arrival.tunnel = datagram.tunnel;
  arrival.local_port = datagram.destination_port;
  arrival.remote_port = datagram.source_port;
  arrival.payload = datagram.payload;
  if (datagram.protocol == kProtocolEsp) {
    if (esp_) read_esp(datagram.payload, arrival, job, aside);
  } else if (datagram.protocol == kProtocolUdp && esp_) {
    const auto* marker = header_at<Be32>(datagram.payload);
    const bool to_4500 = datagram.destination_port == kIkeNatTraversalPort;
    if (to_4500 && marker != nullptr && marker->raw() != 0) {
      read_esp(datagram.payload, arrival, job, aside);
    } else {
      arrival.kind = Kind::kHandshake;
    }
  } else if (datagram.protocol == kProtocolUdp) {
    read_wireguard(datagram, arrival, job);
  }
  return arrival;
}

// Of another peer than the one that it was sent to is no session of ours.
bool OuterFrames::find_session(uint32_t index, Arrival& arrival) const {
  if (tunnel_of_index(index) == arrival.tunnel) arrival.session = sessions_.inbound(index);
  arrival.kind = arrival.session == nullptr ? Kind::kUnknownIndex : Kind::kData;
  return arrival.session != nullptr;
}

void OuterFrames::read_wireguard(const Datagram& datagram, Arrival& arrival, AeadJob& job) const {
  const MutableBytes message = datagram.payload;
  const auto* header = header_at<WireguardDataHeader>(message);
  if (message.size() < 4) return;
  if (load_unaligned<Le32>(message.data()).get() != kWireguardData) {
    arrival.kind = Kind::kHandshake;
    return;
  }
  if (header == nullptr || message.size() < kWireguardMinimumDataBytes) return;
  if (!find_session(header->receiver.get(), arrival)) return;
  job = {};
  job.key = arrival.session->key;
  job.length = static_cast<uint32_t>(message.size() - kWireguardDataOverheadBytes);
  job.data = message.data() + sizeof *header;
  job.tag = job.data + job.length;
  store_unaligned(job.nonce + 4, header->counter);
}

void OuterFrames::read_esp(MutableBytes message, Arrival& arrival, AeadJob& job,
                           uint8_t* aside) const {
  if (message.size() < kEspFrontBytes + sizeof(EspTrailer) + kEspTagBytes) return;
  const auto* header = header_at<EspHeader>(message);
  if (!find_session(header->spi.get(), arrival)) return;
  const Sessions::Inbound& session = *arrival.session;
  arrival.sequence = session.esn ? whole_sequence(session.highest, header->sequence.get())
                                 : header->sequence.get();
  job = {};
  job.key = session.key;
  job.data = message.data() + kEspFrontBytes;
  job.length = static_cast<uint32_t>(message.size() - kEspFrontBytes - kEspTagBytes);
  job.tag = job.data + job.length;
  store_unaligned(job.nonce, session.salt);
  std::memcpy(job.nonce + 4, message.data() + sizeof *header, 8);
  set_aad(job, session.esn, message.data(), arrival.sequence, aside);
}

Bytes OuterFrames::content_of(const Arrival& arrival, const AeadJob& job, bool esp) {
  const Bytes content(job.data, job.length);
  if (!esp) return content;
  arrival.session->highest = std::max(arrival.session->highest, arrival.sequence);
  const uint8_t padding = content[content.size() - 2];
  const uint8_t next = content[content.size() - 1];
  if (content.size() < sizeof(EspTrailer) + padding) return {};
  if (next != kProtocolIpv4 && next != kProtocolIpv6) return {};
  return content.first(content.size() - sizeof(EspTrailer) - padding);
}

}  // namespace penstock::load
