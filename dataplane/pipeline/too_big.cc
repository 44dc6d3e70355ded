// Packets that do not fit where they go. Exits: originated_ (the pieces), an ICMP error with a
// drop, drop.
#include <rte_mbuf.h>

#include <cstring>

#include "dataplane/pipeline/pipeline.h"
#include "dataplane/wire/fragment.h"

namespace penstock {

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
