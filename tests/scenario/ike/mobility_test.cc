// Addresses that change, NATs, dead peers: MOBIKE (RFC 4555), NAT traversal (RFC 7296 2.23), DPD
// (2.4) and what a restarted gateway hints at (2.21.4).
#include <gtest/gtest.h>

#include "tests/scenario/ike/pair.h"

namespace penstock::ike::simulation {
namespace {

using Strings = std::vector<std::string>;

struct Natted : Pair {
  explicit Natted(bool mobike = true) : nat(world, "10.0.0.7", "203.0.113.1") {
    moon.addresses = {address_of("10.0.0.7")};
    moon_side.connection.local_addresses.clear();
    sun_side.connection.remote_addresses.clear();
    moon_side.connection.mobike = mobike;
    sun_side.connection.mobike = mobike;
  }
  Nat nat;
};

TEST(NatTraversal, is_seen_on_both_sides_and_floats) {
  Natted pair;
  pair.up();
  const auto moon = *pair.moon.sa(), sun = *pair.sun.sa();
  EXPECT_TRUE(moon.nat_local);
  EXPECT_FALSE(moon.nat_remote);
  EXPECT_TRUE(sun.nat_remote);
  EXPECT_FALSE(sun.nat_local);
  EXPECT_TRUE(moon.children[0].encapsulated);
  EXPECT_TRUE(sun.children[0].encapsulated);
  EXPECT_EQ(sun.remote, endpoint_of("203.0.113.1:14500"));
  pair.exchange();
  pair.check();
}

TEST(NatTraversal, keepalives_come_only_without_other_traffic) {
  Natted pair;
  pair.up();
  pair.world.run_for(101 * kSecond);
  EXPECT_EQ(pair.sun.keepalives_received, 5U);
  EXPECT_EQ(pair.moon.keepalives_received, 0U) << "sun is not behind a NAT";
}

TEST(NatTraversal, forced_encapsulation_pretends_a_nat) {
  Pair pair;
  pair.moon_side.connection.encap = true;
  pair.up();
  EXPECT_TRUE(pair.moon.sa()->children[0].encapsulated);
  EXPECT_TRUE(pair.sun.sa()->children[0].encapsulated);
  EXPECT_TRUE(pair.sun.sa()->nat_remote);
  EXPECT_TRUE(pair.moon.sa()->nat_any);
  pair.exchange();
}

TEST(NatTraversal, new_mapping_is_followed_without_mobike) {
  Natted pair(false);
  pair.up();
  pair.nat.port_offset = 20'000;
  EXPECT_TRUE(pair.moon.send_data("lan", 1));  // ESP under the new mapping
  pair.world.run_for(kSecond);
  EXPECT_EQ(pair.sun.sa()->remote, endpoint_of("203.0.113.1:24500"));
  EXPECT_EQ(pair.sun.tunnels.begin()->second.remote, endpoint_of("203.0.113.1:24500"));
  pair.exchange();
  // And by an authenticated IKE message.
  pair.nat.port_offset = 30'000;
  pair.moon.engine->rekey(pair.moon.now(), {"", "lan", 0, 0}, false);
  pair.moon.drain();
  pair.world.run_for(10 * kSecond);
  EXPECT_EQ(pair.sun.sa()->remote, endpoint_of("203.0.113.1:34500"));
  pair.exchange();
}

TEST(NatTraversal, replayed_and_forged_messages_move_nothing) {
  Natted pair(false);
  pair.up();
  const Endpoint before = pair.sun.sa()->remote;
  ASSERT_FALSE(pair.moon.sent.empty());
  for (Packet packet : std::vector<Packet>(pair.moon.sent)) {
    packet.source = endpoint_of("198.51.100.66:6666");
    pair.sun.receive(packet);
    if (packet.payload.size() > 60) packet.payload[50] ^= 1;
    pair.sun.receive(packet);
  }
  pair.world.run_for(kSecond);
  EXPECT_EQ(pair.sun.sa()->remote, before);
  EXPECT_EQ(pair.sun.established(), 1U);
  pair.exchange();
}

TEST(Mobike, address_change_under_traffic_loses_only_what_was_on_the_way) {
  Pair pair;
  pair.sun_side.connection.remote_addresses.clear();
  pair.moon_side.connection.local_addresses.clear();
  pair.up();
  pair.traffic(kSecond);
  pair.world.arrows.clear();
  pair.moon.addresses = {address_of("192.0.2.77")};
  pair.moon.engine->on_addresses_changed(pair.moon.now());
  pair.moon.drain();
  pair.world.run_for(kSecond);
  // RFC 4555 2.2: UPDATE_SA_ADDRESSES, then sun checks the path (3.7)
  EXPECT_EQ(pair.world.arrows, (Strings{"moon>sun INFORMATIONAL 2", "sun>moon INFORMATIONAL 2 R",
                                        "sun>moon INFORMATIONAL 0", "moon>sun INFORMATIONAL 0 R"}));
  EXPECT_EQ(pair.sun.sa()->remote.address, address_of("192.0.2.77"));
  EXPECT_EQ(pair.sun.tunnels.begin()->second.remote.address, address_of("192.0.2.77"));
  EXPECT_EQ(pair.moon.tunnels.begin()->second.local.address, address_of("192.0.2.77"));
  EXPECT_EQ(pair.traffic(kSecond), 0U);
  pair.expect_one_of_each();
}

TEST(Mobike, move_behind_a_nat_and_back_switches_the_encapsulation) {
  Pair pair;
  pair.sun_side.connection.remote_addresses.clear();
  pair.moon_side.connection.local_addresses.clear();
  pair.up();
  EXPECT_FALSE(pair.sun.sa()->children[0].encapsulated);
  const Nat nat(pair.world, "10.0.0.7", "203.0.113.1");
  pair.moon.addresses = {address_of("10.0.0.7")};
  pair.moon.engine->on_addresses_changed(pair.moon.now());
  pair.moon.drain();
  pair.world.run_for(kSecond);
  EXPECT_TRUE(pair.sun.sa()->children[0].encapsulated);
  EXPECT_TRUE(pair.moon.sa()->children[0].encapsulated);
  EXPECT_EQ(pair.sun.sa()->remote, endpoint_of("203.0.113.1:14500"));
  pair.exchange();
  pair.moon.addresses = {address_of(kMoon)};
  pair.moon.engine->on_addresses_changed(pair.moon.now());
  pair.moon.drain();
  pair.world.run_for(kSecond);
  EXPECT_FALSE(pair.sun.sa()->children[0].encapsulated);
  EXPECT_FALSE(pair.moon.sa()->children[0].encapsulated);
  pair.exchange();
  pair.expect_one_of_each();
}

TEST(Mobike, other_family_works) {
  Pair pair;
  pair.sun.addresses.push_back(address_of("2001:db8::2"));
  pair.sun_side.connection.local_addresses.clear();
  pair.sun_side.connection.remote_addresses.clear();
  pair.moon_side.connection.local_addresses.clear();
  pair.up();
  // moon loses IPv4; sun has told of its IPv6 address (ADDITIONAL_IP6_ADDRESS).
  pair.moon.addresses = {address_of("2001:db8::1")};
  pair.moon.engine->on_addresses_changed(pair.moon.now());
  pair.moon.drain();
  pair.world.run_for(kSecond);
  EXPECT_EQ(pair.sun.sa()->remote.address, address_of("2001:db8::1"));
  EXPECT_EQ(pair.moon.sa()->remote.address, address_of("2001:db8::2"));
  pair.exchange();
}

TEST(Mobike, change_under_loss_arrives) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Pair pair(seed);
    pair.sun_side.connection.remote_addresses.clear();
    pair.moon_side.connection.local_addresses.clear();
    pair.up();
    pair.world.loss_percent = 30;
    pair.world.repeat_percent = 20;
    for (int step = 0; step < 3; ++step) {
      pair.moon.addresses = {address_of("192.0.2.1" + std::to_string(step) + "1")};
      pair.moon.engine->on_addresses_changed(pair.moon.now());
      pair.moon.drain();
      pair.world.run_for(static_cast<Nanoseconds>(pair.world.dice.below(6)) * kSecond);
    }
    pair.world.loss_percent = pair.world.repeat_percent = 0;
    pair.world.run_for(200 * kSecond);
    ASSERT_EQ(pair.sun.established(), 1U) << seed << pair.sun.log_text();
    EXPECT_EQ(pair.sun.sa()->remote.address, address_of("192.0.2.121")) << seed;
    pair.exchange();
  }
}

