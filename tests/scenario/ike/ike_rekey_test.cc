// Rekeying the IKE SA and both sides doing so at once (RFC 7296 2.8.2, 2.25.2), reauthentication
// (2.8.3, RFC 4478), uniqueness.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/scenario/ike/pair.h"

namespace penstock::ike::simulation {
namespace {

using Strings = std::vector<std::string>;

// PENSTOCK_SEEDS: how many, for a longer search by hand.
uint64_t last_seed(uint64_t usual) {
  const char* const wanted = std::getenv("PENSTOCK_SEEDS");
  return wanted == nullptr ? usual : std::strtoull(wanted, nullptr, 10);
}

void rekey_ike(Node& node, bool reauthenticate = false) {
  EXPECT_EQ(node.engine->rekey(node.now(), {"net", "", 0, 0}, reauthenticate), 1U);
  node.drain();
}

TEST(IkeRekey, moves_the_children_without_touching_them) {
  for (const bool by_moon : {true, false}) {
    Pair pair;
    pair.up();
    const auto before = *pair.moon.sa();
    pair.world.arrows.clear();
    rekey_ike(by_moon ? pair.moon : pair.sun);
    EXPECT_EQ(pair.traffic(3 * kSecond), 0U);
    // RFC 7296 1.3.2, 1.4.1
    if (by_moon) {
      EXPECT_EQ(pair.world.arrows,
                (Strings{"moon>sun CREATE_CHILD_SA 2", "sun>moon CREATE_CHILD_SA 2 R",
                         "moon>sun INFORMATIONAL 3", "sun>moon INFORMATIONAL 3 R"}));
    }
    pair.expect_one_of_each();
    const auto after = *pair.moon.sa();
    EXPECT_NE(after.initiator_spi, before.initiator_spi);
    EXPECT_EQ(after.initiator_spi, pair.sun.sa()->initiator_spi);
    EXPECT_EQ(after.initiator, by_moon) << "whoever rekeys is the initiator of the new one";
    EXPECT_EQ(after.children[0].inbound_spi, before.children[0].inbound_spi);
    EXPECT_EQ(pair.moon.notified(Notify::Kind::kIkeRekeyed), 1U);
    EXPECT_EQ(pair.sun.notified(Notify::Kind::kIkeRekeyed), 1U);
    EXPECT_EQ(pair.moon.notified(Notify::Kind::kIkeDown), 0U);
    // The new one works: message IDs from 0 (2.2).
    pair.world.arrows.clear();
    pair.moon.engine->rekey(pair.moon.now(), {"", "lan", 0, 0}, false);
    pair.moon.drain();
    EXPECT_EQ(pair.traffic(10 * kSecond), 0U);
    EXPECT_EQ(pair.world.arrows.at(0), "moon>sun CREATE_CHILD_SA 0");
    pair.expect_one_of_each();
  }
}

TEST(IkeRekey, of_both_sides_at_once_leaves_one) {
  unsigned moon_won = 0;
  for (uint64_t seed = 1; seed <= 16; ++seed) {
    Pair pair(seed);
    pair.up();
    rekey_ike(pair.moon);
    rekey_ike(pair.sun);
    EXPECT_EQ(pair.traffic(2 * kSecond), 0U);
    pair.expect_one_of_each();
    EXPECT_EQ(pair.moon.sa()->initiator_spi, pair.sun.sa()->initiator_spi) << seed;
    EXPECT_NE(pair.moon.said("the peer's IKE SA stays"), pair.sun.said("the peer's IKE SA stays"));
    moon_won += pair.moon.said("the peer's IKE SA stays") ? 0 : 1;
    pair.exchange();
  }
  EXPECT_GT(moon_won, 0U);
  EXPECT_LT(moon_won, 16U);
}

// All rekeys and deletes of both sides at any distance, with losses and slow jobs: in the end there
// is one of each, and both sides agree which.
TEST(IkeRekey, any_collision_under_loss_ends_with_one_of_each) {
  Options options;
  options.retransmit_base = 1.2;
  options.retransmit_tries = 14;
  for (uint64_t seed = 1; seed <= last_seed(120); ++seed) {
    Pair pair(seed, options);
    pair.up();
    World& world = pair.world;
    world.loss_percent = 25;
    world.repeat_percent = 20;
    world.reorder_ns = 100 * kMillisecond;
    world.job_ns = static_cast<Nanoseconds>(world.dice.below(1500)) * kMillisecond;
    for (int action = 0; action < 6; ++action) {
      Node& node = world.dice.below(2) == 0 ? pair.moon : pair.sun;
      const bool child = world.dice.below(2) == 0;
      node.engine->rekey(node.now(), {"net", child ? "lan" : "", 0, 0}, false);
      node.drain();
      world.run_for(static_cast<Nanoseconds>(world.dice.below(3000)) * kMillisecond);
    }
    world.run_for(300 * kSecond);
    world.loss_percent = world.repeat_percent = 0;
    world.reorder_ns = 0;
    world.run_for(400 * kSecond);
    pair.expect_one_of_each();
    if (pair.moon.sa() && pair.sun.sa()) {
      EXPECT_EQ(pair.moon.sa()->initiator_spi, pair.sun.sa()->initiator_spi);
    }
    if (!::testing::Test::HasFailure()) pair.exchange();
    if (::testing::Test::HasFailure()) {
      ADD_FAILURE() << "seed " << seed << "\n" << pair.moon.log_text() << pair.sun.log_text();
      return;
    }
  }
}

TEST(IkeRekey, two_days_of_lifetimes_leave_one_of_each) {
  Pair pair;
  pair.up();
  for (int hour = 0; hour < 48; ++hour) {
    pair.world.run_for(3600 * kSecond);
    pair.exchange();
  }
  pair.world.run_for(60 * kSecond);
  pair.expect_one_of_each();
  EXPECT_GT(pair.moon.notified(Notify::Kind::kIkeRekeyed), 11U);
}

TEST(IkeRekey, delete_of_the_ike_sa_meanwhile_ends_everything) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Pair pair(seed);
    pair.up();
    rekey_ike(pair.moon);
    pair.world.run_for(static_cast<Nanoseconds>(pair.world.dice.below(25)) * kMillisecond);
    const CommandId command = pair.sun.terminate({"net", "", 0, 0});
    pair.world.run_for(200 * kSecond);
    EXPECT_TRUE(pair.sun.succeeded(command));
    EXPECT_EQ(pair.moon.engine->totals().ike_sas, 0U) << seed << pair.moon.log_text();
    EXPECT_EQ(pair.sun.engine->totals().ike_sas, 0U) << seed << pair.sun.log_text();
    pair.check();
  }
}

