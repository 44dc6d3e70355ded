// CRLs (RFC 5280 5) and OCSP answers (RFC 6960): what they prove, and for how long.
#include <gtest/gtest.h>

#include "tests/unit/ike_auth/trust.h"

namespace penstock::ike {
namespace {

using test::Algorithm;
using test::client;
using test::Entity;
using test::id;
using test::kDay;
using test::kNow;
using test::Request;
using test::Trust;

Request with_places(const std::string& name) {
  Request request = client(name);
  request.extensions.emplace_back("crlDistributionPoints", "URI:http://crl.x.org/a.crl");
  request.extensions.emplace_back("authorityInfoAccess", "OCSP;URI:http://ocsp.x.org/");
  return request;
}

struct Revoking : Trust {
  Entity bob = root.issue(with_places("bob"));
  Entity plain = root.issue(client("plain"));
  void load_crl(const ByteVector& crl) { ASSERT_TRUE(store.load_cert("X509_CRL", "", crl).ok()); }
  ChainVerdict under(RevocationPolicy revocation, const Entity& leaf) {
    policy.revocation = revocation;
    return verdict({leaf.der(), middle.der()});
  }
};

constexpr auto kAllPolicies = {RevocationPolicy::kRelaxed, RevocationPolicy::kIfUri,
                               RevocationPolicy::kStrict};

TEST(Revocation, without_proof_the_policy_decides) {
  Revoking r;
  EXPECT_EQ(r.under(RevocationPolicy::kRelaxed, r.bob), ChainVerdict::kGood);
  EXPECT_EQ(r.under(RevocationPolicy::kIfUri, r.bob), ChainVerdict::kRevocationUnknown);
  EXPECT_EQ(r.under(RevocationPolicy::kStrict, r.bob), ChainVerdict::kRevocationUnknown);
  EXPECT_EQ(r.under(RevocationPolicy::kIfUri, r.plain), ChainVerdict::kGood);
  EXPECT_EQ(r.under(RevocationPolicy::kStrict, r.plain), ChainVerdict::kRevocationUnknown);
}

TEST(Revocation, current_crl_proves_good_and_revoked) {
  Revoking r;
  r.load_crl(r.root.crl({{&r.plain}}));
  for (const auto policy : kAllPolicies) {
    EXPECT_EQ(r.under(policy, r.bob), ChainVerdict::kGood);
    EXPECT_EQ(r.under(policy, r.plain), ChainVerdict::kRevoked);
  }
  EXPECT_TRUE(r.verify({r.plain.der()}).to_fetch.empty());
}

TEST(Revocation, revoked_intermediate_revokes_what_is_below) {
  Revoking r;
  r.load_crl(r.middle.crl({}));
  r.load_crl(r.root.crl({{&r.middle}}));
  for (const auto policy : kAllPolicies) {
    EXPECT_EQ(r.under(policy, r.alice), ChainVerdict::kRevoked);
  }
}

TEST(Revocation, strict_needs_proof_for_intermediates_too) {
  Revoking r;
  r.load_crl(r.middle.crl({}));
  EXPECT_EQ(r.under(RevocationPolicy::kStrict, r.alice), ChainVerdict::kRevocationUnknown);
  r.load_crl(r.root.crl({}));
  EXPECT_EQ(r.under(RevocationPolicy::kStrict, r.alice), ChainVerdict::kGood);
}

TEST(Revocation, old_crl_proves_nothing_but_a_revocation) {
  Revoking r;
  Entity::CrlRequest request;
  request.revoked = {&r.plain};
  request.this_update = kNow - 10 * kDay;
  request.next_update = kNow - kDay;
  r.load_crl(r.root.crl(request));
  EXPECT_EQ(r.under(RevocationPolicy::kStrict, r.bob), ChainVerdict::kRevocationUnknown);
  EXPECT_EQ(r.under(RevocationPolicy::kRelaxed, r.plain), ChainVerdict::kRevoked);
}

TEST(Revocation, crl_of_another_signer_or_by_sha1_proves_nothing) {
  Revoking r;
  const Entity false_root = Entity::root("root");
  r.load_crl(false_root.crl({{&r.plain}}));
  EXPECT_EQ(r.under(RevocationPolicy::kStrict, r.bob), ChainVerdict::kRevocationUnknown);
  EXPECT_EQ(r.under(RevocationPolicy::kRelaxed, r.plain), ChainVerdict::kGood);
  Revoking other;
  Entity::CrlRequest request;
  request.digest = "SHA1";
  other.load_crl(other.root.crl(request));
  EXPECT_EQ(other.under(RevocationPolicy::kStrict, other.bob), ChainVerdict::kRevocationUnknown);
}

TEST(Revocation, places_to_ask_are_named_only_for_trusted_paths) {
  Revoking r;
  const auto result = r.verify({r.bob.der()});
  EXPECT_EQ(result.verdict, ChainVerdict::kGood);
  ASSERT_EQ(result.to_fetch.size(), 2U);
  EXPECT_EQ(result.to_fetch[0].kind, StatusFetch::Kind::kOcsp);
  EXPECT_EQ(result.to_fetch[0].url, "http://ocsp.x.org/");
  EXPECT_FALSE(result.to_fetch[0].body.empty());
  EXPECT_EQ(result.to_fetch[1].url, "http://crl.x.org/a.crl");
  // SSRF: a certificate that nobody trusts makes us ask nobody.
  const auto hostile = r.verify({Entity::self_signed(with_places("bob")).der()});
  EXPECT_EQ(hostile.verdict, ChainVerdict::kUntrustedIssuer);
  EXPECT_TRUE(hostile.to_fetch.empty());
  EXPECT_TRUE(hostile.path.empty());
  r.policy.identity = id("carol");
  EXPECT_TRUE(r.verify({r.bob.der()}).to_fetch.empty());
}

TEST(Revocation, authority_section_adds_places) {
  Revoking r;
  ASSERT_TRUE(r.store
                  .load_authority({"a",
                                   r.root.certificate(),
                                   {"http://crl.y.org/b.crl", "ldap://y"},
                                   {"http://ocsp.y.org/"}})
                  .ok());
  const auto result = r.verify({r.plain.der()});
  ASSERT_EQ(result.to_fetch.size(), 2U);
  EXPECT_EQ(result.to_fetch[0].url, "http://ocsp.y.org/");
  EXPECT_EQ(result.to_fetch[1].url, "http://crl.y.org/b.crl");
  EXPECT_EQ(r.under(RevocationPolicy::kIfUri, r.plain), ChainVerdict::kRevocationUnknown);
}

TEST(Revocation, fetched_crl_is_used_until_it_is_flushed) {
  Revoking r;
  r.policy.revocation = RevocationPolicy::kStrict;
  const auto before = r.verify({r.bob.der()});
  EXPECT_EQ(before.verdict, ChainVerdict::kRevocationUnknown);
  ASSERT_EQ(before.to_fetch.size(), 2U);
  ASSERT_TRUE(r.store.add_fetched_crl(before.to_fetch[1].key, r.root.crl({})).ok());
  EXPECT_EQ(r.verdict({r.bob.der()}), ChainVerdict::kGood);
  r.store.flush_certs();
  EXPECT_EQ(r.verdict({r.bob.der()}), ChainVerdict::kRevocationUnknown);
}

struct Ocsp : Revoking {
  ChainVerdict with(const ByteVector& response) {
    policy.revocation = RevocationPolicy::kStrict;
    store.flush_certs();
    const auto before = verify({bob.der()});
    EXPECT_FALSE(before.to_fetch.empty());
    EXPECT_TRUE(store.add_fetched_ocsp(before.to_fetch[0].key, response).ok());
    return verdict({bob.der()});
  }
};
using OcspStatus = Entity::OcspStatus;

TEST(OcspResponse, signed_by_the_issuer_is_believed) {
  Ocsp o;
  EXPECT_EQ(o.with(o.root.ocsp(o.bob, OcspStatus::kGood)), ChainVerdict::kGood);
  EXPECT_EQ(o.with(o.root.ocsp(o.bob, OcspStatus::kRevoked)), ChainVerdict::kRevoked);
  EXPECT_EQ(o.with(o.root.ocsp(o.bob, OcspStatus::kUnknown)), ChainVerdict::kRevocationUnknown);
}

// The responder may know of it before the next CRL.
TEST(OcspResponse, responder_is_asked_although_a_crl_says_good) {
  Ocsp o;
  o.load_crl(o.root.crl({}));
  o.policy.revocation = RevocationPolicy::kStrict;
  for (int i = 0; i < 2; ++i) {
    const auto before = o.verify({o.bob.der()});
    EXPECT_EQ(before.verdict, ChainVerdict::kGood);
    ASSERT_EQ(before.to_fetch.size(), 1U) << "not from the cache either";
    EXPECT_EQ(before.to_fetch[0].kind, StatusFetch::Kind::kOcsp);
  }
  EXPECT_EQ(o.with(o.root.ocsp(o.bob, OcspStatus::kRevoked)), ChainVerdict::kRevoked);
  EXPECT_EQ(o.with(o.root.ocsp(o.bob, OcspStatus::kUnknown)), ChainVerdict::kGood);
  EXPECT_EQ(o.with(o.root.ocsp(o.bob, OcspStatus::kGood)), ChainVerdict::kGood);
  EXPECT_TRUE(o.verify({o.bob.der()}).to_fetch.empty());
}

TEST(OcspResponse, old_foreign_or_broken_is_no_proof) {
  Ocsp o;
  const Entity stranger = Entity::root("root");
  constexpr auto kUnknown = ChainVerdict::kRevocationUnknown;
  EXPECT_EQ(o.with(o.root.ocsp(o.bob, OcspStatus::kGood, nullptr, kNow - 9 * kDay, kNow - kDay)),
            kUnknown);
  EXPECT_EQ(o.with(o.root.ocsp(o.bob, OcspStatus::kGood, nullptr, kNow + kDay, kNow + 2 * kDay)),
            kUnknown);
  EXPECT_EQ(o.with(o.root.ocsp(o.bob, OcspStatus::kGood, nullptr, kNow - kDay, 0)), kUnknown);
  EXPECT_EQ(o.with(o.root.ocsp(o.bob, OcspStatus::kGood, nullptr, kNow - kDay / 48, 0)),
            ChainVerdict::kGood);
  EXPECT_EQ(o.with(o.root.ocsp(o.plain, OcspStatus::kGood)), kUnknown);
  EXPECT_EQ(o.with(o.root.ocsp(o.bob, OcspStatus::kGood, &stranger)), kUnknown);
  EXPECT_EQ(o.with(o.root.ocsp(o.bob, OcspStatus::kRevoked, &stranger)), kUnknown);
  // Another certificate of the same CA is no responder.
  EXPECT_EQ(o.with(o.root.ocsp(o.bob, OcspStatus::kGood, &o.plain)), kUnknown);
  EXPECT_EQ(o.with(to_vector(bytes_of("junk"))), kUnknown);
  ByteVector longer = o.root.ocsp(o.bob, OcspStatus::kGood);
  longer.push_back(0);
  EXPECT_EQ(o.with(longer), kUnknown);
}

TEST(OcspResponse, delegated_responder_needs_its_key_usage) {
  Ocsp o;
  Request request;
  request.subject = {{"CN", "responder"}};
  request.extensions = {{"extendedKeyUsage", "OCSPSigning"}};
  const Entity responder = o.root.issue(request);
  EXPECT_EQ(o.with(o.root.ocsp(o.bob, OcspStatus::kGood, &responder)), ChainVerdict::kGood);
  const Entity elsewhere = Entity::root("elsewhere").issue(request);
  const ByteVector response = o.root.ocsp(o.bob, OcspStatus::kGood, &elsewhere);
  EXPECT_EQ(o.with(response), ChainVerdict::kRevocationUnknown);
  ASSERT_TRUE(o.store.load_cert("X509", "OCSP", elsewhere.der()).ok());
  EXPECT_EQ(o.with(response), ChainVerdict::kGood) << "loaded for this purpose";
}

TEST(Revocation, proof_from_the_cache_grows_old_and_gives_way_to_a_new_crl) {
  Revoking r;
  r.load_crl(r.root.crl({}));
  EXPECT_EQ(r.under(RevocationPolicy::kStrict, r.bob), ChainVerdict::kGood);
  EXPECT_EQ(r.under(RevocationPolicy::kStrict, r.bob), ChainVerdict::kGood);
  r.now = kNow + 2 * kDay;
  EXPECT_EQ(r.under(RevocationPolicy::kStrict, r.bob), ChainVerdict::kRevocationUnknown);
  r.now = kNow - 2 * kDay;
  EXPECT_EQ(r.under(RevocationPolicy::kStrict, r.bob), ChainVerdict::kRevocationUnknown);
  r.now = kNow;
  EXPECT_EQ(r.under(RevocationPolicy::kStrict, r.bob), ChainVerdict::kGood);
  r.load_crl(r.root.crl({{&r.bob}}));
  EXPECT_EQ(r.under(RevocationPolicy::kRelaxed, r.bob), ChainVerdict::kRevoked);
}

}  // namespace
}  // namespace penstock::ike
