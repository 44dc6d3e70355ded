// The exits of the path: to a port, to the control plane, or dropped.
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "dataplane/pipeline/transmit.h"

namespace penstock {

// A packet whose next hop is not resolved waits in the control plane.
void Pipeline::wait_for_neighbour(const Packet& packet, const NextHopEntry& next_hop) {
  rte_mbuf* m = packet.mbuf;
  RingMeta& meta = ring_meta(m);
  meta.port = next_hop.port;
  if (next_hop.kind == NextHopEntry::Kind::kGateway) {
    meta.next_hop = next_hop.gateway;
  } else if (packet.family == 4) {
    Ipv4Address destination;
    std::memcpy(destination.bytes.data(), packet.ip + 16, 4);
    meta.next_hop = destination;
  } else {
    Ipv6Address destination;
    std::memcpy(destination.bytes.data(), packet.ip + 24, 16);
    meta.next_hop = destination;
  }
  punt(m, packet.ip, packet.length, PuntKind::kNeedNeighbour, PuntClass::kWaiting,
       DropReason::kNeighbourQueueFull);
}

// Into a queue that has no room left.
void Pipeline::enqueue_full(uint16_t port, rte_mbuf* frame) {
  flush(port);
  TransmitQueue& queue = transmit_queues_[port];
  // A port whose link is down has emptied it.
  if (queue.count == TransmitQueue::kCapacity) return drop(frame, DropReason::kTxFull);
  queue.frames[queue.count++] = frame;
}

// Hands a port what waits for it. What does not fit stays for the next turn, in order.
void Pipeline::flush(uint16_t port) {
  TransmitQueue& queue = transmit_queues_[port];
  if (!tables_.ports[port].link_up.load(std::memory_order_relaxed)) [[unlikely]] {
    for (uint16_t i = 0; i < queue.count; ++i) drop(queue.frames[i], DropReason::kTxLinkDown);
    queue.count = 0;
    return;
  }
  const uint16_t sent = transmitter_.transmit(port, queue.frames, queue.count);
  counters_.tx_packets.add(sent);
  const auto left = static_cast<uint16_t>(queue.count - sent);
  if (left > 0 && sent > 0) {
    std::memmove(queue.frames, queue.frames + sent, left * sizeof(queue.frames[0]));
  }
  queue.count = left;
}

bool Pipeline::finish_turn() {
  bool waiting = false;
  if (queues_batches_) [[unlikely]]
    waiting = advance_batches();
  for (uint16_t port = 0; port < tables_.port_count; ++port) {
    if (transmit_queues_[port].count > 0) flush(port);
    waiting |= transmit_queues_[port].count > 0;
  }
  free_now();
  return waiting;
}

// Gives a buffer to the control plane. `from` and `bytes` say which part; the caller has filled in
// what else ring_meta() holds for this kind.
void Pipeline::punt(rte_mbuf* buffer, const uint8_t* from, uint32_t bytes, PuntKind kind,
                    PuntClass to, DropReason when_full) {
  buffer->data_off = static_cast<uint16_t>(from - static_cast<uint8_t*>(buffer->buf_addr));
  buffer->data_len = static_cast<uint16_t>(bytes);
  buffer->pkt_len = bytes;
  RingMeta& meta = ring_meta(buffer);
  meta.punt = kind;
  meta.worker = config_.worker;
  rte_ring* ring = tables_.rings[config_.worker].punt[static_cast<size_t>(to)];
  if (rte_ring_sp_enqueue(ring, buffer) != 0) {
    drop(buffer, when_full);
    return;
  }
  counters_.punts.add(1);
}

void Pipeline::drop(rte_mbuf* buffer, DropReason reason) {
  counters_.drops[static_cast<size_t>(reason)].add(1);
  free_later(buffer);
}

void Pipeline::free_later(rte_mbuf* buffer) {
  if (to_free_count_ == std::size(to_free_)) free_now();
  to_free_[to_free_count_++] = buffer;
}

void Pipeline::free_now() {
  if (to_free_count_ > 0) rte_pktmbuf_free_bulk(to_free_, to_free_count_);
  to_free_count_ = 0;
}

}  // namespace penstock
