// CREATE_CHILD_SA for children and their deletion: new ones, rekeys, collisions (RFC 7296 2.8.1,
// 2.25.1), limits, actions.
#include <gtest/gtest.h>

#include "controlplane/ike/selectors.h"
#include "tests/scenario/ike/pair.h"

namespace penstock::ike::simulation {
namespace {

using Strings = std::vector<std::string>;

struct TwoChildren : Pair {
  TwoChildren() {
    moon_side.children.push_back(child_of("dmz", {"10.11.0.0/16"}, {"10.12.0.0/16"}));
    sun_side.children.push_back(child_of("dmz", {"10.12.0.0/16"}, {"10.11.0.0/16"}));
  }
};

TEST(Child, second_one_comes_in_an_exchange_of_its_own) {
  TwoChildren pair;
  pair.up();
  pair.world.arrows.clear();
  const CommandId command = pair.moon.initiate("net", "dmz");
  pair.world.settle();
  EXPECT_TRUE(pair.moon.succeeded(command));
  // RFC 7296 1.3.1
  EXPECT_EQ(pair.world.arrows,
            (Strings{"moon>sun CREATE_CHILD_SA 2", "sun>moon CREATE_CHILD_SA 2 R"}));
  EXPECT_EQ(pair.moon.children(), 2U);
  EXPECT_EQ(pair.moon.engine->totals().ike_sas, 1U);
  pair.exchange("dmz");
  pair.exchange("lan");
  pair.check();
}

TEST(Child, responder_of_the_ike_sa_may_make_one_too) {
  TwoChildren pair;
  pair.up();
  pair.world.arrows.clear();
  const CommandId command = pair.sun.initiate("net", "dmz");
  pair.world.settle();
  EXPECT_TRUE(pair.sun.succeeded(command));
  EXPECT_EQ(pair.world.arrows,
            (Strings{"sun>moon CREATE_CHILD_SA 0", "moon>sun CREATE_CHILD_SA 0 R"}));
  pair.exchange("dmz");
}

TEST(Child, both_sides_make_one_at_once) {
  TwoChildren pair;
  pair.up();
  pair.moon.initiate("net", "dmz");
  pair.sun.initiate("net", "dmz");
  pair.world.settle();
  EXPECT_EQ(pair.moon.children(), 3U) << "neither knows of the other's request";
  pair.exchange("dmz");
  pair.check();
}

TEST(Child, has_perfect_forward_secrecy_and_counts_where_not) {
  TwoChildren pair;
  pair.sun_side.children[1].proposals = esp_proposals({"aes256gcm16-x25519", "aes256gcm16"});
  pair.moon_side.children[1].proposals = esp_proposals({"aes256gcm16"});
  pair.up();
  pair.moon.initiate("net", "dmz");
  pair.world.settle();
  EXPECT_EQ(pair.moon.children(), 2U);
  EXPECT_EQ(pair.sun.engine->totals().children_without_pfs, 1U);
}

TEST(Child, require_pfs_refuses_one_without) {
  TwoChildren pair;
  pair.sun_side.children[1].proposals = esp_proposals({"aes256gcm16-x25519", "aes256gcm16"});
  pair.sun_side.children[1].require_pfs = true;
  pair.moon_side.children[1].proposals = esp_proposals({"aes256gcm16"});
  pair.up();
  const CommandId command = pair.moon.initiate("net", "dmz");
  pair.world.settle();
  EXPECT_EQ(pair.moon.end_of(command)->reason, Reason::kNoProposalChosen);
  EXPECT_TRUE(pair.sun.said(Reason::kPfsRequired));
  EXPECT_EQ(pair.moon.children(), 1U);
  pair.check();
}

TEST(Child, other_group_is_asked_for_and_given) {
  TwoChildren pair;
  pair.moon_side.children[1].proposals = esp_proposals({"aes256gcm16-ecp256-x25519"});
  pair.up();
  pair.world.arrows.clear();
  const CommandId command = pair.moon.initiate("net", "dmz");
  pair.world.settle();
  EXPECT_TRUE(pair.moon.succeeded(command));
  EXPECT_EQ(pair.world.arrows.size(), 4U) << "INVALID_KE_PAYLOAD (1.3.1)";
  EXPECT_EQ(pair.moon.sa()->children.at(1).suite.group, DhGroup::kCurve25519);
  pair.exchange("dmz");
  pair.check();
}

TEST(Child, unacceptable_selectors_are_refused_and_change_nothing) {
  TwoChildren pair;
  pair.sun_side.children.pop_back();
  pair.up();
  const CommandId command = pair.moon.initiate("net", "dmz");
  pair.world.settle();
  EXPECT_EQ(pair.moon.end_of(command)->reason, Reason::kTsUnacceptable);
  pair.expect_one_of_each();
  pair.exchange();
}

// --- rekeys --------------------------------------------------------------------------------------

TEST(ChildRekey, goes_without_a_lost_packet_and_deletes_the_old_one) {
  Pair pair;
  pair.up();
  const auto before = pair.moon.sa()->children.at(0);
  pair.world.arrows.clear();
  pair.traffic(kSecond);
  EXPECT_EQ(pair.moon.engine->rekey(pair.moon.now(), {"", "lan", 0, 0}, false), 1U);
  pair.moon.drain();
  EXPECT_EQ(pair.traffic(10 * kSecond), 0U);
  // RFC 7296 1.3.3, 1.4.1
  EXPECT_EQ(pair.world.arrows,
            (Strings{"moon>sun CREATE_CHILD_SA 2", "sun>moon CREATE_CHILD_SA 2 R",
                     "moon>sun INFORMATIONAL 3", "sun>moon INFORMATIONAL 3 R"}));
  pair.expect_one_of_each();
  const auto after = pair.moon.sa()->children.at(0);
  EXPECT_NE(after.inbound_spi, before.inbound_spi);
  EXPECT_NE(after.unique_id, before.unique_id);
  EXPECT_EQ(after.tunnel, before.tunnel) << "the same line in the dataplane";
  EXPECT_EQ(after.reqid, before.reqid);
  EXPECT_EQ(pair.moon.notified(Notify::Kind::kChildRekeyed), 1U);
  EXPECT_EQ(pair.sun.notified(Notify::Kind::kChildRekeyed), 1U);
  EXPECT_EQ(pair.moon.notified(Notify::Kind::kChildDown), 0U);
  EXPECT_EQ(pair.sun.notified(Notify::Kind::kChildUp), 1U);
}

TEST(ChildRekey, by_the_responder_of_the_ike_sa_works) {
  Pair pair;
  pair.up();
  pair.sun.engine->rekey(pair.sun.now(), {"", "lan", 0, 0}, false);
  pair.sun.drain();
  EXPECT_EQ(pair.traffic(10 * kSecond), 0U);
  pair.expect_one_of_each();
}

TEST(ChildRekey, without_traffic_the_responder_switches_with_the_delete) {
  Pair pair;
  pair.up();
  pair.moon.engine->rekey(pair.moon.now(), {"", "lan", 0, 0}, false);
  pair.moon.drain();
  pair.world.run_for(20 * kSecond);
  pair.expect_one_of_each();
  const auto tunnel = pair.sun.tunnels.begin()->second;
  EXPECT_EQ(tunnel.current, pair.sun.sa()->children.at(0).inbound_spi);
  pair.exchange();
}

TEST(ChildRekey, comes_with_its_time_on_and_on_and_nothing_multiplies) {
  Pair pair;
  pair.up();
  for (int hour = 0; hour < 24; ++hour) {
    pair.world.run_for(3600 * kSecond);
    pair.exchange();
  }
  pair.world.run_for(kSecond * 40);
  pair.expect_one_of_each();
  EXPECT_GT(pair.moon.engine->counters()[static_cast<size_t>(Counter::kChildRekey)], 22U);
}

TEST(ChildRekey, soft_limit_starts_one_and_hard_limit_ends_the_child) {
  Pair pair;
  pair.moon_side.children[0].lifetimes.rekey_bytes = 1000;
  pair.moon_side.children[0].lifetimes.life_bytes = 2000;
  pair.moon_side.children[0].lifetimes.random_bytes = 100;
  pair.up();
  const auto before = pair.moon.sa()->children.at(0);
  const EspParameters& limits = pair.moon.sas_installed.begin()->second.parameters;
  EXPECT_EQ(limits.hard_bytes, 2000U);
  EXPECT_GE(limits.soft_bytes, 900U);
  EXPECT_LE(limits.soft_bytes, 1000U);
  pair.moon.raise("lan", kEventSoftLimit);
  pair.moon.raise("lan", kEventSoftLimit);
  pair.world.run_for(10 * kSecond);
  pair.expect_one_of_each();
  EXPECT_NE(pair.moon.sa()->children.at(0).inbound_spi, before.inbound_spi);
  pair.moon.raise("lan", kEventHardLimit);
  pair.world.settle();
  EXPECT_EQ(pair.moon.children(), 0U);
  EXPECT_EQ(pair.sun.children(), 0U);
  pair.check();
}

TEST(ChildRekey, refused_one_is_tried_again_and_the_old_one_lives) {
  Pair pair;
  pair.sun_side.children[0].proposals = esp_proposals({"aes256gcm16-ecp384"});
  pair.up();  // IKE_AUTH knows no groups
  pair.moon.engine->rekey(pair.moon.now(), {"", "lan", 0, 0}, false);
  pair.moon.drain();
  EXPECT_EQ(pair.traffic(30 * kSecond), 0U);
  EXPECT_TRUE(pair.moon.said("NO_PROPOSAL_CHOSEN"));
  pair.expect_one_of_each();
}

TEST(ChildRekey, of_both_sides_at_once_leaves_one) {
  unsigned moon_won = 0;
  for (uint64_t seed = 1; seed <= 16; ++seed) {
    Pair pair(seed);
    pair.up();
    pair.world.arrows.clear();
    pair.moon.engine->rekey(pair.moon.now(), {"", "lan", 0, 0}, false);
    pair.sun.engine->rekey(pair.sun.now(), {"", "lan", 0, 0}, false);
    pair.moon.drain();
    pair.sun.drain();
    EXPECT_EQ(pair.traffic(10 * kSecond), 0U) << seed;
    // RFC 7296 2.8.1: two CREATE_CHILD_SA, then each deletes what is its to delete.
    EXPECT_EQ(pair.world.arrows.size(), 8U) << seed;
    pair.expect_one_of_each();
    const auto child = pair.moon.sa()->children.at(0);
    EXPECT_EQ(child.outbound_spi, pair.sun.sa()->children.at(0).inbound_spi) << seed;
    moon_won += pair.moon.said("the peer's stays") ? 0 : 1;
    EXPECT_NE(pair.moon.said("the peer's stays"), pair.sun.said("the peer's stays"));
    EXPECT_EQ(pair.moon.notified(Notify::Kind::kChildRekeyed), 1U);
    EXPECT_EQ(pair.sun.notified(Notify::Kind::kChildRekeyed), 1U);
    pair.exchange();
  }
  EXPECT_GT(moon_won, 0U);
  EXPECT_LT(moon_won, 16U);
}

TEST(ChildRekey, of_both_sides_under_loss_and_slow_jobs_leaves_one) {
  Options options;
  options.retransmit_base = 1.2;
  options.retransmit_tries = 14;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Pair pair(seed, options);
    pair.up();
    pair.world.loss_percent = 30;
    pair.world.repeat_percent = 20;
    pair.world.reorder_ns = 50 * kMillisecond;
    pair.world.job_ns = static_cast<Nanoseconds>(pair.world.dice.below(3000)) * kMillisecond;
    pair.moon.engine->rekey(pair.moon.now(), {"", "lan", 0, 0}, false);
    pair.moon.drain();
    pair.world.run_for(static_cast<Nanoseconds>(pair.world.dice.below(2000)) * kMillisecond);
    pair.sun.engine->rekey(pair.sun.now(), {"", "lan", 0, 0}, false);
    pair.sun.drain();
    pair.world.run_for(200 * kSecond);
    pair.world.loss_percent = pair.world.repeat_percent = 0;
    pair.world.reorder_ns = 0;
    pair.world.run_for(300 * kSecond);
    pair.expect_one_of_each();
    EXPECT_EQ(pair.moon.sa()->children.at(0).outbound_spi,
              pair.sun.sa()->children.at(0).inbound_spi)
        << seed;
    pair.exchange();
    if (HasFailure()) {
      ADD_FAILURE() << "seed " << seed << "\n" << pair.moon.log_text() << pair.sun.log_text();
      return;
    }
  }
}

// --- deletes -------------------------------------------------------------------------------------

TEST(ChildDelete, from_each_side_removes_it_and_leaves_the_ike_sa) {
  for (const bool by_moon : {true, false}) {
    Pair pair;
    pair.up();
    pair.world.arrows.clear();
    Node& node = by_moon ? pair.moon : pair.sun;
    const CommandId command = node.terminate({"", "lan", 0, 0});
    pair.world.settle();
    EXPECT_TRUE(node.succeeded(command));
    EXPECT_EQ(pair.world.arrows.size(), 2U);  // RFC 7296 1.4.1
    EXPECT_EQ(pair.moon.children() + pair.sun.children(), 0U);
    EXPECT_EQ(pair.moon.established(), 1U);
    EXPECT_TRUE(pair.moon.tunnels.empty());
    EXPECT_TRUE(pair.sun.policies.empty());
    EXPECT_EQ(pair.moon.notified(Notify::Kind::kChildDown), 1U);
    EXPECT_EQ(pair.sun.notified(Notify::Kind::kChildDown), 1U);
    pair.check();
  }
}

TEST(ChildDelete, from_both_sides_at_once_removes_it) {
  Pair pair;
  pair.up();
  const CommandId first = pair.moon.terminate({"", "lan", 0, 0});
  const CommandId second = pair.sun.terminate({"", "lan", 0, 0});
  pair.world.settle();
  EXPECT_TRUE(pair.moon.succeeded(first));
  EXPECT_TRUE(pair.sun.succeeded(second));
  EXPECT_EQ(pair.moon.children() + pair.sun.children(), 0U);
  EXPECT_EQ(pair.moon.established(), 1U);
  pair.check();
}

TEST(ChildDelete, against_a_rekey_at_the_same_time_ends_without_it) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Pair pair(seed);
    pair.up();
    pair.world.reorder_ns = 20 * kMillisecond;
    pair.moon.engine->rekey(pair.moon.now(), {"", "lan", 0, 0}, false);
    pair.moon.drain();
    pair.world.run_for(static_cast<Nanoseconds>(pair.world.dice.below(30)) * kMillisecond);
    pair.sun.terminate({"", "lan", 0, 0});
    pair.world.run_for(100 * kSecond);
    // Which of the two came first decides; both sides agree.
    EXPECT_EQ(pair.moon.children(), pair.sun.children()) << seed << pair.moon.log_text();
    EXPECT_EQ(pair.moon.established(), 1U);
    pair.check();
  }
}

