// PRFs and everything that is derived with them: RFC 7296 sections 2.13 to 2.18. Any thread.
#pragma once

#include <initializer_list>

#include "controlplane/ike/crypto/suite.h"
#include "gateway/base/bytes.h"
#include "gateway/base/secret.h"

namespace penstock::ike {

// HMAC over the parts one after another. A key of any length (RFC 2104). Requires a known PRF.
SecretBytes prf(PrfId id, Bytes key, std::initializer_list<Bytes> parts);
// prf+ (2.13). Requires size <= 255 * prf_bytes(id).
SecretBytes prf_plus(PrfId id, Bytes key, std::initializer_list<Bytes> seed, size_t size);

// SKEYSEED = prf(Ni | Nr, g^ir) (2.14).
SecretBytes skeyseed(PrfId id, Bytes nonce_initiator, Bytes nonce_responder, Bytes shared);
// Of a rekeyed IKE SA (2.18): prf(SK_d of the old one, g^ir | Ni | Nr), with the old one's PRF.
SecretBytes rekey_skeyseed(PrfId old_prf, Bytes old_sk_d, Bytes shared, Bytes nonce_initiator,
                           Bytes nonce_responder);

struct IkeKeys {  // 2.14; i: of messages from the original initiator
  SecretBytes d;
  SecretBytes ai, ar;  // empty with an AEAD
  SecretBytes ei, er;  // with the salt at their end, of an AEAD
  SecretBytes pi, pr;
};
IkeKeys derive_ike_keys(const Suite& suite, Bytes seed, Bytes nonce_initiator,
                        Bytes nonce_responder, uint64_t spi_initiator, uint64_t spi_responder);

struct DirectionKeys {     // of one ESP SA
  SecretBytes cipher_key;  // without the salt
  SecretBytes salt;        // AEADs: 4 bytes
  SecretBytes auth_key;    // empty with an AEAD
};
struct ChildKeys {
  DirectionKeys from_initiator;  // of the exchange that made the child SA
  DirectionKeys from_responder;
};
// KEYMAT = prf+(SK_d, [g^ir (new) |] Ni | Nr) (2.17). `shared` is empty without a KE payload.
ChildKeys derive_child_keys(PrfId ike_prf, Bytes sk_d, const Suite& child, Bytes shared,
                            Bytes nonce_initiator, Bytes nonce_responder);

// What AUTH signs (2.15): the sender's first message as sent, the other's nonce, and the sender's
// ID payload body under its SK_p.
ByteVector auth_octets(PrfId id, Bytes own_first_message, Bytes peer_nonce, Bytes sk_p,
                       Bytes id_body);
// AUTH of a shared secret: prf(prf(secret, "Key Pad for IKEv2"), octets) (2.15); also with the MSK
// of EAP (2.16). Compare with equal_constant_time().
SecretBytes shared_key_auth(PrfId id, Bytes secret, Bytes octets);

}  // namespace penstock::ike
