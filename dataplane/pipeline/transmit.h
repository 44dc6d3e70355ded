// The exit to a port, inline in the stages that have it.
#pragma once

#include <rte_mbuf.h>

#include "dataplane/pipeline/pipeline.h"
#include "dataplane/wire/ethernet.h"

namespace penstock {

PENSTOCK_HOT void Pipeline::enqueue(uint16_t port, rte_mbuf* frame) {
  TransmitQueue& queue = transmit_queues_[port];
  if (queue.count == TransmitQueue::kCapacity) [[unlikely]]
    return enqueue_full(port, frame);
  queue.frames[queue.count++] = frame;
}

// Writes the Ethernet header for a resolved next hop and queues the frame; an unresolved one makes
// the packet wait in the control plane (exits: transmit, punt).
PENSTOCK_HOT void Pipeline::output(const Packet& packet, const NextHopEntry& next_hop) {
  rte_mbuf* m = packet.mbuf;
  const uint64_t start = next_hop.ethernet_start.load(std::memory_order_acquire);
  if (start == 0) [[unlikely]]
    return wait_for_neighbour(packet, next_hop);
  uint8_t* frame = packet.ip - sizeof(EthernetHeader);
  const auto bytes = static_cast<uint16_t>(packet.length + sizeof(EthernetHeader));
  const uint16_t port = next_hop.port;
  const uint16_t type =
      packet.family == 4 ? Be16(kEtherTypeIpv4).raw() : Be16(kEtherTypeIpv6).raw();
  store_unaligned<uint64_t>(frame, start);
  store_unaligned<uint32_t>(frame + 8, next_hop.ethernet_source_rest);
  store_unaligned<uint16_t>(frame + 12, type);
  m->data_off = static_cast<uint16_t>(frame - static_cast<uint8_t*>(m->buf_addr));
  m->data_len = bytes;
  m->pkt_len = bytes;
  enqueue(port, m);
}

}  // namespace penstock
