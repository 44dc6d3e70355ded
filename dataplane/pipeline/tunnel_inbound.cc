// Rare steps of the inbound sides of both tunnel protocols.
#include "dataplane/pipeline/tunnel_inbound.h"

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "dataplane/wire/ethernet.h"

namespace penstock {

// To the worker that owns the SA.
void Pipeline::hand_over_frame(const Inbound& in) {
  // From its Ethernet header on, which a reassembled packet has in its headroom.
  const uint8_t* frame = in.message - in.outer_bytes - sizeof(EthernetHeader);
  const auto in_front = static_cast<uint16_t>(rte_pktmbuf_mtod(in.mbuf, uint8_t*) - frame);
  in.mbuf->data_off = static_cast<uint16_t>(in.mbuf->data_off - in_front);
  in.mbuf->data_len = static_cast<uint16_t>(in.mbuf->data_len + in_front);
  in.mbuf->pkt_len = in.mbuf->data_len;
  RingMeta& meta = ring_meta(in.mbuf);
  meta.port = in.port;
  meta.hand_over = RingMeta::HandOver::kFrame;
  if (rte_ring_mp_enqueue(tables_.rings[in.sa->owner].hand_over, in.mbuf) != 0) {
    drop(in.mbuf, DropReason::kHandOverFull);
  } else {
    counters_.hand_overs.add(1);
  }
}

// The peer has proved that it holds the new keys: the outbound SA that was waiting is current.
void Pipeline::promote(InboundSa& sa, uint32_t promotes) {
  tunnels_.tunnel(sa.tunnel).current_outbound.store(promotes, std::memory_order_release);
  sa.promotes.store(kNoSlot, std::memory_order_relaxed);
  tunnels_.raise(sa.events, sa.tunnel, kEventPromoted);
}

// Leaves the peer's new endpoint in the SA for the control thread, which owns the tunnel's header.
void Pipeline::note_roaming(const Inbound& in) {
  InboundSa& sa = *in.sa;
  sa.expected_source.store(in.source_tag, std::memory_order_relaxed);
  const uint8_t* ip = in.message - in.outer_bytes;
  const bool v4 = in.outer_family == 4;
  uint64_t source[2] = {}, destination[2] = {};
  std::memcpy(source, ip + (v4 ? 12 : 8), v4 ? 4 : 16);
  std::memcpy(destination, ip + (v4 ? 16 : 24), v4 ? 4 : 16);
  // The UDP source port; ESP of its own has none.
  const uint16_t port = in.in_udp ? load_unaligned<Be16>(in.message - 8).get() : uint16_t{0};
  const uint32_t version = sa.roam_version.load(std::memory_order_relaxed);
  sa.roam_version.store(version + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  for (size_t i = 0; i < 2; ++i) {
    sa.roam_source[i].store(source[i], std::memory_order_relaxed);
    sa.roam_destination[i].store(destination[i], std::memory_order_relaxed);
  }
  sa.roam_family_and_port.store(uint32_t{in.outer_family} << 16 | port, std::memory_order_relaxed);
  sa.roam_version.store(version + 2, std::memory_order_release);
  tunnels_.raise_slow(sa.events, sa.tunnel, kEventRoamed);
}

}  // namespace penstock
