#include "dataplane/wire/icmp_build.h"

#include <utility>

#include "dataplane/wire/address_check.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/icmp.h"
#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"

namespace penstock {
namespace {

constexpr uint8_t kTimeToLive = 64;
constexpr uint8_t kInternetworkControl = 0xc0;  // RFC 1812 4.3.2.5: precedence of ICMP errors
constexpr uint8_t kEcnFieldMask = 3;

struct TypeAndCode {
  uint8_t type;
  uint8_t code;
};

constexpr TypeAndCode icmp_of(IcmpError error) {
  switch (error) {
    case IcmpError::kTimeExceeded:
      return {kIcmpTimeExceeded, 0};
    case IcmpError::kNoRoute:
      return {kIcmpDestinationUnreachable, kIcmpNetUnreachable};
    case IcmpError::kHostUnreachable:
      return {kIcmpDestinationUnreachable, kIcmpHostUnreachable};
    case IcmpError::kPortUnreachable:
      return {kIcmpDestinationUnreachable, kIcmpPortUnreachable};
    case IcmpError::kProtocolUnreachable:
      return {kIcmpDestinationUnreachable, kIcmpProtocolUnreachable};
    case IcmpError::kTooBig:
      return {kIcmpDestinationUnreachable, kIcmpFragmentationNeeded};
    case IcmpError::kAdminProhibited:
      break;
  }
  return {kIcmpDestinationUnreachable, kIcmpAdminProhibited};
}

constexpr TypeAndCode icmpv6_of(IcmpError error) {
  switch (error) {
    case IcmpError::kTimeExceeded:
      return {kIcmpv6TimeExceeded, 0};
    case IcmpError::kNoRoute:
      return {kIcmpv6DestinationUnreachable, kIcmpv6NoRoute};
    case IcmpError::kHostUnreachable:
      return {kIcmpv6DestinationUnreachable, kIcmpv6AddressUnreachable};
    case IcmpError::kPortUnreachable:
    case IcmpError::kProtocolUnreachable:
      return {kIcmpv6DestinationUnreachable, kIcmpv6PortUnreachable};
    case IcmpError::kTooBig:
      return {kIcmpv6PacketTooBig, 0};
    case IcmpError::kAdminProhibited:
      break;
  }
  return {kIcmpv6DestinationUnreachable, kIcmpv6AdminProhibited};
}

// The packet without what follows its stated length, or empty where its header is not sound.
Bytes exact_ipv4(Bytes packet) {
  const auto* ip = header_at<Ipv4Header>(packet);
  if (ip == nullptr || ip->version() != 4 || ip->header_bytes() < sizeof(Ipv4Header)) return {};
  const size_t length = ip->total_length.get();
  if (length < ip->header_bytes() || length > packet.size()) return {};
  return packet.first(length);
}

Bytes exact_ipv6(Bytes packet) {
  const auto* ip = header_at<Ipv6Header>(packet);
  if (ip == nullptr || ip->version() != 6) return {};
  const size_t length = sizeof(Ipv6Header) + ip->payload_length.get();
  return length > packet.size() ? Bytes{} : packet.first(length);
}

bool is_icmp_error_type(uint8_t type) {
  switch (type) {
    case kIcmpDestinationUnreachable:
    case kIcmpSourceQuench:
    case kIcmpRedirect:
    case kIcmpTimeExceeded:
    case kIcmpParameterProblem:
      return true;
    default:
      return false;
  }
}

bool allowed_ipv4(Bytes packet) {
  const auto* ip = header_at<Ipv4Header>(packet);
  if (ip == nullptr || ip->offset_bytes() != 0) return false;
  const uint32_t destination = ip->destination.host();
  if (is_martian_source(ip->source.host()) || is_multicast(destination) ||
      is_limited_broadcast(destination)) {
    return false;
  }
  if (ip->protocol != kProtocolIcmp) return true;
  const auto* icmp = header_at<IcmpHeader>(packet, ip->header_bytes());
  return icmp != nullptr && !is_icmp_error_type(icmp->type);
}

bool allowed_ipv6(Bytes packet, IcmpError error) {
  const auto* ip = header_at<Ipv6Header>(packet);
  if (ip == nullptr || is_martian_source(ip->source)) return false;
  if (is_multicast(ip->destination) && error != IcmpError::kTooBig) return false;
  const auto upper = find_ipv6_upper(packet);
  if (!upper) return false;
  if (upper->protocol != kProtocolIcmpv6) return true;
  if (upper->fragment_offset != 0) {
    const auto* fragment = header_at<Ipv6FragmentHeader>(packet, upper->fragment_offset);
    if (fragment == nullptr || fragment->offset_bytes() != 0) return false;
  }
  const auto* icmp = header_at<IcmpHeader>(packet, upper->offset);
  return icmp != nullptr && icmp->type >= kIcmpv6FirstInformational &&
         icmp->type != kIcmpv6Redirect;
}

bool write_error_v4(Bytes packet, const Ipv4Address& from, IcmpError error, uint16_t mtu,
                    Writer& out) {
  constexpr size_t kHeaders = sizeof(Ipv4Header) + sizeof(IcmpHeader);
  const Bytes quoted = packet.first(std::min(packet.size(), kMaxIcmpErrorBytes - kHeaders));
  const MutableBytes room = out.reserve(kHeaders + quoted.size());
  if (room.empty()) return false;

  Ipv4Header ip{};
  ip.version_length = kIpv4PlainVersionLength;
  ip.tos = kInternetworkControl;
  ip.total_length.set(static_cast<uint16_t>(room.size()));
  ip.fragment.set(kIpv4DontFragment);  // with an identification of 0: RFC 6864 4.1
  ip.ttl = kTimeToLive;
  ip.protocol = kProtocolIcmp;
  ip.source = from;
  ip.destination = header_at<Ipv4Header>(packet)->source;
  set_plain_header_checksum(ip);

  const TypeAndCode what = icmp_of(error);
  IcmpHeader icmp{};
  icmp.type = what.type;
  icmp.code = what.code;
  icmp.rest.set(error == IcmpError::kTooBig ? mtu : 0);  // RFC 1191 4: the low 16 bits

  Writer fields(room);
  fields.object(ip);
  fields.object(icmp);
  fields.bytes(quoted);
  auto* written = reinterpret_cast<IcmpHeader*>(room.data() + sizeof ip);
  written->checksum = internet_checksum(room.subspan(sizeof ip));
  return true;
}

bool write_error_v6(Bytes packet, const Ipv6Address& from, IcmpError error, uint16_t mtu,
                    Writer& out) {
  constexpr size_t kHeaders = sizeof(Ipv6Header) + sizeof(IcmpHeader);
  const Bytes quoted = packet.first(std::min(packet.size(), kMaxIcmpv6ErrorBytes - kHeaders));
  const MutableBytes room = out.reserve(kHeaders + quoted.size());
  if (room.empty()) return false;

  Ipv6Header ip{};
  ip.version_class_flow = ipv6_version_class_flow(0, 0);
  ip.payload_length.set(static_cast<uint16_t>(room.size() - sizeof ip));
  ip.next_header = kProtocolIcmpv6;
  ip.hop_limit = kTimeToLive;
  ip.source = from;
  ip.destination = header_at<Ipv6Header>(packet)->source;

  const TypeAndCode what = icmpv6_of(error);
  IcmpHeader icmp{};
  icmp.type = what.type;
  icmp.code = what.code;
  icmp.rest.set(error == IcmpError::kTooBig ? mtu : 0);

  Writer fields(room);
  fields.object(ip);
  fields.object(icmp);
  fields.bytes(quoted);
  const MutableBytes message = room.subspan(sizeof ip);
  auto* written = reinterpret_cast<IcmpHeader*>(message.data());
  written->checksum =
      transport_checksum(pseudo_header_sum(ip.source, ip.destination, kProtocolIcmpv6,
                                           static_cast<uint32_t>(message.size())),
                         message);
  return true;
}

// Type and code are one checksum word; only the type changes.
void turn_into_reply(IcmpHeader& icmp, uint8_t reply_type) {
  const auto word = [&](uint8_t type) {
    return Be16(static_cast<uint16_t>(type << 8 | icmp.code));
  };
  icmp.checksum = update_checksum(icmp.checksum, word(icmp.type), word(reply_type));
  icmp.type = reply_type;
}

bool make_echo_reply_v4(MutableBytes packet) {
  auto* ip = reinterpret_cast<Ipv4Header*>(packet.data());
  if (exact_ipv4(packet).size() != packet.size() || ip->header_bytes() != sizeof *ip ||
      ip->protocol != kProtocolIcmp || ip->is_fragment()) {
    return false;
  }
  const MutableBytes message = packet.subspan(sizeof *ip);
  if (message.size() < sizeof(IcmpHeader)) return false;
  auto* icmp = reinterpret_cast<IcmpHeader*>(message.data());
  if (icmp->type != kIcmpEchoRequest || icmp->code != 0 || !internet_checksum_ok(message)) {
    return false;
  }
  turn_into_reply(*icmp, kIcmpEchoReply);
  std::swap(ip->source, ip->destination);
  ip->tos = static_cast<uint8_t>(ip->tos & ~kEcnFieldMask);
  ip->ttl = kTimeToLive;
  set_plain_header_checksum(*ip);
  return true;
}

bool make_echo_reply_v6(MutableBytes packet) {
  auto* ip = reinterpret_cast<Ipv6Header*>(packet.data());
  if (exact_ipv6(packet).size() != packet.size() || ip->next_header != kProtocolIcmpv6)
    return false;
  const MutableBytes message = packet.subspan(sizeof *ip);
  if (message.size() < sizeof(IcmpHeader)) return false;
  auto* icmp = reinterpret_cast<IcmpHeader*>(message.data());
  const uint64_t pseudo = pseudo_header_sum(ip->source, ip->destination, kProtocolIcmpv6,
                                            static_cast<uint32_t>(message.size()));
  if (icmp->type != kIcmpv6EchoRequest || icmp->code != 0 ||
      !transport_checksum_ok(pseudo, message)) {
    return false;
  }
  turn_into_reply(*icmp, kIcmpv6EchoReply);
  std::swap(ip->source, ip->destination);
  ip->set_traffic_class(static_cast<uint8_t>(ip->traffic_class() & ~kEcnFieldMask));
  ip->hop_limit = kTimeToLive;
  return true;
}

}  // namespace

bool icmp_error_allowed(Bytes packet, IcmpError error, bool to_link_layer_group) {
  const Bytes v4 = exact_ipv4(packet);
  if (!v4.empty()) return !to_link_layer_group && allowed_ipv4(v4);
  const Bytes v6 = exact_ipv6(packet);
  if (v6.empty() || (to_link_layer_group && error != IcmpError::kTooBig)) return false;
  return allowed_ipv6(v6, error);
}

bool write_icmp_error(Bytes packet, const IpAddress& from, IcmpError error, uint16_t mtu,
                      Writer& out) {
  if (!icmp_error_allowed(packet, error, false)) return false;
  const Bytes v4 = exact_ipv4(packet);
  if (v4.empty() != from.is_v6()) return false;
  return from.is_v4() ? write_error_v4(v4, from.v4(), error, mtu, out)
                      : write_error_v6(exact_ipv6(packet), from.v6(), error, mtu, out);
}

bool make_echo_reply(MutableBytes packet) {
  if (!exact_ipv4(packet).empty()) return make_echo_reply_v4(packet);
  return !exact_ipv6(packet).empty() && make_echo_reply_v6(packet);
}

}  // namespace penstock
