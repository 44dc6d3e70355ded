// Sending: which packet when, and everything up to the port.
#include <rte_cycles.h>
#include <rte_prefetch.h>

#include <algorithm>
#include <cstring>

#include "bench/load/loop.h"
#include "dataplane/wire/ethernet.h"

namespace penstock::load {

// How many packets of this direction should have left by now and have not.
uint16_t PacketLoop::due(const Way& way, uint64_t tsc) const {
  if (!way.active) return 0;
  if (spec_.rate <= 0) return kSendBurst;
  const double planned = static_cast<double>(tsc - began_tsc_) / tsc_hz_ * spec_.rate;
  const double behind = planned - static_cast<double>(way.attempted);
  return behind < 1 ? 0 : static_cast<uint16_t>(std::min<double>(behind, kSendBurst));
}

void PacketLoop::send_due(uint64_t tsc) {
  if (const uint16_t count = due(ways_[0], tsc); count > 0) {
    protocol_ == Protocol::kClear ? send_clear(ways_[0], false, count)
                                  : send_sealed(ways_[0], count);
  }
  if (const uint16_t count = due(ways_[1], tsc); count > 0) send_clear(ways_[1], true, count);
}

void PacketLoop::next_flow(Way& way, uint32_t& tunnel, uint32_t& flow) {
  if (spec_.order == Order::kRandom) {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    tunnel = static_cast<uint32_t>((random_ >> 32) * spec_.tunnels >> 32);
    flow = static_cast<uint32_t>((random_ & 0xffffffff) * plan_.flows() >> 32);
    return;
  }
  tunnel = way.cursor % spec_.tunnels;
  flow = way.cursor / spec_.tunnels;
  if (++way.cursor == spec_.tunnels * plan_.flows()) way.cursor = 0;
}

uint16_t PacketLoop::next_size(Way& way) {
  const uint16_t size = spec_.mix.sizes[way.size_at];
  if (++way.size_at == spec_.mix.sizes.size()) way.size_at = 0;
  return size;
}

void PacketLoop::count_sent(bool down, const uint16_t* sizes, uint16_t sent, uint16_t offered) {
  Counts& counts = verifier_.counts(down);
  counts.sent += sent;
  counts.refused += offered - sent;
  for (uint16_t i = 0; i < sent; ++i) counts.sent_bytes += sizes[i];
}

// A peer's packets: made, sealed, sent on the outside port. One of a tunnel that is not up, or
// whose sequence numbers are used up, is not sent: it counts as refused, and so as lost.
void PacketLoop::send_sealed(Way& way, uint16_t count) {
  rte_mbuf* frames[kSendBurst];
  if (rte_pktmbuf_alloc_bulk(ports_.pool(), frames, count) != 0) return;
  way.attempted += count;
  meter_.note_work();
  uint32_t tunnels[kSendBurst], flows[kSendBurst];
  for (uint16_t i = 0; i < count; ++i) {
    next_flow(way, tunnels[i], flows[i]);
    rte_prefetch0(&sessions_.outbound(tunnels[i]));
    rte_prefetch0(rte_pktmbuf_mtod(frames[i], void*));
  }
  uint16_t sizes[kSendBurst];
  uint16_t ready = 0;
  PacketTag tag;
  tag.trial = verifier_.trial();
  tag.sent_at = rte_rdtsc();
  for (uint16_t i = 0; i < count; ++i) {
    const Sessions::Outbound& session = sessions_.outbound(tunnels[i]);
    auto* const frame = rte_pktmbuf_mtod(frames[ready], uint8_t*);
    if (!session.up) continue;
    sizes[ready] = next_size(way);
    tag.tunnel = tunnels[i];
    tag.flow = flows[i];
    tag.sequence = verifier_.next_sequence(tag.tunnel, tag.flow, false);
    verifier_.packets().write(frame + outer_.inner_offset(session), sizes[ready], tag);
    const uint16_t bytes =
        outer_.prepare(frame, tag.tunnel, sizes[ready], jobs_[ready], asides_[ready]);
    if (bytes == 0) continue;
    frames[ready]->data_len = bytes;
    frames[ready]->pkt_len = bytes;
    ++ready;
  }
  if (ready > 0) engines_.of(sessions_.outbound(tunnels[0]).algorithm).seal({jobs_, ready});
  if (plan_.outer_v6()) {
    for (uint16_t i = 0; i < ready; ++i) {
      outer_.finish(rte_pktmbuf_mtod(frames[i], uint8_t*), frames[i]->data_len);
    }
  }
  if (ready < count) rte_pktmbuf_free_bulk(frames + ready, count - ready);
  count_sent(false, sizes, ready > 0 ? ports_.send(kOutside, frames, ready) : 0, count);
}

// In clear: a host's packets on the inside port; of peers without a tunnel on the outside port.
void PacketLoop::send_clear(Way& way, bool down, uint16_t count) {
  const Side side = down ? kInside : kOutside;
  const auto& link = clear_link_[side];
  rte_mbuf* frames[kSendBurst];
  if (rte_pktmbuf_alloc_bulk(ports_.pool(), frames, count) != 0) return;
  way.attempted += count;
  meter_.note_work();
  uint16_t sizes[kSendBurst];
  PacketTag tag;
  tag.trial = verifier_.trial();
  tag.down = down;
  tag.sent_at = rte_rdtsc();
  for (uint16_t i = 0; i < count; ++i) {
    next_flow(way, tag.tunnel, tag.flow);
    tag.sequence = verifier_.next_sequence(tag.tunnel, tag.flow, down);
    sizes[i] = next_size(way);
    auto* const frame = rte_pktmbuf_mtod(frames[i], uint8_t*);
    std::memcpy(frame, link, sizeof link);
    verifier_.packets().write(frame + sizeof link, sizes[i], tag);
    const auto bytes = static_cast<uint16_t>(sizeof link + sizes[i]);
    frames[i]->data_len = bytes;
    frames[i]->pkt_len = bytes;
  }
  count_sent(down, sizes, ports_.send(side, frames, count), count);
}

}  // namespace penstock::load
