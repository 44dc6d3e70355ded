// Routes an IP packet. Exits: outbound_ (into a tunnel), output (to a port), deliver (to us), an
// ICMP error with a drop, drop.
#include <rte_mbuf.h>

#include "dataplane/pipeline/pipeline.h"
#include "dataplane/pipeline/transmit.h"
#include "dataplane/pipeline/tunnel_outbound.h"
#include "dataplane/wire/address_check.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/fragment.h"
#include "dataplane/wire/mss_clamp.h"

namespace penstock {
namespace {

using Kind = NextHopEntry::Kind;

template <uint8_t kFamily>
struct Ip;

template <>
struct Ip<4> {
  using Header = Ipv4Header;
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
  static PolicyStart start(const PolicyTable& table, const uint8_t* local, const uint8_t* remote) {
    return table.start_v4(local, remote);
  }
  static void prefetch(const PolicyTable& table, const PolicyStart& start) {
    table.prefetch_v4(start);
  }
  static PolicyMatch find(const PolicyTable& table, const PolicyStart& start, const uint8_t* local,
                          const uint8_t* remote, const Packet& packet, PolicySender sender) {
    const auto flow_of = [&packet] { return flow(packet); };
    return table.find_v4(start, local, remote, flow_of, sender);
  }
  static void clamp(const Packet& packet, uint16_t mtu) {
    if (packet.ip[9] == kProtocolTcp) clamp_mss_ipv4({packet.ip, packet.length}, mtu);
  }
};

template <>
struct Ip<6> {
  using Header = Ipv6Header;
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
  static PolicyStart start(const PolicyTable& table, const uint8_t* local, const uint8_t* remote) {
    return table.start_v6(local, remote);
  }
  static void prefetch(const PolicyTable& table, const PolicyStart& start) {
    table.prefetch_v6(start);
  }
  static PolicyMatch find(const PolicyTable& table, const PolicyStart& start, const uint8_t* local,
                          const uint8_t* remote, const Packet& packet, PolicySender sender) {
    const auto flow_of = [&packet] { return flow(packet); };
    return table.find_v6(start, local, remote, flow_of, sender);
  }
  static void clamp(const Packet& packet, uint16_t mtu) {
    if (packet.ip[6] == kProtocolTcp) clamp_mss_ipv6({packet.ip, packet.length}, mtu);
  }
};

}  // namespace

void Pipeline::forward(Vector<Packet>& packets) {
  const PolicyTable* policies =
      tables_.interfaces[kPolicyInterface.value].policies.load(std::memory_order_acquire);
  if (policies != nullptr && !policies->empty()) return forward_with_policies(packets, *policies);
  // All look-ups first: a short loop without branches that depend on them, so that the memory
  // accesses of several packets overlap.
  Lookup lookups[kMaxVector];
  for (size_t i = 0; i < packets.size(); ++i) {
    lookups[i] = packets[i].family == 4 ? look_up<4>(packets[i]) : look_up<6>(packets[i]);
  }
  for (size_t i = 0; i < packets.size(); ++i) {
    if (packets[i].family == 4) {
      forward_one<4, false>(packets[i], lookups[i], {}, nullptr);
    } else {
      forward_one<6, false>(packets[i], lookups[i], {}, nullptr);
    }
  }
  packets.clear();
}

// The same with policies, which are asked before the routes (RFC 4301 5.1, 5.2): in short loops
// too.
void Pipeline::forward_with_policies(Vector<Packet>& packets, const PolicyTable& policies) {
  Lookup lookups[kMaxVector];
  PolicyLookup policy_lookups[kMaxVector];
  for (size_t i = 0; i < packets.size(); ++i) {
    const Packet& packet = packets[i];
    if (packet.family == 4) {
      lookups[i] = look_up<4>(packet);
      policy_lookups[i] = look_up_policies<4>(policies, packet);
    } else {
      lookups[i] = look_up<6>(packet);
      policy_lookups[i] = look_up_policies<6>(policies, packet);
    }
  }
  for (size_t i = 0; i < packets.size() && policies.is_large(); ++i) {
    if (packets[i].family == 4) {
      Ip<4>::prefetch(policies, policy_lookups[i].out);
    } else {
      Ip<6>::prefetch(policies, policy_lookups[i].out);
    }
  }
  for (size_t i = 0; i < packets.size(); ++i) {
    if (packets[i].family == 4) {
      forward_one<4, true>(packets[i], lookups[i], policy_lookups[i], &policies);
    } else {
      forward_one<6, true>(packets[i], lookups[i], policy_lookups[i], &policies);
    }
  }
  packets.clear();
}

// Where the policies about a packet on its way out begin, and about one that came in clear.
template <uint8_t kFamily>
PENSTOCK_HOT Pipeline::PolicyLookup Pipeline::look_up_policies(const PolicyTable& policies,
                                                               const Packet& packet) const {
  const uint8_t* source = packet.ip + Ip<kFamily>::kSource;
  const uint8_t* destination = packet.ip + Ip<kFamily>::kDestination;
  return {Ip<kFamily>::start(policies, source, destination),
          packet.origin == Origin::kPort ? Ip<kFamily>::start(policies, destination, source)
                                         : PolicyStart{0, 0}};
}

// The inbound check of clear packets (RFC 4301 5.2, step 3b): what a policy protects has to come
// out of its tunnel.
template <uint8_t kFamily>
PENSTOCK_HOT bool Pipeline::inbound_policy_allows(const PolicyTable& policies,
                                                  const PolicyStart& start, const Packet& packet) {
  if (start.neither()) [[likely]]
    return true;
  const PolicyDecision decision =
      Ip<kFamily>::find(policies, start, packet.ip + Ip<kFamily>::kDestination,
                        packet.ip + Ip<kFamily>::kSource, packet, PolicySender::kRemote)
          .decision;
  if (decision <= PolicyDecision::kBypass) [[likely]]
    return true;
  const bool from_inside = tables_.ports[packet.port].role == PortRole::kInside;
  drop(packet.mbuf, decision == PolicyDecision::kDiscard ? DropReason::kPolicyDiscard
                    : from_inside                        ? DropReason::kIpSourceCheck
                                                         : DropReason::kCleartextFromOutside);
  return false;
}

// True: a policy has decided about the packet, and it has gone its way.
template <uint8_t kFamily>
PENSTOCK_HOT bool Pipeline::take_policy(const PolicyTable& policies, const PolicyStart& start,
                                        Packet& packet, const NextHopEntry& next_hop) {
  const bool own = packet.origin == Origin::kOwn;
  if (own && packet.past_policies) return false;
  PolicyMatch match;
  if (!start.neither()) {
    match = Ip<kFamily>::find(policies, start, packet.ip + Ip<kFamily>::kSource,
                              packet.ip + Ip<kFamily>::kDestination, packet, PolicySender::kLocal);
  }
  if (match.decision <= PolicyDecision::kBypass) {
    if (!own || !packet.never_in_clear || next_hop.kind == Kind::kTunnel) return false;
    drop(packet.mbuf, DropReason::kForwardDenied);
    return true;
  }
  if (match.decision != PolicyDecision::kProtect) [[unlikely]] {
    drop(packet.mbuf, DropReason::kPolicyDiscard);
    return true;
  }
  if (packet.origin == Origin::kPort && !tables_.ports[packet.port].plain_forward) [[unlikely]] {
    drop(packet.mbuf, DropReason::kForwardDenied);
    return true;
  }
  if (!own) {
    if (Ip<kFamily>::hops_left(packet.ip) <= 1) [[unlikely]] {
      icmp_error(packet, IcmpError::kTimeExceeded);
      drop(packet.mbuf, DropReason::kIpTtlExceeded);
      return true;
    }
    Ip<kFamily>::decrement(packet.ip);
  }
  packet.interface = kPolicyInterface.value;
  packet.tunnel = match.tunnel;
  into_esp_tunnel(packet);
  return true;
}

// Where the packet goes, and for one received in clear where its source is.
template <uint8_t kFamily>
PENSTOCK_HOT Pipeline::Lookup Pipeline::look_up(const Packet& packet) const {
  Lookup found;
  found.there = Ip<kFamily>::lookup(fib_, packet.ip + Ip<kFamily>::kDestination);
  found.back = packet.origin == Origin::kPort
                   ? Ip<kFamily>::lookup(fib_, packet.ip + Ip<kFamily>::kSource)
                   : kNoNextHop;
  return found;
}

template <uint8_t kFamily, bool kPolicies>
PENSTOCK_HOT void Pipeline::forward_one(Packet& packet, const Lookup& found,
                                        const PolicyLookup& starts, const PolicyTable* policies) {
  uint8_t* ip = packet.ip;
  const uint8_t* destination = ip + Ip<kFamily>::kDestination;
  if (packet.origin != Origin::kOwn && !source_is_valid<kFamily>(packet, found.back)) return;
  if (!Ip<kFamily>::plain_unicast(destination)) [[unlikely]] {
    return drop(packet.mbuf, Ip<kFamily>::group(destination) ? DropReason::kIpBroadcast
                                                             : DropReason::kIpMartianDestination);
  }
  const NextHopEntry& next_hop = fib_.next_hop(found.there);
  if constexpr (kPolicies) {
    if (packet.origin == Origin::kPort &&
        !inbound_policy_allows<kFamily>(*policies, starts.in, packet))
      return;
    if (next_hop.kind != Kind::kLocal && next_hop.kind != Kind::kBroadcast &&
        take_policy<kFamily>(*policies, starts.out, packet, next_hop)) {
      return;
    }
  }
  if (!next_hop.leads_on()) [[unlikely]]
    return end_here(packet, next_hop.kind);
  if (packet.origin != Origin::kOwn) {
    if (!forwarding_allowed<kFamily>(packet, next_hop)) {
      return drop(packet.mbuf, DropReason::kForwardDenied);
    }
    if (Ip<kFamily>::hops_left(ip) <= 1) [[unlikely]] {
      icmp_error(packet, IcmpError::kTimeExceeded);
      return drop(packet.mbuf, DropReason::kIpTtlExceeded);
    }
  }
  const uint16_t mtu = next_hop.mtu.load(std::memory_order_relaxed);
  if (packet.length > mtu) [[unlikely]] {
    // Before the TTL is touched: the error quotes the packet as it came.
    return too_big(packet, mtu, packet.origin != Origin::kOwn);
  }
  if (packet.origin != Origin::kOwn) Ip<kFamily>::decrement(ip);
  if (packet.origin == Origin::kTunnel) {
    Ip<kFamily>::clamp(packet,
                       tables_.interfaces[packet.interface].mtu.load(std::memory_order_relaxed));
  }
  if (next_hop.kind == Kind::kTunnel) {
    Ip<kFamily>::clamp(packet, mtu);
    packet.interface = next_hop.interface;
    packet.tunnel = UINT32_MAX;
    return into_tunnel(packet);
  }
  output(packet, next_hop);
}

// Packets that are not forwarded.
void Pipeline::end_here(Packet& packet, Kind kind) {
  if (kind == Kind::kLocal) return deliver(packet);
  if (kind == Kind::kBlackhole) return drop(packet.mbuf, DropReason::kBlackhole);
  if (kind == Kind::kBroadcast) return drop(packet.mbuf, DropReason::kIpBroadcast);
  icmp_error(packet, IcmpError::kNoRoute);
  drop(packet.mbuf, DropReason::kNoRoute);
}

// RFC 1812 5.3.7 and 5.3.8, RFC 3704: no martian, no address of ours, none that belongs into a
// tunnel; with a strict check, none that is not reached by the port it came from. A packet out of a
// tunnel has passed its peer's allowed IPs.
template <uint8_t kFamily>
PENSTOCK_HOT bool Pipeline::source_is_valid(const Packet& packet, uint32_t back_index) {
  const uint8_t* source = packet.ip + Ip<kFamily>::kSource;
  if (!Ip<kFamily>::plain_unicast(source)) [[unlikely]] {
    drop(packet.mbuf, DropReason::kIpMartianSource);
    return false;
  }
  if (packet.origin == Origin::kTunnel) return true;
  const NextHopEntry& back = fib_.next_hop(back_index);
  if (back.is_port() && back.port == packet.port) [[likely]]
    return true;
  const PortRuntime& port = tables_.ports[packet.port];
  if (back.kind == Kind::kTunnel) [[unlikely]] {
    drop(packet.mbuf, port.role == PortRole::kInside ? DropReason::kIpSourceCheck
                                                     : DropReason::kCleartextFromOutside);
    return false;
  }
  const bool wrong = back.kind == Kind::kLocal || port.source_check == SourceCheck::kStrict ||
                     (port.source_check == SourceCheck::kLoose && back.kind == Kind::kNone &&
                      port.role == PortRole::kInside);
  if (wrong) [[unlikely]]
    drop(packet.mbuf, DropReason::kIpSourceCheck);
  return !wrong;
}

// Clear text enters from an outside port, or leaves by one, only where the configuration says so.
template <uint8_t kFamily>
PENSTOCK_HOT bool Pipeline::forwarding_allowed(const Packet& packet, const NextHopEntry& next_hop) {
  if (packet.origin == Origin::kPort && !tables_.ports[packet.port].plain_forward) return false;
  return next_hop.kind == Kind::kTunnel || tables_.ports[next_hop.port].plain_forward;
}

// RFC 1812 5.2.6, RFC 1191, RFC 8201: split IPv4 that may be split, report everything else.
void Pipeline::too_big(const Packet& packet, uint16_t mtu, bool count_hop, bool tunnel_chosen) {
  const bool may_split =
      packet.family == 4 && !reinterpret_cast<const Ipv4Header*>(packet.ip)->dont_fragment();
  if (may_split) return split(packet, mtu, count_hop, tunnel_chosen);
  icmp_error(packet, IcmpError::kTooBig, mtu);
  drop(packet.mbuf, DropReason::kIpTooBig);
}

void Pipeline::split(const Packet& packet, uint16_t mtu, bool count_hop, bool tunnel_chosen) {
  if (count_hop) decrement_ttl(*reinterpret_cast<Ipv4Header*>(packet.ip));
  auto fragments = Ipv4Fragmenter::make({packet.ip, packet.length}, mtu);
  if (!fragments || originated_.size() + fragments->fragment_count() > kMaxVector) {
    return drop(packet.mbuf, DropReason::kFragmentFailed);
  }
  while (const auto fragment = fragments->next()) {
    rte_mbuf* buffer =
        make_buffer({reinterpret_cast<const uint8_t*>(&fragment->header), sizeof fragment->header});
    if (buffer == nullptr) return drop(packet.mbuf, DropReason::kNoBuffer);
    auto* room = reinterpret_cast<uint8_t*>(
        rte_pktmbuf_append(buffer, static_cast<uint16_t>(fragment->payload.size())));
    if (room == nullptr) {
      free_later(buffer);
      return drop(packet.mbuf, DropReason::kFragmentFailed);
    }
    std::memcpy(room, fragment->payload.data(), fragment->payload.size());
    Packet piece;
    piece.mbuf = buffer;
    piece.ip = rte_pktmbuf_mtod(buffer, uint8_t*);
    piece.length = buffer->data_len;
    piece.family = 4;
    piece.origin = Origin::kOwn;
    piece.past_policies = packet.origin == Origin::kOwn && packet.past_policies;
    piece.never_in_clear = packet.origin == Origin::kOwn && packet.never_in_clear;
    if (tunnel_chosen) {
      piece.tunnel_chosen = true;
      piece.interface = packet.interface;
      piece.tunnel = packet.tunnel;
    }
    originate(piece);
  }
  free_later(packet.mbuf);
}

}  // namespace penstock
