// EAP logins (RFC 7296 2.16) with the payloads that native clients send, and what a peer other than
// ours may do: personalities of clients that cannot run here.
#include <gtest/gtest.h>

#include "controlplane/ike/auth/signature.h"
#include "controlplane/ike/selectors.h"
#include "gateway/base/text.h"
#include "tests/scenario/ike/client.h"
#include "tests/scenario/ike/pair.h"
#include "tests/scenario/ike/pki.h"
#include "tests/unit/ike_eap/eap_peer.h"

namespace penstock::ike::simulation {
namespace {

using test::Mschapv2Peer;
using test::PeerMethod;

constexpr const char* kDevice = "198.51.100.7";

struct EapWorld {
  explicit EapWorld(std::vector<EapType> methods = {EapType::kMschapv2})
      : sun(world.add("sun", kSun)) {
    pki.give(sun, "sun.example");
    add_user("alice", "wonder land");
    auto pool = *PoolConfig::parse_addresses("rw", "10.3.0.0/28");
    EXPECT_TRUE(pool.add_attribute("dns", "10.2.0.53").ok());
    EXPECT_TRUE(sun.engine->load_pool(pool).ok());
    side = side_of("rw", kSun, "", "sun.example", "%any");
    side.connection.local.method = AuthClass::kPubkey;
    side.connection.remote.method = AuthClass::kEap;
    side.connection.remote.eap_methods = std::move(methods);
    side.connection.pools = {"rw"};
    side.children.push_back(child_of("lan", {"10.2.0.0/16"}, {"dynamic"}));
    side.children[0].proposals = esp_proposals({"aes256gcm16-x25519", "aes256gcm16"});
  }
  void add_user(const std::string& name, const std::string& password) {
    SharedSecret secret;
    secret.id = name;
    secret.type = SecretType::kEap;
    secret.value = SecretBytes::copy_of(bytes_of(password));
    secret.owners = {id_of(name)};
    EXPECT_TRUE(sun.store.load_shared(std::move(secret)).ok());
    sun.credentials_changed();
  }
  void load() { sun.load(side.build()); }

