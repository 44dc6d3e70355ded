// Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s (Noise specification rev. 34, WireGuard paper section 5.4),
// token by token. A caller writes a message down as the sequence of its tokens.
#pragma once

#include <array>
#include <cstdint>

#include "gateway/base/bytes.h"
#include "gateway/base/secret.h"

namespace penstock::wireguard {

// The two keys that Split() yields, from the initiator's point of view.
struct TransportKeys {
  Secret<32> initiator_to_responder;
  Secret<32> responder_to_initiator;
};

// Noise's symmetric state: chaining key ck, handshake hash h and the key k of the last MixKey().
// Each function returns false where a point is of low order or a tag is wrong; the state is then
// worthless and must be dropped.
class NoiseState {
 public:
  NoiseState() = default;

  // ck = h = HASH(protocol name); MixHash(prologue); MixHash(responder's static key).
  static NoiseState start(Bytes prologue, Bytes responder_static);

  void e(Bytes ephemeral_public);  // MixHash and, as this is a PSK pattern, MixKey
  // ee, es, se, ss: MixKey(DH(ours, theirs)).
  [[nodiscard]] bool dh(const Secret<32>& our_private, Bytes their_public);
  // The same with a shared secret computed before. Zeros are refused as a low-order point's.
  [[nodiscard]] bool mix_shared(const Secret<32>& shared);
  void psk(const Secret<32>& preshared_key);  // MixKeyAndHash

  // EncryptAndHash: out.size() == plain.size() + 16.
  void seal(Bytes plain, MutableBytes out);
  // DecryptAndHash: out.size() == sealed.size() - 16.
  [[nodiscard]] bool open(Bytes sealed, MutableBytes out);

  [[nodiscard]] TransportKeys split() const;
  [[nodiscard]] const Secret<32>& hash() const { return hash_; }

 private:
  void mix_hash(Bytes data);
  void mix_key(Bytes input);

  Secret<32> chaining_key_;
  Secret<32> hash_;
  Secret<32> key_;
};

// WireGuard's start: its identifier is the prologue.
[[nodiscard]] NoiseState start_wireguard(Bytes responder_static);

}  // namespace penstock::wireguard
