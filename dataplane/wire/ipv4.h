// The IPv4 header, RFC 791, and the numbers of the protocols above it.
#pragma once

#include <cstdint>

#include "gateway/base/byte_order.h"
#include "gateway/base/net.h"

namespace penstock {

enum IpProtocol : uint8_t {
  kProtocolHopByHop = 0,
  kProtocolIcmp = 1,
  kProtocolIgmp = 2,
  kProtocolIpv4 = 4,
  kProtocolTcp = 6,
  kProtocolUdp = 17,
  kProtocolIpv6 = 41,
  kProtocolRouting = 43,
  kProtocolFragment = 44,
  kProtocolEsp = 50,
  kProtocolAh = 51,
  kProtocolIcmpv6 = 58,
  kProtocolNoNext = 59,
  kProtocolDestinationOptions = 60,
  kProtocolMobility = 135,
};

inline constexpr uint16_t kIpv4DontFragment = 0x4000;
inline constexpr uint16_t kIpv4MoreFragments = 0x2000;
inline constexpr uint16_t kIpv4OffsetMask = 0x1fff;
inline constexpr uint8_t kIpv4PlainVersionLength = 0x45;  // version 4, no options
inline constexpr uint16_t kIpv4MinimumMtu = 68;           // RFC 791 3.2

struct Ipv4Header {
  uint8_t version_length;  // version << 4 | header length in 32-bit words
  uint8_t tos;             // DSCP << 2 | ECN
  Be16 total_length;
  Be16 identification;
  Be16 fragment;  // flags and offset in 8-byte units
  uint8_t ttl;
  uint8_t protocol;
  Be16 checksum;
  Ipv4Address source;
  Ipv4Address destination;

  [[nodiscard]] unsigned version() const { return version_length >> 4; }
  [[nodiscard]] unsigned header_bytes() const { return (version_length & 0x0fU) * 4; }
  [[nodiscard]] bool dont_fragment() const { return (fragment.get() & kIpv4DontFragment) != 0; }
  [[nodiscard]] bool more_fragments() const { return (fragment.get() & kIpv4MoreFragments) != 0; }
  [[nodiscard]] unsigned offset_bytes() const { return (fragment.get() & kIpv4OffsetMask) * 8U; }
  // Of either end: a fragment of any position.
  [[nodiscard]] bool is_fragment() const {
    return (fragment.get() & (kIpv4MoreFragments | kIpv4OffsetMask)) != 0;
  }
};
static_assert(sizeof(Ipv4Header) == 20 && alignof(Ipv4Header) == 1);

}  // namespace penstock