  World world;
  Node& sun;
  Pki pki;
  Side side;
};

// Windows: IDi is the private address, no IDr, unknown attributes in CP (23456, 23457).
ChainBuilder first_request(Client& client) {
  const std::array<uint8_t, 4> private_address{192, 168, 1, 23};
  client.set_id(IdType::kIpv4, private_address);
  ChainBuilder chain;
  chain.id_initiator(client.id_type, client.id_data);
  const std::vector<CpAttribute> wanted{{CpAttributeType::kInternalIp4Address, {}},
                                        {CpAttributeType::kInternalIp4Dns, {}},
                                        {static_cast<CpAttributeType>(23456), {}},
                                        {static_cast<CpAttributeType>(23457), {}}};
  chain.configuration(CpType::kRequest, wanted);
  client.add_child(chain, "aes256gcm16", "0.0.0.0/0", "0.0.0.0/0");
  chain.notify(NotifyType::kMobikeSupported);
  return chain;
}

// Answers EAP requests until there is a success or a failure; the last answer heard.
std::optional<Heard> converse(Client& client, std::optional<Heard> answer, PeerMethod& method,
                              const std::string& identity) {
  for (int round = 0; round < 40 && answer && answer->payloads.eap; ++round) {
    const test::EapParts request = test::parts_of(answer->payloads.eap->packet);
    if (request.code != 1) return answer;
    ByteVector response;
    if (request.type == 1) {
      response = test::eap_response(request.identifier, 1, bytes_of(identity));
    } else if (request.type != method.type()) {
      const uint8_t wanted = method.type();
      response = test::eap_response(request.identifier, 3, {&wanted, 1});
    } else {
      response = test::eap_response(request.identifier, request.type, method.answer(request.data));
    }
    ChainBuilder chain;
    chain.eap(response);
    answer = client.ask(ExchangeType::kIkeAuth, chain);
  }
  return answer;
}

std::optional<Heard> prove(Client& client, Bytes msk, bool initial_contact = false) {
  ChainBuilder chain;
  chain.auth(AuthMethod::kSharedKey, client.shared_auth(msk));
  if (initial_contact) chain.notify(NotifyType::kInitialContact);
  return client.ask(ExchangeType::kIkeAuth, chain);
}

// The whole login; the last answer.
std::optional<Heard> log_in(Client& client, const std::string& user, const std::string& password) {
  if (!client.init()) return std::nullopt;
  Mschapv2Peer method(user, user, password);
  auto answer = client.ask(ExchangeType::kIkeAuth, first_request(client));
  answer = converse(client, std::move(answer), method, user);
  if (!answer || !answer->payloads.eap || answer->payloads.eap->code != EapCode::kSuccess) {
    return answer;
  }
  return prove(client, method.msk());
}

TEST(Eap, login_as_windows_does_it_works) {
  EapWorld set;
  set.load();
  Client client(set.world, kDevice, set.sun);
  ASSERT_TRUE(client.init());
  auto answer = client.ask(ExchangeType::kIkeAuth, first_request(client));
  // <-- HDR, SK {IDr, CERT, AUTH, EAP}, although there was no CERTREQ
  ASSERT_TRUE(answer && answer->payloads.id_responder && answer->payloads.auth &&
              answer->payloads.eap);
  ASSERT_EQ(answer->payloads.certs.size(), 1U);
  // No SIGNATURE_HASH_ALGORITHMS was announced: the older method (RFC 4754), raw r | s.
  EXPECT_EQ(answer->payloads.auth->method, AuthMethod::kEcdsaP256);
  EXPECT_EQ(answer->payloads.auth->data.size(), 64U);
  const auto certificate = Certificate::parse(answer->payloads.certs[0].data);
  ASSERT_TRUE(certificate.ok());
  const ByteVector signed_bytes =
      auth_octets(client.suite.prf, client.init_response, client.nonce_i, client.keys.pr.bytes(),
                  answer->payloads.id_responder->body);
  EXPECT_EQ(verify_auth(*(*certificate)->public_key(), {}, false, answer->payloads.auth->method,
                        answer->payloads.auth->data, signed_bytes),
            SignatureVerdict::kGood);
  const ByteVector id_body = to_vector(answer->payloads.id_responder->body);
  EXPECT_TRUE(set.sun.engine->leases("rw").empty()) << "nothing before the last AUTH";

  Mschapv2Peer method("alice", "alice", "wonder land");
  answer = converse(client, std::move(answer), method, "alice");
  ASSERT_TRUE(answer && answer->payloads.eap);
  EXPECT_EQ(answer->payloads.eap->code, EapCode::kSuccess);
  EXPECT_EQ(set.sun.established(), 0U) << "EAP-Success alone grants nothing";

  answer = prove(client, method.msk());
  ASSERT_TRUE(answer && answer->payloads.auth) << set.sun.log_text();
  EXPECT_EQ(to_vector(answer->payloads.auth->data), client.peer_shared_auth(method.msk(), id_body));
  ASSERT_TRUE(answer->payloads.configuration && answer->payloads.sa &&
              answer->payloads.ts_initiator);
  const auto& attributes = answer->payloads.configuration->attributes;
  ASSERT_EQ(attributes.size(), 2U) << "address and DNS; what is unknown is ignored";
  EXPECT_EQ(to_hex(attributes[0].value), "0a030001");
  EXPECT_EQ(to_string(answer->payloads.ts_initiator->selectors), "10.3.0.1/32");
  EXPECT_EQ(to_string(answer->payloads.ts_responder->selectors), "10.2.0.0/16");
  const auto sa = *set.sun.sa();
  EXPECT_EQ(sa.remote_eap_id.to_string(), "alice");
  EXPECT_EQ(sa.remote_id.to_string(), "192.168.1.23");
  EXPECT_EQ(set.sun.engine->leases("rw").at(0).identity, "alice");
  set.sun.check_dataplane();
}

TEST(Eap, wrong_password_fails_with_the_reason_in_the_log) {
  EapWorld set;
  set.load();
  Client client(set.world, kDevice, set.sun);
  const auto answer = log_in(client, "alice", "looking glass");
  ASSERT_TRUE(answer && answer->payloads.eap);
  EXPECT_EQ(answer->payloads.eap->code, EapCode::kFailure);
  EXPECT_TRUE(set.sun.sas().empty());
  EXPECT_TRUE(set.sun.said(Reason::kEapFailed));
  EXPECT_TRUE(set.sun.said("wrong password"));
  EXPECT_TRUE(set.sun.engine->leases("rw").empty());
}

TEST(Eap, client_that_leaves_after_the_failure_request_is_logged_too) {
  EapWorld set;
  set.load();
  Client client(set.world, kDevice, set.sun);
  ASSERT_TRUE(client.init());
  Mschapv2Peer method("alice", "alice", "looking glass");
  auto answer = client.ask(ExchangeType::kIkeAuth, first_request(client));
  for (int step = 0; step < 2; ++step) {  // identity, then the response to the challenge
    const test::EapParts request = test::parts_of(answer->payloads.eap->packet);
    ChainBuilder chain;
    chain.eap(request.type == 1
                  ? test::eap_response(request.identifier, 1, bytes_of("alice"))
                  : test::eap_response(request.identifier, 26, method.answer(request.data)));
    answer = client.ask(ExchangeType::kIkeAuth, chain);
    ASSERT_TRUE(answer && answer->payloads.eap);
  }
  // strongSwan's way: INFORMATIONAL N(AUTHENTICATION_FAILED), and gone.
  ChainBuilder chain;
  chain.notify(NotifyType::kAuthenticationFailed);
  EXPECT_TRUE(client.ask(ExchangeType::kInformational, chain).has_value());
  EXPECT_TRUE(set.sun.sas().empty());
  EXPECT_TRUE(set.sun.said("wrong password")) << set.sun.log_text();
}

TEST(Eap, success_without_the_key_is_no_login) {
  EapWorld set;
  set.load();
  for (const int way : {0, 1, 2, 3}) {
    Client client(set.world, kDevice, set.sun);
    ASSERT_TRUE(client.init());
    Mschapv2Peer method("alice", "alice", "wonder land");
    auto answer = client.ask(ExchangeType::kIkeAuth, first_request(client));
    answer = converse(client, std::move(answer), method, "alice");
    ASSERT_TRUE(answer && answer->payloads.eap);
    ByteVector auth = client.shared_auth(method.msk());
    if (way == 0) auth[5] ^= 1;
    if (way == 1) auth.pop_back();
    if (way == 2) auth.push_back(0);
    if (way == 3) auth = client.shared_auth({});
    ChainBuilder chain;
    chain.auth(AuthMethod::kSharedKey, auth);
    const auto last = client.ask(ExchangeType::kIkeAuth, chain);
    ASSERT_TRUE(last.has_value());
    EXPECT_TRUE(last->payloads.has(NotifyType::kAuthenticationFailed)) << way;
    EXPECT_TRUE(set.sun.sas().empty()) << way;
    EXPECT_TRUE(set.sun.engine->leases("rw").empty());
  }
}

TEST(Eap, two_devices_of_one_user_get_two_addresses) {
  EapWorld set;
  set.load();
  Client first(set.world, kDevice, set.sun), second(set.world, "198.51.100.8", set.sun);
  ASSERT_TRUE(log_in(first, "alice", "wonder land")->payloads.auth);
  ASSERT_TRUE(log_in(second, "alice", "wonder land")->payloads.auth);
  EXPECT_EQ(set.sun.established(), 2U);
  EXPECT_EQ(set.sun.engine->pools().at(0).online, 2U);
}

TEST(Eap, initial_contact_acts_after_the_last_auth_only) {
  EapWorld set;
  set.load();
  Client first(set.world, kDevice, set.sun);
  ASSERT_TRUE(log_in(first, "alice", "wonder land")->payloads.auth);
  set.world.run_for(kSecond);
  // Somebody else says INITIAL_CONTACT in alice's name and cannot prove it.
  Client second(set.world, "198.51.100.8", set.sun);
  ASSERT_TRUE(second.init());
  ChainBuilder chain = first_request(second);
  chain.notify(NotifyType::kInitialContact);
  Mschapv2Peer method("alice", "alice", "guessed");
  const auto answer = converse(second, second.ask(ExchangeType::kIkeAuth, chain), method, "alice");
  ASSERT_TRUE(answer && answer->payloads.eap);
  EXPECT_EQ(set.sun.established(), 1U);
  EXPECT_EQ(set.sun.engine->pools().at(0).online, 1U);
}

TEST(Eap, tls_login_works_and_a_stranger_is_refused_by_name) {
  EapWorld set({EapType::kTls});
  set.load();
  const test::Entity carol = set.pki.root.issue(Pki::request_of("carol.example"));
  Client client(set.world, kDevice, set.sun);
  ASSERT_TRUE(client.init());
  test::TlsPeerOptions options;
  options.certificate = &carol;
  options.server_root = &set.pki.root;
  test::TlsPeer method(options);
  auto answer = converse(client, client.ask(ExchangeType::kIkeAuth, first_request(client)), method,
                         "carol.example");
  ASSERT_TRUE(answer && answer->payloads.eap) << set.sun.log_text();
  ASSERT_EQ(answer->payloads.eap->code, EapCode::kSuccess) << set.sun.log_text();
  answer = prove(client, method.msk());
  ASSERT_TRUE(answer && answer->payloads.auth);
  EXPECT_EQ(set.sun.sa()->remote_eap_id.to_string(), "carol.example");

  const test::Entity other = test::Entity::root("other");
  const test::Entity mallory = other.issue(Pki::request_of("mallory.example"));
  Client stranger(set.world, "198.51.100.9", set.sun);
  ASSERT_TRUE(stranger.init());
  options.certificate = &mallory;
  test::TlsPeer bad(options);
  answer = converse(stranger, stranger.ask(ExchangeType::kIkeAuth, first_request(stranger)), bad,
                    "mallory.example");
  EXPECT_EQ(set.sun.established(), 1U);
  set.world.run_for(60 * kSecond);
  EXPECT_TRUE(set.sun.said("untrusted issuer")) << set.sun.log_text();
}

// --- personalities -------------------------------------------------------------------------------

struct Established {
  explicit Established(EapWorld& set) : client(set.world, kDevice, set.sun) {
    set.load();
    const auto answer = log_in(client, "alice", "wonder land");
    EXPECT_TRUE(answer && answer->payloads.sa);
    if (answer && answer->payloads.sa) {
      gateway_spi = static_cast<uint32_t>(answer->payloads.sa->proposals.at(0).spi);
    }
    device_spi = client.esp_spi;
  }
  Client client;
  uint32_t gateway_spi = 0, device_spi = 0;
};

TEST(Personality, macos_rekeys_a_child_without_a_group) {
  EapWorld set;
  Established login(set);
  ChainBuilder chain;
  chain.notify_spi(NotifyType::kRekeySa, ProtocolId::kEsp, login.device_spi);
  ByteVector nonce(32, 7);
  chain.nonce(nonce);
  login.client.add_child(chain, "aes256gcm16", "10.3.0.1/32", "10.2.0.0/16");
  const auto answer = login.client.ask(ExchangeType::kCreateChildSa, chain);
  ASSERT_TRUE(answer && answer->payloads.sa) << set.sun.log_text();
  EXPECT_FALSE(answer->payloads.key_exchange);
  EXPECT_EQ(set.sun.engine->totals().children_without_pfs, 1U);
  // The DELETE of the old one (1.4.1) is answered with our half.
  ChainBuilder remove;
  const std::vector<uint32_t> spis{login.device_spi};
  remove.delete_children(ProtocolId::kEsp, spis);
  const auto gone = login.client.ask(ExchangeType::kInformational, remove);
  ASSERT_TRUE(gone && gone->payloads.deletes.size() == 1);
  EXPECT_EQ(gone->payloads.deletes[0].spis, std::vector<uint32_t>{login.gateway_spi});
  set.world.run_for(10 * kSecond);
  EXPECT_EQ(set.sun.children(), 1U);
  EXPECT_EQ(set.sun.tunnels.begin()->second.current, set.sun.sa()->children.at(0).inbound_spi);
  set.sun.check_dataplane();
}

TEST(Personality, windows_refuses_our_rekey_and_keeps_its_child) {
  EapWorld set;
  Established login(set);
  login.client.on_request = [&](const Heard& request) {
    ChainBuilder chain;
    chain.notify(NotifyType::kTemporaryFailure);
    login.client.answer(request, chain);
  };
  set.sun.engine->rekey(set.sun.now(), {"", "lan", 0, 0}, false);
  set.sun.drain();
  set.world.run_for(60 * kSecond);
  EXPECT_EQ(set.sun.children(), 1U);
  EXPECT_GT(set.sun.sent.size(), 8U) << "tried again";
}

TEST(Personality, repeated_delete_and_unknown_spis_are_answered_empty) {
  EapWorld set;
  Established login(set);
  const std::vector<uint32_t> spis{0x1, 0xdeadbeef};
  ChainBuilder chain;
  chain.delete_children(ProtocolId::kEsp, spis);
  const auto answer = login.client.ask(ExchangeType::kInformational, chain);
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->payloads.deletes.empty());
  ChainBuilder rekey;
  rekey.notify_spi(NotifyType::kRekeySa, ProtocolId::kEsp, 0xdeadbeef);
  rekey.nonce(ByteVector(32, 1));
  login.client.add_child(rekey, "aes256gcm16", "10.3.0.1/32", "10.2.0.0/16");
  const auto refused = login.client.ask(ExchangeType::kCreateChildSa, rekey);
  ASSERT_TRUE(refused.has_value());
  EXPECT_TRUE(refused->payloads.has(NotifyType::kChildSaNotFound));
  EXPECT_EQ(set.sun.children(), 1U);
}

TEST(Personality, cookie2_is_echoed_and_unexpected_nat_is_told) {
  EapWorld set;
  Established login(set);
  ChainBuilder chain;
  const ByteVector cookie(24, 0x5a);
  chain.notify(NotifyType::kCookie2, cookie);
  auto answer = login.client.ask(ExchangeType::kInformational, chain);
  ASSERT_TRUE(answer && answer->payloads.find(NotifyType::kCookie2) != nullptr);
  EXPECT_EQ(to_vector(answer->payloads.find(NotifyType::kCookie2)->data), cookie);
  ChainBuilder update;
  update.notify(NotifyType::kUpdateSaAddresses);
  update.notify(NotifyType::kNoNatsAllowed, ByteVector(12, 1));
  answer = login.client.ask(ExchangeType::kInformational, update);
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->payloads.has(NotifyType::kUnexpectedNatDetected));
}

