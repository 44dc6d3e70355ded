// ARP (RFC 826, RFC 5227) and neighbour discovery (RFC 4861) messages: parsed with every check that
// needs no state, and built.
#pragma once

#include <cstdint>
#include <optional>

#include "gateway/base/bytes.h"
#include "gateway/base/net.h"

namespace penstock::neighbour {

struct ArpMessage {
  bool is_request = false;  // else a reply
  MacAddress sender_mac;
  Ipv4Address sender;  // unspecified: a probe, RFC 5227 1.1
  MacAddress target_mac;
  Ipv4Address target;
};

// `bytes` begin with the ARP header; what follows it is padding.
std::optional<ArpMessage> parse_arp(Bytes bytes);
ByteVector build_arp(const ArpMessage& message);

struct NdMessage {
  bool is_solicitation = false;  // else an advertisement
  bool solicited = false;        // flags of an advertisement
  bool overrides = false;
  Ipv6Address source;  // unspecified: duplicate address detection, RFC 4862 5.4
  Ipv6Address destination;
  Ipv6Address target;
  // The source's address in a solicitation, the target's in an advertisement.
  std::optional<MacAddress> link_layer;
};

// A whole IPv6 packet. Checks all that RFC 4861 7.1.1 and 7.1.2 want; nothing behind extension
// headers (RFC 6980 forbids fragments, and nothing else has a use there).
std::optional<NdMessage> parse_nd(Bytes packet);
// The IPv6 packet. Advertisements say that they come from a router.
ByteVector build_nd(const NdMessage& message);

inline constexpr Ipv6Address kAllNodes{{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
Ipv6Address solicited_node(const Ipv6Address& address);  // RFC 4291 2.7.1
// fe80::/64 with the interface identifier that RFC 2464 4 makes of a MAC address.
Ipv6Address link_local_of(const MacAddress& mac);

}  // namespace penstock::neighbour
