// The handshake primitives against published answers.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "controlplane/crypto/aead.h"
#include "controlplane/crypto/blake2s.h"
#include "controlplane/crypto/x25519.h"
#include "gateway/base/text.h"

namespace penstock {
namespace {

nlohmann::json load(const std::string& name) {
  std::ifstream file(std::string(PENSTOCK_VECTORS) + "/wycheproof/" + name);
  return nlohmann::json::parse(file);
}

ByteVector hex(const nlohmann::json& field) { return *from_hex(field.get<std::string>()); }

TEST(X25519, wycheproof_matches_and_refuses_zero_results) {
  size_t checked = 0;
  size_t zero = 0;
  const nlohmann::json file = load("x25519_test.json");
  for (const auto& group : file["testGroups"]) {
    for (const auto& test : group["tests"]) {
      const auto shared_expected = Secret<32>::copy_of(hex(test["shared"]));
      X25519Public point{};
      const ByteVector public_key = hex(test["public"]);
      ASSERT_EQ(public_key.size(), 32U);
      std::copy(public_key.begin(), public_key.end(), point.begin());
      Secret<32> shared;
      const bool ok = x25519(Secret<32>::copy_of(hex(test["private"])), point, shared);
      EXPECT_EQ(ok, !shared_expected.is_zero()) << test["tcId"];
      EXPECT_TRUE(shared == shared_expected) << test["tcId"];
      ++checked;
      if (!ok) ++zero;
    }
  }
  EXPECT_EQ(checked, 518U);
  EXPECT_GT(zero, 5U);
}

TEST(Xchacha20Poly1305, wycheproof_matches) {
  size_t checked = 0;
  const nlohmann::json file = load("xchacha20_poly1305_test.json");
  for (const auto& group : file["testGroups"]) {
    if (group["ivSize"] != 192) continue;
    for (const auto& test : group["tests"]) {
      const auto key = Secret<32>::copy_of(hex(test["key"]));
      const ByteVector iv = hex(test["iv"]);
      XchachaNonce nonce{};
      std::copy(iv.begin(), iv.end(), nonce.begin());
      const ByteVector plain = hex(test["msg"]);
      ByteVector sealed = hex(test["ct"]);
      const ByteVector tag = hex(test["tag"]);
      sealed.insert(sealed.end(), tag.begin(), tag.end());
      ByteVector opened(plain.size());
      const bool valid = test["result"] == "valid";
      EXPECT_EQ(xchacha20_poly1305_open(key, nonce, hex(test["aad"]), sealed, opened), valid);
      if (valid) {
        EXPECT_EQ(opened, plain);
        ByteVector again(sealed.size());
        xchacha20_poly1305_seal(key, nonce, hex(test["aad"]), plain, again);
        EXPECT_EQ(again, sealed);
      }
      ++checked;
    }
  }
  EXPECT_GT(checked, 200U);
}

TEST(Chacha20Poly1305, wrong_size_is_refused) {
  const Secret<32> key;
  ByteVector sealed(19);
  ByteVector plain(4);
  EXPECT_FALSE(chacha20_poly1305_open(key, 0, {}, sealed, plain));
  chacha20_poly1305_seal(key, 7, {}, Bytes(plain).first(3), sealed);
  EXPECT_FALSE(chacha20_poly1305_open(key, 0, {}, sealed, MutableBytes(plain).first(3)));
  EXPECT_TRUE(chacha20_poly1305_open(key, 7, {}, sealed, MutableBytes(plain).first(3)));
}

// Keyed, HMAC and KDF answers were made with Python's hashlib, an independent implementation.
TEST(Blake2s, hash_matches_rfc7693_appendix_b) {
  EXPECT_EQ(to_hex(blake2s({bytes_of("a"), bytes_of("bc")}).bytes()),
            "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
}

TEST(Blake2s, keyed_mac_of_16_bytes_matches) {
  const ByteVector key =
      *from_hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
  EXPECT_EQ(to_hex(blake2s_mac128(key, bytes_of("penstock"))), "c290b120bd943cecee99b80fa40105c0");
  EXPECT_EQ(to_hex(blake2s_mac128(Bytes(key).first(16), bytes_of("penstock"))),
            "386ff48434f2f5c77bd4250adc19758e");
}

TEST(Blake2s, hmac_and_kdf_match) {
  const auto key = Secret<32>::copy_of(
      *from_hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"));
  EXPECT_EQ(to_hex(hmac_blake2s(key, {bytes_of("pen"), bytes_of("stock")}).bytes()),
            "b1200bb2a115d38bbf033c1ac233f81365a2c6ce0242f83c0f256663b118fc50");
  Secret<32> one;
  Secret<32> two;
  Secret<32> three;
  Secret<32>* const outputs[] = {&one, &two, &three};
  kdf_blake2s(key, bytes_of("penstock"), outputs);
  EXPECT_EQ(to_hex(one.bytes()),
            "d034e19e4199392d0e5faf003c013a93827c29a35c7b92904c96e8f8b7318e21");
  EXPECT_EQ(to_hex(two.bytes()),
            "1c511b2e948cd957b22d229486e3884f7865f10e406974af5e40e3797bd43776");
  EXPECT_EQ(to_hex(three.bytes()),
            "e443fa0f7d94b2cc6099e8b1f2bff7ecacfca4902b70d723b8ebd0d082234e10");
}

}  // namespace
}  // namespace penstock
