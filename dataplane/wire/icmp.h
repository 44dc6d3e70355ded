// ICMP (RFC 792), ICMPv6 (RFC 4443) and the neighbour discovery messages of RFC 4861.
#pragma once

#include <cstdint>

#include "gateway/base/byte_order.h"
#include "gateway/base/net.h"

namespace penstock {

enum IcmpType : uint8_t {
  kIcmpEchoReply = 0,
  kIcmpDestinationUnreachable = 3,
  kIcmpSourceQuench = 4,
  kIcmpRedirect = 5,
  kIcmpEchoRequest = 8,
  kIcmpTimeExceeded = 11,
  kIcmpParameterProblem = 12,
};

// Codes of kIcmpDestinationUnreachable.
enum IcmpUnreachableCode : uint8_t {
  kIcmpNetUnreachable = 0,
  kIcmpHostUnreachable = 1,
  kIcmpProtocolUnreachable = 2,
  kIcmpPortUnreachable = 3,
  kIcmpFragmentationNeeded = 4,
  kIcmpAdminProhibited = 13,  // RFC 1812 5.2.7.1
};

enum Icmpv6Type : uint8_t {
  kIcmpv6DestinationUnreachable = 1,
  kIcmpv6PacketTooBig = 2,
  kIcmpv6TimeExceeded = 3,
  kIcmpv6ParameterProblem = 4,
  kIcmpv6EchoRequest = 128,
  kIcmpv6EchoReply = 129,
  kIcmpv6RouterSolicitation = 133,
  kIcmpv6RouterAdvertisement = 134,
  kIcmpv6NeighbourSolicitation = 135,
  kIcmpv6NeighbourAdvertisement = 136,
  kIcmpv6Redirect = 137,
};
inline constexpr uint8_t kIcmpv6FirstInformational = 128;  // RFC 4443 2.1

// Codes of kIcmpv6DestinationUnreachable.
enum Icmpv6UnreachableCode : uint8_t {
  kIcmpv6NoRoute = 0,
  kIcmpv6AdminProhibited = 1,
  kIcmpv6AddressUnreachable = 3,
  kIcmpv6PortUnreachable = 4,
};

struct IcmpHeader {  // of both families
  uint8_t type;
  uint8_t code;
  Be16 checksum;
  Be32 rest;  // echo: identifier << 16 | sequence; too big: the MTU; else unused
};
static_assert(sizeof(IcmpHeader) == 8 && alignof(IcmpHeader) == 1);

inline constexpr uint8_t kNeighbourDiscoveryHopLimit = 255;  // RFC 4861 7.1

struct NeighbourSolicitation {  // RFC 4861 4.3
  uint8_t type;
  uint8_t code;
  Be16 checksum;
  Be32 reserved;
  Ipv6Address target;
};
static_assert(sizeof(NeighbourSolicitation) == 24 && alignof(NeighbourSolicitation) == 1);

inline constexpr uint32_t kNaRouter = 1U << 31;
inline constexpr uint32_t kNaSolicited = 1U << 30;
inline constexpr uint32_t kNaOverride = 1U << 29;

struct NeighbourAdvertisement {  // RFC 4861 4.4
  uint8_t type;
  uint8_t code;
  Be16 checksum;
  Be32 flags;
  Ipv6Address target;
};
static_assert(sizeof(NeighbourAdvertisement) == 24 && alignof(NeighbourAdvertisement) == 1);

struct RouterSolicitation {  // RFC 4861 4.1
  uint8_t type;
  uint8_t code;
  Be16 checksum;
  Be32 reserved;
};
static_assert(sizeof(RouterSolicitation) == 8 && alignof(RouterSolicitation) == 1);

enum NdOption : uint8_t { kNdSourceLinkLayer = 1, kNdTargetLinkLayer = 2 };

struct NdOptionHeader {  // RFC 4861 4.6
  uint8_t type;
  uint8_t length;  // in 8-byte units, header included; never 0
};
static_assert(sizeof(NdOptionHeader) == 2 && alignof(NdOptionHeader) == 1);

struct NdLinkLayerOption {  // RFC 4861 4.6.1, for Ethernet (RFC 2464 6)
  uint8_t type;
  uint8_t length;  // 1
  MacAddress mac;
};
static_assert(sizeof(NdLinkLayerOption) == 8 && alignof(NdLinkLayerOption) == 1);

}  // namespace penstock
