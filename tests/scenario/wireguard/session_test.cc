// Handshakes between two machines: sessions, rekeys, collisions, restarts, keys and endpoints.
#include <gtest/gtest.h>

#include "tests/scenario/wireguard/pair.h"

namespace penstock::wireguard::simulation {
namespace {

TEST(Session, first_packet_makes_a_session_and_arrives) {
  Pair pair;
  pair.exchange();
  EXPECT_EQ(pair.b.received, std::vector<ByteVector>{kPing});
  EXPECT_EQ(pair.a.received, std::vector<ByteVector>{kPong});
  EXPECT_EQ(pair.a.initiations_sent, 1U);
  EXPECT_EQ(pair.b.initiations_sent, 0U);
  EXPECT_EQ(pair.a.keepalives_sent, 0U) << "the staged packet confirms the session";
  EXPECT_EQ(pair.a.status().state, "up");
  EXPECT_EQ(pair.b.status().state, "up");
  EXPECT_NE(pair.a.status().last_handshake_wall_ns, 0);
  EXPECT_TRUE(pair.a.dropped.empty());
  EXPECT_TRUE(pair.b.dropped.empty());
}

TEST(Session, psk_on_both_sides_works) {
  Secret<32> psk;
  psk.data()[3] = 7;
  Pair pair(1, {}, true, psk);
  pair.exchange();
  EXPECT_EQ(pair.b.received.size(), 1U);
}

TEST(Session, psk_mismatch_makes_no_session_and_says_so) {
  Pair pair;
  DeviceChange change;
  change.peers.emplace_back();
  change.peers[0].public_key = pair.a.status().public_key;
  change.peers[0].preshared_key.emplace().data()[0] = 1;
  ASSERT_TRUE(pair.a.device->apply(pair.a.now(), change).ok());
  pair.exchange();
  EXPECT_TRUE(pair.b.received.empty());
  EXPECT_GT(pair.a.drops(DropReason::kHandshakeInvalid), 0U);
  EXPECT_NE(pair.a.status().last_error.find("preshared"), std::string::npos);
}

TEST(Session, psk_change_keeps_the_session_and_rules_the_next_handshake) {
  Pair pair;
  pair.exchange();
  for (Node* const node : {&pair.a, &pair.b}) {
    DeviceChange change;
    change.peers.emplace_back();
    change.peers[0].public_key = node->status().public_key;
    change.peers[0].preshared_key.emplace().data()[0] = 9;
    ASSERT_TRUE(node->device->apply(node->now(), change).ok());
    node->drain();
  }
  pair.exchange();
  EXPECT_EQ(pair.b.received.size(), 2U);
  EXPECT_EQ(pair.a.initiations_sent, 1U) << "no new handshake for a changed key";
  pair.world.run_for(121 * kSecond);
  pair.exchange();
  EXPECT_EQ(pair.a.initiations_sent, 2U);
  EXPECT_EQ(pair.b.received.size(), 3U);
  EXPECT_EQ(pair.a.drops(DropReason::kHandshakeInvalid), 0U);
}

TEST(Session, handshake_under_loss_and_reordering_succeeds) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    Pair pair(seed);
    pair.world.loss_percent = 40;
    pair.world.repeat_percent = 20;
    pair.world.reorder_ns = 200 * kMillisecond;
    pair.a.send_data(pair.b_at_a(), kPing);
    pair.world.run_for(80 * kSecond);
    EXPECT_EQ(pair.a.status().state, "up") << seed;
  }
}

TEST(Session, simultaneous_initiation_converges_without_loss) {
  Pair pair;
  pair.a.send_data(pair.b_at_a(), kPing);
  pair.b.send_data(pair.a_at_b(), kPong);
  pair.world.run_for(4 * kSecond);
  EXPECT_EQ(pair.b.received, std::vector<ByteVector>{kPing});
  EXPECT_EQ(pair.a.received, std::vector<ByteVector>{kPong});
  for (int i = 0; i < 200; ++i) {
    pair.a.send_data(pair.b_at_a(), kPing);
    pair.b.send_data(pair.a_at_b(), kPong);
    pair.world.run_for(2 * kSecond);
  }
  EXPECT_EQ(pair.b.received.size(), 201U);
  EXPECT_EQ(pair.a.received.size(), 201U);
  EXPECT_EQ(pair.a.data_lost_no_key + pair.b.data_lost_no_key, 0U);
}

