#include "controlplane/ike/auth/signature.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "controlplane/ike/auth/signature_algorithms.h"
#include "gateway/base/text.h"
#include "tests/unit/ike_auth/test_pki.h"

namespace penstock::ike {
namespace {

using test::Algorithm;

nlohmann::json vectors(const std::string& name) {
  std::ifstream file(std::string(PENSTOCK_VECTORS) + "/wycheproof/" + name);
  return nlohmann::json::parse(file);
}

ByteVector bytes(const nlohmann::json& hex) { return *from_hex(hex.get<std::string>()); }

ByteVector rfc7427(const SignatureAlgorithm& algorithm, Bytes signature) {
  const ByteVector identifier = algorithm_identifier(algorithm);
  ByteVector data = {static_cast<uint8_t>(identifier.size())};
  data.insert(data.end(), identifier.begin(), identifier.end());
  data.insert(data.end(), signature.begin(), signature.end());
  return data;
}

std::shared_ptr<const PrivateKey> signing_key(Algorithm algorithm) {
  return PrivateKey::parse(test::make_key(algorithm).der()).value();
}

const ByteVector kOctets = to_vector(bytes_of("RealMessage | Nonce | prf"));
const std::vector<SignatureHash> kAllHashes = offered_signature_hashes();

// "acceptable" ones are malformed in ways that some take; we do not.
void run(const std::string& file, const SignatureAlgorithm& algorithm, const char* key_field,
         size_t at_least) {
  size_t seen = 0;
  const nlohmann::json document = vectors(file);
  for (const auto& group : document["testGroups"]) {
    const nlohmann::json* holder = &group;
    if (!group.contains(key_field)) holder = &group["publicKey"];
    const auto key = PublicKey::from_spki(bytes((*holder)[key_field]));
    if (!key.ok()) {  // the groups with 3 as exponent: refused before any signature is looked at
      EXPECT_NE(key.error().text.find("exponent"), std::string::npos) << key.error().text;
      continue;
    }
    for (const auto& test : group["tests"]) {
      const auto verdict = verify_auth(*key, {}, true, AuthMethod::kSignature,
                                       rfc7427(algorithm, bytes(test["sig"])), bytes(test["msg"]));
      const bool valid = test["result"] == "valid";
      EXPECT_EQ(verdict, valid ? SignatureVerdict::kGood : SignatureVerdict::kBad)
          << file << " " << test["tcId"] << " " << test["comment"];
      ++seen;
    }
  }
  EXPECT_GE(seen, at_least);
}

TEST(Wycheproof, rsa_pkcs1_sha256_signatures) {
  run("rsa_signature_2048_sha256_test.json", {KeyType::kRsa, false, SignatureHash::kSha256},
      "publicKeyDer", 240);
}
TEST(Wycheproof, rsa_pss_sha256_signatures) {
  run("rsa_pss_2048_sha256_mgf1_32_test.json", {KeyType::kRsa, true, SignatureHash::kSha256},
      "publicKeyDer", 100);
}
TEST(Wycheproof, ecdsa_p256_sha256_signatures) {
  run("ecdsa_secp256r1_sha256_test.json", {KeyType::kEcdsa, false, SignatureHash::kSha256},
      "publicKeyDer", 480);
}
TEST(Wycheproof, ed25519_signatures) {
  run("ed25519_test.json", {KeyType::kEd25519, false, SignatureHash::kIdentity}, "publicKeyDer",
      150);
}

TEST(SignAuth, what_is_signed_verifies_and_one_changed_bit_does_not) {
  for (const auto algorithm : {Algorithm::kRsa2048, Algorithm::kP256, Algorithm::kP384,
                               Algorithm::kP521, Algorithm::kEd25519}) {
    const auto key = signing_key(algorithm);
    for (const bool modern : {true, false}) {
      if (!modern && algorithm == Algorithm::kEd25519) continue;
      const auto auth =
          sign_auth(*key, {}, modern ? kAllHashes : std::vector<SignatureHash>{}, kOctets);
      ASSERT_TRUE(auth.ok()) << auth.error().text;
      const auto verify = [&](Bytes data, Bytes octets) {
        return verify_auth(key->public_key(), {}, modern, auth->method, data, octets);
      };
      EXPECT_EQ(verify(auth->data, kOctets), SignatureVerdict::kGood);
      ByteVector other = kOctets;
      other[0] ^= 1;
      EXPECT_EQ(verify(auth->data, other), SignatureVerdict::kBad);
      for (size_t i = 0; i < auth->data.size(); i += 5) {
        ByteVector changed = auth->data;
        changed[i] ^= 0x10;
        EXPECT_NE(verify(changed, kOctets), SignatureVerdict::kGood) << i;
      }
      for (size_t i = 0; i < auth->data.size(); i += 7) {
        EXPECT_NE(verify(Bytes(auth->data).first(i), kOctets), SignatureVerdict::kGood) << i;
      }
      ByteVector longer = auth->data;
      longer.push_back(0);
      EXPECT_NE(verify(longer, kOctets), SignatureVerdict::kGood);
      const auto stranger = signing_key(algorithm);
      if (algorithm != Algorithm::kRsa2048) {  // RSA keys are made once
        EXPECT_EQ(
            verify_auth(stranger->public_key(), {}, modern, auth->method, auth->data, kOctets),
            SignatureVerdict::kBad);
      }
    }
  }
}

TEST(SignAuth, classic_methods_have_their_numbers_and_sizes) {
  const std::tuple<Algorithm, AuthMethod, size_t> rows[] = {
      {Algorithm::kRsa2048, AuthMethod::kRsa, 256},
      {Algorithm::kP256, AuthMethod::kEcdsaP256, 64},
      {Algorithm::kP384, AuthMethod::kEcdsaP384, 96},
      {Algorithm::kP521, AuthMethod::kEcdsaP521, 132},
  };
  for (const auto& [algorithm, method, size] : rows) {
    const auto auth = sign_auth(*signing_key(algorithm), {}, {}, kOctets);
    ASSERT_TRUE(auth.ok());
    EXPECT_EQ(auth->method, method);
    EXPECT_EQ(auth->data.size(), size);
  }
  EXPECT_FALSE(sign_auth(*signing_key(Algorithm::kEd25519), {}, {}, kOctets).ok());
}

TEST(SignAuth, hash_follows_key_peer_and_constraints) {
  const auto hash_used = [](Algorithm algorithm, const char* auth,
                            const std::vector<SignatureHash>& peer) -> std::string {
    const auto constraints = parse_public_key_auth(auth);
    const auto payload = sign_auth(*signing_key(algorithm), constraints->ike, peer, kOctets);
    if (!payload.ok()) return "none";
    if (payload->method != AuthMethod::kSignature) return "classic";
    const auto found = find_algorithm(Bytes(payload->data).subspan(1, payload->data[0]));
    return std::to_string(static_cast<int>(found->hash)) + (found->pss ? " pss" : "");
  };
  EXPECT_EQ(hash_used(Algorithm::kRsa2048, "pubkey", kAllHashes), "2");
  EXPECT_EQ(hash_used(Algorithm::kRsa2048, "rsa/pss", kAllHashes), "2 pss");
  EXPECT_EQ(hash_used(Algorithm::kRsa2048, "ike:rsa/pss-sha512", kAllHashes), "4 pss");
  EXPECT_EQ(hash_used(Algorithm::kRsa2048, "pubkey-sha384", kAllHashes), "3");
  EXPECT_EQ(hash_used(Algorithm::kRsa2048, "pubkey", {SignatureHash::kSha512}), "4");
  EXPECT_EQ(hash_used(Algorithm::kRsa2048, "pubkey", {SignatureHash::kSha1}), "none");
  EXPECT_EQ(hash_used(Algorithm::kRsa2048, "rsa-4096", kAllHashes), "none");
  EXPECT_EQ(hash_used(Algorithm::kRsa2048, "ecdsa", kAllHashes), "none");
  EXPECT_EQ(hash_used(Algorithm::kRsa2048, "rsa/pss", {}), "none");
  EXPECT_EQ(hash_used(Algorithm::kP384, "pubkey", kAllHashes), "3");
  EXPECT_EQ(hash_used(Algorithm::kEd25519, "pubkey", kAllHashes), "5");
  EXPECT_EQ(hash_used(Algorithm::kEd25519, "pubkey-sha256", kAllHashes), "5");
  EXPECT_EQ(hash_used(Algorithm::kEd25519, "pubkey", {SignatureHash::kSha256}), "none");
}

TEST(VerifyAuth, method_that_does_not_fit_the_key_is_refused) {
  const auto rsa = signing_key(Algorithm::kRsa2048);
  const auto p256 = signing_key(Algorithm::kP256);
  const auto auth = sign_auth(*p256, {}, {}, kOctets);
  for (unsigned method = 0; method < 256; ++method) {
    if (method == 9) continue;
    EXPECT_NE(verify_auth(p256->public_key(), {}, true, static_cast<AuthMethod>(method), auth->data,
                          kOctets),
              SignatureVerdict::kGood)
        << method;
  }
  EXPECT_EQ(verify_auth(rsa->public_key(), {}, true, auth->method, auth->data, kOctets),
            SignatureVerdict::kMethodMismatch);
  const auto modern = sign_auth(*p256, {}, kAllHashes, kOctets);
  EXPECT_EQ(verify_auth(rsa->public_key(), {}, true, modern->method, modern->data, kOctets),
            SignatureVerdict::kMethodMismatch);
  EXPECT_EQ(verify_auth(p256->public_key(), {}, false, modern->method, modern->data, kOctets),
            SignatureVerdict::kMethodMismatch);
}

TEST(VerifyAuth, constraints_refuse_hash_padding_and_size) {
  const auto key = signing_key(Algorithm::kRsa2048);
  const auto verify = [&](const char* auth, const AuthValue& payload) {
    return verify_auth(key->public_key(), parse_public_key_auth(auth)->ike, true, payload.method,
                       payload.data, kOctets);
  };
  const auto pkcs1 = sign_auth(*key, {}, kAllHashes, kOctets).value();
  const auto pss =
      sign_auth(*key, parse_public_key_auth("rsa/pss")->ike, kAllHashes, kOctets).value();
  const auto sha1 = sign_auth(*key, {}, {}, kOctets).value();
  EXPECT_EQ(verify("pubkey", pkcs1), SignatureVerdict::kGood);
  EXPECT_EQ(verify("rsa-2048-sha256", pkcs1), SignatureVerdict::kGood);
  EXPECT_EQ(verify("rsa-3072", pkcs1), SignatureVerdict::kRefusedByPolicy);
  EXPECT_EQ(verify("pubkey-sha384-sha512", pkcs1), SignatureVerdict::kRefusedByPolicy);
  EXPECT_EQ(verify("rsa/pss", pkcs1), SignatureVerdict::kRefusedByPolicy);
  EXPECT_EQ(verify("rsa/pss-sha256", pss), SignatureVerdict::kGood);
  EXPECT_EQ(verify("ecdsa-ed25519", pss), SignatureVerdict::kRefusedByPolicy);
  EXPECT_EQ(verify("pubkey", sha1), SignatureVerdict::kGood);
  EXPECT_EQ(verify("pubkey-sha256", sha1), SignatureVerdict::kRefusedByPolicy);
}

// What strongSwan, libreswan and RFC 7427 itself send for PSS with SHA2-256.
TEST(AlgorithmIdentifier, encodings_of_pss_are_known_and_others_are_not) {
  const std::string with_trailer =
      "304606092a864886f70d01010a3039a00f300d06096086480165030402010500a11c301a06092a864886f70d0101"
      "08300d06096086480165030402010500a203020120a303020101";  // RFC 7427 A.4.3
  const std::string der =
      "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d0101"
      "08300d06096086480165030402010500a203020120";
  for (const auto& hex : {with_trailer, der}) {
    const auto found = find_algorithm(*from_hex(hex));
    ASSERT_TRUE(found) << hex;
    EXPECT_TRUE(found->pss && found->hash == SignatureHash::kSha256);
  }
  std::string salt_20 = der;
  salt_20.replace(salt_20.size() - 2, 2, "14");
  EXPECT_FALSE(find_algorithm(*from_hex(salt_20)));
  EXPECT_FALSE(find_algorithm(*from_hex("300d06092a864886f70d01010a3000")));  // all defaults: SHA-1
  EXPECT_FALSE(find_algorithm(*from_hex("300b06092a864886f70d01010a")));      // no parameters
  EXPECT_FALSE(find_algorithm(*from_hex("300d06092a864886f70d0101050500")));  // SHA-1 with RSA
  const ByteVector good = *from_hex(der);
  for (size_t i = 0; i < good.size(); ++i) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      ByteVector changed = good;
      changed[i] = static_cast<uint8_t>(changed[i] ^ (1U << bit));
      const auto found = find_algorithm(changed);
      EXPECT_FALSE(found.has_value()) << i;
    }
    EXPECT_FALSE(find_algorithm(Bytes(good).first(i)));
  }
}