TEST(ChildDelete, close_action_start_makes_it_again) {
  Pair pair;
  pair.moon_side.children[0].close_action = CloseAction::kStart;
  pair.up();
  pair.sun.terminate({"", "lan", 0, 0});
  pair.world.settle();
  EXPECT_EQ(pair.moon.children(), 1U);
  EXPECT_EQ(pair.sun.children(), 1U);
  // Of the whole IKE SA too.
  pair.sun.terminate({"net", "", 0, 0});
  pair.world.settle();
  pair.expect_one_of_each();
  pair.exchange();
}

TEST(ChildDelete, close_action_trap_leaves_a_trap) {
  Pair pair;
  pair.moon_side.children[0].close_action = CloseAction::kTrap;
  pair.up();
  pair.sun.terminate({"", "lan", 0, 0});
  pair.world.settle();
  EXPECT_EQ(pair.moon.children(), 0U);
  EXPECT_EQ(pair.moon.engine->policies().size(), 1U);
}

TEST(ChildDelete, unused_child_goes_after_its_inactivity) {
  Pair pair;
  pair.moon_side.children[0].inactivity_ns = 60 * kSecond;
  pair.up();
  pair.traffic(50 * kSecond);
  pair.world.run_for(50 * kSecond);
  EXPECT_EQ(pair.moon.children(), 1U);
  pair.world.run_for(30 * kSecond);
  EXPECT_EQ(pair.moon.children(), 0U);
  EXPECT_EQ(pair.sun.children(), 0U);
  EXPECT_TRUE(pair.moon.said(Reason::kInactivity));
}

