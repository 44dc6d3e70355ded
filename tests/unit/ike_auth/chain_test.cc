// Paths from a peer's certificate to a trust anchor (RFC 5280 6), verdict by verdict.
#include "controlplane/ike/auth/chain.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

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

TEST(Chain, path_over_an_intermediate_is_good) {
  Trust trust;
  trust.policy.identity = id("alice");
  const auto result = trust.verify({trust.alice.der(), trust.middle.der()});
  EXPECT_EQ(result.verdict, ChainVerdict::kGood) << result.detail;
  ASSERT_EQ(result.path.size(), 3U);
  EXPECT_EQ(result.path[0], result.leaf);
  EXPECT_EQ(to_vector(result.path[2]->der()), trust.root.der());
  EXPECT_TRUE(result.to_fetch.empty());
  // The root sent along, duplicates and strangers do no harm.
  EXPECT_EQ(trust.verdict({trust.alice.der(), Entity::root("other").der(), trust.root.der(),
                           trust.middle.der(), trust.middle.der(), to_vector(bytes_of("junk"))}),
            ChainVerdict::kGood);
}

TEST(Chain, missing_intermediate_or_root_is_an_untrusted_issuer) {
  Trust trust;
  EXPECT_EQ(trust.verdict({trust.alice.der()}), ChainVerdict::kUntrustedIssuer);
  CredentialStore other;
  ASSERT_TRUE(other.load_cert("X509", "CA", Entity::root("other").der()).ok());
  EXPECT_EQ(verify_chain(*other.snapshot(),
                         {trust.alice.der(), trust.middle.der(), trust.root.der()}, {}, kNow)
                .verdict,
            ChainVerdict::kUntrustedIssuer);
  EXPECT_EQ(trust.verdict({Entity::self_signed(client("alice")).der()}),
            ChainVerdict::kUntrustedIssuer);
  // Our own intermediate helps; as a CA it is trusted without its root.
  ASSERT_TRUE(trust.store.load_cert("X509", "NONE", trust.middle.der()).ok());
  EXPECT_EQ(trust.verdict({trust.alice.der()}), ChainVerdict::kGood);
  CredentialStore only_middle;
  ASSERT_TRUE(only_middle.load_cert("X509", "CA", trust.middle.der()).ok());
  EXPECT_EQ(verify_chain(*only_middle.snapshot(), {trust.alice.der()}, {}, kNow).verdict,
            ChainVerdict::kGood);
}

TEST(Chain, same_name_with_another_key_is_not_the_issuer) {
  Trust trust;
  const Entity false_root = Entity::root("root");
  const Entity mallory = false_root.issue(client("alice"));
  EXPECT_NE(trust.verdict({mallory.der()}), ChainVerdict::kGood);
  EXPECT_NE(trust.verdict({mallory.der(), false_root.der()}), ChainVerdict::kGood);
}

TEST(Chain, changed_signature_is_bad) {
  Trust trust;
  ByteVector changed = trust.alice.der();
  changed.back() ^= 1;
  EXPECT_NE(trust.verdict({changed, trust.middle.der()}), ChainVerdict::kGood);
  EXPECT_EQ(trust.verdict({trust.alice.der(), trust.middle.der()}), ChainVerdict::kGood);
  EXPECT_NE(trust.verdict({changed, trust.middle.der()}), ChainVerdict::kGood);
}

TEST(Chain, time_before_and_after_validity_has_its_name_also_from_the_cache) {
  Trust trust;
  EXPECT_EQ(trust.of(trust.alice), ChainVerdict::kGood);
  trust.now = kNow + 301 * kDay;
  EXPECT_EQ(trust.of(trust.alice), ChainVerdict::kExpired);
  trust.now = kNow - 31 * kDay;
  EXPECT_EQ(trust.of(trust.alice), ChainVerdict::kNotYetValid);
  trust.now = kNow;
  EXPECT_EQ(trust.of(trust.alice), ChainVerdict::kGood);
}

TEST(Chain, expired_intermediate_is_expired) {
  Trust trust;
  Request request;
  request.subject = {{"CN", "old middle"}};
  request.extensions = {{"basicConstraints", "critical,CA:TRUE"}};
  request.not_after = kNow - kDay;
  const Entity old = trust.root.issue(request);
  EXPECT_EQ(trust.verdict({old.issue(client("alice")).der(), old.der()}), ChainVerdict::kExpired);
}

