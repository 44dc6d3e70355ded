// IKE_SA_INIT and IKE_AUTH between two engines: each way to get up, and each way to be refused.
#include <gtest/gtest.h>

#include "controlplane/ike/selectors.h"
#include "tests/scenario/ike/pair.h"
#include "tests/scenario/ike/pki.h"
#include "tests/scenario/ike/refusal.h"

namespace penstock::ike::simulation {
namespace {

using Strings = std::vector<std::string>;

TEST(Establish, psk_with_one_child_takes_four_messages) {
  Pair pair;
  pair.up();
  // RFC 7296 1.2
  EXPECT_EQ(pair.world.arrows, (Strings{"moon>sun IKE_SA_INIT 0", "sun>moon IKE_SA_INIT 0 R",
                                        "moon>sun IKE_AUTH 1", "sun>moon IKE_AUTH 1 R"}));
  EXPECT_EQ(pair.moon.children(), 1U);
  EXPECT_EQ(pair.sun.children(), 1U);
  pair.exchange();
  pair.check();
  const auto moon = *pair.moon.sa();
  EXPECT_TRUE(moon.initiator);
  EXPECT_EQ(moon.remote_id.to_string(), "sun.example");
  EXPECT_EQ(moon.local.port, 4500) << "MOBIKE floats (RFC 4555 3.3)";
  EXPECT_EQ(moon.suite.to_string(), "aes256gcm16-prfsha256-x25519");
  EXPECT_EQ(moon.children.at(0).suite.to_string(), "aes256gcm16");
  EXPECT_FALSE(moon.children.at(0).encapsulated);
  EXPECT_EQ(to_string(moon.children.at(0).local_ts), "10.1.0.0/16");
  EXPECT_EQ(pair.moon.notified(Notify::Kind::kIkeUp), 1U);
  EXPECT_EQ(pair.sun.notified(Notify::Kind::kChildUp), 1U);
  EXPECT_EQ(pair.sun.engine->totals().half_open, 0U);
}

TEST(Establish, same_seed_gives_the_same_bytes) {
  uint64_t first = 0;
  for (int run = 0; run < 2; ++run) {
    Pair pair(7);
    pair.world.loss_percent = 20;
    pair.load();
    pair.moon.initiate("net", "lan");
    pair.world.run_for(300 * kSecond);
    if (run == 0) first = pair.world.trace;
    EXPECT_EQ(pair.world.trace, first);
  }
}

TEST(Establish, every_algorithm_works) {
  for (const auto* const ike :
       {"aes128gcm16-prfsha256-ecp256", "chacha20poly1305-prfsha512-ecp384",
        "aes128-sha256-modp2048", "aes256-sha512-ecp521", "aes256-sha384-modp3072"}) {
    for (const auto* const esp : {"aes128gcm16", "aes256-sha256", "chacha20poly1305-x25519-esn"}) {
      Pair pair;
      for (Side* const side : {&pair.moon_side, &pair.sun_side}) {
        side->connection.proposals = ike_proposals({ike});
        side->children[0].proposals = esp_proposals({esp});
      }
      pair.up();
      pair.exchange();
      EXPECT_EQ(pair.sun.sa()->suite, pair.moon.sa()->suite);
      EXPECT_EQ(to_string(ike_proposals({ike})[0]), pair.moon.sa()->suite.to_string());
      pair.check();
    }
  }
}

TEST(Establish, ipv6_outside_and_inside_works) {
  Pair pair;
  pair.moon.addresses = {address_of("2001:db8::1")};
  pair.sun.addresses = {address_of("2001:db8::2")};
  pair.moon_side.connection.local_addresses = at("2001:db8::1");
  pair.moon_side.connection.remote_addresses = at("2001:db8::2");
  pair.sun_side.connection.local_addresses = at("2001:db8::2");
  pair.sun_side.connection.remote_addresses = at("2001:db8::1");
  pair.moon_side.children[0] = child_of("lan", {"fd01::/48"}, {"fd02::/48"});
  pair.sun_side.children[0] = child_of("lan", {"fd02::/48"}, {"fd01::/48"});
  pair.up();
  pair.exchange();
  pair.check();
}

TEST(Establish, starting_on_port_4500_works) {
  Pair pair;
  pair.moon_side.connection.remote_port = 4500;
  pair.up();
  for (const Packet& packet : pair.moon.sent) {
    EXPECT_EQ(packet.source.port, 4500);
    EXPECT_EQ(packet.destination.port, 4500);
  }
  pair.exchange();
}

TEST(Establish, cookie_is_asked_for_under_load_and_keeps_no_state) {
  Options options;
  options.cookie_threshold = 0;
  Pair pair(1, options);
  pair.up();
  // RFC 7296 2.6
  EXPECT_EQ(pair.world.arrows,
            (Strings{"moon>sun IKE_SA_INIT 0", "sun>moon IKE_SA_INIT 0 R", "moon>sun IKE_SA_INIT 0",
                     "sun>moon IKE_SA_INIT 0 R", "moon>sun IKE_AUTH 1", "sun>moon IKE_AUTH 1 R"}));
  EXPECT_EQ(pair.sun.engine->totals().cookies_sent, 1U);
  pair.exchange();
}

TEST(Establish, another_group_is_asked_for_and_given) {
  Pair pair;
  pair.moon_side.connection.proposals = ike_proposals({"aes256gcm16-prfsha256-modp2048-x25519"});
  pair.up();
  // RFC 7296 1.2: INVALID_KE_PAYLOAD
  EXPECT_EQ(pair.world.arrows.size(), 6U);
  EXPECT_EQ(pair.moon.sa()->suite.group, DhGroup::kCurve25519);
  EXPECT_TRUE(pair.sun.said(Reason::kInvalidKeGroup));
}

TEST(Establish, cookie_and_another_group_together_work) {
  Options options;
  options.cookie_threshold = 0;
  Pair pair(1, options);
  pair.moon_side.connection.proposals = ike_proposals({"aes256gcm16-prfsha256-modp2048-x25519"});
  pair.up();
  pair.exchange();
}

TEST(Establish, lost_repeated_and_late_messages_do_no_harm) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Pair pair(seed);
    pair.world.loss_percent = 30;
    pair.world.repeat_percent = 30;
    pair.world.reorder_ns = 300 * kMillisecond;
    pair.moon_side.connection.keying_tries = 0;
    pair.load();
    pair.moon.initiate("net", "lan");
    pair.world.run_for(900 * kSecond);
    EXPECT_EQ(pair.moon.established(), 1U) << seed << pair.moon.log_text();
    EXPECT_EQ(pair.moon.children(), 1U) << seed;
    pair.world.loss_percent = pair.world.repeat_percent = 0;
    pair.world.reorder_ns = 0;
    pair.exchange();
    pair.moon.check_dataplane();
    EXPECT_EQ(pair.sun.engine->totals().half_open, 0U) << seed;
  }
}