TEST(ChildDelete, child_that_cannot_be_rekeyed_ends_with_its_lifetime) {
  Pair pair;
  pair.moon_side.children[0].lifetimes.rekey_ns = 0;
  pair.sun_side.children[0].lifetimes = {};
  pair.up();
  pair.world.run_for(3959 * kSecond);
  EXPECT_EQ(pair.moon.children(), 1U);
  pair.world.run_for(3 * kSecond);
  EXPECT_EQ(pair.moon.children(), 0U);
  EXPECT_EQ(pair.sun.children(), 0U);
  EXPECT_TRUE(pair.moon.said(Reason::kLifetime));
  pair.check();
}

// --- traps ---------------------------------------------------------------------------------------

// UDP from 10.1.0.7:1000 to 10.2.0.9:53.
ByteVector packet() {
  ByteVector bytes(32);
  bytes[0] = 0x45;
  bytes[3] = 32;
  bytes[8] = 64;
  bytes[9] = 17;
  const std::array<uint8_t, 12> rest{10, 1, 0, 7, 10, 2, 0, 9, 0x03, 0xe8, 0, 53};
  std::copy(rest.begin(), rest.end(), bytes.begin() + 12);
  bytes.back() = 77;
  return bytes;
}

TEST(Trap, first_packet_makes_the_child_and_arrives) {
  Pair pair;
  pair.moon_side.children[0].trap = true;
  pair.load();
  ASSERT_EQ(pair.moon.engine->policies().size(), 1U);
  EXPECT_EQ(pair.moon.policies.size(), 1U);
  EXPECT_TRUE(pair.world.arrows.empty());
  pair.moon.acquire("lan", packet());
  pair.moon.acquire("lan", packet());  // the second one does not start a second IKE SA
  pair.world.settle();
  EXPECT_EQ(pair.world.arrows.size(), 4U);
  EXPECT_EQ(pair.moon.children(), 1U);
  EXPECT_EQ(pair.sun.data, (std::vector<std::pair<std::string, uint8_t>>{{"lan", 77}}));
  EXPECT_EQ(pair.moon.policies.size(), 2U);
  // The child's policy goes before the trap's.
  EXPECT_GT(pair.moon.policies.begin()->second.priority,
            pair.moon.policies.rbegin()->second.priority);
  EXPECT_EQ(pair.moon.sa()->children[0].reqid, 1U) << "that of the trap";
  // When the child is gone, the trap works again.
  pair.sun.terminate({"net", "", 0, 0});
  pair.world.settle();
  EXPECT_EQ(pair.moon.policies.size(), 1U);
  pair.moon.acquire("lan", packet());
  pair.world.settle();
  EXPECT_EQ(pair.moon.children(), 1U);
  pair.moon.check_dataplane();
}

