// IKE_AUTH with certificates (RFC 7296 2.15, RFC 7427): every key, long chains, every refusal.
#include <gtest/gtest.h>

#include "tests/scenario/ike/pair.h"
#include "tests/scenario/ike/pki.h"
#include "tests/scenario/ike/refusal.h"

namespace penstock::ike::simulation {
namespace {

struct CertificatePair : Pair {
  explicit CertificatePair(test::Algorithm algorithm = test::Algorithm::kP256) {
    psk = false;
    for (Side* const side : {&moon_side, &sun_side}) {
      side->connection.local.method = AuthClass::kPubkey;
      side->connection.remote.method = AuthClass::kPubkey;
    }
    pki.give(moon, "moon.example", algorithm);
    pki.give(sun, "sun.example", algorithm);
  }
  Pki pki;
};

TEST(Certificates, every_kind_of_key_works) {
  for (const auto algorithm : {test::Algorithm::kRsa2048, test::Algorithm::kP256,
                               test::Algorithm::kP384, test::Algorithm::kEd25519}) {
    CertificatePair pair(algorithm);
    pair.up();
    pair.exchange();
    pair.check();
  }
}

TEST(Certificates, slow_jobs_only_take_longer) {
  CertificatePair pair;
  pair.world.job_ns = 900 * kMillisecond;
  pair.up();
  pair.exchange();
  EXPECT_EQ(pair.world.arrows.size(), 4U);
}

TEST(Certificates, jobs_longer_than_a_retransmission_do_no_harm) {
  CertificatePair pair;
  pair.world.job_ns = 4500 * kMillisecond;
  pair.load();
  const CommandId command = pair.moon.initiate("net", "lan");
  pair.world.run_for(100 * kSecond);
  EXPECT_TRUE(pair.moon.succeeded(command));
  EXPECT_EQ(pair.sun.engine->totals().ike_sas, 1U);
  pair.check();
}

TEST(Certificates, long_chain_goes_in_fragments) {
  CertificatePair pair(test::Algorithm::kRsa2048);
  Pki deep;
  deep.middles = 4;
  deep.give(pair.moon, "moon.example", test::Algorithm::kRsa2048);
  deep.trust(pair.sun);
  pair.moon_side.connection.local.certs = {deep.issued.at("moon.example")};
  pair.up();
  size_t largest = 0, auth = 0;
  for (const Packet& packet : pair.moon.sent) {
    largest = std::max(largest, packet.payload.size() + 28);
    auth += packet.destination.port == 4500;
  }
  EXPECT_LE(largest, 1280U);
  EXPECT_GT(auth, 2U) << "RFC 7383";
  pair.exchange();
}

TEST(Certificates, fragments_under_loss_arrive) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    CertificatePair pair(test::Algorithm::kRsa2048);
    Pki deep;
    deep.middles = 3;
    deep.give(pair.moon, "moon.example", test::Algorithm::kRsa2048);
    deep.trust(pair.sun);
    pair.moon_side.connection.local.certs = {deep.issued.at("moon.example")};
    pair.moon_side.connection.keying_tries = 0;
    pair.world.dice = Dice(seed);
    pair.world.loss_percent = 20;
    pair.world.repeat_percent = 20;
    pair.world.reorder_ns = 100 * kMillisecond;
    pair.load();
    pair.moon.initiate("net", "lan");
    pair.world.run_for(600 * kSecond);
    EXPECT_EQ(pair.moon.children(), 1U) << seed;
  }
}

TEST(Certificates, psk_one_way_and_certificate_the_other_works) {
  CertificatePair pair;
  pair.psk = true;
  pair.moon_side.connection.local.method = AuthClass::kPsk;
  pair.sun_side.connection.remote.method = AuthClass::kPsk;
  pair.up();
  pair.exchange();
}

TEST(Certificates, expired_one_is_refused_by_name) {
  CertificatePair pair;
  test::Request request = Pki::request_of("moon.example");
  request.not_after = test::kNow - test::kDay;
  request.not_before = test::kNow - 30 * test::kDay;
  pair.pki.give(pair.moon, request);
  pair.moon_side.connection.local.certs = {pair.pki.issued.at("moon.example")};
  expect_refusal(pair, Reason::kPeerRefusedAuth, Reason::kCertificateExpired);
  EXPECT_TRUE(pair.sun.said("expired"));
}

TEST(Certificates, untrusted_issuer_is_refused_by_name_at_either_side) {
  {
    CertificatePair pair;
    Pki other;
    other.give(pair.moon, "moon.example");
    pair.moon_side.connection.local.certs = {other.issued.at("moon.example")};
    expect_refusal(pair, Reason::kPeerRefusedAuth, Reason::kCertificateUntrusted);
  }
  {
    CertificatePair pair;
    Pki other;
    other.give(pair.sun, "sun.example");
    pair.sun_side.connection.local.certs = {other.issued.at("sun.example")};
    expect_refusal(pair, Reason::kCertificateUntrusted, Reason::kPeerRefusedAuth);
    EXPECT_TRUE(pair.moon.said("untrusted issuer"));
  }
}

TEST(Certificates, revoked_one_is_refused_by_name) {
  CertificatePair pair;
  pair.pki.revoke(pair.sun, "moon.example");
  expect_refusal(pair, Reason::kPeerRefusedAuth, Reason::kCertificateRevoked);
}

TEST(Certificates, unknown_revocation_status_is_fetched_after_auth_only) {
  CertificatePair pair;
  pair.sun_side.connection.remote.revocation = RevocationPolicy::kStrict;
  test::Request request = Pki::request_of("moon.example");
  request.extensions.emplace_back("crlDistributionPoints", "URI:http://crl.example/ca.crl");
  pair.pki.give(pair.moon, request);
  pair.moon_side.connection.local.certs = {pair.pki.issued.at("moon.example")};
  expect_refusal(pair, Reason::kPeerRefusedAuth, Reason::kCertificateRevocationUnknown);
  ASSERT_EQ(pair.sun.fetches.size(), 1U);
  EXPECT_EQ(pair.sun.fetches[0].url, "http://crl.example/ca.crl");
  // A chain that is not trusted causes no request to anywhere.
  CertificatePair stranger;
  stranger.sun_side.connection.remote.revocation = RevocationPolicy::kStrict;
  Pki other;
  other.give(stranger.moon, request);
  stranger.moon_side.connection.local.certs = {other.issued.at("moon.example")};
  expect_refusal(stranger, Reason::kPeerRefusedAuth, Reason::kCertificateUntrusted);
  EXPECT_TRUE(stranger.sun.fetches.empty());
}

TEST(Certificates, second_candidate_is_tried_where_the_first_does_not_trust_the_ca) {
  CertificatePair pair;
  Pki other;
  other.trust(pair.sun);
  Side first = pair.sun_side;
  first.connection.name = "a";
  first.connection.remote.ca_certs = {other.root.certificate()};
  pair.sun.load(first.build());
  pair.up();
  EXPECT_EQ(pair.sun.sa()->connection, "net");
}

}  // namespace
}  // namespace penstock::ike::simulation
