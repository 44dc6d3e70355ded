// Timers of paper section 6, each by what it does and by what it leaves alone.
#include <gtest/gtest.h>

#include "tests/scenario/wireguard/pair.h"

namespace penstock::wireguard::simulation {
namespace {

TEST(Timer, lost_initiations_are_repeated_after_five_seconds_and_given_up_after_ninety) {
  Pair pair;
  std::vector<Nanoseconds> sent_ns;
  pair.world.filter = [&](const Packet& packet) {
    if (!packet.handshake.empty()) sent_ns.push_back(pair.world.boot_ns);
    return false;
  };
  pair.a.send_data(pair.b_at_a(), kPing);
  pair.world.run_for(300 * kSecond);
  ASSERT_GE(sent_ns.size(), 17U);
  EXPECT_LE(sent_ns.size(), 19U);
  for (size_t i = 1; i < sent_ns.size(); ++i) {
    const Nanoseconds gap_ns = sent_ns[i] - sent_ns[i - 1];
    EXPECT_GE(gap_ns, 5 * kSecond);
    EXPECT_LE(gap_ns, 5 * kSecond + 334 * kMillisecond);
  }
  EXPECT_LE(sent_ns.back() - sent_ns.front(), 96 * kSecond);
  EXPECT_EQ(pair.a.notified(Notify::Kind::kHandshakeGaveUp), 1U);
  EXPECT_EQ(pair.a.drops(DropReason::kTunnelNoSession), 1U) << "the staged packet";
  EXPECT_TRUE(pair.a.indices.reserved.empty());
  EXPECT_EQ(pair.a.device->next_timeout(), kNever);

  pair.world.filter = nullptr;
  pair.exchange();
  EXPECT_EQ(pair.b.received.size(), 1U) << "new traffic starts a new attempt";
}

TEST(Timer, initiator_renews_at_rekey_after_time_and_responder_does_not) {
  Pair pair;
  pair.exchange();
  for (int i = 0; i < 117; ++i) {
    pair.b.send_data(pair.a_at_b(), kPong);
    pair.a.send_data(pair.b_at_a(), kPing);
    pair.world.run_for(kSecond);
  }
  EXPECT_EQ(pair.a.initiations_sent, 1U);
  for (int i = 0; i < 10; ++i) {
    pair.b.send_data(pair.a_at_b(), kPong);
    pair.a.send_data(pair.b_at_a(), kPing);
    pair.world.run_for(kSecond);
  }
  EXPECT_EQ(pair.a.initiations_sent, 2U);
  EXPECT_EQ(pair.b.initiations_sent, 0U);
}

TEST(Timer, initiator_that_only_receives_renews_before_the_session_is_refused) {
  // a's own keepalives, which count as sending, come at 50, 100 and 150 s; the rule for receiving
  // applies from 180 - 50 - 5 = 125 s on.
  Device::Options options;
  options.timers.keepalive_timeout_ns = 50 * kSecond;
  Pair pair(1, options);
  pair.a.send_data(pair.b_at_a(), kPing);
  pair.world.run_for(kSecond);
  for (int i = 0; i < 123; ++i) {
    pair.b.send_data(pair.a_at_b(), kPong);
    pair.world.run_for(kSecond);
  }
  EXPECT_EQ(pair.a.initiations_sent, 1U);
  for (int i = 0; i < 5; ++i) {
    pair.b.send_data(pair.a_at_b(), kPong);
    pair.world.run_for(kSecond);
  }
  EXPECT_EQ(pair.a.initiations_sent, 2U);
  EXPECT_EQ(pair.b.initiations_sent, 0U);
  EXPECT_EQ(pair.a.received.size(), 128U);
}

TEST(Timer, responder_starts_a_handshake_once_its_session_is_refused) {
  Pair pair;
  pair.exchange();
  pair.world.run_for(200 * kSecond);
  pair.b.send_data(pair.a_at_b(), kPong);
  pair.world.run_for(kSecond);
  EXPECT_EQ(pair.b.initiations_sent, 1U);
  EXPECT_EQ(pair.a.received.size(), 2U);
}

TEST(Timer, received_data_is_answered_by_one_keepalive_after_ten_seconds) {
  Pair pair;
  pair.a.send_data(pair.b_at_a(), kPing);
  pair.world.run_for(9 * kSecond);
  EXPECT_EQ(pair.b.keepalives_sent, 0U);
  pair.world.run_for(2 * kSecond);
  EXPECT_EQ(pair.b.keepalives_sent, 1U);
  EXPECT_EQ(pair.a.keepalives_received, 1U);
}

TEST(Timer, idle_peers_do_not_keep_each_other_awake) {
  Pair pair;
  pair.exchange();
  pair.world.run_for(30 * kSecond);
  const uint64_t keepalives = pair.a.keepalives_sent + pair.b.keepalives_sent;
  EXPECT_LE(keepalives, 2U);
  pair.world.run_for(3600 * kSecond);
  EXPECT_EQ(pair.a.keepalives_sent + pair.b.keepalives_sent, keepalives);
  EXPECT_EQ(pair.a.initiations_sent + pair.b.initiations_sent, 1U);
  EXPECT_EQ(pair.a.device->next_timeout(), kNever);
  EXPECT_EQ(pair.b.device->next_timeout(), kNever);
}

TEST(Timer, keys_are_removed_after_three_times_reject_after_time) {
  Pair pair;
  pair.exchange();
  pair.world.run_for(530 * kSecond);
  EXPECT_EQ(pair.a.inbound_sas(), 1U);
  EXPECT_EQ(pair.a.notified(Notify::Kind::kKeysWiped), 0U);
  pair.world.run_for(15 * kSecond);
  EXPECT_EQ(pair.a.inbound_sas(), 0U);
  EXPECT_EQ(pair.b.inbound_sas(), 0U);
  EXPECT_EQ(pair.a.notified(Notify::Kind::kKeysWiped), 1U);
  EXPECT_TRUE(pair.a.indices.reserved.empty());
  pair.exchange();
  EXPECT_EQ(pair.b.received.size(), 2U);
}

TEST(Timer, persistent_keepalive_starts_and_keeps_a_session_without_traffic) {
  Pair pair;
  DeviceChange change;
  change.peers.emplace_back();
  change.peers[0].public_key = pair.a.status().public_key;
  change.peers[0].persistent_keepalive_s = 25;
  ASSERT_TRUE(pair.a.device->apply(pair.a.now(), change).ok());
  pair.a.drain();
  pair.world.run_for(kSecond);
  EXPECT_EQ(pair.a.status().state, "up") << "setting it sends one at once";
  EXPECT_EQ(pair.b.keepalives_received, 1U);
  pair.world.run_for(100 * kSecond);
  EXPECT_EQ(pair.b.keepalives_received, 5U);
  pair.world.run_for(3600 * kSecond);
  EXPECT_EQ(pair.a.status().state, "up");
  EXPECT_GE(pair.b.keepalives_received, 140U);
  EXPECT_EQ(pair.b.keepalives_sent, 0U);

  change.peers[0].persistent_keepalive_s = 0;
  ASSERT_TRUE(pair.a.device->apply(pair.a.now(), change).ok());
  const uint64_t before = pair.b.keepalives_received;
  pair.world.run_for(100 * kSecond);
  EXPECT_EQ(pair.b.keepalives_received, before);
}

TEST(Timer, persistent_keepalive_waits_for_an_endpoint) {
  Pair pair(1, {}, /*b_knows_a=*/false);
  DeviceChange change;
  change.peers.emplace_back();
  change.peers[0].public_key = pair.b.status().public_key;
  change.peers[0].persistent_keepalive_s = 25;
  ASSERT_TRUE(pair.b.device->apply(pair.b.now(), change).ok());
  pair.b.drain();
  pair.world.run_for(300 * kSecond);
  EXPECT_EQ(pair.b.initiations_sent, 0U);
  change.peers[0].persistent_keepalive_s.reset();
  change.peers[0].endpoint = pair.a.address;
  ASSERT_TRUE(pair.b.device->apply(pair.b.now(), change).ok());
  pair.b.drain();
  pair.world.run_for(26 * kSecond);
  EXPECT_EQ(pair.b.initiations_sent, 1U);
}

TEST(Timer, staged_packets_are_bounded_and_the_newest_survive) {
  Pair pair;
  pair.world.latency_ns = kSecond;
  for (uint8_t i = 0; i < 200; ++i) pair.a.send_data(pair.b_at_a(), {i});
  EXPECT_EQ(pair.a.drops(DropReason::kTunnelNoSession), 72U);
  pair.world.run_for(10 * kSecond);
  ASSERT_EQ(pair.b.received.size(), 128U);
  EXPECT_EQ(pair.b.received.front(), ByteVector{72});
  EXPECT_EQ(pair.b.received.back(), ByteVector{199});
}

TEST(Timer, near_limit_renews_in_both_roles) {
  Pair pair;
  pair.exchange();
  pair.world.run_for(10 * kSecond);
  pair.b.device->on_events(pair.b.now(), pair.a_at_b(), kEventNearLimit, 0, {}, {});
  pair.b.drain();
  pair.world.run_for(kSecond);
  EXPECT_EQ(pair.b.initiations_sent, 1U);
  pair.a.device->on_events(pair.a.now(), pair.b_at_a(), kEventNearLimit, 0, {}, {});
  pair.a.drain();
  pair.world.run_for(6 * kSecond);
  EXPECT_EQ(pair.a.initiations_sent, 2U);
}

TEST(Timer, exhausted_session_is_replaced_instead_of_looped_over) {
  Pair pair;
  pair.exchange();
  pair.world.run_for(10 * kSecond);
  // By the clock the session lives; the dataplane says that it does not send any more.
  pair.a.device->on_need_session(pair.a.now(), pair.b_at_a(), kPing);
  pair.a.drain();
  EXPECT_EQ(pair.a.initiations_sent, 2U);
  pair.world.run_for(kSecond);
  EXPECT_EQ(pair.b.received.size(), 2U);
}

TEST(Timer, shortened_timers_rekey_under_traffic_without_loss) {
  Device::Options options;
  options.timers.rekey_after_time_ns = 2 * kSecond;
  options.timers.reject_after_time_ns = 4 * kSecond;
  options.timers.rekey_timeout_ns = kSecond / 2;
  options.timers.keepalive_timeout_ns = kSecond;
  Pair pair(9, options);
  size_t sent = 0;
  for (int i = 0; i < 3000; ++i) {
    pair.a.send_data(pair.b_at_a(), kPing);
    pair.b.send_data(pair.a_at_b(), kPong);
    ++sent;
    pair.world.run_for(20 * kMillisecond);
  }
  pair.world.run_for(kSecond);
  EXPECT_EQ(pair.b.received.size(), sent);
  EXPECT_EQ(pair.a.received.size(), sent);
  EXPECT_GE(pair.a.initiations_sent + pair.b.initiations_sent, 25U);
}

TEST(Timer, expiry_looks_at_due_peers_only) {
  World world;
  Node& a = world.add("a", kA);
  a.hold_jobs = true;
  constexpr uint32_t kPeers = 20'000;
  DeviceChange change;
  for (uint32_t i = 0; i < kPeers; ++i) {
    PeerChange peer;
    store_unaligned(peer.public_key.data(), i + 1);
    peer.public_key[30] = 9;
    peer.persistent_keepalive_s = static_cast<uint16_t>(1 + i % 60'000);
    change.peers.push_back(peer);
  }
  ASSERT_TRUE(a.device->apply(a.now(), change).ok());
  a.drain();
  // One peer is due each second: each call must return with the next second's deadline.
  for (int second = 1; second <= 5; ++second) {
    const Nanoseconds due_ns = a.device->next_timeout();
    EXPECT_LE(due_ns, world.boot_ns + kSecond);
    world.boot_ns = due_ns;
    a.timeout();
    EXPECT_GT(a.device->next_timeout(), due_ns);
  }
}

}  // namespace
}  // namespace penstock::wireguard::simulation
