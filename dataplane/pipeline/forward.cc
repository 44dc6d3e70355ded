// Routes an IP packet. Exits: outbound_ (into a tunnel), output (to a port), deliver (to us), an
// ICMP error with a drop, drop.
#include <rte_mbuf.h>

#include "dataplane/pipeline/family.h"
#include "dataplane/pipeline/pipeline.h"
#include "dataplane/pipeline/transmit.h"
#include "dataplane/pipeline/tunnel_outbound.h"
#include "dataplane/wire/checksum.h"

namespace penstock {
namespace {

using Kind = NextHopEntry::Kind;

// What the packet before found out by addresses is true of this one, as far as they are the same:
// packets come in trains, and those of one host, or to one, in a row.
SameAddresses shared(const Packet& packet, const Packet& before) {
  if (packet.origin != before.origin || packet.port != before.port) return {};
  return {packet, before};
}

}  // namespace

void Pipeline::forward(Vector<Packet>& packets) {
  const PolicyTable* policies =
      tables_.interfaces[kPolicyInterface.value].policies.load(std::memory_order_acquire);
  if (policies != nullptr && !policies->empty()) {
    forward_all<true>(packets, policies);
  } else {
    forward_all<false>(packets, nullptr);
  }
}

// All look-ups first: short loops without branches that depend on them, so that the memory accesses
// of several packets overlap. Policies are asked before the routes (RFC 4301 5.1, 5.2).
template <bool kPolicies>
void Pipeline::forward_all(Vector<Packet>& packets, const PolicyTable* policies) {
  Lookup lookups[kMaxVector];
  bool is_head[kMaxVector];  // the first of a train
  const bool huge = kPolicies && policies->is_huge();
  const Lookup* before = lookups;
  for (size_t i = 0; i < packets.size(); ++i) {
    const Packet& packet = packets[i];
    const SameAddresses same = i > 0 ? shared(packet, packets[i - 1]) : SameAddresses{};
    is_head[i] = !same.both();
    if (same.both()) continue;
    if (packet.family == 4) {
      look_up<4>(packet, same, *before, lookups[i]);
      if (kPolicies && !huge) look_up_policies<4>(*policies, packet, same, *before, lookups[i]);
    } else {
      look_up<6>(packet, same, *before, lookups[i]);
      if (kPolicies && !huge) look_up_policies<6>(*policies, packet, same, *before, lookups[i]);
    }
    before = &lookups[i];
  }
  if constexpr (kPolicies) {
    if (huge) {
      look_up_many_policies<4>(*policies, packets, is_head, lookups);
      look_up_many_policies<6>(*policies, packets, is_head, lookups);
    }
    for (size_t i = 0; i < packets.size() && policies->is_large(); ++i) {
      if (!is_head[i]) continue;
      if (packets[i].family == 4) {
        policies->prefetch<4>(lookups[i].out);
      } else {
        policies->prefetch<16>(lookups[i].out);
      }
    }
  }
  const Lookup* found = lookups;
  Train train;
  for (size_t i = 0; i < packets.size(); ++i) {
    if (is_head[i]) {
      found = &lookups[i];
      train.checked = train.matched = false;
    }
    if (packets[i].family == 4) {
      forward_one<4, kPolicies>(packets[i], *found, policies, train);
    } else {
      forward_one<6, kPolicies>(packets[i], *found, policies, train);
    }
  }
  packets.clear();
}

// Of a table that does not stay in the near caches: memory is waited for once for all packets at
// each step, and not once for each.
template <uint8_t kFamily>
void Pipeline::look_up_many_policies(const PolicyTable& policies, Vector<Packet>& packets,
                                     const bool* is_head, Lookup* lookups) const {
  const uint8_t *sources[kMaxVector], *destinations[kMaxVector];
  uint8_t places[kMaxVector];
  size_t count = 0;
  for (size_t i = 0; i < packets.size(); ++i) {
    if ((kFamily == 4) != (packets[i].family == 4) || !is_head[i]) continue;
    sources[count] = packets[i].ip + Ip<kFamily>::kSource;
    destinations[count] = packets[i].ip + Ip<kFamily>::kDestination;
    places[count++] = static_cast<uint8_t>(i);
  }
  if (count == 0) return;
  PolicyStart starts[kMaxVector];
  constexpr size_t kBytes = Ip<kFamily>::kAddressBytes;
  policies.start_many<kBytes>(sources, destinations, count, starts);
  for (size_t k = 0; k < count; ++k) {
    Lookup& found = lookups[places[k]];
    found.out = starts[k];
    // The other way leads to hosts inside, of which there are few.
    if (packets[places[k]].origin != Origin::kPort) {
      found.in = {0, 0};
      continue;
    }
    // The head before has the same source: it is of the same family, and so the one before here.
    found.in.by_remote = found.same_source ? lookups[places[k - 1]].in.by_remote
                                           : policies.start_by_remote<kBytes>(sources[k]);
    found.in.by_local = policies.start_by_local<kBytes>(destinations[k]);
  }
}

// Where the policies about a packet on its way out begin, and about one that came in clear;
// `before`: those about the packet that `same` is about.
template <uint8_t kFamily>
PENSTOCK_HOT void Pipeline::look_up_policies(const PolicyTable& policies, const Packet& packet,
                                             SameAddresses same, const Lookup& before,
                                             Lookup& found) const {
  constexpr size_t kBytes = Ip<kFamily>::kAddressBytes;
  const uint8_t* source = packet.ip + Ip<kFamily>::kSource;
  const uint8_t* destination = packet.ip + Ip<kFamily>::kDestination;
  const bool both_ways = packet.origin == Origin::kPort;
  if (same.source()) {
    found.out.by_local = before.out.by_local;
    found.in.by_remote = before.in.by_remote;
  } else {
    found.out.by_local = policies.start_by_local<kBytes>(source);
    found.in.by_remote = both_ways ? policies.start_by_remote<kBytes>(source) : 0;
  }
  if (same.destination()) {
    found.out.by_remote = before.out.by_remote;
    found.in.by_local = before.in.by_local;
  } else {
    found.out.by_remote = policies.start_by_remote<kBytes>(destination);
    found.in.by_local = both_ways ? policies.start_by_local<kBytes>(destination) : 0;
  }
}

// What the policies say about a packet whose source is on the sender's side.
template <uint8_t kFamily>
PENSTOCK_HOT PolicyMatch Pipeline::find_policy(const PolicyTable& policies,
                                               const PolicyStart& start, const Packet& packet,
                                               PolicySender sender) {
  const uint8_t* from = packet.ip + Ip<kFamily>::kSource;
  const uint8_t* to = packet.ip + Ip<kFamily>::kDestination;
  const bool local = sender == PolicySender::kLocal;
  const auto flow_of = [&packet] { return Ip<kFamily>::flow(packet); };
  return policies.find<Ip<kFamily>::kAddressBytes>(start, local ? from : to, local ? to : from,
                                                   flow_of, sender);
}

// The inbound check of clear packets (RFC 4301 5.2, step 3b): what a policy protects has to come
// out of its tunnel. `by_flow` as in PolicyMatch.
template <uint8_t kFamily>
PENSTOCK_HOT bool Pipeline::inbound_policy_allows(const PolicyTable& policies,
                                                  const PolicyStart& start, const Packet& packet,
                                                  bool& by_flow) {
  if (start.neither()) [[likely]]
    return true;
  const PolicyMatch match = find_policy<kFamily>(policies, start, packet, PolicySender::kRemote);
  by_flow = match.by_flow != 0;
  const PolicyDecision decision = match.decision;
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
                                        Packet& packet, const NextHopEntry& next_hop,
                                        Train& train) {
  const bool own = packet.origin == Origin::kOwn;
  if (own && packet.past_policies) return false;
  // Word by word: a match that is copied whole waits for its own stores.
  PolicyDecision decision = PolicyDecision::kNone;
  uint32_t tunnel = UINT32_MAX;
  if (train.matched) {
    decision = train.decision;
    tunnel = train.tunnel;
  } else if (!start.neither()) {
    const PolicyMatch match = find_policy<kFamily>(policies, start, packet, PolicySender::kLocal);
    train.decision = decision = match.decision;
    train.tunnel = tunnel = match.tunnel;
    train.matched = match.by_flow == 0;
    if (tunnel != UINT32_MAX) __builtin_prefetch(&tunnels_.tunnel(tunnel));
  }
  if (decision <= PolicyDecision::kBypass) {
    if (!own || !packet.never_in_clear || next_hop.kind == Kind::kTunnel) return false;
    drop(packet.mbuf, DropReason::kForwardDenied);
    return true;
  }
  if (decision != PolicyDecision::kProtect) [[unlikely]] {
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
  packet.tunnel = tunnel;
  into_esp_tunnel(packet);
  return true;
}

// Where the packet goes, and for one received in clear where its source is; `before`: of the packet
// that `same` is about.
template <uint8_t kFamily>
PENSTOCK_HOT void Pipeline::look_up(const Packet& packet, SameAddresses same, const Lookup& before,
                                    Lookup& found) const {
  found.there = same.destination()
                    ? before.there
                    : Ip<kFamily>::lookup(fib_, packet.ip + Ip<kFamily>::kDestination);
  found.back = same.source() ? before.back
               : packet.origin == Origin::kPort
                   ? Ip<kFamily>::lookup(fib_, packet.ip + Ip<kFamily>::kSource)
                   : kNoNextHop;
  found.same_source = same.source();
}

// `train`: what the packets before have found out; at the head of a train nothing is `checked` or
// `matched`.
template <uint8_t kFamily, bool kPolicies>
PENSTOCK_HOT void Pipeline::forward_one(Packet& packet, const Lookup& found,
                                        const PolicyTable* policies, Train& train) {
  uint8_t* ip = packet.ip;
  const uint8_t* destination = ip + Ip<kFamily>::kDestination;
  if (!train.checked) {
    if (packet.origin != Origin::kOwn && !(found.same_source && train.source_valid)) {
      train.source_valid = source_is_valid<kFamily>(packet, found.back);
      if (!train.source_valid) return;
    }
    if (!Ip<kFamily>::plain_unicast(destination)) [[unlikely]] {
      return drop(packet.mbuf, Ip<kFamily>::group(destination) ? DropReason::kIpBroadcast
                                                               : DropReason::kIpMartianDestination);
    }
    bool by_flow = false;
    if constexpr (kPolicies) {
      if (packet.origin == Origin::kPort &&
          !inbound_policy_allows<kFamily>(*policies, found.in, packet, by_flow))
        return;
    }
    train.checked = !by_flow;
  }
  const NextHopEntry& next_hop = fib_.next_hop(found.there);
  if constexpr (kPolicies) {
    if (next_hop.kind != Kind::kLocal && next_hop.kind != Kind::kBroadcast &&
        take_policy<kFamily>(*policies, found.out, packet, next_hop, train)) {
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

}  // namespace penstock
