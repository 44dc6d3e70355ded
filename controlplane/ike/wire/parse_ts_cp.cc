// Traffic selectors (RFC 7296 section 3.13) and the configuration payload (3.15).
#include "controlplane/ike/wire/payload_parser.h"

namespace penstock::ike {
namespace {

constexpr uint8_t kTsIpv4Range = 7;
constexpr uint8_t kTsIpv6Range = 8;

IpAddress take_address(Reader& reader, bool is_v4) {
  if (is_v4) return Ipv4Address{reader.array<4>()};
  return Ipv6Address{reader.array<16>()};
}

// 3.15.1. In a request or acknowledgement every attribute may be empty. IPv6 addresses without
// their prefix length are what old peers send.
bool size_fits(CpAttributeType type, size_t size) {
  if (size == 0) return true;
  switch (type) {
    case CpAttributeType::kInternalIp4Address:
    case CpAttributeType::kInternalIp4Netmask:
    case CpAttributeType::kInternalIp4Dns:
    case CpAttributeType::kInternalIp4Nbns:
    case CpAttributeType::kInternalIp4Dhcp:
      return size == 4;
    case CpAttributeType::kInternalIp4Subnet:
      return size == 8;
    case CpAttributeType::kInternalIp6Address:
      return size == 17 || size == 16;
    case CpAttributeType::kInternalIp6Dns:
    case CpAttributeType::kInternalIp6Dhcp:
      return size == 16;
    case CpAttributeType::kInternalIp6Subnet:
      return size == 17;
    case CpAttributeType::kSupportedAttributes:
      return size % 2 == 0;
    case CpAttributeType::kApplicationVersion:
    case CpAttributeType::kInternalDnsDomain:
      return true;
  }
  return true;  // unknown: not ours to judge
}

}  // namespace

bool PayloadParser::selectors(Bytes body, std::optional<TsPayload>& into) {
  if (into) return fail(WireFault::kDuplicate, "");
  Reader reader(body);
  const size_t count = reader.u8();
  reader.skip(3);
  if (!reader.ok()) return fail(WireFault::kPayloadSize, "selectors");
  if (count == 0) return fail(WireFault::kPayloadValue, "no selectors");
  if (count > kMaxSelectors) return fail(WireFault::kTooMany, "selectors");
  TsPayload payload;
  for (size_t i = 0; i < count; ++i) {
    if (!selector(reader, payload)) return false;
  }
  if (!reader.at_end()) return fail(WireFault::kTrailingBytes, "after the last selector");
  into = std::move(payload);
  return true;
}

bool PayloadParser::selector(Reader& reader, TsPayload& into) {  // 3.13.1
  constexpr size_t kHead = 4;
  const uint8_t type = reader.u8();
  TrafficSelector selector;
  selector.protocol = reader.u8();
  const size_t length = reader.be16();
  if (!reader.ok() || length < kHead || length - kHead > reader.remaining()) {
    return fail(WireFault::kPayloadLength, "selector length");
  }
  Reader inside(reader.take(length - kHead));
  if (type != kTsIpv4Range && type != kTsIpv6Range) {
    ++into.unknown;
    return true;
  }
  const bool is_v4 = type == kTsIpv4Range;
  selector.first_port = inside.be16();
  selector.last_port = inside.be16();
  selector.first = take_address(inside, is_v4);
  selector.last = take_address(inside, is_v4);
  if (!inside.ok() || !inside.at_end()) return fail(WireFault::kPayloadSize, "selector");
  if (selector.last < selector.first) {
    return fail(WireFault::kPayloadValue, "addresses end before they start");
  }
  if (selector.first_port == 65535 && selector.last_port == 0) {
    selector.opaque_ports = true;
    selector.first_port = 0;
    selector.last_port = 65535;
  }
  if (selector.last_port < selector.first_port) {
    return fail(WireFault::kPayloadValue, "ports end before they start");
  }
  into.selectors.push_back(selector);
  return true;
}

bool PayloadParser::configuration(Bytes body) {  // 3.15
  constexpr uint16_t kTypeBits = 0x7fff;         // the highest one is reserved
  if (out_.configuration) return fail(WireFault::kDuplicate, "");
  Reader reader(body);
  CpPayload payload;
  payload.type = CpType{reader.u8()};
  reader.skip(3);
  if (!reader.ok()) return fail(WireFault::kPayloadSize, "configuration");
  if (payload.type < CpType::kRequest || payload.type > CpType::kAck) {
    return fail(WireFault::kPayloadValue, "configuration type");
  }
  while (!reader.at_end()) {
    CpAttribute attribute;
    attribute.type = CpAttributeType{static_cast<uint16_t>(reader.be16() & kTypeBits)};
    attribute.value = reader.take(reader.be16());
    if (!reader.ok()) return fail(WireFault::kPayloadLength, "attribute length");
    if (!size_fits(attribute.type, attribute.value.size())) {
      return fail(WireFault::kPayloadSize, "attribute of this type");
    }
    if (payload.attributes.size() == kMaxCpAttributes) {
      return fail(WireFault::kTooMany, "attributes");
    }
    payload.attributes.push_back(attribute);
  }
  out_.configuration = std::move(payload);
  return true;
}

}  // namespace penstock::ike