TEST(Chain, identity_must_be_in_the_certificate) {
  Trust trust;
  for (const auto* text : {"bob", "email:alice", "C=CH, O=test, CN=bob", "C=CH, O=test, CN=*",
                           "192.0.2.1", "@#0102"}) {
    trust.policy.identity = id(text);
    EXPECT_EQ(trust.of(trust.alice), ChainVerdict::kIdentityMismatch) << text;
  }
  for (const auto* text : {"ALICE", "C=CH, O=test, CN=alice"}) {
    trust.policy.identity = id(text);
    EXPECT_EQ(trust.of(trust.alice), ChainVerdict::kGood) << text;
  }
}

TEST(Chain, leaf_cannot_issue) {
  Trust trust;
  const Entity mallory = trust.alice.issue(client("mallory"));
  EXPECT_EQ(trust.verdict({mallory.der(), trust.alice.der(), trust.middle.der()}),
            ChainVerdict::kWrongUsage);
}

TEST(Chain, ca_without_certificate_signing_or_too_deep_is_refused) {
  Trust trust;
  Request request;
  request.subject = {{"CN", "no signing"}};
  request.extensions = {{"basicConstraints", "critical,CA:TRUE"}, {"keyUsage", "critical,cRLSign"}};
  const Entity no_signing = trust.root.issue(request);
  EXPECT_NE(trust.verdict({no_signing.issue(client("alice")).der(), no_signing.der()}),
            ChainVerdict::kGood);
  request.subject = {{"CN", "short"}};
  request.extensions = {{"basicConstraints", "critical,CA:TRUE,pathlen:0"},
                        {"keyUsage", "critical,keyCertSign"}};
  const Entity end = trust.root.issue(request);
  EXPECT_EQ(trust.verdict({end.issue(client("a")).der(), end.der()}), ChainVerdict::kGood);
  const Entity below = end.intermediate("below");
  EXPECT_EQ(trust.verdict({below.issue(client("a")).der(), below.der(), end.der()}),
            ChainVerdict::kWrongUsage);
}

TEST(Chain, endless_and_too_many_certificates_are_refused) {
  Trust trust;
  std::vector<Entity> chain = {trust.middle};
  for (int i = 0; i < 12; ++i) chain.push_back(chain.back().intermediate("m" + std::to_string(i)));
  std::vector<ByteVector> ders = {chain.back().issue(client("alice")).der()};
  for (const Entity& entity : chain) ders.push_back(entity.der());
  EXPECT_EQ(trust.verdict(ders), ChainVerdict::kUntrustedIssuer);
  ders.resize(kPeerCertificatesMax + 1, trust.alice.der());
  EXPECT_EQ(trust.verdict(ders), ChainVerdict::kMalformed);
  EXPECT_EQ(trust.verdict({}), ChainVerdict::kNoCertificate);
  EXPECT_EQ(trust.verdict({ByteVector{}}), ChainVerdict::kMalformed);
  EXPECT_EQ(trust.verdict({to_vector(bytes_of("junk")), trust.alice.der()}),
            ChainVerdict::kMalformed);
}

TEST(Chain, extended_key_usage_follows_the_role) {
  Trust trust;
  const auto with = [&](const char* usage) {
    Request request = client("alice");
    request.extensions.emplace_back("extendedKeyUsage", usage);
    return trust.issued(request);
  };
  for (const PeerRole role : {PeerRole::kClient, PeerRole::kServer}) {
    trust.policy.role = role;
    EXPECT_EQ(with("serverAuth"), ChainVerdict::kGood);
    EXPECT_EQ(with("1.3.6.1.5.5.7.3.17"), ChainVerdict::kGood);
    EXPECT_EQ(with("codeSigning,anyExtendedKeyUsage"), ChainVerdict::kGood);
    EXPECT_EQ(with("codeSigning"), ChainVerdict::kWrongUsage);
    EXPECT_EQ(with("OCSPSigning"), ChainVerdict::kWrongUsage);
    EXPECT_EQ(with("clientAuth"),
              role == PeerRole::kClient ? ChainVerdict::kGood : ChainVerdict::kWrongUsage);
  }
}