TEST(IkeDelete, from_each_side_ends_everything) {
  for (const bool by_moon : {true, false}) {
    Pair pair;
    pair.up();
    pair.world.arrows.clear();
    Node& node = by_moon ? pair.moon : pair.sun;
    const CommandId command = node.terminate({"net", "", 0, 0});
    pair.world.settle();
    EXPECT_TRUE(node.succeeded(command));
    EXPECT_EQ(pair.world.arrows.size(), 2U);
    EXPECT_TRUE(pair.moon.sas().empty() && pair.sun.sas().empty());
    EXPECT_TRUE(pair.moon.tunnels.empty() && pair.sun.tunnels.empty());
    EXPECT_EQ(pair.moon.notified(Notify::Kind::kIkeDown), 1U);
    EXPECT_EQ(pair.sun.notified(Notify::Kind::kIkeDown), 1U);
    pair.check();
  }
}

TEST(IkeDelete, from_both_sides_at_once_ends_everything) {
  Pair pair;
  pair.up();
  const CommandId first = pair.moon.terminate({"net", "", 0, 0});
  const CommandId second = pair.sun.terminate({"net", "", 0, 0});
  pair.world.settle();
  EXPECT_TRUE(pair.moon.succeeded(first));
  EXPECT_TRUE(pair.sun.succeeded(second));
  EXPECT_TRUE(pair.moon.sas().empty() && pair.sun.sas().empty());
  pair.check();
}

