#include "controlplane/neighbour/messages.h"

#include "dataplane/wire/address_check.h"
#include "dataplane/wire/arp.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/icmp.h"
#include "dataplane/wire/ipv6.h"

namespace penstock::neighbour {
namespace {

// The link-layer address among the options, of the type that the message carries. False: an option
// of length zero or past the end (RFC 4861 4.6, 7.1). At most one step per 8 bytes of the packet.
bool parse_options(Reader& reader, uint8_t wanted, std::optional<MacAddress>& link_layer) {
  while (!reader.at_end()) {
    const uint8_t type = reader.u8();
    const size_t length = size_t{reader.u8()} * 8;
    if (!reader.ok() || length == 0) return false;
    Reader body(reader.take(length - sizeof(NdOptionHeader)));
    if (!reader.ok()) return false;
    if (type == wanted && length == sizeof(NdLinkLayerOption) && !link_layer) {
      link_layer = MacAddress{body.array<6>()};
    }
  }
  return true;
}

bool valid_solicitation(const NdMessage& message) {  // RFC 4861 7.1.1
  if (message.source != Ipv6Address{}) return true;
  return message.destination == solicited_node(message.target) && !message.link_layer;
}

bool valid_advertisement(const NdMessage& message) {  // RFC 4861 7.1.2
  return !(message.destination.is_multicast() && message.solicited);
}

}  // namespace

std::optional<ArpMessage> parse_arp(Bytes bytes) {
  const auto* arp = header_at<ArpHeader>(bytes);
  if (arp == nullptr || arp->hardware_type.get() != kArpHardwareEthernet ||
      arp->protocol_type.get() != kEtherTypeIpv4 || arp->hardware_length != sizeof(MacAddress) ||
      arp->protocol_length != sizeof(Ipv4Address)) {
    return std::nullopt;
  }
  const uint16_t operation = arp->operation.get();
  if (operation != kArpRequest && operation != kArpReply) return std::nullopt;
  return ArpMessage{operation == kArpRequest, arp->sender_mac, arp->sender_ip, arp->target_mac,
                    arp->target_ip};
}

ByteVector build_arp(const ArpMessage& message) {
  ArpHeader arp{};
  arp.hardware_type.set(kArpHardwareEthernet);
  arp.protocol_type.set(kEtherTypeIpv4);
  arp.hardware_length = sizeof(MacAddress);
  arp.protocol_length = sizeof(Ipv4Address);
  arp.operation.set(message.is_request ? kArpRequest : kArpReply);
  arp.sender_mac = message.sender_mac;
  arp.sender_ip = message.sender;
  arp.target_mac = message.target_mac;
  arp.target_ip = message.target;
  ByteVector bytes(sizeof arp);
  Writer(MutableBytes(bytes)).object(arp);
  return bytes;
}

std::optional<NdMessage> parse_nd(Bytes packet) {
  const auto* ip = header_at<Ipv6Header>(packet);
  if (ip == nullptr || ip->version() != 6 || ip->next_header != kProtocolIcmpv6 ||
      ip->hop_limit != kNeighbourDiscoveryHopLimit ||
      sizeof *ip + ip->payload_length.get() != packet.size()) {
    return std::nullopt;
  }
  const Bytes body = packet.subspan(sizeof *ip);
  const auto* head = header_at<NeighbourSolicitation>(body);  // an advertisement is of that shape
  if (head == nullptr || head->code != 0) return std::nullopt;
  if (!transport_checksum_ok(pseudo_header_sum(ip->source, ip->destination, kProtocolIcmpv6,
                                               static_cast<uint32_t>(body.size())),
                             body)) {
    return std::nullopt;
  }
  NdMessage message;
  message.is_solicitation = head->type == kIcmpv6NeighbourSolicitation;
  if (!message.is_solicitation && head->type != kIcmpv6NeighbourAdvertisement) return std::nullopt;
  if (!message.is_solicitation) {
    const uint32_t flags = header_at<NeighbourAdvertisement>(body)->flags.get();
    message.solicited = (flags & kNaSolicited) != 0;
    message.overrides = (flags & kNaOverride) != 0;
  }
  message.source = ip->source;
  message.destination = ip->destination;
  message.target = head->target;
  if (message.target.is_multicast() || message.source.is_multicast()) return std::nullopt;
  Reader options(body.subspan(sizeof *head));
  const uint8_t wanted = message.is_solicitation ? kNdSourceLinkLayer : kNdTargetLinkLayer;
  if (!parse_options(options, wanted, message.link_layer)) return std::nullopt;
  const bool valid =
      message.is_solicitation ? valid_solicitation(message) : valid_advertisement(message);
  return valid ? std::optional(message) : std::nullopt;
}

ByteVector build_nd(const NdMessage& message) {
  NeighbourAdvertisement body{};  // a solicitation is of that shape, with no flags
  body.type =
      message.is_solicitation ? kIcmpv6NeighbourSolicitation : kIcmpv6NeighbourAdvertisement;
  if (!message.is_solicitation) {
    body.flags.set(kNaRouter | (message.solicited ? kNaSolicited : 0) |
                   (message.overrides ? kNaOverride : 0));
  }
  body.target = message.target;
  const size_t length = sizeof body + (message.link_layer ? sizeof(NdLinkLayerOption) : 0);

  Ipv6Header ip{};
  ip.version_class_flow = ipv6_version_class_flow(0, 0);
  ip.payload_length.set(static_cast<uint16_t>(length));
  ip.next_header = kProtocolIcmpv6;
  ip.hop_limit = kNeighbourDiscoveryHopLimit;
  ip.source = message.source;
  ip.destination = message.destination;

  ByteVector packet(sizeof ip + length);
  Writer writer{MutableBytes(packet)};
  writer.object(ip);
  writer.object(body);
  if (message.link_layer) {
    writer.object(NdLinkLayerOption{
        message.is_solicitation ? kNdSourceLinkLayer : kNdTargetLinkLayer, 1, *message.link_layer});
  }
  const Bytes icmp = Bytes(packet).subspan(sizeof ip);
  const Be16 checksum = transport_checksum(
      pseudo_header_sum(ip.source, ip.destination, kProtocolIcmpv6, static_cast<uint32_t>(length)),
      icmp);
  store_unaligned(packet.data() + sizeof ip + offsetof(NeighbourAdvertisement, checksum), checksum);
  return packet;
}

Ipv6Address solicited_node(const Ipv6Address& address) {
  Ipv6Address group{{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0}};
  std::memcpy(&group.bytes[13], &address.bytes[13], 3);
  return group;
}

Ipv6Address link_local_of(const MacAddress& mac) {
  Ipv6Address address;
  address.bytes[0] = 0xfe;
  address.bytes[1] = 0x80;
  address.bytes[8] = mac.bytes[0] ^ 0x02;
  address.bytes[9] = mac.bytes[1];
  address.bytes[10] = mac.bytes[2];
  address.bytes[11] = 0xff;
  address.bytes[12] = 0xfe;
  address.bytes[13] = mac.bytes[3];
  address.bytes[14] = mac.bytes[4];
  address.bytes[15] = mac.bytes[5];
  return address;
}

}  // namespace penstock::neighbour