TEST(Chain, key_usage_without_signatures_is_wrong) {
  Trust trust;
  Request request = client("alice");
  request.extensions.emplace_back("keyUsage", "critical,keyAgreement");
  EXPECT_EQ(trust.issued(request), ChainVerdict::kWrongUsage);
  request.extensions.back().second = "critical,digitalSignature";
  EXPECT_EQ(trust.issued(request), ChainVerdict::kGood);
}

TEST(Chain, unknown_critical_extension_is_refused) {
  Trust trust;
  Request request = client("alice");
  request.extensions.emplace_back("1.2.3.4.5", "critical,DER:0500");
  EXPECT_EQ(trust.issued(request), ChainVerdict::kWrongUsage);
  request.extensions.back().second = "DER:0500";
  EXPECT_EQ(trust.issued(request), ChainVerdict::kGood);
}

TEST(Chain, weak_keys_and_hashes_are_named) {
  Trust trust;
  Request request = client("alice");
  for (const auto algorithm :
       {Algorithm::kRsa1024, Algorithm::kRsaExponent3, Algorithm::kSecp256k1}) {
    request.algorithm = algorithm;
    EXPECT_EQ(trust.issued(request), ChainVerdict::kKeyTooWeak);
  }
  request.algorithm = Algorithm::kP256;
  request.digest = "SHA1";
  EXPECT_EQ(trust.issued(request), ChainVerdict::kKeyTooWeak);
  for (const auto algorithm : {Algorithm::kRsaExponent3, Algorithm::kRsa1024}) {
    const Entity weak =
        Entity::root(algorithm == Algorithm::kRsa1024 ? "small" : "three", algorithm);
    ASSERT_TRUE(trust.store.load_cert("X509", "CA", weak.der()).ok());
    EXPECT_EQ(trust.verdict({weak.issue(client("alice")).der()}), ChainVerdict::kKeyTooWeak);
  }
}

TEST(Chain, every_good_kind_of_key_works_for_ca_and_leaf) {
  for (const auto algorithm :
       {Algorithm::kRsa2048, Algorithm::kP384, Algorithm::kP521, Algorithm::kEd25519}) {
    CredentialStore store;
    const Entity root = Entity::root("r", algorithm);
    ASSERT_TRUE(store.load_cert("X509", "CA", root.der()).ok());
    Request request = client("alice");
    request.algorithm = algorithm;
    const auto result = verify_chain(*store.snapshot(), {root.issue(request).der()}, {}, kNow);
    EXPECT_EQ(result.verdict, ChainVerdict::kGood) << result.detail;
  }
}

TEST(Chain, constraints_of_auth_hold_for_the_chain) {
  Trust trust;
  const auto under = [&](const char* auth) {
    trust.policy.constraints = parse_public_key_auth(auth)->chain;
    return trust.of(trust.alice);
  };
  EXPECT_EQ(under("pubkey-sha256"), ChainVerdict::kGood);
  EXPECT_EQ(under("ecdsa-256"), ChainVerdict::kGood);
  EXPECT_EQ(under("pubkey-sha384"), ChainVerdict::kKeyTooWeak);
  EXPECT_EQ(under("ecdsa-384"), ChainVerdict::kKeyTooWeak);
  EXPECT_EQ(under("rsa"), ChainVerdict::kKeyTooWeak);
  EXPECT_EQ(under("ike:rsa"), ChainVerdict::kGood);
}

Entity constrained(const Entity& root, const char* constraints) {
  Request request;
  request.subject = {{"CN", "constrained"}};
  request.extensions = {{"basicConstraints", "critical,CA:TRUE"},
                        {"keyUsage", "critical,keyCertSign"},
                        {"nameConstraints", std::string("critical,") + constraints}};
  return root.issue(request);
}