TEST(IkeDelete, forced_one_does_not_wait_for_the_peer) {
  Pair pair;
  pair.up();
  pair.world.filter = [](const Packet&) { return false; };
  const CommandId command = pair.moon.terminate({"net", "", 0, 0}, true);
  EXPECT_TRUE(pair.moon.succeeded(command));
  EXPECT_TRUE(pair.moon.sas().empty());
  const CommandId nothing = pair.moon.terminate({"net", "", 0, 0}, true);
  EXPECT_FALSE(pair.moon.succeeded(nothing));
  pair.moon.check_dataplane();
}

TEST(IkeDelete, shutdown_tells_the_peer) {
  Pair pair;
  pair.up();
  EXPECT_EQ(pair.moon.engine->shutdown(pair.moon.now()), 1U);
  pair.moon.drain();
  EXPECT_TRUE(pair.moon.sas().empty());
  pair.world.settle();
  EXPECT_TRUE(pair.sun.sas().empty());
  EXPECT_TRUE(pair.sun.said(Reason::kDeletedByPeer));
}

// --- reauthentication ----------------------------------------------------------------------------

TEST(Reauthentication, break_before_make_makes_it_again) {
  Pair pair;
  pair.moon_side.connection.reauth_ns = 1000 * kSecond;
  pair.moon_side.connection.random_ns = 100 * kSecond;
  pair.up();
  pair.world.run_for(1001 * kSecond);
  pair.expect_one_of_each();
  EXPECT_EQ(pair.moon.notified(Notify::Kind::kIkeUp), 2U);
  EXPECT_EQ(pair.moon.notified(Notify::Kind::kIkeDown), 1U);
  pair.exchange();
}

TEST(Reauthentication, make_before_break_loses_nothing) {
  Pair pair;
  pair.moon_side.children.push_back(child_of("dmz", {"10.11.0.0/16"}, {"10.12.0.0/16"}));
  pair.sun_side.children.push_back(child_of("dmz", {"10.12.0.0/16"}, {"10.11.0.0/16"}));
  pair.moon_side.connection.make_before_break = true;
  pair.up();
  pair.moon.initiate("net", "dmz");
  pair.world.settle();
  const auto before = *pair.moon.sa();
  rekey_ike(pair.moon, true);
  EXPECT_EQ(pair.traffic(10 * kSecond), 0U);
  EXPECT_EQ(pair.moon.engine->totals().ike_sas, 1U);
  EXPECT_EQ(pair.sun.engine->totals().ike_sas, 1U);
  EXPECT_EQ(pair.moon.children(), 2U);
  EXPECT_NE(pair.moon.sa()->unique_id, before.unique_id);
  pair.check();
}

TEST(Reauthentication, responder_asks_for_it_by_auth_lifetime) {
  Pair pair;
  pair.sun_side.connection.reauth_ns = 1000 * kSecond;
  pair.sun_side.connection.random_ns = 0;
  pair.sun_side.connection.over_ns = 100 * kSecond;
  pair.up();
  EXPECT_TRUE(pair.moon.said("within 1000 s"));
  pair.world.run_for(1001 * kSecond);
  pair.expect_one_of_each();
  EXPECT_EQ(pair.sun.notified(Notify::Kind::kIkeUp), 2U);
}

TEST(Reauthentication, peer_that_does_not_is_deleted_after_over_time) {
  Pair pair;
  pair.sun_side.connection.reauth_ns = 1000 * kSecond;
  pair.sun_side.connection.random_ns = 0;
  pair.sun_side.connection.over_ns = 100 * kSecond;
  pair.up();
  pair.world.filter = [](const Packet& packet) {  // moon's new IKE_SA_INIT
    return packet.destination.port != 500 && packet.source.port != 500;
  };
  pair.moon_side.connection.make_before_break = true;
  pair.world.run_for(1500 * kSecond);
  EXPECT_TRUE(pair.sun.sas().empty());
}

