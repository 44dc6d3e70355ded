// Proposals in swanctl's syntax and the policy floor.
#include "controlplane/ike/crypto/proposals.h"

#include <gtest/gtest.h>

#include "controlplane/ike/crypto/keywords.h"
#include "gateway/base/text.h"

namespace penstock::ike {
namespace {

std::string parsed(ProtocolId protocol, std::string_view text) {
  const auto proposal = parse_proposal(protocol, text);
  return proposal.ok() ? to_string(*proposal) : "error: " + proposal.error().text;
}

TEST(ParseProposal, ike_keywords_become_transforms) {
  EXPECT_EQ(parsed(ProtocolId::kIke, "aes256gcm16-prfsha384-ecp384"),
            "aes256gcm16-prfsha384-ecp384");
  EXPECT_EQ(parsed(ProtocolId::kIke,
                   "aes128gcm-aes256gcm128-chacha20poly1305-prfsha256-"
                   "curve25519-x25519-modp3072"),
            "aes128gcm16-aes256gcm16-chacha20poly1305-prfsha256-x25519-modp3072");
  const auto proposal = parse_proposal(ProtocolId::kIke, "modp2048-sha256-aes");
  ASSERT_TRUE(proposal.ok());
  const std::vector<Transform> expected = {{TransformType::kEncryption, 12, 128, false},
                                           {TransformType::kIntegrity, 12, 0, false},
                                           {TransformType::kPrf, 5, 0, false},
                                           {TransformType::kKeyExchange, 14, 0, false}};
  EXPECT_EQ(proposal->transforms, expected) << "in the order of types, the PRF from the hash";
}

TEST(ParseProposal, aead_takes_its_prf_from_the_hash_and_drops_the_hash) {
  EXPECT_EQ(parsed(ProtocolId::kIke, "aes256gcm16-sha384-ecp384"), "aes256gcm16-prfsha384-ecp384");
  EXPECT_EQ(parsed(ProtocolId::kEsp, "aes256gcm16-sha384-ecp384"), "aes256gcm16-ecp384-noesn");
}

TEST(ParseProposal, esp_is_without_prf_and_has_esn_only_if_it_says_so) {
  EXPECT_EQ(parsed(ProtocolId::kEsp, "aes128-sha256-prfsha256"), "aes128-sha256-noesn");
  EXPECT_EQ(parsed(ProtocolId::kEsp, "aes128gcm16-esn"), "aes128gcm16-esn");
  EXPECT_EQ(parsed(ProtocolId::kEsp, "aes128gcm16-noesn-esn-modp2048-modpnone"),
            "aes128gcm16-modp2048-modpnone-noesn-esn");
}

TEST(ParseProposal, what_cannot_work_is_refused_in_words) {
  const auto expect_error = [](ProtocolId protocol, const char* text, const char* words) {
    const std::string got = parsed(protocol, text);
    EXPECT_EQ(got.find("error: proposal '"), 0U) << got;
    EXPECT_NE(got.find(words), std::string::npos) << got;
  };
  expect_error(ProtocolId::kIke, "sha256-modp2048", "no encryption");
  expect_error(ProtocolId::kIke, "aes128-modp2048", "no integrity");
  expect_error(ProtocolId::kIke, "aes128gcm16-modp2048", "no PRF");
  expect_error(ProtocolId::kIke, "aes128-sha256", "no key exchange group");
  expect_error(ProtocolId::kIke, "aes128-sha256-modp2048-modpnone", "ESP only");
  expect_error(ProtocolId::kIke, "aes128-aes128gcm16-sha256-modp2048", "a proposal each");
  expect_error(ProtocolId::kEsp, "aes128-prfsha256", "no integrity");
  expect_error(ProtocolId::kEsp, "aes192-sha256", "'aes192' is for IKE only");
  expect_error(ProtocolId::kEsp, "aes256-sha512", "'sha512' is for IKE only");
  expect_error(ProtocolId::kIke, "", "unknown algorithm ''");
  expect_error(ProtocolId::kIke, "aes128--sha256-modp2048", "unknown algorithm ''");
  expect_error(ProtocolId::kIke, "aes128-sha257-modp2048", "unknown algorithm 'sha257'");
  expect_error(ProtocolId::kIke, "default", "unknown algorithm 'default'");
  EXPECT_FALSE(parse_proposal(ProtocolId::kAh, "sha256").ok());
}

TEST(ParseProposal, weak_algorithms_are_named) {
  for (const char* weak :
       {"3des-sha256-modp2048", "aes128-sha1-modp2048", "aes128-md5-modp2048",
        "aes128-sha256-modp1024", "aes128-sha256-modp1536", "null-sha256-modp2048",
        "aes128-sha256-prfsha1-modp2048", "aes128-sha256-modp2048s256", "des-sha256-modp2048"}) {
    const std::string got = parsed(ProtocolId::kIke, weak);
    EXPECT_NE(got.find("is refused: "), std::string::npos) << got;
  }
  EXPECT_EQ(parsed(ProtocolId::kEsp, "aes128-sha256-modp1024"),
            "error: proposal 'aes128-sha256-modp1024': 'modp1024' is refused: the group is too "
            "small (RFC 8247)");
}

// Every keyword that strongSwan 5.9 lists.
constexpr const char* kKeywords =
    "null des 3des aes aes128 aes192 aes256 aes128ctr aes192ctr aes256ctr aes128ccm8 aes128ccm64 "
    "aes128ccm12 aes128ccm96 aes128ccm16 aes128ccm128 aes128ccm aes192ccm8 aes192ccm64 "
    "aes192ccm12 aes192ccm96 aes192ccm16 aes192ccm128 aes192ccm aes256ccm8 aes256ccm64 "
    "aes256ccm12 aes256ccm96 aes256ccm16 aes256ccm128 aes256ccm aes128gcm8 aes128gcm64 "
    "aes128gcm12 aes128gcm96 aes128gcm16 aes128gcm128 aes128gcm aes192gcm8 aes192gcm64 "
    "aes192gcm12 aes192gcm96 aes192gcm16 aes192gcm128 aes192gcm aes256gcm8 aes256gcm64 "
    "aes256gcm12 aes256gcm96 aes256gcm16 aes256gcm128 aes256gcm aes128gmac aes192gmac aes256gmac "
    "chacha20poly1305 chacha20poly1305compat blowfish blowfish128 blowfish192 blowfish256 "
    "camellia camellia128 camellia192 camellia256 camellia128ctr camellia192ctr camellia256ctr "
    "camellia128ccm8 camellia128ccm64 camellia128ccm12 camellia128ccm96 camellia128ccm16 "
    "camellia128ccm128 camellia192ccm8 camellia192ccm64 camellia192ccm12 camellia192ccm96 "
    "camellia192ccm16 camellia192ccm128 camellia256ccm8 camellia256ccm64 camellia256ccm12 "
    "camellia256ccm96 camellia256ccm16 camellia256ccm128 cast128 serpent serpent128 serpent192 "
    "serpent256 twofish twofish128 twofish192 twofish256 sha sha1 sha1_160 sha256 sha2_256 "
    "sha256_96 sha2_256_96 sha384 sha2_384 sha512 sha2_512 md5 md5_128 aesxcbc camelliaxcbc "
    "aescmac prfsha1 prfsha256 prfsha384 prfsha512 prfmd5 prfaesxcbc prfcamelliaxcbc prfaescmac "
    "none modpnone modpnull modp768 modp1024 modp1536 modp2048 modp3072 modp4096 modp6144 "
    "modp8192 ecp192 ecp224 ecp256 ecp384 ecp521 modp1024s160 modp2048s224 modp2048s256 ecp224bp "
    "ecp256bp ecp384bp ecp512bp curve25519 x25519 curve448 x448 ntru112 ntru128 ntru192 ntru256 "
    "newhope128 kyber1 kyber3 kyber5 ntrup1 ntrup3 ntrup5 ntrur3 saber1 saber3 saber5 bike1 bike3 "
    "bike5 frodoa1 frodoa3 frodoa5 frodos1 frodos3 frodos5 hqc1 hqc3 hqc5 sike1 sike2 sike3 sike5 "
    "noesn esn";

TEST(Keywords, every_one_of_strongswan_is_known) {
  size_t supported = 0;
  size_t refused = 0;
  for (const std::string_view keyword : split(kKeywords, ' ')) {
    const auto transform = transform_of_keyword(keyword);
    if (transform.ok()) {
      ++supported;
      EXPECT_FALSE(keyword_of(*transform).empty());
    } else {
      ++refused;
      EXPECT_NE(transform.error().text.find("is refused: "), std::string::npos)
          << transform.error().text;
    }
  }
  EXPECT_EQ(supported, 32U);
  EXPECT_EQ(refused, split(kKeywords, ' ').size() - 32U);
  EXPECT_FALSE(transform_of_keyword("camellia512").ok());
  EXPECT_FALSE(transform_of_keyword("aes128gcm ").ok());
}

TEST(DefaultProposals, aead_comes_first_and_pfs_is_offered) {
  const auto ike = default_proposals(ProtocolId::kIke);
  ASSERT_EQ(ike.size(), 2U);
  EXPECT_EQ(to_string(ike[0]).find("aes256gcm16-aes128gcm16-chacha20poly1305-prfsha256"), 0U);
  EXPECT_EQ(first_group(ike), DhGroup::kCurve25519);
  const auto esp = default_proposals(ProtocolId::kEsp);
  ASSERT_EQ(esp.size(), 2U);
  EXPECT_EQ(first_group(esp), DhGroup::kCurve25519);
  EXPECT_TRUE(has_group(esp, 0)) << "none is the last choice";
  EXPECT_TRUE(has_group(esp, 14));
  EXPECT_FALSE(has_group(esp, 2));
}

TEST(ParseProposals, default_stands_for_the_defaults) {
  const std::string_view list[] = {"aes128-sha256-modp2048", "default"};
  const auto proposals = parse_proposals(ProtocolId::kIke, list);
  ASSERT_TRUE(proposals.ok());
  EXPECT_EQ(proposals->size(), 3U);
  EXPECT_EQ(parse_proposals(ProtocolId::kEsp, {})->size(), 2U);
  const std::vector<std::string_view> many(25, "aes128-sha256-modp2048");
  EXPECT_FALSE(parse_proposals(ProtocolId::kIke, many).ok());
  const std::string_view bad[] = {"aes128-sha256-modp2048", "aes128-sha1-modp2048"};
  EXPECT_FALSE(parse_proposals(ProtocolId::kIke, bad).ok()) << "all or none";
}

TEST(ToOffer, none_is_a_proposal_of_its_own) {
  const std::vector<Proposal> configured = {
      *parse_proposal(ProtocolId::kEsp, "aes128gcm16-x25519-modpnone-esn"),
      *parse_proposal(ProtocolId::kEsp, "aes128-sha256-modp2048")};
  const auto offered = [&configured](const SelectOptions& options) {
    std::string text;
    uint8_t number = 1;
    for (const Proposal& proposal : to_offer(configured, 4, 0xc0000001, options)) {
      EXPECT_EQ(proposal.number, number++);
      EXPECT_EQ(proposal.spi, 0xc0000001U);
      text += to_string(proposal) + " ";
    }
    return text;
  };
  EXPECT_EQ(offered({}), "aes128gcm16-x25519-esn aes128gcm16-esn aes128-sha256-modp2048-noesn ");
  SelectOptions pfs;
  pfs.require_group = true;
  EXPECT_EQ(offered(pfs), "aes128gcm16-x25519-esn aes128-sha256-modp2048-noesn ");
  SelectOptions ike_auth;
  ike_auth.ignore_groups = true;
  EXPECT_EQ(offered(ike_auth), "aes128gcm16-esn aes128-sha256-noesn ");
}

TEST(Suite, is_written_as_a_proposal) {
  Suite suite{ProtocolId::kIke,   EncryptionId::kAesGcm16, 256,  IntegrityId::kNone,
              PrfId::kHmacSha384, DhGroup::kEcp384,        false};
  EXPECT_EQ(suite.to_string(), "aes256gcm16-prfsha384-ecp384");
  suite = {ProtocolId::kEsp, EncryptionId::kAesCbc, 128,  IntegrityId::kHmacSha256_128,
           PrfId::kNone,     DhGroup::kNone,        false};
  EXPECT_EQ(suite.to_string(), "aes128-sha256");
  EXPECT_EQ(to_string(to_proposal(suite, 3, 4, 9)), "aes128-sha256-noesn");
  EXPECT_EQ(encryption_name(20), "AES_GCM_16");
  EXPECT_EQ(group_name(2), "MODP_1024");
  EXPECT_EQ(group_name(999), "(999)");
}

}  // namespace
}  // namespace penstock::ike
