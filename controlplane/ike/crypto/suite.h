// What an IKE SA or a child SA runs on: one transform of each type, by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "controlplane/ike/wire/proposal.h"

namespace penstock::ike {

// One transform of each type, chosen and understood. For IKE `esn` is false; for ESP `prf` is
// kNone. With an AEAD `integrity` is kNone.
struct Suite {
  ProtocolId protocol = ProtocolId::kIke;
  EncryptionId encryption = EncryptionId::kNone;
  uint16_t key_bits = 0;  // of AES: 128, 192 or 256; ChaCha20-Poly1305: 0, its key has one length
  IntegrityId integrity = IntegrityId::kNone;
  PrfId prf = PrfId::kNone;
  DhGroup group = DhGroup::kNone;  // ESP: kNone without perfect forward secrecy
  bool esn = false;

  [[nodiscard]] bool is_aead() const { return encryption != EncryptionId::kAesCbc; }
  // As swanctl writes it: "aes256gcm16-prfsha384-ecp384", "aes128-sha256-modp2048-esn".
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const Suite&, const Suite&) = default;
};

// Bytes of key material (RFC 7296 2.14, RFC 5282 7.1, RFC 7634 2): AEADs take their salt as the
// last bytes of the cipher key.
size_t cipher_key_bytes(const Suite& suite);  // without the salt
size_t salt_bytes(const Suite& suite);        // GCM and ChaCha20-Poly1305: 4
size_t integrity_key_bytes(IntegrityId integrity);
size_t integrity_icv_bytes(IntegrityId integrity);
size_t prf_bytes(PrfId prf);  // of its output, and so of the keys that it prefers

// The names that VICI's listings show: "AES_GCM_16", "HMAC_SHA2_256_128", "PRF_HMAC_SHA2_256",
// "CURVE_25519". What we do not know is its number in parentheses: "(7)".
std::string encryption_name(uint16_t id);
std::string integrity_name(uint16_t id);
std::string prf_name(uint16_t id);
std::string group_name(uint16_t id);

// The same as transforms of a proposal, in the order encryption, integrity, PRF, group, ESN: what a
// responder answers with.
Proposal to_proposal(const Suite& suite, uint8_t number, uint8_t spi_size, uint64_t spi);

}  // namespace penstock::ike