TEST(Reauthentication, keeps_the_virtual_address) {
  Pair pair;
  const auto pool = PoolConfig::parse_addresses("rw", "10.3.0.0/28");
  ASSERT_TRUE(pair.sun.engine->load_pool(*pool).ok());
  pair.sun_side.connection.pools = {"rw"};
  pair.sun_side.children[0] = child_of("lan", {"10.2.0.0/16"}, {"dynamic"});
  pair.moon_side.children[0] = child_of("lan", {"dynamic"}, {"10.2.0.0/16"});
  pair.moon_side.connection.virtual_ips = {Ipv4Address{}};
  for (const bool make_before_break : {false, true}) {
    pair.moon_side.connection.make_before_break = make_before_break;
    pair.load();
    if (!pair.moon.sa()) pair.moon.initiate("net", "lan");
    pair.world.settle();
    ASSERT_TRUE(pair.moon.sa().has_value());
    const auto before = pair.moon.sa()->local_vips;
    rekey_ike(pair.moon, true);
    pair.world.run_for(30 * kSecond);
    pair.expect_one_of_each();
    EXPECT_EQ(pair.moon.sa()->local_vips, before);
    EXPECT_EQ(pair.sun.engine->pools().at(0).online, 1U);
    pair.moon.terminate({"net", "", 0, 0});
    pair.world.settle();
  }
}

// --- uniqueness ----------------------------------------------------------------------------------

// moon forgets everything and comes again.
void again(Pair& pair, bool forget) {
  if (forget) {
    pair.moon.restart();
    pair.moon.load(pair.moon_side.build());
  }
  pair.moon.initiate("net", "lan");
  pair.world.settle();
}

TEST(Uniqueness, initial_contact_removes_what_the_peer_has_lost) {
  Pair pair;
  pair.up();
  again(pair, true);
  EXPECT_EQ(pair.sun.engine->totals().ike_sas, 1U);
  EXPECT_TRUE(pair.sun.said(Reason::kReplaced));
  pair.exchange();
  pair.check();
}

TEST(Uniqueness, never_leaves_both) {
  Pair pair;
  pair.sun_side.connection.unique = Uniqueness::kNever;
  pair.up();
  again(pair, true);
  EXPECT_EQ(pair.sun.engine->totals().ike_sas, 2U);
}

struct SecondDevice : Pair {
  // mars has moon's identity at another address, and says no INITIAL_CONTACT.
  Node& second(Uniqueness unique) {
    sun_side.connection.unique = unique;
    sun_side.connection.remote_addresses.clear();
    up();
    Node& mars = world.add("mars", "192.0.2.3");
    Side side = moon_side;
    side.connection.local_addresses = at("192.0.2.3");
    side.connection.unique = Uniqueness::kNever;
    mars.add_psk("a secret");
    mars.load(side.build());
    mars.initiate("net", "lan");
    world.settle();
    return mars;
  }
};

TEST(Uniqueness, no_lets_two_devices_be) {
  SecondDevice pair;
  EXPECT_EQ(pair.second(Uniqueness::kNo).established(), 1U);
  EXPECT_EQ(pair.sun.engine->totals().ike_sas, 2U);
}

TEST(Uniqueness, replace_deletes_the_first_one) {
  SecondDevice pair;
  EXPECT_EQ(pair.second(Uniqueness::kReplace).established(), 1U);
  EXPECT_EQ(pair.sun.engine->totals().ike_sas, 1U);
  EXPECT_EQ(pair.moon.established(), 0U) << "and tells it";
}

TEST(Uniqueness, keep_refuses_the_second_one) {
  SecondDevice pair;
  Node& mars = pair.second(Uniqueness::kKeep);
  EXPECT_EQ(mars.established(), 0U);
  EXPECT_TRUE(mars.said(Reason::kPeerRefusedAuth));
  EXPECT_TRUE(pair.sun.said(Reason::kDuplicate));
  EXPECT_EQ(pair.moon.established(), 1U);
}

TEST(Uniqueness, both_ends_starting_at_once_keep_one) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    Pair pair(seed);
    for (Side* const side : {&pair.moon_side, &pair.sun_side}) {
      side->children[0].start = true;
      side->children[0].close_action = CloseAction::kStart;
      side->children[0].dpd_action = DpdAction::kRestart;
    }
    pair.world.reorder_ns = 10 * kMillisecond;
    pair.load();
    pair.world.run_for(60 * kSecond);
    pair.world.reorder_ns = 0;
    pair.expect_one_of_each();
    pair.world.run_for(20 * 3600 * kSecond);
    pair.world.run_for(60 * kSecond);
    pair.expect_one_of_each();
    pair.exchange();
  }
}

}  // namespace
}  // namespace penstock::ike::simulation