// Cisco: one pair of selectors a child (RFC 7296 2.9).
TEST(Personality, single_pair_required_makes_a_child_for_each_pair) {
  World world;
  Node& moon = world.add("moon", kMoon);
  Client cisco(world, kSun, moon);
  cisco.set_id(IdType::kFqdn, bytes_of("sun.example"));
  Side side = side_of("net", kMoon, kSun, "moon.example", "sun.example");
  side.children.push_back(child_of("lan", {"10.1.0.0/16", "10.5.0.0/16"}, {"10.2.0.0/16"}));
  side.children[0].proposals = esp_proposals({"aes256gcm16"});
  moon.add_psk("a secret");
  moon.load(side.build());
  cisco.on_request = [&](const Heard& request) {
    ChainBuilder chain;
    const bool auth = request.header.exchange == ExchangeType::kIkeAuth;
    if (auth) {
      chain.id_responder(cisco.id_type, cisco.id_data)
          .auth(AuthMethod::kSharedKey, cisco.shared_auth(bytes_of("a secret")));
    }
    const auto& payloads = request.payloads;
    if (payloads.ts_initiator && payloads.ts_initiator->selectors.size() > 1) {
      chain.notify(NotifyType::kSinglePairRequired);
    } else if (payloads.sa) {
      const auto selection = select_proposal(ProtocolId::kEsp, payloads.sa->proposals,
                                             esp_proposals({"aes256gcm16"}), {});
      chain.sa(to_proposal(selection->suite, selection->number, 4, ++cisco.esp_spi));
      if (!auth) chain.nonce(ByteVector(32, 9));
      chain.ts_initiator(payloads.ts_initiator->selectors)
          .ts_responder(payloads.ts_responder->selectors);
    }
    cisco.answer(request, chain);
  };
  const CommandId command = moon.initiate("net", "lan");
  world.run_for(10 * kSecond);
  EXPECT_TRUE(moon.succeeded(command)) << moon.log_text();
  EXPECT_EQ(moon.children(), 2U);
  moon.check_dataplane();
}

}  // namespace
}  // namespace penstock::ike::simulation
