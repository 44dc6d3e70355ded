// Header checks that every IP packet passes, outer and inner, before a field is used.
#pragma once

#include <cstdint>

#include "dataplane/api/drop_reason.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/icmp.h"
#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"

namespace penstock {

inline constexpr DropReason kValid = DropReason::kCount;

// RFC 1812 5.2.2: lengths, version, checksum. Options are not forwarded (RFC 7126 lets a router
// drop them).
inline DropReason validate_ipv4(const uint8_t* ip, uint32_t available) {
  if (available < sizeof(Ipv4Header)) return DropReason::kIpTruncated;
  const auto& header = *reinterpret_cast<const Ipv4Header*>(ip);
  if (header.version_length != kIpv4PlainVersionLength) [[unlikely]] {
    const bool options = header.version() == 4 && header.header_bytes() > sizeof(Ipv4Header);
    return options ? DropReason::kIpOptions : DropReason::kIpBadHeader;
  }
  const uint16_t total = header.total_length.get();
  if (total < sizeof(Ipv4Header) || total > available) return DropReason::kIpTruncated;
  return plain_header_checksum_ok(header) ? kValid : DropReason::kIpBadHeader;
}

inline DropReason validate_ipv6(const uint8_t* ip, uint32_t available) {
  if (available < sizeof(Ipv6Header)) return DropReason::kIpTruncated;
  const auto& header = *reinterpret_cast<const Ipv6Header*>(ip);
  if (ip[0] >> 4 != 6) return DropReason::kIpBadHeader;
  return header.payload_length.get() <= available - sizeof(Ipv6Header) ? kValid
                                                                       : DropReason::kIpTruncated;
}

// `packet` is a validated IPv6 packet of `length` bytes with ICMPv6 as its next header. RFC 4861
// 7.1: hop limit 255 and a good checksum.
inline bool is_neighbour_discovery(const uint8_t* packet, uint32_t length) {
  const auto& ip = *reinterpret_cast<const Ipv6Header*>(packet);
  if (length < sizeof(Ipv6Header) + sizeof(IcmpHeader)) return false;
  const uint8_t type = packet[sizeof(Ipv6Header)];
  if (type < kIcmpv6RouterSolicitation || type > kIcmpv6Redirect) return false;
  if (ip.hop_limit != kNeighbourDiscoveryHopLimit) return false;
  const auto segment_bytes = static_cast<uint32_t>(length - sizeof(Ipv6Header));
  return transport_checksum_ok(
      pseudo_header_sum(ip.source, ip.destination, kProtocolIcmpv6, segment_bytes),
      Bytes(packet + sizeof(Ipv6Header), segment_bytes));
}

}  // namespace penstock
