// Keys in the form that the packet ciphers take: what outlives the key exchange in the SA tables.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/api/tunnel.h"
#include "gateway/base/result.h"
#include "gateway/base/secret.h"

namespace penstock {

// An arena of keys by slot uses this alignment, and best this stride: an odd number of cache lines.
// With a power of two, the few lines that small packets use of each key would meet in a part of the
// cache only.
inline constexpr size_t kExpandedKeyAlignment = 64;
inline constexpr size_t kExpandedKeyMaxBytes = 1024;
inline constexpr size_t kExpandedKeyStrideBytes = kExpandedKeyMaxBytes + kExpandedKeyAlignment;

// What expand_key() writes, a multiple of the alignment. Constants of ipsec-mb 1.3, asserted where
// its header is included. ChaCha20-Poly1305 needs no arena: its 32 bytes may lie anywhere, with
// kAeadReadPastKeyBytes readable behind.
constexpr size_t expanded_key_bytes(SaAlgorithm algorithm) {
  switch (algorithm) {
    case SaAlgorithm::kChacha20Poly1305:
      return 64;
    case SaAlgorithm::kAes128Gcm16:
    case SaAlgorithm::kAes256Gcm16:
      return 1024;
    case SaAlgorithm::kAes128CbcSha256:
    case SaAlgorithm::kAes256CbcSha256:
      return 576;  // HMAC states, both key schedules
  }
  return kExpandedKeyMaxBytes;
}

// Of SaKeys::cipher_key, from its begin.
constexpr size_t cipher_key_bytes(SaAlgorithm algorithm) {
  return algorithm == SaAlgorithm::kAes128Gcm16 || algorithm == SaAlgorithm::kAes128CbcSha256 ? 16
                                                                                              : 32;
}

// Writes expanded_key_bytes(algorithm) at `to`, which is aligned. The salt is not part of it: it
// belongs to the nonce. For the engines that make_ipsec_mb_engine() makes for the best path. Any
// thread. Fails only where ipsec-mb does not start.
Status expand_key(SaAlgorithm algorithm, const SaKeys& keys, void* to);

// One key by itself, for tests and tools: wipes itself.
struct alignas(kExpandedKeyAlignment) ExpandedKey {
  uint8_t bytes[kExpandedKeyMaxBytes] = {};
  ExpandedKey() = default;
  ExpandedKey(const ExpandedKey&) = delete;
  ExpandedKey& operator=(const ExpandedKey&) = delete;
  ~ExpandedKey() { wipe(bytes, sizeof bytes); }
};

}  // namespace penstock