TEST(Establish, retransmitted_request_gets_the_same_bytes_again) {
  Pair pair;
  pair.load();
  int dropped = 0;
  pair.world.filter = [&](const Packet& packet) {
    // Every first answer of sun is lost.
    return packet.source.address != address_of(kSun) || ++dropped % 2 == 0;
  };
  pair.moon.initiate("net", "lan");
  pair.world.run_for(20 * kSecond);
  EXPECT_EQ(pair.moon.established(), 1U);
  ASSERT_EQ(pair.sun.sent.size(), 4U);
  EXPECT_EQ(pair.sun.sent[0].payload, pair.sun.sent[1].payload) << "IKE_SA_INIT";
  EXPECT_EQ(pair.sun.sent[2].payload, pair.sun.sent[3].payload) << "IKE_AUTH";
  EXPECT_EQ(pair.sun.established(), 1U) << "and one IKE SA";
  EXPECT_EQ(pair.sun.engine->totals().ike_sas, 1U);
}

TEST(Establish, silent_peer_fails_after_five_repeats) {
  Pair pair;
  pair.load();
  pair.world.filter = [](const Packet&) { return false; };
  const CommandId command = pair.moon.initiate("net", "lan");
  pair.world.run_for(164 * kSecond);
  EXPECT_FALSE(pair.moon.end_of(command).has_value());
  pair.world.run_for(3 * kSecond);
  ASSERT_TRUE(pair.moon.end_of(command).has_value());
  EXPECT_EQ(pair.moon.end_of(command)->reason, Reason::kTimeout);
  EXPECT_EQ(pair.moon.sent.size(), 6U);
  EXPECT_TRUE(pair.moon.sas().empty());
  pair.check();
}

TEST(Establish, keyingtries_zero_goes_on_for_ever) {
  Pair pair;
  pair.moon_side.connection.keying_tries = 0;
  pair.load();
  pair.world.filter = [](const Packet&) { return false; };
  pair.moon.initiate("net", "lan");
  pair.world.run_for(1000 * kSecond);
  pair.world.filter = nullptr;
  pair.world.run_for(100 * kSecond);
  EXPECT_EQ(pair.moon.established(), 1U);
  EXPECT_EQ(pair.moon.children(), 1U);
  pair.check();
}

