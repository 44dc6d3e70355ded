// The IPv6 header and its extension headers, RFC 8200.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "dataplane/wire/ipv4.h"
#include "gateway/base/byte_order.h"
#include "gateway/base/bytes.h"
#include "gateway/base/net.h"

namespace penstock {

inline constexpr uint16_t kIpv6MinimumMtu = 1280;

struct Ipv6Header {
  Be32 version_class_flow;  // version 4 bits, traffic class 8 bits, flow label 20 bits
  Be16 payload_length;
  uint8_t next_header;
  uint8_t hop_limit;
  Ipv6Address source;
  Ipv6Address destination;

  [[nodiscard]] unsigned version() const { return version_class_flow.get() >> 28; }
  [[nodiscard]] uint8_t traffic_class() const {
    return static_cast<uint8_t>(version_class_flow.get() >> 20);
  }
  [[nodiscard]] uint32_t flow_label() const { return version_class_flow.get() & 0xfffff; }
  void set_traffic_class(uint8_t value) {
    version_class_flow.set((version_class_flow.get() & 0xf00fffff) | uint32_t{value} << 20);
  }
};
static_assert(sizeof(Ipv6Header) == 40 && alignof(Ipv6Header) == 1);

constexpr Be32 ipv6_version_class_flow(uint8_t traffic_class, uint32_t flow_label) {
  return Be32(6U << 28 | uint32_t{traffic_class} << 20 | (flow_label & 0xfffff));
}

struct Ipv6FragmentHeader {
  uint8_t next_header;
  uint8_t reserved;
  Be16 offset_more;  // offset in 8-byte units << 3 | reserved << 1 | more fragments
  Be32 identification;

  [[nodiscard]] unsigned offset_bytes() const { return offset_more.get() & 0xfff8U; }
  [[nodiscard]] bool more_fragments() const { return (offset_more.get() & 1) != 0; }
};
static_assert(sizeof(Ipv6FragmentHeader) == 8 && alignof(Ipv6FragmentHeader) == 1);

// Hop-by-hop, routing and destination options begin alike.
struct Ipv6ExtensionHeader {
  uint8_t next_header;
  uint8_t length;  // in 8-byte units, without the first
};
static_assert(sizeof(Ipv6ExtensionHeader) == 2 && alignof(Ipv6ExtensionHeader) == 1);

inline constexpr unsigned kIpv6MaxExtensionHeaders = 8;

// Where the extension headers of a packet end.
struct Ipv6Upper {
  uint8_t protocol = kProtocolNoNext;  // of what is at `offset`
  size_t offset = 0;                   // from the IPv6 header on
  // Offset of the fragment header, 0: none. The walk stops behind a fragment header that is not of
  // the first fragment, as what follows is no header then.
  size_t fragment_offset = 0;
  // Offset of the next-header byte that names the fragment header, where there is one.
  size_t before_fragment_offset = 0;
};

// Walks the extension headers, at most kIpv6MaxExtensionHeaders of them. Nothing: they run past the
// end of the packet, are too many, repeat the fragment header, or carry a hop-by-hop header that is
// not the first (RFC 8200 4.1).
inline std::optional<Ipv6Upper> find_ipv6_upper(Bytes packet) {
  const auto* ip = header_at<Ipv6Header>(packet);
  if (ip == nullptr) return std::nullopt;
  Ipv6Upper upper;
  upper.protocol = ip->next_header;
  upper.offset = sizeof(Ipv6Header);
  size_t named_at = offsetof(Ipv6Header, next_header);
  for (unsigned count = 0; count <= kIpv6MaxExtensionHeaders; ++count) {
    switch (upper.protocol) {
      case kProtocolHopByHop:
        if (count != 0) return std::nullopt;
        [[fallthrough]];
      case kProtocolRouting:
      case kProtocolDestinationOptions: {
        const auto* extension = header_at<Ipv6ExtensionHeader>(packet, upper.offset);
        if (extension == nullptr) return std::nullopt;
        const size_t length = (size_t{extension->length} + 1) * 8;
        if (length > packet.size() - upper.offset) return std::nullopt;
        upper.protocol = extension->next_header;
        named_at = upper.offset;
        upper.offset += length;
        break;
      }
      case kProtocolFragment: {
        const auto* fragment = header_at<Ipv6FragmentHeader>(packet, upper.offset);
        if (fragment == nullptr || upper.fragment_offset != 0) return std::nullopt;
        upper.fragment_offset = upper.offset;
        upper.protocol = fragment->next_header;
        upper.before_fragment_offset = named_at;
        named_at = upper.offset;
        upper.offset += sizeof(Ipv6FragmentHeader);
        if (fragment->offset_bytes() != 0) return upper;
        break;
      }
      default:
        return upper;
    }
  }
  return std::nullopt;
}

}  // namespace penstock