TEST(Mobike, dead_path_makes_the_initiator_try_the_other_address) {
  Pair pair;
  pair.sun.addresses.push_back(address_of("192.0.2.9"));
  pair.sun_side.connection.local_addresses.clear();
  pair.moon_side.connection.dpd_delay_ns = 30 * kSecond;
  pair.up();
  pair.world.filter = [](const Packet& packet) {
    return packet.destination.address != address_of(kSun);
  };
  pair.world.run_for(400 * kSecond);
  ASSERT_EQ(pair.moon.established(), 1U) << pair.moon.log_text();
  EXPECT_EQ(pair.moon.sa()->remote.address, address_of("192.0.2.9"));
  pair.exchange();
}

TEST(Mobike, responder_does_not_follow_unasked) {
  Natted pair;
  pair.up();
  const Endpoint before = pair.sun.sa()->remote;
  pair.nat.port_offset = 20'000;
  EXPECT_TRUE(pair.moon.send_data("lan", 1));
  pair.world.run_for(kSecond);
  EXPECT_EQ(pair.sun.sa()->remote, before);
}

// --- dead peers ----------------------------------------------------------------------------------

TEST(Dpd, asks_only_without_inbound_traffic) {
  Pair pair;
  pair.moon_side.connection.dpd_delay_ns = 10 * kSecond;
  pair.up();
  pair.world.arrows.clear();
  pair.traffic(30 * kSecond);
  EXPECT_TRUE(pair.world.arrows.empty());
  pair.world.run_for(25 * kSecond);
  EXPECT_EQ(pair.world.arrows, (Strings{"moon>sun INFORMATIONAL 2", "sun>moon INFORMATIONAL 2 R",
                                        "moon>sun INFORMATIONAL 3", "sun>moon INFORMATIONAL 3 R"}));
}

