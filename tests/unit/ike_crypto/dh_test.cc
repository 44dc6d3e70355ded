// Diffie-Hellman: Wycheproof, exact sizes, RFC 6989, leading zeros.
#include "controlplane/ike/crypto/dh.h"

#include <gtest/gtest.h>
#include <openssl/bn.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "gateway/base/text.h"
#include "tests/unit/ike_crypto/test_random.h"

namespace penstock::ike {
namespace {

constexpr DhGroup kAll[] = {DhGroup::kModp2048,  DhGroup::kModp3072, DhGroup::kModp4096,
                            DhGroup::kEcp256,    DhGroup::kEcp384,   DhGroup::kEcp521,
                            DhGroup::kCurve25519};

ByteVector hex(const nlohmann::json& field) {
  std::string text = field.get<std::string>();
  if (text.size() % 2 != 0) text.insert(text.begin(), '0');
  return *from_hex(text);
}

nlohmann::json load(const std::string& name) {
  std::ifstream file(std::string(PENSTOCK_VECTORS) + "/wycheproof/" + name);
  return nlohmann::json::parse(file);
}

// The vectors carry points in X.509's clothes. Those that are uncompressed points of the named
// curve are what a KE payload can hold; other encodings have no place there.
struct Curve {
  const char* file;
  DhGroup group;
  const char* prefix;
  size_t expected_points;
};

void check_curve(const Curve& curve) {
  const ByteVector prefix = *from_hex(curve.prefix);
  const size_t size = dh_public_bytes(curve.group);
  size_t good = 0;
  size_t bad = 0;
  const nlohmann::json file = load(curve.file);
  for (const auto& group : file["testGroups"]) {
    for (const auto& test : group["tests"]) {
      const ByteVector encoded = hex(test["public"]);
      if (encoded.size() != prefix.size() + size ||
          !equal_bytes(Bytes(encoded).first(prefix.size()), prefix)) {
        continue;
      }
      ByteVector key = hex(test["private"]);
      while (!key.empty() && key.front() == 0) key.erase(key.begin());
      const auto shared =
          dh_shared_secret(curve.group, SecretBytes::copy_of(key), Bytes(encoded).last(size));
      // What is acceptable here is a point off the curve that X.509 parsers may mend.
      if (test["result"] != "valid") {
        EXPECT_FALSE(shared.ok()) << test["tcId"];
        ++bad;
        continue;
      }
      ASSERT_TRUE(shared.ok()) << test["tcId"] << test["comment"];
      EXPECT_EQ(to_hex(shared->bytes()), test["shared"].get<std::string>()) << test["tcId"];
      ++good;
    }
  }
  EXPECT_GE(good, curve.expected_points);
  EXPECT_GE(bad, 19U);
}

TEST(DhSharedSecret, wycheproof_p256_matches) {
  check_curve({"ecdh_secp256r1_test.json", DhGroup::kEcp256,
               "3059301306072a8648ce3d020106082a8648ce3d03010703420004", 300});
}

TEST(DhSharedSecret, wycheproof_p384_matches) {
  check_curve({"ecdh_secp384r1_test.json", DhGroup::kEcp384,
               "3076301006072a8648ce3d020106052b8104002203620004", 300});
}

TEST(DhSharedSecret, wycheproof_x25519_matches_and_refuses_zero) {
  size_t zero = 0;
  const nlohmann::json file = load("x25519_test.json");
  for (const auto& group : file["testGroups"]) {
    for (const auto& test : group["tests"]) {
      const auto shared = dh_shared_secret(
          DhGroup::kCurve25519, SecretBytes::copy_of(hex(test["private"])), hex(test["public"]));
      if (shared.ok()) {
        EXPECT_EQ(to_hex(shared->bytes()), test["shared"].get<std::string>()) << test["tcId"];
      } else {
        EXPECT_EQ(shared.error(), DhFault::kZeroResult);
        ++zero;
      }
    }
  }
  EXPECT_GT(zero, 5U);
}

TEST(Dh, both_sides_agree_in_every_group) {
  TestRandom random;
  for (const DhGroup group : kAll) {
    const SecretBytes a = dh_private_key(group, random);
    const SecretBytes b = dh_private_key(group, random);
    EXPECT_FALSE(a == b);
    const auto public_a = dh_public_value(group, a);
    const auto public_b = dh_public_value(group, b);
    ASSERT_TRUE(public_a.ok() && public_b.ok());
    EXPECT_EQ(public_a->size(), dh_public_bytes(group));
    const auto one = dh_shared_secret(group, a, *public_b);
    const auto other = dh_shared_secret(group, b, *public_a);
    ASSERT_TRUE(one.ok() && other.ok());
    EXPECT_TRUE(*one == *other);
  }
}

TEST(DhSharedSecret, any_other_size_of_the_public_value_is_refused) {
  TestRandom random;
  for (const DhGroup group : kAll) {
    const SecretBytes key = dh_private_key(group, random);
    const size_t right = dh_public_bytes(group);
    const ByteVector zeros(65536);
    for (size_t size = 0; size < zeros.size(); size += size < 1100 ? 1 : 641) {
      if (size == right) continue;
      const auto shared = dh_shared_secret(group, key, Bytes(zeros).first(size));
      ASSERT_FALSE(shared.ok());
      ASSERT_EQ(shared.error(), DhFault::kPublicSize);
    }
  }
}

ByteVector prime_of(DhGroup group) {
  BIGNUM* prime = group == DhGroup::kModp2048   ? BN_get_rfc3526_prime_2048(nullptr)
                  : group == DhGroup::kModp3072 ? BN_get_rfc3526_prime_3072(nullptr)
                                                : BN_get_rfc3526_prime_4096(nullptr);
  ByteVector bytes(static_cast<size_t>(BN_num_bytes(prime)));
  BN_bn2bin(prime, bytes.data());
  BN_free(prime);
  return bytes;
}

// RFC 6989 2.1: 0, 1, p - 1, p and what is above.
TEST(DhSharedSecret, modp_values_outside_the_group_are_refused) {
  TestRandom random;
  for (const DhGroup group : {DhGroup::kModp2048, DhGroup::kModp3072, DhGroup::kModp4096}) {
    const SecretBytes key = dh_private_key(group, random);
    const size_t size = dh_public_bytes(group);
    ByteVector value(size);
    EXPECT_EQ(dh_shared_secret(group, key, value).error(), DhFault::kPublicValue);
    value.back() = 1;
    EXPECT_EQ(dh_shared_secret(group, key, value).error(), DhFault::kPublicValue);
    value.back() = 2;
    EXPECT_TRUE(dh_shared_secret(group, key, value).ok());
    EXPECT_EQ(dh_shared_secret(group, key, ByteVector(size, 0xff)).error(), DhFault::kPublicValue);
    // p ends in ff.
    ByteVector p = prime_of(group);
    EXPECT_EQ(dh_shared_secret(group, key, p).error(), DhFault::kPublicValue) << "p";
    p.back() = 0xfe;
    EXPECT_EQ(dh_shared_secret(group, key, p).error(), DhFault::kPublicValue) << "p - 1";
    p.back() = 0xfd;
    EXPECT_TRUE(dh_shared_secret(group, key, p).ok()) << "p - 2";
  }
}

TEST(DhSharedSecret, points_off_the_curve_are_refused) {
  TestRandom random;
  for (const DhGroup group : {DhGroup::kEcp256, DhGroup::kEcp384, DhGroup::kEcp521}) {
    const SecretBytes key = dh_private_key(group, random);
    const ByteVector point = *dh_public_value(group, dh_private_key(group, random));
    const size_t half = point.size() / 2;
    EXPECT_TRUE(dh_shared_secret(group, key, point).ok());
    for (const size_t at : {half - 1, half, point.size() - 1}) {
      ByteVector changed = point;
      changed[at] ^= 1;
      EXPECT_EQ(dh_shared_secret(group, key, changed).error(), DhFault::kPublicValue);
    }
    EXPECT_FALSE(dh_shared_secret(group, key, ByteVector(point.size())).ok()) << "0, 0";
    ByteVector high = point;
    std::fill_n(high.begin(), half, uint8_t{0xff});  // x beyond the prime
    EXPECT_EQ(dh_shared_secret(group, key, high).error(), DhFault::kPublicValue);
  }
}

// A secret that begins with a zero byte comes once in 256: it must keep its size (RFC 7296 2.14).
TEST(DhSharedSecret, leading_zeros_are_kept) {
  for (const DhGroup group : {DhGroup::kModp2048, DhGroup::kEcp256, DhGroup::kCurve25519}) {
    TestRandom random(4);
    const SecretBytes a = dh_private_key(group, random);
    const auto public_a = dh_public_value(group, a);
    bool found = false;
    for (int i = 0; i < 4000 && !found; ++i) {
      const SecretBytes b = dh_private_key(group, random);
      const auto shared = dh_shared_secret(group, b, *public_a);
      ASSERT_TRUE(shared.ok());
      ASSERT_EQ(shared->size(), group == DhGroup::kModp2048 ? 256U : 32U);
      if (shared->data()[0] != 0) continue;
      found = true;
      const auto other = dh_shared_secret(group, a, *dh_public_value(group, b));
      EXPECT_TRUE(*other == *shared);
    }
    EXPECT_TRUE(found) << static_cast<unsigned>(group);
  }
}

TEST(DhGroups, only_ours_are_known) {
  size_t known = 0;
  for (unsigned id = 0; id < 65536; ++id) {
    if (dh_group_of(static_cast<uint16_t>(id))) ++known;
  }
  EXPECT_EQ(known, std::size(kAll));
  EXPECT_FALSE(dh_group_of(0));
  EXPECT_FALSE(dh_group_of(2));
  EXPECT_EQ(dh_shared_secret(DhGroup{2}, SecretBytes(32), ByteVector(128)).error(),
            DhFault::kUnknownGroup);
  EXPECT_FALSE(dh_public_value(DhGroup{2}, SecretBytes(32)).ok());
}

TEST(DhPrivateKey, extreme_randomness_still_gives_a_key) {
  class Constant final : public RandomSource {
   public:
    explicit Constant(uint8_t byte) : byte_(byte) {}
    void fill(MutableBytes out) override { std::fill(out.begin(), out.end(), byte_); }

   private:
    uint8_t byte_;
  };
  for (const uint8_t byte : {0x00, 0xff}) {
    Constant random(byte);
    for (const DhGroup group : kAll) {
      const SecretBytes key = dh_private_key(group, random);
      const auto value = dh_public_value(group, key);
      ASSERT_TRUE(value.ok()) << static_cast<unsigned>(group);
      EXPECT_TRUE(dh_shared_secret(group, key, *value).ok());
    }
  }
}

}  // namespace
}  // namespace penstock::ike
