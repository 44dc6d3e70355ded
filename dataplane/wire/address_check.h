// Addresses that a router refuses or does not forward: RFC 1812 5.3.7, RFC 6890.
//
// The fast path asks is_plain_unicast() of source and destination and goes on with two yeses; only
// a no needs the predicates that tell why. IPv4 addresses are in host order.
#pragma once

#include <cstdint>

#include "gateway/base/net.h"

namespace penstock {

// --- IPv4 --------------------------------------------------------------------------------------

constexpr bool is_multicast(uint32_t address) { return address >> 28 == 0xe; }
constexpr bool is_limited_broadcast(uint32_t address) { return address == 0xffffffff; }
constexpr bool is_link_local(uint32_t address) { return address >> 16 == 0xa9fe; }  // 169.254/16

// Neither this network, loopback, link-local, multicast, reserved nor broadcast: may be the source
// and the destination of a forwarded packet.
constexpr bool is_plain_unicast(uint32_t address) {
  const uint32_t top = address >> 24;
  return (top - 1 < 223U) & (top != 127) & !is_link_local(address);
}

// No packet from a link may have it: 0/8, 127/8, 224/4, 240/4 (RFC 1812 5.3.7). 0.0.0.0 is of a
// host that asks for its address, which the gateway does not answer.
constexpr bool is_martian_source(uint32_t address) {
  const uint32_t top = address >> 24;
  return (top - 1 >= 223U) | (top == 127);
}

// 0/8, 127/8, 240/4. Not martian, but not forwarded either: multicast, limited broadcast and
// link-local.
constexpr bool is_martian_destination(uint32_t address) {
  const uint32_t top = address >> 24;
  return (top == 0) | (top == 127) | ((top >= 240) & !is_limited_broadcast(address));
}

// The directed broadcast or the all-zeros address of a connected network (RFC 1812 5.3.5), which
// networks of /31 and /32 do not have (RFC 3021).
constexpr bool is_network_broadcast(uint32_t address, uint32_t network, unsigned length) {
  if (length >= 31) return false;
  const uint32_t host_mask = length == 0 ? 0xffffffff : (1U << (32 - length)) - 1;
  if ((address & ~host_mask) != (network & ~host_mask)) return false;
  const uint32_t host = address & host_mask;
  return host == 0 || host == host_mask;
}

// --- IPv6 --------------------------------------------------------------------------------------

inline bool is_multicast(const Ipv6Address& address) { return address.bytes[0] == 0xff; }
inline bool is_link_local(const Ipv6Address& address) { return address.is_link_local(); }

// ::/96 (unspecified, loopback and the deprecated IPv4-compatible ones, RFC 4291 2.5.5.1) and
// ::ffff:0:0/96 (IPv4-mapped): nothing that may be on a wire. The unspecified source of duplicate
// address detection is met before forwarding.
inline bool is_reserved(const Ipv6Address& address) {
  const auto high = load_unaligned<uint64_t>(address.bytes.data());
  if (high != 0) [[likely]]
    return false;
  const uint32_t third = load_unaligned<Be32>(address.bytes.data() + 8).get();
  return third == 0 || third == 0xffff;
}

inline bool is_martian_source(const Ipv6Address& address) {
  return is_multicast(address) || is_reserved(address);
}
inline bool is_martian_destination(const Ipv6Address& address) { return is_reserved(address); }

inline bool is_plain_unicast(const Ipv6Address& address) {
  return !is_multicast(address) && !is_link_local(address) && !is_reserved(address);
}

}  // namespace penstock