TEST(Chain, name_constraints_hold_for_every_kind_of_name) {
  Trust trust;
  const auto under = [&](const char* constraints, const char* names,
                         std::vector<std::pair<std::string, std::string>> subject = {{"CN", "x"}}) {
    const Entity ca = constrained(trust.root, constraints);
    Request request;
    request.subject = std::move(subject);
    if (*names != 0) request.extensions = {{"subjectAltName", names}};
    return trust.verdict({ca.issue(request).der(), ca.der()});
  };
  constexpr auto kViolated = ChainVerdict::kNameConstraint;
  EXPECT_EQ(under("permitted;DNS:x.org", "DNS:a.x.org"), ChainVerdict::kGood);
  EXPECT_EQ(under("permitted;DNS:x.org", "DNS:a.y.org"), kViolated);
  EXPECT_EQ(under("permitted;DNS:x.org", "DNS:a.x.org,DNS:a.y.org"), kViolated);
  EXPECT_EQ(under("permitted;DNS:x.org", "DNS:notx.org"), kViolated);
  EXPECT_EQ(under("excluded;DNS:x.org", "DNS:a.x.org"), kViolated);
  EXPECT_EQ(under("excluded;DNS:x.org", "DNS:a.y.org"), ChainVerdict::kGood);
  EXPECT_EQ(under("permitted;email:x.org", "email:a@x.org"), ChainVerdict::kGood);
  EXPECT_EQ(under("permitted;email:x.org", "email:a@y.org"), kViolated);
  EXPECT_EQ(under("permitted;IP:192.0.2.0/255.255.255.0", "IP:192.0.2.7"), ChainVerdict::kGood);
  EXPECT_EQ(under("permitted;IP:192.0.2.0/255.255.255.0", "IP:198.51.100.7"), kViolated);
  EXPECT_EQ(under("permitted;IP:192.0.2.0/255.255.255.0", "IP:2001:db8::1"), kViolated);
  // A constraint of a kind that nobody here understands, on a name of that kind: closed.
  EXPECT_EQ(under("permitted;RID:1.2.3", "RID:1.2.3.4"), kViolated);
}

TEST(Chain, name_constraint_of_a_trust_anchor_holds_too) {
  Request request;
  request.subject = {{"CN", "constrained root"}};
  request.extensions = {{"basicConstraints", "critical,CA:TRUE"},
                        {"nameConstraints", "critical,permitted;DNS:x.org"}};
  const Entity root = Entity::self_signed(request);
  CredentialStore store;
  ASSERT_TRUE(store.load_cert("X509", "CA", root.der()).ok());
  Request leaf;
  leaf.extensions = {{"subjectAltName", "DNS:a.y.org"}};
  EXPECT_EQ(verify_chain(*store.snapshot(), {root.issue(leaf).der()}, {}, kNow).verdict,
            ChainVerdict::kNameConstraint);
}

TEST(Chain, authorities_of_the_connection_limit_the_path) {
  Trust trust;
  const Entity other = Entity::root("other");
  ASSERT_TRUE(trust.store.load_cert("X509", "CA", other.der()).ok());
  trust.policy.authorities = {other.certificate()};
  EXPECT_EQ(trust.of(trust.alice), ChainVerdict::kUntrustedIssuer);
  trust.policy.authorities = {other.certificate(), trust.root.certificate()};
  EXPECT_EQ(trust.of(trust.alice), ChainVerdict::kGood);
  trust.policy.authorities = {trust.middle.certificate()};
  EXPECT_EQ(trust.of(trust.alice), ChainVerdict::kGood);
  // Both on the way loaded as CAs: either may be the one that the connection names.
  ASSERT_TRUE(trust.store.load_cert("X509", "CA", trust.middle.der()).ok());
  EXPECT_EQ(trust.of(trust.alice), ChainVerdict::kGood);
  trust.policy.authorities = {trust.root.certificate()};
  EXPECT_EQ(trust.of(trust.alice), ChainVerdict::kGood);
}

TEST(Chain, certificates_of_the_connection_limit_the_leaf_and_need_no_ca) {
  Trust trust;
  const Entity self = Entity::self_signed(client("bob"));
  trust.policy.leaves = {self.certificate()};
  EXPECT_EQ(trust.of(trust.alice), ChainVerdict::kUntrustedIssuer);
  EXPECT_EQ(trust.verdict({self.der()}), ChainVerdict::kGood);
  EXPECT_EQ(trust.verdict({}), ChainVerdict::kGood) << "the peer sent none";
  trust.now = kNow + 301 * kDay;
  EXPECT_EQ(trust.verdict({self.der()}), ChainVerdict::kExpired);
  trust.now = kNow;
  trust.policy.revocation = RevocationPolicy::kStrict;
  EXPECT_EQ(trust.verdict({self.der()}), ChainVerdict::kRevocationUnknown);
}

