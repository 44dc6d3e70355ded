// The packet cipher: seals and opens bursts of packets in place. One engine per worker and
// algorithm, created at start.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "dataplane/api/tunnel.h"
#include "dataplane/crypto/expanded_key.h"
#include "gateway/base/result.h"

namespace penstock {

inline constexpr size_t kAeadMaxBurst = 64;
inline constexpr size_t kAeadTagBytes = 16;  // of every algorithm; HMAC-SHA2-256-128 too
inline constexpr size_t kAeadNonceBytes = 12;
inline constexpr size_t kCbcBlockBytes = 16;
inline constexpr size_t kCbcIvBytes = 16;

// How far an engine may read (never write) past the end of a packet's data and of its key: on CPUs
// without AVX-512 ipsec-mb 1.3 reads up to 14 bytes past the data (SSE) and 16 past the key (AVX2).
// A packet's own tag is room enough behind its data.
inline constexpr size_t kAeadReadPastDataBytes = 16;
inline constexpr size_t kAeadReadPastKeyBytes = 16;

// AES-CBC with HMAC: encrypt, then authenticate (RFC 4303 3.3.2). No AEAD, but the same calls.
constexpr bool is_cbc(SaAlgorithm algorithm) {
  return algorithm == SaAlgorithm::kAes128CbcSha256 || algorithm == SaAlgorithm::kAes256CbcSha256;
}

// One packet. Everything pointed to must stay valid and unmoved until the call that takes the job
// returns (see AeadEngine).
//
// The AEADs take nonce and AAD from wherever they are (ESP: salt and IV; SPI and sequence number,
// with ESN 12 bytes built aside, RFC 4106 5). CBC with HMAC takes them from the packet as it lies:
// - the 16 bytes in front of `data` are the IV,
// - the `aad_length` (at least 16) bytes in front of `data` are authenticated with it: ESP header
//   and IV; `aad` is not looked at,
// - `length` is a multiple of 16 and not 0, and `tag` is `data + length`,
// - with `appends_sequence_high` the four bytes of `sequence_high` are authenticated behind the
//   ciphertext without being in the packet (RFC 4303 2.2.1, 3.3.2.1).
struct AeadJob {
  // Key material in the form of the algorithm: what expand_key() wrote; for ChaCha20-Poly1305 the
  // 32 bytes of the key.
  const void* key = nullptr;
  uint8_t* data = nullptr;       // plaintext and ciphertext, in place; nullptr only if length == 0
  uint8_t* tag = nullptr;        // 16 bytes; seal writes it, open compares with it
  const uint8_t* aad = nullptr;  // may be nullptr if aad_length == 0
  uint32_t length = 0;           // of data, without the tag
  uint32_t aad_length = 0;
  uint8_t nonce[kAeadNonceBytes] = {};
  uint32_t sequence_high = 0;  // as it lies in memory: network order
  bool appends_sequence_high = false;
  // open: the tag is right. Where false, data holds unauthenticated bytes: drop the packet.
  // seal: false only where the engine itself failed: drop the packet, send nothing.
  bool ok = false;
};
static_assert(sizeof(AeadJob) == 64);

// Used by one thread at a time. No call allocates, blocks or fails as a whole; bursts hold 0 to
// kAeadMaxBurst jobs, each with its own key, length and AAD; all of the engine's algorithm.
//
// Both calls return with every job complete. Callers on the packet path should still treat "sealed"
// and "opened" as a later stage than "submitted" and keep per-packet state in the packet, not on
// the stack between them: an engine that holds packets (a lookaside device, other workers) would
// offer submit() and complete() beside these.
class AeadEngine {
 public:
  virtual ~AeadEngine() = default;
  AeadEngine(const AeadEngine&) = delete;
  AeadEngine& operator=(const AeadEngine&) = delete;

  virtual void seal(std::span<AeadJob> jobs) = 0;
  virtual void open(std::span<AeadJob> jobs) = 0;

  // The key in the form that this engine's jobs take: expanded_key_bytes() at an aligned `to`. The
  // forms of engines differ by path; expand_key() makes that of kBest. Any thread.
  virtual void expand_key(const SaKeys& keys, void* to) const = 0;

  // For the log and the CLI: "ipsec-mb 1.3.0 avx512".
  [[nodiscard]] virtual std::string description() const = 0;

 protected:
  AeadEngine() = default;
};

// The instruction set that ipsec-mb may use at most; kBest is what the CPU has. The others are for
// comparing its code paths, and refuse a CPU that lacks them.
enum class AeadPath : uint8_t { kBest, kSse, kAvx, kAvx2, kAvx512 };

// The engine for the packet path: Intel ipsec-mb. Refuses a library or CPU without the features
// needed, and a failed self-test.
Result<std::unique_ptr<AeadEngine>> make_ipsec_mb_engine(SaAlgorithm algorithm,
                                                         AeadPath path = AeadPath::kBest);

// One packet at a time by libsodium (ChaCha20-Poly1305) and OpenSSL (the others): the oracle of the
// tests. Self-tested too.
Result<std::unique_ptr<AeadEngine>> make_reference_engine(SaAlgorithm algorithm);

// A worker's engines for the packet path, one of each algorithm.
class AeadEngines {
 public:
  using All = std::array<std::unique_ptr<AeadEngine>, kSaAlgorithmCount>;
  static Result<AeadEngines> create();
  explicit AeadEngines(All engines) : engines_(std::move(engines)) {}  // none is nullptr
  [[nodiscard]] AeadEngine& of(SaAlgorithm algorithm) const {
    return *engines_[static_cast<size_t>(algorithm)];
  }

 private:
  All engines_;
};

// Known answers in full bursts (RFC 8439 2.8.2, GCM specification test cases 4 and 16, and for CBC
// with HMAC RFC 3602 4 case 4 completed), and that a changed tag is refused. Allocates nothing
// lasting; both factories have called it.
Status aead_self_test(AeadEngine& engine, SaAlgorithm algorithm);

}  // namespace penstock
