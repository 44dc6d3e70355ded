#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "controlplane/ike/eap/tls_fragments.h"
#include "tests/unit/ike_eap/eap_peer.h"

namespace penstock::ike {
namespace {

using test::Algorithm;
using test::eap_response;
using test::EapParts;
using test::Entity;
using test::kDay;
using test::kNow;
using test::parts_of;
using test::TlsPeer;
using test::TlsPeerOptions;

test::Request request_for(const std::string& name, const char* usage) {
  test::Request request;
  request.subject = {{"C", "CH"}, {"O", "test"}, {"CN", name}};
  request.extensions = {{"subjectAltName", "email:" + name + "@x.org"},
                        {"extendedKeyUsage", usage}};
  return request;
}

struct Scene {
  CredentialStore store;
  SystemRandom random;
  EapServerOptions options;
  Entity root = Entity::root("root");
  Entity middle = root.intermediate("middle");
  Entity gateway = root.issue(request_for("gw", "serverAuth"));
  Entity alice = middle.issue(request_for("alice", "clientAuth"));
  TlsPeerOptions peer_options;
  Nanoseconds now = kNow;

  Scene() {
    EXPECT_TRUE(store.load_cert("X509", "CA", root.der()).ok());
    EXPECT_TRUE(store.load_key("any", gateway.key().der()).ok());
    options.methods = {EapType::kTls};
    options.tls_certificate = gateway.certificate();
    peer_options = {&alice, {&middle}, &root};
  }
  EapServer make() {
    options.credentials = store.snapshot();
    EXPECT_TRUE(EapServer::check(options).ok());
    return {options, random};
  }
  // The exchange, and what came of it.
  struct Outcome {
    test::Run run;
    EapServer server;
    std::unique_ptr<TlsPeer> peer;
  };
  Outcome run(const std::string& identity = "alice@x.org") {
    Outcome outcome{{}, make(), std::make_unique<TlsPeer>(peer_options)};
    outcome.run = run_exchange(outcome.server, *outcome.peer, identity, now);
    return outcome;
  }
  void expect_refused(ChainVerdict verdict) {
    for (const bool tls13 : {false, true}) {
      peer_options.tls13 = tls13;
      const Outcome outcome = run();
      EXPECT_EQ(outcome.run.last.kind, EapStep::Kind::kFailure);
      EXPECT_FALSE(outcome.server.succeeded());
      EXPECT_TRUE(outcome.server.msk().empty());
      EXPECT_EQ(outcome.server.tls_chain_result().verdict, verdict);
      EXPECT_NE(outcome.run.last.reason.find(to_string(verdict)), std::string::npos)
          << outcome.run.last.reason;
      EXPECT_TRUE(outcome.peer->failed) << "the alert reaches the client";
    }
  }
};

TEST(EapTls, both_versions_succeed_with_the_same_key_on_both_sides) {
  for (const bool tls13 : {false, true}) {
    Scene scene;
    scene.peer_options.tls13 = tls13;
    const auto outcome = scene.run();
    ASSERT_EQ(outcome.run.last.kind, EapStep::Kind::kSuccess) << outcome.run.last.reason;
    EXPECT_EQ(outcome.peer->version, tls13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    EXPECT_EQ(outcome.peer->commitment_seen, tls13);
    EXPECT_EQ(outcome.server.msk().size(), 64U);
    EXPECT_EQ(to_vector(outcome.server.msk().bytes()), outcome.peer->msk());
    EXPECT_EQ(outcome.server.identity().to_string(), "alice@x.org");
    EXPECT_EQ(outcome.server.tls_chain_result().verdict, ChainVerdict::kGood);
  }
}

TEST(EapTls, every_kind_of_key_works_on_either_side) {
  for (const auto algorithm : {Algorithm::kRsa2048, Algorithm::kP384, Algorithm::kEd25519}) {
    for (const bool tls13 : {false, true}) {
      Scene scene;
      auto request = request_for("gw", "serverAuth");
      request.algorithm = algorithm;
      const Entity gateway = scene.root.issue(request);
      request = request_for("bob", "clientAuth");
      request.algorithm = algorithm;
      const Entity bob = scene.root.issue(request);
      ASSERT_TRUE(scene.store.load_key("any", gateway.key().der()).ok());
      scene.options.tls_certificate = gateway.certificate();
      scene.peer_options = {&bob, {}, &scene.root, tls13};
      const auto outcome = scene.run("bob@x.org");
      EXPECT_EQ(outcome.run.last.kind, EapStep::Kind::kSuccess) << outcome.run.last.reason;
    }
  }
}

TEST(EapTls, small_fragments_go_both_ways) {
  for (const bool tls13 : {false, true}) {
    Scene scene;
    scene.peer_options.tls13 = tls13;
    scene.peer_options.fragment_max = 150;
    scene.options.tls_fragment_max = 150;
    const auto outcome = scene.run();
    ASSERT_EQ(outcome.run.last.kind, EapStep::Kind::kSuccess) << outcome.run.last.reason;
    EXPECT_GT(outcome.peer->fragments_sent, 5U);
    EXPECT_GT(outcome.peer->fragments_received, 5U);
  }
}

TEST(EapTls, fragments_without_end_are_refused) {
  Scene scene;
  scene.peer_options.fragment_max = 10;
  EXPECT_EQ(scene.run().run.last.kind, EapStep::Kind::kFailure);
}

TEST(EapTls, bad_client_certificates_fail_with_their_name) {
  {
    Scene scene;
    auto request = request_for("alice", "clientAuth");
    request.not_after = kNow - kDay;
    const Entity old = scene.root.issue(request);
    scene.peer_options.certificate = &old;
    scene.peer_options.chain = {};
    scene.expect_refused(ChainVerdict::kExpired);
  }
  {
    Scene scene;
    const Entity stranger = Entity::root("other").issue(request_for("alice", "clientAuth"));
    scene.peer_options.certificate = &stranger;
    scene.peer_options.chain = {};
    scene.expect_refused(ChainVerdict::kUntrustedIssuer);
  }
  {
    Scene scene;
    ASSERT_TRUE(scene.store.load_cert("X509_CRL", "", scene.middle.crl({{&scene.alice}})).ok());
    scene.expect_refused(ChainVerdict::kRevoked);
  }
  {
    Scene scene;
    const Entity code = scene.root.issue(request_for("alice", "codeSigning"));
    scene.peer_options.certificate = &code;
    scene.peer_options.chain = {};
    scene.expect_refused(ChainVerdict::kWrongUsage);
  }
  {
    Scene scene;
    scene.options.tls_client_policy.constraints = parse_public_key_auth("rsa")->chain;
    scene.expect_refused(ChainVerdict::kKeyTooWeak);
  }
}

TEST(EapTls, client_without_a_certificate_fails) {
  for (const bool tls13 : {false, true}) {
    Scene scene;
    scene.peer_options.certificate = nullptr;
    scene.peer_options.tls13 = tls13;
    const auto outcome = scene.run();
    EXPECT_EQ(outcome.run.last.kind, EapStep::Kind::kFailure);
    EXPECT_FALSE(outcome.server.succeeded());
  }
}

// The certificate of one with the key of another.
TEST(EapTls, certificate_without_its_key_fails) {
  for (const bool tls13 : {false, true}) {
    Scene scene;
    scene.peer_options.tls13 = tls13;
    EapServer server = scene.make();
    TlsPeer peer(scene.peer_options);
    EapStep step = server.start();
    size_t flight = 0;
    while (step.kind == EapStep::Kind::kRequest) {
      const EapParts request = parts_of(step.packet);
      if (request.type == 1) {
        step =
            server.on_response(eap_response(request.identifier, 1, bytes_of("alice@x.org")), kNow);
        continue;
      }
      ByteVector answer = peer.answer(request.data);
      // Whatever is changed in what follows the ClientHello: signature, Finished, all of it.
      if (answer.size() > 100 && ++flight > 1) answer[answer.size() - 60] ^= 1;
      step = server.on_response(eap_response(request.identifier, 13, answer), kNow);
    }
    EXPECT_EQ(step.kind, EapStep::Kind::kFailure);
    EXPECT_TRUE(server.msk().empty());
  }
}

TEST(EapTls, identity_is_the_certificates_where_they_do_not_agree) {
  Scene scene;
  const auto outcome = scene.run("anonymous@x.org");
  ASSERT_EQ(outcome.run.last.kind, EapStep::Kind::kSuccess);
  EXPECT_EQ(outcome.server.identity().to_string(), "C=CH, O=test, CN=alice");
  scene.options.ask_identity = false;
  scene.options.identity = Identity::parse("C=CH, O=test, CN=alice").value();
  EXPECT_EQ(scene.run().server.identity().to_string(), "C=CH, O=test, CN=alice");
  scene.options.identity = Identity::parse("bob@x.org").value();
  EXPECT_EQ(scene.run().server.identity().to_string(), "C=CH, O=test, CN=alice");
}

TEST(EapTls, tls13_can_be_turned_off) {
  Scene scene;
  scene.options.tls13 = false;
  EXPECT_EQ(scene.run().run.last.kind, EapStep::Kind::kFailure);
  scene.peer_options.tls13 = false;
  EXPECT_EQ(scene.run().run.last.kind, EapStep::Kind::kSuccess);
}

TEST(EapTls, client_that_does_not_trust_the_gateway_fails) {
  Scene scene;
  const Entity other = Entity::root("other");
  scene.peer_options.server_root = &other;
  const auto outcome = scene.run();
  EXPECT_EQ(outcome.run.last.kind, EapStep::Kind::kFailure);
  EXPECT_TRUE(outcome.peer->failed);
}

// Every response of a good exchange replaced by an empty or a broken one.
TEST(EapTls, broken_response_at_any_step_never_succeeds) {
  const ByteVector replacements[] = {{0},
                                     {0x20},
                                     {0x40},
                                     {0x80, 0, 0, 0, 0},
                                     {0x80, 0xff, 0xff, 0xff, 0xff, 1},
                                     {0xc0, 0, 0, 0, 1, 2, 3},
                                     {0x80, 0, 0},
                                     {},
                                     {0, 0x15, 3, 3, 0, 2, 2, 40},  // an alert
                                     {0, 22, 3, 1, 0, 4, 1, 0, 0, 0}};
  for (const bool tls13 : {false, true}) {
    Scene scene;
    scene.peer_options.tls13 = tls13;
    for (const ByteVector& replacement : replacements) {
      for (size_t at = 0; at < 8; ++at) {
        EapServer server = scene.make();
        TlsPeer peer(scene.peer_options);
        EapStep step = server.start();
        size_t round = 0;
        bool differs = false;
        while (step.kind == EapStep::Kind::kRequest && round < 40) {
          const EapParts request = parts_of(step.packet);
          ByteVector answer = to_vector(bytes_of("alice@x.org"));
          if (request.type == 13) {
            answer = peer.answer(request.data);
            if (round == at && answer != replacement) {
              answer = replacement;
              differs = true;
            }
            ++round;
          }
          step = server.on_response(eap_response(request.identifier, request.type, answer), kNow);
        }
        if (differs) {
          EXPECT_NE(step.kind, EapStep::Kind::kSuccess) << at;
          EXPECT_TRUE(server.msk().empty());
        }
      }
    }
  }
}

TEST(TlsReassembly, bounds_and_flags_hold) {
  using Outcome = TlsReassembly::Outcome;
  const auto one = [](const ByteVector& data) { return TlsReassembly().add(data); };
  EXPECT_EQ(one({}), Outcome::kBroken);
  EXPECT_EQ(one({0}), Outcome::kEmpty);
  EXPECT_EQ(one({0, 1}), Outcome::kMessage);
  EXPECT_EQ(one({0x80, 0, 0, 0, 1, 1}), Outcome::kMessage);
  EXPECT_EQ(one({0x80, 0, 0, 0, 2, 1}), Outcome::kBroken);
  EXPECT_EQ(one({0x80, 0, 0, 0, 0}), Outcome::kBroken);
  EXPECT_EQ(one({0x80, 0, 1, 0, 1, 1}), Outcome::kBroken);
  EXPECT_EQ(one({0x40, 1}), Outcome::kMore);
  EXPECT_EQ(one({0x40}), Outcome::kBroken);
  EXPECT_EQ(one({0x20}), Outcome::kBroken);
  TlsReassembly endless;
  ByteVector fragment(1001, 1);
  fragment[0] = 0x40;
  int taken = 0;
  while (endless.add(fragment) == Outcome::kMore && taken < 1000) ++taken;
  EXPECT_EQ(taken, static_cast<int>(kTlsMessageMaxSize / 1000));
  TlsReassembly good;
  EXPECT_EQ(good.add(ByteVector{0xc0, 0, 0, 0, 3, 1}), Outcome::kMore);
  EXPECT_EQ(good.add(ByteVector{0x80, 0, 0, 0, 3, 2, 3}), Outcome::kMessage);
  EXPECT_EQ(to_vector(good.message()), (ByteVector{1, 2, 3}));
  TlsReassembly changed;
  EXPECT_EQ(changed.add(ByteVector{0xc0, 0, 0, 0, 3, 1}), Outcome::kMore);
  EXPECT_EQ(changed.add(ByteVector{0x80, 0, 0, 0, 2, 2}), Outcome::kBroken);
}

}  // namespace
}  // namespace penstock::ike
