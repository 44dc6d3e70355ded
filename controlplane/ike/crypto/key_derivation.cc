#include "controlplane/ike/crypto/key_derivation.h"

#include <algorithm>

#include "controlplane/ike/crypto/hmac.h"

namespace penstock::ike {
namespace {

HashId hash_of(PrfId id) {
  switch (id) {
    case PrfId::kHmacSha384:
      return HashId::kSha384;
    case PrfId::kHmacSha512:
      return HashId::kSha512;
    default:
      return HashId::kSha256;
  }
}

// Cuts keys off the front of key material.
class KeyMaterial {
 public:
  explicit KeyMaterial(const SecretBytes& all) : reader_(all.bytes()) {}
  SecretBytes take(size_t size) { return SecretBytes::copy_of(reader_.take(size)); }

 private:
  Reader reader_;
};

template <class Wire>
Bytes wire_bytes(const Wire& value) {
  return {reinterpret_cast<const uint8_t*>(&value), sizeof value};
}

}  // namespace

SecretBytes prf(PrfId id, Bytes key, std::initializer_list<Bytes> parts) {
  SecretBytes out(prf_bytes(id));
  Hmac hmac(hash_of(id));
  hmac.begin(key);
  for (const Bytes part : parts) hmac.add(part);
  hmac.end(out.mutable_bytes());
  return out;
}

// 2.13: T1 | T2 | ..., Tn = prf(K, Tn-1 | S | n).
SecretBytes prf_plus(PrfId id, Bytes key, std::initializer_list<Bytes> seed, size_t size) {
  const size_t step = prf_bytes(id);
  SecretBytes out(size);
  SecretBytes block(step);
  Hmac hmac(hash_of(id));
  size_t done = 0;
  for (uint8_t number = 1; done < size && number != 0; ++number) {
    if (number == 1) {
      hmac.begin(key);
    } else {
      hmac.restart();
      hmac.add(block.bytes());
    }
    for (const Bytes part : seed) hmac.add(part);
    hmac.add({&number, 1});
    hmac.end(block.mutable_bytes());
    const size_t taken = std::min(step, size - done);
    std::copy_n(block.data(), taken, out.data() + done);
    done += taken;
  }
  return out;
}

SecretBytes skeyseed(PrfId id, Bytes nonce_initiator, Bytes nonce_responder, Bytes shared) {
  ByteVector nonces = to_vector(nonce_initiator);
  nonces.insert(nonces.end(), nonce_responder.begin(), nonce_responder.end());
  return prf(id, nonces, {shared});
}

SecretBytes rekey_skeyseed(PrfId old_prf, Bytes old_sk_d, Bytes shared, Bytes nonce_initiator,
                           Bytes nonce_responder) {
  return prf(old_prf, old_sk_d, {shared, nonce_initiator, nonce_responder});
}

IkeKeys derive_ike_keys(const Suite& suite, Bytes seed, Bytes nonce_initiator,
                        Bytes nonce_responder, uint64_t spi_initiator, uint64_t spi_responder) {
  const size_t prf_size = prf_bytes(suite.prf);
  const size_t integrity = integrity_key_bytes(suite.integrity);
  const size_t cipher = cipher_key_bytes(suite) + salt_bytes(suite);
  const Be64 spi_i(spi_initiator);
  const Be64 spi_r(spi_responder);
  const SecretBytes all = prf_plus(
      suite.prf, seed, {nonce_initiator, nonce_responder, wire_bytes(spi_i), wire_bytes(spi_r)},
      3 * prf_size + 2 * integrity + 2 * cipher);
  // 2.14: {SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr}.
  KeyMaterial material(all);
  IkeKeys keys;
  keys.d = material.take(prf_size);
  keys.ai = material.take(integrity);
  keys.ar = material.take(integrity);
  keys.ei = material.take(cipher);
  keys.er = material.take(cipher);
  keys.pi = material.take(prf_size);
  keys.pr = material.take(prf_size);
  return keys;
}

ChildKeys derive_child_keys(PrfId ike_prf, Bytes sk_d, const Suite& child, Bytes shared,
                            Bytes nonce_initiator, Bytes nonce_responder) {
  const size_t cipher = cipher_key_bytes(child);
  const size_t salt = salt_bytes(child);
  const size_t integrity = integrity_key_bytes(child.integrity);
  const SecretBytes all = prf_plus(ike_prf, sk_d, {shared, nonce_initiator, nonce_responder},
                                   2 * (cipher + salt + integrity));
  // 2.17: initiator to responder first; of one direction encryption before integrity.
  KeyMaterial material(all);
  ChildKeys keys;
  for (DirectionKeys* direction : {&keys.from_initiator, &keys.from_responder}) {
    direction->cipher_key = material.take(cipher);
    direction->salt = material.take(salt);
    direction->auth_key = material.take(integrity);
  }
  return keys;
}

ByteVector auth_octets(PrfId id, Bytes own_first_message, Bytes peer_nonce, Bytes sk_p,
                       Bytes id_body) {
  const SecretBytes maced_id = prf(id, sk_p, {id_body});
  ByteVector octets;
  octets.reserve(own_first_message.size() + peer_nonce.size() + maced_id.size());
  for (const Bytes part : {own_first_message, peer_nonce, maced_id.bytes()}) {
    octets.insert(octets.end(), part.begin(), part.end());
  }
  return octets;
}

SecretBytes shared_key_auth(PrfId id, Bytes secret, Bytes octets) {
  // 2.15: 17 ASCII characters without a terminating zero.
  const SecretBytes padded = prf(id, secret, {bytes_of("Key Pad for IKEv2")});
  return prf(id, padded.bytes(), {octets});
}

}  // namespace penstock::ike