TEST(AlgorithmIdentifier, encodings_are_those_of_rfc_7427) {
  const std::pair<SignatureAlgorithm, std::string_view> rows[] = {
      {{KeyType::kRsa, false, SignatureHash::kSha256}, "300d06092a864886f70d01010b0500"},
      {{KeyType::kRsa, false, SignatureHash::kSha384}, "300d06092a864886f70d01010c0500"},
      {{KeyType::kRsa, false, SignatureHash::kSha512}, "300d06092a864886f70d01010d0500"},
      {{KeyType::kEcdsa, false, SignatureHash::kSha256}, "300a06082a8648ce3d040302"},
      {{KeyType::kEcdsa, false, SignatureHash::kSha384}, "300a06082a8648ce3d040303"},
      {{KeyType::kEcdsa, false, SignatureHash::kSha512}, "300a06082a8648ce3d040304"},
      {{KeyType::kEd25519, false, SignatureHash::kIdentity}, "300506032b6570"},
  };
  for (const auto& [algorithm, hex] : rows) {
    EXPECT_EQ(to_hex(algorithm_identifier(algorithm)), hex);
  }
}

TEST(PublicKeyAuth, words_are_read_or_refused_by_name) {
  const auto auth = parse_public_key_auth("rsa-3072-sha256-ecdsa-256-sha384-sha512");
  ASSERT_TRUE(auth.ok());
  ASSERT_EQ(auth->ike.schemes.size(), 2U);
  EXPECT_EQ(auth->ike.schemes[0].bits_min, 3072U);
  EXPECT_EQ(auth->ike.schemes[0].hashes.size(), 1U);
  EXPECT_EQ(auth->ike.schemes[1].bits_min, 256U);
  EXPECT_EQ(auth->ike.schemes[1].hashes.size(), 2U);
  EXPECT_EQ(auth->chain.schemes.size(), 2U);
  EXPECT_TRUE(parse_public_key_auth("ike:pubkey-sha256")->chain.schemes.empty());
  EXPECT_TRUE(parse_public_key_auth("pubkey")->ike.schemes.empty());
  for (const auto* text : {"", "psk", "pubkey-sha1", "sha256", "pubkey-md5", "bliss", "ed448",
                           "rsa--sha256", "2048"}) {
    EXPECT_FALSE(parse_public_key_auth(text).ok()) << text;
  }
}

}  // namespace
}  // namespace penstock::ike
