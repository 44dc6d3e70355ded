// Packets to the gateway itself, and packets that it makes. Exits: an echo reply or reassembled
// packet back into the path, an ICMP error with a drop, drop.
#include <rte_mbuf.h>

#include <algorithm>

#include "dataplane/pipeline/pipeline.h"
#include "dataplane/pipeline/validate.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/icmp.h"
#include "dataplane/wire/udp.h"

namespace penstock {

void Pipeline::deliver(Packet& packet) {
  uint8_t protocol = kProtocolNoNext;
  bool fragment = false;
  size_t upper = sizeof(Ipv4Header);
  if (packet.family == 4) {
    const auto& ip = *reinterpret_cast<const Ipv4Header*>(packet.ip);
    protocol = ip.protocol;
    fragment = ip.is_fragment();
  } else {
    const auto found = find_ipv6_upper({packet.ip, packet.length});
    if (!found) return drop(packet.mbuf, DropReason::kIpBadHeader);
    protocol = found->protocol;
    fragment = found->fragment_offset != 0;
    upper = found->offset;
  }
  if (fragment) return reassemble(packet);
  if (make_echo_reply({packet.ip, packet.length})) {
    set_answer_path(packet, packet);
    packet.origin = Origin::kOwn;
    return originate(packet);
  }
  if (protocol == kProtocolIcmp || protocol == kProtocolIcmpv6) {
    return drop(packet.mbuf, DropReason::kLocalNoService);
  }
  bool tunnel_packet =
      protocol == kProtocolEsp && tables_.accept_esp.load(std::memory_order_relaxed);
  if (protocol == kProtocolUdp && packet.length >= upper + sizeof(UdpHeader)) {
    const auto& udp = *reinterpret_cast<const UdpHeader*>(packet.ip + upper);
    tunnel_packet =
        tables_.listeners[udp.destination_port.raw()].load(std::memory_order_relaxed) != 0;
  }
  if (tunnel_packet) {  // inside a tunnel, or from an inside port: not terminated
    return drop(packet.mbuf, packet.origin == Origin::kTunnel ? DropReason::kTunnelNested
                                                              : DropReason::kUnderlayMismatch);
  }
  icmp_error(packet, protocol == kProtocolUdp || protocol == kProtocolTcp
                         ? IcmpError::kPortUnreachable
                         : IcmpError::kProtocolUnreachable);
  drop(packet.mbuf, DropReason::kLocalNoService);
}

void Pipeline::reassemble(const Packet& packet) {
  FragmentDrops drops;
  const Bytes whole = reassembler_.add(now_ns_, {packet.ip, packet.length}, drops);
  const auto count = [this](DropReason reason, uint64_t n) {
    counters_.drops[static_cast<size_t>(reason)].add(n);
  };
  count(DropReason::kFragmentTableFull, drops.table_full);
  count(DropReason::kFragmentInvalid, drops.invalid);
  count(DropReason::kFragmentTimeout, drops.timeout);
  rte_mbuf* buffer = whole.empty() ? nullptr : make_buffer(whole);
  if (buffer != nullptr && packet.origin == Origin::kPort) {
    // With its Ethernet header in front: another worker may have to classify it again.
    std::memcpy(rte_pktmbuf_mtod(buffer, uint8_t*) - sizeof(EthernetHeader),
                packet.ip - sizeof(EthernetHeader), sizeof(EthernetHeader));
  }
  free_later(packet.mbuf);
  if (whole.empty()) return;
  if (buffer == nullptr) {
    const bool punted = packet.origin == Origin::kPort &&
                        (packet.family == 4 ? punt_long_ike<4>(packet.port, whole)
                                            : punt_long_ike<6>(packet.port, whole));
    return punted ? void() : count(DropReason::kNoBuffer, 1);
  }
  Packet complete = packet;
  complete.mbuf = buffer;
  complete.ip = rte_pktmbuf_mtod(buffer, uint8_t*);
  complete.length = buffer->data_len;
  const uint8_t protocol = packet.family == 4 ? complete.ip[9] : complete.ip[6];
  if (packet.origin == Origin::kPort && !inbound_.full() && !esp_inbound_.full() &&
      tables_.ports[packet.port].role != PortRole::kInside &&
      (packet.family == 4
           ? classify_any_tunnel<4>(packet.port, buffer, complete.ip, complete.length, protocol)
           : classify_any_tunnel<6>(packet.port, buffer, complete.ip, complete.length, protocol))) {
    return;  // joins the tunnel packets; see run_originated()
  }
  deliver(complete);
}

// A packet of the gateway's own goes back into forward() at the end of this vector.
void Pipeline::originate(const Packet& packet) {
  if (originated_.full()) return drop(packet.mbuf, DropReason::kNoBuffer);
  originated_.push(packet);
}

// What the stages made on the way: reassembled tunnel packets, replies, fragments, ICMP errors. An
// error is never answered by another, and a fragment fits where its whole did not, so this ends.
void Pipeline::run_originated() {
  const auto left = [this] {
    return !originated_.empty() || !inbound_.empty() || !esp_inbound_.empty();
  };
  for (int round = 0; round < 4 && left(); ++round) {
    if (!inbound_.empty() || !esp_inbound_.empty()) {
      wireguard_inbound();
      esp_inbound();
      forward(clear_);
      wireguard_outbound();  // clear_ is about to hold other packets
      esp_outbound();
    }
    Vector<Packet>& own = clear_;
    chosen_.clear();
    for (const Packet& packet : originated_) (packet.tunnel_chosen ? chosen_ : own).push(packet);
    originated_.clear();
    for (Packet& packet : chosen_) into_tunnel(packet);
    forward(own);
    wireguard_outbound();
    esp_outbound();
  }
  for (const Packet& packet : originated_) drop(packet.mbuf, DropReason::kTunnelNested);
  originated_.clear();
}

// Reports about a packet to its source, as often as the rate allows. The caller drops the packet
// under its own reason.
void Pipeline::icmp_error(const Packet& packet, IcmpError error, uint16_t mtu) {
  if (packet.origin == Origin::kOwn || originated_.full()) return;
  const Bytes quoted(packet.ip, packet.length);
  if (!icmp_error_allowed(quoted, error, false)) return;
  const auto count = [this](DropReason reason) {
    counters_.drops[static_cast<size_t>(reason)].add(1);
  };
  if (!icmp_bucket_.take(static_cast<uint64_t>(now_ns_)))
    return count(DropReason::kIcmpRateLimited);
  const bool of_interface =
      packet.origin == Origin::kTunnel && packet.interface != kPolicyInterface.value;
  const OwnAddress* own =
      of_interface ? &fib_.interface_address(packet.interface) : &fib_.port_address(packet.port);
  const auto speak_for = [&packet](const OwnAddress& candidate) {
    return packet.family == 4 ? candidate.v4.load(std::memory_order_relaxed) != 0
                              : candidate.v6[0].load(std::memory_order_relaxed) != 0;
  };
  for (uint16_t port = 0; port < tables_.port_count && !speak_for(*own); ++port) {
    own = &fib_.port_address(port);
  }
  if (!speak_for(*own)) return;
  IpAddress from;
  if (packet.family == 4) {
    Ipv4Address address;
    store_unaligned(address.bytes.data(), own->v4.load(std::memory_order_relaxed));
    from = address;
  } else {
    Ipv6Address address;
    store_unaligned(address.bytes.data(), own->v6[0].load(std::memory_order_relaxed));
    store_unaligned(address.bytes.data() + 8, own->v6[1].load(std::memory_order_relaxed));
    from = address;
  }
  uint8_t message[kMaxIcmpv6ErrorBytes];
  Writer writer(message);
  if (!write_icmp_error(quoted, from, error, mtu, writer)) return;
  rte_mbuf* buffer = make_buffer(writer.written());
  if (buffer == nullptr) return count(DropReason::kNoBuffer);
  Packet answer;
  answer.mbuf = buffer;
  answer.ip = rte_pktmbuf_mtod(buffer, uint8_t*);
  answer.length = buffer->data_len;
  answer.family = packet.family;
  answer.origin = Origin::kOwn;
  set_answer_path(packet, answer);
  originate(answer);
}

// An answer to what came out of an ESP tunnel quotes it: back into the tunnel (RFC 4301 6), or
// nowhere in clear. `packet` and `answer` may be the same.
void Pipeline::set_answer_path(const Packet& packet, Packet& answer) const {
  const bool from_tunnel = packet.origin == Origin::kTunnel;
  const bool from_policies =
      from_tunnel && !packet.rerouted && packet.interface == kPolicyInterface.value;
  answer.tunnel_chosen = from_policies;
  answer.never_in_clear = from_tunnel;
  answer.past_policies = false;
  answer.interface = packet.interface;
  answer.tunnel = packet.tunnel;
}

// A buffer with a copy of `content`, or nullptr where the pool is empty or it does not fit.
rte_mbuf* Pipeline::make_buffer(Bytes content) {
  rte_mbuf* buffer = rte_pktmbuf_alloc(config_.pool);
  if (buffer == nullptr) return nullptr;
  constexpr uint16_t kTailRoom = 64;
  if (content.size() + kTailRoom > rte_pktmbuf_tailroom(buffer)) {
    free_later(buffer);
    return nullptr;
  }
  std::memcpy(rte_pktmbuf_append(buffer, static_cast<uint16_t>(content.size())), content.data(),
              content.size());
  return buffer;
}

}  // namespace penstock
