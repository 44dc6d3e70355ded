// Ethernet II.
#pragma once

#include <array>
#include <cstdint>

#include "gateway/base/byte_order.h"
#include "gateway/base/net.h"

namespace penstock {

enum EtherType : uint16_t {
  kEtherTypeIpv4 = 0x0800,
  kEtherTypeArp = 0x0806,
  kEtherTypeVlan = 0x8100,
  kEtherTypeIpv6 = 0x86dd,
  kEtherTypeQinq = 0x88a8,
};

struct EthernetHeader {
  MacAddress destination;
  MacAddress source;
  Be16 ether_type;
};
static_assert(sizeof(EthernetHeader) == 14 && alignof(EthernetHeader) == 1);

// The MAC address of an IPv4 multicast group, RFC 1112 6.4.
inline MacAddress multicast_mac(const Ipv4Address& group) {
  return {{0x01, 0x00, 0x5e, static_cast<uint8_t>(group.bytes[1] & 0x7f), group.bytes[2],
           group.bytes[3]}};
}

// The MAC address of an IPv6 multicast group, RFC 2464 7.
inline MacAddress multicast_mac(const Ipv6Address& group) {
  return {{0x33, 0x33, group.bytes[12], group.bytes[13], group.bytes[14], group.bytes[15]}};
}

}  // namespace penstock
