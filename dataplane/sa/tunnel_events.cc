// What the control thread learns of tunnels and SAs: raised flags and counters.
#include <bit>

#include "dataplane/sa/tunnel_tables.h"

namespace penstock {

// --- events and counters ---------------------------------------------------------------------

void TunnelTables::raise_slow(std::atomic<uint32_t>& events, uint32_t tunnel, uint32_t flags) {
  // Release: whoever collects the flags sees what was written for them.
  const uint32_t before = events.fetch_or(flags, std::memory_order_release);
  const uint64_t bit = uint64_t{1} << (tunnel % 64);
  const uint32_t fresh = flags & ~before;
  // Release: whoever sees the bit sees the flags. Flags that were set already have their bit, or
  // the control thread is between clearing the bit and collecting the flags and will see them.
  if ((fresh & kUrgentEvents) != 0) {
    urgent_dirty_[tunnel / 64].fetch_or(bit, std::memory_order_release);
  }
  if ((fresh & ~kUrgentEvents) != 0) {
    activity_dirty_[tunnel / 64].fetch_or(bit, std::memory_order_release);
  }
}

namespace {

// Reads the roaming mailbox that the SA's owner writes; false while it is being written.
bool read_roamed(const InboundSa& sa, TunnelEvents& out) {
  const uint32_t before = sa.roam_version.load(std::memory_order_acquire);
  if ((before & 1) != 0) return false;
  uint64_t source[2], destination[2];
  for (size_t i = 0; i < 2; ++i) {
    source[i] = sa.roam_source[i].load(std::memory_order_relaxed);
    destination[i] = sa.roam_destination[i].load(std::memory_order_relaxed);
  }
  const uint32_t family_and_port = sa.roam_family_and_port.load(std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_acquire);
  if (sa.roam_version.load(std::memory_order_relaxed) != before) return false;
  if (family_and_port >> 16 == 4) {
    Ipv4Address from, to;
    std::memcpy(from.bytes.data(), source, 4);
    std::memcpy(to.bytes.data(), destination, 4);
    out.roamed_source.address = from;
    out.roamed_destination = to;
  } else {
    Ipv6Address from, to;
    std::memcpy(from.bytes.data(), source, 16);
    std::memcpy(to.bytes.data(), destination, 16);
    out.roamed_source.address = from;
    out.roamed_destination = to;
  }
  out.roamed_source.port = static_cast<uint16_t>(family_and_port);
  return true;
}

}  // namespace

// `out`: the first SA with limits, and everything else; `more`: further SAs with limits.
bool TunnelTables::collect(uint32_t tunnel, TunnelEvents& out, std::vector<TunnelEvents>& more) {
  const Record& record = records_[tunnel];
  if (!record.used) return false;
  out = TunnelEvents{};
  out.tunnel = TunnelId{tunnel};
  out.flags = tunnel_events_[tunnel].exchange(0, std::memory_order_acquire);
  const auto add_limits = [&](uint32_t flags, uint32_t index, SaHandle handle) {
    if ((flags & kLimitEvents) == 0) return;
    const bool first = (out.flags & kLimitEvents) == 0;
    TunnelEvents& to = first ? out : more.emplace_back();
    to.tunnel = TunnelId{tunnel};
    to.flags |= flags & kLimitEvents;
    to.limit_inbound_index = index;
    to.limit_outbound = handle;
  };
  for (const uint32_t slot : record.outbound) {
    const uint32_t flags = outbound_[slot].events.exchange(0, std::memory_order_acquire);
    add_limits(flags, 0, SaHandle{slot, outbound_[slot].generation});
    out.flags |= flags & ~kLimitEvents;
  }
  for (const uint32_t index : record.inbound) {
    InboundSa& sa = inbound_slot_of(index);
    uint32_t flags = sa.events.exchange(0, std::memory_order_acquire);
    if ((flags & kEventRoamed) != 0 && !read_roamed(sa, out)) {
      // The owner is writing a newer endpoint just now: leave the flag for the next round.
      flags &= ~uint32_t{kEventRoamed};
      raise(sa.events, tunnel, kEventRoamed);
    }
    if ((flags & kEventPromoted) != 0 || out.inbound_index == 0) {
      if ((flags & (kEventPromoted | kEventReceivedData)) != 0) out.inbound_index = index;
    }
    add_limits(flags, index, {});
    out.flags |= flags & ~kLimitEvents;
  }
  return out.flags != 0;
}

size_t TunnelTables::poll_events(bool activity,
                                 const std::function<void(const TunnelEvents&)>& deliver) {
  size_t delivered = 0;
  std::vector<TunnelEvents> more;
  for (size_t word = 0; word < urgent_dirty_.size(); ++word) {
    uint64_t bits = 0;
    if (urgent_dirty_[word].load(std::memory_order_relaxed) != 0) {
      bits = urgent_dirty_[word].exchange(0, std::memory_order_acquire);
    }
    if (activity && activity_dirty_[word].load(std::memory_order_relaxed) != 0) {
      bits |= activity_dirty_[word].exchange(0, std::memory_order_acquire);
    }
    while (bits != 0) {
      const auto bit = static_cast<uint32_t>(std::countr_zero(bits));
      bits &= bits - 1;
      TunnelEvents events;
      more.clear();
      if (!collect(static_cast<uint32_t>(word * 64 + bit), events, more)) continue;
      deliver(events);
      for (const TunnelEvents& one : more) deliver(one);
      delivered += 1 + more.size();
    }
  }
  return delivered;
}

TunnelCounters TunnelTables::counters(TunnelId id) const {
  if (!exists(id)) return {};
  const Record& record = records_[id.value];
  TunnelCounters sum = record.retired;
  for (const uint32_t index : record.inbound) {
    const InboundSa& sa = inbound_[index & inbound_mask_];
    sum.rx_packets += sa.rx_packets.load(std::memory_order_relaxed);
    sum.rx_bytes += sa.rx_bytes.load(std::memory_order_relaxed);
  }
  for (const uint32_t slot : record.outbound) {
    sum.tx_packets += packets_sent(outbound_[slot]);
    sum.tx_bytes += outbound_[slot].tx_bytes.load(std::memory_order_relaxed);
  }
  return sum;
}

SaCounters TunnelTables::inbound_counters(uint32_t index) const {
  SaCounters counters;
  const InboundSa& sa = inbound_[index & inbound_mask_];
  if (index == 0 || sa.index.load(std::memory_order_relaxed) != index) return counters;
  counters.packets = sa.rx_packets.load(std::memory_order_relaxed);
  counters.bytes = sa.rx_bytes.load(std::memory_order_relaxed);
  if (sa.protocol != TunnelProtocol::kEsp) return counters;
  counters.last_used_ns = int64_t{sa.last_used_s.load(std::memory_order_relaxed)} * kSecond;
  counters.replay_drops = sa.esp.replay_drops.load(std::memory_order_relaxed);
  counters.auth_failures = sa.esp.auth_failures.load(std::memory_order_relaxed);
  counters.other_drops = sa.esp.other_drops.load(std::memory_order_relaxed);
  return counters;
}

SaCounters TunnelTables::outbound_counters(SaHandle handle) const {
  SaCounters counters;
  if (!valid(handle)) return counters;
  const OutboundSa& sa = outbound_[handle.slot];
  counters.packets = packets_sent(sa);
  counters.bytes = sa.tx_bytes.load(std::memory_order_relaxed);
  counters.last_used_ns = int64_t{sa.last_used_s.load(std::memory_order_relaxed)} * kSecond;
  return counters;
}

}  // namespace penstock
