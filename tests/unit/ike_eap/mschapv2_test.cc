#include <gtest/gtest.h>

#include "controlplane/ike/eap/mschapv2_crypto.h"
#include "gateway/base/text.h"
#include "tests/unit/ike_eap/eap_peer.h"

namespace penstock::ike {
namespace {

using test::EapParts;
using test::kNow;
using test::Mschapv2Peer;
using test::parts_of;

template <size_t N>
std::array<uint8_t, N> array_of(std::string_view hex) {
  std::array<uint8_t, N> out{};
  const auto bytes = from_hex(hex);
  std::copy(bytes->begin(), bytes->end(), out.begin());
  return out;
}

// RFC 2759 section 9.2 and RFC 3079 section 3.5.3.
TEST(Mschapv2Crypto, values_are_those_of_the_rfcs) {
  ASSERT_TRUE(mschapv2::available());
  const auto authenticator = array_of<16>("5b5d7c7d7b3f2f3e3c2c602132262628");
  const auto peer = array_of<16>("21402324255e262a28295f2b3a337c7e");
  const auto challenge = mschapv2::challenge_hash(peer, authenticator, "User");
  EXPECT_EQ(to_hex(challenge), "d02e4386bce91226");
  const auto hash = mschapv2::nt_password_hash(bytes_of("clientPass"));
  EXPECT_EQ(to_hex(hash.bytes()), "44ebba8d5312b8d611474411f56989ae");
  const auto response = mschapv2::nt_response(challenge, hash);
  EXPECT_EQ(to_hex(response), "82309ecd8d708b5ea08faa3981cd83544233114a3d85d6df");
  EXPECT_EQ(mschapv2::authenticator_response(hash, response, challenge),
            "S=407A5589115FD0D6209F510FE9C04566932CDA56");
  const auto msk = mschapv2::master_session_key(hash, response);
  ASSERT_EQ(msk.size(), 64U);
  EXPECT_EQ(to_hex(msk.bytes().subspan(16, 16)), "8b7cdc149b993a1ba118cb153f56dccb");
  EXPECT_EQ(to_hex(msk.bytes().subspan(32)), std::string(64, '0'));
}

// iconv -t utf-16le | openssl dgst -md4
TEST(Mschapv2Crypto, password_beyond_ascii_is_utf16) {
  EXPECT_EQ(to_hex(mschapv2::nt_password_hash(bytes_of("пароль€😀")).bytes()),
            "2b9c5196c5c69c6bf51d9cf004655161");
  // No UTF-8: each byte is a character, and nothing breaks.
  for (const char* text : {"\xff", "\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xed\xa0\x80", "\xc0\x80",
                           "\xf5\x80\x80\x80", "a\x80"}) {
    EXPECT_EQ(mschapv2::nt_password_hash(bytes_of(text)),
              mschapv2::nt_password_hash(bytes_of(text)));
  }
}

struct Server {
  CredentialStore store;
  SystemRandom random;
  EapServerOptions options;
  Server() {
    add("alice", "wonder land", SecretType::kEap);
    add("bob@x.org", "builder", SecretType::kEap);
    options.methods = {EapType::kMschapv2};
  }
  void add(const char* owner, std::string_view value, SecretType type) {
    SharedSecret secret;
    secret.id = owner;
    secret.type = type;
    secret.value = SecretBytes::copy_of(bytes_of(value));
    secret.owners = {Identity::parse(owner).value()};
    ASSERT_TRUE(store.load_shared(std::move(secret)).ok());
  }
  EapServer make() {
    options.credentials = store.snapshot();
    EXPECT_TRUE(EapServer::check(options).ok());
    return {options, random};
  }
};

TEST(EapMschapv2, right_password_succeeds_and_both_have_the_same_key) {
  Server setup;
  EapServer server = setup.make();
  Mschapv2Peer peer("alice", "alice", "wonder land");
  const auto run = run_exchange(server, peer, "alice");
  ASSERT_EQ(run.last.kind, EapStep::Kind::kSuccess) << run.last.reason;
  EXPECT_EQ(run.last.packet.size(), 4U);
  EXPECT_EQ(run.last.packet[0], 3);
  EXPECT_TRUE(server.succeeded());
  EXPECT_TRUE(peer.server_proved);
  EXPECT_EQ(to_vector(server.msk().bytes()), peer.msk());
  EXPECT_EQ(server.identity().to_string(), "alice");
  EXPECT_EQ(server.method(), EapType::kMschapv2);
  EXPECT_EQ(run.requests, 3U);
}

TEST(EapMschapv2, wrong_password_or_unknown_user_end_with_failure_without_retry) {
  for (const auto& [user, password, words] : {std::tuple{"alice", "wonderland", "wrong password"},
                                              {"alice", "", "wrong password"},
                                              {"carol", "builder", "no EAP secret"}}) {
    Server setup;
    EapServer server = setup.make();
    Mschapv2Peer peer(user, user, password);
    const auto run = run_exchange(server, peer, user);
    EXPECT_EQ(run.last.kind, EapStep::Kind::kFailure);
    EXPECT_EQ(run.last.packet[0], 4);
    EXPECT_NE(run.last.reason.find(words), std::string::npos) << run.last.reason;
    EXPECT_TRUE(peer.failure.starts_with("E=691 R=0 C=")) << peer.failure;
    EXPECT_FALSE(server.succeeded());
    EXPECT_TRUE(server.msk().empty());
    EXPECT_EQ(server.on_response(run.last.packet, kNow).kind, EapStep::Kind::kIgnored);
  }
}

TEST(EapMschapv2, domain_is_in_the_identity_but_not_in_the_hash) {
  Server setup;
  EapServer server = setup.make();
  Mschapv2Peer peer("CORP\\alice", "alice", "wonder land");
  const auto run = run_exchange(server, peer, "CORP\\alice");
  ASSERT_EQ(run.last.kind, EapStep::Kind::kSuccess) << run.last.reason;
  EXPECT_EQ(server.identity().to_string(), "CORP\\alice");
  EXPECT_EQ(to_vector(server.msk().bytes()), peer.msk());
  // Hashed with its domain it is wrong.
  EapServer other = setup.make();
  Mschapv2Peer wrong("CORP\\alice", "CORP\\alice", "wonder land");
  EXPECT_EQ(run_exchange(other, wrong, "CORP\\alice").last.kind, EapStep::Kind::kFailure);
}

TEST(EapMschapv2, one_user_cannot_be_known_as_another) {
  Server setup;
  EapServer server = setup.make();
  Mschapv2Peer peer("bob@x.org", "bob@x.org", "builder");
  const auto run = run_exchange(server, peer, "alice");
  EXPECT_EQ(run.last.kind, EapStep::Kind::kFailure);
  EXPECT_FALSE(server.succeeded());
  // Nor with the other's password and one's own name.
  EapServer second = setup.make();
  Mschapv2Peer mixed("bob@x.org", "bob@x.org", "wonder land");
  EXPECT_EQ(run_exchange(second, mixed, "alice").last.kind, EapStep::Kind::kFailure);
}

TEST(EapMschapv2, without_identity_request_the_name_is_the_identity) {
  Server setup;
  setup.options.ask_identity = false;
  setup.options.identity = Identity::parse("192.0.2.7").value();  // IDi of Windows
  EapServer server = setup.make();
  Mschapv2Peer peer("bob@x.org", "bob@x.org", "builder");
  const auto run = run_exchange(server, peer, "");
  ASSERT_EQ(run.last.kind, EapStep::Kind::kSuccess) << run.last.reason;
  EXPECT_EQ(run.requests, 2U);
  EXPECT_EQ(server.identity().to_string(), "bob@x.org");
  EXPECT_EQ(server.identity().type(), IdentityType::kRfc822Address);
}

TEST(EapMschapv2, nt_hash_serves_as_the_secret) {
  Server setup;
  setup.add("dave", text_of(*from_hex("44ebba8d5312b8d611474411f56989ae")), SecretType::kNtlm);
  EapServer server = setup.make();
  Mschapv2Peer peer("dave", "dave", "clientPass");
  EXPECT_EQ(run_exchange(server, peer, "dave").last.kind, EapStep::Kind::kSuccess);
}

TEST(EapMschapv2, names_that_look_like_patterns_are_names) {
  Server setup;
  for (const char* name : {"*", "%any", "0.0.0.0", "*@x.org"}) {
    EapServer server = setup.make();
    Mschapv2Peer peer(name, name, "builder");
    EXPECT_EQ(run_exchange(server, peer, name).last.kind, EapStep::Kind::kFailure) << name;
  }
}

TEST(EapMschapv2, client_that_does_not_believe_the_server_fails) {
  Server setup;
  EapServer server = setup.make();
  Mschapv2Peer peer("alice", "alice", "wonder land");
  peer.refuse_proof = true;
  const auto run = run_exchange(server, peer, "alice");
  EXPECT_EQ(run.last.kind, EapStep::Kind::kFailure);
  EXPECT_TRUE(server.msk().empty());
}

// One exchange up to the response to the challenge.
struct Challenged {
  Server setup;
  EapServer server = setup.make();
  ByteVector response;
  Challenged() {
    const EapParts identity = parts_of(server.start().packet);
    const auto challenge =
        server.on_response(test::eap_response(identity.identifier, 1, bytes_of("alice")), kNow);
    const EapParts request = parts_of(challenge.packet);
    Mschapv2Peer peer("alice", "alice", "wonder land");
    response = test::eap_response(request.identifier, 26, peer.answer(request.data));
  }
};

// The Failure request has the reason already: strongSwan leaves without answering it.
TEST(EapMschapv2, request_that_refuses_says_why) {
  Challenged c;
  c.response[40] ^= 1;
  const EapStep step = c.server.on_response(c.response, kNow);
  EXPECT_EQ(step.kind, EapStep::Kind::kRequest);
  EXPECT_EQ(step.reason, "wrong password of user alice");
}

bool leads_to_success(EapServer& server, Bytes response) {
  const EapStep step = server.on_response(response, kNow);
  if (step.kind != EapStep::Kind::kRequest) return false;
  return parts_of(step.packet).data[0] == 3;  // Success Request
}

TEST(EapMschapv2, every_changed_byte_of_the_response_is_noticed_or_harmless) {
  const size_t size = Challenged().response.size();
  for (size_t i = 0; i < size; ++i) {
    Challenged c;
    c.response[i] ^= 0x21;
    // Message id, reserved bytes and flags are covered by nothing; upper and lower case of a user
    // name are in the hash.
    const bool free = i == 6 || (i >= 26 && i < 34) || i == 58;
    EXPECT_EQ(leads_to_success(c.server, c.response), free) << i;
  }
}

TEST(EapMschapv2, cut_or_longer_responses_never_succeed) {
  const size_t size = Challenged().response.size();
  for (size_t cut = 0; cut < size; ++cut) {
    Challenged c;
    c.response.resize(cut);
    if (cut >= 4) {
      c.response[2] = static_cast<uint8_t>(cut >> 8);
      c.response[3] = static_cast<uint8_t>(cut);
    }
    EXPECT_FALSE(leads_to_success(c.server, c.response)) << cut;
  }
  Challenged c;
  c.response.push_back('x');
  c.response[3] = static_cast<uint8_t>(c.response.size());
  EXPECT_FALSE(leads_to_success(c.server, c.response));
}

}  // namespace
}  // namespace penstock::ike
