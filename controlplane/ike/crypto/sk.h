// The Encrypted payload (RFC 7296 section 3.14; AEADs: RFC 5282, RFC 7634) and the Encrypted
// Fragment payload (RFC 7383 section 2.5), sealed and opened.
#pragma once

#include <optional>
#include <vector>

#include "controlplane/ike/crypto/suite.h"
#include "controlplane/ike/wire/build.h"
#include "controlplane/ike/wire/message.h"
#include "gateway/base/random.h"
#include "gateway/base/secret.h"

namespace penstock::ike {

// One direction of an IKE SA's protection. AEAD IVs are a counter that only ever grows in this
// object, CBC IVs are random: so an outbound cipher is moved, never copied.
class IkeCipher {
 public:
  IkeCipher() = default;  // unusable: usable() is false
  // Keys as in IkeKeys: ei and ai, or er and ar. They are copied.
  IkeCipher(const Suite& suite, const SecretBytes& encryption_key,
            const SecretBytes& integrity_key);
  IkeCipher(IkeCipher&&) = default;
  IkeCipher& operator=(IkeCipher&&) = default;

  [[nodiscard]] bool usable() const { return usable_; }
  // Bytes of IV, padding, pad length and ICV around `plain_bytes` of payloads.
  [[nodiscard]] size_t body_bytes(size_t plain_bytes) const;
  // The most payload bytes whose body fits into `body_bytes`.
  [[nodiscard]] size_t plain_capacity(size_t body_bytes) const;

  // Fills `body`, of body_bytes(plain.size()): IV, ciphertext, ICV. `associated` is the message
  // before it, with its final lengths. False: the library failed or the counter is used up.
  [[nodiscard]] bool seal(Bytes associated, Bytes plain, RandomSource& random, MutableBytes body);
  // The payloads, or nullopt: too short, wrong ICV (compared in constant time), wrong padding. Says
  // nothing about which.
  [[nodiscard]] std::optional<ByteVector> open(Bytes associated, Bytes body) const;

 private:
  Suite suite_;
  SecretBytes encryption_key_;
  SecretBytes integrity_key_;
  uint64_t next_iv_ = 0;
  bool usable_ = false;
};

// Seals a chain as a message, in fragments where it would be larger than `max_message_bytes` (of
// the IKE message: the UDP payload without marker) and `may_fragment`. More than one message: all
// have the same message ID, and a retransmission sends all of them. Empty: a failure of the
// library, or more than 65535 bytes or fragments.
std::vector<ByteVector> seal_message(IkeCipher& cipher, RandomSource& random, const Header& header,
                                     const ChainBuilder& chain, bool may_fragment,
                                     size_t max_message_bytes);

// What an EncryptedPayload of a parsed message holds: the inner chain (of SKF: its part of it).
inline std::optional<ByteVector> open_payload(const IkeCipher& cipher,
                                              const EncryptedPayload& payload) {
  return cipher.open(payload.associated, payload.body);
}

}  // namespace penstock::ike
