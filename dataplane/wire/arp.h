// ARP for IPv4 over Ethernet, RFC 826.
#pragma once

#include <cstdint>

#include "dataplane/wire/ethernet.h"
#include "gateway/base/byte_order.h"
#include "gateway/base/net.h"

namespace penstock {

inline constexpr uint16_t kArpHardwareEthernet = 1;
enum ArpOperation : uint16_t { kArpRequest = 1, kArpReply = 2 };

struct ArpHeader {
  Be16 hardware_type;       // kArpHardwareEthernet
  Be16 protocol_type;       // kEtherTypeIpv4
  uint8_t hardware_length;  // 6
  uint8_t protocol_length;  // 4
  Be16 operation;
  MacAddress sender_mac;
  Ipv4Address sender_ip;
  MacAddress target_mac;
  Ipv4Address target_ip;
};
static_assert(sizeof(ArpHeader) == 28 && alignof(ArpHeader) == 1);

}  // namespace penstock
