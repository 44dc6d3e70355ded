// Packets into a WireGuard tunnel: peer by allowed IPs, sequence, AEAD, outer headers
// (paper 5.4.6). Exits: output (to a port), punt (waits for a session or neighbour), an ICMP error
// with a drop, drop.
#include <rte_mbuf.h>

#include <algorithm>

#include "dataplane/pipeline/pipeline.h"
#include "dataplane/pipeline/tunnel_outbound.h"
#include "dataplane/wire/ecn.h"
#include "dataplane/wire/wireguard.h"

namespace penstock {
void Pipeline::wireguard_outbound() {
  if (outbound_.empty()) return;
  // 1. Which peer? Fetch its line.
  size_t count = 0;
  const Packet* before = nullptr;
  for (Packet* packet : outbound_) {
    if (packet->tunnel == UINT32_MAX) {
      if (before != nullptr && before->interface == packet->interface &&
          SameAddresses(*packet, *before).both()) {
        packet->tunnel = before->tunnel;
      } else if (!choose_tunnel(*packet)) {
        continue;
      }
      before = packet;
    }
    __builtin_prefetch(&tunnels_.tunnel(packet->tunnel));
    outbound_[count++] = packet;
  }
  outbound_.truncate(count);

  // 2. Which SA? Fetch its lines.
  count = 0;
  for (Packet* packet : outbound_) {
    // Acquire: pairs with the release of a promotion or of the control thread.
    const uint32_t slot =
        tunnels_.tunnel(packet->tunnel).current_outbound.load(std::memory_order_acquire);
    if (slot == kNoSlot) [[unlikely]] {
      wait_for_session(*packet);
      continue;
    }
    OutboundSa& sa = tunnels_.outbound(slot);
    __builtin_prefetch(&sa);
    __builtin_prefetch(&sa.sequence, 1);
    outbound_sas_[count] = &sa;
    outbound_[count++] = packet;
  }
  outbound_.truncate(count);

  // 3. Sequence numbers and headers.
  size_t ready = 0;
  run_left_ = 0;
  for (size_t i = 0; i < count; ++i) {
    if (!prepare_outbound(i, jobs_[ready])) [[unlikely]] {
      run_left_ = 0;
      continue;
    }
    outbound_hops_[ready] = outbound_hops_[i];
    outbound_[ready++] = outbound_[i];
  }

  // 4. The cipher, then out.
  if (queues_batches_) [[unlikely]]
    return queue_wireguard_outbound(ready);
  engine_.seal({jobs_, ready});
  for (size_t i = 0; i < ready; ++i) {
    const Packet& packet = *outbound_[i];
    if (!jobs_[i].ok) [[unlikely]] {  // may still be clear text
      drop(packet.mbuf, DropReason::kTunnelCipherFailed);
      continue;
    }
    finish_outbound(packet, *outbound_hops_[i]);
  }
  outbound_.clear();
}

// Cryptokey routing (paper section 2): the longest prefix among the interface's allowed IPs.
PENSTOCK_HOT bool Pipeline::choose_tunnel(Packet& packet) {
  const IpPrefixTrie* allowed =
      tables_.interfaces[packet.interface].allowed_ips.load(std::memory_order_acquire);
  uint32_t owner = 0;
  if (allowed != nullptr) {
    owner = packet.family == 4 ? allowed->lookup_v4(packet.ip + 16)
                               : allowed->lookup_v6(packet.ip + 24);
  }
  if (owner == 0) [[unlikely]] {
    icmp_error(packet, IcmpError::kHostUnreachable);
    drop(packet.mbuf, DropReason::kTunnelNoPeer);
    return false;
  }
  packet.tunnel = owner - 1;
  return true;
}

// Takes the next sequence number of the SA. With several workers, one atomic addition serves a run
// of packets under the same SA, which keeps the order within the run.
PENSTOCK_HOT bool Pipeline::take_sequence(OutboundSa& sa, size_t at, uint64_t& sequence) {
  if (only_worker_) {
    sequence = sa.sequence.load(std::memory_order_relaxed);
    sa.sequence.store(sequence + 1, std::memory_order_relaxed);
  } else {
    if (run_left_ == 0 || outbound_sas_[at - 1] != &sa) {
      run_left_ = 1;
      for (size_t i = at + 1; i < outbound_.size() && outbound_sas_[i] == &sa; ++i) ++run_left_;
      run_next_ = sa.sequence.fetch_add(run_left_, std::memory_order_relaxed);
    }
    sequence = run_next_++;
    --run_left_;
  }
  if (sequence < sa.attention_sequence) [[likely]]
    return true;
  tunnels_.raise(sa.events, sa.tunnel, kEventNearLimit);
  if (sequence < sa.sequence_limit) [[likely]]
    return true;
  // Back to the limit, so that refused packets never count up to where numbers begin again: all
  // below it are taken, and what others take meanwhile is refused too.
  sa.sequence.store(sa.sequence_limit, std::memory_order_relaxed);
  return false;
}

// Everything of a packet before the cipher; false: it has left by another exit. On return its `ip`
// is the outer packet, and outbound_hops_[at] says where that goes.
PENSTOCK_HOT bool Pipeline::prepare_outbound(size_t at, AeadJob& job) {
  Packet& packet = *outbound_[at];
  OutboundSa& sa = *outbound_sas_[at];
  TunnelHot& hot = tunnels_.tunnel(packet.tunnel);
  if (now_ns_ >= sa.expires_at_ns) [[unlikely]]
    return wait_for_session(packet), false;
  const OuterPath path = outer_path<TunnelProtocol::kWireguard>(hot);
  if (packet.length > path.room() || path.room() == 0) [[unlikely]]
    return leave_before_outer(packet, path, path.room()), false;
  outbound_hops_[at] = &fib_.next_hop(path.next_hop());
  const InterfaceRuntime& interface = tables_.interfaces[packet.interface];
  if (!has_outer_room(packet, sizeof(WireguardDataHeader),
                      kWireguardPaddingBytes + kWireguardTagBytes)) [[unlikely]]
    return drop(packet.mbuf, DropReason::kNoRoom), false;
  uint64_t sequence = 0;
  if (!take_sequence(sa, at, sequence)) [[unlikely]]
    return drop(packet.mbuf, DropReason::kTunnelSequenceExhausted), false;

  // Padded to 16 (paper 5.4.6), but not beyond the MTU, as every implementation does.
  const uint16_t mtu = interface.mtu.load(std::memory_order_relaxed);
  const uint16_t most = packet.length <= mtu && mtu < path.room() ? mtu : path.room();
  const auto padded = std::min(static_cast<uint16_t>((packet.length + 15) & ~15), most);
  std::memset(packet.ip + packet.length, 0, 16);  // in the tail room, where the tag goes too
  uint8_t* message = packet.ip - sizeof(WireguardDataHeader);
  store_unaligned<uint64_t>(message, uint64_t{sa.peer_index} << 32 | kWireguardData);
  store_unaligned<uint64_t>(message + 8, sequence);
  job.key = sa.key;
  job.data = packet.ip;
  job.length = padded;
  job.tag = packet.ip + padded;
  store_unaligned<uint64_t>(job.nonce + 4, sequence);  // behind 32 zero bits (paper 5.4.6)

  const auto message_bytes = static_cast<uint16_t>(padded + kWireguardDataOverheadBytes);
  const uint8_t traffic_class = outer_traffic_class(
      inner_traffic_class(packet), interface.traffic_class_mask.load(std::memory_order_relaxed));
  count_outbound(sa, message_bytes, packet.length > 0);
  if (!write_outer<TunnelProtocol::kWireguard>(packet, hot, message_bytes, traffic_class, message,
                                               false)) [[unlikely]] {
    return drop(packet.mbuf, DropReason::kTunnelNoEndpoint), false;
  }
  return true;
}

PENSTOCK_HOT void Pipeline::count_outbound(OutboundSa& sa, uint32_t message_bytes, bool content) {
  if (only_worker_) {
    sa.tx_bytes.store(sa.tx_bytes.load(std::memory_order_relaxed) + message_bytes,
                      std::memory_order_relaxed);
  } else {
    sa.tx_bytes.fetch_add(message_bytes, std::memory_order_relaxed);
  }
  tunnels_.raise(sa.events, sa.tunnel, content ? kEventSentData : kEventSentKeepalive);
}

}  // namespace penstock
