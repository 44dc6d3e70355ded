// WireGuard data messages: look-up, replay pre-check, AEAD, replay commit, inner check
// (paper 5.4.6). Exits: clear_ (the inner packet), hand-over to the owner, consumed (keepalive),
// drop.
#include <rte_mbuf.h>

#include "dataplane/pipeline/pipeline.h"
#include "dataplane/pipeline/tunnel_inbound.h"
#include "dataplane/wire/wireguard.h"

namespace penstock {
namespace {

// Reject-After-Messages, paper 6.1 with the window that implementations use: a counter from here on
// is never accepted.
constexpr uint64_t kRejectAfterMessages = UINT64_MAX - kWireguardReplayBits;

}  // namespace

void Pipeline::wireguard_inbound() {
  if (inbound_.empty()) return;
  size_t admitted = 0;
  for (Inbound& in : inbound_) {
    if (!admit_inbound(in)) continue;
    AeadJob& job = jobs_[admitted];
    job.key = in.sa->key;
    job.data = in.message + sizeof(WireguardDataHeader);
    job.length = in.message_bytes - static_cast<uint32_t>(kWireguardDataOverheadBytes);
    job.tag = job.data + job.length;
    store_unaligned<uint64_t>(job.nonce + 4, in.counter);  // behind 32 zero bits (paper 5.4.6)
    if (&in != &inbound_[admitted]) [[unlikely]]
      inbound_[admitted] = in;
    ++admitted;
  }
  inbound_.truncate(admitted);
  if (queues_batches_) [[unlikely]]
    return queue_wireguard_inbound();
  engine_.open({jobs_, admitted});
  for (size_t i = 0; i < admitted; ++i) {
    if (jobs_[i].ok) [[likely]] {
      accept_inbound(inbound_[i]);
    } else {
      drop(inbound_[i].mbuf, DropReason::kTunnelAuthFailed);
    }
  }
  inbound_.clear();
}

// Before the cipher: is there a live SA, is it ours to write, could the counter be new? Changes
// nothing, since nothing is authenticated yet.
PENSTOCK_HOT bool Pipeline::admit_inbound(Inbound& in) {
  InboundSa& sa = *in.sa;
  const auto receiver = reinterpret_cast<const WireguardDataHeader*>(in.message)->receiver.get();
  // Acquire: pairs with the release that published the SA as a whole.
  if (sa.index.load(std::memory_order_acquire) != receiver || receiver == 0 ||
      sa.interface != in.interface) [[unlikely]] {
    drop(in.mbuf, DropReason::kTunnelUnknownIndex);
    return false;
  }
  if (sa.owner != config_.worker) [[unlikely]] {
    hand_over_frame(in);
    return false;
  }
  if (now_ns_ >= sa.expires_at_ns || in.counter >= kRejectAfterMessages) [[unlikely]] {
    drop(in.mbuf, DropReason::kTunnelExpired);
    return false;
  }
  if (!sa.replay.check(in.counter)) [[unlikely]] {
    drop(in.mbuf, DropReason::kTunnelReplay);
    return false;
  }
  return true;
}

// After the cipher, for an authentic packet: state changes here and nowhere before.
PENSTOCK_HOT void Pipeline::accept_inbound(const Inbound& in) {
  InboundSa& sa = *in.sa;
  if (!sa.replay.commit(in.counter)) [[unlikely]]  // twice in this very vector
    return drop(in.mbuf, DropReason::kTunnelReplay);
  add_relaxed(sa.rx_packets, 1);
  add_relaxed(sa.rx_bytes, in.message_bytes);
  if (sa.expected_source.load(std::memory_order_relaxed) != in.source_tag) [[unlikely]]
    note_roaming(in);
  const uint32_t promotes = sa.promotes.load(std::memory_order_relaxed);
  if (promotes != kNoSlot) [[unlikely]]
    promote(sa, promotes);  // `next` becomes `current` (paper 6.3)
  const auto inner_bytes = in.message_bytes - static_cast<uint32_t>(kWireguardDataOverheadBytes);
  if (inner_bytes == 0) {
    tunnels_.raise(sa.events, sa.tunnel, kEventReceivedKeepalive);
    return free_later(in.mbuf);
  }
  tunnels_.raise(sa.events, sa.tunnel, kEventReceivedData);
  uint8_t* inner = in.message + sizeof(WireguardDataHeader);
  // Cryptokey routing (paper section 2): the longest prefix over all peers must be this peer.
  const IpPrefixTrie* allowed =
      tables_.interfaces[in.interface].allowed_ips.load(std::memory_order_acquire);
  const Packet* before = clear_.empty() ? nullptr : clear_.end() - 1;
  const auto is_peers = [&sa, allowed, inner, before](const Packet& packet) {
    if (allowed == nullptr) return false;
    // In a train the answer is that for the packet before.
    if (packet.family == 4 && before != nullptr && before->family == 4 &&
        before->origin == Origin::kTunnel && before->tunnel == sa.tunnel &&
        load_unaligned<uint32_t>(inner + 12) == load_unaligned<uint32_t>(before->ip + 12)) {
      return true;
    }
    return (packet.family == 4 ? allowed->lookup_v4(inner + 12) : allowed->lookup_v6(inner + 8)) ==
           sa.tunnel + 1;
  };
  Packet& packet = clear_.next();
  if (!check_inner(in, inner, inner_bytes, packet, DropReason::kTunnelSourceNotAllowed, is_peers)) {
    clear_.truncate(clear_.size() - 1);
  }
}

}  // namespace penstock