TEST(Session, rekey_by_time_loses_nothing_in_either_role) {
  Pair pair(3);
  pair.world.reorder_ns = 30 * kMillisecond;
  size_t sent = 0;
  for (int i = 0; i < 6000; ++i) {  // 10 minutes, both ways
    pair.a.send_data(pair.b_at_a(), kPing);
    pair.b.send_data(pair.a_at_b(), kPong);
    ++sent;
    pair.world.run_for(100 * kMillisecond);
  }
  pair.world.run_for(kSecond);
  EXPECT_EQ(pair.b.received.size(), sent);
  EXPECT_EQ(pair.a.received.size(), sent);
  const uint64_t initiations = pair.a.initiations_sent + pair.b.initiations_sent;
  EXPECT_GE(initiations, 5U);
  EXPECT_LE(initiations, 8U);
  EXPECT_LE(pair.a.inbound_sas(), 3U);
  EXPECT_LE(pair.b.inbound_sas(), 3U);
}

TEST(Session, indices_are_all_given_back) {
  Pair pair(4);
  pair.world.loss_percent = 30;
  for (int i = 0; i < 600; ++i) {
    pair.a.send_data(pair.b_at_a(), kPing);
    pair.world.run_for(kSecond);
  }
  EXPECT_LE(pair.a.indices.reserved.size(), 4U);
  DeviceChange change;
  change.replace_peers = true;
  ASSERT_TRUE(pair.a.device->apply(pair.a.now(), change).ok());
  pair.a.drain();
  EXPECT_TRUE(pair.a.indices.reserved.empty());
  EXPECT_EQ(pair.a.indices.released_unknown, 0U);
  EXPECT_EQ(pair.a.inbound_sas(), 0U);
}

TEST(Session, responder_restart_recovers_by_a_new_handshake_on_silence) {
  Pair pair;
  pair.exchange();
  pair.b.restart({});
  DeviceChange change;
  change.private_key = private_key_of(2);
  ASSERT_TRUE(pair.b.device->apply(pair.b.now(), change).ok());
  pair.b.drain();
  PeerChange peer;
  peer.public_key = pair.a.device->status(pair.a.now()).public_key;
  DeviceChange with_peer;
  with_peer.peers.push_back(peer);
  ASSERT_TRUE(pair.b.device->apply(pair.b.now(), with_peer).ok());
  pair.b.drain();
  const size_t before = pair.b.received.size();
  pair.a.send_data(pair.b_at_a(), kPing);  // lost: b knows no session
  pair.world.run_for(14 * kSecond);
  EXPECT_EQ(pair.a.initiations_sent, 1U);
  pair.world.run_for(4 * kSecond);  // 10 s + 5 s + jitter
  EXPECT_EQ(pair.a.initiations_sent, 2U);
  pair.a.send_data(pair.b_at_a(), kPing);
  pair.world.run_for(kSecond);
  EXPECT_EQ(pair.b.received.size(), before + 1);
}

TEST(Session, initiator_restart_with_its_clock_behind_is_accepted_with_the_persisted_floor) {
  Pair pair;
  pair.exchange();
  const uint64_t floor_ns = pair.a.persisted_ns;
  ASSERT_GT(floor_ns, 0U);
  for (const bool with_floor : {false, true}) {
    Device::Options options;
    if (with_floor) options.timestamp_floor_ns = floor_ns;
    pair.a.restart(options);
    pair.a.wall_offset_ns = 1'600'000'000 * kSecond;  // years behind
    DeviceChange change;
    change.private_key = private_key_of(1);
    change.peers.emplace_back();
    change.peers[0].public_key = pair.b.device->status(pair.b.now()).public_key;
    change.peers[0].endpoint = pair.b.address;
    ASSERT_TRUE(pair.a.device->apply(pair.a.now(), change).ok());
    pair.a.drain();
    pair.a.send_data(pair.b_at_a(), kPing);
    pair.world.run_for(kSecond);
    EXPECT_EQ(pair.a.status().state == "up", with_floor);
    EXPECT_EQ(pair.b.drops(DropReason::kHandshakeReplay), 1U);
  }
}

TEST(Session, clock_moved_back_keeps_time_stamps_going_up) {
  Pair pair;
  pair.exchange();
  pair.a.wall_offset_ns -= 86400 * kSecond;
  pair.world.run_for(125 * kSecond);
  pair.exchange();
  EXPECT_EQ(pair.a.initiations_sent, 2U);
  EXPECT_EQ(pair.b.drops(DropReason::kHandshakeReplay), 0U);
  EXPECT_EQ(pair.b.received.size(), 2U);
}