TEST(Trap, failed_initiation_leaves_it_ready) {
  Pair pair;
  pair.moon_side.children[0].trap = true;
  pair.load();
  pair.world.filter = [](const Packet&) { return false; };
  pair.moon.acquire("lan", packet());
  pair.world.run_for(200 * kSecond);
  pair.world.filter = nullptr;
  pair.moon.acquire("lan", packet());
  pair.world.settle();
  EXPECT_EQ(pair.moon.children(), 1U);
}

TEST(Trap, shunts_and_reload_change_what_changed_only) {
  Pair pair;
  auto pass = child_of("local", {"10.1.0.0/16"}, {"10.1.0.0/16"});
  pass.mode = ChildMode::kPass;
  pass.trap = true;
  pair.moon_side.children.push_back(pass);
  pair.moon_side.children[0].trap = true;
  pair.load();
  ASSERT_EQ(pair.moon.policies.size(), 2U);
  const auto before = pair.moon.policies;
  EXPECT_EQ(before.rbegin()->second.action, PolicyAction::kBypass);
  EXPECT_LT(before.rbegin()->second.priority, before.begin()->second.priority);
  pair.moon.load(pair.moon_side.build());
  EXPECT_EQ(pair.moon.policies.size(), 2U);
  EXPECT_EQ(pair.moon.policies.begin()->first, before.begin()->first) << "untouched";
  pair.moon_side.children.pop_back();
  pair.moon.load(pair.moon_side.build());
  EXPECT_EQ(pair.moon.policies.size(), 1U);
  EXPECT_TRUE(pair.moon.engine->uninstall(pair.moon.now(), "net", "lan").ok());
  EXPECT_FALSE(pair.moon.engine->uninstall(pair.moon.now(), "net", "lan").ok());
  pair.moon.drain();
  EXPECT_TRUE(pair.moon.policies.empty());
  EXPECT_TRUE(pair.moon.engine->install(pair.moon.now(), "", "lan").ok());
  EXPECT_TRUE(pair.moon.engine->unload_connection(pair.moon.now(), "net"));
  pair.moon.drain();
  EXPECT_TRUE(pair.moon.policies.empty());
  pair.moon.check_dataplane();
}

TEST(Trap, start_action_start_initiates_when_loaded) {
  Pair pair;
  pair.moon_side.children[0].start = true;
  pair.load();
  pair.world.settle();
  pair.expect_one_of_each();
  pair.moon.load(pair.moon_side.build());
  pair.world.settle();
  pair.expect_one_of_each();
}

}  // namespace
}  // namespace penstock::ike::simulation
