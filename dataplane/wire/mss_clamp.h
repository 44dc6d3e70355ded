// Clamping the maximum segment size that TCP SYN packets announce, so that segments fit the path
// without Path MTU Discovery (RFC 4459 3.2).
#pragma once

#include <cstdint>

#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"
#include "dataplane/wire/tcp.h"
#include "gateway/base/bytes.h"

namespace penstock {

// Lowers the MSS option of a SYN or SYN-ACK to `mss` and fixes the checksum; true where it did.
// Segments without the option are left alone: their sender has to assume 536 or 1220 anyway.
bool clamp_tcp_segment(MutableBytes segment, uint16_t mss);

// `packet` is a valid IPv4 or IPv6 packet of that family, no longer than its length field says;
// `path_mtu` is what it may measure on the way out of the tunnel interface. Cheap for everything
// that is no SYN. Fragments other than the first are left alone, and so is TCP behind IPv6
// extension headers.
inline bool clamp_mss_ipv4(MutableBytes packet, uint16_t path_mtu) {
  constexpr uint16_t kHeaders = sizeof(Ipv4Header) + sizeof(TcpHeader);
  const auto* ip = header_at<Ipv4Header>(packet);
  if (ip == nullptr || ip->protocol != kProtocolTcp || path_mtu <= kHeaders) return false;
  const unsigned header_bytes = ip->header_bytes();
  const auto* tcp = header_at<TcpHeader>(packet, header_bytes);
  if (tcp == nullptr || (tcp->flags & kTcpSyn) == 0 || header_bytes < sizeof(Ipv4Header) ||
      ip->offset_bytes() != 0) {
    return false;
  }
  return clamp_tcp_segment(packet.subspan(header_bytes),
                           static_cast<uint16_t>(path_mtu - kHeaders));
}

inline bool clamp_mss_ipv6(MutableBytes packet, uint16_t path_mtu) {
  constexpr uint16_t kHeaders = sizeof(Ipv6Header) + sizeof(TcpHeader);
  const auto* ip = header_at<Ipv6Header>(packet);
  if (ip == nullptr || ip->next_header != kProtocolTcp || path_mtu <= kHeaders) return false;
  const auto* tcp = header_at<TcpHeader>(packet, sizeof(Ipv6Header));
  if (tcp == nullptr || (tcp->flags & kTcpSyn) == 0) return false;
  return clamp_tcp_segment(packet.subspan(sizeof(Ipv6Header)),
                           static_cast<uint16_t>(path_mtu - kHeaders));
}

}  // namespace penstock