TEST(Session, replayed_initiation_changes_nothing) {
  Pair pair;
  pair.exchange();
  const ByteVector initiation = pair.a.sent.at(0);
  pair.world.run_for(kSecond);
  const size_t answers = pair.b.sent.size();
  const auto endpoints = pair.b.endpoints;
  pair.b.device->on_datagram(pair.b.now(), endpoint_of("203.0.113.9:9"), pair.b.address, {},
                             initiation);
  pair.b.drain();
  EXPECT_EQ(pair.b.drops(DropReason::kHandshakeReplay), 1U);
  EXPECT_EQ(pair.b.sent.size(), answers);
  EXPECT_EQ(pair.b.endpoints, endpoints);
  pair.exchange();
  EXPECT_EQ(pair.b.received.size(), 2U);
}

TEST(Session, nat_that_changes_its_port_is_followed_after_authentication) {
  Pair pair(1, {}, /*b_knows_a=*/false);
  const Endpoint outside1 = endpoint_of("198.51.100.1:1111");
  const Endpoint outside2 = endpoint_of("198.51.100.1:2222");
  Endpoint outside = outside1;
  pair.world.rewrite = [&](Packet& packet) {
    if (packet.source == pair.a.address) packet.source = outside;
    if (packet.destination == outside) packet.destination = pair.a.address;
  };
  pair.exchange();
  EXPECT_EQ(pair.b.status().endpoint, outside1);
  outside = outside2;
  pair.exchange();
  EXPECT_EQ(pair.b.status().endpoint, outside2);
  EXPECT_EQ(pair.a.received.size(), 2U);
  EXPECT_EQ(pair.b.notified(Notify::Kind::kRoamed), 1U);
}

TEST(Session, peer_without_endpoint_is_not_initiated_to_and_says_why) {
  Pair pair(1, {}, /*b_knows_a=*/false);
  pair.b.send_data(pair.a_at_b(), kPong);
  pair.world.run_for(20 * kSecond);
  EXPECT_EQ(pair.b.initiations_sent, 0U);
  EXPECT_EQ(pair.b.status().last_error, "no endpoint");
  EXPECT_EQ(pair.b.drops(DropReason::kTunnelNoEndpoint), 1U);
  EXPECT_EQ(pair.b.notified(Notify::Kind::kNoEndpoint), 1U);
}

TEST(Session, unknown_key_is_refused_with_its_reason) {
  Pair pair;
  DeviceChange change;
  change.peers.emplace_back();
  change.peers[0].public_key = pair.b.status().public_key;
  change.peers[0].remove = true;
  ASSERT_TRUE(pair.b.device->apply(pair.b.now(), change).ok());
  pair.b.drain();
  pair.a.send_data(pair.b_at_a(), kPing);
  pair.world.run_for(kSecond);
  EXPECT_EQ(pair.b.drops(DropReason::kHandshakeUnknownPeer), 1U);
  EXPECT_TRUE(pair.b.sent.empty());
}

TEST(Session, same_seed_and_inputs_give_the_same_bytes) {
  const auto trace_of = [](uint64_t seed) {
    Pair pair(seed);
    pair.world.loss_percent = 20;
    pair.world.reorder_ns = 50 * kMillisecond;
    for (int i = 0; i < 100; ++i) {
      pair.a.send_data(pair.b_at_a(), kPing);
      pair.b.send_data(pair.a_at_b(), kPong);
      pair.world.run_for(3 * kSecond);
    }
    return pair.world.trace;
  };
  EXPECT_EQ(trace_of(5), trace_of(5));
  EXPECT_NE(trace_of(5), trace_of(6));
}

TEST(Session, key_change_on_one_side_ends_old_sessions) {
  Pair pair;
  pair.exchange();
  DeviceChange change;
  change.private_key = private_key_of(77);
  ASSERT_TRUE(pair.a.device->apply(pair.a.now(), change).ok());
  pair.a.drain();
  EXPECT_EQ(pair.a.inbound_sas(), 0U);
  EXPECT_TRUE(pair.a.indices.reserved.empty());
  // The same key again changes nothing.
  pair.b.drain();
  const size_t sessions = pair.b.inbound_sas();
  change.private_key = private_key_of(2);
  ASSERT_TRUE(pair.b.device->apply(pair.b.now(), change).ok());
  pair.b.drain();
  EXPECT_EQ(pair.b.inbound_sas(), sessions);
}

}  // namespace
}  // namespace penstock::wireguard::simulation
