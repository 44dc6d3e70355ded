// What differs between IPv4 and IPv6 when a packet is routed, so that forward() is written once.
#pragma once

#include "dataplane/pipeline/packet.h"
#include "dataplane/policy/flow.h"
#include "dataplane/route/fib.h"
#include "dataplane/wire/address_check.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/mss_clamp.h"

namespace penstock {

template <uint8_t kFamily>
struct Ip;

template <>
struct Ip<4> {
  using Header = Ipv4Header;
  static constexpr size_t kAddressBytes = 4;
  static constexpr size_t kSource = 12, kDestination = 16;
  static uint32_t lookup(const Fib& fib, const uint8_t* address) { return fib.lookup_v4(address); }
  static bool plain_unicast(const uint8_t* a) {
    return is_plain_unicast(load_unaligned<Be32>(a).get());
  }
  static bool martian_source(const uint8_t* a) {
    return is_martian_source(load_unaligned<Be32>(a).get());
  }
  static bool martian_destination(const uint8_t* a) {
    const uint32_t address = load_unaligned<Be32>(a).get();
    return is_martian_destination(address) || is_link_local(address);
  }
  static bool group(const uint8_t* a) {
    const uint32_t address = load_unaligned<Be32>(a).get();
    return is_multicast(address) || is_limited_broadcast(address);
  }
  static uint8_t hops_left(const uint8_t* ip) { return ip[8]; }
  static void decrement(uint8_t* ip) { decrement_ttl(*reinterpret_cast<Ipv4Header*>(ip)); }
  static Flow flow(const Packet& packet) { return read_flow_v4(packet.ip, packet.length); }
  static void clamp(const Packet& packet, uint16_t mtu) {
    if (packet.ip[9] == kProtocolTcp) clamp_mss_ipv4({packet.ip, packet.length}, mtu);
  }
};

template <>
struct Ip<6> {
  using Header = Ipv6Header;
  static constexpr size_t kAddressBytes = 16;
  static constexpr size_t kSource = 8, kDestination = 24;
  static uint32_t lookup(const Fib& fib, const uint8_t* address) { return fib.lookup_v6(address); }
  static const Ipv6Address& at(const uint8_t* a) {
    return *reinterpret_cast<const Ipv6Address*>(a);
  }
  static bool plain_unicast(const uint8_t* a) { return is_plain_unicast(at(a)); }
  static bool martian_source(const uint8_t* a) { return is_martian_source(at(a)); }
  static bool martian_destination(const uint8_t* a) {
    return is_martian_destination(at(a)) || is_link_local(at(a));
  }
  static bool group(const uint8_t* a) { return is_multicast(at(a)); }
  static uint8_t hops_left(const uint8_t* ip) { return ip[7]; }
  static void decrement(uint8_t* ip) { --ip[7]; }
  static Flow flow(const Packet& packet) { return read_flow_v6(packet.ip, packet.length); }
  static void clamp(const Packet& packet, uint16_t mtu) {
    if (packet.ip[6] == kProtocolTcp) clamp_mss_ipv6({packet.ip, packet.length}, mtu);
  }
};

}  // namespace penstock
