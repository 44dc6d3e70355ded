#include <gtest/gtest.h>

#include "controlplane/ike/auth/certificate.h"
#include "controlplane/ike/auth/openssl_ptr.h"
#include "gateway/base/text.h"
#include "tests/unit/ike_auth/test_pki.h"

namespace penstock::ike {
namespace {

using test::Algorithm;
using test::Entity;
using test::kNow;
using test::make_key;

std::string error_of(const Result<std::shared_ptr<const PrivateKey>>& result) {
  return result.ok() ? "" : result.error().text;
}

TEST(PrivateKey, every_kind_is_read_from_pem_and_der) {
  for (const auto algorithm : {Algorithm::kRsa2048, Algorithm::kP256, Algorithm::kP384,
                               Algorithm::kP521, Algorithm::kEd25519}) {
    const auto pair = make_key(algorithm);
    const auto pem = PrivateKey::parse(bytes_of(pair.pem()));
    const auto der = PrivateKey::parse(pair.der());
    ASSERT_TRUE(pem.ok()) << error_of(pem);
    ASSERT_TRUE(der.ok()) << error_of(der);
    EXPECT_EQ((*pem)->id(), (*der)->id());
  }
}

// The id was printed by strongSwan 5.9.8: pki --print --type priv (keyid: subjkey:).
TEST(PrivateKey, id_is_the_hash_of_the_public_key_as_strongswan_prints_it) {
  constexpr std::string_view kKey =
      "30770201010420e92bc26b2a51a429f527333d689abef94375cb54c99af381839b653b5e29d724a00a06"
      "082a8648ce3d030107a14403420004f4035b26ec16693abba265dd8d320e78903f559c41ac6613753186"
      "e4d468961afa6be65f3696da6ea886945295af42fc86af88cfe4c88f059e9a2feff1eaf7bf";
  const auto der = from_hex(kKey);
  ASSERT_TRUE(der);
  const auto key = PrivateKey::parse(*der);
  ASSERT_TRUE(key.ok()) << error_of(key);
  EXPECT_EQ(to_hex((*key)->id()), "a90b339970e5332fcf1a772c023ff940df28a2a6");
  EXPECT_EQ(to_hex((*key)->public_key().spki_id()), "6ff4ccedae74961f7b744caaf2df3890632e1bd9");
}

TEST(PrivateKey, encrypted_key_opens_with_its_secret_only) {
  const std::string pem = make_key(Algorithm::kP256).pem("secret");
  EXPECT_NE(error_of(PrivateKey::parse(bytes_of(pem))).find("encrypted and there is no secret"),
            std::string::npos);
  EXPECT_NE(error_of(PrivateKey::parse(bytes_of(pem), {}, "wrong")).find("does not open"),
            std::string::npos);
  EXPECT_TRUE(PrivateKey::parse(bytes_of(pem), {}, "secret").ok());
}

TEST(PrivateKey, another_type_than_announced_is_refused) {
  const ByteVector der = make_key(Algorithm::kP256).der();
  EXPECT_TRUE(PrivateKey::parse(der, KeyType::kEcdsa).ok());
  EXPECT_EQ(error_of(PrivateKey::parse(der, KeyType::kRsa)),
            "the private key is of type ECDSA, not RSA");
}

TEST(PrivateKey, weak_and_foreign_keys_are_refused_by_name) {
  EXPECT_NE(error_of(PrivateKey::parse(make_key(Algorithm::kRsa1024).der())).find("1024 bits"),
            std::string::npos);
  EXPECT_NE(error_of(PrivateKey::parse(make_key(Algorithm::kRsaExponent3).der())).find("exponent"),
            std::string::npos);
  EXPECT_NE(error_of(PrivateKey::parse(make_key(Algorithm::kSecp256k1).der())).find("secp256k1"),
            std::string::npos);
}

TEST(PrivateKey, cut_extended_or_changed_bytes_are_refused_without_harm) {
  const ByteVector der = make_key(Algorithm::kP256).der();
  for (size_t i = 0; i < der.size(); ++i) EXPECT_FALSE(PrivateKey::parse(Bytes(der).first(i)).ok());
  ByteVector longer = der;
  longer.push_back(0);
  EXPECT_FALSE(PrivateKey::parse(longer).ok());
  for (size_t i = 0; i < der.size(); ++i) {
    ByteVector changed = der;
    changed[i] = static_cast<uint8_t>(changed[i] ^ 0x41);
    (void)PrivateKey::parse(changed);
  }
}

// Numbers that fooled others: a modulus of one, zero as exponent, huge ones.
TEST(PublicKey, rsa_with_hostile_numbers_is_refused) {
  const auto spki = [](const std::string& modulus_hex, const std::string& exponent_hex) {
    const auto item = [](const std::string& tag, const std::string& content) {
      const size_t size = content.size() / 2;
      char length[32];
      if (size < 128) {
        std::snprintf(length, sizeof length, "%02zx", size);
      } else {
        std::snprintf(length, sizeof length, "82%04zx", size);
      }
      return tag + length + content;
    };
    const std::string key = item("30", item("02", modulus_hex) + item("02", exponent_hex));
    return *from_hex(item("30", "300d06092a864886f70d0101010500" + item("03", "00" + key)));
  };
  std::string good = "00c5";
  for (int i = 0; i < 255; ++i) good += i == 254 ? "01" : "5b";
  EXPECT_TRUE(PublicKey::from_spki(spki(good, "010001")).ok());
  std::string even = good;
  even.back() = '0';
  std::string huge = "00c5";
  for (int i = 0; i < 2047; ++i) huge += "5b";
  const std::pair<std::string, std::string> bad[] = {
      {"01", "010001"}, {"00", "010001"}, {good, "00"},     {good, "01"}, {good, "03"},
      {good, "010000"}, {even, "010001"}, {huge, "010001"}, {good, good}, {good, "11"},
  };
  for (const auto& [modulus, exponent] : bad) {
    EXPECT_FALSE(PublicKey::from_spki(spki(modulus, exponent)).ok())
        << modulus.size() << " " << exponent.substr(0, 10);
  }
}

TEST(Certificate, names_times_and_places_are_read) {
  test::Request request;
  request.subject = {{"C", "CH"}, {"O", "x"}, {"CN", "moon"}};
  request.extensions = {
      {"subjectAltName", "DNS:moon.x.org,email:moon@x.org,IP:192.0.2.1,IP:2001:db8::1"},
      {"crlDistributionPoints", "URI:http://crl.x.org/a.crl,URI:ldap://crl.x.org/a"},
      {"authorityInfoAccess", "OCSP;URI:http://ocsp.x.org/"},
      {"extendedKeyUsage", "serverAuth"}};
  const Entity root = Entity::root("root");
  const Entity entity = root.issue(request);
  for (const auto& bytes : {to_vector(bytes_of(entity.pem())), entity.der()}) {
    const auto certificate = Certificate::parse(bytes);
    ASSERT_TRUE(certificate.ok()) << certificate.error().text;
    const Certificate& c = **certificate;
    EXPECT_EQ(c.subject().to_string(), "C=CH, O=x, CN=moon");
    EXPECT_EQ(c.issuer().to_string(), "C=CH, O=test, CN=root");
    EXPECT_EQ(c.alternative_names().size(), 4U);
    EXPECT_EQ(c.not_before_wall_ns(), request.not_before);
    EXPECT_EQ(c.not_after_wall_ns(), request.not_after);
    EXPECT_FALSE(c.is_ca());
    EXPECT_TRUE(c.has_server_auth());
    EXPECT_EQ(c.crl_uris(),
              (std::vector<std::string>{"http://crl.x.org/a.crl", "ldap://crl.x.org/a"}));
    EXPECT_EQ(c.ocsp_uris(), std::vector<std::string>{"http://ocsp.x.org/"});
    for (const auto* text : {"moon.x.org", "moon@x.org", "192.0.2.1", "2001:db8::1", "MOON.X.org",
                             "C=CH, O=x, CN=moon"}) {
      EXPECT_TRUE(c.confirms(*Identity::parse(text))) << text;
    }
    for (const auto* text : {"%any", "moon", "*.x.org", "C=CH, O=x, CN=*", "@192.0.2.1",
                             "192.0.2.2", "email:moon.x.org"}) {
      EXPECT_FALSE(c.confirms(*Identity::parse(text))) << text;
    }
    EXPECT_EQ(c.match(*Identity::parse("*.x.org")), kMatchOneWildcard);
    EXPECT_EQ(c.match(*Identity::parse("C=CH, O=x, CN=*")), kMatchOneWildcard);
    EXPECT_TRUE(c.confirms(*Identity::parse("@#" + to_hex(c.public_key()->id()))));
  }
  EXPECT_TRUE(Certificate::parse(root.der()).value()->is_ca());
}

TEST(Certificate, wildcards_inside_a_certificate_are_letters) {
  test::Request request;
  request.subject = {{"CN", "*"}};
  request.extensions = {{"subjectAltName", "DNS:*.x.org"}};
  const auto certificate = Entity::self_signed(request).certificate();
  EXPECT_FALSE(certificate->confirms(*Identity::parse("moon.x.org")));
  EXPECT_FALSE(certificate->confirms(*Identity::parse("CN=moon")));
}

TEST(Certificate, empty_subject_confirms_no_empty_name) {
  test::Request request;
  request.subject = {};
  const auto certificate = Entity::self_signed(request).certificate();
  const ByteVector empty = {0x30, 0x00};
  const auto identity = Identity::from_wire(9, empty);
  ASSERT_TRUE(identity.ok());
  EXPECT_FALSE(certificate->confirms(*identity));
}

TEST(Certificate, weak_key_is_kept_with_its_reason) {
  test::Request request;
  request.algorithm = Algorithm::kRsa1024;
  const auto certificate = Entity::self_signed(request).certificate();
  EXPECT_EQ(certificate->public_key(), nullptr);
  EXPECT_NE(certificate->key_error().find("1024"), std::string::npos);
}

TEST(Certificate, cut_extended_or_not_der_is_refused) {
  test::Request request;
  request.extensions = {{"subjectAltName", "DNS:moon.x.org"}};
  const ByteVector der = Entity::self_signed(request).der();
  for (size_t i = 0; i < der.size(); i += 3) {
    EXPECT_FALSE(Certificate::parse(Bytes(der).first(i)).ok());
  }
  ByteVector longer = der;
  longer.push_back(0);
  EXPECT_FALSE(Certificate::parse(longer).ok());
  // The outer length in one more byte than needed: the same certificate for a lenient parser.
  ASSERT_EQ(der[1], 0x82);
  ByteVector variant = {0x30, 0x83, 0x00};
  variant.insert(variant.end(), der.begin() + 2, der.end());
  EXPECT_FALSE(Certificate::parse(variant).ok());
  EXPECT_FALSE(Certificate::parse(ByteVector(kCertificateMaxSize + 1, 0x30)).ok());
}

TEST(Certificate, alternative_name_with_a_zero_byte_is_refused) {
  test::Request request;
  request.extensions = {{"subjectAltName", "DNS:moonXx.org"}};
  ByteVector der = Entity::self_signed(request).der();
  const auto at = std::search(der.begin(), der.end(), std::begin("moonXx"), std::end("moonXx") - 1);
  ASSERT_NE(at, der.end());
  *(at + 4) = 0;
  EXPECT_FALSE(Certificate::parse(der).ok());
}

TEST(WallTime, year_9999_is_clamped_to_what_fits) {
  ASN1_TIME* time = ASN1_TIME_new();
  Nanoseconds out = 0;
  ASSERT_EQ(ASN1_TIME_set_string(time, "99991231235959Z"), 1);
  ASSERT_TRUE(wall_time_of(time, out));
  EXPECT_GT(out, kNow);
  EXPECT_LT(out, kNever);
  ASSERT_EQ(ASN1_TIME_set_string(time, "270115080000Z"), 1);
  ASSERT_TRUE(wall_time_of(time, out));
  EXPECT_EQ(out, kNow);
  ASN1_TIME_free(time);
}

}  // namespace
}  // namespace penstock::ike
