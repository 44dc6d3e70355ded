// What both directions of ESP share, inline in each.
#pragma once

#include <algorithm>
#include <span>

#include "dataplane/pipeline/pipeline.h"
#include "dataplane/wire/esp.h"
#include "dataplane/wire/mss_clamp.h"

namespace penstock {

// The nonce of the AEADs: salt and explicit IV (RFC 4106 4, RFC 7634 2). CBC's IV is in the packet.
PENSTOCK_HOT void set_esp_nonce(AeadJob& job, uint32_t salt, uint64_t iv) {
  store_unaligned<uint32_t>(job.nonce, salt);
  store_unaligned<uint64_t>(job.nonce + 4, iv);
}

// What is authenticated beside the ciphertext: SPI and sequence number, and of CBC the IV. With ESN
// the whole number, of which the packet has the low half only: the AEADs want it in order, 12 bytes
// built in `aside` (RFC 4106 5); CBC wants the high half at the end (RFC 4303 2.2.1).
template <bool kCbc>
PENSTOCK_HOT void set_esp_aad(AeadJob& job, bool esn, const uint8_t* message, uint64_t sequence,
                              uint8_t* aside) {
  if constexpr (kCbc) {
    job.aad = nullptr;
    job.aad_length = sizeof(EspHeader) + kCbcIvBytes;
    job.sequence_high = Be32(static_cast<uint32_t>(sequence >> 32)).raw();
    job.appends_sequence_high = esn;
  } else if (esn) {
    store_unaligned<uint32_t>(aside, load_unaligned<uint32_t>(message));
    store_unaligned<uint64_t>(aside + 4, byte_swap(sequence));
    job.aad = aside;
    job.aad_length = 12;
  } else {
    job.aad = message;
    job.aad_length = sizeof(EspHeader);
  }
}

// What each packet reads of an expanded key, whatever its length: the schedule of rounds.
PENSTOCK_HOT void prefetch_key(const uint8_t* key) {
  __builtin_prefetch(key);
  __builtin_prefetch(key + 64);
  __builtin_prefetch(key + 128);
}

// Runs jobs that may be of several algorithms: those of one algorithm together, as the ciphers work
// on several packets at once.
template <void (AeadEngine::*kRun)(std::span<AeadJob>), class AlgorithmOf>
void run_esp_jobs(const AeadEngines& engines, std::span<AeadJob> jobs, bool mixed,
                  const AlgorithmOf& algorithm_of) {
  if (!mixed) [[likely]] {
    (engines.of(algorithm_of(0)).*kRun)(jobs);
    return;
  }
  for (size_t number = 0; number < kSaAlgorithmCount; ++number) {
    const auto algorithm = static_cast<SaAlgorithm>(number);
    AeadJob gathered[kMaxVector];
    size_t from[kMaxVector];
    size_t count = 0;
    for (size_t i = 0; i < jobs.size(); ++i) {
      if (algorithm_of(i) != algorithm) continue;
      gathered[count] = jobs[i];
      from[count++] = i;
    }
    if (count == 0) continue;
    (engines.of(algorithm).*kRun)({gathered, count});
    for (size_t i = 0; i < count; ++i) jobs[from[i]].ok = gathered[i].ok;
  }
}

// The largest inner packet of which the ESP packet fits `room`.
inline uint16_t esp_inner_mtu(uint32_t room, EspShape shape) {
  const auto overhead = static_cast<uint32_t>(sizeof(EspHeader) + shape.iv_bytes + kEspTagBytes);
  if (room < overhead + shape.alignment) return 0;
  const uint32_t plain = (room - overhead) & ~(uint32_t{shape.alignment} - 1);
  return static_cast<uint16_t>(plain - sizeof(EspTrailer));
}

// Whether a TCP packet may open a connection. A cheap sieve: clamp_mss() looks again.
inline bool may_be_syn(const Packet& packet) {
  const size_t flags = (packet.family == 4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header)) + 13;
  return packet.length > flags && (packet.ip[flags] & kTcpSyn) != 0;
}

inline void clamp_mss(const Packet& packet, uint16_t path_mtu) {
  if (packet.family == 4) {
    clamp_mss_ipv4({packet.ip, packet.length}, path_mtu);
  } else if (packet.family == 6) {
    clamp_mss_ipv6({packet.ip, packet.length}, path_mtu);
  }
}

}  // namespace penstock