TEST(Chain, stored_certificate_of_a_peer_is_found_by_its_identity) {
  Trust trust;
  const Entity self = Entity::self_signed(client("bob"));
  ASSERT_TRUE(trust.store.load_cert("X509", "NONE", self.der()).ok());
  trust.policy.identity = id("bob");
  const auto result = trust.verify({});
  EXPECT_EQ(result.verdict, ChainVerdict::kGood) << result.detail;
  EXPECT_EQ(to_vector(result.leaf->der()), self.der());
  trust.policy.identity = id("carol");
  EXPECT_EQ(trust.verdict({}), ChainVerdict::kNoCertificate);
}

TEST(Chain, certificate_policy_is_required_where_configured) {
  Trust trust;
  Request request = client("alice");
  request.extensions.emplace_back("certificatePolicies", "DER:3007300506032a0304");  // 1.2.3.4
  const Entity with = trust.root.issue(request);
  const Entity without = trust.root.issue(client("bob"));
  trust.policy.policies = {"1.2.3.4"};
  EXPECT_EQ(trust.of(with), ChainVerdict::kGood);
  EXPECT_EQ(trust.of(without), ChainVerdict::kPolicyMismatch);
  trust.policy.policies = {"1.2.3.5"};
  EXPECT_EQ(trust.of(with), ChainVerdict::kPolicyMismatch);
  trust.policy.policies = {"junk"};
  EXPECT_EQ(trust.of(with), ChainVerdict::kPolicyMismatch);
}

TEST(Chain, cache_keeps_what_verified_and_nothing_else) {
  Trust trust;
  const auto snapshot = trust.store.snapshot();
  const Entity stranger = Entity::self_signed(client("alice"));
  EXPECT_NE(trust.verdict({stranger.der(), trust.middle.der()}), ChainVerdict::kGood);
  EXPECT_EQ(snapshot->cache().size(), 0U);
  EXPECT_EQ(trust.of(trust.alice), ChainVerdict::kGood);
  EXPECT_EQ(snapshot->cache().certificates().size(), 2U) << "leaf and intermediate";
  const CertificatePtr first = trust.verify({trust.alice.der(), trust.middle.der()}).leaf;
  EXPECT_EQ(first, trust.verify({trust.alice.der(), trust.middle.der()}).leaf);
}

// Compute threads share a snapshot while the control thread changes the store.
TEST(Chain, threads_share_one_snapshot) {
  Trust trust;
  std::vector<Entity> leaves;
  for (int i = 0; i < 4; ++i) leaves.push_back(trust.middle.issue(client("c" + std::to_string(i))));
  const auto snapshot = trust.store.snapshot();
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        const Entity& leaf = leaves[static_cast<size_t>(i % 4)];
        const auto result =
            verify_chain(*snapshot, {leaf.der(), trust.middle.der()}, trust.policy, kNow);
        if (result.verdict == ChainVerdict::kGood) ++good;
        if (i % 10 == 0) snapshot->cache().flush();
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(
        trust.store.load_cert("X509", "CA", Entity::root("r" + std::to_string(i)).der()).ok());
    (void)trust.store.snapshot();
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 200);
}

TEST(Chain, every_verdict_has_words) {
  std::set<std::string> words;
  for (int i = 0; i <= static_cast<int>(ChainVerdict::kPolicyMismatch); ++i) {
    words.insert(to_string(static_cast<ChainVerdict>(i)));
  }
  EXPECT_EQ(words.size(), static_cast<size_t>(ChainVerdict::kPolicyMismatch) + 1);
  EXPECT_FALSE(words.contains("unknown"));
  EXPECT_TRUE(parse_revocation_policy("ifuri").ok() && !parse_revocation_policy("no").ok());
}

TEST(Chain, mutated_certificates_never_verify) {
  Trust trust;
  const ByteVector der = trust.alice.der();
  for (size_t i = 0; i < der.size(); i += 2) {
    ByteVector changed = der;
    changed[i] ^= 0x20;
    EXPECT_NE(trust.verdict({changed, trust.middle.der()}), ChainVerdict::kGood) << i;
  }
}

}  // namespace
}  // namespace penstock::ike
