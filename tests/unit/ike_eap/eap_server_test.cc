#include "controlplane/ike/eap/eap_server.h"

#include <gtest/gtest.h>

#include "tests/unit/ike_eap/eap_peer.h"

namespace penstock::ike {
namespace {

using test::eap_response;
using test::EapParts;
using test::Entity;
using test::kNow;
using test::Mschapv2Peer;
using test::parts_of;

struct Scene {
  CredentialStore store;
  SystemRandom random;
  EapServerOptions options;
  Entity root = Entity::root("root");
  Entity gateway = root.issue({});

  Scene() {
    SharedSecret secret;
    secret.id = "s";
    secret.type = SecretType::kEap;
    secret.value = SecretBytes::copy_of(bytes_of("secret"));
    secret.owners = {Identity::parse("alice").value()};
    EXPECT_TRUE(store.load_shared(std::move(secret)).ok());
    EXPECT_TRUE(store.load_cert("X509", "CA", root.der()).ok());
    EXPECT_TRUE(store.load_key("any", gateway.key().der()).ok());
    options.methods = {EapType::kTls, EapType::kMschapv2};
    options.tls_certificate = gateway.certificate();
  }
  EapServer make() {
    options.credentials = store.snapshot();
    return {options, random};
  }
};

TEST(EapServer, nak_leads_to_the_method_that_the_client_wants) {
  Scene scene;
  EapServer server = scene.make();
  Mschapv2Peer peer("alice", "alice", "secret");
  const auto run = run_exchange(server, peer, "alice");
  EXPECT_TRUE(run.naked);
  EXPECT_EQ(run.last.kind, EapStep::Kind::kSuccess) << run.last.reason;
  EXPECT_EQ(server.method(), EapType::kMschapv2);
}

TEST(EapServer, nak_without_an_allowed_method_fails) {
  for (const ByteVector& wanted :
       {ByteVector{}, ByteVector{0}, ByteVector{4, 6, 13}, ByteVector(1000, 25)}) {
    Scene scene;
    EapServer server = scene.make();
    EapParts request = parts_of(server.start().packet);
    EapStep step = server.on_response(eap_response(request.identifier, 1, bytes_of("alice")), kNow);
    request = parts_of(step.packet);
    EXPECT_EQ(request.type, 13);
    step = server.on_response(eap_response(request.identifier, 3, wanted), kNow);
    EXPECT_EQ(step.kind, EapStep::Kind::kFailure);
    EXPECT_EQ(step.packet, (ByteVector{4, request.identifier, 0, 4}));
  }
}

TEST(EapServer, second_nak_cannot_bring_a_method_back) {
  Scene scene;
  EapServer server = scene.make();
  EapParts request = parts_of(server.start().packet);
  request = parts_of(
      server.on_response(eap_response(request.identifier, 1, bytes_of("alice")), kNow).packet);
  const uint8_t mschapv2 = 26;
  request = parts_of(
      server.on_response(eap_response(request.identifier, 3, {&mschapv2, 1}), kNow).packet);
  EXPECT_EQ(request.type, 26);
  const uint8_t tls = 13;
  EXPECT_EQ(server.on_response(eap_response(request.identifier, 3, {&tls, 1}), kNow).kind,
            EapStep::Kind::kFailure);
}

TEST(EapServer, nak_after_the_first_response_fails) {
  Scene scene;
  scene.options.methods = {EapType::kMschapv2, EapType::kTls};
  EapServer server = scene.make();
  Mschapv2Peer peer("alice", "alice", "secret");
  EapParts request = parts_of(server.start().packet);
  request = parts_of(
      server.on_response(eap_response(request.identifier, 1, bytes_of("alice")), kNow).packet);
  request = parts_of(
      server.on_response(eap_response(request.identifier, 26, peer.answer(request.data)), kNow)
          .packet);
  const uint8_t tls = 13;
  EXPECT_EQ(server.on_response(eap_response(request.identifier, 3, {&tls, 1}), kNow).kind,
            EapStep::Kind::kFailure);
}

TEST(EapServer, identities_out_of_bounds_fail) {
  for (const std::string& identity :
       {std::string(), std::string("a\0b", 3), std::string(kEapIdentityMaxSize + 1, 'a')}) {
    Scene scene;
    EapServer server = scene.make();
    Mschapv2Peer peer("alice", "alice", "secret");
    EXPECT_EQ(run_exchange(server, peer, identity).last.kind, EapStep::Kind::kFailure);
  }
}

TEST(EapServer, responses_to_other_requests_and_broken_packets_change_nothing) {
  Scene scene;
  scene.options.methods = {EapType::kMschapv2};
  EapServer server = scene.make();
  const EapParts request = parts_of(server.start().packet);
  const ByteVector good = eap_response(request.identifier, 1, bytes_of("alice"));
  const auto ignored = [&](ByteVector packet) {
    EXPECT_EQ(server.on_response(packet, kNow).kind, EapStep::Kind::kIgnored);
  };
  ignored({});
  for (size_t i = 0; i < good.size(); ++i)
    ignored({good.begin(), good.begin() + static_cast<ptrdiff_t>(i)});
  for (unsigned id = 0; id < 256; ++id) {
    if (id != request.identifier) ignored(eap_response(static_cast<uint8_t>(id), 1, bytes_of("a")));
  }
  for (const uint8_t code : {0, 1, 3, 4, 5, 255}) {
    ByteVector packet = good;
    packet[0] = code;
    ignored(packet);
  }
  for (const int delta : {-1, 1}) {
    ByteVector packet = good;
    packet[3] = static_cast<uint8_t>(packet[3] + delta);
    ignored(packet);
  }
  ignored({3, request.identifier, 0, 4});  // EAP-Success of a client
  ignored(ByteVector(kEapPacketMaxSize + 1, 2));
  EXPECT_EQ(server.on_response(good, kNow).kind, EapStep::Kind::kRequest);
  ignored(good);  // a duplicate answers the request before
}

// Early success would be a login without a password: every type in every state, never a success.
TEST(EapServer, no_single_packet_in_any_state_succeeds) {
  Scene scene;
  scene.options.methods = {EapType::kMschapv2};
  for (int state = 0; state < 3; ++state) {
    for (unsigned type = 0; type < 256; ++type) {
      for (const ByteVector& data :
           {ByteVector{}, ByteVector{3}, ByteVector{0}, ByteVector(60, 2)}) {
        EapServer server = scene.make();
        EapParts request = parts_of(server.start().packet);
        if (state >= 1) {
          request = parts_of(
              server.on_response(eap_response(request.identifier, 1, bytes_of("alice")), kNow)
                  .packet);
        }
        if (state == 2) {
          Mschapv2Peer wrong("alice", "alice", "guess");
          request = parts_of(
              server
                  .on_response(eap_response(request.identifier, 26, wrong.answer(request.data)),
                               kNow)
                  .packet);
        }
        const EapStep step = server.on_response(
            eap_response(request.identifier, static_cast<uint8_t>(type), data), kNow);
        EXPECT_NE(step.kind, EapStep::Kind::kSuccess) << state << " " << type;
        EXPECT_FALSE(server.succeeded());
        EXPECT_TRUE(server.msk().empty());
      }
    }
    if (HasFailure()) return;
  }
}

TEST(EapServer, what_cannot_be_offered_is_said_and_left_out) {
  Scene scene;
  scene.options.credentials = scene.store.snapshot();
  EXPECT_TRUE(EapServer::check(scene.options).ok());
  EapServerOptions no_certificate = scene.options;
  no_certificate.tls_certificate = nullptr;
  EXPECT_TRUE(EapServer::check(no_certificate).ok()) << "MSCHAPv2 is left";
  EapServer server(no_certificate, scene.random);
  Mschapv2Peer peer("alice", "alice", "secret");
  const auto run = run_exchange(server, peer, "alice");
  EXPECT_FALSE(run.naked);
  EXPECT_EQ(run.last.kind, EapStep::Kind::kSuccess);
  no_certificate.methods = {EapType::kTls};
  EXPECT_FALSE(EapServer::check(no_certificate).ok());
  no_certificate.methods = {};
  EXPECT_FALSE(EapServer::check(no_certificate).ok());
  EapServerOptions no_key = scene.options;
  no_key.methods = {EapType::kTls};
  no_key.tls_certificate = scene.root.issue({}).certificate();
  EXPECT_FALSE(EapServer::check(no_key).ok());
  EapServer none(no_key, scene.random);
  EXPECT_EQ(none.start().kind, EapStep::Kind::kFailure);
}

TEST(EapAuth, words_are_read_or_refused_by_name) {
  EXPECT_EQ(*parse_eap_auth("eap-mschapv2"), std::vector{EapType::kMschapv2});
  EXPECT_EQ(*parse_eap_auth("eap-tls:ecdsa-384-sha384"), std::vector{EapType::kTls});
  EXPECT_EQ(parse_eap_auth("eap-dynamic")->size(), 2U);
  EXPECT_EQ(parse_eap_auth("eap")->size(), 2U);
  for (const char* text : {"eap-radius", "eap-md5", "eap-ttls", "psk", ""}) {
    const auto parsed = parse_eap_auth(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_NE(parsed.error().text.find(text), std::string::npos);
  }
}

}  // namespace
}  // namespace penstock::ike
