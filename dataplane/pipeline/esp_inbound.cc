// ESP packets: look-up by SPI, sequence number, replay pre-check, cipher, replay commit, trailer,
// inner check (RFC 4303 3.4, RFC 4301 5.2). Exits: clear_ (the inner packet), hand-over to the
// owner, drop.
#include <rte_mbuf.h>

#include "dataplane/pipeline/esp_jobs.h"
#include "dataplane/pipeline/pipeline.h"
#include "dataplane/pipeline/tunnel_inbound.h"
#include "dataplane/pipeline/tunnel_outbound.h"
#include "dataplane/wire/esp.h"

namespace penstock {

void Pipeline::esp_inbound() {
  if (esp_inbound_.empty()) return;
  size_t admitted = 0;
  bool mixed = false;
  for (Inbound& in : esp_inbound_) {
    if (!admit_esp(in)) continue;
    fill_in_esp_job(in, esp_jobs_[admitted], esp_aads_[admitted]);
    if (&in != &esp_inbound_[admitted]) [[unlikely]]  // else a copy onto itself, behind its stores
      esp_inbound_[admitted] = in;
    mixed |= in.algorithm != esp_inbound_[0].algorithm;
    ++admitted;
  }
  esp_inbound_.truncate(admitted);
  if (admitted == 0) return;
  if (queues_batches_) [[unlikely]]
    return queue_esp_inbound();
  run_esp_jobs<&AeadEngine::open>(engines_, {esp_jobs_, admitted}, mixed,
                                  [this](size_t i) { return esp_inbound_[i].algorithm; });
  for (size_t i = 0; i < admitted; ++i) {
    const Inbound& in = esp_inbound_[i];
    if (esp_jobs_[i].ok) [[likely]] {
      accept_esp(in);
    } else {
      add_relaxed(in.sa->esp.auth_failures, 1);
      drop(in.mbuf, DropReason::kTunnelAuthFailed);
    }
  }
  esp_inbound_.clear();
}

// Before the cipher: is there a live SA, is it ours to write, could the number be new? Changes
// nothing but counters, since nothing is authenticated yet.
PENSTOCK_HOT bool Pipeline::admit_esp(Inbound& in) {
  InboundSa& sa = *in.sa;
  const uint32_t spi = reinterpret_cast<const EspHeader*>(in.message)->spi.get();
  // Acquire: pairs with the release that published the SA as a whole.
  if (sa.index.load(std::memory_order_acquire) != spi || spi == 0 ||
      sa.protocol != TunnelProtocol::kEsp) [[unlikely]] {
    punt_unknown_spi(in);
    return false;
  }
  if (sa.owner != config_.worker) [[unlikely]] {
    hand_over_frame(in);
    return false;
  }
  if (now_ns_ >= sa.expires_at_ns) [[unlikely]] {
    drop(in.mbuf, DropReason::kTunnelExpired);
    return false;
  }
  const EspInboundFixed& fixed = sa.esp_fixed;
  const uint32_t window = fixed.window_packets;
  // RFC 4303 appendix A2: which of the numbers that end in these 32 bits?
  if (fixed.esn) {
    in.counter = infer_esn(static_cast<uint32_t>(in.counter), sa.esp.replay.top(), window);
  }
  if (in.counter == 0 || !sa.esp.replay.check(in.counter, window)) [[unlikely]] {
    add_relaxed(sa.esp.replay_drops, 1);
    drop(in.mbuf, DropReason::kTunnelReplay);
    return false;
  }
  sa.esp.replay.prefetch(in.counter, window);
  in.algorithm = fixed.algorithm;
  if (is_cbc(fixed.algorithm)) {
    constexpr uint32_t kOverhead = sizeof(EspHeader) + kCbcIvBytes + kEspTagBytes;
    if (in.message_bytes < kOverhead + kCbcBlockBytes ||
        (in.message_bytes - kOverhead) % kCbcBlockBytes != 0) [[unlikely]] {
      drop(in.mbuf, DropReason::kTunnelMalformed);
      return false;
    }
  }
  return true;
}

PENSTOCK_HOT void Pipeline::fill_in_esp_job(const Inbound& in, AeadJob& job, uint8_t* aad) {
  const EspInboundFixed& fixed = in.sa->esp_fixed;
  uint8_t* iv = in.message + sizeof(EspHeader);
  const uint8_t* key = tunnels_.inbound_key(in.sa->index.load(std::memory_order_relaxed));
  prefetch_key(key);
  job.key = key;
  const auto fill_in = [&]<bool kCbc>() {
    constexpr EspShape kShape =
        esp_shape_of(kCbc ? SaAlgorithm::kAes128CbcSha256 : SaAlgorithm::kAes128Gcm16);
    constexpr uint32_t kOverhead = sizeof(EspHeader) + kShape.iv_bytes + kEspTagBytes;
    job.data = iv + kShape.iv_bytes;
    job.length = in.message_bytes - kOverhead;
    job.tag = job.data + job.length;
    if constexpr (!kCbc) set_esp_nonce(job, fixed.salt, load_unaligned<uint64_t>(iv));
    set_esp_aad<kCbc>(job, fixed.esn, in.message, in.counter, aad);
  };
  if (is_cbc(in.algorithm)) {
    fill_in.operator()<true>();
  } else {
    fill_in.operator()<false>();
  }
}

// After the cipher, for an authentic packet: state changes here and nowhere before.
PENSTOCK_HOT void Pipeline::accept_esp(const Inbound& in) {
  InboundSa& sa = *in.sa;
  const EspReplay::Verdict verdict = sa.esp.replay.commit(in.counter, sa.esp_fixed.window_packets);
  if (verdict == EspReplay::Verdict::kRefused) [[unlikely]] {  // twice in this very vector
    add_relaxed(sa.esp.replay_drops, 1);
    return drop(in.mbuf, DropReason::kTunnelReplay);
  }
  add_relaxed(sa.rx_packets, 1);
  sa.last_used_s.store(now_s_, std::memory_order_relaxed);
  // Only the newest packet says where the peer is now; others may be delayed, or replayed from
  // elsewhere by somebody who held the original back (RFC 4555 3.5 leaves the decision to IKE).
  if (sa.expected_source.load(std::memory_order_relaxed) != in.source_tag &&
      verdict == EspReplay::Verdict::kNewest) [[unlikely]] {
    note_roaming(in);
  }
  const uint32_t promotes = sa.promotes.load(std::memory_order_relaxed);
  if (promotes != kNoSlot) [[unlikely]]
    promote(sa, promotes);

  // The trailer (RFC 4303 2.4 to 2.6): authenticated, and still whatever the peer likes.
  const EspShape shape = esp_shape_of(in.algorithm);
  uint8_t* inner = in.message + sizeof(EspHeader) + shape.iv_bytes;
  const auto plain_bytes =
      static_cast<uint32_t>(in.message_bytes - sizeof(EspHeader) - shape.iv_bytes - kEspTagBytes);
  const auto& trailer =
      *reinterpret_cast<const EspTrailer*>(inner + plain_bytes - sizeof(EspTrailer));
  const uint32_t behind = sizeof(EspTrailer) + trailer.padding_bytes;
  const uint32_t payload_bytes = plain_bytes - behind;
  const uint8_t version = trailer.next_header == kProtocolIpv4   ? 4
                          : trailer.next_header == kProtocolIpv6 ? 6
                                                                 : 0;
  if (behind > plain_bytes || version == 0) [[unlikely]] {
    const bool dummy = behind <= plain_bytes && trailer.next_header == kProtocolNoNext;
    if (dummy) {  // RFC 4303 2.6: discarded without an error
      tunnels_.raise(sa.events, sa.tunnel, kEventReceivedKeepalive);
    } else {
      add_relaxed(sa.esp.other_drops, 1);
    }
    return drop(in.mbuf, dummy ? DropReason::kTunnelDummy : DropReason::kTunnelTrailerInvalid);
  }
  add_relaxed(sa.rx_bytes, payload_bytes);
  if (sa.rx_packets.load(std::memory_order_relaxed) >= sa.esp.attention_packets ||
      sa.rx_bytes.load(std::memory_order_relaxed) >= sa.esp.attention_bytes) [[unlikely]] {
    inbound_attention(sa);
  }
  tunnels_.raise(sa.events, sa.tunnel, kEventReceivedData);
  if (payload_bytes == 0 || inner[0] >> 4 != version) [[unlikely]] {
    add_relaxed(sa.esp.other_drops, 1);
    return drop(in.mbuf, DropReason::kTunnelInnerMalformed);
  }
  Packet& packet = clear_.next();
  const auto matches = [ this, &sa, inner ](const Packet& out) __attribute__((always_inline)) {
    return selectors_match(sa, inner, out);
  };
  if (!check_inner(in, inner, payload_bytes, packet, DropReason::kTunnelSelectorMismatch, matches))
      [[unlikely]] {
    add_relaxed(sa.esp.other_drops, 1);
    return clear_.truncate(clear_.size() - 1);
  }
  const uint8_t protocol = version == 4 ? inner[9] : inner[6];
  if (protocol == kProtocolTcp && may_be_syn(packet)) [[unlikely]]
    clamp_to_path(packet, sa.tunnel);
}

// RFC 4301 5.2 step 3a. One pair of IPv4 prefixes is in the SA's own line; anything else is in the
// tunnel's list.
PENSTOCK_HOT bool Pipeline::selectors_match(const InboundSa& sa, const uint8_t* inner,
                                            const Packet& packet) const {
  const EspInboundFixed& fixed = sa.esp_fixed;
  if (packet.family == 4 && fixed.has_pair.load(std::memory_order_acquire) != 0) [[likely]] {
    const auto source = load_unaligned<uint32_t>(inner + 12);
    const auto destination = load_unaligned<uint32_t>(inner + 16);
    if ((source & fixed.remote_mask.load(std::memory_order_relaxed)) ==
            fixed.remote_network.load(std::memory_order_relaxed) &&
        (destination & fixed.local_mask.load(std::memory_order_relaxed)) ==
            fixed.local_network.load(std::memory_order_relaxed)) {
      return true;
    }
  }
  const SelectorList* list = tunnels_.selectors(sa.tunnel);
  if (list == nullptr) return false;
  return packet.family == 4 ? list->match_v4(inner, packet.length)
                            : list->match_v6(inner, packet.length);
}

// A limit was reached: tell it once, and look out for the next.
void Pipeline::inbound_attention(InboundSa& sa) {
  EspInbound& esp = sa.esp;
  const uint64_t packets = sa.rx_packets.load(std::memory_order_relaxed);
  const uint64_t bytes = sa.rx_bytes.load(std::memory_order_relaxed);
  if (packets >= esp.hard_packets || bytes >= esp.hard_bytes) {
    // This packet is the last one.
    sa.expires_at_ns = now_ns_;
    esp.attention_packets = esp.attention_bytes = UINT64_MAX;
    return tunnels_.raise(sa.events, sa.tunnel, kEventSoftLimit | kEventHardLimit);
  }
  esp.attention_packets =
      packets >= esp.soft_packets ? esp.hard_packets : std::min(esp.soft_packets, esp.hard_packets);
  esp.attention_bytes =
      bytes >= esp.soft_bytes ? esp.hard_bytes : std::min(esp.soft_bytes, esp.hard_bytes);
  tunnels_.raise(sa.events, sa.tunnel, kEventSoftLimit);
}

// What the peer's side may send back has to fit the way there.
void Pipeline::clamp_to_path(const Packet& packet, uint32_t tunnel) {
  TunnelHot& hot = tunnels_.tunnel(tunnel);
  const uint32_t slot = hot.current_outbound.load(std::memory_order_acquire);
  if (slot == kNoSlot) return;
  const OuterPath path = outer_path<TunnelProtocol::kEsp>(hot);
  clamp_mss(packet, esp_inner_mtu(path.room(), esp_shape_of(tunnels_.outbound(slot).algorithm)));
}

}  // namespace penstock