TEST(Establish, half_open_responder_forgets_after_its_time) {
  Pair pair;
  pair.load();
  pair.world.filter = [](const Packet& packet) {  // IKE_AUTH never arrives
    return packet.destination.port != 4500;
  };
  pair.moon.initiate("net", "lan");
  pair.world.run_for(29 * kSecond);
  EXPECT_EQ(pair.sun.engine->totals().half_open, 1U);
  pair.world.run_for(3 * kSecond);
  EXPECT_EQ(pair.sun.engine->totals().half_open, 0U);
  EXPECT_TRUE(pair.sun.said(Reason::kHalfOpenTimeout));
  EXPECT_TRUE(pair.sun.sas().empty());
}

TEST(Establish, one_address_has_a_limit_of_half_open_sas) {
  Options options;
  options.half_open_per_source = 2;
  Pair pair(1, options);
  pair.load();
  for (int i = 0; i < 5; ++i) {
    pair.moon.restart();
    pair.moon.load(pair.moon_side.build());
    pair.world.filter = [](const Packet& packet) { return packet.destination.port != 4500; };
    pair.moon.initiate("net", "lan");
    pair.world.run_for(kSecond);
  }
  EXPECT_EQ(pair.sun.engine->totals().half_open, 2U);
  EXPECT_EQ(pair.sun.engine->totals().half_open_refused, 3U);
}

// --- refusals ------------------------------------------------------------------------------------

TEST(Refuse, no_common_proposal_names_what_was_offered) {
  Pair pair;
  pair.sun_side.connection.proposals = ike_proposals({"aes128gcm16-prfsha256-x25519"});
  expect_refusal(pair, Reason::kNoProposalChosen, Reason::kNoProposalChosen);
  EXPECT_TRUE(pair.moon.said("NO_PROPOSAL_CHOSEN"));
  EXPECT_TRUE(pair.moon.said("aes256gcm16-prfsha256-x25519"));
}

TEST(Refuse, no_connection_for_the_addresses) {
  Pair pair;
  pair.sun_side.connection.remote_addresses = at("203.0.113.9");
  expect_refusal(pair, Reason::kNoProposalChosen, Reason::kNoConnection);
}

TEST(Refuse, wrong_psk_is_named_at_the_responder) {
  Pair pair;
  pair.psk = false;
  pair.moon.add_psk("a secret");
  pair.sun.add_psk("another secret");
  expect_refusal(pair, Reason::kPeerRefusedAuth, Reason::kPskMismatch);
  EXPECT_TRUE(pair.moon.said("AUTHENTICATION_FAILED"));
}

TEST(Refuse, missing_psk_is_named_on_both_sides) {
  Pair responder;
  responder.psk = false;
  responder.moon.add_psk("a secret");
  expect_refusal(responder, Reason::kPeerRefusedAuth, Reason::kPskMissing);
  Pair initiator;
  initiator.psk = false;
  initiator.sun.add_psk("a secret");
  initiator.load();
  const CommandId command = initiator.moon.initiate("net", "lan");
  initiator.world.settle();
  EXPECT_EQ(initiator.moon.end_of(command)->reason, Reason::kPskMissing);
}

TEST(Refuse, identity_of_the_initiator_is_not_known) {
  Pair pair;
  pair.moon_side.connection.local.id = id_of("mars.example");
  expect_refusal(pair, Reason::kPeerRefusedAuth, Reason::kIdentityMismatch);
  EXPECT_TRUE(pair.sun.said("mars.example"));
}

TEST(Refuse, identity_of_the_responder_is_another_one) {
  Pair pair;
  pair.moon_side.connection.remote.id = id_of("*.example.org");  // no IDr goes out
  expect_refusal(pair, Reason::kIdentityMismatch, Reason::kPeerRefusedAuth);
  EXPECT_TRUE(pair.moon.said("the peer is sun.example"));
}

TEST(Refuse, other_kind_of_authentication_is_named) {
  Pki pki;
  Pair pair;
  pki.give(pair.sun, "sun.example");
  pair.sun_side.connection.remote.method = AuthClass::kPubkey;
  expect_refusal(pair, Reason::kPeerRefusedAuth, Reason::kAuthMethodMismatch);
}

}  // namespace
}  // namespace penstock::ike::simulation
