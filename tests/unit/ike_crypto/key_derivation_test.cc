// Keys: NIST's values for IKEv2, and how they are cut.
#include "controlplane/ike/crypto/key_derivation.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "controlplane/ike/crypto/self_test.h"
#include "gateway/base/text.h"

namespace penstock::ike {
namespace {

nlohmann::json nist() {
  std::ifstream file(std::string(PENSTOCK_VECTORS) + "/ikev2/kdf_nist.json");
  return nlohmann::json::parse(file);
}
ByteVector hex(const nlohmann::json& field) { return *from_hex(field.get<std::string>()); }
PrfId prf_of(const nlohmann::json& name) {
  if (name == "PRF_HMAC_SHA2_256") return PrfId::kHmacSha256;
  if (name == "PRF_HMAC_SHA2_384") return PrfId::kHmacSha384;
  EXPECT_EQ(name, "PRF_HMAC_SHA2_512");
  return PrfId::kHmacSha512;
}

TEST(Skeyseed, nist_values_match) {
  size_t checked = 0;
  const nlohmann::json file = nist();
  for (const auto& test : file["skeyseed"]) {
    const ByteVector nonces = hex(test["salt"]);
    // Where the nonces are divided makes no difference.
    const auto ni = Bytes(nonces).first(nonces.size() / 2);
    const auto nr = Bytes(nonces).subspan(nonces.size() / 2);
    EXPECT_EQ(to_hex(skeyseed(prf_of(test["prf"]), ni, nr, hex(test["key"])).bytes()), test["out"])
        << test["name"];
    ++checked;
  }
  EXPECT_EQ(checked, 6U);
}

TEST(PrfPlus, nist_values_match_at_every_length) {
  size_t checked = 0;
  const nlohmann::json file = nist();
  for (const auto& test : file["prf_plus"]) {
    const ByteVector out = hex(test["out"]);
    const ByteVector key = hex(test["key"]);
    const ByteVector seed = hex(test["salt"]);
    for (size_t size = 0; size <= out.size(); ++size) {
      const SecretBytes got =
          prf_plus(prf_of(test["prf"]), key, {Bytes(seed).first(3), Bytes(seed).subspan(3)}, size);
      ASSERT_TRUE(equal_bytes(got.bytes(), Bytes(out).first(size))) << test["name"] << size;
    }
    ++checked;
  }
  EXPECT_EQ(checked, 7U);
}

Suite ike_suite(EncryptionId encryption, uint16_t bits, IntegrityId integrity, PrfId prf) {
  return {ProtocolId::kIke, encryption, bits, integrity, prf, DhGroup::kCurve25519, false};
}

TEST(IkeKeys, are_cut_in_the_order_of_the_rfc) {
  const ByteVector seed(32, 5);
  const ByteVector ni(32, 6);
  const ByteVector nr(24, 7);
  const Suite suite =
      ike_suite(EncryptionId::kAesCbc, 192, IntegrityId::kHmacSha384_192, PrfId::kHmacSha256);
  const IkeKeys keys = derive_ike_keys(suite, seed, ni, nr, 0x0102030405060708, 0x1112131415161718);
  const ByteVector spis = *from_hex("01020304050607081112131415161718");
  const SecretBytes all =
      prf_plus(PrfId::kHmacSha256, seed, {ni, nr, spis}, 32 + 2 * 48 + 2 * 24 + 2 * 32);
  SecretBytes joined;
  for (const SecretBytes* key :
       {&keys.d, &keys.ai, &keys.ar, &keys.ei, &keys.er, &keys.pi, &keys.pr}) {
    joined.append(key->bytes());
  }
  EXPECT_TRUE(joined == all);
  EXPECT_EQ(keys.d.size(), 32U);
  EXPECT_EQ(keys.ai.size(), 48U);
  EXPECT_EQ(keys.ei.size(), 24U);
  EXPECT_EQ(keys.pr.size(), 32U);
}

TEST(IkeKeys, aead_has_no_integrity_key_and_a_salt_behind_its_key) {
  const Suite gcm = ike_suite(EncryptionId::kAesGcm16, 256, IntegrityId::kNone, PrfId::kHmacSha512);
  const IkeKeys keys = derive_ike_keys(gcm, ByteVector(64), ByteVector(16), ByteVector(16), 1, 2);
  EXPECT_TRUE(keys.ai.empty() && keys.ar.empty());
  EXPECT_EQ(keys.ei.size(), 36U);
  EXPECT_EQ(keys.d.size(), 64U);
  const Suite chacha =
      ike_suite(EncryptionId::kChacha20Poly1305, 0, IntegrityId::kNone, PrfId::kHmacSha256);
  EXPECT_EQ(derive_ike_keys(chacha, ByteVector(32), {}, {}, 1, 2).er.size(), 36U);
}

TEST(ChildKeys, initiators_keys_come_first_and_encryption_before_integrity) {
  Suite suite;
  suite.protocol = ProtocolId::kEsp;
  suite.encryption = EncryptionId::kAesCbc;
  suite.key_bits = 256;
  suite.integrity = IntegrityId::kHmacSha256_128;
  const ByteVector d(32, 1);
  const ByteVector ni(16, 2);
  const ByteVector nr(16, 3);
  const ByteVector shared(32, 4);
  for (const Bytes secret : {Bytes(), Bytes(shared)}) {
    const ChildKeys keys = derive_child_keys(PrfId::kHmacSha256, d, suite, secret, ni, nr);
    const SecretBytes all = prf_plus(PrfId::kHmacSha256, d, {secret, ni, nr}, 128);
    SecretBytes joined;
    for (const DirectionKeys* each : {&keys.from_initiator, &keys.from_responder}) {
      EXPECT_EQ(each->cipher_key.size(), 32U);
      EXPECT_TRUE(each->salt.empty());
      EXPECT_EQ(each->auth_key.size(), 32U);
      joined.append(each->cipher_key.bytes());
      joined.append(each->auth_key.bytes());
    }
    EXPECT_TRUE(joined == all);
  }
}

TEST(ChildKeys, salt_follows_the_key_of_an_aead) {
  Suite suite;
  suite.protocol = ProtocolId::kEsp;
  suite.encryption = EncryptionId::kAesGcm16;
  suite.key_bits = 128;
  const ByteVector d(32, 1);
  const ChildKeys keys = derive_child_keys(PrfId::kHmacSha256, d, suite, {}, {}, {});
  const SecretBytes all = prf_plus(PrfId::kHmacSha256, d, {}, 40);
  EXPECT_TRUE(equal_bytes(keys.from_initiator.cipher_key.bytes(), all.bytes().first(16)));
  EXPECT_TRUE(equal_bytes(keys.from_initiator.salt.bytes(), all.bytes().subspan(16, 4)));
  EXPECT_TRUE(equal_bytes(keys.from_responder.cipher_key.bytes(), all.bytes().subspan(20, 16)));
  EXPECT_TRUE(equal_bytes(keys.from_responder.salt.bytes(), all.bytes().subspan(36, 4)));
  EXPECT_TRUE(keys.from_responder.auth_key.empty());
}

TEST(RekeySkeyseed, is_the_old_prf_under_the_old_key) {
  const ByteVector d(64, 1);
  const ByteVector shared(32, 2);
  const ByteVector ni(16, 3);
  const ByteVector nr(16, 4);
  EXPECT_TRUE(rekey_skeyseed(PrfId::kHmacSha512, d, shared, ni, nr) ==
              prf(PrfId::kHmacSha512, d, {shared, ni, nr}));
}

TEST(AuthOctets, are_message_nonce_and_maced_identity) {
  const ByteVector message(40, 1);
  const ByteVector nonce(16, 2);
  const ByteVector sk_p(32, 3);
  const ByteVector id = *from_hex("02000000616263");
  const ByteVector octets = auth_octets(PrfId::kHmacSha256, message, nonce, sk_p, id);
  ASSERT_EQ(octets.size(), 40U + 16 + 32);
  EXPECT_TRUE(equal_bytes(Bytes(octets).first(40), message));
  EXPECT_TRUE(equal_bytes(Bytes(octets).subspan(40, 16), nonce));
  EXPECT_TRUE(equal_bytes(Bytes(octets).last(32), prf(PrfId::kHmacSha256, sk_p, {id}).bytes()));
}

TEST(SharedKeyAuth, depends_on_the_secret_and_every_octet) {
  const ByteVector octets(80, 1);
  const SecretBytes auth = shared_key_auth(PrfId::kHmacSha256, bytes_of("secret"), octets);
  EXPECT_EQ(auth.size(), 32U);
  EXPECT_FALSE(auth == shared_key_auth(PrfId::kHmacSha256, bytes_of("secres"), octets));
  EXPECT_FALSE(auth == shared_key_auth(PrfId::kHmacSha256, bytes_of(""), octets));
  ByteVector other = octets;
  other.back() ^= 1;
  EXPECT_FALSE(auth == shared_key_auth(PrfId::kHmacSha256, bytes_of("secret"), other));
  EXPECT_FALSE(equal_constant_time(auth.bytes(), auth.bytes().first(31)));
}

TEST(CryptoSelfTest, passes) {
  const Status status = crypto_self_test();
  EXPECT_TRUE(status.ok()) << status.error().text;
}

}  // namespace
}  // namespace penstock::ike