TEST(Dpd, dead_peer_is_cleared) {
  Pair pair;
  pair.moon_side.connection.dpd_delay_ns = 10 * kSecond;
  pair.up();
  pair.world.filter = [](const Packet&) { return false; };
  pair.world.run_for(180 * kSecond);
  EXPECT_TRUE(pair.moon.sas().empty());
  EXPECT_TRUE(pair.moon.said(Reason::kDead));
  EXPECT_EQ(pair.moon.engine->totals().dpd_dead, 1U);
  EXPECT_TRUE(pair.moon.tunnels.empty());
  pair.moon.check_dataplane();
}

TEST(Dpd, action_restart_comes_back_with_the_peer) {
  Pair pair;
  pair.moon_side.connection.dpd_delay_ns = 10 * kSecond;
  pair.moon_side.connection.keying_tries = 0;
  pair.moon_side.children[0].dpd_action = DpdAction::kRestart;
  pair.up();
  pair.world.filter = [](const Packet&) { return false; };
  pair.sun.restart();
  pair.sun.load(pair.sun_side.build());
  pair.world.run_for(1000 * kSecond);
  pair.world.filter = nullptr;
  pair.world.run_for(200 * kSecond);
  EXPECT_EQ(pair.moon.children(), 1U);
  EXPECT_EQ(pair.moon.engine->totals().ike_sas, 1U);
  pair.exchange();
}

TEST(Dpd, action_trap_leaves_a_trap) {
  Pair pair;
  pair.moon_side.connection.dpd_delay_ns = 10 * kSecond;
  pair.moon_side.children[0].dpd_action = DpdAction::kTrap;
  pair.up();
  pair.world.filter = [](const Packet&) { return false; };
  pair.world.run_for(180 * kSecond);
  EXPECT_EQ(pair.moon.engine->policies().size(), 1U);
  EXPECT_EQ(pair.moon.policies.size(), 1U);
}

TEST(Hint, of_a_restarted_peer_makes_us_ask_and_no_more) {
  Pair pair;
  pair.up();
  pair.world.run_for(60 * kSecond);
  pair.sun.restart();
  pair.sun.load(pair.sun_side.build());
  pair.world.arrows.clear();
  // sun has no IKE SA for this: it hints (2.21.4), and moon goes on asking until it gives up.
  pair.moon.engine->rekey(pair.moon.now(), {"", "lan", 0, 0}, false);
  pair.moon.drain();
  pair.world.run_for(kSecond);
  EXPECT_EQ(pair.sun.engine->totals().hints_sent, 1U);
  EXPECT_EQ(pair.moon.established(), 1U) << "anybody may have sent that";
  pair.world.run_for(200 * kSecond);
  EXPECT_TRUE(pair.moon.sas().empty());
}

TEST(Hint, unknown_spi_is_limited) {
  Pair pair;
  pair.load();
  for (int i = 0; i < 100; ++i) {
    pair.sun.engine->on_unknown_spi(pair.sun.now(), endpoint_of("192.0.2.1:4500"),
                                    endpoint_of("192.0.2.2:4500"), 0x1234);
  }
  pair.sun.drain();
  EXPECT_EQ(pair.sun.sent.size(), 10U);
}

}  // namespace
}  // namespace penstock::ike::simulation
