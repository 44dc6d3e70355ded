// Packets into an ESP tunnel: which tunnel, SA, sequence number, padding, cipher, outer headers
// (RFC 4303 3.3). Exits: output (to a port), hand-over to the worker that numbers the SA's packets,
// punt (waits for a session or neighbour), an ICMP error with a drop, drop.
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <algorithm>

#include "dataplane/pipeline/esp_jobs.h"
#include "dataplane/pipeline/pipeline.h"
#include "dataplane/pipeline/tunnel_inbound.h"
#include "dataplane/pipeline/tunnel_outbound.h"
#include "dataplane/wire/ecn.h"
#include "dataplane/wire/esp.h"

namespace penstock {
namespace {

// Behind the inner packet: what is written there before the length is known to be needed.
constexpr size_t kBehindBytes = kEspMaximumAlignment + sizeof(EspTrailer) + kEspTagBytes;

// RFC 4303 2.4: padding is 1, 2, 3, ...
alignas(16) constexpr uint8_t kPadding[16] = {1, 2,  3,  4,  5,  6,  7,  8,
                                              9, 10, 11, 12, 13, 14, 15, 16};

// Padding, its length and the next header, within kBehindBytes. Of an AEAD they fit a word.
template <bool kCbc>
inline void write_trailer(uint8_t* at, uint32_t padding, uint8_t next_header) {
  if constexpr (kCbc) {
    std::memcpy(at, kPadding, sizeof kPadding);
    at[padding] = static_cast<uint8_t>(padding);
    at[padding + 1] = next_header;
  } else {
    static constexpr uint32_t kPaddingAndLength[4] = {0, 0x0101, 0x020201, 0x03030201};
    store_unaligned(at, kPaddingAndLength[padding] | uint64_t{next_header} << (8 * padding + 8));
  }
}

// Both lines of an SA: what is read, and what is written.
PENSTOCK_HOT void fetch_outbound_sa(const OutboundSa& sa) {
  __builtin_prefetch(&sa);
  __builtin_prefetch(&sa.sequence, 1);
}

// RFC 4301 8.1; an IPv6 packet may not be split on its way either.
bool wants_dont_fragment(const Packet& packet) {
  return packet.family != 4 || (packet.ip[6] & 0x40) != 0;
}

}  // namespace

void Pipeline::esp_outbound() {
  if (esp_outbound_.empty()) return;
  // 1. Which SA? Fetch its lines.
  size_t count = 0;
  for (Packet* packet : esp_outbound_) {
    if (!choose_esp_sa(*packet, esp_sas_[count])) continue;
    esp_outbound_[count++] = packet;
  }
  esp_outbound_.truncate(count);

  // 2. Sequence numbers and headers. Keys are fetched here and not before: they would be in the way
  // of the SAs.
  size_t ready = 0;
  bool mixed = false;
  const SaAlgorithm algorithm = count > 0 ? esp_sas_[0]->algorithm : SaAlgorithm{};
  for (size_t i = 0; i < count; ++i) {
    if (i + kFetchAhead < count) fetch_outbound_sa(*esp_sas_[i + kFetchAhead]);
    const uint8_t* const key = tunnels_.outbound_key(*esp_sas_[i]);
    prefetch_key(key);
    esp_jobs_[ready].key = key;
    const bool prepared = is_cbc(esp_sas_[i]->algorithm)
                              ? prepare_esp<true>(i, esp_jobs_[ready], esp_aads_[ready])
                              : prepare_esp<false>(i, esp_jobs_[ready], esp_aads_[ready]);
    if (!prepared) [[unlikely]]
      continue;
    mixed |= esp_sas_[i]->algorithm != algorithm;
    if (i != ready) [[unlikely]] {
      esp_hops_[ready] = esp_hops_[i];
      esp_sas_[ready] = esp_sas_[i];
      esp_outbound_[ready] = esp_outbound_[i];
    }
    ++ready;
  }

  // 3. The cipher, then out.
  if (queues_batches_) [[unlikely]]
    return queue_esp_outbound(ready);
  if (ready > 0) {
    run_esp_jobs<&AeadEngine::seal>(engines_, {esp_jobs_, ready}, mixed,
                                    [this](size_t i) { return esp_sas_[i]->algorithm; });
  }
  for (size_t i = 0; i < ready; ++i) {
    const Packet& packet = *esp_outbound_[i];
    if (!esp_jobs_[i].ok) [[unlikely]] {  // may still be clear text
      drop(packet.mbuf, DropReason::kTunnelCipherFailed);
      continue;
    }
    finish_outbound(packet, *esp_hops_[i]);
  }
  esp_outbound_.clear();
}

// Route-based: the policies of the interface that a route led into. Nothing leaves by another way.
bool Pipeline::choose_esp_tunnel(Packet& packet) {
  const PolicyTable* policies =
      tables_.interfaces[packet.interface].policies.load(std::memory_order_acquire);
  PolicyMatch match;
  if (policies != nullptr) {
    const uint8_t* ip = packet.ip;
    match = packet.family == 4
                ? policies->find<4>(
                      ip + 12, ip + 16, [&] { return read_flow_v4(ip, packet.length); },
                      PolicySender::kLocal)
                : policies->find<16>(
                      ip + 8, ip + 24, [&] { return read_flow_v6(ip, packet.length); },
                      PolicySender::kLocal);
  }
  if (match.decision == PolicyDecision::kProtect) [[likely]] {
    packet.tunnel = match.tunnel;
    __builtin_prefetch(&tunnels_.tunnel(match.tunnel));
    return true;
  }
  if (match.decision > PolicyDecision::kProtect) {
    drop(packet.mbuf, DropReason::kPolicyDiscard);
    return false;
  }
  icmp_error(packet, IcmpError::kHostUnreachable);
  drop(packet.mbuf, DropReason::kTunnelNoPeer);
  return false;
}

PENSTOCK_HOT bool Pipeline::choose_esp_sa(Packet& packet, OutboundSa*& sa) {
  // Acquire: pairs with the release of a promotion or of the control thread.
  const uint32_t slot =
      tunnels_.tunnel(packet.tunnel).current_outbound.load(std::memory_order_acquire);
  if (slot == kNoSlot) [[unlikely]]
    return wait_for_session(packet), false;
  sa = &tunnels_.outbound(slot);
  fetch_outbound_sa(*sa);
  if (!only_worker_ && sa->owner != config_.worker) [[unlikely]]
    return hand_over_packet(packet, sa->owner), false;
  return true;
}

// One worker numbers the packets of an SA, so that they leave in order: decisions/0005.
void Pipeline::hand_over_packet(const Packet& packet, uint8_t owner) {
  rte_mbuf* m = packet.mbuf;
  m->data_off = static_cast<uint16_t>(packet.ip - static_cast<uint8_t*>(m->buf_addr));
  m->data_len = packet.length;
  m->pkt_len = packet.length;
  RingMeta& meta = ring_meta(m);
  meta.hand_over = RingMeta::HandOver::kIntoTunnel;
  meta.tunnel = packet.tunnel;
  meta.tunnel_generation = tunnels_.tunnel_generation(packet.tunnel);
  meta.interface = packet.interface;
  meta.origin = packet.origin;
  meta.port = packet.port;
  if (rte_ring_mp_enqueue(tables_.rings[owner].hand_over, m) != 0) {
    return drop(m, DropReason::kHandOverFull);
  }
  counters_.hand_overs.add(1);
}

// The other end of it: `packet` has its buffer. The SA is chosen again.
void Pipeline::receive_into_tunnel(Packet& packet) {
  const RingMeta& meta = ring_meta(packet.mbuf);
  if (meta.tunnel_generation != tunnels_.tunnel_generation(meta.tunnel)) {
    return drop(packet.mbuf, DropReason::kTunnelNoPeer);
  }
  packet.ip = rte_pktmbuf_mtod(packet.mbuf, uint8_t*);
  packet.length = packet.mbuf->data_len;
  packet.family = packet.length > 0 ? packet.ip[0] >> 4 : uint8_t{0};
  packet.origin = meta.origin;
  packet.port = meta.port;
  packet.interface = meta.interface;
  packet.tunnel = meta.tunnel;
  __builtin_prefetch(&tunnels_.tunnel(meta.tunnel));
  into_tunnel(packet);
}

// A limit was reached; false: the SA is at its end.
bool Pipeline::outbound_attention(OutboundSa& sa, uint64_t sequence) {
  const uint64_t bytes = sa.tx_bytes.load(std::memory_order_relaxed);
  uint32_t flags = 0;
  uint64_t next_sequence = std::min(sa.sequence_limit, sa.hard_sequence);
  for (const auto& [limit, flag] : {std::pair{sa.rekey_sequence, kEventNearLimit},
                                    std::pair{sa.soft_sequence, kEventSoftLimit}}) {
    if (sequence >= limit) {
      flags |= flag;
    } else {
      next_sequence = std::min(next_sequence, limit);
    }
  }
  if (bytes >= sa.esp.soft_bytes) flags |= kEventSoftLimit;
  const bool dead =
      sequence >= sa.sequence_limit || sequence >= sa.hard_sequence || bytes >= sa.esp.hard_bytes;
  if (dead) flags |= kEventHardLimit;
  const bool told = sa.attention_sequence == 0;
  // What is dead stays here, and is told once.
  sa.attention_sequence = dead ? 0 : next_sequence;
  sa.esp.attention_bytes = bytes >= sa.esp.soft_bytes
                               ? sa.esp.hard_bytes
                               : std::min(sa.esp.soft_bytes, sa.esp.hard_bytes);
  if (!told) tunnels_.raise(sa.events, sa.tunnel, flags);
  return !dead;
}

// Everything of a packet before the cipher but the job's key; false: it has left by another exit.
// On return its `ip` is the outer packet, and esp_hops_[at] says where that goes. Fields are copied
// first: a byte that is stored might otherwise be one of them, as far as the compiler knows.
template <bool kCbc>
PENSTOCK_HOT bool Pipeline::prepare_esp(size_t at, AeadJob& job, uint8_t* aad) {
  constexpr EspShape kShape =
      esp_shape_of(kCbc ? SaAlgorithm::kAes128CbcSha256 : SaAlgorithm::kAes128Gcm16);
  constexpr uint32_t kAlignMask = kShape.alignment - 1U;
  Packet& packet = *esp_outbound_[at];
  OutboundSa& sa = *esp_sas_[at];
  TunnelHot& hot = tunnels_.tunnel(packet.tunnel);
  uint8_t* const ip = packet.ip;
  const uint32_t length = packet.length;
  const uint8_t family = packet.family;
  if (now_ns_ >= sa.expires_at_ns) [[unlikely]]
    return wait_for_session(packet), false;
  const OuterPath path = outer_path<TunnelProtocol::kEsp>(hot);
  uint32_t content = length;
  if (length < sa.esp.pad_to_bytes) [[unlikely]]
    content = content_with_padding(packet, sa, esp_inner_mtu(path.room(), kShape));
  const uint32_t plain_bytes = (content + sizeof(EspTrailer) + kAlignMask) & ~kAlignMask;
  const auto message_bytes =
      static_cast<uint32_t>(sizeof(EspHeader) + kShape.iv_bytes + plain_bytes + kEspTagBytes);
  if (message_bytes > path.room()) [[unlikely]]
    return leave_before_outer(packet, path, esp_inner_mtu(path.room(), kShape)), false;
  esp_hops_[at] = &fib_.next_hop(path.next_hop());
  if (!has_outer_room(packet, sizeof(EspHeader) + kEspMaximumIvBytes,
                      content - length + kBehindBytes)) [[unlikely]]
    return drop(packet.mbuf, DropReason::kNoRoom), false;

  const uint64_t sequence = sa.sequence.load(std::memory_order_relaxed);
  if (sequence >= sa.attention_sequence ||
      sa.tx_bytes.load(std::memory_order_relaxed) >= sa.esp.attention_bytes) [[unlikely]] {
    if (!outbound_attention(sa, sequence)) {
      return drop(packet.mbuf, sequence >= sa.sequence_limit ? DropReason::kTunnelSequenceExhausted
                                                             : DropReason::kTunnelExpired),
             false;
    }
  }
  const uint32_t spi = sa.peer_index, salt = sa.esp.salt;
  const bool esn = sa.esn;
  const bool dont_fragment = sa.esp.copy_df && wants_dont_fragment(packet);
  const uint8_t traffic_class =
      outer_traffic_class(inner_traffic_class(packet), sa.esp.traffic_class_mask);
  sa.sequence.store(sequence + 1, std::memory_order_relaxed);
  add_relaxed(sa.tx_bytes, length);
  sa.last_used_s.store(now_s_, std::memory_order_relaxed);
  tunnels_.raise(sa.events, sa.tunnel, length > 0 ? kEventSentData : kEventSentKeepalive);

  const bool tcp = (family == 4 ? ip[9] : ip[6]) == kProtocolTcp;
  if (tcp && length > 0 && may_be_syn(packet)) [[unlikely]]
    clamp_mss(packet, esp_inner_mtu(path.room(), kShape));
  if (content > length) [[unlikely]]
    std::memset(ip + length, 0, content - length);
  // A dummy packet (RFC 4303 2.6) has nothing in front of padding and trailer.
  const uint8_t next_header = family == 4   ? uint8_t{kProtocolIpv4}
                              : family == 6 ? uint8_t{kProtocolIpv6}
                                            : uint8_t{kProtocolNoNext};
  const uint32_t padding = plain_bytes - content - static_cast<uint32_t>(sizeof(EspTrailer));
  write_trailer<kCbc>(ip + content, padding, next_header);

  uint8_t* const iv = ip - kShape.iv_bytes;
  uint8_t* const message = iv - sizeof(EspHeader);
  const uint64_t sequence_be = byte_swap(sequence);
  store_unaligned<uint64_t>(message, (sequence_be & ~uint64_t{UINT32_MAX}) | spi);
  job.data = ip;
  job.length = plain_bytes;
  job.tag = ip + plain_bytes;
  if constexpr (kCbc) {
    cbc_ivs_.next(iv);  // RFC 3602 3: nobody can foretell it
  } else {
    // RFC 4106 3.1: the number itself never comes twice under one key.
    store_unaligned<uint64_t>(iv, sequence_be);
    set_esp_nonce(job, salt, sequence_be);
  }
  set_esp_aad<kCbc>(job, esn, message, sequence, aad);
  if (!write_outer<TunnelProtocol::kEsp>(packet, hot, static_cast<uint16_t>(message_bytes),
                                         traffic_class, message, dont_fragment)) [[unlikely]] {
    return drop(packet.mbuf, DropReason::kTunnelNoEndpoint), false;
  }
  return true;
}

// RFC 4303 2.7: up to what the SA asks for, as far as it fits.
uint32_t Pipeline::content_with_padding(const Packet& packet, const OutboundSa& sa,
                                        uint32_t inner_mtu) const {
  const auto front =
      static_cast<uint32_t>(packet.ip - static_cast<uint8_t*>(packet.mbuf->buf_addr));
  const uint32_t room = packet.mbuf->buf_len - front;
  const uint32_t most =
      std::min<uint32_t>(inner_mtu, room > kBehindBytes ? room - kBehindBytes : 0);
  return std::max<uint32_t>(packet.length, std::min<uint32_t>(sa.esp.pad_to_bytes, most));
}

}  // namespace penstock
